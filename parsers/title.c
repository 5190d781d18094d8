#include "parsers/title.h"

#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/charset.h"

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
 * character while gumbo looks, and is restored in the title:
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
 * In UTF-8 those are F4 8F 90..9C xx. NUL is left to gumbo, which treats it as the standard wants.
 */
enum { STAND_IN_LEN = 4, STAND_IN_REPLACEMENT = 0x2bd };

static unsigned digit_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10u : UINT_MAX;
}

/* Length of a numeric reference over U+10FFFF at p, which points to a '&'; 0 when it is none. */
static size_t too_high(const unsigned char *p, const unsigned char *end)
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
    if (value <= HIGHEST)
        return 0;
    return (size_t)(at - p) + (at < end && *at == ';');
}

/* Length of what has a stand-in at p, which is well-formed UTF-8; 0 when nothing there has. */
static size_t refused(const unsigned char *p, const unsigned char *end, unsigned *ret_index)
{
    if (p[0] == '&') {
        *ret_index = STAND_IN_REPLACEMENT;
        return too_high(p, end);
    }
    if (p[0] < 0x20 || p[0] == 0x7f) {
        *ret_index = p[0];
        return p[0] == '\0' || ascii_is_space((char)p[0]) ? 0 : 1;
    }
    if (p[0] == 0xc2) {
        *ret_index = p[1];
        return p[1] < 0xa0 ? 2 : 0;
    }
    if (p[0] == 0xef) {
        *ret_index = (p[1] == 0xb7 ? 0x100u : 0x200u) + p[2];
        return (p[1] == 0xb7 && p[2] >= 0x90 && p[2] <= 0xaf) || (p[1] == 0xbf && p[2] >= 0xbe) ? 3
                                                                                                : 0;
    }
    if (p[0] >= 0xf0 && (p[1] & 0x0f) == 0x0f && p[2] == 0xbf && p[3] >= 0xbe) {
        unsigned plane = (p[0] & 0x07u) << 2 | (p[1] & 0x30u) >> 4;
        *ret_index = 0x300u + 2 * plane + (p[3] & 1u);
        return 4;
    }
    return 0;
}

/* `html` with stand-ins, or as it is when it needs none; *ret_any says which. */
static struct bytes put_stand_ins(struct bump *bump, struct bytes html, bool *ret_any)
{
    const unsigned char *p = (const unsigned char *)html.ptr, *end = p + html.len, *copied = p;
    size_t count = 0;
    unsigned index;

    for (const unsigned char *at = p; at < end; at++)
        count += refused(at, end, &index) > 0;
    *ret_any = count > 0;
    if (count == 0)
        return html;

    char *text = bump_alloc(bump, html.len + count * STAND_IN_LEN), *to = text;
    while (p < end) {
        size_t len = refused(p, end, &index);
        if (len == 0) {
            p++;
            continue;
        }
        memcpy(to, copied, (size_t)(p - copied));
        to += p - copied;
        *to++ = (char)0xf4;
        *to++ = (char)0x8f;
        *to++ = (char)(0x90 | index >> 6);
        *to++ = (char)(0x80 | (index & 0x3f));
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

/* True for the indexes that refused() gives. A page may hold these private-use characters itself.
 */
static bool is_stand_in(unsigned index)
{
    if (index < 0x80)
        return index == 0x7f || (index > 0 && index < 0x20 && !ascii_is_space((char)index));
    return index <= 0x9f || (index >= 0x190 && index <= 0x1af) ||
           (index >= STAND_IN_REPLACEMENT && index <= 0x2bf) || (index >= 0x302 && index <= 0x321);
}

/* Restores, in place, what stand-ins stand for; returns the new length. */
static size_t take_stand_ins(char *text, size_t len)
{
    size_t to = 0;

    for (size_t at = 0; at < len;) {
        const unsigned char *p = (const unsigned char *)text + at;

        unsigned index = UINT_MAX;

        if (len - at >= STAND_IN_LEN && p[0] == 0xf4 && p[1] == 0x8f && (p[2] & 0xf0) == 0x90)
            index = (p[2] & 0x0fu) << 6 | (p[3] & 0x3fu);
        if (is_stand_in(index)) {
            to += stood_for(index, text + to);
            at += STAND_IN_LEN;
        } else {
            text[to++] = text[at++];
        }
    }
    return to;
}

/* The nodes above the one that is being looked at, with the next child of each. */
struct walk {
    struct bump *bump;
    struct walk_level {
        const GumboVector *children;
        unsigned next;
    } * levels;
    size_t depth, capacity;
};

enum { WALK_LEVELS = 64 }; /* to begin with */

static void walk_into(struct walk *w, const GumboVector *children)
{
    if (w->depth == w->capacity) {
        size_t capacity = w->capacity ? 2 * w->capacity : WALK_LEVELS;
        struct walk_level *grown = bump_alloc(w->bump, capacity * sizeof *grown);
        if (w->depth > 0)
            memcpy(grown, w->levels, w->depth * sizeof *grown);
        w->levels = grown;
        w->capacity = capacity;
    }
    w->levels[w->depth++] = (struct walk_level){children, 0};
}

/* The first title element of the HTML namespace in tree order, or NULL. */
static const GumboElement *first_title(struct bump *bump, const GumboNode *document)
{
    struct walk w = {.bump = bump};

    walk_into(&w, &document->v.document.children);
    while (w.depth > 0) {
        struct walk_level *level = &w.levels[w.depth - 1];

        if (level->next == level->children->length) {
            w.depth--;
            continue;
        }
        const GumboNode *node = level->children->data[level->next++];
        /* A template is a node type of its own and stays closed. */
        if (node->type != GUMBO_NODE_ELEMENT)
            continue;
        const GumboElement *element = &node->v.element;
        if (element->tag == GUMBO_TAG_TITLE && element->tag_namespace == GUMBO_NAMESPACE_HTML)
            return element;
        if (element->children.length > 0)
            walk_into(&w, &element->children);
    }
    return NULL;
}

/* Text with ASCII white space stripped at the ends and collapsed inside, of at most TITLE_MAX. */
struct collapse {
    char *text; /* TITLE_MAX bytes */
    size_t len;
    bool space; /* white space was seen since the last character */
    bool full;
};

static void collapse_append(struct collapse *c, const char *text)
{
    for (; *text && !c->full; text++) {
        if (ascii_is_space(*text)) {
            c->space = c->len > 0;
            continue;
        }
        if (c->len + c->space + 1 > TITLE_MAX) {
            c->full = true;
            return;
        }
        if (c->space)
            c->text[c->len++] = ' ';
        c->text[c->len++] = *text;
        c->space = false;
    }
}

/* Where text[0..len) was cut off, the length without half a character, or a space, at its end. */
static size_t after_cut(const char *text, size_t len)
{
    size_t lead = len;

    while (lead > 0 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
        lead--;
    if (lead > 0 && !utf8_valid(bytes_of(text + lead - 1, len - lead + 1)))
        len = lead - 1;
    return bytes_trim(bytes_of(text, len)).len;
}

static void title_text(struct bump *bump, const GumboElement *title, bool stand_ins,
                       struct title *ret)
{
    struct collapse c = {.text = bump_alloc(bump, TITLE_MAX)};

    for (unsigned i = 0; i < title->children.length; i++) {
        const GumboNode *child = title->children.data[i];
        /* RCDATA holds text only, but a text without a character other than spaces is a type. */
        if (child->type == GUMBO_NODE_TEXT || child->type == GUMBO_NODE_WHITESPACE)
            collapse_append(&c, child->v.text.text);
    }
    size_t len = c.full ? after_cut(c.text, c.len) : c.len;
    if (stand_ins)
        len = take_stand_ins(c.text, len);
    bump_resize_last(bump, c.text, TITLE_MAX, len);
    *ret = (struct title){.found = true, .truncated = c.full, .text = bytes_of(c.text, len)};
}

void title_find(struct bump *bump, struct bytes html, struct title *ret)
{
    GumboOptions options = kGumboDefaultOptions;
    bool stand_ins;

    if (html.len == 0)
        html = BYTES(""); /* ptr may be NULL */
    html = put_stand_ins(bump, html, &stand_ins);
    options.allocator = hook_allocate;
    options.deallocator = hook_deallocate;
    options.userdata = bump;
    options.max_errors = 0;

    /* Never destroyed: that would recurse, and the arena forgets it anyway. */
    const GumboOutput *output = gumbo_parse_with_options(&options, html.ptr, html.len);
    const GumboElement *title = first_title(bump, output->document);

    if (title)
        title_text(bump, title, stand_ins, ret);
    else
        *ret = (struct title){.found = false};
}
