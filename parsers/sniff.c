#include "parsers/sniff.h"

#include "parsers/content_type.h"

enum sniff sniff_type(struct bytes content_type)
{
    static const struct {
        struct bytes type;
        enum sniff sniff;
    } types[] = {
        {{"text/html", 9}, SNIFF_HTML},
        {{"application/xhtml+xml", 21}, SNIFF_HTML},
        /* Section 7: as good as none. */
        {{"", 0}, SNIFF_UNKNOWN},
        {{"unknown/unknown", 15}, SNIFF_UNKNOWN},
        {{"application/unknown", 19}, SNIFF_UNKNOWN},
    };
    struct bytes type = content_type_essence(content_type);

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (bytes_equal_nocase(type, types[i].type))
            return types[i].sniff;
    return SNIFF_NOT_HTML;
}

enum sniff sniff_text(struct bytes text)
{
    static const struct bytes tags[] = {
        {"<!DOCTYPE HTML", 14},
        {"<HTML", 5},
        {"<HEAD", 5},
        {"<SCRIPT", 7},
        {"<IFRAME", 7},
        {"<H1", 3},
        {"<DIV", 4},
        {"<FONT", 5},
        {"<TABLE", 6},
        {"<A", 2},
        {"<STYLE", 6},
        {"<TITLE", 6},
        {"<B", 2},
        {"<BODY", 5},
        {"<BR", 3},
        {"<P", 2},
        {"<!--", 4},
    };
    enum { LONGEST = 14 + 1 }; /* with what ends the tag */

    while (text.len > 0 && ascii_is_space(text.ptr[0]))
        text = bytes_of(text.ptr + 1, text.len - 1);
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        size_t len = tags[i].len;
        if (text.len > len && bytes_equal_nocase(bytes_of(text.ptr, len), tags[i]) &&
            (text.ptr[len] == ' ' || text.ptr[len] == '>'))
            return SNIFF_HTML;
    }
    return text.len < LONGEST ? SNIFF_UNKNOWN : SNIFF_NOT_HTML;
}
