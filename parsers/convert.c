#include "parsers/convert.h"

#include "core/base/utf8.h"
#include "parsers/iso_2022_jp.h"
#include "parsers/multi_byte.h"
#include "parsers/single_byte.h"
#include "parsers/utf8_out.h"

#include <errno.h>

static void repair_utf8(struct bytes text, bool cut, struct utf8_out *out)
{
    while (text.len > 0) {
        struct utf8_unit stop;
        size_t good = utf8_prefix(text, &stop);

        utf8_out_append(out, text.ptr, good);
        if (good < text.len && !(stop.incomplete && cut))
            utf8_out_put(out, UTF8_OUT_REPLACEMENT);
        text = bytes_of(text.ptr + good + stop.len, text.len - good - stop.len);
    }
}

static uint32_t utf16_unit(const unsigned char *p, bool big_endian)
{
    return big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static bool is_surrogate(uint32_t c)
{
    return c >= 0xd800 && c < 0xe000;
}

/* Encoding standard, section 14.2.1. What the end cuts off is one U+FFFD, however much it is. */
static void utf16_decode(struct bytes text, bool big_endian, bool cut, struct utf8_out *out)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    size_t i = 0;

    while (text.len - i >= 2) {
        uint32_t c = utf16_unit(p + i, big_endian);

        if (c >= 0xd800 && c < 0xdc00) {
            if (text.len - i < 4)
                break;
            uint32_t trail = utf16_unit(p + i + 2, big_endian);
            if (trail >= 0xdc00 && trail < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (trail - 0xdc00);
                i += 2;
            }
        }
        i += 2;
        utf8_out_put(out, is_surrogate(c) ? UTF8_OUT_REPLACEMENT : c);
    }
    if (i < text.len && !cut)
        utf8_out_put(out, UTF8_OUT_REPLACEMENT);
}

static void x_user_defined_decode(struct bytes text, struct utf8_out *out)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        utf8_out_put(out, c < 0x80 ? c : 0xf780u + c - 0x80);
    }
}

/* -EOPNOTSUPP for what convert_to_utf8() does not decode. */
static int decode(struct multi_byte *m, enum charset c, struct bytes text, bool cut,
                  struct utf8_out *out)
{
    switch (c) {
    case CHARSET_UTF_8:
        repair_utf8(text, cut, out);
        return 0;
    case CHARSET_UTF_16BE:
    case CHARSET_UTF_16LE:
        utf16_decode(text, c == CHARSET_UTF_16BE, cut, out);
        return 0;
    case CHARSET_X_USER_DEFINED:
        x_user_defined_decode(text, out);
        return 0;
    case CHARSET_ISO_2022_JP:
        if (!multi_byte_has(m, CHARSET_SHIFT_JIS))
            return -EOPNOTSUPP;
        iso_2022_jp_decode(m, text, cut, out);
        return 0;
    default:
        if (charset_is_single_byte(c))
            single_byte_decode(c, text, out);
        else if (multi_byte_has(m, c))
            multi_byte_decode(m, c, text, cut, out);
        else
            return -EOPNOTSUPP;
        return 0;
    }
}

/* UTF-8 that is well-formed but for an end that was cut off; *ret_len is its length without that.
 */
static bool is_utf8(struct bytes text, bool cut, size_t *ret_len)
{
    struct utf8_unit stop;

    *ret_len = utf8_prefix(text, &stop);
    return *ret_len == text.len || (stop.incomplete && cut);
}

int convert_to_utf8(struct multi_byte *m, struct bump *bump, enum charset c, struct bytes text,
                    bool cut, struct bytes *ret)
{
    size_t len;

    if (text.len == 0)
        text = BYTES(""); /* ptr may be NULL */
    if (c == CHARSET_UTF_8 && is_utf8(text, cut, &len)) {
        *ret = bytes_of(text.ptr, len);
        return 0;
    }
    if (charset_keeps_ascii(c) && ascii_prefix(text) == text.len) {
        *ret = text;
        return 0;
    }
    struct utf8_out out = utf8_out_open(bump, text.len);
    int rc = decode(m, c, text, cut, &out);
    if (rc == 0)
        *ret = utf8_out_close(&out);
    return rc;
}
