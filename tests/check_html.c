/* The walk over gumbo's tree, and the text of an element. */
#include "parsers/html.h"

#include "core/base/buffer.h"
#include "parsers/bump.h"
#include "tests/check.h"

#include <gumbo.h>

static struct bump bump;
static struct buffer page, seen;

static void setup(void)
{
    ck_assert_int_eq(bump_init(&bump, BUMP_LIMIT_DEFAULT), 0);
    bump_begin(&bump, CLOCK_NEVER);
}

static void teardown(void)
{
    bump_fini(&bump);
    buffer_free(&page);
    buffer_free(&seen);
}

static struct html parse(struct bytes text)
{
    struct html html;

    if (setjmp(bump.escape) != BUMP_STOP_NONE)
        ck_abort_msg("over the limits");
    html_parse(&bump, text, &html);
    return html;
}

static const GumboNode *first(const struct html *html, GumboTag tag)
{
    struct html_walk walk;
    const GumboNode *node;

    html_walk(&walk, &bump, html->document, false);
    while ((node = html_next(&walk)) && node->v.element.tag != tag)
        ;
    ck_assert_ptr_nonnull(node);
    return node;
}

/* What a walk gives, in short: <tag text >tag; what is in a `skipped` is skipped. */
static const char *told(struct html_walk *walk, GumboTag skipped)
{
    const GumboNode *node = NULL;

    seen.len = 0;
    for (enum html_event event; (event = html_step(walk, &node)) != HTML_END;) {
        if (event == HTML_TEXT) {
            buffer_text(&seen, node->v.text.text);
            continue;
        }
        buffer_byte(&seen, event == HTML_ENTER ? '<' : '>');
        buffer_text(&seen, gumbo_normalized_tagname(node->v.element.tag));
        if (event == HTML_ENTER && node->v.element.tag == skipped)
            html_skip(walk);
    }
    const GumboNode *end = node;
    ck_assert_int_eq(html_step(walk, &node), HTML_END); /* again, and again */
    ck_assert_ptr_eq(node, end);
    buffer_byte(&seen, '\0');
    ck_assert(!seen.failed);
    return seen.ptr;
}

START_TEST(a_walk_gives_elements_their_ends_and_texts_in_tree_order)
{
    struct html html =
        parse(BYTES("<!-- c --><p>a<b>b<br></b> <!-- c -->c<svg><![CDATA[d]]></svg>"));
    struct html_walk walk;

    html_walk(&walk, &bump, html.document, false);
    ck_assert_str_eq(told(&walk, GUMBO_TAG_LAST),
                     "<html<head>head<body<pa<bb<br>br>b c<svgd>svg>p>body>html");
    html_walk_element(&walk, &bump, first(&html, GUMBO_TAG_P));
    ck_assert_str_eq(told(&walk, GUMBO_TAG_LAST), "a<bb<br>br>b c<svgd>svg");
    html_walk_element(&walk, &bump, first(&html, GUMBO_TAG_BR));
    ck_assert_str_eq(told(&walk, GUMBO_TAG_LAST), "");
}
END_TEST

START_TEST(what_is_skipped_is_left_next)
{
    struct html html = parse(BYTES("<p>a<b>b<i>i</i></b>c<b></b>d"));
    struct html_walk walk;

    html_walk_element(&walk, &bump, first(&html, GUMBO_TAG_P));
    ck_assert_str_eq(told(&walk, GUMBO_TAG_B), "a<b>bc<b>bd");
}
END_TEST

START_TEST(contents_of_templates_are_left_out_or_not)
{
    struct html html = parse(BYTES("<body>a<template>b<i>c</i></template>d"));
    struct html_walk walk;

    html_walk(&walk, &bump, html.document, false);
    ck_assert_str_eq(told(&walk, GUMBO_TAG_HEAD),
                     "<html<head>head<bodya<template>templated>body>html");
    html_walk(&walk, &bump, html.document, true);
    ck_assert_str_eq(told(&walk, GUMBO_TAG_HEAD),
                     "<html<head>head<bodya<templateb<ic>i>templated>body>html");
}
END_TEST

START_TEST(a_walk_goes_as_deep_as_a_page_nests)
{
    enum { DEPTH = 20000 };
    struct html_walk walk;
    const GumboNode *node;
    int depth = 0, deepest = 0;

    for (int i = 0; i < DEPTH; i++)
        buffer_text(&page, "<div>");
    struct html html = parse(buffer_bytes(&page));
    html_walk(&walk, &bump, html.document, false);
    for (enum html_event event; (event = html_step(&walk, &node)) != HTML_END;) {
        depth += event == HTML_ENTER ? 1 : -1;
        deepest = depth > deepest ? depth : deepest;
    }
    ck_assert_int_eq(depth, 0);
    ck_assert_int_eq(deepest, DEPTH + 2);
}
END_TEST

static const struct {
    const char *html, *text; /* of the first h1 */
} headings[] = {
    {"<h1>a</h1>b", "a"},
    {"<h1></h1>b", ""},
    {"<h1> \n </h1>b", ""},
    {"<h1> a <b> b</b>c\n<!-- d --> d </h1>", "a bc d"},
    {"<h1>a<br>b<br></h1>", "a b"},
    {"<h1><a href=x><span>a</span></a><span>b</span></h1>", "ab"},
    {"<h1>a<script>b</script><style>c</style><template>d</template>e</h1>", "ae"},
    {"<h1>&nbsp;a&nbsp; b</h1>", "\xc2\xa0"
                                 "a\xc2\xa0 b"},
    {"<h1>\x01&#xB;&#xFDD0;&#x10F401;&lt;</h1>", "\x01\x0b\xef\xb7\x90\xf4\x8f\x90\x81<"},
};

START_TEST(the_text_of_an_element_is_all_that_is_in_it)
{
    struct html html = parse(bytes_cstr(headings[_i].html));
    const GumboNode *heading = first(&html, GUMBO_TAG_H1);
    bool cut = true;

    struct bytes text = html_collapsed_text(&bump, &html, heading, 100, &cut);
    ck_assert_msg(bytes_equal(text, bytes_cstr(headings[_i].text)), "%s: got \"%.*s\"",
                  headings[_i].html, (int)text.len, text.ptr);
    ck_assert(!cut);
}
END_TEST

START_TEST(a_text_that_is_too_long_is_cut_between_characters)
{
    static const char *const most[] = {"",
                                       "a",
                                       "a",
                                       "a b",
                                       "a b",
                                       "a b",
                                       "a b\xe2\x82\xac",
                                       "a b\xe2\x82\xac",
                                       "a b\xe2\x82\xac",
                                       "a b\xe2\x82\xac \xc3\xa9"};
    struct html html = parse(BYTES("<h1>a <i>b\xe2\x82\xac</i> &eacute; </h1>"));

    for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
        bool cut;
        struct bytes text = html_collapsed_text(&bump, &html, first(&html, GUMBO_TAG_H1), i, &cut);
        ck_assert_msg(bytes_equal(text, bytes_cstr(most[i])), "%zu: \"%.*s\"", i, (int)text.len,
                      text.ptr);
        ck_assert_int_eq(cut, i + 1 < sizeof most / sizeof *most);
    }
}
END_TEST

START_TEST(texts_take_no_more_of_the_arena_than_their_length)
{
    struct html html = parse(BYTES("<h1>abc</h1>"));
    const GumboNode *heading = first(&html, GUMBO_TAG_H1);
    size_t before = bump_mark(&bump);
    bool cut;

    struct bytes one = html_collapsed_text(&bump, &html, heading, 8 << 10, &cut);
    struct bytes other = html_collapsed_text(&bump, &html, heading, 8 << 10, &cut);
    ck_assert(bytes_equal(one, BYTES("abc")) && bytes_equal(other, BYTES("abc")));
    ck_assert_uint_le(bump_mark(&bump) - before, 64);
}
END_TEST

Suite *suite_html(void)
{
    Suite *suite = suite_create("html");
    TCase *tc = tcase_create("html");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_walk_gives_elements_their_ends_and_texts_in_tree_order);
    tcase_add_test(tc, what_is_skipped_is_left_next);
    tcase_add_test(tc, contents_of_templates_are_left_out_or_not);
    tcase_add_test(tc, a_walk_goes_as_deep_as_a_page_nests);
    tcase_add_loop_test(tc, the_text_of_an_element_is_all_that_is_in_it, 0,
                        sizeof headings / sizeof *headings);
    tcase_add_test(tc, a_text_that_is_too_long_is_cut_between_characters);
    tcase_add_test(tc, texts_take_no_more_of_the_arena_than_their_length);
    suite_add_tcase(suite, tc);
    return suite;
}
