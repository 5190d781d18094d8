#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "parsers/bump.h"
#include "parsers/meta_hint.h"
#include "parsers/page.h"
#include "parsers/prefix.h"
#include "parsers/prescan.h"
#include "tests/support/soup.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

/*
 * SKIMD_SOUPS: pages of random tag soup a test makes up. As many as there is time for, up to a
 * number that is enough in a suite, when it is not set.
 */
enum { SOUPS = 20000, SOUPS_AT_LEAST = 500, SOUP_MS = 700, CUTS = 3 };

static struct bump bump;
static struct page_parser *parser;
static struct buffer html, body;

static void setup(void)
{
    ck_assert_int_eq(bump_init(&bump, BUMP_LIMIT_DEFAULT), 0);
    ck_assert_int_eq(page_parser_create(0, &parser), 0);
}

static void teardown(void)
{
    bump_fini(&bump);
    page_parser_destroy(parser);
    parser = NULL;
    buffer_free(&html);
    buffer_free(&body);
}

static struct title title_in(struct bytes text)
{
    struct title title;

    if (setjmp(bump.escape))
        ck_abort_msg("the arena is left for \"%.*s\"", (int)text.len, text.ptr);
    title_find(&bump, text, &title);
    return title;
}

/* How much random soup there still is to try. */
struct soup_budget {
    unsigned long made, wanted;
    uint64_t until_ns;
};

static struct soup_budget soup_budget(void)
{
    const char *wanted = getenv("SKIMD_SOUPS");

    if (wanted)
        return (struct soup_budget){.wanted = strtoul(wanted, NULL, 10), .until_ns = CLOCK_NEVER};
    return (struct soup_budget){.wanted = SOUPS,
                                .until_ns = clock_after_ms(clock_now_ns(), SOUP_MS)};
}

static bool more_soup(struct soup_budget *b)
{
    if (b->made >= b->wanted || (b->made >= SOUPS_AT_LEAST && clock_now_ns() > b->until_ns))
        return false;
    b->made++;
    return true;
}

/* -- titles --------------------------------------------------------------------------------------
 */

/* What a beginning of `text` says for certain holds for all of it. */
static bool check_beginning(struct bytes text, size_t len, const struct title *whole)
{
    struct title title = title_in(bytes_of(text.ptr, len));

    if (title.certain == TITLE_UNCERTAIN ||
        (title.certain == TITLE_UNLESS_FRAMESET &&
         memmem(text.ptr, text.len, "<frameset", strlen("<frameset"))))
        return false;
    ck_assert_msg(
        whole->found && title.truncated == whole->truncated && bytes_equal(title.text, whole->text),
        "\"%.*s\" of \"%.*s\"\nwants \"%.*s\", gets \"%.*s\"", (int)len, text.ptr, (int)text.len,
        text.ptr, (int)whole->text.len, whole->text.ptr, (int)title.text.len, title.text.ptr);
    return true;
}

START_TEST(a_certain_title_of_a_beginning_is_that_of_the_whole)
{
    struct soup soup = {.state = 5};
    struct soup_budget budget = soup_budget();
    unsigned long certain = 0;

    while (more_soup(&budget)) {
        soup_page(&soup, SOUP_TEXT, &html);
        struct bytes text = buffer_bytes(&html);
        bump_begin(&bump, CLOCK_NEVER);
        struct title whole = title_in(text);

        for (size_t at = 0; at < text.len; at++)
            if (text.ptr[at] == '>' && soup_below(&soup, CUTS) == 0)
                certain += check_beginning(text, at + 1, &whole);
        for (int i = 0; i < CUTS; i++) {
            size_t len = soup_below(&soup, (uint32_t)text.len + 1);
            while (len < text.len && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
                len++;
            certain += check_beginning(text, len, &whole);
        }
    }
    ck_assert_uint_gt(certain, budget.made / 4);
}
END_TEST

/* -- pages ---------------------------------------------------------------------------------------
 */

static struct page_request request_for(struct bytes page, const char *content_type)
{
    return (struct page_request){
        .body = page,
        .content_type = bytes_cstr(content_type),
        .max_decoded_bytes = 64 << 20,
        .max_ratio = 2000,
        .deadline_ns = clock_after_ms(clock_now_ns(), 60000),
    };
}

/* Makes `body` the gzip of `plain`. */
static void gzip_body(struct bytes plain, int level)
{
    z_stream z = {0};
    size_t bound = compressBound((uLong)plain.len) + 64;

    ck_assert_int_eq(deflateInit2(&z, level, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    body.len = 0;
    ck_assert(buffer_reserve(&body, bound));
    z.next_in = (Bytef *)(uintptr_t)plain.ptr;
    z.avail_in = (uInt)plain.len;
    z.next_out = (Bytef *)body.ptr;
    z.avail_out = (uInt)bound;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    body.len = bound - z.avail_out;
    deflateEnd(&z);
}

/* Facts with bytes of their own. */
struct kept {
    struct page_facts facts;
    char title[TITLE_MAX], fields[FIELDS_MAX];
};

static void parse(struct page_request request, struct kept *ret)
{
    page_parse(parser, &request, &ret->facts);
    if (ret->facts.title.len > 0)
        memcpy(ret->title, ret->facts.title.ptr, ret->facts.title.len);
    ret->facts.title.ptr = ret->title;
    if (ret->facts.fields.len > 0)
        memcpy(ret->fields, ret->facts.fields.ptr, ret->facts.fields.len);
    ret->facts.fields.ptr = ret->fields;
}

static void assert_same(const struct page_request *request, const struct kept *got,
                        const struct kept *want)
{
    const struct page_facts *a = &got->facts, *b = &want->facts;

    ck_assert_msg(a->error == b->error && a->has_title == b->has_title &&
                      a->title_truncated == b->title_truncated && a->charset == b->charset &&
                      bytes_equal(a->title, b->title),
                  "\"%.*s\" as %.*s\nwants \"%.*s\" in %s, gets \"%.*s\" in %s",
                  (int)request->body.len, request->body.ptr, (int)request->content_type.len,
                  request->content_type.ptr, (int)b->title.len, b->title.ptr,
                  charset_name(b->charset), (int)a->title.len, a->title.ptr,
                  charset_name(a->charset));
    ck_assert_msg(a->truncated == b->truncated && bytes_equal(a->fields, b->fields),
                  "\"%.*s\" as %.*s, asked for %x\nwants %zu bytes of fields, gets %zu",
                  (int)request->body.len, request->body.ptr, (int)request->content_type.len,
                  request->content_type.ptr, request->fields, b->fields.len, a->fields.len);
}

/* Now the title alone, now what the head has, now anything. */
static field_set soup_fields(struct soup *soup)
{
    field_set all = FIELDS_ALL, some = soup_below(soup, all + 1);

    switch (soup_below(soup, 4)) {
    case 0:
        return some;
    case 1:
        return (some & ~fields_of_body()) | FIELD_BIT(FIELD_TITLE);
    case 2:
        return (some & ~fields_of_body()) | FIELD_BIT(FIELD_OG);
    default:
        return FIELD_BIT(FIELD_TITLE);
    }
}

/* However the page is asked for, it is told the same. Returns how often a beginning was enough. */
static unsigned check_page(struct soup *soup, struct bytes page, const char *content_type)
{
    static struct kept whole, quick;
    struct page_request request = request_for(page, content_type);
    unsigned enough = 0;

    request.fields = soup_fields(soup);
    request.url = BYTES("http://a.example/there/?page");
    request.parse_all = true;
    parse(request, &whole);
    ck_assert(whole.facts.settled && !whole.facts.from_prefix);

    request.parse_all = false;
    parse(request, &quick);
    assert_same(&request, &quick, &whole);
    ck_assert(quick.facts.settled);
    enough += quick.facts.from_prefix;

    gzip_body(page, 1);
    request.content_encoding = BYTES("gzip");
    request.body = buffer_bytes(&body);
    parse(request, &quick);
    request.body = page;
    assert_same(&request, &quick, &whole);
    enough += quick.facts.from_prefix;

    request.is_prefix = true;
    request.body = bytes_of(body.ptr, soup_below(soup, (uint32_t)body.len + 1));
    parse(request, &quick);
    if (quick.facts.settled)
        assert_same(&request, &quick, &whole);
    request.content_encoding = BYTES("");
    request.body = bytes_of(page.ptr, soup_below(soup, (uint32_t)page.len + 1));
    parse(request, &quick);
    if (quick.facts.settled)
        assert_same(&request, &quick, &whole);
    return enough + quick.facts.settled;
}

/* A Content-Type with a charset, or without one, or none at all. */
static void soup_type(struct soup *soup, char *ret, size_t size)
{
    static const char *const types[] = {"text/html", "text/html", "text/html", "",
                                        "text/html, text/html"};
    enum { TYPES = sizeof types / sizeof types[0] };
    uint32_t at = soup_below(soup, TYPES + 3);
    struct bytes label = soup_label(soup);

    snprintf(ret, size, "%s", at < TYPES ? types[at] : "");
    if (at >= TYPES)
        snprintf(ret, size, "text/html;charset=%.*s", (int)label.len, label.ptr);
}

/* In UTF-16, with a mark or without. */
static void widen_page(struct soup *soup)
{
    bool big_endian = soup_below(soup, 2);

    soup_widen(&html, big_endian);
    if (soup_below(soup, 2)) {
        ck_assert(buffer_reserve(&html, 2));
        memmove(html.ptr + 2, html.ptr, html.len);
        memcpy(html.ptr, big_endian ? "\xfe\xff" : "\xff\xfe", 2);
        html.len += 2;
    }
}

START_TEST(a_beginning_tells_what_the_whole_page_tells)
{
    struct soup soup = {.state = 7};
    struct soup_budget budget = soup_budget();
    unsigned long enough = 0;
    char type[64];

    while (more_soup(&budget)) {
        soup_type(&soup, type, sizeof type);
        soup_page(&soup, soup_below(&soup, 2) ? SOUP_BYTES : SOUP_HEAD, &html);
        if (soup_below(&soup, 16) == 0)
            widen_page(&soup);
        enough += check_page(&soup, buffer_bytes(&html), type);
    }
    ck_assert_uint_gt(enough, budget.made / 32);
}
END_TEST

/* -- the real web, where it is at hand -----------------------------------------------------------
 */

static void read_file(const char *name)
{
    FILE *f = fopen(name, "rb");
    char chunk[4096];

    ck_assert_msg(f != NULL, "%s", name);
    html.len = 0;
    for (size_t got; (got = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buffer_append(&html, chunk, got);
    fclose(f);
}

/* All of them take long: some in a suite, all when the soup is said to be much. */
START_TEST(beginnings_of_real_pages_tell_what_the_pages_tell)
{
    struct soup soup = {.state = 11};
    struct soup_budget budget = soup_budget();
    size_t step = getenv("SKIMD_SOUPS") ? 1 : 17;
    glob_t found;

    budget.wanted = ULONG_MAX;
    if (glob("../shared/pages/*/*.html", 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc && more_soup(&budget); i += step) {
        read_file(found.gl_pathv[i]);
        check_page(&soup, buffer_bytes(&html), "text/html");
    }
    globfree(&found);
}
END_TEST

/* -- one by one ----------------------------------------------------------------------------------
 */

/* So many spaces that what follows is beyond the prescan and the first chunks. */
static void gap(void)
{
    for (int i = 0; i < 20000; i++)
        buffer_byte(&html, ' ');
}

static struct page_facts parse_html(const char *content_type)
{
    static struct kept kept;

    parse(request_for(buffer_bytes(&html), content_type), &kept);
    ck_assert_int_eq(kept.facts.error, PAGE_OK);
    return kept.facts;
}

static void assert_told(struct page_facts facts, const char *title, enum charset charset,
                        bool from_prefix)
{
    ck_assert_msg(facts.has_title == (title != NULL) && bytes_equal(facts.title, bytes_cstr(title)),
                  "got \"%.*s\"", (int)facts.title.len, facts.title.ptr);
    ck_assert_str_eq(charset_name(facts.charset), charset_name(charset));
    ck_assert_int_eq(facts.from_prefix, from_prefix);
    ck_assert(facts.settled);
}

static const struct {
    const char *html, *title;
    bool from_prefix;
} hints[] = {
    {"<title>A</title>", "A", true},
    {"<title>A</TITLE\n x='>'>", "A", true},
    {"<title>A</title x='>'></title>", "A", true},
    {"<title>A</title/><title>B</title>", "A", true},
    {"<title>A</titlex></title>", "A</titlex>", true},
    {"<title>A", "A", false},
    {"<title>A</title", "A</title", false},
    {"<!-- </title> --><title>A</title>", "A", true},
    {"<!-- <title>no</title> --><title>A</title>", "A", true},
    {"<script>'<title>no</title>'</script><title>A</title>", "A", true},
    {"<meta content='<title>no</title>'><title>A</title>", "A", true},
    {"<textarea></title></textarea><title>A</title>", "A", true},
    {"<template><title>no</title></template><title>A</title>", "A", true},
    {"<!--</title></title></title>--><title>A</title>", "A", true},      /* no hint of the scan's */
    {"<br><!--</title></title></title>--><title>A</title>", "A", false}, /* the fourth hint */
    {"<svg><title>no</title></svg><title>A</title>", "A", true},
    {"<p><title>A</title>", "A", false}, /* no child of the body */
    {"<br><title>A</title>", "A", true},
    {"<hr><title>A</title><frameset>", "A", false}, /* too late for a frameset */
    {"<p></p><title>no</title><frameset>", NULL, false},
    {"<p></p><title>no</title><frameset><noframes></noframes>", NULL, false},
    {"<p>no", NULL, false},
    {"</title>", NULL, false},
};

START_TEST(a_hint_is_followed_as_far_as_the_tree_bears_it_out)
{
    buffer_text(&html, hints[_i].html);
    const char *title = hints[_i].title;
    struct page_facts facts = parse_html("text/html;charset=utf-8");

    ck_assert_msg(facts.has_title == (title != NULL) &&
                      bytes_equal(facts.title, bytes_cstr(title)) &&
                      facts.from_prefix == hints[_i].from_prefix,
                  "%s: \"%.*s\", %d", hints[_i].html, (int)facts.title.len, facts.title.ptr,
                  facts.from_prefix);
}
END_TEST

START_TEST(a_title_too_far_into_a_page_is_found_by_a_parse_of_the_whole)
{
    buffer_text(&html, "<br>"); /* what no scan knows */
    while (html.len < PREFIX_PARSED_MAX)
        gap();
    buffer_text(&html, "<title>A</title>");
    assert_told(parse_html("text/html;charset=utf-8"), "A", CHARSET_UTF_8, false);
}
END_TEST

START_TEST(a_page_without_a_title_tag_is_not_parsed)
{
    for (int i = 0; i < 200000; i++)
        buffer_text(&html, "<div>"); /* no parse would come to an end */
    struct page_request request = request_for(buffer_bytes(&html), "text/html");
    static struct kept kept;

    request.deadline_ns = clock_after_ms(clock_now_ns(), 1000);
    parse(request, &kept);
    ck_assert_int_eq(kept.facts.error, PAGE_OK);
    assert_told(kept.facts, NULL, CHARSET_UTF_8, false);
}
END_TEST

START_TEST(a_declared_charset_makes_the_rest_of_a_page_unneeded)
{
    static struct kept kept;

    buffer_text(&html, "<title>\xc3\xa9</title>");
    for (int i = 0; i < 100; i++)
        gap();
    gzip_body(buffer_bytes(&html), 6);
    struct page_request request = request_for(buffer_bytes(&body), "text/html; charset=utf-8");
    request.content_encoding = BYTES("gzip");
    parse(request, &kept);
    assert_told(kept.facts, "\xc3\xa9", CHARSET_UTF_8, true);
    ck_assert_uint_eq(kept.facts.decoded_bytes, SOURCE_FIRST);

    /* Nor is it noticed what is wrong there: it is a bomb, and damaged. */
    request.max_ratio = 10;
    parse(request, &kept);
    assert_told(kept.facts, "\xc3\xa9", CHARSET_UTF_8, true);
    request.max_decoded_bytes = SOURCE_FIRST;
    parse(request, &kept);
    assert_told(kept.facts, "\xc3\xa9", CHARSET_UTF_8, true);
    memset(body.ptr + body.len / 2, 0xff, body.len / 2);
    parse(request, &kept);
    assert_told(kept.facts, "\xc3\xa9", CHARSET_UTF_8, true);
    ck_assert(!kept.facts.body_truncated);

    /* Without a charset the rest is needed. */
    request.content_type = BYTES("text/html");
    parse(request, &kept);
    ck_assert_int_eq(kept.facts.error, PAGE_BODY_TOO_LARGE);
}
END_TEST

/* What a page begins with, and whether its charset is final there (source.h). */
static const struct {
    const char *html;
    bool is_final;
} declarations[] = {
    {"<meta charset=koi8-r><title>\xcf</title>", true},
    {"<meta http-equiv=content-type content='text/html; charset=koi8-r'><title>\xcf</title>", true},
    {"<title>\xcf</title><meta charset=koi8-r>", true}, /* shortly behind */
    {"<!-- <meta charset=gbk> --><meta charset=koi8-r><title>\xcf</title>", true},
    {"<script>'<meta charset=gbk>'</script><meta charset=koi8-r><title>\xcf</title>", true},
    /* only a prescan finds these, and an element may still come */
    {"<?xml version='1.0' encoding='koi8-r'?><title>\xcf</title>", false},
    {"<script>'<meta charset=koi8-r>'</script><title>\xcf</title>", false},
};

START_TEST(a_charset_is_final_when_the_tree_has_what_declares_it)
{
    static struct kept kept;

    buffer_text(&html, declarations[_i].html);
    for (int i = 0; i < 10; i++)
        gap();
    gzip_body(buffer_bytes(&html), 6);
    struct page_request request = request_for(buffer_bytes(&body), "text/html");
    request.content_encoding = BYTES("gzip");
    parse(request, &kept);
    assert_told(kept.facts, "\xd0\xbe", CHARSET_KOI8_R, true);
    ck_assert_uint_eq(kept.facts.decoded_bytes,
                      declarations[_i].is_final ? SOURCE_FIRST : html.len);

    request.is_prefix = true;
    request.body.len--;
    parse(request, &kept);
    ck_assert_int_eq(kept.facts.settled, declarations[_i].is_final);
}
END_TEST

START_TEST(without_a_charset_the_last_byte_decides_how_a_title_reads)
{
    buffer_text(&html, "<title>\xc3\xa9</title>");
    gap();
    assert_told(parse_html("text/html"), "\xc3\xa9", CHARSET_UTF_8, true);
    assert_told(parse_html("text/html;charset=latin1"), "\xc3\x83\xc2\xa9", CHARSET_WINDOWS_1252,
                true);
    buffer_byte(&html, '\xff');
    assert_told(parse_html("text/html"), "\xc3\x83\xc2\xa9", CHARSET_WINDOWS_1252, true);
    assert_told(parse_html("text/html;charset=utf-8"), "\xc3\xa9", CHARSET_UTF_8, true);
}
END_TEST

START_TEST(a_meta_element_behind_the_title_decides_how_it_reads)
{
    static const char *const metas[] = {
        "<meta charset=windows-1252>",
        "<META x CHARSET='Latin1'/>",
        "<meta http-equiv=content-type content='text/html; charset=latin1'>",
        "<meta content=\"charset = 'latin1'\" http-equiv='&#67;ontent-Type'>",
        "<meta charset=nonsense><meta charset=latin1><meta charset=utf-8>",
        "<!-- <meta charset=utf-8> --><script>'<meta charset=utf-8>'</script><meta charset=latin1>",
    };

    for (int far = 0; far < 2; far++) {
        for (size_t i = 0; i < sizeof metas / sizeof metas[0]; i++) {
            html.len = 0;
            gap();
            buffer_text(&html, "<title>\xc3\xa9</title>");
            if (far)
                gap();
            buffer_text(&html, metas[i]);
            gap();
            assert_told(parse_html("text/html"), "\xc3\x83\xc2\xa9", CHARSET_WINDOWS_1252, true);
        }
    }
}
END_TEST

START_TEST(what_only_looks_like_a_meta_element_decides_nothing)
{
    static const char *const none[] = {
        "<!-- <meta charset=latin1> -->",
        "<script>'<meta charset=latin1>'</script>",
        "<meta charset=nonsense>",
        "<meta name=charset content=latin1>",
        "<meta http-equiv=refresh content='0; charset=latin1'>",
        "<meta http-equiv content='charset=latin1'>",
        "<metal charset=latin1>",
        "<meta charset=latin1",
        "<p title='<meta charset=latin1>'>",
        "<select><meta charset=latin1>",
        "<!--<meta charset=big5><meta charset=big5><meta charset=big5><meta charset=big5>-->",
    };

    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        html.len = 0;
        buffer_text(&html, "<title>\xc3\xa9</title>");
        gap();
        buffer_text(&html, none[i]);
        assert_told(parse_html("text/html"), "\xc3\xa9", CHARSET_UTF_8, true);
    }
}
END_TEST

START_TEST(many_tags_that_are_never_closed_are_not_looked_at_again_and_again)
{
    buffer_text(&html, "<title>A</title>");
    gap();
    buffer_text(&html, "<!--");
    for (int i = 0; i < 400000; i++)
        buffer_text(&html, "<meta ");
    assert_told(parse_html("text/html"), "A", CHARSET_UTF_8, true);
}
END_TEST

/* The ends of all tags that may declare a charset; `text` comes in pieces from `step` on. */
static size_t hint_ends(struct bytes text, size_t step, size_t *ends, size_t max)
{
    struct meta_search search = {0};
    size_t count = 0;

    for (size_t len = step;; len += len / 2 + 1) {
        bool whole = len >= text.len;
        while (meta_hint_next(&search, whole ? text : bytes_of(text.ptr, len), whole,
                              &ends[count]) == META_HINT_TAG) {
            ck_assert_uint_lt(count, max - 1);
            count++;
        }
        if (whole)
            return count;
    }
}

START_TEST(a_page_that_comes_in_pieces_has_the_same_hints)
{
    enum { MAX = 64, PAGES = 300 };
    struct soup soup = {.state = 13};
    size_t once[MAX], again[MAX], found = 0;

    for (int i = 0; i < PAGES; i++) {
        soup_page(&soup, SOUP_BYTES, &html);
        struct bytes text = buffer_bytes(&html);
        size_t count = hint_ends(text, text.len, once, MAX);

        for (size_t step = 1; step < 40; step += 1 + soup_below(&soup, 8)) {
            ck_assert_uint_eq(hint_ends(text, step, again, MAX), count);
            ck_assert(memcmp(once, again, count * sizeof *once) == 0);
        }
        found += count;
    }
    ck_assert_uint_gt(found, PAGES / 4);
}
END_TEST

/* -- beginnings of bodies ------------------------------------------------------------------------
 */

/* What is told of the first `len` bytes of html. */
static struct page_facts parse_prefix(size_t len, const char *content_type)
{
    static struct kept kept;
    struct page_request request = request_for(bytes_of(html.ptr, len), content_type);

    request.is_prefix = true;
    parse(request, &kept);
    return kept.facts;
}

static void assert_unsettled(struct page_facts facts)
{
    ck_assert_int_eq(facts.error, PAGE_OK);
    ck_assert(!facts.settled && !facts.has_title && facts.title.len == 0);
    ck_assert(facts.charset == CHARSET_NONE && facts.decoded_bytes == 0);
}

START_TEST(a_beginning_is_settled_from_the_end_tag_of_its_title_on)
{
    buffer_text(&html, "<!doctype html><title>A</title>");
    size_t enough = html.len;
    buffer_text(&html, "<p>more");

    for (size_t len = 0; len <= html.len; len++) {
        struct page_facts facts = parse_prefix(len, "text/html;charset=utf-8");
        if (len < enough)
            assert_unsettled(facts);
        else
            assert_told(facts, "A", CHARSET_UTF_8, true);
        assert_unsettled(parse_prefix(len, "text/html"));
    }
    ck_assert_uint_lt(html.len, PRESCAN_MAX);
}
END_TEST

START_TEST(a_beginning_that_declares_no_charset_is_never_settled)
{
    buffer_text(&html, "<title>A</title>");
    gap();
    assert_unsettled(parse_prefix(html.len, "text/html"));
    buffer_text(&html, "<meta charset=latin1");
    assert_unsettled(parse_prefix(html.len, "text/html"));
    buffer_byte(&html, '>');
    assert_told(parse_prefix(html.len, "text/html"), "A", CHARSET_WINDOWS_1252, true);
}
END_TEST

START_TEST(a_beginning_without_a_certain_title_is_never_settled)
{
    static const char *const pages[] = {"<p>text", "<title>A", "<p><title>A</title>",
                                        "<p></p><title>A</title>", ""};

    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        html.len = 0;
        buffer_text(&html, pages[i]);
        assert_unsettled(parse_prefix(html.len, "text/html;charset=utf-8"));
        gap();
        assert_unsettled(parse_prefix(html.len, "text/html;charset=utf-8"));
    }
}
END_TEST

START_TEST(a_beginning_that_is_no_html_is_settled)
{
    struct page_facts facts = parse_prefix(0, "image/png");

    ck_assert(facts.settled && facts.error == PAGE_OK && !facts.has_title);
    buffer_text(&html, "%PDF-1.7 and more of it");
    assert_unsettled(parse_prefix(html.len, ""));
    gap();
    assert_unsettled(parse_prefix(10, ""));
    facts = parse_prefix(html.len, "");
    ck_assert(facts.settled && facts.error == PAGE_OK && !facts.has_title);
    ck_assert_int_eq(facts.charset, CHARSET_NONE);
}
END_TEST

START_TEST(errors_of_a_beginning_are_those_that_the_whole_would_have)
{
    static struct kept kept;

    buffer_text(&html, "<title>A</title>");
    struct page_request request = request_for(buffer_bytes(&html), "text/html;charset=utf-8");
    request.is_prefix = true;
    request.content_encoding = BYTES("rot13");
    parse(request, &kept);
    ck_assert(kept.facts.error == PAGE_BAD_ENCODING && kept.facts.settled);
    request.content_encoding = BYTES("gzip");
    parse(request, &kept);
    ck_assert(kept.facts.error == PAGE_BAD_ENCODING && kept.facts.settled);
    request.content_encoding = BYTES("");
    request.max_decoded_bytes = 3;
    parse(request, &kept);
    ck_assert(kept.facts.error == PAGE_BODY_TOO_LARGE && kept.facts.settled);

    /* Time, and how much it is compressed, may be better then. */
    request = request_for(buffer_bytes(&html), "text/html;charset=utf-8");
    request.is_prefix = true;
    request.deadline_ns = 0;
    parse(request, &kept);
    assert_unsettled(kept.facts);
    html.len = 0;
    for (int i = 0; i < 200; i++)
        gap();
    gzip_body(buffer_bytes(&html), 9);
    request = request_for(bytes_of(body.ptr, body.len - 20), "text/html;charset=utf-8");
    request.content_encoding = BYTES("gzip");
    request.max_ratio = 2;
    parse(request, &kept);
    ck_assert_int_eq(kept.facts.error, PAGE_BODY_TOO_LARGE);
    request.is_prefix = true;
    parse(request, &kept);
    assert_unsettled(kept.facts);
}
END_TEST

Suite *suite_prefix(void)
{
    Suite *suite = suite_create("prefix");
    TCase *tc = tcase_create("prefix"), *random = tcase_create("random");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_hint_is_followed_as_far_as_the_tree_bears_it_out, 0,
                        (int)(sizeof hints / sizeof hints[0]));
    tcase_add_test(tc, a_title_too_far_into_a_page_is_found_by_a_parse_of_the_whole);
    tcase_add_test(tc, a_page_without_a_title_tag_is_not_parsed);
    tcase_add_test(tc, a_declared_charset_makes_the_rest_of_a_page_unneeded);
    tcase_add_loop_test(tc, a_charset_is_final_when_the_tree_has_what_declares_it, 0,
                        (int)(sizeof declarations / sizeof declarations[0]));
    tcase_add_test(tc, without_a_charset_the_last_byte_decides_how_a_title_reads);
    tcase_add_test(tc, a_meta_element_behind_the_title_decides_how_it_reads);
    tcase_add_test(tc, what_only_looks_like_a_meta_element_decides_nothing);
    tcase_add_test(tc, many_tags_that_are_never_closed_are_not_looked_at_again_and_again);
    tcase_add_test(tc, a_page_that_comes_in_pieces_has_the_same_hints);
    tcase_add_test(tc, a_beginning_is_settled_from_the_end_tag_of_its_title_on);
    tcase_add_test(tc, a_beginning_that_declares_no_charset_is_never_settled);
    tcase_add_test(tc, a_beginning_without_a_certain_title_is_never_settled);
    tcase_add_test(tc, a_beginning_that_is_no_html_is_settled);
    tcase_add_test(tc, errors_of_a_beginning_are_those_that_the_whole_would_have);
    suite_add_tcase(suite, tc);

    tcase_set_timeout(random, getenv("SKIMD_SOUPS") ? 0 : 60);
    tcase_add_checked_fixture(random, setup, teardown);
    tcase_add_test(random, a_certain_title_of_a_beginning_is_that_of_the_whole);
    tcase_add_test(random, a_beginning_tells_what_the_whole_page_tells);
    tcase_add_test(random, beginnings_of_real_pages_tell_what_the_pages_tell);
    suite_add_tcase(suite, random);
    return suite;
}
