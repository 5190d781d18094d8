#include "parsers/meta.h"

static struct bytes from(struct bytes text, size_t at)
{
    return bytes_of(text.ptr + at, text.len - at);
}

static struct bytes skip_space(struct bytes text)
{
    while (text.len > 0 && ascii_is_space(text.ptr[0]))
        text = from(text, 1);
    return text;
}

/* What stands behind the next "charset" and its equals sign; false without them. */
static bool find_value(struct bytes *content)
{
    static const struct bytes word = {"charset", 7};
    struct bytes rest = *content;

    while (rest.len >= word.len) {
        if (!bytes_equal_nocase(bytes_of(rest.ptr, word.len), word)) {
            rest = from(rest, 1);
            continue;
        }
        rest = skip_space(from(rest, word.len));
        if (rest.len > 0 && rest.ptr[0] == '=') {
            *content = skip_space(from(rest, 1));
            return true;
        }
    }
    return false;
}

struct bytes meta_content_label(struct bytes content)
{
    const struct bytes none = {0};
    size_t len = 0;

    if (!find_value(&content) || content.len == 0)
        return none;
    if (content.ptr[0] == '"' || content.ptr[0] == '\'') {
        const char *end = memchr(content.ptr + 1, content.ptr[0], content.len - 1);
        return end ? bytes_of(content.ptr + 1, (size_t)(end - content.ptr) - 1) : none;
    }
    while (len < content.len && content.ptr[len] != ';' && !ascii_is_space(content.ptr[len]))
        len++;
    return bytes_of(content.ptr, len);
}

enum charset meta_charset(const struct meta_attributes *a)
{
    enum charset charset = charset_of_inner_label(a->charset);

    if (charset == CHARSET_NONE && bytes_equal_nocase(a->http_equiv, BYTES("content-type")))
        charset = charset_of_inner_label(meta_content_label(a->content));
    return charset;
}
