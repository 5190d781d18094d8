/*
 * What the fetch engine does to hosts, seen from outside: the daemon, a name
 * server that makes hosts of loopback addresses, and scripted origins behind
 * them.
 */
#include "core/base/clock.h"
#include "core/fetch/health.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/daemon.h"
#include "tests/support/name_server.h"
#include "tests/support/origin.h"
#include "tests/support/origin_script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct name_server *names;
static struct origin *origin; /* 127.0.0.1; sites at its port */
static struct daemon skimd;
static struct buffer list;

static void setup(void)
{
    names = name_server_start();
    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(names);
    ck_assert_ptr_nonnull(origin);
    const char *const arguments[] = {
        "--allow-net", "127.0.0.0/8", "--deny-net", "127.6.6.6",    "--workers",
        "2",           "--retries",   "2",          "--dns-server", name_server_address(names),
        NULL};
    daemon_start(&skimd, arguments);
}

static void teardown(void)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin = origin_stop(origin);
    names = name_server_stop(names);
    buffer_free(&list);
}

/* Makes a host of an address that plays a script (NULL: the origin itself). */
static struct site *host(const char *name, const char *address, const struct step *steps)
{
    struct site *site = NULL;

    name_server_set(names, name, &(struct name_answer){.addresses = address, .ttl = 60});
    if (steps) {
        site = origin_script(origin, address, steps);
        ck_assert_ptr_nonnull(site);
    }
    return site;
}

/* Appends "http://HOST:PORT/PATH". */
static void add(const char *name, const char *path)
{
    buffer_printf(&list, "http://%s:%u%s\n", name, (unsigned)origin_port(origin), path);
}

static void scrape(const char *query, struct records *ret)
{
    daemon_scrape(&skimd, query, NULL, buffer_bytes(&list), ret);
    list.len = 0;
}

static size_t requests_of(struct site *site)
{
    struct site_log log;

    site_log(origin, site, &log);
    buffer_free(&log.heads);
    return log.requests;
}

static uint64_t connections_of(struct site *site)
{
    struct site_log log;

    site_log(origin, site, &log);
    buffer_free(&log.heads);
    return log.connections;
}

/* The heads of all requests, NUL-terminated; the caller frees them. */
static char *heads_of(struct site *site)
{
    struct site_log log;

    site_log(origin, site, &log);
    buffer_byte(&log.heads, '\0');
    return log.heads.ptr;
}

static void ask_host(const char *name, struct reply *ret)
{
    char path[128];

    snprintf(path, sizeof path, "/v1/hosts/%s", name);
    daemon_request(&skimd, "GET", path, NULL, bytes_of(NULL, 0), ret);
    buffer_byte(&ret->body, '\0');
}

#define HEAD_OF(type, length)                                                                      \
    "HTTP/1.1 200 OK\r\nContent-Type: " type "\r\nContent-Length: " length "\r\n\r\n"
#define PAGE "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<title>well</title>\n"

/* -- early stop -------------------------------------------------------------------------------- */

START_TEST(an_answer_that_is_tried_again_says_nothing_of_the_next)
{
    struct records r;

    host("a.example", "127.0.1.1",
         SCRIPT(SAY("HTTP/1.1 503 No\r\nContent-Type: text/html; charset=utf-8\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n"
                    "1d4d4\r\n<title>sorry</title>"),
                REPEAT(120000, "x"), SAY("\r\n0\r\n\r\n"), NEXT, SAY(PAGE)));
    add("a.example", "/1");
    scrape("", &r);
    ck_assert_int_eq(record_number(&r, 0, "http_status"), 200);
    ck_assert_str_eq(record_text(&r, 0, "title"), "well");
    records_free(&r);
}
END_TEST

/* Its beginning is parsed meanwhile; another URL waits for the connection. */
START_TEST(a_page_whose_connection_others_wait_for_is_received_to_its_end)
{
    struct records r;
    struct site *site = host("a.example", "127.0.1.1",
                             SCRIPT(SAY(HEAD_OF("text/html; charset=utf-8",
                                                "200000") "<!DOCTYPE html><title>large</title>"),
                                    REPEAT(60000, "x"), PAUSE(50), REPEAT(200000 - 60000 - 35, "x"),
                                    NEXT, SAY(PAGE)));

    add("a.example", "/1");
    add("a.example", "/2");
    scrape("?per_host=1&order=input", &r);
    ck_assert_str_eq(record_text(&r, 0, "title"), "large");
    ck_assert_int_eq(record_number(&r, 0, "body_bytes"), 200000);
    ck_assert_ptr_null(json_object_get(r.by_index[0], "body_stopped"));
    ck_assert_str_eq(record_text(&r, 1, "title"), "well");
    ck_assert_uint_eq(connections_of(site), 1);
    records_free(&r);
}
END_TEST

/* -- robots.txt -------------------------------------------------------------------------------- */

START_TEST(robots_txt_is_asked_for_once_and_obeyed_where_a_batch_wants_it)
{
    struct site *site =
        host("a.example", "127.0.1.1",
             SCRIPT(SAY(HEAD_OF("text/plain", "49") "User-agent: *\nDisallow: /private"
                                                    "\n\nSitemap: /m.xml\n"),
                    NEXT, SAY(PAGE)));
    struct records r;

    add("a.example", "/private/1");
    add("a.example", "/1");
    add("a.example", "/private/2");
    add("a.example", "/2");
    scrape("?robots=true", &r);
    ck_assert_str_eq(record_error(&r, 0), "robots_disallowed");
    ck_assert_str_eq(record_text(&r, 1, "title"), "well");
    ck_assert_str_eq(record_error(&r, 2), "robots_disallowed");
    ck_assert_str_eq(record_text(&r, 3, "title"), "well");
    records_free(&r);
    ck_assert_uint_eq(requests_of(site), 3);

    add("a.example", "/3"); /* it is known by now */
    scrape("?robots=true", &r);
    ck_assert_uint_eq(r.ok, 1);
    records_free(&r);
    ck_assert_uint_eq(requests_of(site), 4);

    add("a.example", "/private/1"); /* nobody asked for robots.txt */
    scrape("", &r);
    ck_assert_uint_eq(r.ok, 1);
    records_free(&r);
}
END_TEST

#define CODED_HEAD(coding, length)                                                                 \
    "HTTP/1.1 200 OK\r\nContent-Encoding: " coding "\r\nContent-Length: " length "\r\n\r\n"

/* "User-agent: *\nDisallow: /\n" */
#define GZIPPED_RULES                                                                              \
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x0b\x2d\x4e\x2d\xd2\x4d\x4c\x4f\xcd\x2b\xb1\x52\xd0" \
    "\xe2\x72\xc9\x2c\x4e\xcc\xc9\xc9\x2f\xb7\x52\xd0\xe7\x02\x00\x42\x84\xa4\x8f\x1a\x00\x00\x00"

static const struct {
    const char *name;
    const struct step steps[8];
    const char *error; /* NULL: the page is fetched */
} robots_answers[] = {
    {"none: everything is allowed",
     {SAY("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), NEXT, SAY(PAGE)},
     NULL},
    {"forbidden: everything is allowed",
     {SAY("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), NEXT, SAY(PAGE)},
     NULL},
    {"empty: everything is allowed", {SAY(HEAD_OF("text/plain", "0")), NEXT, SAY(PAGE)}, NULL},
    {"an error page in HTML: everything is allowed",
     {SAY(HEAD_OF("text/html", "19") "<h1>Not found</h1>\n"), NEXT, SAY(PAGE)},
     NULL},
    {"the server fails: nothing is allowed",
     {SAY("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"), NEXT, SAY(PAGE)},
     "robots_disallowed"},
    {"a redirect is followed",
     {SAY("HTTP/1.1 301 There\r\nLocation: /r\r\nContent-Length: 0\r\n\r\n"), NEXT,
      SAY(HEAD_OF("text/plain", "26") "User-agent: *\nDisallow: /\n"), NEXT, SAY(PAGE)},
     "robots_disallowed"},
    {"with gzip, which nobody asked for",
     {SAY(CODED_HEAD("gzip", "46") GZIPPED_RULES), NEXT, SAY(PAGE)},
     "robots_disallowed"},
    {"with gzip, and is empty: everything is allowed",
     {SAY(CODED_HEAD("gzip", "20") "\x1f\x8b\x08\0\0\0\0\0\x02\x03\x03\0\0\0\0\0\0\0\0\0"), NEXT,
      SAY(PAGE)},
     NULL},
    {"in a coding that nobody asked for: nothing is allowed",
     {SAY(CODED_HEAD("br", "24") "User-agent: *\nAllow: /\n\n"), NEXT, SAY(PAGE)},
     "robots_disallowed"},
    {"in none, although it says so: nothing is allowed",
     {SAY(CODED_HEAD("gzip", "24") "User-agent: *\nAllow: /\n\n"), NEXT, SAY(PAGE)},
     "robots_disallowed"},
    {"our own group goes before the one for all",
     {SAY(HEAD_OF("text/plain", "50") "User-agent: skimd\nAllow: /\nUser-agent: *\nDisallow:"),
      NEXT, SAY(PAGE)},
     NULL},
};

START_TEST(what_a_robots_txt_means)
{
    struct records r;

    host("a.example", "127.0.1.1", robots_answers[_i].steps);
    add("a.example", "/1");
    scrape("?robots=on&retries=0", &r);
    ck_assert_msg(
        strcmp(record_error(&r, 0), robots_answers[_i].error ? robots_answers[_i].error : "") == 0,
        "%s: \"%s\"", robots_answers[_i].name, record_error(&r, 0));
    records_free(&r);
}
END_TEST

START_TEST(a_robots_txt_that_is_refused_is_another_thing_than_a_rule)
{
    struct records r;

    host("a.example", "127.0.1.1", SCRIPT(SAY("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")));
    host("b.example", "127.0.1.2",
         SCRIPT(SAY(HEAD_OF("text/plain", "26") "User-agent: *\nDisallow: /\n")));
    host("c.example", "127.0.1.3", SCRIPT(SAY(CODED_HEAD("br", "3") "br.")));
    add("a.example", "/1");
    add("b.example", "/1");
    add("c.example", "/1");
    scrape("?robots=on", &r);
    const json_t *refused = json_object_get(r.by_index[0], "error");
    const json_t *ruled = json_object_get(r.by_index[1], "error");
    ck_assert_str_eq(record_error(&r, 0), "robots_disallowed");
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(refused, "message")), "500"));
    ck_assert(json_is_true(json_object_get(refused, "retryable")));
    ck_assert_str_eq(record_error(&r, 1), "robots_disallowed");
    ck_assert(json_is_false(json_object_get(ruled, "retryable")));
    const json_t *coded = json_object_get(r.by_index[2], "error");
    ck_assert_str_eq(record_error(&r, 2), "robots_disallowed");
    ck_assert_str_eq(json_string_value(json_object_get(coded, "message")),
                     "robots.txt: it came with Content-Encoding br, which was not asked for");
    ck_assert(json_is_true(json_object_get(coded, "retryable")));
    records_free(&r);
}
END_TEST

START_TEST(a_host_whose_robots_txt_does_not_come_fails_as_that_did)
{
    struct records r;

    name_server_set(names, "gone.example", &(struct name_answer){.rcode = ns_r_nxdomain});
    add("gone.example", "/1");
    scrape("?robots=true", &r);
    ck_assert_str_eq(record_error(&r, 0), "dns_failure");
    records_free(&r);
}
END_TEST

START_TEST(crawl_delay_is_kept)
{
    uint64_t start = clock_now_ns();
    struct records r;

    host("a.example", "127.0.1.1",
         SCRIPT(SAY(HEAD_OF("text/plain", "31") "User-agent: *\nCrawl-delay: 0.2\n"), NEXT,
                SAY(PAGE)));
    for (int i = 0; i < 3; i++)
        add("a.example", "/1");
    scrape("?robots=true", &r);
    ck_assert_uint_eq(r.ok, 3);
    ck_assert_uint_ge((clock_now_ns() - start) / NS_PER_MS, 400);
    records_free(&r);
}
END_TEST

/* -- hosts that refuse, fail, or are slow ------------------------------------------------------ */

START_TEST(retry_after_is_waited_for)
{
    struct site *site = host("a.example", "127.0.1.1",
                             SCRIPT(SAY("HTTP/1.1 429 Slow\r\nRetry-After: "
                                        "1\r\nContent-Length: 0\r\n\r\n"),
                                    NEXT, SAY(PAGE)));
    uint64_t start = clock_now_ns();
    struct records r;
    struct reply reply;

    add("a.example", "/1");
    scrape("", &r);
    ck_assert_str_eq(record_text(&r, 0, "title"), "well");
    ck_assert_int_eq(record_number(&r, 0, "attempts"), 2);
    ck_assert_uint_ge((clock_now_ns() - start) / NS_PER_MS, 1000);
    ck_assert_uint_eq(requests_of(site), 2);
    records_free(&r);
    ask_host("a.example", &reply);
    ck_assert_int_eq(reply.status, 404); /* all is well, so there is nothing to tell */
    ck_assert_ptr_null(strstr(reply.body.ptr, "port"));
    reply_free(&reply);
    ask_host("a.example:80", &reply);
    ck_assert_int_eq(reply.status, 404);
    ck_assert_ptr_nonnull(strstr(reply.body.ptr, "without a port"));
    reply_free(&reply);
    ask_host("[::1]", &reply);
    ck_assert_ptr_null(strstr(reply.body.ptr, "port"));
    reply_free(&reply);
}
END_TEST

START_TEST(a_host_that_asks_for_a_long_pause_is_left_alone)
{
    struct site *site = host("a.example", "127.0.1.1",
                             SCRIPT(SAY("HTTP/1.1 503 No\r\nRetry-After: "
                                        "3000\r\nContent-Length: 0\r\n\r\n")));
    struct records r;
    struct reply reply;

    add("a.example", "/1");
    scrape("", &r);
    ck_assert_int_eq(record_number(&r, 0, "http_status"), 503); /* its answer, not waited for */
    records_free(&r);
    add("a.example", "/2");
    scrape("", &r);
    ck_assert_str_eq(record_error(&r, 0), "host_unavailable");
    records_free(&r);
    ck_assert_uint_eq(requests_of(site), 1);
    ask_host("a.example", &reply);
    ck_assert_int_eq(reply.status, 200);
    ck_assert_ptr_nonnull(strstr(reply.body.ptr, "\"state\":\"given_up\""));
    reply_free(&reply);
}
END_TEST

START_TEST(a_dead_host_is_given_up_and_its_urls_fail_at_once)
{
    enum { COUNT = 200 };
    struct records r;
    size_t refused = 0, unavailable = 0;

    host("dead.example", "127.0.1.1", NULL); /* nobody listens there */
    for (int i = 0; i < COUNT; i++)
        add("dead.example", "/1");
    scrape("?retries=0", &r);
    for (size_t i = 0; i < COUNT; i++) {
        refused += strcmp(record_error(&r, i), "connect_failure") == 0;
        unavailable += strcmp(record_error(&r, i), "host_unavailable") == 0;
    }
    ck_assert_uint_eq(refused + unavailable, COUNT);
    ck_assert_uint_ge(refused, HEALTH_FAILURES);
    ck_assert_uint_le(refused, HEALTH_FAILURES + 6);
    records_free(&r);
}
END_TEST

/* Reads records until so many are ok. */
static void read_until_ok(int fd, struct buffer *in, size_t count)
{
    static const char ok[] = "\"status\":\"ok\"";
    size_t seen = 0, from = 0;

    while (seen < count) {
        const char *at = NULL;
        while (from < in->len && (at = memmem(in->ptr + from, in->len - from, ok, sizeof ok - 1))) {
            from = (size_t)(at - in->ptr) + sizeof ok;
            seen++;
        }
        if (seen < count) {
            char more[1 << 14];
            ssize_t n = read(fd, more, sizeof more);
            ck_assert_msg(n > 0, "the stream ended after %zu of %zu", seen, count);
            buffer_append(in, more, (size_t)n);
        }
    }
}

/* Hundreds of URLs of hosts in trouble stand in front of the good ones. */
START_TEST(good_hosts_do_not_wait_for_those_in_trouble)
{
    enum { BAD = 400, GOOD = 100, EACH = 3 };
    struct buffer in = {0};
    char name[32];

    host("dead.example", "127.0.1.1", NULL);
    host("slow.example", "127.0.0.1", NULL);
    host("strict.example", "127.0.1.2",
         SCRIPT(SAY("HTTP/1.1 429 Slow\r\nRetry-After: 50\r\nContent-Length: "
                    "0\r\n\r\n")));
    name_server_set(names, "unheard.example", &(struct name_answer){.drop = true});
    for (int i = 0; i < BAD; i++) {
        add("dead.example", "/1");
        add("slow.example", "/hold/1");
        add("strict.example", "/1");
        add("unheard.example", "/1");
    }
    for (int i = 0; i < GOOD; i++) {
        snprintf(name, sizeof name, "good%d.example", i);
        host(name, "127.0.0.1", NULL);
        for (int n = 0; n < EACH; n++)
            add(name, "/page/1");
    }
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    read_until_ok(fd, &in, GOOD * EACH); /* while nobody has released the slow ones */
    ck_assert_uint_ge(origin_count(origin, ORIGIN_HELD), 1);
    close(fd);
    ck_assert(origin_wait_at_most(origin, ORIGIN_IN_FLIGHT, 0, PATIENCE_MS));
    buffer_free(&in);
}
END_TEST

/* -- names ------------------------------------------------------------------------------------- */

START_TEST(a_name_that_is_answered_late_holds_up_nothing_else)
{
    struct buffer in = {0};

    name_server_set(names, "late.example",
                    &(struct name_answer){.addresses = "127.0.0.1", .hold = true});
    host("a.example", "127.0.0.1", NULL);
    add("late.example", "/page/1");
    for (int i = 0; i < 50; i++)
        add("a.example", "/page/1");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    read_until_ok(fd, &in, 50);
    name_server_release(names, "late.example");
    ck_assert(read_until(fd, &in, "\"ok\":51"));
    close(fd);
    buffer_free(&in);
}
END_TEST

START_TEST(a_batch_ends_although_a_name_is_never_answered)
{
    struct records r;
    uint64_t start = clock_now_ns();

    name_server_set(names, "mute.example", &(struct name_answer){.drop = true});
    add("mute.example", "/page/1");
    scrape("?timeout_ms=200&retries=0", &r);
    ck_assert_str_eq(record_error(&r, 0), "timeout");
    records_free(&r);
    add("mute.example", "/page/1");
    scrape("?deadline_ms=200", &r);
    ck_assert_str_eq(record_error(&r, 0), "cancelled");
    records_free(&r);
    ck_assert_uint_lt((clock_now_ns() - start) / NS_PER_MS, 1500);
}
END_TEST

START_TEST(a_name_that_does_not_exist_is_asked_for_once)
{
    struct records r;

    name_server_set(names, "gone.example", &(struct name_answer){.rcode = ns_r_nxdomain});
    for (int i = 0; i < 20; i++)
        add("gone.example", "/page/1");
    scrape("", &r);
    for (size_t i = 0; i < 20; i++) {
        ck_assert_str_eq(record_error(&r, i), "dns_failure");
        ck_assert_int_eq(record_number(&r, i, "attempts"), 1);
    }
    records_free(&r);
    ck_assert_uint_eq(name_server_queries(names, "gone.example"), 2); /* A and AAAA */
}
END_TEST

START_TEST(names_that_lead_inside_are_refused_however_they_change)
{
    struct records r;

    host("inside.example", "127.6.6.6", NULL);
    name_server_set(names, "both.example",
                    &(struct name_answer){.addresses = "127.6.6.6 127.0.0.1", .ttl = 60});
    name_server_set_turns(names, "turns.example",
                          (struct name_answer[]){{.addresses = "127.0.0.1", .ttl = 0},
                                                 {.addresses = "127.6.6.6", .ttl = 0}},
                          2);
    struct site *inside = origin_script(origin, "127.6.6.6", SCRIPT(SAY(PAGE)));
    add("inside.example", "/1");
    add("both.example", "/page/1");
    add("turns.example", "/page/1");
    add("turns.example", "/redirect/3");
    scrape("", &r);
    ck_assert_str_eq(record_error(&r, 0), "blocked_address");
    ck_assert_str_eq(record_text(&r, 1, "title"), "Page 1");
    ck_assert_str_eq(record_text(&r, 2, "title"), "Page 1");
    ck_assert_str_eq(record_text(&r, 3, "title"), "Page 0");
    records_free(&r);

    add("turns.example", "/page/1"); /* asked for once more, or still remembered: never inside */
    scrape("?retries=0", &r);
    records_free(&r);
    struct site_log log;
    site_log(origin, inside, &log);
    ck_assert_uint_eq(log.connections, 0);
    buffer_free(&log.heads);
}
END_TEST

START_TEST(a_redirect_to_a_name_that_leads_inside_connects_to_nothing)
{
    struct site *inside = origin_script(origin, "127.6.6.6", SCRIPT(SAY(PAGE)));
    char url[128];
    struct records r;

    host("inside.example", "127.6.6.6", NULL);
    host("a.example", "127.0.0.1", NULL);
    snprintf(url, sizeof url, "/redirect-to?url=http://inside.example:%u/", origin_port(origin));
    add("a.example", url);
    scrape("", &r);
    ck_assert_str_eq(record_error(&r, 0), "blocked_address");
    records_free(&r);
    struct site_log log;
    site_log(origin, inside, &log);
    ck_assert_uint_eq(log.connections, 0);
    buffer_free(&log.heads);
}
END_TEST

START_TEST(of_several_addresses_the_one_that_answers_is_used_and_kept)
{
    struct records r;

    name_server_set(names, "many.example",
                    &(struct name_answer){.addresses = "127.0.1.1 127.0.1.2 127.0.0.1", .ttl = 60});
    for (int i = 0; i < 5; i++)
        add("many.example", "/page/1");
    scrape("?per_host=1", &r);
    ck_assert_uint_eq(r.ok, 5);
    ck_assert_str_eq(record_text(&r, 4, "remote_ip"), "127.0.0.1");
    ck_assert_int_eq(record_number(&r, 4, "attempts"), 1);
    records_free(&r);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 1);
}
END_TEST

/* -- what a batch asks for --------------------------------------------------------------------- */

START_TEST(headers_are_sent_and_not_sent_on_to_another_origin)
{
    static struct step away[2] = {{STEP_SAY, 0, {NULL, 0}}};
    struct buffer answer = {0}, body = {0};
    struct records r;

    struct site *there = host("there.example", "127.0.1.2", SCRIPT(SAY(PAGE)));
    buffer_printf(&answer,
                  "HTTP/1.1 302 There\r\nLocation: http://there.example:%u/x\r\n"
                  "Content-Length: 0\r\n\r\n",
                  (unsigned)origin_port(origin));
    away[0].bytes = buffer_bytes(&answer);
    struct site *here = host("here.example", "127.0.1.1", away);
    buffer_printf(&body,
                  "{\"urls\":[\"http://user:secret@here.example:%u/"
                  "\"],\"options\":{\"headers\":"
                  "{\"X-Key\":\"k1\",\"Cookie\":\"c=1\"}}}",
                  (unsigned)origin_port(origin));
    daemon_scrape(&skimd, "", "application/json", buffer_bytes(&body), &r);
    ck_assert_str_eq(record_text(&r, 0, "title"), "well");
    records_free(&r);

    char *heads = heads_of(here);
    ck_assert_ptr_nonnull(strstr(heads, "X-Key: k1\r\n"));
    ck_assert_ptr_nonnull(strstr(heads, "Cookie: c=1\r\n"));
    ck_assert_ptr_nonnull(strstr(heads, "Authorization: Basic "));
    free(heads);
    heads = heads_of(there);
    ck_assert_ptr_nonnull(strstr(heads, "Host: there.example"));
    ck_assert_ptr_null(strstr(heads, "X-Key"));
    ck_assert_ptr_null(strstr(heads, "Cookie"));
    ck_assert_ptr_null(strstr(heads, "Authorization"));
    free(heads);
    buffer_free(&answer);
    buffer_free(&body);
}
END_TEST

START_TEST(headers_and_credentials_that_were_dropped_do_not_come_back)
{
    static struct step away[] = {{STEP_SAY, 0, {NULL, 0}},
                                 NEXT,
                                 SAY(PAGE),
                                 {STEP_END, 0, {NULL, 0}}},
                       back[] = {{STEP_SAY, 0, {NULL, 0}}, {STEP_END, 0, {NULL, 0}}};
    struct buffer to_there = {0}, to_here = {0}, body = {0};
    unsigned port = origin_port(origin);
    struct records r;

    buffer_printf(&to_there,
                  "HTTP/1.1 302 There\r\nLocation: //there.example:%u/x\r\n"
                  "Content-Length: 0\r\n\r\n",
                  port);
    buffer_printf(&to_here,
                  "HTTP/1.1 302 Back\r\nLocation: http://here.example:%u/back\r\n"
                  "Content-Length: 0\r\n\r\n",
                  port);
    away[0].bytes = buffer_bytes(&to_there);
    back[0].bytes = buffer_bytes(&to_here);
    struct site *here = host("here.example", "127.0.1.1", away);
    struct site *there = host("there.example", "127.0.1.2", back);
    buffer_printf(&body,
                  "{\"urls\":[\"http://user:secret@here.example:%u/\"],\"options\":{\"headers\":"
                  "{\"X-Key\":\"k1\"}}}",
                  port);
    daemon_scrape(&skimd, "", "application/json", buffer_bytes(&body), &r);
    ck_assert_str_eq(record_text(&r, 0, "title"), "well");
    ck_assert_int_eq(record_number(&r, 0, "redirects"), 2);
    records_free(&r);

    char *heads = heads_of(there);
    ck_assert_ptr_null(strstr(heads, "X-Key"));
    ck_assert_ptr_null(strstr(heads, "Authorization"));
    free(heads);
    heads = heads_of(here);
    char *second = strstr(heads, "GET /back");
    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_null(strstr(second, "X-Key"));
    ck_assert_ptr_null(strstr(second, "Authorization"));
    free(heads);
    buffer_free(&to_there);
    buffer_free(&to_here);
    buffer_free(&body);
}
END_TEST

START_TEST(the_same_url_is_fetched_once_if_asked)
{
    struct records r;

    host("a.example", "127.0.0.1", NULL);
    add("a.example", "/page/1");
    add("a.example", "/page/2");
    add("A.Example", "/page/1#part");
    add("a.example", "/./page/1");
    scrape("?dedupe=true", &r);
    ck_assert_uint_eq(r.ok, 4);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 2);
    ck_assert_str_eq(record_text(&r, 3, "title"), "Page 1");
    ck_assert_int_eq(record_number(&r, 2, "duplicate_of"), 0);
    ck_assert_int_eq(record_number(&r, 3, "duplicate_of"), 0);
    ck_assert_ptr_null(json_object_get(r.by_index[0], "duplicate_of"));
    records_free(&r);
}
END_TEST

/* They would have to wait for records of URLs that are not begun as long as they wait. */
START_TEST(dedupe_and_the_order_of_the_input_do_not_go_together)
{
    struct reply reply;

    add("a.example", "/page/1");
    daemon_request(&skimd, "POST", "/v1/scrape?order=input&dedupe=true", "text/plain",
                   buffer_bytes(&list), &reply);
    ck_assert_int_eq(reply.status, 400);
    buffer_byte(&reply.body, '\0');
    ck_assert_ptr_nonnull(strstr(reply.body.ptr, "dedupe"));
    reply_free(&reply);
}
END_TEST

/* What is left unread are lines of text, so that others go on. */
START_TEST(a_client_that_does_not_read_its_duplicates_holds_no_pages)
{
    enum { PAGES = 250, TWINS = 8, LONG = 7000 }; /* of 1 MB: more than may be held */
    char path[LONG + 64];
    struct records r;

    host("a.example", "127.0.0.1", NULL);
    for (int i = 0; i < PAGES * TWINS; i++) {
        snprintf(path, sizeof path, "/page/%d?size=1000000&x=%0*d", i % PAGES, LONG, 0);
        add("a.example", path);
    }
    int fd = daemon_open_scrape(&skimd, "?dedupe=true&early_stop=off", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_REQUESTS, PAGES, PATIENCE_MS));
    list.len = 0;
    add("a.example", "/page/1");
    scrape("", &r);
    ck_assert_uint_eq(r.ok, 1);
    records_free(&r);
    close(fd);
}
END_TEST

START_TEST(what_is_no_html_is_not_downloaded_unless_asked_for)
{
    static const char film[] = "HTTP/1.1 200 OK\r\nContent-Type: "
                               "video/mp4\r\nContent-Length: 5000000\r\n\r\n";
    const struct step steps[] = {{STEP_SAY, 0, {film, sizeof film - 1}},
                                 REPEAT(5000000, "x"),
                                 CLOSE,
                                 {STEP_END, 0, {NULL, 0}}};
    struct records r;

    host("a.example", "127.0.1.1", steps);
    add("a.example", "/film");
    scrape("", &r);
    ck_assert_str_eq(record_text(&r, 0, "content_type"), "video/mp4");
    ck_assert(json_is_null(json_object_get(r.by_index[0], "title")));
    ck_assert(json_is_true(json_object_get(r.by_index[0], "body_stopped")));
    ck_assert_int_lt(record_number(&r, 0, "body_bytes"), 1000000);
    records_free(&r);

    add("a.example", "/film");
    scrape("?any_type=true", &r);
    ck_assert_int_eq(record_number(&r, 0, "body_bytes"), 5000000);
    ck_assert_ptr_null(json_object_get(r.by_index[0], "body_stopped"));
    records_free(&r);
}
END_TEST

START_TEST(a_large_page_is_read_as_far_as_its_title_needs)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/html; "
                               "charset=utf-8\r\nContent-Length: 5000000\r\n\r\n"
                               "<!DOCTYPE html><title>Large</title><body>";
    enum { BEGINNING = 41 };
    const struct step steps[] = {{STEP_SAY, 0, {head, sizeof head - 1}},
                                 REPEAT(100000, "x"),
                                 HOLD,
                                 REPEAT(4900000 - BEGINNING, "x"),
                                 CLOSE,
                                 {STEP_END, 0, {NULL, 0}}};
    struct records r;

    host("a.example", "127.0.1.1", steps);
    add("a.example", "/");
    scrape("", &r); /* the rest is held, and not waited for */
    ck_assert_str_eq(record_text(&r, 0, "title"), "Large");
    ck_assert_str_eq(record_text(&r, 0, "charset"), "utf-8");
    ck_assert(json_is_true(json_object_get(r.by_index[0], "body_stopped")));
    ck_assert_int_le(record_number(&r, 0, "body_bytes"), 100000 + BEGINNING);
    records_free(&r);

    origin_release(origin);
    add("a.example", "/");
    scrape("?early_stop=false", &r);
    ck_assert_str_eq(record_text(&r, 0, "title"), "Large");
    ck_assert_int_eq(record_number(&r, 0, "body_bytes"), 5000000);
    ck_assert_ptr_null(json_object_get(r.by_index[0], "body_stopped"));
    records_free(&r);
}
END_TEST

START_TEST(the_time_of_each_step_is_told)
{
    struct records r;

    name_server_set(names, "a.example",
                    &(struct name_answer){.addresses = "127.0.0.1", .ttl = 60, .delay_ms = 50});
    add("a.example", "/page/1?ms=50");
    scrape("", &r);
    json_t *timing = json_object_get(r.by_index[0], "timing_ms");
    double dns = json_number_value(json_object_get(timing, "dns"));
    double connect = json_number_value(json_object_get(timing, "connect"));
    double first_byte = json_number_value(json_object_get(timing, "first_byte"));
    double total = json_number_value(json_object_get(timing, "total"));
    ck_assert(dns >= 50);
    ck_assert(connect >= dns);
    ck_assert(first_byte >= connect + 50);
    ck_assert(total >= first_byte);
    ck_assert(json_number_value(json_object_get(timing, "tls")) < 1e-9);
    records_free(&r);
}
END_TEST

START_TEST(a_host_that_nobody_asks_is_not_known)
{
    struct reply reply;

    ask_host("nobody.example", &reply);
    ck_assert_int_eq(reply.status, 404);
    reply_free(&reply);
}
END_TEST

START_TEST(a_host_tells_what_waits_there)
{
    struct reply reply;

    host("a.example", "127.0.0.1", NULL);
    for (int i = 0; i < 10; i++)
        add("a.example", "/hold/1");
    int fd = daemon_open_scrape(&skimd, "?per_host=2", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 2, PATIENCE_MS));
    ask_host("a.example", &reply);
    ck_assert_int_eq(reply.status, 200);
    ck_assert_ptr_nonnull(strstr(reply.body.ptr, "\"queued\":8,\"in_flight\":2,"));
    reply_free(&reply);
    close(fd);
}
END_TEST

Suite *suite_politeness(void)
{
    Suite *suite = suite_create("politeness");
    TCase *tcase = tcase_create("politeness");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, an_answer_that_is_tried_again_says_nothing_of_the_next);
    tcase_add_test(tcase, a_page_whose_connection_others_wait_for_is_received_to_its_end);
    tcase_add_test(tcase, robots_txt_is_asked_for_once_and_obeyed_where_a_batch_wants_it);
    tcase_add_loop_test(tcase, what_a_robots_txt_means, 0,
                        (int)(sizeof robots_answers / sizeof *robots_answers));
    tcase_add_test(tcase, a_robots_txt_that_is_refused_is_another_thing_than_a_rule);
    tcase_add_test(tcase, a_host_whose_robots_txt_does_not_come_fails_as_that_did);
    tcase_add_test(tcase, crawl_delay_is_kept);
    tcase_add_test(tcase, retry_after_is_waited_for);
    tcase_add_test(tcase, a_host_that_asks_for_a_long_pause_is_left_alone);
    tcase_add_test(tcase, a_dead_host_is_given_up_and_its_urls_fail_at_once);
    tcase_add_test(tcase, good_hosts_do_not_wait_for_those_in_trouble);
    tcase_add_test(tcase, a_name_that_is_answered_late_holds_up_nothing_else);
    tcase_add_test(tcase, a_batch_ends_although_a_name_is_never_answered);
    tcase_add_test(tcase, a_name_that_does_not_exist_is_asked_for_once);
    tcase_add_test(tcase, names_that_lead_inside_are_refused_however_they_change);
    tcase_add_test(tcase, a_redirect_to_a_name_that_leads_inside_connects_to_nothing);
    tcase_add_test(tcase, of_several_addresses_the_one_that_answers_is_used_and_kept);
    tcase_add_test(tcase, headers_are_sent_and_not_sent_on_to_another_origin);
    tcase_add_test(tcase, headers_and_credentials_that_were_dropped_do_not_come_back);
    tcase_add_test(tcase, the_same_url_is_fetched_once_if_asked);
    tcase_add_test(tcase, dedupe_and_the_order_of_the_input_do_not_go_together);
    tcase_add_test(tcase, a_client_that_does_not_read_its_duplicates_holds_no_pages);
    tcase_add_test(tcase, what_is_no_html_is_not_downloaded_unless_asked_for);
    tcase_add_test(tcase, a_large_page_is_read_as_far_as_its_title_needs);
    tcase_add_test(tcase, the_time_of_each_step_is_told);
    tcase_add_test(tcase, a_host_that_nobody_asks_is_not_known);
    tcase_add_test(tcase, a_host_tells_what_waits_there);
    suite_add_tcase(suite, tcase);
    return suite;
}
