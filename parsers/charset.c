#include "parsers/charset.h"

#include "core/base/utf8.h"
#include "parsers/bump.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

static const char *const charset_names[] = {
#define CHARSET_NAME(id, name) name,
    CHARSETS(CHARSET_NAME)
#undef CHARSET_NAME
};
static_assert(sizeof charset_names / sizeof charset_names[0] == CHARSET_COUNT, "one name each");

const char *charset_name(enum charset c)
{
    return (unsigned)c < CHARSET_COUNT ? charset_names[c] : "";
}

/* Encoding standard, section 4.2. */
static const struct {
    struct bytes label;
    enum charset charset;
} labels[] = {
#define LABEL(text, charset)                                                                       \
    {                                                                                              \
        {"" text, sizeof text - 1}, charset                                                        \
    }
    LABEL("unicode-1-1-utf-8", CHARSET_UTF_8),
    LABEL("unicode11utf8", CHARSET_UTF_8),
    LABEL("unicode20utf8", CHARSET_UTF_8),
    LABEL("utf-8", CHARSET_UTF_8),
    LABEL("utf8", CHARSET_UTF_8),
    LABEL("x-unicode20utf8", CHARSET_UTF_8),
    LABEL("ansi_x3.4-1968", CHARSET_WINDOWS_1252),
    LABEL("ascii", CHARSET_WINDOWS_1252),
    LABEL("cp1252", CHARSET_WINDOWS_1252),
    LABEL("cp819", CHARSET_WINDOWS_1252),
    LABEL("csisolatin1", CHARSET_WINDOWS_1252),
    LABEL("ibm819", CHARSET_WINDOWS_1252),
    LABEL("iso-8859-1", CHARSET_WINDOWS_1252),
    LABEL("iso-ir-100", CHARSET_WINDOWS_1252),
    LABEL("iso8859-1", CHARSET_WINDOWS_1252),
    LABEL("iso88591", CHARSET_WINDOWS_1252),
    LABEL("iso_8859-1", CHARSET_WINDOWS_1252),
    LABEL("iso_8859-1:1987", CHARSET_WINDOWS_1252),
    LABEL("l1", CHARSET_WINDOWS_1252),
    LABEL("latin1", CHARSET_WINDOWS_1252),
    LABEL("us-ascii", CHARSET_WINDOWS_1252),
    LABEL("windows-1252", CHARSET_WINDOWS_1252),
    LABEL("x-cp1252", CHARSET_WINDOWS_1252),
#undef LABEL
};

enum charset charset_of_label(struct bytes label)
{
    label = bytes_trim(label);
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        if (bytes_equal_nocase(label, labels[i].label))
            return labels[i].charset;
    return CHARSET_NONE;
}

/* Cuts a quoted string off *rest, which begins with its opening quote; returns its inside. */
static struct bytes take_quoted(struct bytes *rest)
{
    size_t end = 1;

    while (end < rest->len && rest->ptr[end] != '"')
        end += rest->ptr[end] == '\\' && end + 1 < rest->len ? 2 : 1;

    struct bytes inside = bytes_of(rest->ptr + 1, end - 1);
    rest->ptr += end;
    rest->len -= end;
    return inside;
}

struct bytes charset_parameter(struct bytes content_type)
{
    struct bytes rest = content_type;
    size_t at = 0;

    while (at < rest.len && rest.ptr[at] != ';')
        at++;
    while (at < rest.len) { /* at a ';' */
        rest = bytes_of(rest.ptr + at + 1, rest.len - at - 1);
        while (rest.len > 0 && ascii_is_space(rest.ptr[0]))
            rest = bytes_of(rest.ptr + 1, rest.len - 1);

        for (at = 0; at < rest.len && rest.ptr[at] != ';' && rest.ptr[at] != '=';)
            at++;
        struct bytes name = bytes_of(rest.ptr, at), value = {0};
        if (at == rest.len || rest.ptr[at] == ';')
            continue;

        rest = bytes_of(rest.ptr + at + 1, rest.len - at - 1);
        at = 0;
        bool quoted = rest.len > 0 && rest.ptr[0] == '"';
        if (quoted)
            value = take_quoted(&rest);
        while (at < rest.len && rest.ptr[at] != ';')
            at++;
        if (!quoted)
            value = bytes_trim(bytes_of(rest.ptr, at));
        if (bytes_equal_nocase(name, BYTES("charset")) && (quoted || value.len > 0))
            return value;
    }
    return (struct bytes){0};
}

/* Text that grows in the arena. */
struct output {
    struct bump *bump;
    char *ptr;
    size_t len, capacity;
};

enum { OUTPUT_STEP = 16 << 10 };

static struct output output_open(struct bump *bump, size_t expected)
{
    return (struct output){bump, bump_alloc(bump, expected), 0, expected};
}

static void output_append(struct output *out, const void *ptr, size_t len)
{
    if (len > out->capacity - out->len) {
        size_t capacity = out->len + len + OUTPUT_STEP;
        bump_resize_last(out->bump, out->ptr, out->capacity, capacity);
        out->capacity = capacity;
    }
    if (len > 0)
        memcpy(out->ptr + out->len, ptr, len);
    out->len += len;
}

static void output_code_point(struct output *out, uint32_t c)
{
    unsigned char utf8[4];
    size_t len;

    if (c < 0x80) {
        utf8[0] = (unsigned char)c;
        len = 1;
    } else if (c < 0x800) {
        utf8[0] = (unsigned char)(0xc0 | c >> 6);
        utf8[1] = (unsigned char)(0x80 | (c & 0x3f));
        len = 2;
    } else if (c < 0x10000) {
        utf8[0] = (unsigned char)(0xe0 | c >> 12);
        utf8[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        utf8[2] = (unsigned char)(0x80 | (c & 0x3f));
        len = 3;
    } else {
        utf8[0] = (unsigned char)(0xf0 | c >> 18);
        utf8[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
        utf8[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        utf8[3] = (unsigned char)(0x80 | (c & 0x3f));
        len = 4;
    }
    output_append(out, utf8, len);
}

static struct bytes output_close(struct output *out)
{
    bump_resize_last(out->bump, out->ptr, out->capacity, out->len);
    return bytes_of(out->ptr, out->len);
}

enum { REPLACEMENT = 0xfffd };

static struct bytes repair_utf8(struct bump *bump, struct bytes text, bool cut)
{
    struct utf8_unit stop;
    size_t good = utf8_prefix(text, &stop);

    if (good == text.len || (stop.incomplete && cut))
        return bytes_of(text.ptr, good);

    struct output out = output_open(bump, text.len);
    while (text.len > 0) {
        good = utf8_prefix(text, &stop);
        output_append(&out, text.ptr, good);
        if (good < text.len)
            output_code_point(&out, REPLACEMENT);
        text = bytes_of(text.ptr + good + stop.len, text.len - good - stop.len);
    }
    return output_close(&out);
}

/* Encoding standard, index windows-1252, 0x80 to 0x9F; the rest is Latin-1. */
static const uint16_t windows_1252[32] = {
    0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008d, 0x017d, 0x008f, 0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178,
};

static struct bytes from_windows_1252(struct bump *bump, struct bytes text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    size_t i = ascii_prefix(text);

    if (i == text.len)
        return text;

    struct output out = output_open(bump, text.len);
    output_append(&out, p, i);
    while (i < text.len) {
        size_t ascii;

        output_code_point(&out, p[i] >= 0x80 && p[i] < 0xa0 ? windows_1252[p[i] - 0x80] : p[i]);
        i++;
        ascii = ascii_prefix(bytes_of(text.ptr + i, text.len - i));
        output_append(&out, p + i, ascii);
        i += ascii;
    }
    return output_close(&out);
}

static uint32_t utf16_unit(const unsigned char *p, bool big_endian)
{
    return big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static struct bytes from_utf16(struct bump *bump, struct bytes text, bool big_endian, bool cut)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    struct output out = output_open(bump, text.len);
    size_t i = 0;

    while (text.len - i >= 2) {
        uint32_t c = utf16_unit(p + i, big_endian);

        i += 2;
        if (c >= 0xd800 && c < 0xdc00 && text.len - i >= 2) {
            uint32_t trail = utf16_unit(p + i, big_endian);
            if (trail >= 0xdc00 && trail < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (trail - 0xdc00);
                i += 2;
            }
        }
        output_code_point(&out, c >= 0xd800 && c < 0xe000 ? REPLACEMENT : c);
    }
    if (i < text.len && !cut)
        output_code_point(&out, REPLACEMENT);
    return output_close(&out);
}

/* By the byte order mark; CHARSET_NONE without one. */
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
    struct charset_choice choice = by_mark(page);

    if (choice.charset == CHARSET_NONE) {
        choice.charset = charset_of_label(charset_parameter(content_type));
        choice.certain = choice.charset != CHARSET_NONE;
    }
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
    if (now == meta || now == CHARSET_UTF_16BE || now == CHARSET_UTF_16LE)
        return false;
    choice->charset = meta;
    return true;
}

int charset_convert(struct bump *bump, enum charset charset, struct bytes text, bool cut,
                    struct bytes *ret)
{
    switch (charset) {
    case CHARSET_NONE:
    case CHARSET_COUNT:
        return -EOPNOTSUPP;
    case CHARSET_UTF_8:
        *ret = repair_utf8(bump, text, cut);
        break;
    case CHARSET_UTF_16LE:
    case CHARSET_UTF_16BE:
        *ret = from_utf16(bump, text, charset == CHARSET_UTF_16BE, cut);
        break;
    case CHARSET_WINDOWS_1252:
        *ret = from_windows_1252(bump, text);
        break;
    }
    return 0;
}

enum charset charset_to_utf8(struct bump *bump, struct bytes page, struct bytes content_type,
                             bool cut, struct bytes *ret_text)
{
    struct charset_choice choice = charset_declared(page, content_type);

    if (choice.charset == CHARSET_NONE)
        choice.charset = charset_guess(page, cut);
    charset_convert(bump, choice.charset, bytes_of(page.ptr + choice.mark, page.len - choice.mark),
                    cut, ret_text);
    return choice.charset;
}
