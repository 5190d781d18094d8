#include "parsers/base_url.h"

#include "parsers/bump.h"
#include "parsers/element.h"

void base_url(struct bump *bump, const struct html *html, const struct url *page,
              const struct GumboInternalNode *base, struct base_url *ret)
{
    ret->url = page;
    if (!base)
        return;
    const size_t mark = bump_mark(bump);
    size_t len = url_resolve(page, element_attribute(bump, html, base, "href"), ret->text);

    if (len > 0 && url_split(bytes_of(ret->text, len), &ret->own))
        ret->url = &ret->own; /* else it counts as not there */
    bump_rewind(bump, mark);
}
