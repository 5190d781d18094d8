#include "parsers/late_meta.h"

#include "parsers/html.h"

#include <gumbo.h>
#include <limits.h>

static const char charset_word[] = "charset";
enum { CHARSET_WORD_LEN = sizeof charset_word - 1 };

static struct bytes skip_spaces(struct bytes b)
{
    while (b.len > 0 && ascii_is_space(b.ptr[0]))
        b = bytes_of(b.ptr + 1, b.len - 1);
    return b;
}

/* What stands at the start of `b`, behind "charset=": quoted, or up to a space or a semicolon. */
static struct bytes label_at(struct bytes b)
{
    size_t len = 0;

    if (b.len > 0 && (b.ptr[0] == '"' || b.ptr[0] == '\'')) {
        const char *end = memchr(b.ptr + 1, b.ptr[0], b.len - 1);
        return end ? bytes_of(b.ptr + 1, (size_t)(end - b.ptr - 1)) : bytes_of(NULL, 0);
    }
    while (len < b.len && b.ptr[len] != ';' && !ascii_is_space(b.ptr[len]))
        len++;
    return bytes_of(b.ptr, len);
}

/* UTF-16 is a mistake in a page that could be read up to here. */
static enum charset inner_charset(struct bytes label)
{
    enum charset charset = charset_of_label(label);

    return charset == CHARSET_UTF_16LE || charset == CHARSET_UTF_16BE ? CHARSET_UTF_8 : charset;
}

static enum charset of_content(struct bytes content)
{
    while (content.len >= CHARSET_WORD_LEN) {
        if (strncasecmp(content.ptr, charset_word, CHARSET_WORD_LEN) != 0) {
            content = bytes_of(content.ptr + 1, content.len - 1);
            continue;
        }
        content =
            skip_spaces(bytes_of(content.ptr + CHARSET_WORD_LEN, content.len - CHARSET_WORD_LEN));
        if (content.len > 0 && content.ptr[0] == '=')
            return inner_charset(label_at(skip_spaces(bytes_of(content.ptr + 1, content.len - 1))));
    }
    return CHARSET_NONE;
}

static struct bytes attribute(const GumboElement *element, const char *name)
{
    const GumboAttribute *found = gumbo_get_attribute(&element->attributes, name);

    return bytes_cstr(found ? found->value : NULL);
}

static enum charset declared_by(const GumboElement *meta)
{
    enum charset charset = inner_charset(attribute(meta, "charset"));

    if (charset == CHARSET_NONE &&
        bytes_equal_nocase(attribute(meta, "http-equiv"), BYTES("content-type")))
        charset = of_content(attribute(meta, "content"));
    return charset;
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
        enum charset charset = declared_by(element);
        if (charset != CHARSET_NONE) {
            first = charset;
            first_at = element->start_pos.offset;
        }
    }
    return first;
}
