/*
 * The fetch engine against an origin that misbehaves. The test thread waits for futures; what a
 * page says is copied out on the loop, where pages live.
 */
#include "core/async/async.h"
#include "core/base/clock.h"
#include "core/fetch/fetch.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/origin.h"
#include "tests/support/origin_script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct origin *origin;
static struct guard *guard;
static struct fetcher *fetcher;
static struct fetch_options options;

/* -- a fetch whose outcome outlives the page ----------------------------------------------------
 */

struct outcome {
    int code; /* 0 or enum fetch_code */
    bool retryable;
    char message[CURL_ERROR_SIZE];
    unsigned status, redirects, attempts;
    size_t body_len;
    char body[256]; /* its beginning */
    char final_url[256], content_type[128], content_encoding[128], remote_ip[48], version[8];
    uint64_t total_us;
};

static void copy_text(char *to, size_t size, struct bytes from)
{
    snprintf(to, size, "%.*s", (int)from.len, from.ptr ? from.ptr : "");
}

static future *fetch_url(const char *url)
{
    return fetch(fetcher, &(struct fetch_request){.url = bytes_cstr(url), .options = &options});
}

struct get {
    char url[512];
    future *page;
};

static int get_step(task *t, void *frame)
{
    struct get *g = frame;
    struct outcome *o;

    BEGIN(t);
    AWAIT(t, g->page, fetch_url(g->url));
    o = calloc(1, sizeof *o);
    o->code = future_error(g->page);
    if (future_ok(g->page)) {
        const struct fetch_page *page = future_value(g->page);
        const struct response *r = page->response;
        o->status = r->http_status;
        o->redirects = page->redirects;
        o->attempts = page->attempts;
        o->body_len = r->body.len;
        o->total_us = page->total_us;
        copy_text(o->body, sizeof o->body, buffer_bytes(&r->body));
        copy_text(o->final_url, sizeof o->final_url, page->final_url);
        copy_text(o->content_type, sizeof o->content_type, r->content_type);
        copy_text(o->content_encoding, sizeof o->content_encoding, r->content_encoding);
        copy_text(o->remote_ip, sizeof o->remote_ip, bytes_cstr(r->remote_ip));
        copy_text(o->version, sizeof o->version, r->http_version);
    } else {
        const struct fetch_failure *failure = future_value(g->page);
        o->retryable = failure && failure->retryable;
        o->attempts = failure ? failure->attempts : 0;
        copy_text(o->message, sizeof o->message, bytes_cstr(failure ? failure->message : ""));
    }
    task_return(t, o, free);
    END(t);
}

static void get_drop(void *frame)
{
    future_drop(((struct get *)frame)->page);
}

TASK(get_task, ON_LOOP, sizeof(struct get), .step = get_step, .drop = get_drop);

static future *get_url(struct scope *scope, const char *url)
{
    struct get g = {0};

    snprintf(g.url, sizeof g.url, "%s", url);
    return task_start_in(scope, &get_task, &g);
}

static future *get_path(struct scope *scope, const char *path)
{
    char url[512];

    snprintf(url, sizeof url, "%s%s", origin_url(origin), path);
    return get_url(scope, url);
}

/* Waits for it; the outcome lasts until the next call. */
static const struct outcome *outcome_of(future *f)
{
    static struct outcome last;

    ck_assert_int_eq(future_wait(f, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    ck_assert_msg(future_ok(f), "the test's own task failed with %d", future_error(f));
    last = *(const struct outcome *)future_value(f);
    future_drop(f);
    return &last;
}

static const struct outcome *path(const char *p)
{
    return outcome_of(get_path(NULL, p));
}

static const struct outcome *url(const char *u)
{
    return outcome_of(get_url(NULL, u));
}

/* -- fixture ----------------------------------------------------------------------------------- */

static size_t hold_bytes;
static const char *proxy;
static unsigned per_origin, concurrency;

static void make_on_loop(void *arg)
{
    const char *message = NULL;

    (void)arg;
    fetcher = fetcher_new(
        &(struct fetcher_options){
            .guard = guard,
            .concurrency = concurrency,
            .per_origin = per_origin,
            .connect_timeout_ms = 2000,
            .hold_bytes = hold_bytes,
            .proxy = proxy,
            .max_page_bytes = 4 << 20,
            .user_agent = "skimd-test/1",
        },
        &message);
    ck_assert_msg(fetcher != NULL, "%s", message);
}

static void make_fetcher(const char *allowed)
{
    struct net net;

    if (allowed)
        ck_assert_int_eq(net_parse(allowed, &net), 0);
    ck_assert_int_eq(
        guard_new(&(struct guard_options){.allow = &net, .allow_count = allowed != NULL}, &guard),
        0);
    on_loop(make_on_loop, NULL);
}

static void close_on_loop(void *arg)
{
    *(future **)arg = fetcher_close(fetcher);
}

static void free_on_loop(void *arg)
{
    (void)arg;
    fetcher = fetcher_free(fetcher);
}

static void free_fetcher(void)
{
    future *closed;

    on_loop(close_on_loop, &closed);
    expect_ok(closed);
    on_loop(free_on_loop, NULL);
    guard_free(guard);
}

static void remake_fetcher(const char *allowed)
{
    free_fetcher();
    make_fetcher(allowed);
}

static void setup(void)
{
    async_setup();
    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
    options = (struct fetch_options){
        .timeout_ms = 5000,
        .max_page_bytes = 1 << 20,
        .max_redirects = 10,
        .retries = 0,
        .user_agent = "skimd-test/1",
    };
    hold_bytes = 64 << 20;
    proxy = NULL;
    per_origin = 6;
    concurrency = 64;
    make_fetcher("127.0.0.0/8");
}

static void teardown(void)
{
    free_fetcher();
    origin = origin_stop(origin);
    async_teardown();
}

/* -- answers ----------------------------------------------------------------------------------- */

START_TEST(a_page_comes_back_with_its_metadata)
{
    const struct outcome *o = path("/page/7");

    ck_assert_int_eq(o->code, 0);
    ck_assert_uint_eq(o->status, 200);
    ck_assert_ptr_nonnull(strstr(o->body, "<title>Page 7</title>"));
    ck_assert_str_eq(o->content_type, "text/html; charset=utf-8");
    ck_assert_str_eq(o->remote_ip, "127.0.0.1");
    ck_assert_str_eq(o->version, "1.1");
    ck_assert_uint_eq(o->attempts, 1);
    ck_assert_uint_gt(o->total_us, 0);
}
END_TEST

START_TEST(any_status_is_an_answer)
{
    ck_assert_uint_eq(path("/status/404")->status, 404);
    ck_assert_uint_eq(path("/status/500")->status, 500);
    ck_assert_uint_eq(path("/status/304")->status, 304);
}
END_TEST

START_TEST(the_body_is_handed_over_as_received)
{
    const struct outcome *o = path("/gzip/1");

    ck_assert_int_eq(o->code, 0);
    ck_assert_str_eq(o->content_encoding, "gzip");
    ck_assert_int_eq((unsigned char)o->body[0], 0x1f);
    ck_assert_int_eq((unsigned char)o->body[1], 0x8b);
}
END_TEST

START_TEST(the_request_says_who_asks_and_what_it_understands)
{
    const struct outcome *o = path("/echo");

    ck_assert_ptr_nonnull(strstr(o->body, "User-Agent: skimd-test/1\r\n"));
    ck_assert_ptr_nonnull(strstr(o->body, "Accept-Encoding: gzip, deflate, br, zstd\r\n"));
}
END_TEST

START_TEST(redirects_are_followed_and_counted)
{
    const struct outcome *o = path("/redirect/3");
    char expected[256];

    snprintf(expected, sizeof expected, "%s/page/0", origin_url(origin));
    ck_assert_uint_eq(o->status, 200);
    ck_assert_uint_eq(o->redirects, 3);
    ck_assert_str_eq(o->final_url, expected);
}
END_TEST

START_TEST(a_redirect_loop_ends)
{
    ck_assert_int_eq(path("/loop")->code, FETCH_TOO_MANY_REDIRECTS);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), options.max_redirects + 1);
}
END_TEST

START_TEST(a_redirect_to_another_scheme_is_not_followed)
{
    ck_assert_int_eq(path("/redirect-to?url=file:///etc/passwd")->code, FETCH_UNSUPPORTED_SCHEME);
    ck_assert_int_eq(path("/redirect-to?url=gopher://127.0.0.1/")->code, FETCH_UNSUPPORTED_SCHEME);
}
END_TEST

/* -- failures ---------------------------------------------------------------------------------- */

START_TEST(what_is_no_url_says_so)
{
    ck_assert_int_eq(url("not a url")->code, FETCH_INVALID_URL);
    ck_assert_int_eq(url("example.com")->code, FETCH_INVALID_URL);
    ck_assert_int_eq(url("")->code, FETCH_INVALID_URL);
    ck_assert_int_eq(url("ftp://example.com/")->code, FETCH_UNSUPPORTED_SCHEME);
    ck_assert_int_eq(url("file:///etc/passwd")->code, FETCH_UNSUPPORTED_SCHEME);
}
END_TEST

START_TEST(a_port_where_nobody_listens_is_a_connect_failure)
{
    struct origin *gone = origin_start(NULL);
    char u[64];

    snprintf(u, sizeof u, "%s/", origin_url(gone));
    origin_stop(gone);
    const struct outcome *o = url(u);
    ck_assert_int_eq(o->code, FETCH_CONNECT_FAILURE);
    ck_assert(o->retryable);
}
END_TEST

static const struct {
    const char *path;
    enum fetch_code code;
} broken[] = {
    {"/reset", FETCH_CONNECT_FAILURE},
    {"/close", FETCH_CONNECT_FAILURE},
    {"/reset-midway", FETCH_PROTOCOL_ERROR},
    {"/short", FETCH_PROTOCOL_ERROR},
    {"/garbage", FETCH_PROTOCOL_ERROR},
    {"/bad-chunk", FETCH_PROTOCOL_ERROR},
    {"/half-closed", FETCH_PROTOCOL_ERROR},
    {"/endless", FETCH_BODY_TOO_LARGE},
    {"/huge?bytes=2000000", FETCH_BODY_TOO_LARGE},
};

START_TEST(a_broken_answer_has_its_code)
{
    const struct outcome *o = path(broken[_i].path);

    ck_assert_msg(o->code == (int)broken[_i].code, "%s: %s (%s)", broken[_i].path,
                  fetch_code_name(o->code), o->message);
    ck_assert_str_ne(o->message, "");
}
END_TEST

START_TEST(headers_without_end_are_refused)
{
    ck_assert_int_ne(path("/endless-headers")->code, 0);
}
END_TEST

START_TEST(a_slow_answer_times_out)
{
    options.timeout_ms = 200;
    const struct outcome *o = path("/slow?ms=100");
    ck_assert_int_eq(o->code, FETCH_TIMEOUT);
    ck_assert(!o->retryable); /* bytes had come */
    o = path("/hold/x");
    ck_assert_int_eq(o->code, FETCH_TIMEOUT);
    ck_assert(o->retryable);
}
END_TEST

static const struct step slow_hops[] = {
    PAUSE(200),
    SAY("HTTP/1.1 302 There\r\nLocation: /2\r\nContent-Length: 0\r\n\r\n"),
    NEXT,
    PAUSE(200),
    SAY("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    NEXT,
    PAUSE(200),
    {STEP_END, 0, {NULL, 0}},
};

START_TEST(the_timeout_covers_all_redirects)
{
    char u[64];

    ck_assert_ptr_nonnull(origin_script(origin, "127.0.1.1", slow_hops));
    snprintf(u, sizeof u, "http://127.0.1.1:%u/1", (unsigned)origin_port(origin));
    options.timeout_ms = 300; /* each hop alone is in time */
    ck_assert_int_eq(url(u)->code, FETCH_TIMEOUT);
}
END_TEST

/* -- retries ----------------------------------------------------------------------------------- */

START_TEST(what_may_be_retried_is_tried_again)
{
    options.retries = 2;
    const struct outcome *o = path("/reset");
    ck_assert_int_eq(o->code, FETCH_CONNECT_FAILURE);
    ck_assert_uint_eq(o->attempts, 3);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 3);

    o = path("/status/503");
    ck_assert_int_eq(o->code, 0);
    ck_assert_uint_eq(o->status, 503);
    ck_assert_uint_eq(o->attempts, 3);
}
END_TEST

START_TEST(what_may_not_be_retried_is_not)
{
    options.retries = 2;
    ck_assert_uint_eq(path("/status/404")->attempts, 1);
    ck_assert_uint_eq(path("/short")->attempts, 1);
    ck_assert_uint_eq(url("nonsense")->attempts, 0);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 2);
}
END_TEST

/* -- guard ------------------------------------------------------------------------------------- */

/* Of this machine, or of an address that leads to it. */
static const char *const inward[] = {
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0177.0.0.1",
    "127.1",
    "0x7f.0.01",
    "localhost",
    "0",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
};

static void ck_blocked(const struct outcome *o, const char *what)
{
    ck_assert_msg(o->code == FETCH_BLOCKED_ADDRESS, "%s: %s (%s)", what, fetch_code_name(o->code),
                  o->message);
    ck_assert(!o->retryable);
}

START_TEST(a_private_address_is_never_connected_to)
{
    char u[128];

    remake_fetcher(NULL);
    for (size_t i = 0; i < sizeof inward / sizeof inward[0]; i++) {
        snprintf(u, sizeof u, "http://%s:%u/", inward[i], origin_port(origin));
        ck_blocked(url(u), u);
    }
    /* Whether there is such a name is the resolver's opinion. */
    snprintf(u, sizeof u, "http://localhost.:%u/", origin_port(origin));
    int code = url(u)->code;
    ck_assert(code == FETCH_BLOCKED_ADDRESS || code == FETCH_DNS_FAILURE);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 0);
}
END_TEST

START_TEST(a_redirect_to_a_private_address_is_not_connected_to)
{
    struct origin *inner = origin_start(NULL);
    struct origin *outer = origin_start(&(struct origin_options){.address = "127.0.0.2"});
    char u[256];

    remake_fetcher("127.0.0.2");
    for (size_t i = 0; i < sizeof inward / sizeof inward[0]; i++) {
        snprintf(u, sizeof u, "%s/redirect-to?url=http://%s:%u/page/1", origin_url(outer),
                 inward[i], origin_port(inner));
        ck_blocked(url(u), u);
    }
    ck_assert_uint_eq(origin_count(outer, ORIGIN_REQUESTS), sizeof inward / sizeof inward[0]);
    ck_assert_uint_eq(origin_count(inner, ORIGIN_ACCEPTED), 0);
    origin_stop(outer);
    origin_stop(inner);
}
END_TEST

START_TEST(a_proxy_is_not_asked_for_what_can_be_judged_here)
{
    static const char *const blocked[] = {"http://127.0.0.1/",     "http://[::1]/",
                                          "http://localhost/",     "http://sub.localhost./",
                                          "http://a.example:25/",  "http://8.8.8.8:25/",
                                          "http://localhost:8080/"};

    proxy = origin_url(origin);
    remake_fetcher(NULL);
    for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++)
        ck_blocked(url(blocked[i]), blocked[i]);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 0);
    url("http://notlocalhost/page/1");
    url("http://a.example:8080/page/1");
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 2);
    remake_fetcher("127.0.0.0/8");
    url("http://localhost:81/page/1");
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 3);
}
END_TEST

/* -- turns ------------------------------------------------------------------------------------- */

enum { MANY = 40 };

static void start_many(struct scope *scope, future **ret, const char *p)
{
    for (int i = 0; i < MANY; i++)
        ret[i] = get_path(scope, p);
}

static void finish_many(future **many)
{
    for (int i = 0; i < MANY; i++)
        ck_assert_uint_eq(outcome_of(many[i])->status, 200);
}

START_TEST(an_origin_gets_no_more_connections_than_allowed)
{
    future *many[MANY];

    per_origin = 3;
    remake_fetcher("127.0.0.0/8");
    start_many(NULL, many, "/hold/x");
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 3, PATIENCE_MS));
    origin_release(origin);
    finish_many(many);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_MAX_IN_FLIGHT), 3);
    ck_assert_uint_le(origin_count(origin, ORIGIN_ACCEPTED), 3);
}
END_TEST

START_TEST(a_held_origin_does_not_hold_up_another)
{
    struct origin *other = origin_start(&(struct origin_options){.address = "127.0.0.2"});
    future *many[MANY];
    char u[128];

    start_many(NULL, many, "/hold/x");
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, per_origin, PATIENCE_MS));
    snprintf(u, sizeof u, "%s/page/1", origin_url(other));
    ck_assert_uint_eq(url(u)->status, 200);
    origin_release(origin);
    finish_many(many);
    origin_stop(other);
}
END_TEST

START_TEST(concurrency_bounds_all_origins_together)
{
    struct origin *other = origin_start(&(struct origin_options){.address = "127.0.0.2"});
    future *many[MANY], *one;
    char u[128];

    concurrency = 4;
    remake_fetcher("127.0.0.0/8");
    start_many(NULL, many, "/hold/x");
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 4, PATIENCE_MS));
    snprintf(u, sizeof u, "%s/page/1", origin_url(other));
    one = get_url(NULL, u);
    origin_release(origin);
    finish_many(many);
    ck_assert_uint_eq(outcome_of(one)->status, 200);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_MAX_IN_FLIGHT), 4);
    origin_stop(other);
}
END_TEST

START_TEST(a_redirect_that_waits_for_its_turn_holds_no_memory)
{
    future *many[MANY];

    hold_bytes = 10; /* so that one body is enough to keep the others waiting */
    remake_fetcher("127.0.0.0/8");
    start_many(NULL, many, "/redirect/3");
    finish_many(many);
}
END_TEST

static void drop_pages(void *arg)
{
    future **pages = arg;

    for (int i = 0; i < MANY; i++)
        if (future_settled(pages[i]) && future_value(pages[i])) {
            future_drop(pages[i]);
            pages[i] = future_ref(future_done());
        }
}

static int count_settled(future **pages)
{
    int n = 0;

    for (int i = 0; i < MANY; i++)
        n += future_settled(pages[i]);
    return n;
}

START_TEST(only_so_many_bodies_grow_large_at_a_time)
{
    enum { PLACES = 2 };
    future *pages[MANY];
    char u[128];

    hold_bytes = PLACES * (4 << 20);
    remake_fetcher("127.0.0.0/8");
    options.max_page_bytes = 4 << 20;
    snprintf(u, sizeof u, "%s/huge?bytes=3000000", origin_url(origin));
    for (int i = 0; i < MANY; i++)
        pages[i] = fetch_url(u);
    /* Pages keep their places as long as they are held. */
    for (int done = 0; done < MANY; done += PLACES) {
        for (int i = 0; count_settled(pages) < done + PLACES; i = (i + 1) % MANY)
            if (!future_settled(pages[i]))
                future_wait(pages[i], clock_after_ms(clock_now_ns(), 1));
        let_loop_turn();
        ck_assert_int_eq(count_settled(pages), done + PLACES);
        on_loop(drop_pages, pages);
    }
    for (int i = 0; i < MANY; i++)
        ck_assert(future_ok(pages[i]));
}
END_TEST

/* A name of 127.0.0.0/8 in the hosts file besides localhost, which libcurl answers for by itself.
 */
static bool local_name(char *name, size_t size)
{
    char line[256], address[64];
    FILE *hosts = fopen("/etc/hosts", "re");
    bool found = false;

    ck_assert_uint_ge(size, sizeof line);
    while (hosts && !found && fgets(line, sizeof line, hosts))
        found = sscanf(line, "%63s %255s", address, name) == 2 &&
                strncmp(address, "127.", 4) == 0 && !strstr(name, "localhost");
    if (hosts)
        fclose(hosts);
    return found;
}

/* The resolver's own descriptors come and go: the numbers must be fit for connections afterwards.
 */
START_TEST(pages_of_named_hosts_come_beside_those_of_addresses)
{
    char name[256], u[512];
    future *many[MANY];

    if (!local_name(name, sizeof name))
        snprintf(name, sizeof name, "127.0.0.1"); /* a machine without such a name */
    for (int round = 0; round < 5; round++) {
        remake_fetcher("127.0.0.0/8"); /* so that there are look-ups and new connections */
        for (int i = 0; i < MANY; i++) {
            snprintf(u, sizeof u, "http://%s:%u/page/%d?ms=%d", i % 2 ? name : "127.0.0.1",
                     origin_port(origin), i, i % 7);
            many[i] = get_url(NULL, u);
        }
        finish_many(many);
    }
}
END_TEST

START_TEST(connections_are_used_again)
{
    for (int i = 0; i < 20; i++)
        ck_assert_uint_eq(path("/page/1")->status, 200);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 1);
}
END_TEST

/* -- robots.txt -------------------------------------------------------------------------------- */

static struct robots_policy policy;
static struct flow *obedient;

static void make_obedient(void *arg)
{
    struct flow_options o = {.per_origin = UINT_MAX};

    (void)arg;
    policy = (struct robots_policy){fetcher, BYTES("skimd-test")};
    fetch_obey_robots(&o, &policy);
    obedient = flow_new(fetcher_schedule(fetcher), &o);
    ck_assert_ptr_nonnull(obedient);
}

static void free_obedient(void *arg)
{
    (void)arg;
    obedient = flow_free(obedient);
}

static void drop_page(void *page)
{
    future_drop(page);
}

static void expect_fetched(const char *address, int code)
{
    char u[128];

    snprintf(u, sizeof u, "http://%s:%u/page", address, (unsigned)origin_port(origin));
    future *page =
        fetch(fetcher,
              &(struct fetch_request){.url = bytes_cstr(u), .options = &options, .flow = obedient});
    ck_assert_int_eq(future_wait(page, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    ck_assert_int_eq(future_error(page), code);
    on_loop(drop_page, page);
}

#define OK_UNTIL_CLOSE "HTTP/1.0 200 OK\r\n\r\n"

static const struct step large_robots[] = {
    SAY(OK_UNTIL_CLOSE "User-agent: *\n"),
    REPEAT(10000, "Allow: /a\n"),
    CLOSE,
    SAY(OK_UNTIL_CLOSE "<title>x</title>"),
    CLOSE,
    {STEP_END, 0, {NULL, 0}},
};

static const struct step small_robots[] = {
    SAY(OK_UNTIL_CLOSE "User-agent: *\nDisallow: /page\n"),
    CLOSE,
    {STEP_END, 0, {NULL, 0}},
};

START_TEST(large_robots_files_are_kept_only_as_far_as_there_is_room)
{
    hold_bytes = 256 << 10;
    remake_fetcher("127.0.0.0/8");
    on_loop(make_obedient, NULL);
    ck_assert_ptr_nonnull(origin_script(origin, "127.0.1.1", large_robots));
    ck_assert_ptr_nonnull(origin_script(origin, "127.0.1.2", large_robots));
    ck_assert_ptr_nonnull(origin_script(origin, "127.0.1.3", small_robots));
    expect_fetched("127.0.1.1", 0);
    expect_fetched("127.0.1.2", FETCH_HOST_UNAVAILABLE);
    expect_fetched("127.0.1.3", FETCH_ROBOTS_DISALLOWED);
    expect_fetched("127.0.1.1", 0);
    on_loop(free_obedient, NULL);
}
END_TEST

/* -- cancel ------------------------------------------------------------------------------------ */

START_TEST(a_cancelled_scope_ends_its_transfers_and_its_queue)
{
    future *many[MANY];
    struct scope *scope = scope_new(CLOCK_NEVER, 0);

    start_many(scope, many, "/hold/x");
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, per_origin, PATIENCE_MS));
    scope_cancel(scope, -ECANCELED);
    future *closed = scope_close(scope);
    ck_assert_int_eq(future_wait(closed, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(future_state(many[i]), FUTURE_CANCELLED);
        future_drop(many[i]);
    }
    future_drop(closed);
    scope_drop(scope);
    ck_assert(origin_wait_at_most(origin, ORIGIN_IN_FLIGHT, 0, PATIENCE_MS));
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), per_origin);

    ck_assert_uint_eq(path("/page/1")->status, 200); /* the turns were given back */
}
END_TEST

START_TEST(a_scope_deadline_cancels_a_retry_that_waits)
{
    struct scope *scope = scope_new(clock_after_ms(clock_now_ns(), 300), 0);

    options.retries = 10;
    future *f = get_path(scope, "/status/503?after=20");
    ck_assert_int_eq(future_wait(f, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    ck_assert_int_eq(future_state(f), FUTURE_CANCELLED);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 1);
    future_drop(f);
    scope_drop(scope);
}
END_TEST

Suite *suite_fetch(void)
{
    Suite *s = suite_create("fetch");
    TCase *tc = tcase_create("fetch");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_page_comes_back_with_its_metadata);
    tcase_add_test(tc, any_status_is_an_answer);
    tcase_add_test(tc, the_body_is_handed_over_as_received);
    tcase_add_test(tc, the_request_says_who_asks_and_what_it_understands);
    tcase_add_test(tc, redirects_are_followed_and_counted);
    tcase_add_test(tc, a_redirect_loop_ends);
    tcase_add_test(tc, a_redirect_to_another_scheme_is_not_followed);
    tcase_add_test(tc, what_is_no_url_says_so);
    tcase_add_test(tc, a_port_where_nobody_listens_is_a_connect_failure);
    tcase_add_loop_test(tc, a_broken_answer_has_its_code, 0,
                        (int)(sizeof broken / sizeof broken[0]));
    tcase_add_test(tc, headers_without_end_are_refused);
    tcase_add_test(tc, a_slow_answer_times_out);
    tcase_add_test(tc, the_timeout_covers_all_redirects);
    tcase_add_test(tc, what_may_be_retried_is_tried_again);
    tcase_add_test(tc, what_may_not_be_retried_is_not);
    tcase_add_test(tc, a_private_address_is_never_connected_to);
    tcase_add_test(tc, a_redirect_to_a_private_address_is_not_connected_to);
    tcase_add_test(tc, a_proxy_is_not_asked_for_what_can_be_judged_here);
    tcase_add_test(tc, an_origin_gets_no_more_connections_than_allowed);
    tcase_add_test(tc, a_held_origin_does_not_hold_up_another);
    tcase_add_test(tc, concurrency_bounds_all_origins_together);
    tcase_add_test(tc, a_redirect_that_waits_for_its_turn_holds_no_memory);
    tcase_add_test(tc, only_so_many_bodies_grow_large_at_a_time);
    tcase_add_test(tc, pages_of_named_hosts_come_beside_those_of_addresses);
    tcase_add_test(tc, connections_are_used_again);
    tcase_add_test(tc, large_robots_files_are_kept_only_as_far_as_there_is_room);
    tcase_add_test(tc, a_cancelled_scope_ends_its_transfers_and_its_queue);
    tcase_add_test(tc, a_scope_deadline_cancels_a_retry_that_waits);
    suite_add_tcase(s, tc);
    return s;
}
