#include "parsers/body_fields.h"

#include "core/base/hash.h"
#include "core/base/json_text.h"
#include "parsers/base_url.h"
#include "parsers/bump.h"
#include "parsers/element.h"
#include "parsers/html.h"
#include "parsers/text.h"

/* -- headings ---------------------------------------------------------------------------------- */

static void put_headings(struct bump *bump, const struct html *html, struct field_writer *out)
{
    struct html_walk walk;
    const GumboNode *node;

    html_walk(&walk, bump, html->document, false);
    while ((node = html_next(&walk))) {
        if (!element_is(node, GUMBO_TAG_H1))
            continue;
        bool cut;
        struct bytes text = html_collapsed_text(bump, html, node, field_most(FIELD_H1), &cut);
        out->truncated = out->truncated || cut;
        if (text.len > 0 && !fields_put(out, FIELD_H1, BYTES(""), text))
            return;
    }
}

/* -- links ------------------------------------------------------------------------------------- */

/* URLs that were written already: a hash table with linear probing. */
struct seen {
    struct bytes *slots;
    size_t size, count; /* a power of two, less than three quarters of it */
};

static void seen_resize(struct bump *bump, struct seen *seen, size_t size)
{
    const struct seen old = *seen;

    seen->slots = bump_alloc(bump, size * sizeof *seen->slots);
    memset(seen->slots, 0, size * sizeof *seen->slots);
    seen->size = size;
    for (size_t i = 0; i < old.size; i++) {
        if (!old.slots[i].ptr)
            continue;
        size_t at = hash_keyed(old.slots[i].ptr, old.slots[i].len) & (size - 1);
        while (seen->slots[at].ptr)
            at = (at + 1) & (size - 1);
        seen->slots[at] = old.slots[i];
    }
}

/* Where the URL is, or is to be put: a slot without a pointer then. */
static struct bytes *seen_slot(struct bump *bump, struct seen *seen, struct bytes url)
{
    if (4 * (seen->count + 1) > 3 * seen->size)
        seen_resize(bump, seen, seen->size > 0 ? 2 * seen->size : 256);
    size_t at = hash_keyed(url.ptr, url.len) & (seen->size - 1);
    while (seen->slots[at].ptr && !bytes_equal(seen->slots[at], url))
        at = (at + 1) & (seen->size - 1);
    return &seen->slots[at];
}

static const GumboNode *first_base(struct bump *bump, const struct html *html)
{
    struct html_walk walk;
    const GumboNode *node;

    html_walk(&walk, bump, html->document, false);
    while ((node = html_next(&walk)))
        if (element_is(node, GUMBO_TAG_BASE) &&
            gumbo_get_attribute(&node->v.element.attributes, "href"))
            break;
    return node;
}

/* The place of the page itself, "#there", is no link to anywhere else. */
static bool leads_within(struct bytes href)
{
    href = bytes_trim(href);
    return href.len > 0 && href.ptr[0] == '#';
}

/* False when there is no room for more. */
static bool put_url(struct bump *bump, struct seen *seen, struct bytes url,
                    struct field_writer *out)
{
    struct bytes *slot = seen_slot(bump, seen, url);

    if (slot->ptr)
        return true;
    if (!fields_put(out, FIELD_LINKS, BYTES(""), url))
        return false;
    struct bytes written = fields_written(out);
    *slot = bytes_of(written.ptr + written.len - url.len, url.len);
    seen->count++;
    return true;
}

static void put_links(struct bump *bump, const struct html *html, const struct url *page,
                      struct field_writer *out)
{
    struct base_url *base = bump_alloc(bump, sizeof *base);
    char *url = bump_alloc(bump, URL_MAX);
    struct seen seen = {0};
    struct html_walk walk;
    const GumboNode *node;

    base_url(bump, html, page, first_base(bump, html), base);
    html_walk(&walk, bump, html->document, false);
    while ((node = html_next(&walk))) {
        if (!element_is(node, GUMBO_TAG_A) && !element_is(node, GUMBO_TAG_AREA))
            continue;
        const size_t mark = bump_mark(bump);
        struct bytes href = element_attribute(bump, html, node, "href");
        size_t len = href.ptr && !leads_within(href) ? url_resolve(base->url, href, url) : 0;
        bump_rewind(bump, mark);
        if (len > 0 && !put_url(bump, &seen, bytes_of(url, len), out))
            return;
    }
}

/* -- text -------------------------------------------------------------------------------------- */

static void put_text(struct bump *bump, const struct html *html, struct field_writer *out)
{
    size_t most = field_most(FIELD_TEXT_OF_PAGE);
    char *text = bump_alloc(bump, most);
    bool cut;
    size_t len = text_of(bump, html, text, most, &cut);

    out->truncated = out->truncated || cut;
    if (len > 0)
        fields_put(out, FIELD_TEXT_OF_PAGE, BYTES(""), bytes_of(text, len));
}

/* -- structured data --------------------------------------------------------------------------- */

static bool is_json_ld(const GumboNode *node)
{
    if (!element_is(node, GUMBO_TAG_SCRIPT))
        return false;
    const GumboAttribute *type = gumbo_get_attribute(&node->v.element.attributes, "type");
    struct bytes rest = bytes_cstr(type ? type->value : "");
    return bytes_equal_nocase(bytes_trim(bytes_split(&rest, ';')), BYTES("application/ld+json"));
}

/* The text of a script, which is its only child. */
static struct bytes script_text(struct bump *bump, const struct html *html, const GumboNode *script)
{
    const GumboVector *children = &script->v.element.children;
    const GumboNode *child = children->length > 0 ? children->data[0] : NULL;

    if (!child || child->type != GUMBO_NODE_TEXT)
        return bytes_of(NULL, 0);
    struct bytes raw = bytes_cstr(child->v.text.text);
    char *text = memcpy(bump_alloc(bump, raw.len), raw.ptr, raw.len);
    return bytes_of(text, html_restore(html, text, raw.len));
}

/* Cuts `mark` and white space behind it off the front, if it stands there. */
static bool cut_front(struct bytes *text, struct bytes mark)
{
    if (text->len < mark.len || memcmp(text->ptr, mark.ptr, mark.len) != 0)
        return false;
    *text = bytes_trim(bytes_of(text->ptr + mark.len, text->len - mark.len));
    return true;
}

/* The same at the back. */
static bool cut_back(struct bytes *text, struct bytes mark)
{
    if (text->len < mark.len || memcmp(text->ptr + text->len - mark.len, mark.ptr, mark.len) != 0)
        return false;
    *text = bytes_trim(bytes_of(text->ptr, text->len - mark.len));
    return true;
}

/*
 * Without a CDATA section or a comment of markup around it, for which a script's markers may stand
 * in comments of JavaScript: XHTML wants the one, oldest browsers the other, and HTML knows neither
 * within a script. No JSON begins or ends so.
 */
static struct bytes unwrapped(struct bytes script)
{
    struct bytes text = bytes_trim(script), rest = text;

    if (!cut_front(&rest, BYTES("//")))
        cut_front(&rest, BYTES("/*"));
    if (cut_front(&rest, BYTES("<![CDATA[")) || cut_front(&rest, BYTES("<!--"))) {
        cut_front(&rest, BYTES("*/"));
        text = rest;
    }
    rest = text;
    cut_back(&rest, BYTES("*/"));
    if (cut_back(&rest, BYTES("]]>")) || cut_back(&rest, BYTES("-->"))) {
        if (!cut_back(&rest, BYTES("//")))
            cut_back(&rest, BYTES("/*"));
        text = rest;
    }
    return text;
}

static void put_json_ld(struct bump *bump, const struct html *html, struct field_writer *out)
{
    struct html_walk walk;
    const GumboNode *node;

    html_walk(&walk, bump, html->document, false);
    while ((node = html_next(&walk))) {
        if (!is_json_ld(node))
            continue;
        struct bytes text = unwrapped(script_text(bump, html, node));
        if (text.len == 0)
            continue;
        char *compact = bump_alloc(bump, text.len);
        size_t len = json_text_compact(text, compact);
        if (len > 0)
            fields_put(out, FIELD_JSON_LD, BYTES(""), bytes_of(compact, len));
    }
}

/* -- together ---------------------------------------------------------------------------------- */

void body_fields(struct bump *bump, const struct html *html, field_set asked,
                 const struct url *page, struct field_writer *ret)
{
    const size_t mark = bump_mark(bump);

    if (asked & FIELD_BIT(FIELD_H1))
        put_headings(bump, html, ret);
    if (asked & FIELD_BIT(FIELD_LINKS))
        put_links(bump, html, page, ret);
    if (asked & FIELD_BIT(FIELD_TEXT_OF_PAGE))
        put_text(bump, html, ret);
    if (asked & FIELD_BIT(FIELD_JSON_LD))
        put_json_ld(bump, html, ret);
    bump_rewind(bump, mark);
}
