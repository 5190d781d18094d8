#include "parsers/prefix.h"

#include "parsers/bump.h"
#include "parsers/convert.h"
#include "parsers/decode.h"
#include "parsers/html.h"
#include "parsers/late_meta.h"
#include "parsers/meta_hint.h"
#include "parsers/page.h"
#include "parsers/sniff.h"
#include "parsers/tag.h"

#include <errno.h>
#include <string.h>

/* A page while it is read. */
struct reading {
    struct bump *bump;
    struct decoder *decoder;
    struct multi_byte *multi_byte;
    const struct page_request *in;

    struct bytes raw; /* what is decoded of the page */
    char *buffer;     /* where it is, when it had a coding: the arena's latest allocation */
    size_t capacity;
    bool ended; /* no more comes out of in->body */

    bool has_looked;              /* `choice` knows what the first bytes declare */
    struct charset_choice choice; /* CHARSET_NONE: what the bytes look like */

    struct title title; /* in what was parsed last, its text in `kept` */
    char *kept;         /* TITLE_MAX bytes, where no rewind takes them away */
    enum charset title_charset;
    struct bytes cut; /* the beginning of `raw` that told the title for certain */
};

/* -- reading -------------------------------------------------------------------------------------
 */

/* Nothing more can follow `raw`. */
static bool is_whole(const struct reading *r)
{
    return r->ended && !r->in->is_prefix;
}

static int start(struct reading *r)
{
    r->kept = bump_alloc(r->bump, TITLE_MAX);
    if (decoder_is_identity(r->decoder)) { /* taken where it is */
        r->raw = r->in->body;
        r->ended = true;
        return r->raw.len > r->in->max_decoded_bytes ? -EFBIG : 0;
    }
    r->buffer = bump_alloc(r->bump, 0);
    r->raw = bytes_of(r->buffer, 0);
    return 0;
}

/* Decodes on until `want` bytes are there, or the end. */
static int read_on(struct reading *r, size_t want)
{
    while (!r->ended && r->raw.len < want) {
        size_t got = 0;

        if (r->capacity < want) {
            bump_resize_last(r->bump, r->buffer, r->capacity, want);
            r->capacity = want;
        }
        int rc = decoder_read(r->decoder, r->buffer + r->raw.len, want - r->raw.len, &got);
        if (rc < 0)
            return rc;
        r->raw.len += got;
        r->ended = got == 0;
    }
    return 0;
}

static int read_more(struct reading *r)
{
    return read_on(r, r->raw.len > PREFIX_FIRST / 2 ? 2 * r->raw.len : PREFIX_FIRST);
}

static int read_all(struct reading *r)
{
    int rc = 0;

    while (rc == 0 && !r->ended)
        rc = read_more(r);
    return rc;
}

/* -- charsets ------------------------------------------------------------------------------------
 */

/* Finds out what is declared ahead of the parse, as soon as that can be told. */
static void look(struct reading *r)
{
    enum { MARK_MAX = 3 };

    if (r->has_looked || (r->raw.len < MARK_MAX && !is_whole(r)))
        return;
    struct charset_choice choice = charset_declared(r->raw, r->in->content_type);
    if (choice.certain || r->raw.len >= PREFIX_PRESCAN || is_whole(r)) {
        r->choice = choice;
        r->has_looked = true;
    }
}

static bool is_utf16(enum charset charset)
{
    return charset == CHARSET_UTF_16LE || charset == CHARSET_UTF_16BE;
}

/* A meta element may still decide. */
static bool is_open(const struct reading *r)
{
    return !r->choice.certain && !is_utf16(r->choice.charset);
}

/* `part`, a beginning of the page, ends where it was cut off. */
static bool is_cut(const struct reading *r, struct bytes part)
{
    return part.len < r->raw.len || !is_whole(r) || decoder_cut(r->decoder);
}

/* What to read a beginning of the page in, as far as is known. */
static enum charset charset_for(const struct reading *r, struct bytes part)
{
    return r->choice.charset != CHARSET_NONE ? r->choice.charset
                                             : charset_guess(part, is_cut(r, part));
}

static int convert(const struct reading *r, struct bytes part, enum charset charset,
                   struct bytes *ret)
{
    size_t mark = part.len < r->choice.mark ? part.len : r->choice.mark;

    if (mark > 0) /* part.ptr may be NULL */
        part = bytes_of(part.ptr + mark, part.len - mark);
    return convert_to_utf8(r->multi_byte, r->bump, charset, part, is_cut(r, part), ret);
}

/* -- the title of a beginning --------------------------------------------------------------------
 */

/* Parses a part of the page for r->title, and for what it declares. */
static int parse_once(struct reading *r, struct bytes part, enum charset *ret_meta)
{
    const size_t mark = bump_mark(r->bump);
    struct bytes text;
    struct html html;

    r->title_charset = charset_for(r, part);
    int rc = convert(r, part, r->title_charset, &text);
    if (rc < 0)
        return rc;
    html_parse(r->bump, text, &html);
    title_of(r->bump, &html, &r->title);
    if (r->title.text.len > 0)
        memcpy(r->kept, r->title.text.ptr, r->title.text.len);
    r->title.text.ptr = r->kept;
    *ret_meta = is_open(r) ? late_meta(r->bump, &html) : CHARSET_NONE;
    bump_rewind(r->bump, mark);
    return 0;
}

/*
 * Parses a beginning of the page, or all of it: for r->title, and for what it declares where that
 * is open; then once more, in the same memory, if that makes another text of it. -EOPNOTSUPP:
 * r->title_charset cannot be read.
 */
static int parse_part(struct reading *r, struct bytes part)
{
    enum charset meta;
    int rc = parse_once(r, part, &meta);

    if (rc == 0 && charset_change(&r->choice, meta))
        rc = parse_once(r, part, &meta);
    return rc;
}

/*
 * The length of the beginning that the next hint cuts off, or 0 when none is in sight. *at is where
 * to look, and then where to go on.
 */
static size_t next_cut(struct bytes raw, size_t *at)
{
    static const struct bytes hint = {"</title", 7};

    for (size_t open; (open = tag_find(raw, *at, hint)) != SIZE_MAX; *at = open + 1) {
        const char *next = raw.ptr + open + hint.len, *raw_end = raw.ptr + raw.len;

        if (next < raw_end && !ascii_is_space(*next) && *next != '/' && *next != '>')
            continue;
        const char *end = memchr(next, '>', (size_t)(raw_end - next));
        *at = end ? (size_t)(end - raw.ptr) + 1 : open; /* again, with more */
        return end ? *at : 0;
    }
    if (raw.len >= *at + hint.len)
        *at = raw.len - hint.len + 1;
    return 0;
}

enum { NEAR = 2 << 10 };

/* A later cut, when the page seems to declare its charset shortly behind: to parse once for both.
 */
static size_t cut_behind_meta(const struct reading *r, size_t cut)
{
    struct meta_search search = {0};
    size_t end, near = r->raw.len - cut < NEAR ? r->raw.len : cut + NEAR;

    if (is_open(r) &&
        meta_hint_next(&search, bytes_of(r->raw.ptr, near), false, &end) == META_HINT_TAG &&
        end > cut)
        return end;
    return cut;
}

/* Reads until a beginning tells the title for certain, r->cut then, or there is no use. */
static int find_title(struct reading *r)
{
    unsigned tries = 0;
    size_t at = 0;

    for (;;) {
        look(r);
        /* Hints are not looked for where characters have two bytes. */
        if (is_utf16(r->choice.charset))
            return 0;
        for (size_t cut; r->has_looked && (cut = next_cut(r->raw, &at)) > 0;) {
            struct bytes part = bytes_of(r->raw.ptr, cut_behind_meta(r, cut));
            int rc = parse_part(r, part);
            if (rc < 0)
                return rc;
            if (r->title.certain != TITLE_UNCERTAIN)
                r->cut = part;
            if (r->cut.len > 0 || ++tries == PREFIX_TRIES)
                return 0;
        }
        if (r->ended)
            return 0;
        int rc = read_more(r);
        if (rc < 0)
            return rc;
    }
}

/* -- the charset by what follows -----------------------------------------------------------------
 */

/* Parses a beginning of the page for what it declares. */
static int declared_in(struct reading *r, struct bytes part)
{
    size_t mark = bump_mark(r->bump);
    struct bytes text;
    struct html html;
    int rc = convert(r, part, charset_for(r, part), &text);

    if (rc < 0)
        return rc;
    html_parse(r->bump, text, &html);
    charset_change(&r->choice, late_meta(r->bump, &html));
    bump_rewind(r->bump, mark);
    return 0;
}

/* Reads until a meta element decides, or to the end. */
static int settle_charset(struct reading *r)
{
    struct meta_search search = {0};
    unsigned tries = 0;
    int rc = 0;

    while (rc == 0 && is_open(r)) {
        size_t end = 0;
        enum meta_hint hint = meta_hint_next(&search, r->raw, is_whole(r), &end);

        if (hint == META_HINT_TAG && end <= r->cut.len)
            continue; /* it was none, or the parse would have seen it */
        if (hint == META_HINT_TAG && tries++ < PREFIX_TRIES) {
            rc = declared_in(r, bytes_of(r->raw.ptr, end));
        } else if (hint == META_HINT_NONE) {
            if (r->ended)
                return 0;
            rc = read_more(r);
        } else {
            rc = read_all(r);
            if (rc == 0 && is_whole(r))
                rc = declared_in(r, r->raw);
            return rc;
        }
    }
    return rc;
}

/* -- together ------------------------------------------------------------------------------------
 */

/* Whether such a tag can stand in the page, whose charset is settled. */
static int page_has_tag(struct reading *r, struct bytes start, bool *ret)
{
    size_t mark = bump_mark(r->bump);
    struct bytes text;
    int rc = convert(r, r->raw, r->choice.charset, &text);

    if (rc == 0)
        *ret = tag_find(text, 0, start) != SIZE_MAX;
    bump_rewind(r->bump, mark);
    return rc;
}

/* The title by the whole page, whose charset is settled. */
static int parse_whole(struct reading *r)
{
    bool any = false;
    int rc = page_has_tag(r, BYTES("<title"), &any);

    r->title = (struct title){.found = false};
    return rc == 0 && any ? parse_part(r, r->raw) : rc;
}

/* The title was certain before the charset was: reads it anew if it is not the same now. */
static int read_anew(struct reading *r)
{
    size_t mark = bump_mark(r->bump);
    struct bytes then, now;
    int rc = convert(r, r->cut, r->title_charset, &then);

    if (rc == 0)
        rc = convert(r, r->cut, r->choice.charset, &now);
    bool same = rc == 0 && bytes_equal(then, now);
    bump_rewind(r->bump, mark);
    return rc < 0 || same ? rc : parse_part(r, r->cut);
}

/* Whether the title of r->cut is that of the page, whose charset is settled. */
static int confirm_title(struct reading *r, bool *ret)
{
    bool frameset = false;
    int rc = read_anew(r);

    if (rc == 0 && r->title.certain == TITLE_UNLESS_FRAMESET)
        rc = page_has_tag(r, BYTES("<frameset"), &frameset);
    *ret = rc == 0 && r->title.certain != TITLE_UNCERTAIN && !frameset;
    return rc;
}

/* By as little of the page as tells it. */
static int read_quickly(struct reading *r, struct prefix *ret)
{
    int rc = find_title(r);

    if (rc == 0 && r->has_looked)
        rc = settle_charset(r);
    bool enough = r->cut.len > 0 && r->title.certain == TITLE_CERTAIN && !is_open(r);
    if (rc == 0 && !enough)
        rc = read_all(r);
    ret->settled = enough || is_whole(r);
    if (rc < 0 || !ret->settled)
        return rc;
    r->choice = (struct charset_choice){charset_for(r, r->raw), true, r->choice.mark};

    if (r->cut.len > 0)
        rc = confirm_title(r, &ret->from_prefix);
    if (rc < 0 || ret->from_prefix)
        return rc;
    rc = read_all(r);
    ret->settled = is_whole(r);
    return rc < 0 || !ret->settled ? rc : parse_whole(r);
}

/* By all of it: what read_quickly() must agree with. */
static int read_thoroughly(struct reading *r, struct prefix *ret)
{
    int rc = read_all(r);

    look(r);
    ret->settled = is_whole(r);
    if (rc < 0 || !ret->settled)
        return rc;
    rc = parse_part(r, r->raw);
    r->choice.charset = charset_for(r, r->raw);
    return rc;
}

/* What the beginning of the page looks like; SNIFF_UNKNOWN when there is too little of it. */
static int sniff_beginning(struct reading *r, enum sniff *ret)
{
    for (size_t len = PREFIX_FIRST;; len *= 2) {
        struct bytes text;
        int rc = read_on(r, len);

        if (rc < 0)
            return rc;
        look(r);
        bool all = r->ended && r->raw.len <= len;
        struct bytes part = all ? r->raw : bytes_of(r->raw.ptr, len);
        size_t mark = bump_mark(r->bump);
        rc = convert(r, part, charset_for(r, part), &text);
        if (rc < 0)
            return rc;
        *ret = r->has_looked ? sniff_text(text) : SNIFF_UNKNOWN; /* a mark may be in front */
        bump_rewind(r->bump, mark);
        if (*ret != SNIFF_UNKNOWN || all)
            return 0;
    }
}

int prefix_read(struct bump *bump, struct decoder *decoder, struct multi_byte *multi_byte,
                const struct page_request *in, bool sniff, struct prefix *ret)
{
    struct reading r = {.bump = bump, .decoder = decoder, .multi_byte = multi_byte, .in = in};
    enum sniff looks = SNIFF_HTML;
    int rc = start(&r);

    *ret = (struct prefix){.settled = true};
    if (rc == 0 && sniff)
        rc = sniff_beginning(&r, &looks);
    if (rc == 0 && looks == SNIFF_HTML)
        rc = in->parse_all ? read_thoroughly(&r, ret) : read_quickly(&r, ret);
    if (rc < 0) {
        ret->charset = charset_for(&r, r.raw);
        return rc;
    }
    if (looks == SNIFF_UNKNOWN)
        ret->settled = is_whole(&r);
    ret->html = looks == SNIFF_HTML;
    ret->decoded_bytes = r.raw.len;
    if (ret->html && ret->settled) {
        ret->title = r.title;
        ret->charset = r.choice.charset;
    }
    return 0;
}
