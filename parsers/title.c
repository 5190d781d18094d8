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

/* A child of the head element, closed by an end tag; see title.h. */
static bool is_certain(const struct html *html, const GumboNode *title)
{
    const GumboNode *head = title->parent;

    return head && is_html(head, GUMBO_TAG_HEAD) && head->parent == html->root &&
           title->v.element.original_end_tag.length > 0;
}

void title_of(struct bump *bump, const struct html *html, struct title *ret)
{
    struct html_walk walk;
    const GumboNode *node;

    html_walk(&walk, bump, html->document, false);
    do
        node = html_next(&walk);
    while (node && !is_html(node, GUMBO_TAG_TITLE));

    *ret = (struct title){.found = false};
    if (node) {
        title_text(bump, html, &node->v.element, ret);
        ret->certain = is_certain(html, node);
    }
}

void title_find(struct bump *bump, struct bytes text, struct title *ret)
{
    struct html html;

    html_parse(bump, text, &html);
    title_of(bump, &html, ret);
}
