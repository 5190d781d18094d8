#include "tests/support/soup.h"

#include "parsers/label.h"

#include <stdio.h>

/* Each is taken as often as it stands here. */
static const struct bytes pieces[] = {
#define P(literal)                                                                                 \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
    P("<title>"),
    P("<title>"),
    P("<title>A</title>"),
    P("<title>B &amp; b</title>"),
    P("</title>"),
    P("</title>"),
    P("</title >"),
    P("</title/>"),
    P("</title x='>'>"),
    P("</TITLE\n>"),
    P("</titles>"),
    P("</title"),
    P("</ti"),
    P("<title x=y>"),
    P("<title/>"),
    P("<title></title>"),
    P("<html>"),
    P("<html lang=x>"),
    P("</html>"),
    P("<head>"),
    P("<head>"),
    P("</head>"),
    P("<head x>"),
    P("<body>"),
    P("</body>"),
    P("<!doctype html>"),
    P("<!doctype x PUBLIC \"y\">"),
    P("<template>"),
    P("<template>"),
    P("</template>"),
    P("</template>"),
    P("<noscript>"),
    P("</noscript>"),
    P("<script>"),
    P("</script>"),
    P("<script><!--"),
    P("<script>x"),
    P("--><"),
    P("<style>"),
    P("</style>"),
    P("<textarea>"),
    P("</textarea>"),
    P("<noframes>"),
    P("</noframes>"),
    P("<iframe>"),
    P("</iframe>"),
    P("<noembed>"),
    P("<xmp>"),
    P("</xmp>"),
    P("<plaintext>"),
    P("<svg>"),
    P("<svg>"),
    P("</svg>"),
    P("<math>"),
    P("</math>"),
    P("<mi>"),
    P("<foreignObject>"),
    P("</foreignObject>"),
    P("<desc>"),
    P("</desc>"),
    P("<mglyph>"),
    P("<annotation-xml encoding='text/html'>"),
    P("<table>"),
    P("<table>"),
    P("</table>"),
    P("<tr>"),
    P("<td>"),
    P("</td>"),
    P("<tbody>"),
    P("<caption>"),
    P("</caption>"),
    P("<col>"),
    P("<colgroup>"),
    P("<select>"),
    P("</select>"),
    P("<option>"),
    P("<optgroup>"),
    P("<input>"),
    P("<input type=hidden>"),
    P("<form>"),
    P("</form>"),
    P("<button>"),
    P("</button>"),
    P("<p>"),
    P("</p>"),
    P("<div>"),
    P("</div>"),
    P("<br>"),
    P("</br>"),
    P("<hr>"),
    P("<li>"),
    P("<dd>"),
    P("<h1>"),
    P("</h1>"),
    P("<pre>\n"),
    P("<ruby>"),
    P("<rt>"),
    P("<b>"),
    P("</b>"),
    P("<i>"),
    P("</i>"),
    P("<a>"),
    P("</a>"),
    P("<nobr>"),
    P("<font color=x>"),
    P("<object>"),
    P("</object>"),
    P("<isindex>"),
    P("<image>"),
    P("<link>"),
    P("<base>"),
    P("<meta name=x>"),
    P("<basefont>"),
    P("<menuitem>"),
    P("<foo/>"),
    P("<foo>"),
    P("</foo>"),
    P("<x-y>"),
    P("<!--"),
    P("-->"),
    P("<!-->"),
    P("--!>"),
    P("<!x>"),
    P("<?x>"),
    P("<![CDATA["),
    P("]]>"),
    P("</>"),
    P("<"),
    P(">"),
    P("<a b='"),
    P("<a b=\""),
    P("'>"),
    P("\">"),
    P("'"),
    P("\""),
    P("="),
    P("/"),
    P(" "),
    P(" "),
    P("\n"),
    P("\r"),
    P("\r\n"),
    P("\f"),
    P("\t"),
    P("x"),
    P("text "),
    P("\0"),
    P("&"),
    P("&amp"),
    P("&lt;"),
    P("&notin"),
    P("&#60;title>"),
    P("&#x110000;"),
    P("&#x10f41b;"),
    P("&#"),
    P("\x1b"),
    P("\x7f"),
    P("\xc3\xa9"),
    P("\xe4\xbd\xa0"),
    P("\xf0\x9f\x98\x80"),
    P("\xc2\x85"),
    P("\xef\xbf\xbf"),
    P("\xef\xbb\xbf"),
    P("\xf4\x8f\x90\x9b"),
    P("\xf4\x8f\x9f\xbf"),
    P("\xc2\xa0"),
    P("<body class=x>"),
    P("<body><p>"),
    P("<body x='>'>"),
    P("<meta name=description content='what it is'>"),
    P("<meta property=og:title content=O>"),
    P("<meta name=og:image content=i>"),
    P("<meta name=twitter:card content=c>"),
    P("<meta name=robots content=noindex>"),
    P("<link rel=canonical href=c>"),
    P("<link rel='shortcut icon' href=//a.example/i>"),
    P("<link rel=alternate type=application/rss+xml href=/feed>"),
    P("<base href='http://b.example/b/'>"),
    P("<a href=to>"),
    P("<html lang=en>"),
    P("<script type=application/ld+json>{}</script>"),
    P("<frameset>"),
    P("<frameset>"),
    P("</frameset>"),
    P("<frame>"),
};

/* What may stand in a head. */
static const struct bytes head_pieces[] = {
    P(" "),
    P("\n"),
    P("\r\n\f\t"),
    P("<!doctype html>"),
    P("<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" 'x>"),
    P("<!doctype>"),
    P("<html lang=x>"),
    P("<html>"),
    P("<head>"),
    P("<HEAD x='>'>"),
    P("<meta name=x content='>'>"),
    P("<meta name=\"description\" content=\"&eacute; \xc3\xa9\">"),
    P("<meta charset=utf-8>"),
    P("<META charset='latin1'/>"),
    P("<meta/charset=koi8-r/>"),
    P("<meta charset=&#117;tf-8>"),
    P("<meta a=b c ==d e=\"f\"g='h'/ i / = j charset = big5 >"),
    P("<meta charset charset=utf-8>"),
    P("<meta http-equiv=Content-Type content=\"text/html; charset=windows-1251\">"),
    P("<meta http-equiv=refresh content=\"0; charset=utf-8\">"),
    P("<link rel=x href=y>"),
    P("<link rel=\"x\" href='a>b' />"),
    P("<link a=>"),
    P("<link a=b/>"),
    P("<link a='b'c>"),
    P("<base href=b>"),
    P("<basefont>"),
    P("<bgsound/>"),
    P("<menuitem>"),
    P("<command>"),
    P("</link>"),
    P("</meta x='>'>"),
    P("</title>"),
    P("</script>"),
    P("</noscript>"),
    P("<noscript>"),
    P("<noscript><link></noscript>"),
    P("<noscript><style></noscript></style><meta charset=utf-8></noscript>"),
    P("<noscript><img></noscript>"),
    P("<style>a > b { }</style>"),
    P("<style></styl </style x></style></style>"),
    P("<style><!-- </style>"),
    P("<noframes><title>no</title></noframes>"),
    P("<script>if (a < b && c > d) x('</b>')</script>"),
    P("<script src='</script>'></SCRIPT\n>"),
    P("<script><!-- x //--></script>"),
    P("<script><!-- <script> </script> --></script>"),
    P("<script><!-- <script> </script> </script>"),
    P("<script><!-- <scripts> </script>"),
    P("<script><!-- -> <script> </script> x</script>"),
    P("<script><!--><script></script>"),
    P("<script><!---><script></script>"),
    P("<script><!--<script/ --><!-- </script>"),
    P("<script><!--<script>-->x</script>"),
    P("<script><!-- -- ></script/x>"),
    P("<script>"),
    P("<style>"),
    P("<noframes>"),
    P("<script"),
    P("<!--"),
    P("-->"),
    P("<!-->"),
    P("<!--->"),
    P("<!--!>"),
    P("<!-- a -- b --!> c -->"),
    P("<!-- <title>no</title> -->"),
    P("<!----!>"),
    P("<!--->-->"),
    P("<![if IE]>"),
    P("<![CDATA[x]]>"),
    P("<!->"),
    P("<!>"),
    P("<?xml version='1.0'?>"),
    P("<?>"),
    P("</>"),
    P("</1>"),
    P("<title>A</title>"),
    P("<title x='</title>'>B\n c </title >"),
    P("<title/>D</title/>"),
    P("<title></title>"),
    P("<template></template>"),
    P("<template>"),
    P("<svg><title>no</title></svg>"),
    P("</head>"),
    P("<body>"),
    P("<br>"),
    P("x"),
    P("&nbsp;"),
    P("\0"),
    P("\xef\xbb\xbf"),
};

/* What may stand in a title. */
static const struct bytes title_pieces[] = {
    P("x"),
    P("A B"),
    P(" "),
    P("\r\n"),
    P("\t\f "),
    P("\xc3\xa9"),
    P("\xe4\xbd\xa0"),
    P("\xf0\x9f\x98\x80"),
    P("\xc2\x85"),
    P("\x01"),
    P("\x0b"),
    P("\xef\xbf\xbf"),
    P("\xf4\x8f\x90\x9b"),
    P("\0"),
    P("&"),
    P("&amp;"),
    P("&AMP;"),
    P("&amp"),
    P("&lt;/title>"),
    P("&lt"),
    P("&quot;"),
    P("&apos;"),
    P("&nbsp;"),
    P("&hellip;"),
    P("&eacute;"),
    P("&Ouml;"),
    P("&notit;"),
    P("&foo;"),
    P("&T "),
    P("&;"),
    P("&g;"),
    P("&#;"),
    P("&#39;"),
    P("&#039"),
    P("&#32;"),
    P("&#10;"),
    P("&#13;"),
    P("&#0;"),
    P("&#x2013;"),
    P("&#X1f600;"),
    P("&#xd800;"),
    P("&#150;"),
    P("&#xa0;"),
    P("&#xfffe;"),
    P("&#x10f41b;"),
    P("&#99999999999;"),
    P("&#x;"),
    P("#"),
    P(";"),
    P("<"),
    P("</"),
    P("<b>"),
    P("</b>"),
    P("<!--"),
    P("</titl"),
    P("</titles>"),
    P("</script>"),
    P("<title>"),
};

static const struct bytes odd_bytes[] = {
    P("<meta charset='"),
    P("<meta x='"),
    P("<meta"),
    P("<metal"),
    P("<meta http-equiv=refresh content='0; charset=utf-8'>"),
    P("charset=utf-8"),
    P("\xff"),
    P("\xe9"),
    P("\xe9"),
    P("\xe4\xbd"),
    P("\x93"),
    P("\xf0\x9f"),
    P("\x81"),
    P("\xc3"),
    P("\x1b(B"),
    P("\x1b$B"),
    P("\x1b("),
    P("\x0e"),
    P("\xff\xfe"),
#undef P
};

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
