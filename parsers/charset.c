#include "parsers/charset.h"

#include "core/base/utf8.h"
#include "parsers/content_type.h"
#include "parsers/prescan.h"

/* By its byte order mark (Encoding standard, "BOM sniff"); CHARSET_NONE without one. */
static struct charset_choice by_mark(struct bytes page)
{
    static const struct {
        struct bytes mark;
        enum charset charset;
    } marks[] = {
        {{"\xef\xbb\xbf", 3}, CHARSET_UTF_8},
        {{"\xfe\xff", 2}, CHARSET_UTF_16BE},
        {{"\xff\xfe", 2}, CHARSET_UTF_16LE},
    };

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        struct bytes mark = marks[i].mark;
        if (page.len >= mark.len && memcmp(page.ptr, mark.ptr, mark.len) == 0)
            return (struct charset_choice){marks[i].charset, true, (unsigned char)mark.len};
    }
    return (struct charset_choice){.charset = CHARSET_NONE};
}

struct charset_choice charset_declared(struct bytes page, struct bytes content_type)
{
    char buffer[CONTENT_TYPE_LABEL_MAX];
    struct charset_choice choice = by_mark(page);

    if (choice.charset == CHARSET_NONE) {
        choice.charset = charset_of_label(content_type_charset(content_type, buffer));
        choice.certain = choice.charset != CHARSET_NONE;
    }
    if (choice.charset == CHARSET_NONE)
        choice.charset = prescan(page);
    return choice;
}

enum charset charset_guess(struct bytes page, bool cut)
{
    struct utf8_unit stop;
    size_t good = utf8_prefix(page, &stop);

    return good == page.len || (stop.incomplete && cut) ? CHARSET_UTF_8 : CHARSET_WINDOWS_1252;
}

bool charset_change(struct charset_choice *choice, enum charset meta)
{
    enum charset now = choice->charset;

    if (choice->certain || meta == CHARSET_NONE)
        return false;
    choice->certain = true;
    /* A page that was read as UTF-16 is UTF-16, whatever it says. */
    if (now == meta || charset_is_utf16(now))
        return false;
    choice->charset = meta;
    return true;
}
