#include "tests/support/soup.h"

#include "core/base/bytes.h"

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
};

static const struct bytes frames[] = {
    P("<frameset>"),
    P("<frameset>"),
    P("</frameset>"),
    P("<frame>"),
};

static const struct bytes odd_bytes[] = {
    P("<meta charset=utf-8>"),
    P("<meta charset=windows-1252>"),
    P("<META CharSet = 'UTF8' />"),
    P("<meta charset=nonsense>"),
    P("<meta charset='"),
    P("<meta x='"),
    P("<meta"),
    P("<metal"),
    P("<meta http-equiv=content-type content='text/html; charset=latin1'>"),
    P("<meta content=\"charset='utf-8'\" http-equiv=&#99;ontent-type>"),
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
#undef P
};

enum {
    PIECES = sizeof pieces / sizeof pieces[0],
    FRAMES = sizeof frames / sizeof frames[0],
    ODD_BYTES = sizeof odd_bytes / sizeof odd_bytes[0],
    PIECES_MAX = 40, /* in a page */
    GAP_MAX = 6000,
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

void soup_page(struct soup *s, enum soup_kind kind, struct buffer *out)
{
    uint32_t count = 1 + soup_below(s, PIECES_MAX);
    const struct bytes *more = kind == SOUP_TEXT ? frames : odd_bytes;
    uint32_t more_count = kind == SOUP_TEXT ? FRAMES : ODD_BYTES;

    out->len = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = soup_below(s, PIECES + more_count + 1);
        if (at == PIECES + more_count) {
            if (kind == SOUP_BYTES)
                put_gap(s, out);
            continue;
        }
        struct bytes piece = at < PIECES ? pieces[at] : more[at - PIECES];
        buffer_append(out, piece.ptr, piece.len);
    }
}
