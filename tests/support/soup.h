/*
 * Random tag soup: pieces of HTML in an order that nobody would write, the same for the same seed.
 * Many of the pieces are about titles, heads, charsets and what parsers do in odd places.
 */
#ifndef SKIMD_TESTS_SUPPORT_SOUP_H
#define SKIMD_TESTS_SUPPORT_SOUP_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"

#include <stdint.h>

struct soup {
    uint64_t state; /* set to the seed to begin with */
};

/* A number below `bound`. */
uint32_t soup_below(struct soup *s, uint32_t bound);

enum soup_kind {
    SOUP_TEXT,  /* well-formed UTF-8 */
    SOUP_BYTES, /* bytes of any encoding, and what declares one */
    SOUP_HEAD,  /* well-formed UTF-8, most of it what may stand in a head */
};

/* Makes `out` a page of some pieces. */
void soup_page(struct soup *s, enum soup_kind kind, struct buffer *out);

/* A label of an encoding, nearly always a known one. */
struct bytes soup_label(struct soup *s);

/* Makes each byte of `page` two, as UTF-16 has what is ASCII. */
void soup_widen(struct buffer *page, bool big_endian);

#endif
