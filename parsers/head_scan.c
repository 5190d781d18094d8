#include "parsers/head_scan.h"

#include "parsers/meta.h"
#include "parsers/tag.h"

/* What is said of a token. */
enum step {
    STEP_DONE, /* it is passed over */
    STEP_MORE, /* it does not end here */
    STEP_LOST,
};

/* What an element's start tag does in a head. */
enum kind {
    KIND_NONE,     /* not known */
    KIND_ROOT,     /* html and head: is there, or is made */
    KIND_BASE,     /* has no content, and may not stand in a noscript */
    KIND_VOID,     /* has no content */
    KIND_META,     /* the same, and may declare a charset */
    KIND_TITLE,    /* its content is text and references */
    KIND_RAW_TEXT, /* text alone */
    KIND_SCRIPT,
    KIND_NOSCRIPT, /* has content like a head's: scripting is off */
};

static const struct {
    struct bytes name;
    enum kind kind;
} elements[] = {
    {{"meta", 4}, KIND_META},         {{"link", 4}, KIND_VOID},
    {{"script", 6}, KIND_SCRIPT},     {{"style", 5}, KIND_RAW_TEXT},
    {{"title", 5}, KIND_TITLE},       {{"head", 4}, KIND_ROOT},
    {{"html", 4}, KIND_ROOT},         {{"base", 4}, KIND_BASE},
    {{"noscript", 8}, KIND_NOSCRIPT}, {{"noframes", 8}, KIND_RAW_TEXT},
    {{"basefont", 8}, KIND_VOID},     {{"bgsound", 7}, KIND_VOID},
};

enum { NAME_LEN_MAX = 8, OPEN_LEN = 4 /* of what tells a comment from the rest: <!-- */ };

static enum kind kind_of(struct bytes name)
{
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++)
        if (bytes_equal_nocase(name, elements[i].name))
            return elements[i].kind;
    return KIND_NONE;
}

static bool ends_name(char c)
{
    return ascii_is_space(c) || c == '/' || c == '>';
}

static const char *find(const char *p, const char *end, char c)
{
    return p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
}

/* -- comments ------------------------------------------------------------------------------------
 */

/* At a "<!--". */
static enum step pass_comment(struct tag_scan *p)
{
    /* The dashes may be those of the end, too: <!--> and <!---> */
    const char *at = p->p + OPEN_LEN;

    for (; (at = find(at, p->end, '>')); at++) {
        if (memcmp(at - 2, "--", 2) == 0) {
            p->p = at + 1;
            return STEP_DONE;
        }
        if (memcmp(at - 3, "--!", 3) == 0)
            return STEP_LOST;
    }
    return STEP_MORE;
}

/* At a "<!" or "<?" that is none. */
static enum step pass_declaration(struct tag_scan *p)
{
    const char *end = find(p->p + 2, p->end, '>');

    if (!end)
        return STEP_MORE;
    p->p = end + 1;
    return STEP_DONE;
}

/* -- content without tags ------------------------------------------------------------------------
 */

/* Whether `name`, in lower case, stands at p as that of a tag. */
static bool names_tag(const char *p, const char *end, struct bytes name)
{
    return (size_t)(end - p) > name.len && ends_name(p[name.len]) &&
           strncasecmp(p, name.ptr, name.len) == 0;
}

/* The '<' of the next end tag `name`; NULL without one. */
static const char *find_end_tag(const char *p, const char *end, struct bytes name)
{
    for (; (p = find(p, end, '<')); p++)
        if (end - p > 2 && p[1] == '/' && names_tag(p + 2, end, name))
            return p;
    return NULL;
}

/*
 * Behind a "<!" in a script whose "--" comes next: what ends the script, or the `>` of the "-->"
 * that ends this; NULL without either (HTML standard, "script data escaped state" and the following
 * ones). "<script" in there makes the next "</script" end no more than itself.
 */
static const char *pass_escaped(const char *p, const char *end, struct bytes name)
{
    bool is_double = false;

    for (p += 2; p < end; p++) {
        if (*p == '>' && memcmp(p - 2, "--", 2) == 0)
            return p;
        if (*p != '<')
            continue;
        if (p + 1 < end && p[1] == '/' && names_tag(p + 2, end, name)) {
            if (!is_double)
                return p;
            is_double = false;
        } else if (!is_double) {
            is_double = names_tag(p + 1, end, name);
        }
    }
    return NULL;
}

/* The '<' of the end tag of a script whose content begins at p; NULL without one. */
static const char *find_script_end(const char *p, const char *end)
{
    static const struct bytes name = {"script", 6};

    for (; (p = find(p, end, '<')); p++) {
        if (end - p < OPEN_LEN)
            return NULL;
        if (p[1] == '/' && names_tag(p + 2, end, name))
            return p;
        if (memcmp(p, "<!--", OPEN_LEN) != 0)
            continue;
        p = pass_escaped(p + 2, end, name);
        if (!p || *p == '<')
            return p;
    }
    return NULL;
}

/* -- tags ----------------------------------------------------------------------------------------
 */

/* Behind a tag's name: to behind its '>'. */
static enum step pass_attributes(struct tag_scan *p)
{
    struct tag_attribute attribute;

    while (tag_next_attribute(p, &attribute))
        continue;
    if (p->p == p->end)
        return STEP_MORE;
    p->p++;
    return STEP_DONE;
}

static enum step pass_meta(struct head_scan *s, struct tag_scan *p)
{
    struct meta_attributes attributes;
    bool plain;

    if (!s->wants_charset)
        return pass_attributes(p);
    if (!meta_read_tag(p, &attributes))
        return STEP_MORE;
    p->p++;
    if (s->charset != CHARSET_NONE || !meta_may_declare(&attributes, &plain))
        return STEP_DONE;
    if (!plain)
        return STEP_LOST;
    s->charset = meta_charset(&attributes);
    return STEP_DONE;
}

/* Behind the start tag of an element of text: to behind its end tag, *ret at the '<' of that. */
static enum step pass_content(struct tag_scan *p, enum kind kind, struct bytes name,
                              const char **ret)
{
    const char *end =
        kind == KIND_SCRIPT ? find_script_end(p->p, p->end) : find_end_tag(p->p, p->end, name);

    if (!end)
        return STEP_MORE;
    *ret = end;
    p->p = end + 2 + name.len;
    return pass_attributes(p);
}

/* The name of a tag, from its first letter on; empty where it is of no use. */
static struct bytes read_name(struct tag_scan *p)
{
    const char *start = p->p;

    while (p->p < p->end && p->p - start <= NAME_LEN_MAX && !ends_name(*p->p))
        p->p++;
    return bytes_of(start, (size_t)(p->p - start));
}

static bool may_stand_in_noscript(enum kind kind)
{
    return kind == KIND_VOID || kind == KIND_META || kind == KIND_RAW_TEXT;
}

static enum step pass_start_tag(struct head_scan *s, struct tag_scan *p, const char *page)
{
    p->p++;
    struct bytes name = read_name(p);
    if (p->p == p->end)
        return STEP_MORE;
    enum kind kind = kind_of(name);
    const char *content_end = NULL;

    if (kind == KIND_NONE || (s->in_noscript && !may_stand_in_noscript(kind)))
        return STEP_LOST;
    if (kind == KIND_META)
        return pass_meta(s, p);
    enum step step = pass_attributes(p);
    if (step != STEP_DONE)
        return step;
    if (kind == KIND_NOSCRIPT)
        s->in_noscript = true;
    if (kind != KIND_TITLE && kind != KIND_RAW_TEXT && kind != KIND_SCRIPT)
        return STEP_DONE;

    size_t content = (size_t)(p->p - page);
    step = pass_content(p, kind, name, &content_end);
    if (step == STEP_DONE && kind == KIND_TITLE && !s->has_title) {
        s->has_title = true;
        s->title_start = content;
        s->title_end = (size_t)(content_end - page);
    }
    return step;
}

static enum step pass_end_tag(struct head_scan *s, struct tag_scan *p)
{
    p->p += 2;
    struct bytes name = read_name(p);
    if (p->p == p->end)
        return STEP_MORE;
    enum kind kind = kind_of(name);

    if (kind == KIND_NONE || kind == KIND_ROOT || (s->in_noscript && kind != KIND_NOSCRIPT))
        return STEP_LOST;
    enum step step = pass_attributes(p);
    if (step == STEP_DONE && kind == KIND_NOSCRIPT)
        s->in_noscript = false;
    return step;
}

/* -- together ------------------------------------------------------------------------------------
 */

/* Passes over the token at p->p, which is no white space. */
static enum step pass_token(struct head_scan *s, struct tag_scan *p, const char *page)
{
    if (*p->p != '<')
        return STEP_LOST;
    if (p->end - p->p < 2)
        return STEP_MORE;
    switch (p->p[1]) {
    case '!':
        if (p->end - p->p < OPEN_LEN)
            return STEP_MORE;
        return memcmp(p->p, "<!--", OPEN_LEN) == 0 ? pass_comment(p) : pass_declaration(p);
    case '?':
        return pass_declaration(p);
    case '/':
        return pass_end_tag(s, p);
    default:
        return pass_start_tag(s, p, page);
    }
}

enum head_scan_result head_scan(struct head_scan *scan, struct bytes page)
{
    if (page.len == 0) /* ptr may be NULL */
        return HEAD_SCAN_MORE;
    struct tag_scan p = {page.ptr + scan->at, page.ptr + page.len};

    for (;;) {
        if (scan->has_title && (!scan->wants_charset || scan->charset != CHARSET_NONE))
            return HEAD_SCAN_FOUND;
        while (p.p < p.end && ascii_is_space(*p.p))
            p.p++;
        scan->at = (size_t)(p.p - page.ptr);
        if (scan->is_lost)
            return HEAD_SCAN_LOST;
        if (p.p == p.end)
            return HEAD_SCAN_MORE;
        switch (pass_token(scan, &p, page.ptr)) {
        case STEP_DONE:
            scan->at = (size_t)(p.p - page.ptr);
            break;
        case STEP_MORE:
            return HEAD_SCAN_MORE;
        case STEP_LOST:
            scan->is_lost = true;
            return HEAD_SCAN_LOST;
        }
    }
}
