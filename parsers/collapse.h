/*
 * White space collapsed as pages' texts are shown: ASCII white space stripped at the ends, one
 * space for each run inside. Bounded. Pure; any thread.
 */
#ifndef SKIMD_PARSERS_COLLAPSE_H
#define SKIMD_PARSERS_COLLAPSE_H

#include "core/base/bytes.h"

struct collapse {
    char *text;  /* borrowed, `most` bytes */
    size_t most; /* what would make the text longer is dropped */
    size_t len;
    bool space; /* white space was seen since the last character */
    bool full;  /* something was dropped, and nothing is taken any more */
};

/* Takes what follows; it need not begin or end between two characters. */
void collapse_append(struct collapse *c, struct bytes text);

/*
 * The length of text[0..len), UTF-8 that was cut off anywhere, without half a character and white
 * space at its end.
 */
size_t collapse_cut(const char *text, size_t len);

#endif
