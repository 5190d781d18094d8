#include "parsers/iso_2022_jp.h"

#include "parsers/multi_byte.h"
#include "parsers/utf8_out.h"

enum { ESC = 0x1b, SHIFT_OUT = 0x0e, SHIFT_IN = 0x0f };

/* The standard's "decoder output state"; its other states are places in the code below. */
enum set { ASCII, ROMAN, KATAKANA, JIS0208 };

struct decoder {
    struct multi_byte *m;
    const unsigned char *p, *end;
    bool cut;
    bool quiet; /* nothing came out since the last escape sequence: "output flag" */
    enum set set;
    struct utf8_out *out;
};

static void put(struct decoder *d, uint32_t code)
{
    d->quiet = false;
    utf8_out_put(d->out, code);
}

/* At an ESC. One that begins no escape sequence is ill-formed, and what follows it is text. */
static void escape(struct decoder *d)
{
    static const struct {
        char bytes[2];
        enum set set;
    } sequences[] = {
        {{'(', 'B'}, ASCII},   {{'(', 'J'}, ROMAN},   {{'(', 'I'}, KATAKANA},
        {{'$', '@'}, JIS0208}, {{'$', 'B'}, JIS0208},
    };
    size_t left = (size_t)(d->end - d->p);

    for (size_t i = 0; left > 2 && i < sizeof sequences / sizeof sequences[0]; i++) {
        if (memcmp(d->p + 1, sequences[i].bytes, 2) != 0)
            continue;
        if (d->quiet) /* two in a row hide what a reader would see: an attack */
            utf8_out_put(d->out, UTF8_OUT_REPLACEMENT);
        d->set = sequences[i].set;
        d->quiet = true;
        d->p += 3;
        return;
    }
    if (d->cut && (left == 1 || (left == 2 && (d->p[1] == '(' || d->p[1] == '$')))) {
        d->p = d->end;
        return;
    }
    d->p++;
    put(d, UTF8_OUT_REPLACEMENT);
}

static uint32_t single(enum set set, unsigned char c)
{
    if (set == KATAKANA)
        return c >= 0x21 && c <= 0x5f ? 0xff61u - 0x21 + c : UTF8_OUT_REPLACEMENT;
    if (c >= 0x80 || c == SHIFT_OUT || c == SHIFT_IN)
        return UTF8_OUT_REPLACEMENT;
    if (set == ROMAN && c == 0x5c)
        return 0xa5;
    return set == ROMAN && c == 0x7e ? 0x203e : c;
}

static bool in_jis0208(unsigned char c)
{
    return c >= 0x21 && c <= 0x7e;
}

static void pair(struct decoder *d)
{
    unsigned char lead = *d->p++;

    if (!in_jis0208(lead)) {
        put(d, UTF8_OUT_REPLACEMENT);
    } else if (d->p == d->end) {
        if (!d->cut)
            put(d, UTF8_OUT_REPLACEMENT);
    } else if (*d->p == ESC) {
        put(d, UTF8_OUT_REPLACEMENT);
    } else {
        unsigned char trail = *d->p++;
        put(d, in_jis0208(trail) ? multi_byte_jis0208(d->m, lead, trail) : UTF8_OUT_REPLACEMENT);
    }
}

void iso_2022_jp_decode(struct multi_byte *m, struct bytes text, bool cut, struct utf8_out *out)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    struct decoder d = {.m = m, .p = p, .end = p + text.len, .cut = cut, .out = out};

    while (d.p < d.end) {
        if (*d.p == ESC)
            escape(&d);
        else if (d.set == JIS0208)
            pair(&d);
        else
            put(&d, single(d.set, *d.p++));
    }
}
