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

enum charset late_meta(struct bump *bump, const GumboNode *document)
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
