#include "server/web/embedded.h"

#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

enum { ETAG_SIZE = sizeof "\"0123456789abcdef\"" };

/* The same for the same bytes in every process (FNV-1a), as several may stand behind one name. */
static void make_etag(struct bytes content, char ret[static ETAG_SIZE])
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < content.len; i++)
        hash = (hash ^ (unsigned char)content.ptr[i]) * 0x100000001b3;
    snprintf(ret, ETAG_SIZE, "\"%016" PRIx64 "\"", hash);
}

/* Whether an If-None-Match names `etag`, weakly compared. In no tag of ours there is a comma. */
static bool names(struct bytes if_none_match, struct bytes etag)
{
    while (if_none_match.ptr) {
        struct bytes tag = bytes_trim(bytes_split(&if_none_match, ','));

        if (tag.len > 2 && tag.ptr[0] == 'W' && tag.ptr[1] == '/')
            tag = bytes_of(tag.ptr + 2, tag.len - 2);
        if (bytes_equal(tag, etag) || bytes_equal(tag, BYTES("*")))
            return true;
    }
    return false;
}

void embedded_answer(struct exchange *x, const char *content_type, struct bytes content,
                     const struct http_field *fields)
{
    char etag[ETAG_SIZE];
    struct buffer body = {0};

    make_etag(content, etag);

    /* no-cache: it may be kept, and is asked for again each time, so that it fits its daemon. */
    struct http_field all[2 + EMBEDDED_FIELDS_MOST + 1] = {
        {"ETag", etag},
        {"Cache-Control", "no-cache"},
    };
    for (size_t i = 0; fields && fields[i].name; i++) {
        assert(i < EMBEDDED_FIELDS_MOST);
        all[2 + i] = fields[i];
    }
    bool is_known = names(exchange_header(x, "If-None-Match"), bytes_cstr(etag));

    /* Of a 304 only the length of the body goes out, as of an answer to HEAD. */
    buffer_append(&body, content.ptr, content.len);
    exchange_respond(x, is_known ? 304 : 200, content_type, all, &body);
}
