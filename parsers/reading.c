#include "parsers/reading.h"

#include "parsers/body_fields.h"
#include "parsers/bump.h"
#include "parsers/head_fields.h"
#include "parsers/html.h"
#include "parsers/late_meta.h"

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

field_set reading_asked_of_head(const struct reading *r)
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
        if (reading_asked_of_head(r))
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

int reading_parse(struct reading *r, struct bytes part, enum take take)
{
    struct charset_choice *choice = &r->source->choice;
    enum charset meta;
    int rc = parse_once(r, part, take, &meta);

    if (rc == 0 && charset_change(choice, meta) &&
        !source_reads_alike(part, r->charset, choice->charset))
        rc = parse_once(r, part, take, &meta);
    return rc;
}

int reading_parse_for_charset(struct reading *r, struct bytes part)
{
    struct source *s = r->source;
    const size_t mark = bump_mark(s->bump);
    struct html html;
    int rc = build_tree(s, part, source_charset(s, part), &html);

    if (rc < 0)
        return rc;
    charset_change(&s->choice, late_meta(s->bump, &html));
    bump_rewind(s->bump, mark);
    return 0;
}

enum certain reading_certain(const struct reading *r)
{
    if (reading_asked_of_head(r) && !r->head_is_complete)
        return UNCERTAIN;
    if (!(r->asked & FIELD_BIT(FIELD_TITLE)))
        return CERTAIN;
    if (!r->title.found)
        return reading_asked_of_head(r) ? CERTAIN_UNLESS_TITLE : UNCERTAIN;
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
