#include "parsers/beginning.h"

#include "parsers/bump.h"
#include "parsers/convert.h"
#include "parsers/meta_hint.h"
#include "parsers/prefix.h"
#include "parsers/tag.h"
#include "parsers/title_text.h"

/* -- without a parse -----------------------------------------------------------------------------
 */

/*
 * Reads the title that the scan has, in the charset of r->cut as far as that is known. False: only
 * the parse knows it.
 */
static int take_scanned(struct reading *r, bool *ret)
{
    struct source *s = r->source;
    const struct head_scan *scan = &r->scan;
    const size_t mark = bump_mark(s->bump);
    /* With the '<' behind it: half a character in front of that may read otherwise than at an end.
     */
    struct bytes raw = bytes_of(s->raw.ptr + s->choice.mark + scan->title_start,
                                scan->title_end - scan->title_start + 1);
    struct bytes text;

    r->charset = source_charset(s, r->cut);
    int rc = convert_to_utf8(s->multi_byte, s->bump, r->charset, raw, false, &text);
    if (rc < 0)
        return rc;
    struct title title = {.found = true, .certain = TITLE_CERTAIN};
    *ret = title_text(bytes_of(text.ptr, text.len - 1), r->title_text, &title.text);
    if (*ret)
        r->title = title;
    bump_rewind(s->bump, mark);
    return 0;
}

/* Whether the scan can read the page, as far as its charset is known. */
static bool may_scan(const struct source *s)
{
    return s->choice.charset == CHARSET_NONE || charset_keeps_ascii(s->choice.charset);
}

/* Reads until the scan has the title, r->cut then, or is lost. */
static int scan_head(struct reading *r)
{
    struct source *s = r->source;
    struct head_scan *scan = &r->scan;
    enum head_scan_result result = HEAD_SCAN_MORE;
    int rc = 0;

    while (rc == 0 && result == HEAD_SCAN_MORE) {
        bump_check_deadline(s->bump);
        if (s->has_looked) {
            if (!may_scan(s))
                return 0;
            size_t mark = s->choice.mark;
            scan->wants_charset = source_is_open(s);
            result = head_scan(scan, bytes_of(s->raw.ptr + mark, s->raw.len - mark));
        }
        if (result == HEAD_SCAN_MORE) {
            if (s->ended)
                break;
            rc = scan->has_title ? source_read_on(s) : source_read_more(s);
        }
    }
    charset_change(&s->choice, scan->charset);
    if (rc == 0 && scan->has_title && may_scan(s)) {
        r->cut = bytes_of(s->raw.ptr, s->choice.mark + scan->at);
        rc = take_scanned(r, &r->is_scanned);
        if (!r->is_scanned)
            r->cut.len = 0;
    }
    return rc;
}

/* -- hints ---------------------------------------------------------------------------------------
 */

/*
 * The length of the beginning that the next hint cuts off, or 0 when none is in sight. *at is where
 * to look, and then where to go on.
 */
static size_t next_cut(struct bytes raw, struct bytes hint, size_t *at)
{
    for (size_t open; (open = tag_find(raw, *at, hint)) != SIZE_MAX; *at = open + 1) {
        struct tag_scan scan = {raw.ptr + open + hint.len, raw.ptr + raw.len};
        struct tag_attribute attribute;

        if (scan.p < scan.end && !ascii_is_space(*scan.p) && *scan.p != '/' && *scan.p != '>')
            continue;
        while (tag_next_attribute(&scan, &attribute))
            ;
        bool complete = scan.p < scan.end;
        *at = complete ? (size_t)(scan.p - raw.ptr) + 1 : open; /* again, with more */
        return complete ? *at : 0;
    }
    if (raw.len >= *at + hint.len)
        *at = raw.len - hint.len + 1;
    return 0;
}

enum { NEAR = 2 << 10 };

/* A later cut, when the page seems to declare its charset shortly behind: to parse once for both.
 */
static size_t cut_behind_meta(const struct source *s, size_t cut)
{
    struct meta_search search = {0};
    size_t end, near = s->raw.len - cut < NEAR ? s->raw.len : cut + NEAR;

    if (source_is_open(s) &&
        meta_hint_next(&search, bytes_of(s->raw.ptr, near), false, &end) == META_HINT_TAG &&
        end > cut)
        return end;
    return cut;
}

/* Whether a hint may be followed, the page parsed up to there. `tries`: that were before. */
static bool may_follow(struct reading *r, struct bytes part, unsigned tries)
{
    if (tries == PREFIX_TRIES || part.len > PREFIX_PARSED_MAX - r->parsed)
        return false;
    r->parsed += part.len;
    return true;
}

int beginning_find(struct reading *r)
{
    struct source *s = r->source;
    struct bytes hint = reading_asked_of_head(r) ? BYTES("<body") : BYTES("</title");
    unsigned tries = 0;
    size_t at = 0;
    int rc = 0;

    if (!reading_asked_of_head(r))
        rc = scan_head(r);
    if (rc < 0 || r->cut.len > 0)
        return rc;
    for (;;) {
        if (charset_is_utf16(s->choice.charset))
            return 0;
        for (size_t cut; s->has_looked && (cut = next_cut(s->raw, hint, &at)) > 0;) {
            struct bytes part = bytes_of(s->raw.ptr, cut_behind_meta(s, cut));
            if (!may_follow(r, part, tries++))
                return 0;
            rc = reading_parse(r, part, TAKE_HEAD);
            if (rc < 0)
                return rc;
            if (reading_certain(r) != UNCERTAIN) {
                r->cut = part;
                return 0;
            }
        }
        if (s->ended)
            return 0;
        rc = source_read_on(s);
        if (rc < 0)
            return rc;
    }
}

/* -- the charset by what follows -----------------------------------------------------------------
 */

/* The next tag behind what was parsed for the title that may declare a charset. */
static enum meta_hint next_meta(const struct reading *r, struct meta_search *search,
                                size_t *ret_end)
{
    const struct source *s = r->source;
    enum meta_hint hint;

    /* What looks like a tag in its bytes may be none of its text, and the other way round. */
    if (s->choice.charset != CHARSET_NONE && !charset_keeps_ascii(s->choice.charset))
        return META_HINT_LOST;
    do
        hint = meta_hint_next(search, s->raw, source_is_whole(s), ret_end);
    while (hint == META_HINT_TAG && *ret_end <= r->cut.len);
    return hint;
}

int beginning_settle_charset(struct reading *r)
{
    struct source *s = r->source;
    /* Where the cut was scanned, none is in it. */
    struct meta_search search = {.at = r->is_scanned ? r->cut.len : 0};
    unsigned tries = 0;
    int rc = 0;

    while (rc == 0 && source_is_open(s)) {
        size_t end = 0;
        enum meta_hint hint = next_meta(r, &search, &end);
        struct bytes part = bytes_of(s->raw.ptr, end);

        if (hint == META_HINT_TAG && may_follow(r, part, tries++)) {
            rc = reading_parse_for_charset(r, part);
        } else if (hint == META_HINT_NONE) {
            if (s->ended)
                return 0;
            rc = source_read_on(s);
        } else {
            rc = source_read_all(s);
            if (rc == 0 && source_is_whole(s))
                rc = reading_parse_for_charset(r, s->raw);
            return rc;
        }
    }
    return rc;
}

/* -- all of it decoded ----------------------------------------------------------------------------
 */

int beginning_has_tag(struct source *s, struct bytes start, bool *ret)
{
    const size_t mark = bump_mark(s->bump);
    struct bytes text = s->raw;
    int rc = 0;

    if (!charset_keeps_ascii(s->choice.charset))
        rc = source_text(s, s->raw, s->choice.charset, &text);
    if (rc == 0)
        *ret = tag_find(text, 0, start) != SIZE_MAX;
    bump_rewind(s->bump, mark);
    return rc;
}

void beginning_close_charset(struct source *s)
{
    s->choice.charset = source_charset(s, s->raw);
    s->choice.certain = true;
}

/* Reads the cut in another charset than before. */
static int read_again(struct reading *r)
{
    bool told = false;
    int rc = r->is_scanned && may_scan(r->source) ? take_scanned(r, &told) : 0;

    return rc == 0 && !told ? reading_parse(r, r->cut, TAKE_HEAD) : rc;
}

int beginning_confirm(struct reading *r, bool *ret)
{
    bool spoilt = false;
    int rc = 0;

    if (!source_reads_alike(r->cut, r->charset, r->source->choice.charset))
        rc = read_again(r);
    enum certain certain = reading_certain(r);
    if (rc == 0 && certain == CERTAIN_UNLESS_FRAMESET)
        rc = beginning_has_tag(r->source, BYTES("<frameset"), &spoilt);
    if (rc == 0 && certain == CERTAIN_UNLESS_TITLE)
        rc = beginning_has_tag(r->source, BYTES("<title"), &spoilt);
    *ret = rc == 0 && certain != UNCERTAIN && !spoilt;
    return rc;
}
