#include "parsers/prefix.h"

#include "parsers/beginning.h"
#include "parsers/bump.h"
#include "parsers/page.h"

/* -- the whole -----------------------------------------------------------------------------------
 */

/* The title by the whole page, whose charset is final. */
static int find_title(struct reading *r)
{
    bool any = false;
    int rc = beginning_has_tag(r->source, BYTES("<title"), &any);

    r->title = (struct title){.found = false};
    return rc == 0 && any ? reading_parse(r, r->source->raw, TAKE_ALL) : rc;
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

    a->rc = reading_parse(a->reading, a->part, a->take);
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
        rc = beginning_find(r);
    if (rc == 0 && r->cut.len > 0)
        rc = beginning_confirm(r, &confirmed);
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
    int rc = beginning_find(r);

    if (rc == 0 && s->has_looked)
        rc = beginning_settle_charset(r);
    bool enough = r->cut.len > 0 && reading_certain(r) == CERTAIN && !source_is_open(s);
    if (rc == 0 && !enough)
        rc = source_read_all(s);
    ret->settled = enough || source_is_whole(s);
    if (rc < 0 || !ret->settled)
        return rc;
    beginning_close_charset(s);

    if (r->cut.len > 0)
        rc = beginning_confirm(r, &ret->from_prefix);
    if (rc < 0 || ret->from_prefix)
        return rc;
    rc = source_read_all(s);
    ret->settled = source_is_whole(s);
    if (rc < 0 || !ret->settled)
        return rc;
    return r->asked == FIELD_BIT(FIELD_TITLE) ? find_title(r) : reading_parse(r, s->raw, TAKE_ALL);
}

/* Fields of the body too: all of the page is needed, but not more than the limits allow. */
static int read_body(struct reading *r, struct prefix *ret)
{
    struct source *s = r->source;
    int rc = source_read_all(s);

    ret->settled = source_is_whole(s);
    if (rc == 0 && s->has_looked)
        rc = beginning_settle_charset(r);
    if (rc < 0 || !ret->settled)
        return rc;
    beginning_close_charset(s);
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
    rc = reading_parse(r, s->raw, TAKE_ALL);
    beginning_close_charset(s);
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
