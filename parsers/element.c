#include "parsers/element.h"

#include "parsers/bump.h"
#include "parsers/collapse.h"
#include "parsers/html.h"

bool element_is(const GumboNode *node, GumboTag tag)
{
    return node->type == GUMBO_NODE_ELEMENT && node->v.element.tag == tag &&
           node->v.element.tag_namespace == GUMBO_NAMESPACE_HTML;
}

static struct bytes raw_attribute(const GumboNode *element, const char *name)
{
    const GumboAttribute *found = gumbo_get_attribute(&element->v.element.attributes, name);

    return bytes_cstr(found ? found->value : NULL);
}

/* A copy that may be changed; NULL for NULL. */
static char *copy_of(struct bump *bump, struct bytes text)
{
    return text.ptr ? memcpy(bump_alloc(bump, text.len), text.ptr, text.len) : NULL;
}

struct bytes element_attribute(struct bump *bump, const struct html *html, const GumboNode *element,
                               const char *name)
{
    struct bytes raw = raw_attribute(element, name);
    char *text = copy_of(bump, raw);

    return bytes_of(text, html_restore(html, text, raw.len));
}

struct bytes element_words(struct bump *bump, const struct html *html, const GumboNode *element,
                           const char *name)
{
    struct bytes raw = raw_attribute(element, name);

    if (!raw.ptr)
        return raw;
    struct collapse c = {.text = bump_alloc(bump, raw.len), .most = raw.len};
    collapse_append(&c, raw);
    bump_resize_last(bump, c.text, raw.len, c.len);
    return bytes_of(c.text, html_restore(html, c.text, c.len));
}

struct bytes element_next_word(struct bytes *words)
{
    size_t start = 0, end;

    while (start < words->len && ascii_is_space(words->ptr[start]))
        start++;
    for (end = start; end < words->len && !ascii_is_space(words->ptr[end]);)
        end++;
    struct bytes word = bytes_of(words->ptr + start, end - start);
    *words = bytes_of(words->ptr + end, words->len - end);
    return word;
}

bool element_has_word(const GumboNode *element, const char *name, struct bytes word)
{
    struct bytes rest = raw_attribute(element, name);

    while (rest.len > 0)
        if (bytes_equal_nocase(element_next_word(&rest), word))
            return true;
    return false;
}
