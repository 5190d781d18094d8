/*
 * From the bytes of a page to well-formed UTF-8, by the WHATWG Encoding and HTML standards:
 * byte order mark, then the charset of the HTTP Content-Type, then what the bytes look like
 * (valid UTF-8, else windows-1252).
 *
 * So far UTF-8, UTF-16 by its mark and windows-1252 are converted. A label of any other encoding of
 * the standard is passed over, and the bytes are looked at instead.
 */
#ifndef SKIMD_PARSERS_CHARSET_H
#define SKIMD_PARSERS_CHARSET_H

#include "core/base/bytes.h"

struct bump;

/* The encodings, and their names in the standard, in lower case. */
#define CHARSETS(X)                                                                                \
    X(CHARSET_NONE, "") /* not a text, or not looked at */                                         \
    X(CHARSET_UTF_8, "utf-8")                                                                      \
    X(CHARSET_UTF_16LE, "utf-16le")                                                                \
    X(CHARSET_UTF_16BE, "utf-16be")                                                                \
    X(CHARSET_WINDOWS_1252, "windows-1252")

enum charset {
#define CHARSET_ENUM(id, name) id,
    CHARSETS(CHARSET_ENUM)
#undef CHARSET_ENUM
        CHARSET_COUNT
};

/* The standard's name in lower case; "" for CHARSET_NONE. Any thread. */
const char *charset_name(enum charset c);

/*
 * The encoding of a label, with ASCII white space around it and in any case (Encoding standard,
 * "get an encoding"). CHARSET_NONE for a label that is unknown or not converted yet.
 */
enum charset charset_of_label(struct bytes label);

/*
 * The value of the charset parameter of a Content-Type field value, as the standard reads it (MIME
 * Sniffing, "parse a MIME type"): first one wins, quoted or not. Borrowed from the field, with its
 * backslashes; empty without one.
 */
struct bytes charset_parameter(struct bytes content_type);

/*
 * Converts `page` to well-formed UTF-8 without a byte order mark; ill-formed sequences become
 * U+FFFD, one per maximal subpart. *ret_text is borrowed from `page` where nothing had to change,
 * else allocated from `bump` (whose escape must be set). `cut` says that the page ends where it was
 * cut off, so that half a character at its end is no sign against UTF-8. Returns the encoding that
 * was used, never CHARSET_NONE.
 */
enum charset charset_to_utf8(struct bump *bump, struct bytes page, struct bytes content_type,
                             bool cut, struct bytes *ret_text);

/* The steps of charset_to_utf8(). */
struct charset_choice {
    enum charset charset;
    bool certain;       /* no meta element can change it ("confidence") */
    unsigned char mark; /* bytes of the byte order mark, which is no part of the text */
};

/* What the page or its `content_type` declare, from the first 1024 bytes alone. CHARSET_NONE where
 * nothing is declared: then charset_guess() decides. */
struct charset_choice charset_declared(struct bytes page, struct bytes content_type);

/* UTF-8 where all of `page` is well-formed, else windows-1252; `cut` as above. */
enum charset charset_guess(struct bytes page, bool cut);

/* Takes note of what the first meta element with an encoding declares (CHARSET_NONE: there is
 * none). True when that changes the choice, which is certain then (HTML standard, "change the
 * encoding"). */
bool charset_change(struct charset_choice *choice, enum charset meta);

/* The text behind the mark as UTF-8. -EOPNOTSUPP: it cannot be read. */
int charset_convert(struct bump *bump, enum charset charset, struct bytes text, bool cut,
                    struct bytes *ret);

#endif
