#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "parsers/page.h"

#include <stdio.h>

static struct page_parser *parser;
static struct buffer told, page;
static bool truncated;

static void setup(void)
{
    ck_assert_int_eq(page_parser_create(0, &parser), 0);
}

static void teardown(void)
{
    page_parser_destroy(parser);
    parser = NULL;
    buffer_free(&told);
    buffer_free(&page);
}

static struct page_facts parse(struct bytes html, field_set fields)
{
    struct page_facts facts;
    struct page_request request = {
        .body = html,
        .content_type = BYTES("text/html;charset=utf-8"),
        .url = BYTES("http://a.example/there/page?x"),
        .fields = fields,
        .max_decoded_bytes = 64 << 20,
        .max_ratio = 2000,
        .deadline_ns = clock_after_ms(clock_now_ns(), 60000),
    };

    ck_assert_int_eq(page_parse(parser, &request, &facts), PAGE_OK);
    ck_assert(fields_are_valid(facts.fields, fields));
    truncated = facts.truncated;
    return facts;
}

/* The entries of a page, a line each: "og[title]=A\n". */
static const char *fields_of(struct bytes html, field_set fields)
{
    struct bytes rest = parse(html, fields).fields;
    struct field_entry entry;

    told.len = 0;
    while (fields_next(&rest, &entry)) {
        buffer_text(&told, field_name(entry.field));
        if (entry.key.len > 0) {
            buffer_byte(&told, '[');
            buffer_append(&told, entry.key.ptr, entry.key.len);
            buffer_byte(&told, ']');
        }
        buffer_byte(&told, '=');
        buffer_append(&told, entry.value.ptr, entry.value.len);
        buffer_byte(&told, '\n');
    }
    buffer_byte(&told, '\0');
    ck_assert(!told.failed);
    return told.ptr;
}

struct example {
    const char *html, *fields;
};

static const field_set all = FIELDS_ALL;

static void check(const struct example *examples, size_t count, field_set fields)
{
    for (size_t i = 0; i < count; i++) {
        const char *got = fields_of(bytes_cstr(examples[i].html), fields);
        ck_assert_msg(strcmp(got, examples[i].fields) == 0, "\"%s\"\nwants \"%s\"\ngets  \"%s\"",
                      examples[i].html, examples[i].fields, got);
    }
}

#define CHECK(examples, fields) check(examples, sizeof(examples) / sizeof(examples)[0], (fields))

/* -- the head ---------------------------------------------------------------------------------- */

START_TEST(the_first_description_with_a_content_counts)
{
    static const struct example examples[] = {
        {"<meta name=description content='What  it\n is '><body>", "description=What it is\n"},
        {"<meta NAME=Description content=A><meta name=description content=B><body>",
         "description=A\n"},
        {"<meta name=description content=' '><meta name=description content=B><body>",
         "description=B\n"},
        {"<meta name=description><body>", ""},
        {"<meta property=description content=A><body>", ""},
        {"<meta name=description content='&lt;b&gt; &amp;amp; \xc3\xa9'><body>",
         "description=<b> &amp; \xc3\xa9\n"},
        {"<meta name=' description ' content=A><body>", "description=A\n"},
        {"<template><meta name=description content=A></template><body>", ""},
        {"<svg><meta name=description content=A></svg>", "description=A\n"}, /* ends the svg */
        {"<svg><desc><meta name=description content=A></desc></svg>", "description=A\n"},
    };

    CHECK(examples, FIELD_BIT(FIELD_DESCRIPTION));
}
END_TEST

START_TEST(what_stands_in_the_body_counts_only_where_the_head_was_broken_off)
{
    static const struct example examples[] = {
        {"<head></head><body><meta name=description content=A>", ""},
        {"<head></head><meta name=description content=A><body>", "description=A\n"},
        {"<head><div></div><meta name=description content=A></head><body>", "description=A\n"},
        {"<head><noscript><img src=x></noscript><meta name=description content=A></head><body>",
         "description=A\n"},
        {"<p><meta name=description content=A>", "description=A\n"},
        {"<noscript><meta name=description content=A></noscript><body>", "description=A\n"},
        {"<meta name=description content=A><frameset></frameset>", "description=A\n"},
    };

    CHECK(examples, FIELD_BIT(FIELD_DESCRIPTION));
}
END_TEST

START_TEST(links_of_the_head_are_absolute)
{
    static const struct example examples[] = {
        {"<link rel=canonical href=/a><body>", "canonical=http://a.example/a\n"},
        {"<link rel=canonical href=a><body>", "canonical=http://a.example/there/a\n"},
        {"<link rel='x CANONICAL' href=//b.example><body>", "canonical=http://b.example/\n"},
        {"<link rel=canonical href=' https://b.example/ '><link rel=canonical href=/a><body>",
         "canonical=https://b.example/\n"},
        {"<link rel=canonical href=''><link rel=canonical href=javascript:x><body>", ""},
        {"<link rel=canonicals href=/a><a rel=canonical href=/a><body>", ""},
        {"<base href=/b/><link rel=canonical href=a><body>", "canonical=http://a.example/b/a\n"},
        {"<base><base href=http://b.example/><base href=/c><link rel=canonical href=a><body>",
         "canonical=http://b.example/a\n"},
        {"<base href=mailto:x><link rel=canonical href=a><body>",
         "canonical=http://a.example/there/a\n"},
        {"<link rel=canonical href=a><base href=/b/><body>", "canonical=http://a.example/b/a\n"},
        {"<link rel='shortcut icon' href=/i.ico><link rel=icon href=/j><body>",
         "icon=http://a.example/i.ico\n"},
        {"<link rel=mask-icon href=/i><link rel=apple-touch-icon href=/j><body>", ""},
    };

    CHECK(examples, FIELD_BIT(FIELD_CANONICAL) | FIELD_BIT(FIELD_ICON));
}
END_TEST

START_TEST(open_graph_and_twitter_are_objects)
{
    static const struct example examples[] = {
        {"<meta property=og:title content=A><meta property=og:image content=i>"
         "<meta property=og:TITLE content='B '><meta property=og:image:width content=1><body>",
         "og[title]=A\nog[title]=B\nog[image]=i\nog[image:width]=1\n"},
        {"<meta name=og:title content=A><meta property=article:author content=B><body>",
         "og[title]=A\n"},
        {"<meta property=og: content=A><meta property=og content=A><meta property=og:x><body>", ""},
        {"<meta property=og:x content><body>", "og[x]=\n"},
        {"<meta name=twitter:card content=A><meta property=twitter:site content=@b>"
         "<meta property=og:x content=C><body>",
         "og[x]=C\ntwitter[card]=A\ntwitter[site]=@b\n"},
        {"<meta property='x:a og:a twitter:b\nog:c' content=A><meta property='og:a' "
         "content=B><body>",
         "og[a]=A\nog[a]=B\nog[c]=A\ntwitter[b]=A\n"},
        {"<meta property='x:a y' name=og:z content=A><meta property=og:a name=og:b "
         "content=B><body>",
         "og[z]=A\nog[a]=B\n"},
        {"<meta property='og: b' content=A><meta property='og:\xc3\xa9' content=A><body>", ""},
    };

    CHECK(examples, FIELD_BIT(FIELD_OG) | FIELD_BIT(FIELD_TWITTER));
}
END_TEST

START_TEST(feeds_are_told_with_type_and_title)
{
    static const struct example examples[] = {
        {"<link rel=alternate type=application/rss+xml href=/r title=' All  of it '>"
         "<link rel=alternate type='Application/Atom+XML; x' href=a>"
         "<link type=application/feed+json rel='me alternate' href=j><body>",
         "feeds[url]=http://a.example/r\nfeeds[type]=application/rss+xml\nfeeds[title]=All of it\n"
         "feeds[url]=http://a.example/there/a\nfeeds[type]=application/atom+xml\n"
         "feeds[url]=http://a.example/there/j\nfeeds[type]=application/feed+json\n"},
        {"<link rel=alternate hreflang=de href=/de><link rel=alternate type=text/html href=/x>"
         "<link rel=feed type=application/rss+xml href=/r>"
         "<link rel=alternate type=application/rss+xml href=mailto:x><body>",
         ""},
    };

    CHECK(examples, FIELD_BIT(FIELD_FEEDS));
}
END_TEST

START_TEST(what_robots_may_do_is_joined)
{
    static const struct example examples[] = {
        {"<meta name=robots content='noindex, nofollow'><meta name=ROBOTS content=noarchive><body>",
         "robots_meta=noindex, nofollow, noarchive\n"},
        {"<meta name=robots content=''><meta name=googlebot content=none><body>", ""},
    };

    CHECK(examples, FIELD_BIT(FIELD_ROBOTS_META));
}
END_TEST

START_TEST(the_language_is_that_of_the_html_element)
{
    static const struct example examples[] = {
        {"<html lang=de-AT><body>", "lang=de-AT\n"},
        {"<html lang=''><body>", ""},
        {"<html xml:lang=de><body>", ""},
        {"<head><html lang=de></head><body>", "lang=de\n"},
        {"<body><html lang=de>", ""},
        {"<p><html lang=de>", "lang=de\n"},
        {"<html lang=de><body><html lang=en>", "lang=de\n"},
    };

    CHECK(examples, FIELD_BIT(FIELD_LANG));
}
END_TEST

/* -- the body ---------------------------------------------------------------------------------- */

START_TEST(headings_are_told_as_text)
{
    static const struct example examples[] = {
        {"<h1> A <b>b</b>\n c</h1><h2>no</h2><div><h1>B</h1></div><h1> </h1>", "h1=A b c\nh1=B\n"},
        {"<svg><h1>A</h1></svg><template><h1>B</h1></template>", "h1=A\n"},
        {"<p>none", ""},
    };

    CHECK(examples, FIELD_BIT(FIELD_H1));
}
END_TEST

START_TEST(links_are_absolute_and_told_once)
{
    static const struct example examples[] = {
        {"<a href=/a>A</a><a href=b>B</a><a href='http://a.example/a#x'>C</a><a name=x>D</a>"
         "<area href=//c.example/?q><link href=/no><a href=#top>E</a><a href=''>F</a>",
         "links=http://a.example/a\nlinks=http://a.example/there/b\nlinks=http://c.example/?q\n"
         "links=http://a.example/there/page?x\n"},
        {"<a href=mailto:x><a href='javascript:void(0)'><a href=tel:1><a href=data:x>", ""},
        {"<a href=a><base href=/b/><a href=a>", "links=http://a.example/b/a\n"},
        {"<a href='\xc3\xa9 \xc3\xa9'>", "links=http://a.example/there/%C3%A9%20%C3%A9\n"},
        {"<a href=a&amp;b&copy=c>", "links=http://a.example/there/a&b&copy=c\n"},
        {"<svg><a href=/no></a></svg><noscript><a href=/yes></a></noscript>",
         "links=http://a.example/yes\n"},
    };

    CHECK(examples, FIELD_BIT(FIELD_LINKS));
}
END_TEST

START_TEST(structured_data_is_json_or_is_not_told)
{
    static const struct example examples[] = {
        {"<script type=application/ld+json>\n{ \"a\" : [1, 2.50, \"x\\n\"] }\n</script>"
         "<body><script type='application/LD+JSON; x'>[ ]</script>"
         "<script>{}</script><script type=application/json>{}</script>",
         "json_ld={\"a\":[1,2.50,\"x\\n\"]}\njson_ld=[]\n"},
        {"<script type=application/ld+json>{\"a\":}</script>"
         "<script type=application/ld+json></script>"
         "<script type=application/ld+json src=x></script>",
         ""},
        {"<script type=application/ld+json>{\"a\":\"&amp;\"}</script>",
         "json_ld={\"a\":\"&amp;\"}\n"},
        {"<script type=application/ld+json>\n<![CDATA[\n{\"a\": 1}\n]]>\n</script>"
         "<script type=application/ld+json>//<![CDATA[\n2\n//]]></script>"
         "<script type=application/ld+json>/* <![CDATA[ */ [3] /* ]]> */</script>"
         "<script type=application/ld+json><!--\n[4]\n//--></script>"
         "<script type=application/ld+json>\"]]>\"</script>",
         "json_ld={\"a\":1}\njson_ld=2\njson_ld=[3]\njson_ld=[4]\njson_ld=\"]]>\"\n"},
        {"<script type=application/ld+json>//5</script>"
         "<script type=application/ld+json>/*6*/</script>"
         "<script type=application/ld+json>7 //</script>"
         "<script type=application/ld+json><![CDATA[]]></script>"
         "<script type=application/ld+json><!--></script>",
         ""},
    };

    CHECK(examples, FIELD_BIT(FIELD_JSON_LD));
}
END_TEST

START_TEST(fields_stand_in_the_order_of_the_table)
{
    static const struct example examples[] = {
        {"<html lang=en><title>T</title><meta property=og:x content=o>"
         "<meta name=description content=d><script type=application/ld+json>1</script>"
         "<body><p>text</p><a href=/a></a><h1>H</h1>",
         "description=d\nlang=en\nog[x]=o\nh1=H\nlinks=http://a.example/a\ntext=text\n\nH\n"
         "json_ld=1\n"},
    };

    CHECK(examples, all);
}
END_TEST

START_TEST(only_what_is_asked_for_is_told)
{
    static const char html[] = "<title>T</title><meta name=description content=d><body><h1>H</h1>";
    struct page_facts facts = parse(bytes_cstr(html), FIELD_BIT(FIELD_H1));

    ck_assert(!facts.has_title);
    ck_assert_str_eq(fields_of(bytes_cstr(html), FIELD_BIT(FIELD_H1)), "h1=H\n");
    facts = parse(bytes_cstr(html), 0);
    ck_assert(facts.has_title);
    ck_assert_uint_eq(facts.fields.len, 0);
}
END_TEST

/* -- limits ------------------------------------------------------------------------------------ */

static void repeat(struct buffer *out, size_t times, const char *text)
{
    while (times-- > 0)
        buffer_text(out, text);
    ck_assert(!out->failed);
}

START_TEST(the_head_tells_enough_without_the_body)
{
    buffer_text(&page, "<title>T</title><meta name=description content=d></head><body>");
    repeat(&page, 100000, "<p>a");
    struct page_facts facts =
        parse(buffer_bytes(&page), FIELD_BIT(FIELD_TITLE) | FIELD_BIT(FIELD_DESCRIPTION));
    ck_assert(facts.from_prefix);
    ck_assert(bytes_equal(facts.title, BYTES("T")));
    ck_assert(!truncated);
}
END_TEST

START_TEST(many_meta_elements_may_stand_anywhere_in_a_deep_page)
{
    for (size_t deep = 0; deep < 200; deep += 20) {
        page.len = 0;
        repeat(&page, deep, "<meta name=x content=y>");
        buffer_text(&page, "<p>");
        repeat(&page, 200, "<div><meta name=x content=y>");
        buffer_text(&page, "<meta name=description content=d>");
        struct page_facts facts = parse(buffer_bytes(&page), FIELD_BIT(FIELD_DESCRIPTION));
        ck_assert_uint_eq(facts.fields.len, FIELD_ENTRY_HEADER + 1);
    }
}
END_TEST

START_TEST(what_has_no_room_is_left_out_and_that_is_told)
{
    char line[64];

    for (int i = 0; i < 5000; i++) {
        snprintf(line, sizeof line, "<a href=/a/rather/long/link/%d>", i);
        buffer_text(&page, line);
    }
    struct page_facts facts = parse(buffer_bytes(&page), FIELD_BIT(FIELD_LINKS));
    ck_assert(truncated);
    ck_assert_uint_gt(facts.fields.len, 60 << 10);
    ck_assert_uint_le(facts.fields.len, FIELDS_MAX);
}
END_TEST

/* More elements than the memory is for. */
static void fill(struct buffer *out)
{
    repeat(out, 600000, "<p>");
}

START_TEST(a_page_over_the_limits_tells_what_is_certain)
{
    buffer_text(&page, "<title>T</title><link rel=canonical href=/c><body><h1>H</h1>"
                       "<a href=/a></a>");
    fill(&page);
    const field_set fields = FIELD_BIT(FIELD_TITLE) | FIELD_BIT(FIELD_CANONICAL) |
                             FIELD_BIT(FIELD_H1) | FIELD_BIT(FIELD_LINKS);
    struct page_facts facts = parse(buffer_bytes(&page), fields);
    ck_assert(truncated);
    ck_assert(bytes_equal(facts.title, BYTES("T")));
    /* And of the body what a beginning has that can be parsed. */
    ck_assert_str_eq(fields_of(buffer_bytes(&page), fields),
                     "canonical=http://a.example/c\nh1=H\nlinks=http://a.example/a\n");
}
END_TEST

START_TEST(a_page_over_the_limits_whose_head_is_uncertain_fails)
{
    struct page_facts facts;

    buffer_text(&page, "<p><title>T</title>");
    fill(&page);
    struct page_request request = {
        .body = buffer_bytes(&page),
        .content_type = BYTES("text/html;charset=utf-8"),
        .fields = FIELD_BIT(FIELD_DESCRIPTION) | FIELD_BIT(FIELD_H1),
        .max_decoded_bytes = 64 << 20,
        .deadline_ns = clock_after_ms(clock_now_ns(), 60000),
    };
    ck_assert_int_eq(page_parse(parser, &request, &facts), PAGE_OUT_OF_MEMORY);
    ck_assert_uint_eq(facts.fields.len, 0);
    ck_assert(!facts.truncated);
}
END_TEST

START_TEST(without_an_address_only_absolute_urls_are_told)
{
    static const char html[] =
        "<link rel=canonical href=/c><body><a href=a><a href=http://b.example/b>";
    struct page_facts facts;
    struct page_request request = {
        .body = bytes_cstr(html),
        .content_type = BYTES("text/html;charset=utf-8"),
        .fields = FIELD_BIT(FIELD_CANONICAL) | FIELD_BIT(FIELD_LINKS),
        .max_decoded_bytes = 64 << 20,
        .deadline_ns = clock_after_ms(clock_now_ns(), 60000),
    };
    struct field_entry entry;

    ck_assert_int_eq(page_parse(parser, &request, &facts), PAGE_OK);
    ck_assert(fields_next(&facts.fields, &entry));
    ck_assert_int_eq(entry.field, FIELD_LINKS);
    ck_assert(bytes_equal(entry.value, BYTES("http://b.example/b")));
    ck_assert(!fields_next(&facts.fields, &entry));
}
END_TEST

Suite *suite_page_fields(void)
{
    Suite *suite = suite_create("page_fields");
    TCase *head = tcase_create("head"), *body = tcase_create("body"),
          *limits = tcase_create("limits");

    tcase_add_checked_fixture(head, setup, teardown);
    tcase_add_test(head, the_first_description_with_a_content_counts);
    tcase_add_test(head, what_stands_in_the_body_counts_only_where_the_head_was_broken_off);
    tcase_add_test(head, links_of_the_head_are_absolute);
    tcase_add_test(head, open_graph_and_twitter_are_objects);
    tcase_add_test(head, feeds_are_told_with_type_and_title);
    tcase_add_test(head, what_robots_may_do_is_joined);
    tcase_add_test(head, the_language_is_that_of_the_html_element);
    suite_add_tcase(suite, head);
    tcase_add_checked_fixture(body, setup, teardown);
    tcase_add_test(body, headings_are_told_as_text);
    tcase_add_test(body, links_are_absolute_and_told_once);
    tcase_add_test(body, structured_data_is_json_or_is_not_told);
    tcase_add_test(body, fields_stand_in_the_order_of_the_table);
    tcase_add_test(body, only_what_is_asked_for_is_told);
    suite_add_tcase(suite, body);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_set_timeout(limits, 60);
    tcase_add_test(limits, the_head_tells_enough_without_the_body);
    tcase_add_test(limits, many_meta_elements_may_stand_anywhere_in_a_deep_page);
    tcase_add_test(limits, what_has_no_room_is_left_out_and_that_is_told);
    tcase_add_test(limits, a_page_over_the_limits_tells_what_is_certain);
    tcase_add_test(limits, a_page_over_the_limits_whose_head_is_uncertain_fails);
    tcase_add_test(limits, without_an_address_only_absolute_urls_are_told);
    suite_add_tcase(suite, limits);
    return suite;
}
