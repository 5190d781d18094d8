#include "parsers/html.h"

#include "parsers/bump.h"
#include "parsers/collapse.h"

#include <gumbo.h>
#include <limits.h>

static void *hook_allocate(void *bump, size_t size)
{
    return bump_alloc(bump, size);
}

/*
 * Nothing is freed one by one. But gumbo frees attributes on its way down where it destroys a
 * subtree by recursion, as it does with the body when a frameset takes its place: a chance to stop
 * before the stack is full.
 */
static void hook_deallocate(void *bump, void *ptr)
{
    (void)ptr;
    bump_check_stack(bump);
}

/*
 * Controls and noncharacters are parse errors that a page keeps (HTML standard, "preprocessing the
 * input stream"), but gumbo puts U+FFFD in their place. So each stands in as a private-use
 * character while gumbo looks, and is restored in what is taken from the tree:
 *
 *     U+10F400 + 0x000..0x09F   the control itself
 *              + 0x190..0x1AF   U+FDD0..U+FDEF, by the last byte of their UTF-8
 *              + 0x2BE, 0x2BF   U+FFFE, U+FFFF, likewise
 *              + 0x302..0x321   the last two of planes 1 to 16
 *
 * A numeric reference over U+10FFFF is U+FFFD (HTML standard, "numeric character reference end
 * state"), but gumbo 0.10 counts in an int that overflows, and gives any byte or eats what follows.
 * So it stands in, too:
 *
 *              + 0x2BD          U+FFFD
 *
 * A character of U+10F400..U+10F7FF that the page has itself, as such or by a numeric reference, is
 * marked by another one in front of it:
 *
 *              + 0x3FF          what follows is the page's own
 *
 * So what a text becomes in the tree depends on nothing else in the page. In UTF-8 all of those are
 * F4 8F 90..9F xx. NUL is left to gumbo, which treats it as the standard wants.
 */
enum {
    STAND_IN_LEN = 4,
    STAND_IN_FIRST = 0x10f400,
    STAND_IN_COUNT = 0x400,
    STAND_IN_REPLACEMENT = 0x2bd,
    STAND_IN_MARK = 0x3ff,
};

struct stand_in {
    unsigned index; /* from STAND_IN_FIRST */
    bool own;       /* the page's own: it stands for itself, behind a mark */
};

static unsigned digit_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10u : UINT_MAX;
}

/*
 * Length of a numeric reference at p, which points to a '&', to a character over U+10FFFF or to one
 * of the stand-ins; 0 for anything else.
 */
static size_t refused_reference(const unsigned char *p, const unsigned char *end,
                                struct stand_in *ret)
{
    enum { HIGHEST = 0x10ffff };
    const unsigned char *at = p + 2;
    unsigned base = 10, value = 0;

    if (end - p < 3 || p[1] != '#')
        return 0;
    if (*at == 'x' || *at == 'X') {
        base = 16;
        at++;
    }
    for (; at < end && digit_value(*at) < base; at++)
        if (value <= HIGHEST)
            value = value * base + digit_value(*at);
    if (value > HIGHEST)
        *ret = (struct stand_in){.index = STAND_IN_REPLACEMENT};
    else if (value >= STAND_IN_FIRST && value < STAND_IN_FIRST + STAND_IN_COUNT)
        *ret = (struct stand_in){.index = value - STAND_IN_FIRST, .own = true};
    else
        return 0;
    return (size_t)(at - p) + (at < end && *at == ';');
}

/* Length of what has a stand-in at p, which is well-formed UTF-8; 0 when nothing there has. */
static size_t refused(const unsigned char *p, const unsigned char *end, struct stand_in *ret)
{
    ret->own = false;
    if (p[0] == '&')
        return refused_reference(p, end, ret);
    if (p[0] < 0x20 || p[0] == 0x7f) {
        ret->index = p[0];
        return p[0] == '\0' || ascii_is_space((char)p[0]) ? 0 : 1;
    }
    if (p[0] == 0xc2) {
        ret->index = p[1];
        return p[1] < 0xa0 ? 2 : 0;
    }
    if (p[0] == 0xef) {
        ret->index = (p[1] == 0xb7 ? 0x100u : 0x200u) + p[2];
        return (p[1] == 0xb7 && p[2] >= 0x90 && p[2] <= 0xaf) || (p[1] == 0xbf && p[2] >= 0xbe) ? 3
                                                                                                : 0;
    }
    if (p[0] >= 0xf0 && (p[1] & 0x0f) == 0x0f && p[2] == 0xbf && p[3] >= 0xbe) {
        unsigned plane = (p[0] & 0x07u) << 2 | (p[1] & 0x30u) >> 4;
        ret->index = 0x300u + 2 * plane + (p[3] & 1u);
        return 4;
    }
    if (p[0] == 0xf4 && p[1] == 0x8f && (p[2] & 0xf0) == 0x90) {
        *ret = (struct stand_in){.index = (p[2] & 0x0fu) << 6 | (p[3] & 0x3fu), .own = true};
        return STAND_IN_LEN;
    }
    return 0;
}

static char *put_stand_in(char *to, unsigned index)
{
    *to++ = (char)0xf4;
    *to++ = (char)0x8f;
    *to++ = (char)(0x90 | index >> 6);
    *to++ = (char)(0x80 | (index & 0x3f));
    return to;
}

/* `html` with stand-ins, or as it is when it needs none; *ret_any says which. */
static struct bytes put_stand_ins(struct bump *bump, struct bytes html, bool *ret_any)
{
    const unsigned char *p = (const unsigned char *)html.ptr, *end = p + html.len, *copied = p;
    size_t count = 0;
    struct stand_in s;

    for (const unsigned char *at = p; at < end; at++)
        if (*at < 0x20 || *at >= 0x7f || *at == '&') /* nearly all is none of these */
            count += refused(at, end, &s) > 0;
    *ret_any = count > 0;
    if (count == 0)
        return html;

    char *text = bump_alloc(bump, html.len + count * 2 * STAND_IN_LEN), *to = text;
    while (p < end) {
        size_t len = refused(p, end, &s);
        if (len == 0) {
            p++;
            continue;
        }
        memcpy(to, copied, (size_t)(p - copied));
        to += p - copied;
        if (s.own)
            to = put_stand_in(to, STAND_IN_MARK);
        to = put_stand_in(to, s.index);
        p += len;
        copied = p;
    }
    memcpy(to, copied, (size_t)(p - copied));
    return bytes_of(text, (size_t)(to - text) + (size_t)(p - copied));
}

/* Writes the UTF-8 of what a stand-in stands for; returns its length, at most STAND_IN_LEN. */
static size_t stood_for(unsigned index, char *ret)
{
    unsigned last = index & 0xff, plane = last >> 1;

    switch (index >> 8) {
    case 0:
        if (last < 0x80) {
            ret[0] = (char)last;
            return 1;
        }
        ret[0] = (char)0xc2;
        ret[1] = (char)last;
        return 2;
    case 1:
    case 2:
        ret[0] = (char)0xef;
        ret[1] = (char)(index >> 8 == 1 ? 0xb7 : 0xbf);
        ret[2] = (char)last;
        return 3;
    }
    ret[0] = (char)(0xf0 | plane >> 2);
    ret[1] = (char)(0x8f | (plane & 3) << 4);
    ret[2] = (char)0xbf;
    ret[3] = (char)(0xbe | (last & 1));
    return 4;
}

/* The index of the stand-in at text[at], or UINT_MAX. */
static unsigned stand_in_at(const char *text, size_t at, size_t len)
{
    const unsigned char *p = (const unsigned char *)text + at;

    if (len - at < STAND_IN_LEN || p[0] != 0xf4 || p[1] != 0x8f || (p[2] & 0xf0) != 0x90)
        return UINT_MAX;
    return (p[2] & 0x0fu) << 6 | (p[3] & 0x3fu);
}

size_t html_restore(const struct html *html, char *text, size_t len)
{
    size_t to = 0;

    if (!html->stand_ins)
        return len;
    for (size_t at = 0; at < len;) {
        unsigned index = stand_in_at(text, at, len);

        if (index == UINT_MAX) {
            text[to++] = text[at++];
            continue;
        }
        at += STAND_IN_LEN;
        if (index != STAND_IN_MARK) {
            to += stood_for(index, text + to);
        } else if (stand_in_at(text, at, len) != UINT_MAX) { /* else it was cut off */
            memmove(text + to, text + at, STAND_IN_LEN);
            to += STAND_IN_LEN;
            at += STAND_IN_LEN;
        }
    }
    return to;
}

void html_parse(struct bump *bump, struct bytes text, struct html *ret)
{
    GumboOptions options = kGumboDefaultOptions;

    if (text.len == 0)
        text = BYTES(""); /* ptr may be NULL */
    text = put_stand_ins(bump, text, &ret->stand_ins);
    options.allocator = hook_allocate;
    options.deallocator = hook_deallocate;
    options.userdata = bump;
    options.max_errors = 0;
    /* Never destroyed: that would recurse, and the arena forgets it anyway. */
    const GumboOutput *output = gumbo_parse_with_options(&options, text.ptr, text.len);
    ret->document = output->document;
    ret->root = output->root;
    ret->text = text;
}

/* -- walking ----------------------------------------------------------------------------------- */

struct html_level {
    const GumboNode *node;
    const GumboVector *children; /* those that are to be given */
    unsigned next;
};

enum { WALK_LEVELS = 64 }; /* to begin with */

static void walk_into(struct html_walk *w, const GumboNode *node, const GumboVector *children)
{
    if (w->depth == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : WALK_LEVELS;
        struct html_level *grown = bump_alloc(w->bump, capacity * sizeof *grown);
        if (w->depth > 0)
            memcpy(grown, w->levels, w->depth * sizeof *grown);
        w->levels = grown;
        w->capacity = capacity;
    }
    w->levels[w->depth++] = (struct html_level){node, children, 0};
}

void html_walk(struct html_walk *w, struct bump *bump, const GumboNode *document,
               bool into_templates)
{
    *w = (struct html_walk){.bump = bump, .into_templates = into_templates};
    walk_into(w, document, &document->v.document.children);
}

void html_walk_element(struct html_walk *w, struct bump *bump, const GumboNode *element)
{
    *w = (struct html_walk){.bump = bump};
    walk_into(w, element, &element->v.element.children);
}

enum html_event html_step(struct html_walk *w, const GumboNode **ret)
{
    static const GumboVector nothing;

    for (;;) {
        struct html_level *level = &w->levels[w->depth - 1];

        if (level->next == level->children->length) {
            if (w->depth == 1)
                return HTML_END;
            w->depth--;
            *ret = level->node;
            return HTML_LEAVE;
        }
        const GumboNode *node = level->children->data[level->next++];
        switch (node->type) {
        case GUMBO_NODE_ELEMENT:
        case GUMBO_NODE_TEMPLATE:
            walk_into(w, node,
                      node->type == GUMBO_NODE_ELEMENT || w->into_templates
                          ? &node->v.element.children
                          : &nothing);
            *ret = node;
            return HTML_ENTER;
        case GUMBO_NODE_TEXT:
        case GUMBO_NODE_WHITESPACE:
        case GUMBO_NODE_CDATA:
            *ret = node;
            return HTML_TEXT;
        case GUMBO_NODE_COMMENT:
        case GUMBO_NODE_DOCUMENT:
            break;
        }
    }
}

void html_skip(struct html_walk *w)
{
    struct html_level *level = &w->levels[w->depth - 1];

    level->next = level->children->length;
}

const GumboNode *html_next(struct html_walk *w)
{
    const GumboNode *node;
    enum html_event event;

    while ((event = html_step(w, &node)) != HTML_END)
        if (event == HTML_ENTER)
            return node;
    return NULL;
}

/* -- texts ------------------------------------------------------------------------------------- */

/* Takes an element that is entered into account; false: what is in it is no text of the page. */
static bool collapse_element(struct collapse *c, const GumboElement *element)
{
    if (element->tag == GUMBO_TAG_BR)
        collapse_append(c, BYTES("\n"));
    return element->tag != GUMBO_TAG_SCRIPT && element->tag != GUMBO_TAG_STYLE;
}

struct bytes html_collapsed_text(struct bump *bump, const struct html *html,
                                 const GumboNode *element, size_t most, bool *ret_cut)
{
    struct collapse c = {.text = bump_alloc(bump, most), .most = most};
    size_t mark = bump_mark(bump);
    struct html_walk walk;
    const GumboNode *node;

    html_walk_element(&walk, bump, element);
    for (enum html_event event; !c.full && (event = html_step(&walk, &node)) != HTML_END;) {
        if (event == HTML_TEXT)
            collapse_append(&c, bytes_cstr(node->v.text.text));
        else if (event == HTML_ENTER && !collapse_element(&c, &node->v.element))
            html_skip(&walk);
    }
    bump_rewind(bump, mark); /* so that the text is the latest allocation again */

    size_t len = html_restore(html, c.text, c.len);
    if (c.full)
        len = collapse_cut(c.text, len);
    bump_resize_last(bump, c.text, most, len);
    *ret_cut = c.full;
    return bytes_of(c.text, len);
}
