/*
 * The encodings of the WHATWG Encoding standard, their names and their labels (section 4).
 */
#ifndef SKIMD_PARSERS_LABEL_H
#define SKIMD_PARSERS_LABEL_H

#include "core/base/bytes.h"

/* In the standard's order, with its names in lower case. */
#define CHARSETS(X)                                                                                \
    X(CHARSET_NONE, "") /* not a text, or not looked at */                                         \
    X(CHARSET_UTF_8, "utf-8")                                                                      \
    X(CHARSET_IBM866, "ibm866") /* the single-byte ones: a table each, in this order */            \
    X(CHARSET_ISO_8859_2, "iso-8859-2")                                                            \
    X(CHARSET_ISO_8859_3, "iso-8859-3")                                                            \
    X(CHARSET_ISO_8859_4, "iso-8859-4")                                                            \
    X(CHARSET_ISO_8859_5, "iso-8859-5")                                                            \
    X(CHARSET_ISO_8859_6, "iso-8859-6")                                                            \
    X(CHARSET_ISO_8859_7, "iso-8859-7")                                                            \
    X(CHARSET_ISO_8859_8, "iso-8859-8")                                                            \
    X(CHARSET_ISO_8859_8_I, "iso-8859-8-i")                                                        \
    X(CHARSET_ISO_8859_10, "iso-8859-10")                                                          \
    X(CHARSET_ISO_8859_13, "iso-8859-13")                                                          \
    X(CHARSET_ISO_8859_14, "iso-8859-14")                                                          \
    X(CHARSET_ISO_8859_15, "iso-8859-15")                                                          \
    X(CHARSET_ISO_8859_16, "iso-8859-16")                                                          \
    X(CHARSET_KOI8_R, "koi8-r")                                                                    \
    X(CHARSET_KOI8_U, "koi8-u")                                                                    \
    X(CHARSET_MACINTOSH, "macintosh")                                                              \
    X(CHARSET_WINDOWS_874, "windows-874")                                                          \
    X(CHARSET_WINDOWS_1250, "windows-1250")                                                        \
    X(CHARSET_WINDOWS_1251, "windows-1251")                                                        \
    X(CHARSET_WINDOWS_1252, "windows-1252")                                                        \
    X(CHARSET_WINDOWS_1253, "windows-1253")                                                        \
    X(CHARSET_WINDOWS_1254, "windows-1254")                                                        \
    X(CHARSET_WINDOWS_1255, "windows-1255")                                                        \
    X(CHARSET_WINDOWS_1256, "windows-1256")                                                        \
    X(CHARSET_WINDOWS_1257, "windows-1257")                                                        \
    X(CHARSET_WINDOWS_1258, "windows-1258")                                                        \
    X(CHARSET_X_MAC_CYRILLIC, "x-mac-cyrillic")                                                    \
    X(CHARSET_GBK, "gbk") /* the multi-byte ones */                                                \
    X(CHARSET_GB18030, "gb18030")                                                                  \
    X(CHARSET_BIG5, "big5")                                                                        \
    X(CHARSET_EUC_JP, "euc-jp")                                                                    \
    X(CHARSET_ISO_2022_JP, "iso-2022-jp")                                                          \
    X(CHARSET_SHIFT_JIS, "shift_jis")                                                              \
    X(CHARSET_EUC_KR, "euc-kr")                                                                    \
    X(CHARSET_REPLACEMENT, "replacement") /* labels whose use is an attack: not decoded at all */  \
    X(CHARSET_UTF_16BE, "utf-16be")                                                                \
    X(CHARSET_UTF_16LE, "utf-16le")                                                                \
    X(CHARSET_X_USER_DEFINED, "x-user-defined")

enum charset {
#define CHARSET_ENUM(id, name) id,
    CHARSETS(CHARSET_ENUM)
#undef CHARSET_ENUM
        CHARSET_COUNT
};

/* The standard's name in lower case; "" for CHARSET_NONE. Any thread. */
const char *charset_name(enum charset c);

/* Any thread, both. */
bool charset_is_utf16(enum charset c);

/*
 * Whether ASCII bytes are themselves, but for those that belong to a longer character: these are
 * never one of < > " ' & / = or white space.
 */
bool charset_keeps_ascii(enum charset c);

/*
 * The encoding of a label, in any case and with ASCII white space around it (Encoding standard,
 * "get an encoding"). CHARSET_NONE for a label that is unknown. Any thread.
 */
enum charset charset_of_label(struct bytes label);

/*
 * The same, for a label that stands in the page itself, which must have been readable as ASCII:
 * UTF-16 means UTF-8, x-user-defined means windows-1252 (HTML standard, "prescan a byte stream to
 * determine its encoding" and "change the encoding").
 */
enum charset charset_of_inner_label(struct bytes label);

#endif
