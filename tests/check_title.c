#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/charset.h"
#include "parsers/title.h"

static struct bump bump;
static struct buffer html;

static void setup(void)
{
    ck_assert_int_eq(bump_init(&bump, BUMP_LIMIT_DEFAULT), 0);
}

static void teardown(void)
{
    bump_fini(&bump);
    buffer_free(&html);
}

/* Parses within `ms`; returns why it stopped. */
static enum bump_stop find_within(uint64_t ms, struct bytes page, struct title *ret)
{
    bump_begin(&bump, clock_after_ms(clock_now_ns(), ms));
    switch (setjmp(bump.escape)) {
    case BUMP_STOP_NONE:
        title_find(&bump, page, ret);
        return BUMP_STOP_NONE;
    case BUMP_STOP_MEMORY:
        return BUMP_STOP_MEMORY;
    case BUMP_STOP_DEADLINE:
        return BUMP_STOP_DEADLINE;
    default:
        return BUMP_STOP_STACK;
    }
}

enum { AMPLE_MS = 60000 };

static void assert_title(struct bytes page, const char *want)
{
    struct title title = {0};

    ck_assert_int_eq(find_within(AMPLE_MS, page, &title), BUMP_STOP_NONE);
    ck_assert_msg(title.found == (want != NULL), "%.*s", (int)page.len, page.ptr);
    if (want)
        ck_assert_msg(bytes_equal(title.text, bytes_cstr(want)), "%.*s\nwant \"%s\", got \"%.*s\"",
                      (int)page.len, page.ptr, want, (int)title.text.len, title.text.ptr);
    ck_assert(!title.truncated);
}

static const struct {
    const char *html, *title; /* NULL: none */
} pages[] = {
    {"<!doctype html><html><head><title>A</title></head><body>b", "A"},
    {"<title>A &amp; B &eacute;</title>", "A & B \xc3\xa9"},
    {"<title>a&#x110000;b&#xffffff99;c&#4294967295d</title>", "a\xef\xbf\xbd"
                                                              "b\xef\xbf\xbd"
                                                              "c\xef\xbf\xbd"
                                                              "d"},
    {"<title>a&#x100000041;b&#99999999999999999999", "a\xef\xbf\xbd"
                                                     "b\xef\xbf\xbd"},
    {"<title>a&#x10ffff;b&#xg&#x&#", "a\xf4\x8f\xbf\xbf"
                                     "b&#xg&#x&#"},
    {"<title> \t\n\f\r a \n\n b\r\nc </title>", "a b c"},
    {"<title>\xc2\xa0 a\xc2\xa0 b</title>", "\xc2\xa0 a\xc2\xa0 b"}, /* NBSP is no ASCII space */
    {"<title>a\xe2\x80\x83"
     "b</title>",
     "a\xe2\x80\x83"
     "b"},
    {"<title></title>", ""},
    {"<title> \n </title>", ""},
    {"", NULL},
    {"text only", NULL},
    {"<h1>no</h1>", NULL},
    {"<title>first</title><title>second</title>", "first"},
    {"<body><p>x<title>in body</title>", "in body"},
    {"<title>a <b>tag</b> <!-- c --></title>", "a <b>tag</b> <!-- c -->"},
    {"<title>never closed", "never closed"},
    {"<!-- <title>no</title> --><title>yes</title>", "yes"},
    {"<script>'<title>no</title>'</script><title>yes</title>", "yes"},
    {"<textarea><title>no</title></textarea><title>yes</title>", "yes"},
    {"<svg><title>no</title></svg>", NULL},
    {"<svg><title>no</title></svg><title>yes</title>", "yes"},
    {"<math><title>no</title></math>", NULL},
    {"<svg><foreignObject><title>html in svg</title></foreignObject></svg>", "html in svg"},
    {"<template><title>no</title></template>", NULL},
    {"<template><div><title>no</title></div></template><title>yes</title>", "yes"},
    {"<table><title>fostered</title></table>", "fostered"},
    {"<TITLE LANG=x>upper</TiTle >", "upper"},
};

START_TEST(a_title_is_the_one_a_browser_shows)
{
    assert_title(bytes_cstr(pages[_i].html), pages[_i].title);
}
END_TEST

START_TEST(a_nul_in_a_title_is_a_replacement_character)
{
    assert_title(BYTES("<title>a\0b</title>"), "a\xef\xbf\xbd"
                                               "b");
    assert_title(BYTES("\0<title>a</title>\0"), "a");
}
END_TEST

START_TEST(controls_and_noncharacters_stay_in_a_title)
{
    /* U+000B, U+0001, DEL, U+0081, U+FDD0, U+FFFE, U+1FFFF, U+10FFFE */
    static const char *const odd[] = {"\x0b",
                                      "\x01",
                                      "\x7f",
                                      "\xc2\x81",
                                      "\xef\xb7\x90",
                                      "\xef\xbf\xbe",
                                      "\xf0\x9f\xbf\xbf",
                                      "\xf4\x8f\xbf\xbe"};

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        html.len = 0;
        buffer_printf(&html, "<p%s><title>a%sb%s</title>%s", odd[i], odd[i], odd[i], odd[i]);
        struct title title = {0};
        ck_assert_int_eq(find_within(AMPLE_MS, buffer_bytes(&html), &title), BUMP_STOP_NONE);
        html.len = 0;
        buffer_printf(&html, "a%sb%s", odd[i], odd[i]);
        ck_assert(bytes_equal(title.text, buffer_bytes(&html)));
    }
}
END_TEST

START_TEST(private_use_characters_of_the_page_never_make_a_title_ill_formed)
{
    /* All that stand-ins could be taken for, beside a control that brings stand-ins about. */
    for (unsigned index = 0; index < 0x400; index++) {
        struct title title = {0};

        html.len = 0;
        buffer_printf(&html, "\x0b<title>%c%c%c%c</title>", 0xf4, 0x8f, 0x90 | index >> 6,
                      0x80 | (index & 0x3f));
        ck_assert_int_eq(find_within(AMPLE_MS, buffer_bytes(&html), &title), BUMP_STOP_NONE);
        ck_assert(utf8_valid(title.text));
        ck_assert(title.text.len > 0 && title.text.ptr[0] != '\0');
    }
}
END_TEST

START_TEST(private_use_characters_of_a_title_stay_whatever_else_is_on_the_page)
{
    static const char *const titles[] = {"\xf4\x8f\x90\x80", "\xf4\x8f\x90\x9b", "\xf4\x8f\x9f\xbf",
                                         "a\xf4\x8f\x9f\xbf\xf4\x8f\x9f\xbf",
                                         "\xf4\x8f\x9a\xbd\xf4\x8f\x90\x81x"};

    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        html.len = 0;
        buffer_printf(&html, "<title>%s</title>", titles[i]);
        assert_title(buffer_bytes(&html), titles[i]);
        buffer_text(&html, "<p>\x1b\xef\xbf\xbf");
        assert_title(buffer_bytes(&html), titles[i]);
    }
    assert_title(BYTES("<title>\x1b&#x10f41b;&#1111067;&#x10F7FF</title>"),
                 "\x1b\xf4\x8f\x90\x9b\xf4\x8f\x90\x9b\xf4\x8f\x9f\xbf");
}
END_TEST

START_TEST(a_title_that_is_cut_within_a_marked_character_ends_in_no_space)
{
    struct title title = {0};

    buffer_text(&html, "<title>");
    for (int i = 0; i < TITLE_MAX - 1 - 6; i++)
        buffer_byte(&html, 'x');
    buffer_text(&html, " \xf4\x8f\x90\x9b</title>");
    ck_assert_int_eq(find_within(AMPLE_MS, buffer_bytes(&html), &title), BUMP_STOP_NONE);
    ck_assert(title.truncated);
    ck_assert_uint_eq(title.text.len, TITLE_MAX - 1 - 6);
}
END_TEST

static const struct {
    const char *html;
    enum title_certain certain;
} beginnings[] = {
    {"<title>A</title>", TITLE_CERTAIN},
    {"<title>A</title><p><title>B</title>", TITLE_CERTAIN},
    {"<head></head><title>A</title>", TITLE_CERTAIN},
    {"<template><title>A</title></template><title>B</title>", TITLE_CERTAIN},
    {"<noscript><title>A</title>", TITLE_CERTAIN}, /* it ends the noscript */
    {"", TITLE_UNCERTAIN},
    {"<p>A", TITLE_UNCERTAIN},
    {"<title>A", TITLE_UNCERTAIN},
    {"<title>A</title", TITLE_UNCERTAIN},
    {"<title>A</title x='>", TITLE_UNCERTAIN},
    {"<template><title>A</title></template>", TITLE_UNCERTAIN},
    {"<svg><title>A</title>", TITLE_UNCERTAIN},
    {"<body><title>A</title>", TITLE_CERTAIN},
    {"<body><p></p><title>A</title><p>", TITLE_CERTAIN},
    {"<hr><title>A</title>", TITLE_UNLESS_FRAMESET},
    {"<hr><body><title>A</title>", TITLE_UNLESS_FRAMESET},
    {"<body><p><title>A</title>", TITLE_UNCERTAIN},
    {"<body><table><title>A</title>", TITLE_UNCERTAIN},
    {"<body><table></table><title>A</title>", TITLE_UNCERTAIN},
    {"<body><title>A</title><table>", TITLE_UNCERTAIN},
    {"<body><title>A", TITLE_UNCERTAIN},
};

START_TEST(what_follows_a_title_can_or_cannot_change_it)
{
    struct title title = {0};
    struct bytes page = bytes_cstr(beginnings[_i].html);

    ck_assert_int_eq(find_within(AMPLE_MS, page, &title), BUMP_STOP_NONE);
    ck_assert_msg(title.certain == beginnings[_i].certain, "%s: %d", page.ptr, title.certain);
}
END_TEST

START_TEST(a_long_title_is_cut_between_two_characters)
{
    for (size_t shift = 0; shift < 4; shift++) {
        struct title title = {0};

        html.len = 0;
        buffer_text(&html, "<title>");
        buffer_append(&html, "abc", shift);
        for (int i = 0; i < TITLE_MAX; i++)
            buffer_text(&html, "\xe4\xbd\xa0");
        ck_assert_int_eq(find_within(AMPLE_MS, buffer_bytes(&html), &title), BUMP_STOP_NONE);
        ck_assert(title.found && title.truncated);
        ck_assert_uint_le(title.text.len, TITLE_MAX);
        ck_assert_uint_gt(title.text.len, TITLE_MAX - 3);
        ck_assert(utf8_valid(title.text));
    }
}
END_TEST

START_TEST(a_title_of_exactly_the_limit_is_whole)
{
    struct title title = {0};

    buffer_text(&html, "<title>  ");
    for (int i = 0; i < TITLE_MAX; i++)
        buffer_byte(&html, 'x');
    buffer_text(&html, "  </title>");
    ck_assert_int_eq(find_within(AMPLE_MS, buffer_bytes(&html), &title), BUMP_STOP_NONE);
    ck_assert_uint_eq(title.text.len, TITLE_MAX);
    ck_assert(!title.truncated);
}
END_TEST

static void repeat(const char *text, int n)
{
    while (n--)
        buffer_text(&html, text);
}

/* The page ended in time with any outcome that an arena knows, and the next one is served. */
static enum bump_stop survive(uint64_t ms)
{
    struct title title = {0};
    enum bump_stop stop = find_within(ms, buffer_bytes(&html), &title);

    assert_title(BYTES("<title>next</title>"), "next");
    return stop;
}

START_TEST(deep_nesting_ends_at_the_deadline)
{
    repeat("<div>", 100000);
    ck_assert_int_eq(survive(50), BUMP_STOP_DEADLINE);
}
END_TEST

START_TEST(a_deep_page_without_a_title_is_walked_without_recursion)
{
    repeat("<span>", 50000);
    assert_title(buffer_bytes(&html), NULL);
}
END_TEST

START_TEST(recursion_of_the_library_ends_at_the_stack_limit)
{
    /* A frameset takes the place of the body, which gumbo then destroys by recursion. */
    repeat("<span a>", 100000);
    buffer_text(&html, "<frameset>");
    ck_assert_int_eq(survive(AMPLE_MS), BUMP_STOP_STACK);
}
END_TEST

START_TEST(a_page_that_takes_too_much_memory_ends_at_the_limit)
{
    repeat("<p>x", 500000);
    ck_assert_int_eq(survive(AMPLE_MS), BUMP_STOP_MEMORY);
}
END_TEST

START_TEST(a_late_page_is_not_begun)
{
    buffer_text(&html, "<title>late</title>");
    ck_assert_int_eq(survive(0), BUMP_STOP_DEADLINE);
}
END_TEST

START_TEST(attributes_without_end_end_at_the_deadline)
{
    buffer_text(&html, "<p");
    for (int i = 0; i < 100000; i++)
        buffer_printf(&html, " a%d=b", i);
    ck_assert_int_eq(survive(50), BUMP_STOP_DEADLINE);
}
END_TEST

START_TEST(hostile_pages_are_survived)
{
    static const char *const units[] = {"<b><i><i>x</b>", "<b i><i i>x</b>",  "<a><table>",
                                        "<svg><p>",       "<template>",       "<select><option>",
                                        "&#x110000;&lt",  "<!doctype html x", "</p></br>"};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        html.len = 0;
        repeat(units[i], 2000);
        survive(200);
    }
    html.len = 0;
    for (int i = 0; i < 1 << 20; i++)
        buffer_byte(&html, '\0');
    survive(200);
}
END_TEST

Suite *suite_title(void)
{
    Suite *suite = suite_create("title");
    TCase *tc = tcase_create("title");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_title_is_the_one_a_browser_shows, 0,
                        (int)(sizeof pages / sizeof pages[0]));
    tcase_add_test(tc, a_nul_in_a_title_is_a_replacement_character);
    tcase_add_test(tc, controls_and_noncharacters_stay_in_a_title);
    tcase_add_test(tc, private_use_characters_of_the_page_never_make_a_title_ill_formed);
    tcase_add_test(tc, private_use_characters_of_a_title_stay_whatever_else_is_on_the_page);
    tcase_add_test(tc, a_title_that_is_cut_within_a_marked_character_ends_in_no_space);
    tcase_add_loop_test(tc, what_follows_a_title_can_or_cannot_change_it, 0,
                        (int)(sizeof beginnings / sizeof beginnings[0]));
    tcase_add_test(tc, a_long_title_is_cut_between_two_characters);
    tcase_add_test(tc, a_title_of_exactly_the_limit_is_whole);
    tcase_add_test(tc, deep_nesting_ends_at_the_deadline);
    tcase_add_test(tc, a_deep_page_without_a_title_is_walked_without_recursion);
    tcase_add_test(tc, recursion_of_the_library_ends_at_the_stack_limit);
    tcase_add_test(tc, a_page_that_takes_too_much_memory_ends_at_the_limit);
    tcase_add_test(tc, a_late_page_is_not_begun);
    tcase_add_test(tc, attributes_without_end_end_at_the_deadline);
    tcase_add_test(tc, hostile_pages_are_survived);
    suite_add_tcase(suite, tc);
    return suite;
}
