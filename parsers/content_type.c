#include "parsers/content_type.h"

static struct bytes from(struct bytes text, size_t at)
{
    return bytes_of(text.ptr + at, text.len - at);
}

/* HTTP white space, which has no form feed. */
static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct bytes trim(struct bytes text)
{
    while (text.len > 0 && is_space(text.ptr[0]))
        text = from(text, 1);
    while (text.len > 0 && is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* True for a token of HTTP (RFC 9110, section 5.6.2). */
static bool is_token(struct bytes text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            !memchr(marks, c, sizeof marks - 1))
            return false;
    }
    return text.len > 0;
}

/* Length of the quoted string at the start, with its quotes; one without an end goes to the end. */
static size_t quoted_len(struct bytes text)
{
    size_t i = 1;

    while (i < text.len && text.ptr[i] != '"')
        i += text.ptr[i] == '\\' && i + 1 < text.len ? 2 : 1;
    return i < text.len ? i + 1 : i;
}

/* Cuts off the first `len` bytes and the separator behind them. */
static struct bytes take(struct bytes *rest, size_t len)
{
    struct bytes part = bytes_of(rest->ptr, len);

    *rest = len < rest->len ? from(*rest, len + 1) : (struct bytes){NULL, 0};
    return part;
}

/* The next value of the field: commas in a quoted string do not end it. */
static struct bytes take_value(struct bytes *field)
{
    size_t i = 0;

    while (i < field->len && field->ptr[i] != ',')
        i += field->ptr[i] == '"' ? quoted_len(from(*field, i)) : 1;
    return take(field, i);
}

static size_t until(struct bytes text, char stop)
{
    const char *found = text.len ? memchr(text.ptr, stop, text.len) : NULL;

    return found ? (size_t)(found - text.ptr) : text.len;
}

/* The next parameter; its value has no quotes any more, and its ptr is NULL when it has none. */
static struct bytes take_parameter(struct bytes *rest, struct bytes *ret_value)
{
    *ret_value = (struct bytes){NULL, 0};
    while (rest->len > 0 && is_space(rest->ptr[0]))
        *rest = from(*rest, 1);
    size_t end = until(*rest, ';'), equals = until(bytes_of(rest->ptr, end), '=');
    if (equals == end)
        return take(rest, end);

    struct bytes name = take(rest, equals);
    if (rest->len > 0 && rest->ptr[0] == '"') {
        size_t len = quoted_len(*rest);
        bool closed = len > 1 && rest->ptr[len - 1] == '"';
        *ret_value = bytes_of(rest->ptr + 1, len - 1 - closed);
        *rest = from(*rest, len);
        take(rest, until(*rest, ';'));
    } else {
        struct bytes value = trim(take(rest, until(*rest, ';')));
        if (value.len > 0)
            *ret_value = value;
    }
    return name;
}

static bool is_text(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.ptr[i] < 0x20 && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
            return false;
    return true;
}

struct media_type {
    struct bytes essence; /* type/subtype; empty when it is none */
    struct bytes charset; /* with its backslashes; ptr is NULL without one */
};

static struct media_type parse(struct bytes value)
{
    struct bytes rest = trim(value);
    struct media_type ret = {.essence = trim(take(&rest, until(rest, ';')))};
    const char *slash = ret.essence.len ? memchr(ret.essence.ptr, '/', ret.essence.len) : NULL;
    size_t type = slash ? (size_t)(slash - ret.essence.ptr) : 0;

    if (!slash || !is_token(bytes_of(ret.essence.ptr, type)) ||
        !is_token(from(ret.essence, type + 1)))
        return (struct media_type){0};
    while (rest.len > 0 && !ret.charset.ptr) {
        struct bytes v, name = take_parameter(&rest, &v);
        if (v.ptr && is_text(v) && bytes_equal_nocase(name, BYTES("charset")))
            ret.charset = v;
    }
    return ret;
}

/* `text` without the backslashes that quote what follows them. */
static struct bytes unescape(struct bytes text, char buffer[static CONTENT_TYPE_LABEL_MAX])
{
    size_t len = 0;

    if (text.len == 0 || !memchr(text.ptr, '\\', text.len))
        return text;
    for (size_t i = 0; i < text.len && len < CONTENT_TYPE_LABEL_MAX; i++) {
        i += text.ptr[i] == '\\' && i + 1 < text.len;
        buffer[len++] = text.ptr[i];
    }
    return bytes_of(buffer, len);
}

/*
 * Fetch standard, "extract a MIME type": the last value that is a media type, or nothing. A charset
 * is handed on from the first value of its essence to those that follow without one.
 */
static struct media_type extract(struct bytes field)
{
    struct media_type last = {0};
    struct bytes first = {0};

    while (field.len > 0) {
        struct media_type next = parse(take_value(&field));
        if (next.essence.len == 0 || bytes_equal(next.essence, BYTES("*/*")))
            continue;
        if (!bytes_equal_nocase(next.essence, last.essence))
            first = next.charset;
        else if (!next.charset.ptr)
            next.charset = first;
        last = next;
    }
    return last;
}

struct bytes content_type_essence(struct bytes field)
{
    return extract(field).essence;
}

struct bytes content_type_charset(struct bytes field, char buffer[static CONTENT_TYPE_LABEL_MAX])
{
    return unescape(extract(field).charset, buffer);
}
