/*
 * Look-ups against a name server that answers as it is told. What depends on time is tested on the
 * mock: there a thread that does nothing keeps the time from going on while an answer is on its way
 * through real sockets.
 */
#include "core/async/async.h"
#include "core/async/mock.h"
#include "core/base/clock.h"
#include "core/fetch/fetch_error.h"
#include "core/fetch/resolve.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/name_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_NAMES = 2000, THOUSAND = 1000, LATE_MAX = 1024, ASKED_MAX = 8192, TEXT_MAX = 1024 };

static struct name_server *ns;
static struct resolver *resolver;
static atomic_uint unseen; /* failures that got lost */

/* -- on the loop ------------------------------------------------------------------------------- */

struct opening {
    struct resolver_options options;
    struct resolver *resolver;
    int error;
};

static void open_here(void *arg)
{
    struct opening *o = arg;

    o->resolver = resolver_new(&o->options);
    o->error = o->resolver ? 0 : errno;
}

static void close_here(void *arg)
{
    (void)arg;
    resolver = resolver_free(resolver);
}

/* Only one that is to time out has little time: elsewhere a busy machine must not lose answers. */
static void open_resolver(const char *servers, size_t cache_names, unsigned try_timeout_ms,
                          unsigned tries)
{
    struct opening o = {.options = {servers, cache_names, try_timeout_ms, tries}};

    on_loop(close_here, NULL);
    on_loop(open_here, &o);
    ck_assert_int_eq(o.error, 0);
    resolver = o.resolver;
}

struct looking {
    const char *host; /* NULL: "n0.example" and so on */
    size_t from, count;
    future **futures;
};

static void look_here(void *arg)
{
    const struct looking *l = arg;
    char host[32];

    for (size_t i = l->from; i < l->from + l->count; i++) {
        snprintf(host, sizeof host, "n%zu.example", i);
        l->futures[i] = resolve(resolver, host);
    }
}

static void look_many_up(size_t from, size_t count, future **futures)
{
    on_loop(look_here, &(struct looking){NULL, from, count, futures});
}

static void resolve_here(void *arg)
{
    const struct looking *l = arg;

    l->futures[0] = resolve(resolver, l->host);
}

static future *look_up(const char *host)
{
    future *f;

    on_loop(resolve_here, &(struct looking){.host = host, .futures = &f});
    return f;
}

/* -- outcomes ---------------------------------------------------------------------------------- */

static void await(future *f)
{
    ck_assert_int_eq(future_wait(f, clock_after_ms(async_now_ns(), PATIENCE_MS)), 0);
}

static void stand_still_run(task *t, void *frame)
{
    (void)t;
    sem_wait(*(sem_t **)frame);
}

TASK(stand_still_task, ON_THREAD, sizeof(sem_t *), .run = stand_still_run);

/* The mock's time stands still meanwhile. */
static void await_still(future *f)
{
    sem_t over, *frame = &over;

    sem_init(&over, 0, 0);
    future *still = task_start(&stand_still_task, &frame);
    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
    sem_post(&over);
    expect_ok(still);
    sem_destroy(&over);
}

/* "2001:db8::1 192.0.2.1", in a static buffer. */
static const char *addresses_of(const future *f)
{
    static char text[TEXT_MAX];
    const struct resolution *r = future_value(f);
    size_t n = 0;

    ck_assert_int_eq(future_state(f), FUTURE_OK);
    for (unsigned i = 0; i < r->count; i++) {
        const struct address *a = &r->addresses[i];
        bool v6 = a->any.sa_family == AF_INET6;
        char one[INET6_ADDRSTRLEN];
        ck_assert(v6 || a->any.sa_family == AF_INET);
        ck_assert_uint_eq(v6 ? a->v6.sin6_port : a->v4.sin_port, 0);
        inet_ntop(a->any.sa_family, v6 ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, one,
                  sizeof one);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i ? " " : "", one);
    }
    return text;
}

static void expect_addresses(future *f, const char *addresses)
{
    await(f);
    ck_assert_str_eq(addresses_of(f), addresses);
    future_drop(f);
}

static void expect_failure(future *f, bool temporary, const char *message)
{
    await(f);
    ck_assert_int_eq(future_error(f), FETCH_DNS_FAILURE);
    const struct resolve_failure *failure = future_value(f);
    ck_assert_str_eq(failure->message, message);
    ck_assert_int_eq(failure->temporary, temporary);
    future_drop(f);
}

static void set(const char *name, struct name_answer answer)
{
    name_server_set(ns, name, &answer);
}

/* Comes back when all is read that the server has sent by now: it answers in order. */
static void read_all(void)
{
    static unsigned n;
    char host[32];

    snprintf(host, sizeof host, "read-%u.example", n++);
    set(host, (struct name_answer){.addresses = "192.0.2.9"});
    future *f = look_up(host);
    await_still(f);
    expect_addresses(f, "192.0.2.9");
}

/* -- fixtures ---------------------------------------------------------------------------------- */

static void count_unseen(const char *name, int error)
{
    (void)name;
    (void)error;
    unseen++;
}

static const struct async_options watched = {.threads = 1, .hooks.unseen_failure = count_unseen};

static void open_all(void)
{
    ns = name_server_start();
    ck_assert_ptr_nonnull(ns);
    open_resolver(name_server_address(ns), CACHE_NAMES, PATIENCE_MS, 2);
}

static void setup(void)
{
    async_setup();
    ck_assert_int_eq(async_configure(&watched), 0);
    open_all();
}

static void teardown(void)
{
    on_loop(close_here, NULL);
    ns = name_server_stop(ns);
    async_teardown();
    ck_assert_uint_eq(unseen, 0);
}

static void mock_setup(void)
{
    async_setup();
    ck_assert_int_eq(mock_start(&(struct mock_options){.async = watched}), 0);
    open_all();
}

/* -- answers ----------------------------------------------------------------------------------- */

static const struct {
    const char *addresses, *expected;
} answers[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"2001:db8::1", "2001:db8::1"},
    {"192.0.2.1 192.0.2.2 2001:db8::1 192.0.2.3", "2001:db8::1 192.0.2.1 192.0.2.2 192.0.2.3"},
    {"192.0.2.1 2001:db8::1 2001:db8::2 2001:db8::3",
     "2001:db8::1 192.0.2.1 2001:db8::2 2001:db8::3"},
    {"2001:db8::1 2001:db8::2 192.0.2.1 192.0.2.2", "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2"},
    {"192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8 192.0.2.9 "
     "192.0.2.10 192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14 192.0.2.15 192.0.2.16 192.0.2.17 "
     "2001:db8::1",
     "2001:db8::1 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8 "
     "192.0.2.9 192.0.2.10 192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14 192.0.2.15"},
};

START_TEST(addresses_are_interleaved_ipv6_first_and_no_more_than_16)
{
    set("a.example", (struct name_answer){.addresses = answers[_i].addresses, .ttl = 60});
    expect_addresses(look_up("a.example"), answers[_i].expected);
    ck_assert_uint_eq(name_server_queries(ns, NULL), 2);
}
END_TEST

START_TEST(an_alias_leads_to_the_addresses)
{
    set("a.example", (struct name_answer){
                         .alias = "b.example", .addresses = "192.0.2.1 2001:db8::1", .ttl = 60});
    set("v4.example",
        (struct name_answer){.alias = "b.example", .addresses = "192.0.2.1", .ttl = 60});
    set("none.example", (struct name_answer){.alias = "b.example", .ttl = 60});
    expect_addresses(look_up("a.example"), "2001:db8::1 192.0.2.1");
    expect_addresses(look_up("v4.example"), "192.0.2.1");
    expect_failure(look_up("none.example"), false,
                   "Could not resolve host: none.example (no addresses)");
}
END_TEST

START_TEST(an_answer_that_was_cut_is_asked_for_again_by_tcp)
{
    char addresses[2 * TEXT_MAX] = "", expected[TEXT_MAX] = "192.0.2.1";
    size_t n = 0, m = strlen(expected);

    for (int i = 1; i <= 90; i++) /* more than go into a datagram */
        n += (size_t)snprintf(addresses + n, sizeof addresses - n, "192.0.2.%d ", i);
    for (int i = 2; i <= RESOLVE_ADDRESSES_MAX; i++)
        m += (size_t)snprintf(expected + m, sizeof expected - m, " 192.0.2.%d", i);
    set("cut.example", (struct name_answer){.addresses = "192.0.2.1", .truncate = true});
    set("long.example", (struct name_answer){.addresses = addresses});
    expect_addresses(look_up("cut.example"), "192.0.2.1");
    ck_assert_uint_eq(name_server_tcp_queries(ns), 2);
    expect_addresses(look_up("long.example"), expected);
    ck_assert_uint_eq(name_server_tcp_queries(ns), 3);
}
END_TEST

START_TEST(the_hosts_file_comes_before_the_servers)
{
    future *f = look_up("localhost");

    await(f);
    ck_assert_ptr_nonnull(strstr(addresses_of(f), "127.0.0.1"));
    ck_assert_uint_eq(name_server_queries(ns, NULL), 0);
    future_drop(f);
}
END_TEST

START_TEST(a_name_is_absolute_and_search_lists_do_not_apply)
{
    set("single.example", (struct name_answer){.addresses = "192.0.2.1"});
    setenv("LOCALDOMAIN", "example", 1);
    setenv("RES_OPTIONS", "ndots:5", 1);
    open_resolver(name_server_address(ns), CACHE_NAMES, PATIENCE_MS, 2);
    expect_failure(look_up("single"), false, "Could not resolve host: single (no such name)");
    ck_assert_uint_eq(name_server_queries(ns, "single.example"), 0);
    expect_addresses(look_up("single.example"), "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, "single.example.example"), 0);
}
END_TEST

START_TEST(case_and_a_dot_at_the_end_make_no_other_name)
{
    set("a.example", (struct name_answer){.addresses = "192.0.2.1", .ttl = 60});
    future *f = look_up("a.example"), *dotted = look_up("A.Example.");

    await(f);
    await(dotted);
    future *again = look_up("a.EXAMPLE.");
    ck_assert_str_eq(addresses_of(again), "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, NULL), 2);
    future_drop(f);
    future_drop(dotted);
    future_drop(again);
    future *local = look_up("LocalHost.");
    await(local);
    ck_assert(future_ok(local)); /* the hosts file, too */
    future_drop(local);
}
END_TEST

START_TEST(a_thousand_names_at_once_are_all_answered)
{
    static future *futures[THOUSAND];

    set("*", (struct name_answer){.addresses = "192.0.2.1 2001:db8::1", .ttl = 60});
    for (size_t i = 0; i < THOUSAND; i += 100)
        look_many_up(i, 100, futures);
    for (size_t i = 0; i < THOUSAND; i++)
        expect_addresses(futures[i], "2001:db8::1 192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, NULL), 2 * THOUSAND);
    look_many_up(0, THOUSAND, futures);
    for (size_t i = 0; i < THOUSAND; i++) {
        ck_assert(future_settled(futures[i]));
        future_drop(futures[i]);
    }
    ck_assert_uint_eq(name_server_queries(ns, NULL), 2 * THOUSAND);
}
END_TEST

/* -- failures ---------------------------------------------------------------------------------- */

START_TEST(a_name_that_does_not_exist_or_has_no_addresses_is_a_permanent_failure)
{
    set("none.example", (struct name_answer){0});
    expect_failure(look_up("gone.example"), false,
                   "Could not resolve host: gone.example (no such name)");
    expect_failure(look_up("none.example"), false,
                   "Could not resolve host: none.example (no addresses)");
}
END_TEST

START_TEST(a_server_that_fails_is_a_temporary_failure)
{
    static const ns_rcode rcodes[] = {ns_r_servfail, ns_r_refused, ns_r_notimpl, ns_r_formerr};

    set("a.example", (struct name_answer){.rcode = rcodes[_i]});
    future *f = look_up("a.example");
    await(f);
    ck_assert_int_eq(future_error(f), FETCH_DNS_FAILURE);
    ck_assert(((const struct resolve_failure *)future_value(f))->temporary);
    future_drop(f);
}
END_TEST

START_TEST(a_server_that_does_not_answer_is_a_temporary_failure)
{
    set("a.example", (struct name_answer){.drop = true});
    open_resolver(name_server_address(ns), CACHE_NAMES, 20, 2);
    expect_failure(look_up("a.example"), true,
                   "Could not resolve host: a.example (the name servers do not answer)");
    ck_assert_uint_eq(name_server_queries(ns, NULL), 4);
}
END_TEST

START_TEST(a_server_that_is_not_there_is_a_temporary_failure)
{
    struct name_server *gone = name_server_start();
    char address[32];

    snprintf(address, sizeof address, "%s", name_server_address(gone));
    name_server_stop(gone);
    open_resolver(address, CACHE_NAMES, PATIENCE_MS, 2);
    expect_failure(look_up("a.example"), true,
                   "Could not resolve host: a.example (the name servers failed)");
}
END_TEST

START_TEST(the_next_server_is_asked_when_one_fails)
{
    struct name_server *failing = name_server_start();
    char servers[64];

    name_server_set(failing, "a.example", &(struct name_answer){.rcode = ns_r_servfail});
    set("a.example", (struct name_answer){.addresses = "192.0.2.1"});
    snprintf(servers, sizeof servers, "%s,%s", name_server_address(failing),
             name_server_address(ns));
    open_resolver(servers, CACHE_NAMES, PATIENCE_MS, 2);
    expect_addresses(look_up("a.example"), "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(failing, NULL), 2);
    on_loop(close_here, NULL);
    name_server_stop(failing);
}
END_TEST

/* _i & 1: it is AAAA that fails, not A; _i & 2: its answer comes last. */
START_TEST(without_addresses_the_failure_of_either_question_is_temporary)
{
    enum name_type fails = _i & 1 ? NAME_AAAA : NAME_A;
    bool last = _i & 2;

    set("a.example", (struct name_answer){.hold = !last});
    name_server_set_type(ns, "a.example", fails,
                         &(struct name_answer){.rcode = ns_r_servfail, .hold = last});
    future *f = look_up("a.example");
    ck_assert(name_server_wait_queries(ns, "a.example", 2, PATIENCE_MS));
    read_all();
    ck_assert(!future_settled(f));
    name_server_release(ns, "a.example");
    expect_failure(f, true, "Could not resolve host: a.example (the name servers failed)");
}
END_TEST

START_TEST(addresses_of_one_family_are_enough)
{
    enum name_type fails = _i ? NAME_AAAA : NAME_A;

    set("a.example", (struct name_answer){.addresses = "192.0.2.1 2001:db8::1", .ttl = 60});
    name_server_set_type(ns, "a.example", fails, &(struct name_answer){.rcode = ns_r_servfail});
    expect_addresses(look_up("a.example"), _i ? "192.0.2.1" : "2001:db8::1");
}
END_TEST

#define TEN        "abcdefghi."
#define FIFTY      TEN TEN TEN TEN TEN
#define TWO_FIFTY  FIFTY FIFTY FIFTY FIFTY FIFTY
#define LONG_LABEL "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmno"

START_TEST(what_is_no_name_is_a_permanent_failure_and_nobody_is_asked)
{
    static const char *const hosts[] = {
        "", ".", "..", "a..example", ".example", LONG_LABEL ".example", TWO_FIFTY "abcd",
    };

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        future *f = look_up(hosts[i]);
        await(f);
        ck_assert_int_eq(future_error(f), FETCH_DNS_FAILURE);
        const struct resolve_failure *failure = future_value(f);
        ck_assert_msg(!failure->temporary && strstr(failure->message, "(not a valid name)"),
                      "%s: %s", hosts[i], failure->message);
        future_drop(f);
    }
    ck_assert_uint_eq(name_server_queries(ns, NULL), 0);
    expect_failure(look_up(TWO_FIFTY "abc"), false, /* as long as a name can be */
                   "Could not resolve host: " FIFTY TEN "... (no such name)");
    expect_failure(look_up("a.onion"), false, "Could not resolve host: a.onion (no such name)");
    ck_assert_uint_eq(name_server_queries(ns, "a.onion"), 0); /* RFC 7686 section 2 */
}
END_TEST

START_TEST(texts_that_are_no_servers_are_refused)
{
    static const char *const bad[] = {
        "",
        ",",
        "nonsense",
        "a.example:53",
        "127.0.0.1,",
        ",127.0.0.1",
        "127.0.0.1,,127.0.0.2",
        "127.0.0.1 ",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:+53",
        "127.0.0.1:53x",
        "127.0.0.256",
        "127.1",
        "[127.0.0.1]:53",
        "[::1]",
        "[::1",
        "[::1]53",
        "[::1]:",
        "::1:53:",
        "fe80::1%lo",
        "127.0.0.1:999999999999999999999999999999999999999999999999999999999999999999999999999999",
    };
    static const char *const good[] = {
        "127.0.0.1", "127.0.0.1:53", "::1", "[::1]:53", "2001:db8::1,192.0.2.1:65535,[::1]:1",
    };
    struct opening o = {.options = {.cache_names = 1, .try_timeout_ms = 1, .tries = 1}};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.options.servers = bad[i];
        on_loop(open_here, &o);
        ck_assert_msg(!o.resolver && o.error == EINVAL, "%s", bad[i]);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        open_resolver(good[i], 1, 1, 1);
    open_resolver(NULL, 1, 1, 1); /* those of the system */
}
END_TEST

START_TEST(more_look_ups_than_there_can_be_are_refused)
{
    future **futures = calloc(ASKED_MAX, sizeof(future *));

    set("*", (struct name_answer){.drop = true});
    for (size_t i = 0; i < ASKED_MAX; i += 128)
        look_many_up(i, 128, futures);
    expect_failure(look_up("more.example"), true,
                   "Could not resolve host: more.example (too many look-ups are under way)");
    future *same = look_up("n0.example"); /* adds no question */
    ck_assert(!future_settled(same));
    on_loop(close_here, NULL);
    expect(same, FUTURE_CANCELLED, -ECANCELED);
    for (size_t i = 0; i < ASKED_MAX; i++)
        expect(futures[i], FUTURE_CANCELLED, -ECANCELED);
    free(futures);
}
END_TEST

/* -- waiting ----------------------------------------------------------------------------------- */

START_TEST(a_slow_name_holds_nobody_up)
{
    set("slow.example", (struct name_answer){.addresses = "192.0.2.1", .hold = true});
    set("*", (struct name_answer){.addresses = "192.0.2.2"});
    future *slow = look_up("slow.example");
    ck_assert(name_server_wait_queries(ns, "slow.example", 2, PATIENCE_MS));
    for (int i = 0; i < 10; i++) {
        char host[32];
        snprintf(host, sizeof host, "n%d.example", i);
        expect_addresses(look_up(host), "192.0.2.2");
    }
    ck_assert(!future_settled(slow));
    name_server_release(ns, "slow.example");
    expect_addresses(slow, "192.0.2.1");
}
END_TEST

START_TEST(look_ups_of_a_name_at_the_same_time_are_one)
{
    static future *futures[100];

    set("a0.example", (struct name_answer){.addresses = "192.0.2.1", .hold = true, .ttl = 60});
    for (size_t i = 0; i < 100; i++)
        futures[i] = look_up("a0.example");
    name_server_release(ns, "a0.example");
    for (size_t i = 0; i < 100; i++)
        expect_addresses(futures[i], "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, NULL), 2);
}
END_TEST

START_TEST(cancel_of_one_wait_leaves_the_others)
{
    set("a.example", (struct name_answer){.addresses = "192.0.2.1", .hold = true});
    future *first = look_up("a.example"), *second = look_up("a.example"),
           *third = look_up("a.example");
    ck_assert_int_eq(future_cancel(_i ? first : second), 0);
    expect(_i ? first : second, FUTURE_CANCELLED, -ECANCELED);
    name_server_release(ns, "a.example");
    expect_addresses(_i ? second : first, "192.0.2.1");
    expect_addresses(third, "192.0.2.1");
}
END_TEST

START_TEST(a_cancelled_look_up_goes_on_and_is_remembered)
{
    set("a.example", (struct name_answer){.addresses = "192.0.2.1", .hold = true, .ttl = 60});
    future *f = look_up("a.example");
    ck_assert_int_eq(future_cancel(f), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    name_server_release(ns, "a.example");
    expect_addresses(look_up("a.example"), "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, "a.example"), 2);
}
END_TEST

/* _i: one of the two questions is answered. */
START_TEST(the_end_of_the_resolver_cancels_what_is_under_way)
{
    set("a.example", (struct name_answer){.addresses = "192.0.2.1 2001:db8::1", .hold = true});
    if (_i)
        name_server_set_type(ns, "a.example", _i == 1 ? NAME_A : NAME_AAAA,
                             &(struct name_answer){.addresses = "192.0.2.1 2001:db8::1"});
    future *first = look_up("a.example"), *second = look_up("a.example");
    ck_assert(name_server_wait_queries(ns, "a.example", 2, PATIENCE_MS));
    ck_assert_int_eq(future_cancel(second), 0); /* at about the same time */
    on_loop(close_here, NULL);
    await(first); /* A alone is an answer after 50 ms, on a busy machine */
    ck_assert(future_state(first) == FUTURE_CANCELLED || (_i == 1 && future_ok(first)));
    await(second);
    future_drop(first);
    future_drop(second);
}
END_TEST

/* -- the cache --------------------------------------------------------------------------------- */

START_TEST(a_hit_is_the_same_future_and_asks_nobody)
{
    set("a.example", (struct name_answer){.addresses = "192.0.2.1", .ttl = 60});
    expect_addresses(look_up("a.example"), "192.0.2.1");
    future *hit = look_up("a.example"), *again = look_up("a.example");
    ck_assert(future_settled(hit));
    ck_assert_ptr_eq(hit, again);
    ck_assert_str_eq(addresses_of(hit), "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, NULL), 2);
    future_drop(hit);
    open_resolver(name_server_address(ns), CACHE_NAMES, PATIENCE_MS, 2);
    ck_assert_str_eq(addresses_of(again), "192.0.2.1"); /* it outlives the resolver */
    future_drop(again);
}
END_TEST

START_TEST(failures_are_remembered_too)
{
    set("failing.example", (struct name_answer){.rcode = ns_r_servfail});
    future *f = look_up("gone.example");
    await(f);
    future_error(f);
    future_drop(f);
    f = look_up("failing.example");
    await(f);
    future_error(f);
    future_drop(f);
    size_t asked = name_server_queries(ns, NULL);
    expect_failure(look_up("gone.example"), false,
                   "Could not resolve host: gone.example (no such name)");
    expect_failure(look_up("failing.example"), true,
                   "Could not resolve host: failing.example (the name servers failed)");
    ck_assert_uint_eq(name_server_queries(ns, NULL), asked);
}
END_TEST

static void expect_asked(const char *host, bool asked)
{
    size_t before = name_server_queries(ns, host);

    expect_addresses(look_up(host), "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, host) - before, asked ? 2 : 0);
}

START_TEST(the_least_recently_used_name_is_evicted_first)
{
    open_resolver(name_server_address(ns), 2, PATIENCE_MS, 2);
    set("*", (struct name_answer){.addresses = "192.0.2.1", .ttl = 60});
    expect_asked("a.example", true);
    expect_asked("b.example", true);
    expect_asked("a.example", false); /* used: now b is the first to go */
    expect_asked("c.example", true);
    expect_asked("a.example", false);
    expect_asked("b.example", true);
    expect_asked("c.example", true);
}
END_TEST

START_TEST(a_cache_of_no_names_still_shares_what_is_under_way)
{
    open_resolver(name_server_address(ns), 0, PATIENCE_MS, 2);
    set("a.example", (struct name_answer){.addresses = "192.0.2.1", .ttl = 60, .hold = true});
    future *first = look_up("a.example"), *second = look_up("a.example");
    name_server_release(ns, "a.example");
    expect_addresses(first, "192.0.2.1");
    expect_addresses(second, "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, NULL), 2);
    expect_asked("a.example", true);
    future *local = look_up("localhost"); /* answered, and forgotten, inside the call */
    await(local);
    ck_assert(future_ok(local));
    future_drop(local);
}
END_TEST

START_TEST(names_that_are_asked_are_not_evicted)
{
    open_resolver(name_server_address(ns), 1, PATIENCE_MS, 2);
    set("slow.example", (struct name_answer){.addresses = "192.0.2.1", .hold = true, .ttl = 60});
    set("*", (struct name_answer){.addresses = "192.0.2.1", .ttl = 60});
    future *slow = look_up("slow.example");
    expect_asked("a.example", true);
    expect_asked("b.example", true);
    future *same = look_up("slow.example");
    name_server_release(ns, "slow.example");
    expect_addresses(slow, "192.0.2.1");
    expect_addresses(same, "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, "slow.example"), 2);
    expect_asked("slow.example", false);
    expect_asked("b.example", true);
}
END_TEST

START_TEST(a_name_that_changes_does_so_when_it_is_asked_again)
{
    static const struct name_answer turns[] = {{.addresses = "192.0.2.1"},
                                               {.addresses = "192.0.2.2"}};

    open_resolver(name_server_address(ns), 0, PATIENCE_MS, 2);
    name_server_set_turns(ns, "a.example", turns, 2);
    expect_addresses(look_up("a.example"), "192.0.2.1");
    expect_addresses(look_up("a.example"), "192.0.2.2");
    expect_addresses(look_up("a.example"), "192.0.2.1");
}
END_TEST

/* -- time, on the mock ------------------------------------------------------------------------- */

static const struct {
    const char *host;
    struct name_answer answer;
    uint64_t kept_s;
} keepings[] = {
    {"a.example", {.addresses = "192.0.2.1", .ttl = 0}, 1},
    {"a.example", {.addresses = "192.0.2.1", .ttl = 7}, 7},
    {"a.example", {.addresses = "192.0.2.1 2001:db8::1", .ttl = 3600}, 3600},
    {"a.example", {.addresses = "192.0.2.1", .ttl = 3601}, 3600},
    {"a.example", {.addresses = "192.0.2.1", .ttl = INT32_MAX}, 3600},
    {"a.example", {.addresses = "192.0.2.1", .ttl = UINT32_MAX}, 1}, /* RFC 2181 section 8 */
    {"a.example", {.addresses = "192.0.2.1", .alias = "b.example", .ttl = 7}, 7},
    {"a.example", {.addresses = "192.0.2.1", .alias = "b.example", .ttl = 100, .alias_ttl = 7}, 7},
    {"a.example", {.rcode = ns_r_nxdomain}, 30},
    {"a.example", {0}, 30},
    {"a.example", {.rcode = ns_r_servfail}, 2},
    {"localhost", {0}, 1},
    {"a..example", {0}, 30},
};

START_TEST(answers_and_failures_are_kept_for_their_time)
{
    const char *host = keepings[_i].host;

    set("a.example", keepings[_i].answer);
    future *first = look_up(host);
    await_still(first);
    future *hit = look_up(host);
    ck_assert(future_settled(hit));
    mock_advance(keepings[_i].kept_s * NS_PER_SEC - 1);
    future *late_hit = look_up(host);
    ck_assert_ptr_eq(late_hit, hit);
    mock_advance(1);
    future *anew = look_up(host);
    await_still(anew);
    future *other = look_up(host);
    ck_assert_ptr_ne(other, hit);
    future *all[] = {first, hit, late_hit, anew, other};
    for (size_t i = 0; i < 5; i++) {
        future_state(all[i]);
        future_drop(all[i]);
    }
}
END_TEST

/* _i: the answer to this one is of less use. */
START_TEST(of_two_answers_the_shorter_time_counts)
{
    static const struct {
        struct name_answer other;
        uint64_t kept_s;
    } cases[] = {
        {{.addresses = "192.0.2.1 2001:db8::1", .ttl = 5}, 5},
        {{.ttl = 5}, 100}, /* that there are none says nothing of the others */
        {{.rcode = ns_r_servfail}, 30},
    };
    size_t which = (size_t)_i / 2;

    set("a.example", (struct name_answer){.addresses = "192.0.2.1 2001:db8::1", .ttl = 100});
    name_server_set_type(ns, "a.example", _i % 2 ? NAME_A : NAME_AAAA, &cases[which].other);
    future *f = look_up("a.example");
    await_still(f);
    future_drop(f);
    size_t asked = name_server_queries(ns, NULL);
    mock_advance(cases[which].kept_s * NS_PER_SEC - 1);
    f = look_up("a.example");
    ck_assert(future_settled(f));
    future_drop(f);
    mock_advance(1);
    f = look_up("a.example");
    await_still(f);
    ck_assert_uint_gt(name_server_queries(ns, NULL), asked);
    future_drop(f);
}
END_TEST

static future *look_up_held(const char *host, enum name_type held)
{
    set(host, (struct name_answer){.addresses = "192.0.2.1 2001:db8::1", .ttl = 60});
    name_server_set_type(
        ns, host, held,
        &(struct name_answer){.addresses = "192.0.2.1 2001:db8::1", .ttl = 60, .hold = true});
    future *f = look_up(host);
    read_all();
    ck_assert(!future_settled(f));
    return f;
}

START_TEST(with_a_answered_aaaa_has_another_50_ms)
{
    future *f = look_up_held("a.example", NAME_AAAA);
    uint64_t since = async_now_ns();

    if (_i) {
        mock_advance(50 * NS_PER_MS - 1);
        ck_assert(!future_settled(f));
        name_server_release(ns, "a.example");
        await_still(f);
        expect_addresses(f, "2001:db8::1 192.0.2.1");
        return;
    }
    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
    ck_assert_uint_le(async_now_ns() - since, 50 * NS_PER_MS);
    expect_addresses(f, "192.0.2.1");
}
END_TEST

/* _i: by then A's time is over, too. */
START_TEST(what_comes_late_is_for_those_who_ask_then)
{
    future *f = look_up_held("a.example", NAME_AAAA);
    future *now;

    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
    mock_advance((_i ? 100 : 10) * NS_PER_SEC);
    future *hit = look_up("a.example"); /* it is not asked again while AAAA is */
    ck_assert(future_settled(hit));
    ck_assert_str_eq(addresses_of(hit), "192.0.2.1");
    ck_assert_uint_eq(name_server_queries(ns, "a.example"), 2);
    name_server_release(ns, "a.example");
    while ((now = look_up("a.example")) == hit) {
        future_drop(now);
        read_all();
    }
    await_still(now);
    ck_assert_uint_eq(name_server_queries(ns, "a.example"), _i ? 4 : 2);
    expect_addresses(now, "2001:db8::1 192.0.2.1");
    ck_assert_str_eq(addresses_of(f), "192.0.2.1");
    future_drop(f);
    future_drop(hit);
}
END_TEST

START_TEST(aaaa_alone_waits_for_a)
{
    future *f = look_up_held("a.example", NAME_A);

    mock_advance(10 * NS_PER_SEC);
    ck_assert(!future_settled(f));
    name_server_release(ns, "a.example");
    await_still(f);
    expect_addresses(f, "2001:db8::1 192.0.2.1");
}
END_TEST

START_TEST(the_end_of_the_resolver_drops_what_is_late)
{
    future *f = look_up_held("a.example", NAME_AAAA);

    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
    on_loop(close_here, NULL);
    expect_addresses(f, "192.0.2.1");
}
END_TEST

/* Looks names up of which only A is answered; how many are settled when AAAA has had its time. */
static size_t count_late(size_t from, size_t count, future **futures)
{
    size_t settled = 0;

    for (size_t i = from; i < from + count; i += 100) {
        look_many_up(i, i + 100 < from + count ? 100 : from + count - i, futures);
        read_all();
    }
    mock_advance(NS_PER_SEC);
    for (size_t i = from; i < from + count; i++)
        settled += future_settled(futures[i]);
    return settled;
}

START_TEST(only_so_many_names_may_be_late)
{
    enum { ALL = LATE_MAX + 100, MORE = 100 };
    static const struct name_answer no_answer = {.hold = true};
    static future *futures[ALL + MORE];

    set("*", (struct name_answer){.addresses = "192.0.2.1"});
    name_server_set_type(ns, "*", NAME_AAAA, &no_answer);
    ck_assert_uint_eq(count_late(0, ALL, futures), LATE_MAX);
    name_server_release(ns, "*");
    for (size_t i = 0; i < ALL; i++)
        if (!future_settled(futures[i]))
            await_still(futures[i]);
    read_all();
    name_server_set_type(ns, "*", NAME_AAAA, &no_answer);
    ck_assert_uint_eq(count_late(ALL, MORE, futures), MORE);
    on_loop(close_here, NULL);
    for (size_t i = 0; i < ALL + MORE; i++)
        expect_addresses(futures[i], "192.0.2.1");
}
END_TEST

Suite *suite_resolve(void)
{
    Suite *suite = suite_create("resolve");
    TCase *answer = tcase_create("answers"), *failure = tcase_create("failures"),
          *waiting = tcase_create("waiting"), *cache = tcase_create("cache"),
          *time = tcase_create("time");
    TCase *real[] = {answer, failure, waiting, cache};

    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        tcase_add_checked_fixture(real[i], setup, teardown);
        tcase_set_timeout(real[i], 60);
        suite_add_tcase(suite, real[i]);
    }
    tcase_add_checked_fixture(time, mock_setup, teardown);
    tcase_set_timeout(time, 60);
    suite_add_tcase(suite, time);
    tcase_add_loop_test(answer, addresses_are_interleaved_ipv6_first_and_no_more_than_16, 0,
                        sizeof answers / sizeof *answers);
    tcase_add_test(answer, an_alias_leads_to_the_addresses);
    tcase_add_test(answer, an_answer_that_was_cut_is_asked_for_again_by_tcp);
    tcase_add_test(answer, the_hosts_file_comes_before_the_servers);
    tcase_add_test(answer, a_name_is_absolute_and_search_lists_do_not_apply);
    tcase_add_test(answer, case_and_a_dot_at_the_end_make_no_other_name);
    tcase_add_test(answer, a_thousand_names_at_once_are_all_answered);
    tcase_add_loop_test(answer, addresses_of_one_family_are_enough, 0, 2);
    tcase_add_test(failure, a_name_that_does_not_exist_or_has_no_addresses_is_a_permanent_failure);
    tcase_add_loop_test(failure, a_server_that_fails_is_a_temporary_failure, 0, 4);
    tcase_add_test(failure, a_server_that_does_not_answer_is_a_temporary_failure);
    tcase_add_test(failure, a_server_that_is_not_there_is_a_temporary_failure);
    tcase_add_test(failure, the_next_server_is_asked_when_one_fails);
    tcase_add_loop_test(failure, without_addresses_the_failure_of_either_question_is_temporary, 0,
                        4);
    tcase_add_test(failure, what_is_no_name_is_a_permanent_failure_and_nobody_is_asked);
    tcase_add_test(failure, texts_that_are_no_servers_are_refused);
    tcase_add_test(failure, more_look_ups_than_there_can_be_are_refused);
    tcase_add_test(waiting, a_slow_name_holds_nobody_up);
    tcase_add_test(waiting, look_ups_of_a_name_at_the_same_time_are_one);
    tcase_add_loop_test(waiting, cancel_of_one_wait_leaves_the_others, 0, 2);
    tcase_add_test(waiting, a_cancelled_look_up_goes_on_and_is_remembered);
    tcase_add_loop_test(waiting, the_end_of_the_resolver_cancels_what_is_under_way, 0, 3);
    tcase_add_test(cache, a_hit_is_the_same_future_and_asks_nobody);
    tcase_add_test(cache, failures_are_remembered_too);
    tcase_add_test(cache, the_least_recently_used_name_is_evicted_first);
    tcase_add_test(cache, a_cache_of_no_names_still_shares_what_is_under_way);
    tcase_add_test(cache, names_that_are_asked_are_not_evicted);
    tcase_add_test(cache, a_name_that_changes_does_so_when_it_is_asked_again);
    tcase_add_loop_test(time, answers_and_failures_are_kept_for_their_time, 0,
                        sizeof keepings / sizeof *keepings);
    tcase_add_loop_test(time, of_two_answers_the_shorter_time_counts, 0, 6);
    tcase_add_loop_test(time, with_a_answered_aaaa_has_another_50_ms, 0, 2);
    tcase_add_loop_test(time, what_comes_late_is_for_those_who_ask_then, 0, 2);
    tcase_add_test(time, aaaa_alone_waits_for_a);
    tcase_add_test(time, the_end_of_the_resolver_drops_what_is_late);
    tcase_add_test(time, only_so_many_names_may_be_late);
    return suite;
}
