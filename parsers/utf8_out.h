/*
 * UTF-8 that is written code point by code point into an arena, where it grows in place.
 */
#ifndef SKIMD_PARSERS_UTF8_OUT_H
#define SKIMD_PARSERS_UTF8_OUT_H

#include "core/base/bytes.h"

#include <stdint.h>

struct bump;

struct utf8_out {
    struct bump *bump;
    char *ptr;
    size_t len, capacity;
};

enum { UTF8_OUT_REPLACEMENT = 0xfffd }; /* the code point for what is ill-formed */

/*
 * A text that is expected to take `expected` bytes. It is the arena's latest allocation until
 * utf8_out_close(): nothing else may be allocated meanwhile. Each of the calls below leaves through
 * bump->escape when the arena is full.
 */
struct utf8_out utf8_out_open(struct bump *bump, size_t expected);

/* Makes room for `len` more bytes, and some to spare. */
void utf8_out_grow(struct utf8_out *out, size_t len);

static inline void utf8_out_reserve(struct utf8_out *out, size_t len)
{
    if (len > out->capacity - out->len)
        utf8_out_grow(out, len);
}

/* Appends bytes that are UTF-8 already. `ptr` may be NULL when `len` is 0. */
void utf8_out_append(struct utf8_out *out, const void *ptr, size_t len);

enum { UTF8_OUT_CODE_MAX = 4 }; /* bytes of a code point */

/* Appends a code point, for which there must be room: utf8_out_reserve(UTF8_OUT_CODE_MAX). */
static inline void utf8_out_put_reserved(struct utf8_out *out, uint32_t code)
{
    char *to = out->ptr + out->len;

    if (code < 0x80) {
        to[0] = (char)code;
        out->len += 1;
    } else if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        out->len += 2;
    } else if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 0x3f));
        to[2] = (char)(0x80 | (code & 0x3f));
        out->len += 3;
    } else {
        to[0] = (char)(0xf0 | code >> 18);
        to[1] = (char)(0x80 | (code >> 12 & 0x3f));
        to[2] = (char)(0x80 | (code >> 6 & 0x3f));
        to[3] = (char)(0x80 | (code & 0x3f));
        out->len += 4;
    }
}

/* Appends a code point (no surrogate). */
static inline void utf8_out_put(struct utf8_out *out, uint32_t code)
{
    utf8_out_reserve(out, UTF8_OUT_CODE_MAX);
    utf8_out_put_reserved(out, code);
}

/* Gives back what was not needed. The text lies in the arena. */
struct bytes utf8_out_close(struct utf8_out *out);

#endif
