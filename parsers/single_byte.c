#include "parsers/single_byte.h"

#include "core/base/utf8.h"
#include "parsers/utf8_out.h"

#include <assert.h>

enum {
    FIRST = CHARSET_IBM866,
    COUNT = CHARSET_X_MAC_CYRILLIC - CHARSET_IBM866 + 1,
    HALF = 128,
};

/* Code points of 0x80 to 0xFF. */
static const uint16_t tables[][HALF] = {
#define TABLE(charset, ...) [(charset)-FIRST] = {__VA_ARGS__},
#include "parsers/single_byte.inc"
#undef TABLE
};
static_assert(sizeof tables / sizeof tables[0] == COUNT, "one table each");

bool charset_is_single_byte(enum charset c)
{
    return c >= CHARSET_IBM866 && c <= CHARSET_X_MAC_CYRILLIC;
}

void single_byte_decode(enum charset c, struct bytes text, struct utf8_out *out)
{
    enum { BLOCK = 1024 };
    const uint16_t *table = tables[c - FIRST];
    const unsigned char *p = (const unsigned char *)text.ptr, *end = p + text.len;

    while (p < end) {
        size_t ascii = ascii_prefix(bytes_of((const char *)p, (size_t)(end - p)));
        utf8_out_append(out, p, ascii);
        p += ascii;

        /* Room for a block at a time; its ASCII is mostly single spaces. */
        const unsigned char *stop = end - p > BLOCK ? p + BLOCK : end;
        utf8_out_reserve(out, (size_t)(stop - p) * UTF8_OUT_CODE_MAX);
        while (p < stop && (p[0] >= 0x80 || (p + 1 < stop && p[1] >= 0x80))) {
            utf8_out_put_reserved(out, p[0] < 0x80 ? p[0] : table[p[0] - 0x80]);
            p++;
        }
    }
}
