#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "parsers/bump.h"
#include "parsers/page.h"
#include "parsers/prefix.h"
#include "tests/support/soup.h"

#include <errno.h>
#include <ftw.h>
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

    if (!title.certain)
        return false;
    ck_assert_msg(whole->found && whole->certain && title.truncated == whole->truncated &&
                      bytes_equal(title.text, whole->text),
                  "\"%.*s\" of \"%.*s\"\nwants \"%.*s\", gets \"%.*s\"", (int)len, text.ptr,
                  (int)text.len, text.ptr, (int)whole->text.len, whole->text.ptr,
                  (int)title.text.len, title.text.ptr);
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
    char title[TITLE_MAX];
};

static void parse(struct page_request request, struct kept *ret)
{
    page_parse(parser, &request, &ret->facts);
    if (ret->facts.title.len > 0)
        memcpy(ret->title, ret->facts.title.ptr, ret->facts.title.len);
    ret->facts.title.ptr = ret->title;
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
}

/* However the page is asked for, it is told the same. Returns how often a beginning was enough. */
static unsigned check_page(struct soup *soup, struct bytes page, const char *content_type)
{
    static struct kept whole, quick;
    struct page_request request = request_for(page, content_type);
    unsigned enough = 0;

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

START_TEST(a_beginning_tells_what_the_whole_page_tells)
{
    static const char *const types[] = {"text/html", "text/html", "text/html;charset=utf-8",
                                        "text/html;charset=latin1", ""};
    struct soup soup = {.state = 7};
    struct soup_budget budget = soup_budget();
    unsigned long enough = 0;

    while (more_soup(&budget)) {
        soup_page(&soup, SOUP_BYTES, &html);
        enough += check_page(&soup, buffer_bytes(&html),
                             types[soup_below(&soup, sizeof types / sizeof types[0])]);
    }
    ck_assert_uint_gt(enough, budget.made / 16);
}
END_TEST

Suite *suite_prefix(void)
{
    Suite *suite = suite_create("prefix");
    TCase *tc = tcase_create("prefix");

    tcase_set_timeout(tc, getenv("SKIMD_SOUPS") ? 0 : 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_certain_title_of_a_beginning_is_that_of_the_whole);
    tcase_add_test(tc, a_beginning_tells_what_the_whole_page_tells);
    suite_add_tcase(suite, tc);
    return suite;
}
