/*
 * Whole pages in all kinds of encodings: what page_parse() makes of them, and that a worker can do
 * it in its sandbox.
 */
#include "tests/check.h"

#include "core/async/async.h"
#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "parsers/parse_page.h"
#include "tests/support/async_fixture.h"

#include <stdio.h>

static struct page_parser *parser;

static void setup(void)
{
    ck_assert_int_eq(page_parser_create(0, &parser), 0);
}

static void teardown(void)
{
    page_parser_destroy(parser);
}

static struct page_request request_for(struct bytes page, const char *content_type)
{
    return (struct page_request){
        .body = page,
        .content_type = bytes_cstr(content_type),
        .max_decoded_bytes = 10 << 20,
        .max_ratio = 200,
        .deadline_ns = clock_after_ms(clock_now_ns(), 60000),
    };
}

/* By as little of the page as needed, and by all of it. */
static void assert_page(struct bytes page, const char *content_type, const char *title,
                        enum charset charset)
{
    struct page_request request = request_for(page, content_type);
    struct page_facts facts;

    for (int all = 0; all < 2; all++) {
        request.parse_all = all;
        ck_assert_int_eq(page_parse(parser, &request, &facts), PAGE_OK);
        ck_assert_str_eq(charset_name(facts.charset), charset_name(charset));
        ck_assert_int_eq(facts.has_title, title != NULL);
        ck_assert_msg(bytes_equal(facts.title, bytes_cstr(title)), "got \"%.*s\"",
                      (int)facts.title.len, facts.title.ptr);
    }
}

/* `head`, then a comment as long as the prescan looks, then `tail`. */
static struct bytes far_behind(struct buffer *page, const char *head, const char *tail)
{
    page->len = 0;
    buffer_printf(page, "%s<!--%01024d-->%s", head, 0, tail);
    ck_assert(!page->failed);
    return buffer_bytes(page);
}

START_TEST(a_page_is_read_in_the_encoding_that_it_declares)
{
    assert_page(BYTES("<meta charset=windows-1251><title>\xcf\xf0\xe8</title>"), "text/html", "При",
                CHARSET_WINDOWS_1251);
    assert_page(BYTES("<title>\x93\xfa\x96{</title><meta http-equiv=Content-Type "
                      "content='text/html; charset=x-sjis'>"),
                "text/html", "日本", CHARSET_SHIFT_JIS);
    assert_page(BYTES("\xef\xbb\xbf<meta charset=gbk><title>é</title>"), "text/html;charset=big5",
                "é", CHARSET_UTF_8);
}
END_TEST

START_TEST(a_declaration_that_only_the_parse_finds_is_followed)
{
    static const struct {
        const char *head, *tail, *title;
        enum charset charset;
    } rows[] = {
        {"<title>\xe9\x96\xa4</title>", "<meta charset=windows-1251>", "й–¤", CHARSET_WINDOWS_1251},
        {"<title>\xcf\xf0</title>",
         "<meta content='text/html;&#99;harset=koi8-r' http-equiv=content-type>", "оП",
         CHARSET_KOI8_R},
        {"<title>\xcf\xf0</title>", "<body><p><div><meta charset=koi8-r>", "оП", CHARSET_KOI8_R},
        {"<title>\xcf\xf0</title>", "<template><meta charset=koi8-r></template>", "оП",
         CHARSET_KOI8_R},
        {"<title>\xcf\xf0</title>", "<p><meta charset=koi8-r></p> <frameset> <frame> </frameset>",
         "оП", CHARSET_KOI8_R},
        {"<title>\xcf\xf0</title>",
         "<meta charset=koi8-r><frameset><meta charset=gbk><noframes></noframes></frameset>", "оП",
         CHARSET_KOI8_R},
        /* the first that is known, as the parser meets them */
        {"<title>\xcf\xf0</title>", "<meta charset=no><meta charset=koi8-r><meta charset=gbk>",
         "оП", CHARSET_KOI8_R},
        {"<title>\xcf\xf0</title>", "<table><b><meta charset=koi8-r></table><meta charset=gbk>",
         "оП", CHARSET_KOI8_R},
        /* the prescan takes a string in a script for markup, the parse does not */
        {"<script>'<meta charset=gbk>'</script><title>\xcf\xf0</title>", "<meta charset=koi8-r>",
         "оП", CHARSET_KOI8_R},
        {"<title>\xcf\xf0</title>", "<meta charset=utf-16>", "\xef\xbf\xbd\xef\xbf\xbd",
         CHARSET_UTF_8},
    };
    struct buffer page = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_page(far_behind(&page, rows[i].head, rows[i].tail), "text/html", rows[i].title,
                    rows[i].charset);
    buffer_free(&page);
}
END_TEST

START_TEST(what_is_no_meta_element_in_the_tree_declares_nothing)
{
    static const char *const tails[] = {
        "<!-- <meta charset=koi8-r> -->",
        "<textarea><meta charset=koi8-r></textarea>",
        "<p title='<meta charset=koi8-r>'>",
        "<meta name=description content='charset=koi8-r'>",
        "<meta charset=no>",
    };
    struct buffer page = {0};

    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++)
        assert_page(far_behind(&page, "<title>\xcf</title>", tails[i]), "text/html", "Ï",
                    CHARSET_WINDOWS_1252);
    buffer_free(&page);
}
END_TEST

START_TEST(what_is_certain_is_not_changed_by_the_page)
{
    struct buffer page = {0};
    struct bytes text = far_behind(&page, "<title>\xcf\xf0</title>", "<meta charset=koi8-r>");

    assert_page(text, "text/html;charset=windows-1251", "Пр", CHARSET_WINDOWS_1251);
    text = far_behind(&page, "\xef\xbb\xbf<title>é</title>", "<meta charset=koi8-r>");
    assert_page(text, "text/html", "é", CHARSET_UTF_8);
    buffer_free(&page);
}
END_TEST

START_TEST(a_page_in_a_replacement_encoding_is_refused)
{
    struct buffer page = {0};
    const struct page_request rows[] = {
        request_for(BYTES("<title>x</title>"), "text/html;charset=iso-2022-kr"),
        request_for(BYTES("<meta charset=hz-gb-2312><title>x</title>"), "text/html"),
        request_for(far_behind(&page, "<title>x</title>", "<meta charset=iso-2022-cn>"),
                    "text/html"),
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct page_facts facts;

        ck_assert_int_eq(page_parse(parser, &rows[i], &facts), PAGE_BAD_ENCODING);
        ck_assert(
            bytes_equal(facts.message, BYTES("Pages in the charset \"replacement\" are not read")));
    }
    buffer_free(&page);
}
END_TEST

/* Whether the whole of `page` is parsed within an arena of `bytes`. */
static bool is_enough(size_t bytes, struct bytes page, const char *content_type)
{
    struct page_request request = request_for(page, content_type);
    struct page_parser *small;
    struct page_facts facts;

    request.parse_all = true;
    ck_assert_int_eq(page_parser_create(bytes, &small), 0);
    enum page_error error = page_parse(small, &request, &facts);
    ck_assert(error == PAGE_OK || error == PAGE_OUT_OF_MEMORY);
    ck_assert(error != PAGE_OK || bytes_equal(facts.title, BYTES("оП")));
    page_parser_destroy(small);
    return error == PAGE_OK;
}

START_TEST(a_page_that_is_read_twice_needs_the_memory_of_one)
{
    enum { STEP = 64 << 10, PARAGRAPHS = 2000 };
    struct buffer page = {0};
    size_t once = STEP;

    buffer_text(&page, "<title>\xcf\xf0</title>");
    for (int i = 0; i < PARAGRAPHS; i++)
        buffer_text(&page, "<p>\xcf");
    buffer_text(&page, "<meta charset=koi8-r>");
    ck_assert(!page.failed);
    while (!is_enough(once, buffer_bytes(&page), "text/html;charset=koi8-r"))
        once += STEP;
    ck_assert(is_enough(once + STEP, buffer_bytes(&page), "text/html"));
    buffer_free(&page);
}
END_TEST

/* -- in a worker -------------------------------------------------------------------------------
 * What iconv does must be allowed there: it is all done before the sandbox closes.
 */

static void worker_setup(void)
{
    async_setup();
    async_reconfigure(1, 1, 256 << 20);
}

START_TEST(a_worker_reads_pages_in_every_encoding)
{
    static unsigned char soup[32 << 10];
    char type[64];

    for (size_t i = 0; i < sizeof soup; i++)
        soup[i] = (unsigned char)((i * 7 + i / 256 * 31) % 251 + 5);
    for (enum charset c = CHARSET_NONE + 1; c < CHARSET_COUNT; c++) {
        struct bytes text = bytes_of((const char *)soup, sizeof soup);

        snprintf(type, sizeof type, "text/html;charset=%s", charset_name(c));
        struct page_request request = request_for(text, type);
        future *f = parse_page(future_done(), &request);
        ck_assert_int_eq(future_wait(f, clock_after_ms(async_now_ns(), PATIENCE_MS)), 0);
        ck_assert_int_eq(future_error(f), c == CHARSET_REPLACEMENT ? PAGE_BAD_ENCODING : 0);
        if (c != CHARSET_REPLACEMENT) {
            const struct parsed_page *parsed = future_value(f);
            ck_assert_int_eq(parsed->facts.charset, c);
        }
        future_drop(f);
    }
}
END_TEST

Suite *suite_page_charset(void)
{
    Suite *suite = suite_create("page_charset");
    TCase *tc = tcase_create("page");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_page_is_read_in_the_encoding_that_it_declares);
    tcase_add_test(tc, a_declaration_that_only_the_parse_finds_is_followed);
    tcase_add_test(tc, what_is_no_meta_element_in_the_tree_declares_nothing);
    tcase_add_test(tc, what_is_certain_is_not_changed_by_the_page);
    tcase_add_test(tc, a_page_in_a_replacement_encoding_is_refused);
    tcase_add_test(tc, a_page_that_is_read_twice_needs_the_memory_of_one);
    suite_add_tcase(suite, tc);

    tc = tcase_create("worker");
    tcase_add_checked_fixture(tc, worker_setup, async_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_worker_reads_pages_in_every_encoding);
    suite_add_tcase(suite, tc);
    return suite;
}
