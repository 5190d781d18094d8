#include "parsers/label.h"

#include <assert.h>
#include <stdlib.h>

static const char *const charset_names[] = {
#define CHARSET_NAME(id, name) name,
    CHARSETS(CHARSET_NAME)
#undef CHARSET_NAME
};
static_assert(sizeof charset_names / sizeof charset_names[0] == CHARSET_COUNT, "one name each");

const char *charset_name(enum charset c)
{
    return (unsigned)c < CHARSET_COUNT ? charset_names[c] : "";
}

bool charset_is_utf16(enum charset c)
{
    return c == CHARSET_UTF_16BE || c == CHARSET_UTF_16LE;
}

bool charset_keeps_ascii(enum charset c)
{
    return c != CHARSET_NONE && c != CHARSET_REPLACEMENT && c != CHARSET_ISO_2022_JP &&
           !charset_is_utf16(c);
}

/* Sorted by label, in lower case. */
static const struct label {
    struct bytes text;
    enum charset charset;
} labels[] = {
#define LABEL(text, charset) {{text, sizeof text - 1}, charset},
#include "parsers/label.inc"
#undef LABEL
};

static int compare(const void *key, const void *element)
{
    const struct bytes *text = key, *other = &((const struct label *)element)->text;
    size_t shorter = text->len < other->len ? text->len : other->len;
    int order = strncasecmp(text->ptr, other->ptr, shorter);

    return order ? order : (text->len > other->len) - (text->len < other->len);
}

enum charset charset_of_label(struct bytes label)
{
    label = bytes_trim(label);
    if (label.len == 0) /* ptr may be NULL */
        return CHARSET_NONE;
    const struct label *found =
        bsearch(&label, labels, sizeof labels / sizeof labels[0], sizeof labels[0], compare);
    return found ? found->charset : CHARSET_NONE;
}

enum charset charset_of_inner_label(struct bytes label)
{
    enum charset charset = charset_of_label(label);

    if (charset_is_utf16(charset))
        return CHARSET_UTF_8;
    return charset == CHARSET_X_USER_DEFINED ? CHARSET_WINDOWS_1252 : charset;
}
