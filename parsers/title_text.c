#include "parsers/title_text.h"

#include "parsers/collapse.h"

#include <stdint.h>

/* What titles are written with; in the standard's table all of them are, with many more. */
static const struct {
    const char *name, *text;
} references[] = {
    {"amp", "&"},         {"quot", "\""},       {"lt", "<"},          {"gt", ">"},
    {"apos", "'"},        {"nbsp", "\u00a0"},   {"raquo", "\u00bb"},  {"laquo", "\u00ab"},
    {"ndash", "\u2013"},  {"mdash", "\u2014"},  {"middot", "\u00b7"}, {"bull", "\u2022"},
    {"hellip", "\u2026"}, {"lsquo", "\u2018"},  {"rsquo", "\u2019"},  {"ldquo", "\u201c"},
    {"rdquo", "\u201d"},  {"sbquo", "\u201a"},  {"bdquo", "\u201e"},  {"lsaquo", "\u2039"},
    {"rsaquo", "\u203a"}, {"copy", "\u00a9"},   {"reg", "\u00ae"},    {"trade", "\u2122"},
    {"euro", "\u20ac"},   {"pound", "\u00a3"},  {"deg", "\u00b0"},    {"times", "\u00d7"},
    {"agrave", "\u00e0"}, {"aacute", "\u00e1"}, {"acirc", "\u00e2"},  {"atilde", "\u00e3"},
    {"auml", "\u00e4"},   {"aring", "\u00e5"},  {"aelig", "\u00e6"},  {"ccedil", "\u00e7"},
    {"egrave", "\u00e8"}, {"eacute", "\u00e9"}, {"ecirc", "\u00ea"},  {"euml", "\u00eb"},
    {"igrave", "\u00ec"}, {"iacute", "\u00ed"}, {"icirc", "\u00ee"},  {"iuml", "\u00ef"},
    {"ntilde", "\u00f1"}, {"ograve", "\u00f2"}, {"oacute", "\u00f3"}, {"ocirc", "\u00f4"},
    {"otilde", "\u00f5"}, {"ouml", "\u00f6"},   {"oslash", "\u00f8"}, {"ugrave", "\u00f9"},
    {"uacute", "\u00fa"}, {"ucirc", "\u00fb"},  {"uuml", "\u00fc"},   {"szlig", "\u00df"},
    {"Auml", "\u00c4"},   {"Ouml", "\u00d6"},   {"Uuml", "\u00dc"},   {"Eacute", "\u00c9"},
    {"Agrave", "\u00c0"}, {"Ccedil", "\u00c7"}, {"Aring", "\u00c5"},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* The value of a number in digits alone, at most `max`; false for any other text. */
static bool number(struct bytes digits, unsigned base, uint32_t max, uint32_t *ret)
{
    uint32_t value = 0;

    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.ptr[i], low = (char)(c | 0x20);
        if (is_digit(c))
            value = value * base + (uint32_t)(c - '0');
        else if (base == 16 && low >= 'a' && low <= 'f')
            value = value * base + (uint32_t)(low - 'a') + 10;
        else
            return false;
        if (value > max)
            return false;
    }
    *ret = value;
    return digits.len > 0;
}

/*
 * Whether a numeric reference to it is the character itself, for gumbo, too: no control but white
 * space, no surrogate, no noncharacter, none of what html.c has stand-ins in.
 */
static bool stands_for_itself(uint32_t code)
{
    if (code < 0xa0)
        return (code >= 0x20 && code < 0x7f) || code == '\t' || code == '\n';
    return !(code >= 0xd800 && code < 0xe000) && !(code >= 0xfdd0 && code < 0xfdf0) &&
           (code & 0xfffe) != 0xfffe && !(code >= 0x10f400 && code < 0x10f800);
}

/* Writes a character in UTF-8; returns its length. */
static size_t put(uint32_t code, char to[static 4])
{
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = len; i-- > 1; code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3f));
    to[0] = (char)(leads[len] | code);
    return len;
}

/* Takes a numeric reference; `digits` is what stands between "&#" and its semicolon. */
static bool append_numeric(struct collapse *c, struct bytes digits)
{
    enum { HIGHEST = 0x10ffff };
    unsigned base = 10;
    uint32_t code;
    char text[4];

    if (digits.len > 0 && (digits.ptr[0] | 0x20) == 'x') {
        base = 16;
        digits = bytes_of(digits.ptr + 1, digits.len - 1);
    }
    if (!number(digits, base, HIGHEST, &code) || !stands_for_itself(code))
        return false;
    collapse_append(c, bytes_of(text, put(code, text)));
    return true;
}

static bool append_named(struct collapse *c, struct bytes name)
{
    for (size_t i = 0; i < sizeof references / sizeof references[0]; i++) {
        if (!bytes_equal(name, bytes_cstr(references[i].name)))
            continue;
        collapse_append(c, bytes_cstr(references[i].text));
        return true;
    }
    return false;
}

/* Takes the reference at text->ptr, a '&', or that as it is, and goes behind it. */
static bool append_reference(struct collapse *c, struct bytes *text)
{
    bool numeric = text->len > 1 && text->ptr[1] == '#', taken;
    size_t start = numeric ? 2 : 1, end = start;

    while (end < text->len && is_alnum(text->ptr[end]))
        end++;
    struct bytes name = bytes_of(text->ptr + start, end - start);
    bool closed = end < text->len && text->ptr[end] == ';';

    if (numeric)
        taken = closed && append_numeric(c, name);
    else if (closed && name.len > 0)
        taken = append_named(c, name);
    else if ((taken = name.len <= 1)) /* no reference without a semicolon is as short */
        collapse_append(c, bytes_of(text->ptr, end));
    end += closed && (numeric || name.len > 0);
    *text = bytes_of(text->ptr + end, text->len - end);
    return taken;
}

bool title_text(struct bytes source, char to[static TITLE_MAX], struct bytes *ret)
{
    struct collapse c = {.text = to, .most = TITLE_MAX};

    if (source.len > TITLE_SOURCE_MAX || (source.len > 0 && memchr(source.ptr, '\0', source.len)))
        return false;
    while (source.len > 0) {
        const char *and = memchr(source.ptr, '&', source.len);
        size_t plain = and? (size_t)(and-source.ptr) : source.len;

        collapse_append(&c, bytes_of(source.ptr, plain));
        source = bytes_of(source.ptr + plain, source.len - plain);
        if (source.len > 0 && !append_reference(&c, &source))
            return false;
    }
    *ret = bytes_of(to, c.len);
    return true;
}
