#include "core/base/json_text.h"

#include "core/base/utf8.h"

#include <assert.h>
#include <stdint.h>

/* -- tokens ------------------------------------------------------------------------------------ */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    char lower = (char)(c | 0x20);

    return is_digit(c) || (lower >= 'a' && lower <= 'f');
}

/* Length of the escape at the start of `text`, which is a backslash; 0: none. */
static size_t escape_length(struct bytes text)
{
    if (text.len < 2)
        return 0;
    switch (text.ptr[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return 2;
    case 'u':
        if (text.len < 6)
            return 0;
        for (size_t i = 2; i < 6; i++)
            if (!is_hex(text.ptr[i]))
                return 0;
        return 6;
    }
    return 0;
}

/* Length of the string at the start of `text`, which is a quote; 0: none. */
static size_t string_length(struct bytes text)
{
    for (size_t i = 1; i < text.len;) {
        unsigned char c = (unsigned char)text.ptr[i];
        size_t length = 1;

        if (c == '"')
            return i + 1;
        if (c < 0x20)
            return 0;
        if (c == '\\') {
            length = escape_length(bytes_of(text.ptr + i, text.len - i));
        } else if (c >= 0x80) {
            struct utf8_unit unit = utf8_unit(bytes_of(text.ptr + i, text.len - i));
            length = unit.valid ? unit.len : 0;
        }
        if (length == 0)
            return 0;
        i += length;
    }
    return 0;
}

/* Where the digits from `at` on end. */
static size_t after_digits(struct bytes text, size_t at)
{
    while (at < text.len && is_digit(text.ptr[at]))
        at++;
    return at;
}

/* Length of the number at the start of `text`, 0: none. What follows it is not looked at. */
static size_t number_length(struct bytes text)
{
    size_t start = text.ptr[0] == '-', at = after_digits(text, start);

    if (at == start || (text.ptr[start] == '0' && at > start + 1))
        return 0;
    if (at < text.len && text.ptr[at] == '.') {
        start = at + 1;
        at = after_digits(text, start);
        if (at == start)
            return 0;
    }
    if (at < text.len && (text.ptr[at] | 0x20) == 'e') {
        start = at + 1;
        if (start < text.len && (text.ptr[start] == '+' || text.ptr[start] == '-'))
            start++;
        at = after_digits(text, start);
        if (at == start)
            return 0;
    }
    return at;
}

static size_t word_length(struct bytes text, struct bytes word)
{
    return text.len >= word.len && memcmp(text.ptr, word.ptr, word.len) == 0 ? word.len : 0;
}

/* Length of the string, number, true, false or null at the start of `text`; 0: none. */
static size_t scalar_length(struct bytes text)
{
    switch (text.ptr[0]) {
    case '"':
        return string_length(text);
    case 't':
        return word_length(text, BYTES("true"));
    case 'f':
        return word_length(text, BYTES("false"));
    case 'n':
        return word_length(text, BYTES("null"));
    }
    return number_length(text);
}

/* -- how they follow each other ---------------------------------------------------------------- */

enum expected {
    VALUE,
    VALUE_OR_END, /* right behind "[" */
    NAME,
    NAME_OR_END, /* right behind "{" */
    COLON,
    AFTER_VALUE,
};

struct reader {
    enum expected expected;
    unsigned depth;
    uint64_t
        objects; /* a bit for each that is open, the innermost lowest: an object, not an array */
};
static_assert(JSON_TEXT_DEPTH_MAX <= 64, "a bit each");

static bool in_object(const struct reader *r)
{
    return r->objects & 1;
}

/* "[" or "{"; its length, or 0. */
static size_t open_one(struct reader *r, bool object)
{
    if ((r->expected != VALUE && r->expected != VALUE_OR_END) || r->depth == JSON_TEXT_DEPTH_MAX)
        return 0;
    r->depth++;
    r->objects = r->objects << 1 | object;
    r->expected = object ? NAME_OR_END : VALUE_OR_END;
    return 1;
}

/* "]" or "}"; its length, or 0. */
static size_t close_one(struct reader *r, bool object)
{
    enum expected empty = object ? NAME_OR_END : VALUE_OR_END;

    if (r->depth == 0 || in_object(r) != object ||
        (r->expected != AFTER_VALUE && r->expected != empty))
        return 0;
    r->depth--;
    r->objects >>= 1;
    r->expected = AFTER_VALUE;
    return 1;
}

static size_t separator(struct reader *r, char c)
{
    if (c == ':' && r->expected == COLON)
        r->expected = VALUE;
    else if (c == ',' && r->expected == AFTER_VALUE && r->depth > 0)
        r->expected = in_object(r) ? NAME : VALUE;
    else
        return 0;
    return 1;
}

static size_t scalar(struct reader *r, struct bytes text)
{
    switch (r->expected) {
    case NAME:
    case NAME_OR_END:
        r->expected = COLON;
        return text.ptr[0] == '"' ? string_length(text) : 0;
    case VALUE:
    case VALUE_OR_END:
        r->expected = AFTER_VALUE;
        return scalar_length(text);
    case COLON:
    case AFTER_VALUE:
        break;
    }
    return 0;
}

/* Length of the token at the start of `text`; 0: there is none that may stand there. */
static size_t take_token(struct reader *r, struct bytes text)
{
    switch (text.ptr[0]) {
    case '[':
    case '{':
        return open_one(r, text.ptr[0] == '{');
    case ']':
    case '}':
        return close_one(r, text.ptr[0] == '}');
    case ',':
    case ':':
        return separator(r, text.ptr[0]);
    }
    return scalar(r, text);
}

/* json_text_compact(); without `to` the length alone. */
static size_t compact(struct bytes text, char *to)
{
    struct reader r = {.expected = VALUE};
    size_t len = 0;

    while (text.len > 0) {
        size_t token = 1;

        if (!is_space(text.ptr[0])) {
            token = take_token(&r, text);
            if (token == 0)
                return 0;
            if (to && to + len != text.ptr)
                memmove(to + len, text.ptr, token);
            len += token;
        }
        text.ptr += token;
        text.len -= token;
    }
    return r.depth == 0 && r.expected == AFTER_VALUE ? len : 0;
}

size_t json_text_compact(struct bytes text, char *to)
{
    return compact(text, to);
}

bool json_text_is_compact(struct bytes text)
{
    return text.len > 0 && compact(text, NULL) == text.len;
}
