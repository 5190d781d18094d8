#include "parsers/prefix.h"

#include "parsers/body_fields.h"
#include "parsers/bump.h"
#include "parsers/head_fields.h"
#include "parsers/html.h"
#include "parsers/late_meta.h"
#include "parsers/meta_hint.h"
#include "parsers/page.h"
#include "parsers/tag.h"

#include <errno.h>
#include <string.h>

/* A page while it is read. */
struct reading {
    struct source *source;
    field_set asked;
    struct url url; /* the page's own; without a text it is not known */

    struct title title;         /* of what was parsed last */
    char *title_text;           /* TITLE_MAX bytes for it, where no rewind takes them away */
    struct field_writer fields; /* the same */
    char *fields_text;
    bool head_is_complete;
    enum charset charset; /* in which all that was read */

    struct bytes cut; /* the beginning of the page that told it for certain */
    size_t parsed;    /* bytes, by following hints */
};

/* What is taken from a tree. */
enum take { TAKE_HEAD, TAKE_BODY, TAKE_ALL };

/* -- what a tree has ------------------------------------------------------------------------------
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

static field_set asked_of_head(const struct reading *r)
{
    return r->asked & ~fields_of_body() & ~FIELD_BIT(FIELD_TITLE);
}

static void take_from(struct reading *r, const struct html *html, enum take take)
{
    struct bump *bump = r->source->bump;
    const struct url *url = r->url.text.len > 0 ? &r->url : NULL;

    if (take != TAKE_BODY) {
        fields_begin(&r->fields, r->fields_text);
        r->head_is_complete = head_is_complete(html);
        if (r->asked & FIELD_BIT(FIELD_TITLE))
            take_title(r, html);
        if (asked_of_head(r))
            head_fields(bump, html, r->asked, url, &r->fields);
    }
    if (take != TAKE_HEAD)
        body_fields(bump, html, r->asked, url, &r->fields);
}

/* Parses a part of the page for what is asked, and for what it declares where that is open. */
static int parse_once(struct reading *r, struct bytes part, enum take take, enum charset *ret_meta)
{
    struct source *s = r->source;
    const size_t mark = bump_mark(s->bump);
    struct html html;

    r->charset = source_charset(s, part);
    int rc = build_tree(s, part, r->charset, &html);
    if (rc < 0)
        return rc;
    take_from(r, &html, take);
    *ret_meta = source_is_open(s) ? late_meta(s->bump, &html) : CHARSET_NONE;
    bump_rewind(s->bump, mark);
    return 0;
}

/* Parses a part of the page, and once more in the same memory when it declares another charset. */
static int parse_part(struct reading *r, struct bytes part, enum take take)
{
    struct charset_choice *choice = &r->source->choice;
    enum charset meta;
    int rc = parse_once(r, part, take, &meta);

    if (rc == 0 && charset_change(choice, meta) &&
        !source_reads_alike(part, r->charset, choice->charset))
        rc = parse_once(r, part, take, &meta);
    return rc;
}

/* -- a beginning ---------------------------------------------------------------------------------
 */

/* How far a beginning of the page, parsed, tells what is asked of the head. */
enum certain {
    UNCERTAIN,
    CERTAIN_UNLESS_FRAMESET, /* but for a page with "<frameset" in it */
    CERTAIN_UNLESS_TITLE,    /* but for one with "<title" */
    CERTAIN,
};

static enum certain how_certain(const struct reading *r)
{
    if (asked_of_head(r) && !r->head_is_complete)
        return UNCERTAIN;
    if (!(r->asked & FIELD_BIT(FIELD_TITLE)))
        return CERTAIN;
    if (!r->title.found)
        return asked_of_head(r) ? CERTAIN_UNLESS_TITLE : UNCERTAIN;
    switch (r->title.certain) {
    case TITLE_UNCERTAIN:
        return UNCERTAIN;
    case TITLE_UNLESS_FRAMESET:
        return CERTAIN_UNLESS_FRAMESET;
    case TITLE_CERTAIN:
        break;
    }
    return CERTAIN;
}

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

/* Reads until a beginning tells what is asked of the head, r->cut then, or there is no use. */
static int find_beginning(struct reading *r)
{
    struct source *s = r->source;
    struct bytes hint = asked_of_head(r) ? BYTES("<body") : BYTES("</title");
    unsigned tries = 0;
    size_t at = 0;

    for (;;) {
        if (charset_is_utf16(s->choice.charset))
            return 0;
        for (size_t cut; s->has_looked && (cut = next_cut(s->raw, hint, &at)) > 0;) {
            struct bytes part = bytes_of(s->raw.ptr, cut_behind_meta(s, cut));
            if (!may_follow(r, part, tries++))
                return 0;
            int rc = parse_part(r, part, TAKE_HEAD);
            if (rc < 0)
                return rc;
            if (how_certain(r) != UNCERTAIN) {
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

/* -- all of it decoded ----------------------------------------------------------------------------
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

/* The charset of all that was read, now that nothing may change it. */
static void close_charset(struct source *s)
{
    s->choice.charset = source_charset(s, s->raw);
    s->choice.certain = true;
}

/* Whether what r->cut told is so for the page, whose charset is final: read in it, if it was not.
 */
static int confirm(struct reading *r, bool *ret)
{
    bool spoilt = false;
    int rc = 0;

    if (!source_reads_alike(r->cut, r->charset, r->source->choice.charset))
        rc = parse_part(r, r->cut, TAKE_HEAD);
    enum certain certain = how_certain(r);
    if (rc == 0 && certain == CERTAIN_UNLESS_FRAMESET)
        rc = page_has_tag(r->source, BYTES("<frameset"), &spoilt);
    if (rc == 0 && certain == CERTAIN_UNLESS_TITLE)
        rc = page_has_tag(r->source, BYTES("<title"), &spoilt);
    *ret = rc == 0 && certain != UNCERTAIN && !spoilt;
    return rc;
}

/* -- the whole -----------------------------------------------------------------------------------
 */

/* The title by the whole page, whose charset is final. */
static int find_title(struct reading *r)
{
    bool any = false;
    int rc = page_has_tag(r->source, BYTES("<title"), &any);

    r->title = (struct title){.found = false};
    return rc == 0 && any ? parse_part(r, r->source->raw, TAKE_ALL) : rc;
}

struct attempt {
    struct reading *reading;
    struct bytes part;
    enum take take;
    int rc;
};

static void parse_attempt(void *arg)
{
    struct attempt *a = arg;

    a->rc = parse_part(a->reading, a->part, a->take);
}

static enum bump_stop attempt(struct attempt *a)
{
    return bump_attempt(a->reading->source->bump, parse_attempt, a);
}

enum { WORTH_TRYING = 4 << 10 };

/*
 * What the limits leave of a page, whose charset is final, that is too much for them by `stop`: of
 * the head what a beginning tells for certain, or nothing will do; of the body what a beginning
 * has.
 */
static int salvage(struct reading *r, enum bump_stop stop)
{
    bool confirmed = !(r->asked & ~fields_of_body());
    struct attempt a = {.reading = r, .part = r->source->raw, .take = TAKE_BODY};
    int rc = 0;

    fields_begin(&r->fields, r->fields_text);
    if (!confirmed)
        rc = find_beginning(r);
    if (rc == 0 && r->cut.len > 0)
        rc = confirm(r, &confirmed);
    if (rc == 0 && !confirmed)
        bump_leave(r->source->bump, stop);

    const struct field_writer head = r->fields;
    while (rc == 0 && stop != BUMP_STOP_NONE && (a.part.len /= 8) >= WORTH_TRYING) {
        r->fields = head;
        stop = attempt(&a);
        rc = a.rc;
    }
    return rc;
}

/* All of the page, whose charset is final, or as much as the limits allow. */
static int parse_body(struct reading *r, bool *ret_truncated)
{
    struct bump *bump = r->source->bump;
    struct attempt a = {.reading = r, .part = r->source->raw, .take = TAKE_ALL};
    /* For what can still be done where this takes too long. */
    const struct bump_time time = bump_spare_time(bump);
    enum bump_stop stop = attempt(&a);

    bump_set_time(bump, time);
    *ret_truncated = stop != BUMP_STOP_NONE;
    return *ret_truncated ? salvage(r, stop) : a.rc;
}

/* -- together ------------------------------------------------------------------------------------
 */

/* Fields of the head by as little of the page as tells them. */
static int read_quickly(struct reading *r, struct prefix *ret)
{
    struct source *s = r->source;
    int rc = find_beginning(r);

    if (rc == 0 && s->has_looked)
        rc = settle_charset(r);
    bool enough = r->cut.len > 0 && how_certain(r) == CERTAIN && !source_is_open(s);
    if (rc == 0 && !enough)
        rc = source_read_all(s);
    ret->settled = enough || source_is_whole(s);
    if (rc < 0 || !ret->settled)
        return rc;
    close_charset(s);

    if (r->cut.len > 0)
        rc = confirm(r, &ret->from_prefix);
    if (rc < 0 || ret->from_prefix)
        return rc;
    rc = source_read_all(s);
    ret->settled = source_is_whole(s);
    if (rc < 0 || !ret->settled)
        return rc;
    return r->asked == FIELD_BIT(FIELD_TITLE) ? find_title(r) : parse_part(r, s->raw, TAKE_ALL);
}

/* Fields of the body too: all of the page is needed, but not more than the limits allow. */
static int read_body(struct reading *r, struct prefix *ret)
{
    struct source *s = r->source;
    int rc = source_read_all(s);

    ret->settled = source_is_whole(s);
    if (rc == 0 && s->has_looked)
        rc = settle_charset(r);
    if (rc < 0 || !ret->settled)
        return rc;
    close_charset(s);
    return parse_body(r, &ret->truncated);
}

/* By all of it: what read_quickly() must agree with. */
static int read_thoroughly(struct reading *r, struct prefix *ret)
{
    struct source *s = r->source;
    int rc = source_read_all(s);

    ret->settled = source_is_whole(s);
    if (rc < 0 || !ret->settled)
        return rc;
    rc = parse_part(r, s->raw, TAKE_ALL);
    close_charset(s);
    return rc;
}

int prefix_read(struct source *source, bool all, char text[static TITLE_MAX],
                char fields[static FIELDS_MAX], struct prefix *ret)
{
    const struct page_request *in = source->in;
    char url[URL_MAX];
    struct reading r = {
        .source = source,
        .asked = page_request_fields(in),
        .title_text = text,
        .fields_text = fields,
    };

    *ret = (struct prefix){.settled = false};
    fields_begin(&r.fields, fields);
    /* A title needs none. */
    size_t len = r.asked == FIELD_BIT(FIELD_TITLE) ? 0 : url_resolve(NULL, in->url, url);
    if (len == 0 || !url_split(bytes_of(url, len), &r.url))
        r.url = (struct url){0};
    int rc = all                          ? read_thoroughly(&r, ret)
             : r.asked & fields_of_body() ? read_body(&r, ret)
                                          : read_quickly(&r, ret);
    ret->charset = source->choice.charset;
    ret->title = r.title;
    ret->fields = fields_written(&r.fields);
    ret->truncated = ret->truncated || r.fields.truncated;
    return rc;
}
