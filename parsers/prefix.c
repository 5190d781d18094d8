#include "parsers/prefix.h"

#include "parsers/bump.h"
#include "parsers/html.h"
#include "parsers/late_meta.h"
#include "parsers/meta_hint.h"
#include "parsers/tag.h"

#include <errno.h>
#include <string.h>

/* A page while it is read. */
struct reading {
    struct source *source;
    struct title title;         /* of what was parsed last */
    char *title_text;           /* TITLE_MAX bytes for it, where no rewind takes them away */
    enum charset title_charset; /* in which it was read */
    struct bytes cut;           /* the beginning of the page that told it for certain */
    size_t parsed;              /* bytes, by following hints */
};

/* -- the title of a beginning --------------------------------------------------------------------
 */

static int build_tree(struct source *s, struct bytes part, enum charset charset, struct html *ret)
{
    struct bytes text;
    int rc = source_text(s, part, charset, &text);

    if (rc == 0)
        html_parse(s->bump, text, ret);
    return rc;
}

static void take_title(struct reading *r, const struct html *html)
{
    title_of(r->source->bump, html, &r->title);
    if (r->title.text.len > 0)
        memcpy(r->title_text, r->title.text.ptr, r->title.text.len);
    r->title.text.ptr = r->title_text;
}

/* Parses a part of the page for its title, and for what it declares where that is open. */
static int parse_once(struct reading *r, struct bytes part, enum charset *ret_meta)
{
    struct source *s = r->source;
    const size_t mark = bump_mark(s->bump);
    struct html html;

    r->title_charset = source_charset(s, part);
    int rc = build_tree(s, part, r->title_charset, &html);
    if (rc < 0)
        return rc;
    take_title(r, &html);
    *ret_meta = source_is_open(s) ? late_meta(s->bump, &html) : CHARSET_NONE;
    bump_rewind(s->bump, mark);
    return 0;
}

/* Parses a part of the page, and once more in the same memory when it declares another charset. */
static int parse_part(struct reading *r, struct bytes part)
{
    struct charset_choice *choice = &r->source->choice;
    enum charset meta;
    int rc = parse_once(r, part, &meta);

    if (rc == 0 && charset_change(choice, meta) &&
        !source_reads_alike(part, r->title_charset, choice->charset))
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

/* Reads until a beginning tells the title for certain, r->cut then, or there is no use. */
static int find_title(struct reading *r)
{
    struct source *s = r->source;
    unsigned tries = 0;
    size_t at = 0;

    for (;;) {
        if (charset_is_utf16(s->choice.charset))
            return 0;
        for (size_t cut; s->has_looked && (cut = next_cut(s->raw, &at)) > 0;) {
            struct bytes part = bytes_of(s->raw.ptr, cut_behind_meta(s, cut));
            if (!may_follow(r, part, tries++))
                return 0;
            int rc = parse_part(r, part);
            if (rc < 0)
                return rc;
            if (r->title.certain != TITLE_UNCERTAIN) {
                r->cut = part;
                return 0;
            }
        }
        if (s->ended)
            return 0;
        int rc = source_read_more(s);
        if (rc < 0)
            return rc;
    }
}

/* -- the charset by what follows -----------------------------------------------------------------
 */

/* Parses a beginning of the page, or all of it, for what it declares. */
static int declared_in(struct source *s, struct bytes part)
{
    const size_t mark = bump_mark(s->bump);
    struct html html;
    int rc = build_tree(s, part, source_charset(s, part), &html);

    if (rc < 0)
        return rc;
    charset_change(&s->choice, late_meta(s->bump, &html));
    bump_rewind(s->bump, mark);
    return 0;
}

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

/* Reads until a meta element decides, or to the end. */
static int settle_charset(struct reading *r)
{
    struct source *s = r->source;
    struct meta_search search = {0};
    unsigned tries = 0;
    int rc = 0;

    while (rc == 0 && source_is_open(s)) {
        size_t end = 0;
        enum meta_hint hint = next_meta(r, &search, &end);
        struct bytes part = bytes_of(s->raw.ptr, end);

        if (hint == META_HINT_TAG && may_follow(r, part, tries++)) {
            rc = declared_in(s, part);
        } else if (hint == META_HINT_NONE) {
            if (s->ended)
                return 0;
            rc = source_read_more(s);
        } else {
            rc = source_read_all(s);
            if (rc == 0 && source_is_whole(s))
                rc = declared_in(s, s->raw);
            return rc;
        }
    }
    return rc;
}

/* -- together ------------------------------------------------------------------------------------
 */

/* Whether such a tag can stand in the page, whose charset is final. */
static int page_has_tag(struct source *s, struct bytes start, bool *ret)
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

/* The title by the whole page, whose charset is final. */
static int parse_whole(struct reading *r)
{
    bool any = false;
    int rc = page_has_tag(r->source, BYTES("<title"), &any);

    r->title = (struct title){.found = false};
    return rc == 0 && any ? parse_part(r, r->source->raw) : rc;
}

/* Whether the title of r->cut is that of the page, whose charset is final: read in it, if it was
 * not. */
static int confirm_title(struct reading *r, bool *ret)
{
    bool frameset = false;
    int rc = 0;

    if (!source_reads_alike(r->cut, r->title_charset, r->source->choice.charset))
        rc = parse_part(r, r->cut);
    if (rc == 0 && r->title.certain == TITLE_UNLESS_FRAMESET)
        rc = page_has_tag(r->source, BYTES("<frameset"), &frameset);
    *ret = rc == 0 && r->title.certain != TITLE_UNCERTAIN && !frameset;
    return rc;
}

/* The charset of all that was read, now that nothing may change it. */
static void close_charset(struct source *s)
{
    s->choice.charset = source_charset(s, s->raw);
    s->choice.certain = true;
}

/* By as little of the page as tells it. */
static int read_quickly(struct reading *r, struct prefix *ret)
{
    struct source *s = r->source;
    int rc = find_title(r);

    if (rc == 0 && s->has_looked)
        rc = settle_charset(r);
    bool enough = r->cut.len > 0 && r->title.certain == TITLE_CERTAIN && !source_is_open(s);
    if (rc == 0 && !enough)
        rc = source_read_all(s);
    ret->settled = enough || source_is_whole(s);
    if (rc < 0 || !ret->settled)
        return rc;
    close_charset(s);

    if (r->cut.len > 0)
        rc = confirm_title(r, &ret->from_prefix);
    if (rc < 0 || ret->from_prefix)
        return rc;
    rc = source_read_all(s);
    ret->settled = source_is_whole(s);
    return rc < 0 || !ret->settled ? rc : parse_whole(r);
}

/* By all of it: what read_quickly() must agree with. */
static int read_thoroughly(struct reading *r, struct prefix *ret)
{
    struct source *s = r->source;
    int rc = source_read_all(s);

    ret->settled = source_is_whole(s);
    if (rc < 0 || !ret->settled)
        return rc;
    rc = parse_part(r, s->raw);
    close_charset(s);
    return rc;
}

int prefix_read(struct source *source, bool all, char text[static TITLE_MAX], struct prefix *ret)
{
    struct reading r = {.source = source, .title_text = text};

    *ret = (struct prefix){.settled = false};
    int rc = all ? read_thoroughly(&r, ret) : read_quickly(&r, ret);
    ret->charset = source->choice.charset;
    ret->title = r.title;
    return rc;
}
