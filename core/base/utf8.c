#include "core/base/utf8.h"

#include <stdint.h>

struct utf8_unit utf8_unit(struct bytes text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    unsigned char low = 0x80, high = 0xbf; /* range of the second byte */
    size_t need;

    if (p[0] < 0x80)
        return (struct utf8_unit){.len = 1, .valid = true};
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return (struct utf8_unit){.len = 1};
    if (p[0] < 0xe0) {
        need = 2;
    } else if (p[0] < 0xf0) {
        need = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;   /* no overlong forms */
        high = p[0] == 0xed ? 0x9f : high; /* no surrogates */
    } else {
        need = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high; /* nothing over U+10FFFF */
    }

    for (size_t i = 1; i < need; i++) {
        if (i == text.len)
            return (struct utf8_unit){.len = i, .incomplete = true};
        if (p[i] < low || p[i] > high)
            return (struct utf8_unit){.len = i};
        low = 0x80;
        high = 0xbf;
    }
    return (struct utf8_unit){.len = need, .valid = true};
}

size_t ascii_prefix(struct bytes text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    size_t len = text.len, i = 0;

    for (uint64_t word; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    while (i < len && p[i] < 0x80)
        i++;
    return i;
}

size_t utf8_prefix(struct bytes text, struct utf8_unit *ret_stop)
{
    size_t i = 0;

    *ret_stop = (struct utf8_unit){0};
    while (i < text.len) {
        i += ascii_prefix(bytes_of(text.ptr + i, text.len - i));
        if (i == text.len)
            break;
        struct utf8_unit unit = utf8_unit(bytes_of(text.ptr + i, text.len - i));
        if (!unit.valid) {
            *ret_stop = unit;
            break;
        }
        i += unit.len;
    }
    return i;
}

bool utf8_valid(struct bytes text)
{
    struct utf8_unit stop;

    return utf8_prefix(text, &stop) == text.len;
}
