/*
 * ISO-2022-JP, the one encoding of the web that still has states (Encoding standard, section 12.2).
 */
#ifndef SKIMD_PARSERS_ISO_2022_JP_H
#define SKIMD_PARSERS_ISO_2022_JP_H

#include "core/base/bytes.h"

struct multi_byte;
struct utf8_out;

/*
 * Appends `text` as the standard's decoder reads it. What the end of the text cuts off, half a
 * character or an escape sequence, is left out when `cut` says that there was more.
 */
void iso_2022_jp_decode(struct multi_byte *m, struct bytes text, bool cut, struct utf8_out *out);

#endif
