#include "parsers/meta_hint.h"

#include "parsers/meta.h"
#include "parsers/tag.h"

static const struct bytes open_meta = {"<meta", 5};

enum { BYTES_TO_SPARE = 64 << 10 };

enum meta_hint meta_hint_next(struct meta_search *search, struct bytes html, bool whole,
                              size_t *ret_end)
{
    for (size_t at; (at = tag_find(html, search->at, open_meta)) != SIZE_MAX;) {
        struct tag_scan scan = {html.ptr + at + open_meta.len, html.ptr + html.len};
        struct meta_attributes attributes = {0};
        bool plain, closed = true; /* another element, or one without attributes */

        if (search->spent > 4 * (uint64_t)html.len + BYTES_TO_SPARE)
            return META_HINT_LOST;
        if (scan.p == scan.end || ascii_is_space(*scan.p) || *scan.p == '/')
            closed = meta_read_tag(&scan, &attributes);
        search->spent += (size_t)(scan.p - html.ptr) - at;

        search->at = at;
        if (!closed && !whole)
            return META_HINT_NONE; /* again, with more */
        search->at += open_meta.len;
        if (closed && meta_may_declare(&attributes, &plain)) {
            *ret_end = (size_t)(scan.p - html.ptr) + 1;
            return META_HINT_TAG;
        }
    }
    if (search->at + open_meta.len <= html.len)
        search->at = html.len - open_meta.len + 1;
    return META_HINT_NONE;
}
