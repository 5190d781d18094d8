#include "parsers/source.h"

#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/convert.h"
#include "parsers/decode.h"
#include "parsers/page.h"
#include "parsers/prescan.h"

#include <errno.h>

enum {
    MARK_MAX = 3,
    SOURCE_STEP = 4 << 10, /* less at a time would keep zlib out of its fast loop */
};

bool source_is_whole(const struct source *s)
{
    return s->ended && !s->in->is_prefix;
}

/* Finds out what is declared ahead of the parse, as soon as that can be told. */
static void look(struct source *s)
{
    if (s->has_looked || (s->raw.len < MARK_MAX && !source_is_whole(s)))
        return;
    struct charset_choice choice = charset_declared(s->raw, s->in->content_type);
    if (choice.certain || s->raw.len >= PRESCAN_MAX || source_is_whole(s)) {
        s->choice = choice;
        s->has_looked = true;
    }
}

int source_begin(struct source *s, const struct page_request *in)
{
    const struct decode_limits limits = {
        .max_bytes = in->max_decoded_bytes,
        .max_ratio = in->is_prefix ? 0 : in->max_ratio, /* what follows may be less compressed */
        .deadline_ns = in->deadline_ns,
    };
    int rc = decoder_begin(s->decoder, in->body, in->content_encoding, &limits);

    s->in = in;
    if (rc < 0)
        return rc;
    if (!decoder_is_identity(s->decoder)) {
        s->buffer = bump_alloc(s->bump, 0);
        s->raw = bytes_of(s->buffer, 0);
        return 0;
    }
    s->raw = in->body; /* taken where it is */
    s->ended = true;
    look(s);
    return s->raw.len > in->max_decoded_bytes ? -EFBIG : 0;
}

int source_read(struct source *s, size_t want)
{
    while (!s->ended && s->raw.len < want) {
        size_t got = 0;

        if (s->capacity < want) {
            bump_resize_last(s->bump, s->buffer, s->capacity, want);
            s->capacity = want;
        }
        int rc = decoder_read(s->decoder, s->buffer + s->raw.len, want - s->raw.len, &got);
        if (rc < 0)
            return rc;
        s->raw.len += got;
        s->ended = got == 0;
        if (s->ended) {
            bump_resize_last(s->bump, s->buffer, s->capacity, s->raw.len);
            s->capacity = s->raw.len;
        }
    }
    look(s);
    return 0;
}

int source_read_more(struct source *s)
{
    size_t len = s->raw.len;

    if (len < SOURCE_FIRST)
        return source_read(s, SOURCE_FIRST);
    return source_read(s, len + (len / 2 > SOURCE_STEP ? len / 2 : SOURCE_STEP));
}

/* All of the body at once, where its coding allows that; *ret_done says whether. */
static int read_at_once(struct source *s, bool *ret_done)
{
    size_t had = s->raw.len, len = decoder_whole_len(s->decoder);
    size_t room = s->bump->limit - s->bump->used;

    *ret_done = false;
    if (s->ended || s->in->is_prefix || len <= had || len - had > room / 2)
        return 0;
    if (len > s->capacity) {
        bump_resize_last(s->bump, s->buffer, s->capacity, len);
        s->capacity = len;
    }
    if (!decoder_read_whole(s->decoder, s->buffer, len)) {
        s->raw.len = 0; /* the same again */
        return source_read(s, had);
    }
    s->raw.len = len;
    *ret_done = s->ended = true;
    look(s);
    return 0;
}

int source_read_on(struct source *s)
{
    bool done;
    int rc = read_at_once(s, &done);

    return rc == 0 && !done ? source_read_more(s) : rc;
}

int source_read_all(struct source *s)
{
    bool done;
    int rc = read_at_once(s, &done);

    while (rc == 0 && !s->ended)
        rc = source_read(s, 2 * s->raw.len + SOURCE_FIRST);
    return rc;
}

bool source_is_open(const struct source *s)
{
    return !s->choice.certain && !charset_is_utf16(s->choice.charset);
}

/* `part` ends where it was cut off. */
static bool is_cut(const struct source *s, struct bytes part)
{
    return part.len < s->raw.len || !source_is_whole(s) || decoder_cut(s->decoder);
}

enum charset source_charset(const struct source *s, struct bytes part)
{
    return s->choice.charset != CHARSET_NONE ? s->choice.charset
                                             : charset_guess(part, is_cut(s, part));
}

int source_text(const struct source *s, struct bytes part, enum charset charset, struct bytes *ret)
{
    bool cut = is_cut(s, part);

    if (s->choice.mark > 0) /* part.ptr may be NULL */
        part = bytes_of(part.ptr + s->choice.mark, part.len - s->choice.mark);
    return convert_to_utf8(s->multi_byte, s->bump, charset, part, cut, ret);
}

bool source_reads_alike(struct bytes part, enum charset a, enum charset b)
{
    return a == b ||
           (charset_keeps_ascii(a) && charset_keeps_ascii(b) && ascii_prefix(part) == part.len);
}
