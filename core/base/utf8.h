/*
 * Well-formed UTF-8, and what stands for the rest: Unicode 3.9, table 3-7 and "U+FFFD Substitution
 * of Maximal Subparts", as browsers do it. Pure; any thread.
 */
#ifndef SKIMD_BASE_UTF8_H
#define SKIMD_BASE_UTF8_H

#include "core/base/bytes.h"

/* What is written for an ill-formed sequence: U+FFFD. */
#define UTF8_REPLACEMENT "\xEF\xBF\xBD"

/* What stands at the start of a text. */
struct utf8_unit {
    size_t len;      /* of the character, or of the maximal subpart of an ill-formed sequence */
    bool valid;      /* a character */
    bool incomplete; /* not valid, but the beginning of a character that the end cuts off */
};

/* Judges the start of `text`, which is not empty. */
struct utf8_unit utf8_unit(struct bytes text);

/* Length of the run of ASCII at the start. */
size_t ascii_prefix(struct bytes text);

/* Length of the well-formed start; *ret_stop is what follows it, when that is not all. */
size_t utf8_prefix(struct bytes text, struct utf8_unit *ret_stop);

/* True for well-formed UTF-8 (no surrogates, no overlong forms, up to U+10FFFF). */
bool utf8_valid(struct bytes text);

#endif
