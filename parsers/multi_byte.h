/*
 * The legacy multi-byte encodings, by glibc's iconv where that agrees with the Encoding standard
 * (sections 10 to 12), and by the standard's own rules where it does not.
 *
 * iconv is given only what the standard takes for one of its sequences, so that it never decides
 * how many bytes an ill-formed one has: that is how markup gets swallowed.
 */
#ifndef SKIMD_PARSERS_MULTI_BYTE_H
#define SKIMD_PARSERS_MULTI_BYTE_H

#include "parsers/label.h"

#include <stdint.h>

struct utf8_out;

/* The converters of one thread. */
struct multi_byte;

/*
 * Opens all of them, before the sandbox closes: iconv_open() reads files and loads libraries, but
 * nothing does afterwards. One that this system lacks is left out. -ENOMEM, and other negative
 * errnos (-EMFILE...) where the system fails.
 */
int multi_byte_open(struct multi_byte **ret);

/* NULL is fine. */
void multi_byte_close(struct multi_byte *m);

/* Whether multi_byte_decode() decodes `c`: one of its encodings, and its converter was there. */
bool multi_byte_has(const struct multi_byte *m, enum charset c);

/*
 * Appends `text`, which is in `c`. Ill-formed sequences become U+FFFD as the standard wants it: an
 * ASCII byte is never part of one. A sequence that the end of the text cuts off is left out when
 * `cut` says that there was more, else becomes U+FFFD.
 */
void multi_byte_decode(struct multi_byte *m, enum charset c, struct bytes text, bool cut,
                       struct utf8_out *out);

/*
 * The code point of a pair in index jis0208, of which both bytes are 0x21 to 0x7E;
 * UTF8_OUT_REPLACEMENT where it has none.
 */
uint32_t multi_byte_jis0208(struct multi_byte *m, unsigned lead, unsigned trail);

#endif
