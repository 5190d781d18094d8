/*
 * From any encoding of the Encoding standard to well-formed UTF-8, as its decoders do it.
 */
#ifndef SKIMD_PARSERS_CONVERT_H
#define SKIMD_PARSERS_CONVERT_H

#include "parsers/label.h"

struct bump;
struct multi_byte;

/*
 * Reads `text`, which is in `c` and has its byte order mark no more. *ret is borrowed from it where
 * nothing had to change, else allocated from `bump` (whose escape must be set). Ill-formed
 * sequences become U+FFFD, one each as the standard counts them, and never take an ASCII byte with
 * them that the standard gives back. `cut` says that the text ends where it was cut off: half a
 * character at its end is left out. The decoding of a beginning that was cut is a beginning of the
 * decoding of the whole.
 *
 * -EOPNOTSUPP: nobody may read it (CHARSET_REPLACEMENT, CHARSET_NONE), or this system has no
 * converter. *ret is untouched then.
 */
int convert_to_utf8(struct multi_byte *m, struct bump *bump, enum charset c, struct bytes text,
                    bool cut, struct bytes *ret);

#endif
