#include "parsers/title.h"

#include "parsers/element.h"
#include "parsers/html.h"

/* Whether a table is among what the walk has not come to. */
static bool meets_table(struct html_walk *walk)
{
    const GumboNode *node;

    while ((node = html_next(walk)))
        if (element_is(node, GUMBO_TAG_TABLE))
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
    if (element_is(parent, GUMBO_TAG_HEAD))
        return TITLE_CERTAIN;
    if (!element_is(parent, GUMBO_TAG_BODY) || table || meets_table(walk))
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
    while ((node = html_next(&walk)) && !element_is(node, GUMBO_TAG_TITLE))
        table = table || element_is(node, GUMBO_TAG_TABLE);
    if (!node)
        return;
    ret->found = true;
    ret->text = html_collapsed_text(bump, html, node, TITLE_MAX, &ret->truncated);
    ret->certain = how_certain(html, node, table, &walk);
}

void title_find(struct bump *bump, struct bytes text, struct title *ret)
{
    struct html html;

    html_parse(bump, text, &html);
    title_of(bump, &html, ret);
}
