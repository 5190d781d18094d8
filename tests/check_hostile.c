/*
 * Pages that are made to hurt a parser: whatever is asked of them, they end within the limits, and
 * the next page is served by the same parser.
 */
#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "parsers/page.h"

enum { DEADLINE_MS = 100 };

static struct page_parser *parser;
static struct buffer page;

static void setup(void)
{
    ck_assert_int_eq(page_parser_create(0, &parser), 0);
}

static void teardown(void)
{
    page_parser_destroy(parser);
    parser = NULL;
    buffer_free(&page);
}

static struct page_facts parse(struct bytes body, field_set fields)
{
    struct page_facts facts;
    struct page_request request = {
        .body = body,
        .content_type = BYTES("text/html"),
        .url = BYTES("http://a.example/"),
        .fields = fields,
        .max_decoded_bytes = 10 << 20,
        .max_ratio = 1000,
        .deadline_ns = clock_after_ms(clock_now_ns(), DEADLINE_MS),
    };

    page_parse(parser, &request, &facts);
    ck_assert(facts.settled);
    ck_assert(fields_are_valid(facts.fields, fields));
    return facts;
}

static const field_set asked[] = {
    FIELD_BIT(FIELD_TITLE),
    FIELDS_ALL,
    FIELD_BIT(FIELD_TITLE) | FIELD_BIT(FIELD_DESCRIPTION) | FIELD_BIT(FIELD_OG),
    FIELD_BIT(FIELD_LINKS) | FIELD_BIT(FIELD_TEXT_OF_PAGE),
};

enum { ASKED = sizeof asked / sizeof asked[0], ASKED_OF_LARGE = 2 };

static void expect_next_page(void)
{
    static const char next[] = "<html lang=en><title>Next</title><body><a href=/a>A</a>";
    struct page_facts facts = parse(bytes_cstr(next), FIELDS_ALL);

    ck_assert_int_eq(facts.error, PAGE_OK);
    ck_assert(bytes_equal(facts.title, BYTES("Next")));
    ck_assert(!facts.truncated);
}

/* However it ends, it is one of the ends that there are. */
static void survive(void)
{
    ck_assert(!page.failed);
    for (size_t i = 0; i < ASKED_OF_LARGE; i++) {
        struct page_facts facts = parse(buffer_bytes(&page), asked[i]);
        ck_assert(facts.error == PAGE_OK || facts.error == PAGE_PARSE_TIMEOUT ||
                  facts.error == PAGE_OUT_OF_MEMORY);
        expect_next_page();
    }
}

static void repeat(size_t times, struct bytes text)
{
    while (times-- > 0)
        buffer_append(&page, text.ptr, text.len);
}

/* -- pages ------------------------------------------------------------------------------------- */

struct run {
    const char *before;
    size_t times;
    struct bytes text;
    const char *behind;
};

#define T(literal)                                                                                 \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct run runs[] = {
    {"<title>x</title><body>", 100000, T("<div>"), "x"},
    {"<body>", 100000, T("<b>"), "x"},
    {"<body>", 50000, T("<table><tr><td>"), "x"},
    {"<body>", 100000, T("<svg>"), "x"},
    {"", 100000, T("<template>"), "<title>x</title>"},
    {"<body>", 100000, T("<select>"), "x"},
    {"<body>", 100000, T("<button>"), "x"},
    {"<body>", 100000, T("<a href=x>"), "x"},
    {"<body>", 100000, T("<li><p><dd>"), "x"},
    {"<body>", 20000, T("<b><i><u></b><p>"), "x"},
    {"<body>", 20000, T("<nobr><table>"), "x"},
    {"<body>", 20000, T("<a><table><a>"), "x"},
    {"<table>", 100000, T("x<b>"), "x"},
    {"<body><p ", 100000, T("a=b "), ">x"},
    {"<html ", 100000, T("lang=b "), "><body>x"},
    {"<body>", 20000, T("<body a b c d>"), "x"},
    {"", 20000, T("<html a=b c=d>"), "x"},
    {"<body>", 5 << 20, T("x"), ""},
    {"<title>", 5 << 20, T("x"), "</title>"},
    {"<title>", 1 << 20, T("&amp;"), "</title>"},
    {"<body>", 1 << 20, T("&notit;"), ""},
    {"<body>", 5 << 20, T("\0"), ""},
    {"<title>", 1 << 20, T("\0"), "</title>"},
    {"<body>", 1 << 20, T("\xff"), ""},
    {"<title>", 1 << 20, T("\xe2\x82"), "</title>"},
    {"<body>", 1 << 20, T("\xf0\x9f\x98"), ""},
    {"<!--", 1 << 20, T("<!-"), ""},
    {"<script>", 1 << 19, T("<!--<script>"), ""},
    {"<plaintext>", 5 << 20, T("<"), ""},
    {"<meta name=description content='", 2 << 20, T("x "), "'><body>"},
    {"", 50000, T("<meta property=og:image content=x>"), "<body>"},
    {"", 50000, T("<link rel=canonical href=mailto:x>"), "<body>"},
    {"", 100000, T("</title>"), "<title>x</title>"},
    {"", 100000, T("<body "), ""},
    {"<a href='", 1 << 20, T("../"), "'>"},
    {"", 50000, T("<a href='//[::1]/%2e/..\\a?b'>"), ""},
    {"<script type=application/ld+json>", 1 << 20, T("["), "</script>"},
    {"", 50000, T("<h1>x<h1>"), ""},
    {"<frameset>", 50000, T("<frameset><frame>"), "<title>x</title>"},
    {"<p>", 100000, T("<br>"), "<frameset>"},
    {"<ruby>", 50000, T("<rt><rp>"), ""},
    {"<math>", 50000, T("<mi><mglyph>"), ""},
};

START_TEST(much_of_one_thing_ends_within_the_limits)
{
    const struct run *run = &runs[_i];

    buffer_text(&page, run->before);
    repeat(run->times, run->text);
    buffer_text(&page, run->behind);
    survive();
}
END_TEST

START_TEST(attributes_by_the_thousand_end_within_the_limits)
{
    buffer_text(&page, "<title>x</title><body><p");
    for (int i = 0; i < 100000; i++)
        buffer_printf(&page, " a%d=%d", i, i);
    buffer_text(&page, "><a href=/a>");
    survive();
}
END_TEST

/* -- cuts -------------------------------------------------------------------------------------- */

START_TEST(a_page_may_end_anywhere)
{
    static const char whole[] =
        "\xef\xbb\xbf<!doctype html><html lang='de'><meta charset=\"utf-8\"><title>\xe2\x82\xac "
        "&euro; "
        "\xf0\x9f\x98\x80</title><meta property=og:title content='\xc3\xa9'><base href=//b.example>"
        "<script type=application/ld+json>{\"a\":\"\\u00e9\xc3\xa9\"}</script><body class=\"x\">"
        "<h1>\xe4\xbd\xa0</h1><!-- x --><p>t<a href='/\xc3\xa9?\xc3\xa9#x'>a</a><table><b><tr><td>"
        "</b><svg><![CDATA[x]]><desc><p></svg><template><p></template><select><option></select>"
        "<textarea>\n</textarea><xmp></xmp></body></html>";

    for (size_t len = 0; len < sizeof whole; len++)
        for (size_t i = 0; i < ASKED; i++)
            ck_assert_int_eq(parse(bytes_of(whole, len), asked[i]).error, PAGE_OK);
    expect_next_page();
}
END_TEST

Suite *suite_hostile(void)
{
    Suite *suite = suite_create("hostile");
    TCase *tcase = tcase_create("hostile");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, much_of_one_thing_ends_within_the_limits, 0,
                        sizeof runs / sizeof runs[0]);
    tcase_add_test(tcase, attributes_by_the_thousand_end_within_the_limits);
    tcase_add_test(tcase, a_page_may_end_anywhere);
    suite_add_tcase(suite, tcase);
    return suite;
}
