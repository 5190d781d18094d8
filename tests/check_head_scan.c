#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "parsers/bump.h"
#include "parsers/head_scan.h"
#include "parsers/html.h"
#include "parsers/late_meta.h"
#include "parsers/title_text.h"
#include "tests/support/soup.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

enum { SOUPS = 20000, SOUPS_AT_LEAST = 500, SOUP_MS = 700 };

static struct bump bump;
static struct buffer html;
static char title_buffer[TITLE_MAX];

static void setup(void)
{
    ck_assert_int_eq(bump_init(&bump, BUMP_LIMIT_DEFAULT), 0);
}

static void teardown(void)
{
    bump_fini(&bump);
    buffer_free(&html);
}

static struct head_scan scan_all(struct bytes page, enum head_scan_result *ret)
{
    struct head_scan scan = {.wants_charset = true};

    *ret = head_scan(&scan, page);
    return scan;
}

/* -- one by one ----------------------------------------------------------------------------------
 */

#define FOUND HEAD_SCAN_FOUND
#define MORE  HEAD_SCAN_MORE
#define LOST  HEAD_SCAN_LOST

static const struct {
    const char *html, *title; /* NULL: none is found */
    enum head_scan_result result;
    enum charset charset;
} heads[] = {
    /* what heads are made of */
    {"<!doctype html>\n<html lang=en><head>\n<meta charset=utf-8><title>A</title>", "A", FOUND,
     CHARSET_UTF_8},
    {"<title>A</title><link rel=x><meta charset=latin1><p>", "A", FOUND, CHARSET_WINDOWS_1252},
    {"<title>A</title><meta name=charset content=latin1>", "A", MORE, CHARSET_NONE},
    {"<title>A</title><title>B</title>", "A", MORE, CHARSET_NONE},
    {"<title></title>", "", MORE, CHARSET_NONE},
    {"<base href='>'><bgsound><basefont/><link a=b><title>A</title>", "A", MORE, CHARSET_NONE},
    {"</meta></link x='>'></title></script><title>A</title>", "A", MORE, CHARSET_NONE},
    {"<style><title>no</title></style><noframes><title>no</title></noframes>", NULL, MORE,
     CHARSET_NONE},
    {"<noscript><link><style>a</style></noscript><title>A</title>", "A", MORE, CHARSET_NONE},
    {"<noscript><meta charset=utf-8></noscript><title>A</title>", "A", FOUND, CHARSET_UTF_8},
    /* comments and the like */
    {"<!-- <title>no</title> --><!--> <!---><!-----><title>A</title>", "A", MORE, CHARSET_NONE},
    {"<!--!> --><title>A</title>", NULL, LOST, CHARSET_NONE},
    {"<!-- --!><title>A</title>", NULL, LOST, CHARSET_NONE},
    {"<![if IE]><!><?xml x='>?><title>A</title>", NULL, LOST, CHARSET_NONE}, /* ?> is text */
    {"<!doctype html PUBLIC \"><title>A</title>", "A", MORE, CHARSET_NONE},
    /* scripts */
    {"<script>'<title>no</title>'</script ><title>A</title>", "A", MORE, CHARSET_NONE},
    {"<script><!-- <script> </script> <title>no</title> --></script><title>A</title>", "A", MORE,
     CHARSET_NONE},
    {"<script><!-- <script> </script> </script><title>A</title>", "A", MORE, CHARSET_NONE},
    {"<script><!-- -> <script> </script> <title>no</title>", NULL, MORE, CHARSET_NONE},
    {"<script><!--><script></script><title>A</title>", "A", MORE, CHARSET_NONE},
    {"<script><!-- <script> --></script><title>A</title>", "A", MORE, CHARSET_NONE},
    {"<script><!-- <scripts> </script><title>A</title>", "A", MORE, CHARSET_NONE},
    {"<script><!-- <script> </script><title>no</title>", NULL, MORE, CHARSET_NONE},
    {"<script>x</scripts></script<title>no</title>", NULL, MORE, CHARSET_NONE},
    /* charsets */
    {"<meta http-equiv=Content-Type content='text/html; charset=koi8-r'><title></title>", "", FOUND,
     CHARSET_KOI8_R},
    {"<meta name=x content='&eacute; \xc3\xa9'><meta charset=no><meta "
     "charset=utf-8><title></title>",
     "", FOUND, CHARSET_UTF_8},
    {"<meta charset='&#117;tf-8'><title>A</title>", NULL, LOST, CHARSET_NONE},
    {"<title>A</title><meta http-equiv=content-type content='\xc3\xa9'>", "A", LOST, CHARSET_NONE},
    /* what only a parse knows */
    {"x<title>A</title>", NULL, LOST, CHARSET_NONE},
    {"&nbsp;<title>A</title>", NULL, LOST, CHARSET_NONE},
    {"<head></head><title>A</title>", NULL, LOST, CHARSET_NONE},
    {"<template><title>no</title></template>", NULL, LOST, CHARSET_NONE},
    {"<svg><title>no</title></svg>", NULL, LOST, CHARSET_NONE},
    {"<noscript><img></noscript><title>A</title>", NULL, LOST, CHARSET_NONE},
    {"<noscript><title>A</title></noscript>", NULL, LOST, CHARSET_NONE},
    {"<noscript><noscript></noscript><title>A</title>", NULL, LOST, CHARSET_NONE},
    {"<noscript></link></noscript><title>A</title>", NULL, LOST, CHARSET_NONE},
    {"<frameset><title>A</title>", NULL, LOST, CHARSET_NONE},
    {"<metal><title>A</title>", NULL, LOST, CHARSET_NONE},
    {"< title>A</title>", NULL, LOST, CHARSET_NONE},
    {"</><title>A</title>", NULL, LOST, CHARSET_NONE},
    /* what is not there yet */
    {"", NULL, MORE, CHARSET_NONE},
    {"<title>A</titl", NULL, MORE, CHARSET_NONE},
    {"<title>A</title x='>", NULL, MORE, CHARSET_NONE},
    {"<meta charset=utf-8", NULL, MORE, CHARSET_NONE},
    {"<!-- -", NULL, MORE, CHARSET_NONE},
    {"<script><!-", NULL, MORE, CHARSET_NONE},
};

START_TEST(a_head_is_read_as_far_as_it_is_a_usual_one)
{
    enum head_scan_result result;
    const char *want = heads[_i].title;
    struct bytes page = bytes_cstr(heads[_i].html);
    struct head_scan scan = scan_all(page, &result);

    ck_assert_msg(result == heads[_i].result && scan.has_title == (want != NULL) &&
                      scan.charset == heads[_i].charset,
                  "\"%s\": %d, %s", heads[_i].html, (int)result, charset_name(scan.charset));
    if (want) {
        ck_assert_uint_eq(scan.title_end - scan.title_start, strlen(want));
        ck_assert_mem_eq(page.ptr + scan.title_start, want, strlen(want));
    }
}
END_TEST

START_TEST(a_scan_for_the_title_alone_does_not_mind_what_declares_a_charset)
{
    struct head_scan scan = {.wants_charset = false};

    ck_assert_int_eq(head_scan(&scan, BYTES("<meta charset='&#117;'><title>A</title>")), FOUND);
    ck_assert(scan.has_title && scan.charset == CHARSET_NONE);
}
END_TEST

START_TEST(a_scan_that_is_lost_stays_lost)
{
    struct head_scan scan = {.wants_charset = false};

    ck_assert_int_eq(head_scan(&scan, BYTES("<link><p>")), LOST);
    ck_assert_uint_eq(scan.at, strlen("<link>"));
    ck_assert_int_eq(head_scan(&scan, BYTES("<link><title>A</title>")), LOST);
    ck_assert(!scan.has_title);
}
END_TEST

static const struct {
    const char *source, *text; /* NULL: only a parse knows it */
} titles[] = {
    {"", ""},
    {" A \r\n\t b\f", "A b"},
    {"A &amp; B", "A & B"},
    {"A & B, AT&T, R&D, &; &", "A & B, AT&T, R&D, &; &"},
    {"&lt;b&gt; &quot;&#39;&apos;", "<b> \"''"},
    {"&#8211;&#x2014;&#X1F600;&#xa0;&nbsp;", "\u2013\u2014\U0001F600\u00a0\u00a0"},
    {"&#32;&#10;A&#x20;&#9;B&#32;", "A B"},
    {"\x01\x0b\xc2\x85\xef\xbf\xbf", "\x01\x0b\xc2\x85\xef\xbf\xbf"},
    {"<!-- </b> <title>", "<!-- </b> <title>"},
    {"&amp", NULL},
    {"&ampx;", NULL},
    {"&foo;", NULL},
    {"&AMP;", NULL},
    {"&T;", NULL},
    {"&nbspx", NULL},
    {"&#39", NULL},
    {"&#;", NULL},
    {"&#x;", NULL},
    {"&#0;", NULL},
    {"&#13;", NULL},
    {"&#128;", NULL},
    {"&#xd800;", NULL},
    {"&#xfdd0;", NULL},
    {"&#x1ffff;", NULL},
    {"&#x10f400;", NULL},
    {"&#x110000;", NULL},
    {"&#99999999999999999999;", NULL},
    {"&#39a;", NULL},
};

START_TEST(a_title_is_read_without_a_parse_where_its_references_are_usual_ones)
{
    struct bytes text;
    bool told = title_text(bytes_cstr(titles[_i].source), title_buffer, &text);

    ck_assert_msg(told == (titles[_i].text != NULL) &&
                      (!told || bytes_equal(text, bytes_cstr(titles[_i].text))),
                  "\"%s\": \"%.*s\"", titles[_i].source, told ? (int)text.len : 0, title_buffer);
}
END_TEST

START_TEST(a_title_that_may_be_cut_is_not_read_without_a_parse)
{
    struct bytes text;

    for (int i = 0; i < TITLE_SOURCE_MAX; i++)
        buffer_byte(&html, 'x');
    ck_assert(title_text(buffer_bytes(&html), title_buffer, &text) && text.len == html.len);
    buffer_byte(&html, 'x');
    ck_assert(!title_text(buffer_bytes(&html), title_buffer, &text));
    ck_assert(!title_text(BYTES("a\0b"), title_buffer, &text));
}
END_TEST

/* -- against the parse ---------------------------------------------------------------------------
 */

struct soup_budget {
    unsigned long made, wanted;
    uint64_t until_ns;
};

static bool more_soup(struct soup_budget *b)
{
    const char *wanted = getenv("SKIMD_SOUPS");

    if (b->wanted == 0) {
        b->wanted = wanted ? strtoul(wanted, NULL, 10) : SOUPS;
        b->until_ns = wanted ? CLOCK_NEVER : clock_after_ms(clock_now_ns(), SOUP_MS);
    }
    if (b->made >= b->wanted || (b->made >= SOUPS_AT_LEAST && clock_now_ns() > b->until_ns))
        return false;
    b->made++;
    return true;
}

static enum charset declared_in(struct bytes text)
{
    struct html tree;

    html_parse(&bump, text, &tree);
    return late_meta(&bump, &tree);
}

/* What a scan has found of a page is what its tree has. */
static void check_against_tree(struct bytes page, const struct head_scan *scan)
{
    struct bytes source =
        bytes_of(page.ptr + scan->title_start, scan->title_end - scan->title_start);
    struct bytes text;
    struct title title;

    bump_begin(&bump, CLOCK_NEVER);
    if (setjmp(bump.escape))
        ck_abort_msg("the arena is left for \"%.*s\"", (int)page.len, page.ptr);
    if (scan->has_title) {
        title_find(&bump, page, &title);
        ck_assert_msg(title.certain == TITLE_CERTAIN, "\"%.*s\"", (int)page.len, page.ptr);
        if (title_text(source, title_buffer, &text))
            ck_assert_msg(bytes_equal(text, title.text) && !title.truncated,
                          "\"%.*s\"\nwants \"%.*s\", gets \"%.*s\"", (int)page.len, page.ptr,
                          (int)title.text.len, title.text.ptr, (int)text.len, text.ptr);
    }
    enum charset charset = scan->charset != CHARSET_NONE
                               ? declared_in(page)
                               : declared_in(bytes_of(page.ptr, scan->at));
    ck_assert_msg(charset == scan->charset, "\"%.*s\"\nwants %s, gets %s", (int)page.len, page.ptr,
                  charset_name(charset), charset_name(scan->charset));
}

START_TEST(what_a_scan_finds_is_what_the_tree_of_the_page_has)
{
    struct soup soup = {.state = 17};
    struct soup_budget budget = {0};
    unsigned long found = 0;
    enum head_scan_result result;

    while (more_soup(&budget)) {
        soup_page(&soup, SOUP_HEAD, &html);
        struct bytes page = buffer_bytes(&html);
        struct head_scan scan = scan_all(page, &result);

        check_against_tree(page, &scan);
        found += scan.has_title;
    }
    ck_assert_uint_gt(found, budget.made / 8);
}
END_TEST

static bool same_found(const struct head_scan *a, const struct head_scan *b)
{
    return a->at == b->at && a->has_title == b->has_title && a->title_start == b->title_start &&
           a->title_end == b->title_end && a->charset == b->charset;
}

START_TEST(a_page_that_comes_in_pieces_is_scanned_the_same)
{
    struct soup soup = {.state = 19};
    enum head_scan_result once;

    for (int i = 0; i < 2000; i++) {
        soup_page(&soup, SOUP_HEAD, &html);
        struct bytes page = buffer_bytes(&html);
        struct head_scan whole = scan_all(page, &once), scan = {.wants_charset = true};

        for (size_t len = 0; len < page.len; len += 1 + soup_below(&soup, 16))
            head_scan(&scan, bytes_of(page.ptr, len));
        ck_assert_msg(head_scan(&scan, page) == once && same_found(&scan, &whole), "\"%.*s\"",
                      (int)page.len, page.ptr);
    }
}
END_TEST

/* -- the real web, where it is at hand -----------------------------------------------------------
 */

static void read_file(const char *name)
{
    FILE *f = fopen(name, "rb");
    char chunk[1 << 16];

    ck_assert_msg(f != NULL, "%s", name);
    html.len = 0;
    for (size_t got; (got = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buffer_append(&html, chunk, got);
    fclose(f);
}

static bool tells_title(struct bytes page)
{
    struct head_scan scan = {.wants_charset = false};
    struct bytes text;

    return head_scan(&scan, page) == HEAD_SCAN_FOUND &&
           title_text(bytes_of(page.ptr + scan.title_start, scan.title_end - scan.title_start),
                      title_buffer, &text);
}

START_TEST(nine_of_ten_real_pages_need_no_parse_for_their_titles)
{
    size_t told = 0;
    glob_t found;

    if (glob("../shared/pages/*/*.html", 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        read_file(found.gl_pathv[i]);
        size_t mark = html.len >= 3 && memcmp(html.ptr, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        told += tells_title(bytes_of(html.ptr + mark, html.len - mark));
    }
    ck_assert_msg(10 * told >= 9 * found.gl_pathc, "%zu of %zu", told, found.gl_pathc);
    globfree(&found);
}
END_TEST

Suite *suite_head_scan(void)
{
    Suite *suite = suite_create("head_scan");
    TCase *tc = tcase_create("head_scan"), *random = tcase_create("random");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_head_is_read_as_far_as_it_is_a_usual_one, 0,
                        (int)(sizeof heads / sizeof heads[0]));
    tcase_add_test(tc, a_scan_for_the_title_alone_does_not_mind_what_declares_a_charset);
    tcase_add_test(tc, a_scan_that_is_lost_stays_lost);
    tcase_add_loop_test(tc, a_title_is_read_without_a_parse_where_its_references_are_usual_ones, 0,
                        (int)(sizeof titles / sizeof titles[0]));
    tcase_add_test(tc, a_title_that_may_be_cut_is_not_read_without_a_parse);
    suite_add_tcase(suite, tc);

    tcase_set_timeout(random, getenv("SKIMD_SOUPS") ? 0 : 60);
    tcase_add_checked_fixture(random, setup, teardown);
    tcase_add_test(random, what_a_scan_finds_is_what_the_tree_of_the_page_has);
    tcase_add_test(random, a_page_that_comes_in_pieces_is_scanned_the_same);
    tcase_add_test(random, nine_of_ten_real_pages_need_no_parse_for_their_titles);
    suite_add_tcase(suite, random);
    return suite;
}
