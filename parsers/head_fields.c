#include "parsers/head_fields.h"

#include "parsers/base_url.h"
#include "parsers/bump.h"
#include "parsers/content_type.h"
#include "parsers/element.h"
#include "parsers/html.h"

#include <limits.h>

/* The meta, link and base elements that count, in tree order. */
struct metadata {
    const GumboNode **elements;
    size_t count, capacity;
};

/* What the fields are written from. */
struct head {
    struct bump *bump;
    const struct html *html;
    struct metadata metadata;
    struct base_url base;
    struct field_writer *out;
};

/* -- the elements ------------------------------------------------------------------------------ */

/* The body by a tag of its own, or NULL. */
static const GumboNode *own_body(const struct html *html)
{
    const GumboVector *children = &html->root->v.element.children;

    for (unsigned i = 0; i < children->length; i++) {
        const GumboNode *child = children->data[i];
        if (element_is(child, GUMBO_TAG_BODY))
            return child->parse_flags & GUMBO_INSERTION_IMPLIED ? NULL : child;
    }
    return NULL;
}

bool head_is_complete(const struct html *html)
{
    return own_body(html);
}

/* The walk allocates in between, so the array is not what was allocated last. */
static void add(struct bump *bump, struct metadata *m, const GumboNode *element)
{
    if (m->count == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 64;
        const GumboNode **grown = bump_alloc(bump, capacity * sizeof *grown);
        if (m->count > 0)
            memcpy(grown, m->elements, m->count * sizeof *grown);
        m->elements = grown;
        m->capacity = capacity;
    }
    m->elements[m->count++] = element;
}

static void collect(struct bump *bump, const struct html *html, struct metadata *ret)
{
    const GumboNode *end = own_body(html), *node;
    struct html_walk walk;

    *ret = (struct metadata){0};
    html_walk(&walk, bump, html->document, false);
    while ((node = html_next(&walk)) && node != end)
        if (element_is(node, GUMBO_TAG_META) || element_is(node, GUMBO_TAG_LINK) ||
            element_is(node, GUMBO_TAG_BASE))
            add(bump, ret, node);
}

/* The next of them, from *at on; NULL without one. */
static const GumboNode *next(const struct metadata *m, GumboTag tag, size_t *at)
{
    while (*at < m->count) {
        const GumboNode *element = m->elements[(*at)++];
        if (element_is(element, tag))
            return element;
    }
    return NULL;
}

static const GumboNode *first_base(const struct metadata *m)
{
    const GumboNode *base;
    size_t at = 0;

    while ((base = next(m, GUMBO_TAG_BASE, &at)))
        if (gumbo_get_attribute(&base->v.element.attributes, "href"))
            return base;
    return NULL;
}

/* -- meta elements ----------------------------------------------------------------------------- */

static struct bytes plain(const GumboNode *element, const char *name)
{
    const GumboAttribute *found = gumbo_get_attribute(&element->v.element.attributes, name);

    return bytes_trim(bytes_cstr(found ? found->value : ""));
}

/* The next meta element of that name which has a content that is not empty: that, or NULL. */
static struct bytes next_content(struct head *h, struct bytes name, size_t *at)
{
    const GumboNode *meta;

    while ((meta = next(&h->metadata, GUMBO_TAG_META, at))) {
        if (!bytes_equal_nocase(plain(meta, "name"), name))
            continue;
        struct bytes content = element_words(h->bump, h->html, meta, "content");
        if (content.len > 0)
            return content;
    }
    return bytes_of(NULL, 0);
}

static void put_description(struct head *h)
{
    size_t at = 0;
    struct bytes content = next_content(h, BYTES("description"), &at);

    if (content.len > 0)
        fields_put(h->out, FIELD_DESCRIPTION, BYTES(""), content);
}

/* The contents of all of them, joined by ", ". */
static void put_robots(struct head *h)
{
    enum { MOST = 4 << 10 }; /* more than the field can have */
    char *text = bump_alloc(h->bump, MOST);
    size_t len = 0, at = 0;
    struct bytes content;

    while ((content = next_content(h, BYTES("robots"), &at)).len > 0) {
        if (content.len + 2 > MOST - len)
            content.len = MOST - len > 2 ? MOST - len - 2 : 0;
        if (len > 0 && content.len > 0) {
            text[len++] = ',';
            text[len++] = ' ';
        }
        memcpy(text + len, content.ptr, content.len);
        len += content.len;
    }
    if (len > 0)
        fields_put(h->out, FIELD_ROBOTS_META, BYTES(""), bytes_of(text, len));
}

struct pair {
    struct bytes key, value; /* a value without a pointer: it is written */
};

/* What follows the prefix in a word, as a key; empty when that is none. */
static struct bytes key_in(struct head *h, struct bytes word, struct bytes prefix)
{
    if (word.len <= prefix.len || word.len - prefix.len > FIELD_KEY_MAX ||
        !bytes_equal_nocase(bytes_of(word.ptr, prefix.len), prefix))
        return bytes_of(NULL, 0);

    struct bytes from = bytes_of(word.ptr + prefix.len, word.len - prefix.len);
    char *key = bump_alloc(h->bump, from.len);
    for (size_t i = 0; i < from.len; i++) {
        if (from.ptr[i] <= ' ' || from.ptr[i] >= 0x7f)
            return bytes_of(NULL, 0);
        key[i] = from.ptr[i];
        if (key[i] >= 'A' && key[i] <= 'Z')
            key[i] = (char)(key[i] | 0x20);
    }
    return bytes_of(key, from.len);
}

/* Takes words off `names` up to one with a key, and returns that; empty: there is none. */
static struct bytes next_key(struct head *h, struct bytes *names, struct bytes prefix)
{
    struct bytes key = {NULL, 0};

    while (names->len > 0 && key.len == 0)
        key = key_in(h, element_next_word(names), prefix);
    return key;
}

/* Those of one key together, at the place of the first. */
static void put_grouped(struct head *h, enum field field, struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct bytes key = pairs[i].key;
        for (size_t j = i; j < count; j++) {
            if (!pairs[j].value.ptr || !bytes_equal(pairs[j].key, key))
                continue;
            fields_put(h->out, field, key, pairs[j].value);
            pairs[j].value.ptr = NULL;
        }
    }
}

struct pairs {
    struct pair *items; /* PAIRS_MOST */
    size_t count;
};

enum { PAIRS_MOST = 256 };

/* Adds a pair for each key in the attribute, a list of words (RDFa Core 1.1, section 5). False:
 * there is none. */
static bool add_pairs(struct head *h, const GumboNode *meta, const char *attribute,
                      struct bytes prefix, struct pairs *ret)
{
    struct bytes names = plain(meta, attribute), key = next_key(h, &names, prefix);

    if (key.len == 0)
        return false;
    struct bytes value = element_words(h->bump, h->html, meta, "content");
    for (; value.ptr && key.len > 0; key = next_key(h, &names, prefix)) {
        if (ret->count == PAIRS_MOST) {
            h->out->truncated = true;
            break;
        }
        ret->items[ret->count++] = (struct pair){key, value};
    }
    return true;
}

static void put_pairs(struct head *h, enum field field, struct bytes prefix)
{
    struct pairs pairs = {.items = bump_alloc(h->bump, PAIRS_MOST * sizeof *pairs.items)};
    const GumboNode *meta;
    size_t at = 0;

    while ((meta = next(&h->metadata, GUMBO_TAG_META, &at)))
        if (!add_pairs(h, meta, "property", prefix, &pairs))
            add_pairs(h, meta, "name", prefix, &pairs);
    put_grouped(h, field, pairs.items, pairs.count);
}

/* -- link elements ----------------------------------------------------------------------------- */

/* Where the link leads, in the arena; empty where that is no URL of http or https. */
static struct bytes target_of(struct head *h, const GumboNode *link)
{
    struct bytes href = element_attribute(h->bump, h->html, link, "href");

    if (bytes_trim(href).len == 0)
        return bytes_of(NULL, 0);
    char *url = bump_alloc(h->bump, URL_MAX);
    size_t len = url_resolve(h->base.url, href, url);
    bump_resize_last(h->bump, url, URL_MAX, len);
    return bytes_of(url, len);
}

static void put_link(struct head *h, enum field field, struct bytes relation)
{
    const GumboNode *link;
    size_t at = 0;

    while ((link = next(&h->metadata, GUMBO_TAG_LINK, &at))) {
        if (!element_has_word(link, "rel", relation))
            continue;
        struct bytes url = target_of(h, link);
        if (url.len > 0) {
            fields_put(h->out, field, BYTES(""), url);
            return;
        }
    }
}

/* The media type of a feed, as it is written officially; empty for others. */
static struct bytes feed_type(const GumboNode *link)
{
    static const struct bytes types[] = {
        {"application/rss+xml", 19},
        {"application/atom+xml", 20},
        {"application/feed+json", 21},
    };
    struct bytes type = plain(link, "type");
    struct bytes essence = bytes_trim(bytes_split(&type, ';'));

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (bytes_equal_nocase(essence, types[i]))
            return types[i];
    return bytes_of(NULL, 0);
}

static void put_feeds(struct head *h)
{
    const GumboNode *link;
    size_t at = 0;

    while ((link = next(&h->metadata, GUMBO_TAG_LINK, &at))) {
        struct bytes type = feed_type(link);
        if (type.len == 0 || !element_has_word(link, "rel", BYTES("alternate")))
            continue;
        struct bytes url = target_of(h, link);
        if (url.len == 0)
            continue;
        if (!fields_put(h->out, FIELD_FEEDS, BYTES("url"), url))
            return;
        struct bytes title = element_words(h->bump, h->html, link, "title");
        fields_put(h->out, FIELD_FEEDS, BYTES("type"), type);
        if (title.len > 0)
            fields_put(h->out, FIELD_FEEDS, BYTES("title"), title);
    }
}

/* -- the html element -------------------------------------------------------------------------- */

static void put_language(struct head *h)
{
    const GumboNode *root = h->html->root, *body = own_body(h->html);
    const GumboAttribute *lang = gumbo_get_attribute(&root->v.element.attributes, "lang");
    unsigned end = body ? body->v.element.start_pos.offset : UINT_MAX;

    if (!lang || lang->name_start.offset >= end)
        return;
    struct bytes text = element_words(h->bump, h->html, root, "lang");
    if (text.len > 0)
        fields_put(h->out, FIELD_LANG, BYTES(""), text);
}

/* -- together ---------------------------------------------------------------------------------- */

void head_fields(struct bump *bump, const struct html *html, field_set asked,
                 const struct url *page, struct field_writer *ret)
{
    const size_t mark = bump_mark(bump);
    struct head h = {.bump = bump, .html = html, .out = ret};

    collect(bump, html, &h.metadata);
    base_url(bump, html, page, first_base(&h.metadata), &h.base);
    if (asked & FIELD_BIT(FIELD_DESCRIPTION))
        put_description(&h);
    if (asked & FIELD_BIT(FIELD_CANONICAL))
        put_link(&h, FIELD_CANONICAL, BYTES("canonical"));
    if (asked & FIELD_BIT(FIELD_LANG))
        put_language(&h);
    if (asked & FIELD_BIT(FIELD_OG))
        put_pairs(&h, FIELD_OG, BYTES("og:"));
    if (asked & FIELD_BIT(FIELD_TWITTER))
        put_pairs(&h, FIELD_TWITTER, BYTES("twitter:"));
    if (asked & FIELD_BIT(FIELD_ICON))
        put_link(&h, FIELD_ICON, BYTES("icon"));
    if (asked & FIELD_BIT(FIELD_FEEDS))
        put_feeds(&h);
    if (asked & FIELD_BIT(FIELD_ROBOTS_META))
        put_robots(&h);
    bump_rewind(bump, mark);
}
