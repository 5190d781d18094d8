#include "server/json.h"

#include "core/base/utf8.h"

/* The character behind the backslash of a two-character escape, or 0 where there is none. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    }
    return 0;
}

static void escape_ascii(struct buffer *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char letter = short_escape(c);

    if (letter)
        buffer_append(out, (const char[]){'\\', letter}, 2);
    else
        buffer_append(out, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

static bool needs_no_escape(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

void json_write_string(struct buffer *out, struct bytes text)
{
    size_t at = 0, copied = 0; /* text[copied..at) is fit to be copied as it stands */

    buffer_byte(out, '"');
    while (at < text.len) {
        unsigned char c = (unsigned char)text.ptr[at];

        if (needs_no_escape(c)) {
            at++;
            continue;
        }
        struct utf8_unit unit = utf8_unit(bytes_of(text.ptr + at, text.len - at));
        if (unit.valid && unit.len > 1) {
            at += unit.len;
            continue;
        }
        buffer_append(out, text.ptr + copied, at - copied);
        if (unit.valid)
            escape_ascii(out, c);
        else
            buffer_text(out, UTF8_REPLACEMENT);
        at += unit.len;
        copied = at;
    }
    if (at > copied)
        buffer_append(out, text.ptr + copied, at - copied);
    buffer_byte(out, '"');
}

void json_write_milliseconds(struct buffer *out, uint64_t us)
{
    unsigned rest = (unsigned)(us % 1000);
    char decimals[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                        (char)('0' + rest % 10)};
    size_t length = sizeof decimals;

    while (length > 2 && decimals[length - 1] == '0')
        length--;
    buffer_unsigned(out, us / 1000);
    buffer_append(out, decimals, length);
}
