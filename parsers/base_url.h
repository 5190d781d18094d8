/*
 * What the relative URLs of a page are relative to: HTML standard, "document base URL".
 */
#ifndef SKIMD_PARSERS_BASE_URL_H
#define SKIMD_PARSERS_BASE_URL_H

#include "parsers/url.h"

struct GumboInternalNode; /* GumboNode */
struct bump;
struct html;

struct base_url {
    const struct url *url; /* NULL: only absolute URLs can be resolved */
    struct url own;
    char text[URL_MAX];
};

/*
 * Of a page from `page` (NULL: not known) whose first base element with an href is `base` (NULL:
 * none). Allocates from `bump`. `ret` must not move.
 */
void base_url(struct bump *bump, const struct html *html, const struct url *page,
              const struct GumboInternalNode *base, struct base_url *ret);

#endif
