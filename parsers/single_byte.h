/*
 * The single-byte encodings: ASCII, and a table of 128 code points for what is above (Encoding
 * standard, section 9).
 */
#ifndef SKIMD_PARSERS_SINGLE_BYTE_H
#define SKIMD_PARSERS_SINGLE_BYTE_H

#include "parsers/label.h"

struct utf8_out;

/* True for the encodings that single_byte_decode() knows. */
bool charset_is_single_byte(enum charset c);

/* Appends `text`, which is in `c`. Bytes without a code point become U+FFFD. */
void single_byte_decode(enum charset c, struct bytes text, struct utf8_out *out);

#endif
