#include "parsers/late_meta.h"

#include "parsers/html.h"
#include "parsers/meta.h"

#include <gumbo.h>
#include <limits.h>

static struct bytes value(const GumboElement *element, const char *name)
{
    const GumboAttribute *found = gumbo_get_attribute(&element->attributes, name);

    return bytes_cstr(found ? found->value : NULL);
}

static enum charset first_in(struct bump *bump, const GumboNode *document)
{
    enum charset first = CHARSET_NONE;
    unsigned first_at = UINT_MAX;
    struct html_walk walk;

    html_walk(&walk, bump, document, true);
    for (const GumboNode *node; (node = html_next(&walk));) {
        const GumboElement *element = &node->v.element;

        /* Foster parenting takes some out of the order of the source. */
        if (element->tag != GUMBO_TAG_META || element->tag_namespace != GUMBO_NAMESPACE_HTML ||
            element->start_pos.offset >= first_at)
            continue;
        enum charset charset = meta_charset(&(struct meta_attributes){
            value(element, "charset"), value(element, "http-equiv"), value(element, "content")});
        if (charset != CHARSET_NONE) {
            first = charset;
            first_at = element->start_pos.offset;
        }
    }
    return first;
}

/* The frameset that stands where else the body would, or NULL. */
static const GumboElement *frameset_of(const GumboNode *root)
{
    const GumboVector *children = &root->v.element.children;

    for (unsigned i = 0; i < children->length; i++) {
        const GumboNode *child = children->data[i];
        if (child->type == GUMBO_NODE_ELEMENT && child->v.element.tag == GUMBO_TAG_FRAMESET)
            return &child->v.element;
    }
    return NULL;
}

enum charset late_meta(struct bump *bump, const struct html *html)
{
    const GumboElement *frameset = frameset_of(html->root);
    struct html before;

    if (!frameset)
        return first_in(bump, html->document);
    /* A body that it took the place of is lost with its elements; behind it there are none. */
    size_t len = (size_t)(frameset->original_tag.data - html->text.ptr);
    html_parse(bump, bytes_of(html->text.ptr, len), &before);
    return first_in(bump, before.document);
}
