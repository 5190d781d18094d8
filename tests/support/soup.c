#include "tests/support/soup.h"

#include "parsers/label.h"

#include <stdio.h>

#include "tests/support/soup.inc"

/* With a label in the middle. */
static const struct {
    const char *before, *behind;
} metas[] = {
    {"<meta charset=", ">"},
    {"<meta charset=", ">"},
    {"<META CharSet = '", "' />"},
    {"<meta http-equiv=content-type content='text/html; charset=", "'>"},
    {"<meta content=\"charset='", "'\" http-equiv=&#99;ontent-type>"},
    {"<meta charset=no http-equiv=content-type content='charset=", "'>"},
    {"<meta http-equiv content='charset=", "'>"},
    {"<meta\xe9 charset=", ">"},
    {"<meta http-equiv=content-type content='\x81"
     "charset=no; charset=",
     "'>"},
    {"\x1b(B<me\x1b(Bta charset=", ">"},
    {"<p></p><meta charset=", "><frameset>"},
    {"<!-- <meta charset=", "> -->"},
    {"<script>'<meta charset=", ">'</script>"},
    {"<p title='<meta charset=", ">'>"},
    {"<meta charset=", ""},
};

static const char *const odd_labels[] = {
    "latin1", "UTF8", " utf-8 ", "x-sjis", "utf-16", "hz-gb-2312", "nonsense", "",
};

enum {
    PIECES = sizeof pieces / sizeof pieces[0],
    HEAD_PIECES = sizeof head_pieces / sizeof head_pieces[0],
    TITLE_PIECES = sizeof title_pieces / sizeof title_pieces[0],
    ODD_BYTES = sizeof odd_bytes / sizeof odd_bytes[0],
    METAS = sizeof metas / sizeof metas[0],
    ODD_LABELS = sizeof odd_labels / sizeof odd_labels[0],
    PIECES_MAX = 40, /* in a page */
    TITLE_PIECES_MAX = 6,
    GAP_MAX = 6000,
    RUN_MAX = 6,
};

/* splitmix64 */
uint32_t soup_below(struct soup *s, uint32_t bound)
{
    uint64_t x = s->state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((x ^ x >> 31) >> 32) % bound;
}

/* So many spaces that what follows is behind the prescan, or in the next chunk. */
static void put_gap(struct soup *s, struct buffer *out)
{
    size_t len = soup_below(s, GAP_MAX);

    if (buffer_reserve(out, len)) {
        memset(out->ptr + out->len, ' ', len);
        out->len += len;
    }
}

struct bytes soup_label(struct soup *s)
{
    uint32_t at = soup_below(s, CHARSET_COUNT + ODD_LABELS);

    return bytes_cstr(at < CHARSET_COUNT ? charset_name((enum charset)at)
                                         : odd_labels[at - CHARSET_COUNT]);
}

static void put_labelled(struct soup *s, struct buffer *out, const char *before, const char *behind)
{
    struct bytes label = soup_label(s);

    buffer_printf(out, "%s%.*s%s", before, (int)label.len, label.ptr, behind);
}

/* Bytes that may be characters of some encoding, whole and half ones. */
static void put_run(struct soup *s, struct buffer *out)
{
    uint32_t len = 1 + soup_below(s, RUN_MAX), low = soup_below(s, 3) ? 0x80 : 0x21;

    for (uint32_t i = 0; i < len; i++)
        buffer_byte(out, (char)(low + soup_below(s, 0x100 - low)));
}

static void put_odd(struct soup *s, struct buffer *out)
{
    uint32_t at = soup_below(s, ODD_BYTES + METAS + RUN_MAX + 1);

    if (at < ODD_BYTES)
        buffer_append(out, odd_bytes[at].ptr, odd_bytes[at].len);
    else if (at < ODD_BYTES + METAS)
        put_labelled(s, out, metas[at - ODD_BYTES].before, metas[at - ODD_BYTES].behind);
    else if (at < ODD_BYTES + METAS + RUN_MAX)
        put_run(s, out);
    else
        put_gap(s, out);
}

static void put_any(struct soup *s, struct buffer *out, const struct bytes *from, uint32_t count)
{
    struct bytes piece = from[soup_below(s, count)];

    buffer_append(out, piece.ptr, piece.len);
}

static void put_title(struct soup *s, struct buffer *out)
{
    buffer_text(out, "<title>");
    for (uint32_t count = soup_below(s, TITLE_PIECES_MAX); count > 0; count--)
        put_any(s, out, title_pieces, TITLE_PIECES);
    buffer_text(out, "</title>");
}

static void put_head_piece(struct soup *s, struct buffer *out)
{
    uint32_t what = soup_below(s, 20);

    if (what == 0)
        put_any(s, out, pieces, PIECES);
    else if (what < 3)
        put_title(s, out);
    else
        put_any(s, out, head_pieces, HEAD_PIECES);
}

void soup_page(struct soup *s, enum soup_kind kind, struct buffer *out)
{
    uint32_t count = 1 + soup_below(s, PIECES_MAX);

    out->len = 0;
    if (kind == SOUP_BYTES && soup_below(s, 8) == 0)
        put_labelled(s, out, "<?xml version='1.0' encoding='", "'?>");
    for (uint32_t i = 0; i < count; i++) {
        if (kind == SOUP_BYTES && soup_below(s, 5) == 0) {
            put_odd(s, out);
            continue;
        }
        if (kind == SOUP_HEAD)
            put_head_piece(s, out);
        else
            put_any(s, out, pieces, PIECES);
    }
}

void soup_widen(struct buffer *page, bool big_endian)
{
    size_t len = page->len;

    if (!buffer_reserve(page, len))
        return;
    for (size_t i = len; i-- > 0;) {
        char c = page->ptr[i];
        page->ptr[2 * i + !big_endian] = '\0';
        page->ptr[2 * i + big_endian] = c;
    }
    page->len = 2 * len;
}
