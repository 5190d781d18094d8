#include "parsers/meta.h"

#include "core/base/utf8.h"

bool meta_read_tag(struct tag_scan *scan, struct meta_attributes *ret)
{
    const struct {
        struct bytes name, *value;
    } wanted[] = {
        {BYTES("charset"), &ret->charset},
        {BYTES("http-equiv"), &ret->http_equiv},
        {BYTES("content"), &ret->content},
    };
    struct tag_attribute a;

    *ret = (struct meta_attributes){0};
    while (tag_next_attribute(scan, &a)) {
        struct bytes value = a.value.ptr ? a.value : bytes_of(a.name.ptr, 0); /* it is there */
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (!wanted[i].value->ptr && bytes_equal_nocase(a.name, wanted[i].name))
                *wanted[i].value = value;
    }
    return scan->p < scan->end;
}

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

/* Whether the tree has the value as it is written. */
static bool is_plain(struct bytes value)
{
    return ascii_prefix(value) == value.len &&
           !(value.len > 0 && memchr(value.ptr, '&', value.len));
}

bool meta_may_declare(const struct meta_attributes *a, bool *ret_plain)
{
    bool charset = is_plain(a->charset), http_equiv = is_plain(a->http_equiv),
         content = is_plain(a->content);
    /* What is not plain counts as what would declare one. */
    const struct meta_attributes at_most = {
        .charset = charset ? a->charset : BYTES("utf-8"),
        .http_equiv = http_equiv ? a->http_equiv : BYTES("content-type"),
        .content = content ? a->content : BYTES("charset=utf-8"),
    };

    *ret_plain = charset && http_equiv && content;
    return meta_charset(&at_most) != CHARSET_NONE;
}
