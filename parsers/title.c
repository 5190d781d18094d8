#include "parsers/title.h"

#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/html.h"

#include <gumbo.h>

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

static void title_text(struct bump *bump, const struct html *html, const GumboElement *title,
                       struct title *ret)
{
    struct collapse c = {.text = bump_alloc(bump, TITLE_MAX)};

    for (unsigned i = 0; i < title->children.length; i++) {
        const GumboNode *child = title->children.data[i];
        /* RCDATA holds text only, but a text without a character other than spaces is a type. */
        if (child->type == GUMBO_NODE_TEXT || child->type == GUMBO_NODE_WHITESPACE)
            collapse_append(&c, child->v.text.text);
    }
    size_t len = html_restore(html, c.text, c.len);
    if (c.full)
        len = after_cut(c.text, len);
    bump_resize_last(bump, c.text, TITLE_MAX, len);
    *ret = (struct title){.found = true, .truncated = c.full, .text = bytes_of(c.text, len)};
}

static bool is_html(const GumboNode *node, GumboTag tag)
{
    return node->type == GUMBO_NODE_ELEMENT && node->v.element.tag == tag &&
           node->v.element.tag_namespace == GUMBO_NAMESPACE_HTML;
}

/* Whether a table is among what the walk has not come to. */
static bool meets_table(struct html_walk *walk)
{
    const GumboNode *node;

    while ((node = html_next(walk)))
        if (is_html(node, GUMBO_TAG_TABLE))
            return true;
    return false;
}

/* By title.h; `table` says that one stands in front of the title, the walk stands at the title. */
static enum title_certain how_certain(const struct html *html, const GumboNode *title, bool table,
                                      struct html_walk *walk)
{
    const GumboNode *parent = title->parent;

    if (!parent || parent->parent != html->root || title->v.element.original_end_tag.length == 0)
        return TITLE_UNCERTAIN;
    if (is_html(parent, GUMBO_TAG_HEAD))
        return TITLE_CERTAIN;
    if (!is_html(parent, GUMBO_TAG_BODY) || table || meets_table(walk))
        return TITLE_UNCERTAIN;
    return parent->parse_flags & GUMBO_INSERTION_IMPLIED ? TITLE_UNLESS_FRAMESET : TITLE_CERTAIN;
}

void title_of(struct bump *bump, const struct html *html, struct title *ret)
{
    struct html_walk walk;
    const GumboNode *node;
    bool table = false;

    *ret = (struct title){.found = false};
    html_walk(&walk, bump, html->document, false);
    while ((node = html_next(&walk)) && !is_html(node, GUMBO_TAG_TITLE))
        table = table || is_html(node, GUMBO_TAG_TABLE);
    if (!node)
        return;
    title_text(bump, html, &node->v.element, ret);
    ret->certain = how_certain(html, node, table, &walk);
}

void title_find(struct bump *bump, struct bytes text, struct title *ret)
{
    struct html html;

    html_parse(bump, text, &html);
    title_of(bump, &html, ret);
}
