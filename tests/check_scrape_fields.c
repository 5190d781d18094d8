/*
 * Fields of pages as a user asks for them: the binary, a batch over HTTP, pages from a directory.
 */
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/daemon.h"
#include "tests/support/origin.h"
#include "tests/support/origin_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct origin *origin;
static struct daemon skimd;
static char site[64];
static struct buffer list; /* URLs, a text body */

static void setup(void)
{
    static const char *const arguments[] = {"--allow-net", "127.0.0.0/8", "--workers", "1", NULL};

    snprintf(site, sizeof site, "/tmp/check_scrape_fields.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(site));
    origin = origin_start(&(struct origin_options){.site = site});
    ck_assert_ptr_nonnull(origin);
    daemon_start(&skimd, arguments);
}

static void teardown(void)
{
    char path[128];

    ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin = origin_stop(origin);
    buffer_free(&list);
    snprintf(path, sizeof path, "%s/page.html", site);
    unlink(path);
    rmdir(site);
}

static void add(const char *path)
{
    buffer_printf(&list, "%s%s\n", origin_url(origin), path);
}

/* Puts the page at /files/page.html, and that into the list. */
static void add_page(struct bytes page)
{
    char path[128];

    snprintf(path, sizeof path, "%s/page.html", site);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(page.ptr, 1, page.len, file), page.len);
    ck_assert_int_eq(fclose(file), 0);
    add("/files/page.html");
}

static void scrape(const char *query, struct records *ret)
{
    daemon_scrape(&skimd, query, NULL, buffer_bytes(&list), ret);
    ck_assert_uint_eq(ret->ok, ret->total);
}

/* The field as it was written. ORIGIN in `expected` stands for the origin's URL. */
static void ck_field(const struct records *r, size_t index, const char *field, const char *expected)
{
    struct buffer wanted = {0};
    char *got =
        json_dumps(json_object_get(r->by_index[index], field), JSON_ENCODE_ANY | JSON_COMPACT);

    for (const char *at = expected; *at; at++) {
        if (strncmp(at, "ORIGIN", 6) == 0) {
            buffer_text(&wanted, origin_url(origin));
            at += 5;
        } else {
            buffer_byte(&wanted, *at);
        }
    }
    buffer_byte(&wanted, '\0');
    ck_assert_msg(got && strcmp(got, wanted.ptr) == 0, "%s: got %s, not %s", field,
                  got ? got : "nothing", wanted.ptr);
    free(got);
    buffer_free(&wanted);
}

static const char page[] =
    "<!doctype html><html lang=de><head><meta charset=utf-8><title>A title</title>"
    "<meta name=description content=' about  it '><link rel=canonical href=/canonical#part>"
    "<meta property=og:title content=T><meta property=og:image content=1.png>"
    "<meta name=og:image content=2.png><meta name=twitter:card content=summary>"
    "<link rel='shortcut icon' href=favicon.ico>"
    "<link rel=alternate type=application/rss+xml title=News href=news.xml>"
    "<meta name=robots content=noindex><meta name=ROBOTS content=nofollow></head>"
    "<body><h1>One <b>and</b></h1><h1>Two</h1><script>no text</script>"
    "<p>Text.</p><a href=../up?a=b#c>up</a><a href=mailto:a@b>mail</a><a href=../up?a=b>again</a>"
    "<script type=application/ld+json> {\"@type\": [1, 2]} </script>"
    "<script type=application/ld+json>{ no JSON</script></body></html>";

START_TEST(every_field_is_had_by_its_name)
{
    struct records r;

    add_page(bytes_cstr(page));
    scrape("?fields=title,description,canonical,lang,og,twitter,icon,feeds,robots_meta,h1,links,"
           "text,json_ld",
           &r);
    ck_field(&r, 0, "title", "\"A title\"");
    ck_field(&r, 0, "canonical", "\"ORIGIN/canonical\"");
    ck_field(&r, 0, "lang", "\"de\"");
    ck_field(&r, 0, "og", "{\"title\":\"T\",\"image\":[\"1.png\",\"2.png\"]}");
    ck_field(&r, 0, "twitter", "{\"card\":\"summary\"}");
    ck_field(&r, 0, "icon", "\"ORIGIN/files/favicon.ico\"");
    ck_field(&r, 0, "feeds",
             "[{\"url\":\"ORIGIN/files/news.xml\",\"type\":\"application/rss+xml\","
             "\"title\":\"News\"}]");
    ck_field(&r, 0, "robots_meta", "\"noindex, nofollow\"");
    ck_field(&r, 0, "h1", "[\"One and\",\"Two\"]");
    ck_field(&r, 0, "links", "[\"ORIGIN/up?a=b\"]");
    ck_field(&r, 0, "json_ld", "[{\"@type\":[1,2]}]");
    ck_assert_ptr_nonnull(strstr(record_text(&r, 0, "text"), "Text."));
    ck_assert_ptr_null(strstr(record_text(&r, 0, "text"), "no text"));
    ck_assert_ptr_nonnull(strstr(record_text(&r, 0, "description"), "about"));
    ck_assert_ptr_null(json_object_get(r.by_index[0], "truncated"));
    records_free(&r);
}
END_TEST

START_TEST(nothing_is_told_that_was_not_asked_for)
{
    struct records r;

    add_page(bytes_cstr(page));
    scrape("?fields=lang", &r);
    ck_field(&r, 0, "lang", "\"de\"");
    ck_assert_ptr_null(json_object_get(r.by_index[0], "title"));
    ck_assert_ptr_null(json_object_get(r.by_index[0], "og"));
    records_free(&r);
    scrape("", &r);
    ck_field(&r, 0, "title", "\"A title\"");
    ck_assert_ptr_null(json_object_get(r.by_index[0], "lang"));
    records_free(&r);
}
END_TEST

START_TEST(what_a_page_does_not_have_is_null_or_empty)
{
    struct records r;

    add("/title?t=x");
    add("/type?ct=image/png");
    scrape("?fields=description,og,links,feeds", &r);
    for (size_t i = 0; i < 2; i++) {
        ck_field(&r, i, "description", "null");
        ck_field(&r, i, "og", "{}");
        ck_field(&r, i, "links", "[]");
        ck_field(&r, i, "feeds", "[]");
    }
    records_free(&r);
}
END_TEST

START_TEST(relative_urls_go_by_where_redirects_led)
{
    struct records r;

    add_page(BYTES("<!doctype html><meta charset=utf-8><head><title>x</title>"
                   "<link rel=canonical href=here></head><body>"));
    list.len = 0;
    add("/redirect-to?url=/files/page.html");
    scrape("?fields=canonical", &r);
    ck_field(&r, 0, "final_url", "\"ORIGIN/files/page.html\"");
    ck_field(&r, 0, "canonical", "\"ORIGIN/files/here\"");
    records_free(&r);
}
END_TEST

/* A page whose head is all that is needed, and much behind it. */
static void add_large_page(void)
{
    struct buffer large = {0};

    buffer_text(&large, "<!doctype html><html lang=de><head><meta charset=utf-8><title>x</title>"
                        "<link rel=icon href=icon.png></head><body>");
    while (large.len < 6 << 20)
        buffer_text(&large, "<p>This is what comes behind the head, and there is a lot of it.</p>");
    buffer_text(&large, "<h1>At the end</h1></body></html>");
    ck_assert(!large.failed);
    add_page(buffer_bytes(&large));
    buffer_free(&large);
}

static const struct step held_page[] = {
    SAY("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
        "Content-Length: 5000000\r\n\r\n<!doctype html><html lang=de><head>"
        "<link rel=icon href=http://b.example/icon.png></head><body>"),
    REPEAT(100000, "x"),
    HOLD,
    CLOSE,
    {STEP_END, 0, {NULL, 0}},
};

START_TEST(a_download_stops_when_all_fields_are_known_that_the_head_has)
{
    struct records r;

    ck_assert_ptr_nonnull(origin_script(origin, "127.0.1.1", held_page));
    buffer_printf(&list, "http://127.0.1.1:%u/\n", (unsigned)origin_port(origin));
    scrape("?fields=lang,icon", &r); /* the rest is held, and not waited for */
    ck_field(&r, 0, "lang", "\"de\"");
    ck_field(&r, 0, "icon", "\"http://b.example/icon.png\"");
    ck_assert(json_is_true(json_object_get(r.by_index[0], "body_stopped")));
    records_free(&r);
    origin_release(origin);
}
END_TEST

START_TEST(for_a_field_of_the_body_a_page_is_read_to_its_end)
{
    struct records r;

    add_large_page();
    scrape("?fields=title,lang,h1", &r);
    ck_assert_ptr_null(json_object_get(r.by_index[0], "body_stopped"));
    ck_assert_int_gt(record_number(&r, 0, "body_bytes"), 6 << 20);
    records_free(&r);
}
END_TEST

START_TEST(what_has_no_room_is_left_out_and_said)
{
    struct buffer many = {0};
    struct records r;

    buffer_text(&many, "<!doctype html><meta charset=utf-8><title>x</title><body>");
    for (int i = 0; i < 5000; i++)
        buffer_printf(&many, "<a href=/a-path-that-is-not-short/%d></a>", i);
    add_page(buffer_bytes(&many));
    scrape("?fields=title,links", &r);
    size_t links = json_array_size(json_object_get(r.by_index[0], "links"));
    ck_assert_uint_gt(links, 500);
    ck_assert_uint_lt(links, 5000);
    ck_assert(json_is_true(json_object_get(r.by_index[0], "truncated")));
    ck_field(&r, 0, "title", "\"x\"");
    records_free(&r);
    buffer_free(&many);
}
END_TEST

START_TEST(twins_share_what_their_page_has)
{
    struct records r;

    add_page(bytes_cstr(page));
    add("/files/./page.html#part");
    scrape("?fields=og,links&dedupe=true", &r);
    for (size_t i = 0; i < 2; i++) {
        ck_field(&r, i, "og", "{\"title\":\"T\",\"image\":[\"1.png\",\"2.png\"]}");
        ck_field(&r, i, "links", "[\"ORIGIN/up?a=b\"]");
    }
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 1);
    records_free(&r);
}
END_TEST

START_TEST(records_with_much_in_them_all_arrive)
{
    struct buffer large = {0};
    struct records r;

    buffer_text(&large, "<!doctype html><meta charset=utf-8><title>x</title><body>");
    for (int i = 0; i < 8000; i++)
        buffer_printf(&large, "<p>\"quoted\" %d", i);
    add_page(buffer_bytes(&large));
    for (int i = 0; i < 500; i++) {
        char path[64];
        snprintf(path, sizeof path, "/files/page.html?%d", i);
        add(path);
    }
    scrape("?fields=text", &r); /* some 40 MB: more than may wait */
    for (size_t i = 0; i < r.total; i++)
        ck_assert_uint_gt(strlen(record_text(&r, i, "text")), 60000);
    records_free(&r);
    buffer_free(&large);
}
END_TEST

Suite *suite_scrape_fields(void)
{
    Suite *suite = suite_create("scrape_fields");
    TCase *tc = tcase_create("fields");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_field_is_had_by_its_name);
    tcase_add_test(tc, nothing_is_told_that_was_not_asked_for);
    tcase_add_test(tc, what_a_page_does_not_have_is_null_or_empty);
    tcase_add_test(tc, relative_urls_go_by_where_redirects_led);
    tcase_add_test(tc, a_download_stops_when_all_fields_are_known_that_the_head_has);
    tcase_add_test(tc, for_a_field_of_the_body_a_page_is_read_to_its_end);
    tcase_add_test(tc, what_has_no_room_is_left_out_and_said);
    tcase_add_test(tc, twins_share_what_their_page_has);
    tcase_add_test(tc, records_with_much_in_them_all_arrive);
    suite_add_tcase(suite, tc);
    return suite;
}
