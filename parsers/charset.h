/*
 * Which encoding a page is in, by the HTML standard's encoding sniffing algorithm (section
 * 13.2.3.2): byte order mark, charset of the HTTP Content-Type, what the first bytes declare, and
 * where nothing is declared valid UTF-8, else windows-1252. A meta element that only the parse
 * finds may change it afterwards:
 *
 *     charset_declared(), charset_guess()
 *        └─▶ convert_to_utf8() ─▶ parse ─▶ late_meta() ─▶ charset_change(): once more, if true
 *
 * source.h goes that way, and says when a beginning of the page is enough. Pure; any thread.
 */
#ifndef SKIMD_PARSERS_CHARSET_H
#define SKIMD_PARSERS_CHARSET_H

#include "parsers/label.h"

struct charset_choice {
    enum charset charset;
    bool certain;       /* no meta element can change it ("confidence") */
    unsigned char mark; /* bytes of the byte order mark, which is no part of the text */
};

/*
 * What the page or its `content_type` (field values, joined by commas) declare, from the first
 * PRESCAN_MAX bytes alone. CHARSET_NONE where nothing is declared: then charset_guess() decides.
 */
struct charset_choice charset_declared(struct bytes page, struct bytes content_type);

/*
 * UTF-8 where all of `page` is well-formed, else windows-1252. `cut` says that it ends where it was
 * cut off, so that half a character at its end is no sign against UTF-8.
 */
enum charset charset_guess(struct bytes page, bool cut);

/*
 * Takes note of what the first meta element with an encoding declares, as meta_charset() gives it
 * (CHARSET_NONE: there is none). True when that changes the choice, which is certain then: what was
 * read otherwise is to be decoded and parsed again (HTML standard, "change the encoding").
 */
bool charset_change(struct charset_choice *choice, enum charset meta);

#endif
