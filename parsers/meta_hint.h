/*
 * Where in the bytes of a page a meta element may declare a charset. The tree knows such elements
 * for sure (late_meta.h); but a page in whose bytes none may be need not be parsed to the end for
 * that, and one with a single such tag only up to there.
 */
#ifndef SKIMD_PARSERS_META_HINT_H
#define SKIMD_PARSERS_META_HINT_H

#include "core/base/bytes.h"

#include <stdint.h>

/* A search in bytes of which more may come; begins zeroed. */
struct meta_search {
    size_t at;      /* where to go on */
    uint64_t spent; /* bytes looked at */
};

enum meta_hint {
    META_HINT_NONE, /* no further tag so far */
    META_HINT_TAG,  /* one that ends at *ret_end */
    META_HINT_LOST, /* too much was looked at: only a parse tells */
};

/*
 * Finds the next tag. `html` is in an encoding that keeps ASCII: UTF-8, the single-byte ones, ...,
 * not UTF-16; the same bytes with more behind them at each call. `whole`: no more come.
 *
 * A meta element of the page that declares a charset is never passed over. What is found may be
 * none: in a comment, a script, an attribute. Pure.
 */
enum meta_hint meta_hint_next(struct meta_search *search, struct bytes html, bool whole,
                              size_t *ret_end);

#endif
