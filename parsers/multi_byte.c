#include "parsers/multi_byte.h"

#include "core/base/utf8.h"
#include "parsers/utf8_out.h"

#include <assert.h>
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <wchar.h>

enum converter { UHC, CP932, GB18030, BIG5_HKSCS, EUC_JP_MS, CONVERTERS };

static const char *const iconv_names[CONVERTERS] = {
    [UHC] = "UHC",
    [CP932] = "CP932",
    [GB18030] = "GB18030",
    [BIG5_HKSCS] = "BIG5-HKSCS",
    [EUC_JP_MS] = "EUC-JP-MS",
};

struct multi_byte {
    iconv_t cd[CONVERTERS];
};

static const iconv_t closed = (iconv_t)-1;

int multi_byte_open(struct multi_byte **ret)
{
    struct multi_byte *m = malloc(sizeof *m);

    if (!m)
        return -ENOMEM;
    for (size_t i = 0; i < CONVERTERS; i++)
        m->cd[i] = closed;
    for (size_t i = 0; i < CONVERTERS; i++) {
        /* To glibc's own form, which is UCS-4: one step less than to UTF-8. */
        m->cd[i] = iconv_open("WCHAR_T", iconv_names[i]);
        if (m->cd[i] == closed && errno != EINVAL) {
            int rc = -errno;
            multi_byte_close(m);
            return rc;
        }
    }
    *ret = m;
    return 0;
}

void multi_byte_close(struct multi_byte *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < CONVERTERS; i++)
        if (m->cd[i] != closed)
            iconv_close(m->cd[i]);
    free(m);
}

/* -- sequences ---------------------------------------------------------------------------------
 *
 * Each function below judges what stands at the start of a text by the standard's decoder of one
 * encoding. p[0] is not ASCII.
 */

enum {
    PLAIN, /* for iconv */
    CODE,  /* is `code`, and `second` when that is not 0 */
    BAD,   /* ill-formed */
    SHORT, /* the beginning of a sequence, and the end of the text */
};

struct unit { /* small, to be returned in a register */
    uint8_t kind, len;
    uint16_t second;
    uint32_t code;
};

static struct unit unit_plain(uint8_t len)
{
    return (struct unit){.kind = PLAIN, .len = len};
}

static struct unit unit_code(uint8_t len, uint32_t code)
{
    return (struct unit){.kind = CODE, .len = len, .code = code};
}

/* An ASCII byte at the end of an ill-formed sequence is not part of it. */
static struct unit unit_bad(const unsigned char *p, uint8_t len)
{
    bool ascii = len > 1 && p[len - 1] < 0x80;

    return (struct unit){.kind = BAD, .len = (uint8_t)(len - ascii)};
}

static struct unit unit_short(size_t left)
{
    return (struct unit){.kind = SHORT, .len = (uint8_t)left};
}

static bool within(unsigned char c, unsigned char low, unsigned char high)
{
    return c >= low && c <= high;
}

/* What iconv has otherwise than the standard, or not at all. */
struct patch {
    uint16_t pair;
    uint32_t code;
};

/* The code point of a pair, 0 without one; `patches` is sorted. */
static uint32_t patched(const struct patch *patches, size_t count, unsigned pair)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (patches[middle].pair < pair)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && patches[low].pair == pair ? patches[low].code : 0;
}

static struct unit euc_kr_unit(struct multi_byte *m, const unsigned char *p, size_t left)
{
    (void)m;
    if (!within(p[0], 0x81, 0xfe))
        return unit_bad(p, 1);
    if (left < 2)
        return unit_short(left);
    /* 0xA2E8 was given a meaning after the standard; glibc refuses it, but has taken it by then. */
    bool known = within(p[1], 0x41, 0xfe) && !(p[0] == 0xa2 && p[1] == 0xe8);
    return known ? unit_plain(2) : unit_bad(p, 2);
}

static struct unit shift_jis_unit(struct multi_byte *m, const unsigned char *p, size_t left)
{
    (void)m;
    if (p[0] == 0x80)
        return unit_code(1, 0x80);
    if (within(p[0], 0xa1, 0xdf)) /* a half-width katakana */
        return unit_plain(1);
    if (!within(p[0], 0x81, 0xfc) || p[0] == 0xa0)
        return unit_bad(p, 1);
    if (left < 2)
        return unit_short(left);
    return within(p[1], 0x40, 0xfc) && p[1] != 0x7f ? unit_plain(2) : unit_bad(p, 2);
}

/* Index big5 has more than Big5-HKSCS, and Microsoft's code points for some symbols. */
static const struct patch big5_patches[] = {
#define PATCH(pair, code) {pair, code},
#include "parsers/multi_byte_big5.inc"
#undef PATCH
};

static struct unit big5_unit(struct multi_byte *m, const unsigned char *p, size_t left)
{
    (void)m;
    if (!within(p[0], 0x81, 0xfe))
        return unit_bad(p, 1);
    if (left < 2)
        return unit_short(left);
    if (!within(p[1], 0x40, 0x7e) && !within(p[1], 0xa1, 0xfe))
        return unit_bad(p, 2);

    unsigned pair = (unsigned)p[0] << 8 | p[1];
    switch (pair) { /* two code points each; iconv would keep the second back */
    case 0x8862:
        return (struct unit){.kind = CODE, .len = 2, .code = 0xca, .second = 0x304};
    case 0x8864:
        return (struct unit){.kind = CODE, .len = 2, .code = 0xca, .second = 0x30c};
    case 0x88a3:
        return (struct unit){.kind = CODE, .len = 2, .code = 0xea, .second = 0x304};
    case 0x88a5:
        return (struct unit){.kind = CODE, .len = 2, .code = 0xea, .second = 0x30c};
    }
    uint32_t code = 0;
    if (p[0] <= 0xa3 || p[0] == 0xc6 || p[0] >= 0xfa)
        code = patched(big5_patches, sizeof big5_patches / sizeof big5_patches[0], pair);
    return code ? unit_code(2, code) : unit_plain(2);
}

/*
 * GB 18030: glibc 2.36 follows the edition of 2005 and newer ones that of 2022. The standard has
 * the pairs as in 2022, other than U+3000, but where 2022 swapped a four-byte sequence for a pair
 * it lets both mean the same.
 */
static const struct patch gb18030_patches[] = {
    {0xa3a0, 0x3000}, {0xfe51, 0xe816}, {0xfe52, 0xe817}, {0xfe53, 0xe818},
    {0xfe6c, 0xe831}, {0xfe76, 0xe83b}, {0xfe91, 0xe855},
};

static uint32_t gb18030_four(const unsigned char *p)
{
    static const struct {
        unsigned char first[4];
        uint32_t count, code;
    } runs[] = {{{0x82, 0x35, 0x90, 0x37}, 8, 0x9fb4}, {{0x84, 0x31, 0x82, 0x36}, 10, 0xfe10}};

    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        if (p[0] != runs[i].first[0] || p[1] != runs[i].first[1])
            continue;
        int at = (p[2] - runs[i].first[2]) * 10 + p[3] - runs[i].first[3];
        if (at >= 0 && at < (int)runs[i].count)
            return runs[i].code + (uint32_t)at;
    }
    return 0;
}

static struct unit gb18030_unit(struct multi_byte *m, const unsigned char *p, size_t left)
{
    uint32_t code = 0;

    (void)m;
    if (p[0] == 0x80)
        return unit_code(1, 0x20ac);
    if (p[0] == 0xff)
        return unit_bad(p, 1);
    if (left < 2)
        return unit_short(left);
    if (within(p[1], 0x30, 0x39)) { /* of four bytes; the digit is text again when it is not */
        if (left < 3)
            return unit_short(left);
        if (!within(p[2], 0x81, 0xfe))
            return unit_bad(p, 1);
        if (left < 4)
            return unit_short(left);
        if (!within(p[3], 0x30, 0x39))
            return unit_bad(p, 1);
        code = gb18030_four(p);
        return code ? unit_code(4, code) : unit_plain(4);
    }
    if (!within(p[1], 0x40, 0xfe) || p[1] == 0x7f)
        return unit_bad(p, 2);
    if (p[0] == 0xa3 || p[0] == 0xfe)
        code = patched(gb18030_patches, sizeof gb18030_patches / sizeof gb18030_patches[0],
                       (unsigned)p[0] << 8 | p[1]);
    return code ? unit_code(2, code) : unit_plain(2);
}

/* EUC-JP-MS has user-defined characters in rows 85 to 94, where index jis0208 has others. */
static struct unit euc_jp_pair(struct multi_byte *m, const unsigned char *p)
{
    if (p[0] < 0xf5)
        return unit_plain(2);
    uint32_t code = multi_byte_jis0208(m, p[0] & 0x7fu, p[1] & 0x7fu);
    return code == UTF8_OUT_REPLACEMENT ? unit_bad(p, 2) : unit_code(2, code);
}

static struct unit euc_jp_unit(struct multi_byte *m, const unsigned char *p, size_t left)
{
    if (p[0] != 0x8e && p[0] != 0x8f && !within(p[0], 0xa1, 0xfe))
        return unit_bad(p, 1);
    if (left < 2)
        return unit_short(left);
    if (!within(p[1], 0xa1, p[0] == 0x8e ? 0xdf : 0xfe))
        return unit_bad(p, 2);
    if (p[0] == 0x8e) /* a half-width katakana */
        return unit_plain(2);
    if (p[0] != 0x8f)
        return euc_jp_pair(m, p);

    if (left < 3)
        return unit_short(left);
    if (!within(p[2], 0xa1, 0xfe) || p[1] > 0xed) /* index jis0212 ends in row 77 */
        return unit_bad(p, 3);
    return p[1] == 0xa2 && p[2] == 0xc3 ? unit_code(3, 0xa6) : unit_plain(3);
}

typedef struct unit unit_fn(struct multi_byte *m, const unsigned char *p, size_t left);

/* GBK is decoded as gb18030 (section 10.1.1). */
static const struct {
    unit_fn *unit;
    enum converter converter;
} encodings[CHARSET_COUNT] = {
    [CHARSET_GBK] = {gb18030_unit, GB18030},       [CHARSET_GB18030] = {gb18030_unit, GB18030},
    [CHARSET_BIG5] = {big5_unit, BIG5_HKSCS},      [CHARSET_EUC_JP] = {euc_jp_unit, EUC_JP_MS},
    [CHARSET_SHIFT_JIS] = {shift_jis_unit, CP932}, [CHARSET_EUC_KR] = {euc_kr_unit, UHC},
};

/* -- the text ---------------------------------------------------------------------------------- */

static_assert(sizeof(wchar_t) == sizeof(uint32_t), "WCHAR_T is UCS-4");

/* Appends a run of sequences that iconv judges one by one. */
static void convert_run(struct multi_byte *m, enum charset c, const unsigned char *p, size_t len,
                        struct utf8_out *out)
{
    iconv_t cd = m->cd[encodings[c].converter];
    union {
        const unsigned char *read;
        char *iconv; /* which only reads */
    } from = {.read = p};

    while (len > 0) {
        wchar_t wide[128];
        char *to = (char *)wide;
        size_t room = sizeof wide;
        size_t rc = iconv(cd, &from.iconv, &len, &to, &room);
        size_t count = sizeof wide / sizeof wide[0] - room / sizeof wide[0];
        bool bad = rc == (size_t)-1 && errno != E2BIG;

        utf8_out_reserve(out, count * UTF8_OUT_CODE_MAX);
        for (size_t i = 0; i < count; i++)
            utf8_out_put_reserved(out, (uint32_t)wide[i]);
        if (bad && len > 0) { /* len: to be sure that it ends */
            size_t skip = encodings[c].unit(m, from.read, len).len;
            utf8_out_put(out, UTF8_OUT_REPLACEMENT);
            if (skip == 2 && from.read[1] < 0x80)
                utf8_out_put(out, from.read[1]);
            from.read += skip;
            len -= skip;
        }
    }
}

void multi_byte_decode(struct multi_byte *m, enum charset c, struct bytes text, bool cut,
                       struct utf8_out *out)
{
    const unsigned char *p = (const unsigned char *)text.ptr, *end = p + text.len;

    while (p < end) {
        size_t ascii = ascii_prefix(bytes_of((const char *)p, (size_t)(end - p)));
        utf8_out_append(out, p, ascii);
        p += ascii;

        const unsigned char *run = p;
        struct unit unit = {.kind = PLAIN};
        while (p < end && p[0] >= 0x80) {
            unit = encodings[c].unit(m, p, (size_t)(end - p));
            if (unit.kind != PLAIN)
                break;
            p += unit.len;
        }
        convert_run(m, c, run, (size_t)(p - run), out);
        p += unit.kind == PLAIN ? 0 : unit.len;
        if (unit.kind == CODE) {
            utf8_out_put(out, unit.code);
            if (unit.second)
                utf8_out_put(out, unit.second);
        } else if (unit.kind == BAD || (unit.kind == SHORT && !cut)) {
            utf8_out_put(out, UTF8_OUT_REPLACEMENT);
        }
    }
}

bool multi_byte_has(const struct multi_byte *m, enum charset c)
{
    return encodings[c].unit && m->cd[encodings[c].converter] != closed;
}

uint32_t multi_byte_jis0208(struct multi_byte *m, unsigned lead, unsigned trail)
{
    /* As Shift_JIS has it: there CP932 is index jis0208. */
    unsigned pointer = (lead - 0x21) * 94 + trail - 0x21;
    unsigned row = pointer / 188, column = pointer % 188;
    char pair[2] = {(char)(row + (row < 0x1f ? 0x81 : 0xc1)),
                    (char)(column + (column < 0x3f ? 0x40 : 0x41))};
    wchar_t wide = 0;
    char *from = pair, *to = (char *)&wide;
    size_t len = sizeof pair, room = sizeof wide;

    if (m->cd[CP932] == closed || iconv(m->cd[CP932], &from, &len, &to, &room) == (size_t)-1)
        return UTF8_OUT_REPLACEMENT;
    return (uint32_t)wide;
}
