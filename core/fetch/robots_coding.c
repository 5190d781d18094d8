#include "core/fetch/robots_coding.h"

#include "core/fetch/robots.h"

#include <errno.h>
#include <stdint.h>
#include <zlib.h>

enum {
    MOST = ROBOTS_BYTES_MAX + 1,
    PIECE = 16 << 10,
    ANY_HEADER = 32, /* added to the window's bits: zlib or gzip, whichever it is */
};

static bool is_gzip_member(const z_stream *z)
{
    return z->avail_in >= 2 && z->next_in[0] == 0x1F && z->next_in[1] == 0x8B;
}

/* Inflates up to MOST bytes. Z_STREAM_END, Z_OK when there is more, or what went wrong. */
static int inflate_most(z_stream *z, struct buffer *text)
{
    unsigned char piece[PIECE];
    int rc = Z_OK;

    while (rc == Z_OK && text->len < MOST) {
        size_t left = MOST - text->len;

        z->next_out = piece;
        z->avail_out = (uInt)(left < sizeof piece ? left : sizeof piece);
        rc = inflate(z, Z_NO_FLUSH);
        buffer_append(text, piece, (size_t)(z->next_out - piece));
        if (text->failed)
            return Z_MEM_ERROR;
        if (rc == Z_STREAM_END && is_gzip_member(z)) /* RFC 1952 section 2.2: there may be more */
            rc = inflateReset(z);
    }
    return rc;
}

static int inflate_body(struct bytes body, struct buffer *ret)
{
    /* zlib does not write to what it reads; the type is older than const. */
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)body.ptr, .avail_in = (uInt)body.len};

    if (inflateInit2(&z, MAX_WBITS + ANY_HEADER) != Z_OK)
        return Z_MEM_ERROR;
    int rc = inflate_most(&z, ret);
    inflateEnd(&z);
    return rc;
}

static struct bytes whole_lines(struct bytes text)
{
    while (text.len > 0 && text.ptr[text.len - 1] != '\n' && text.ptr[text.len - 1] != '\r')
        text.len--;
    return text;
}

int robots_decode(struct bytes coding, bool is_cut, struct bytes *text, struct buffer *room)
{
    coding = bytes_trim(coding);
    if (text->len == 0 || coding.len == 0 || bytes_equal_nocase(coding, BYTES("identity")))
        return 0;
    if (!bytes_equal_nocase(coding, BYTES("gzip")) &&
        !bytes_equal_nocase(coding, BYTES("x-gzip")) &&
        !bytes_equal_nocase(coding, BYTES("deflate")))
        return -ENOTSUP;

    int rc = inflate_body(*text, room);
    if (rc == Z_MEM_ERROR)
        return -ENOMEM;
    if (rc == Z_BUF_ERROR && is_cut) /* it wants more, and there is no more */
        *text = whole_lines(buffer_bytes(room));
    else if (rc == Z_OK || rc == Z_STREAM_END)
        *text = buffer_bytes(room);
    else
        return -EBADMSG;
    return 0;
}
