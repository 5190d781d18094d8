/*
 * Connecting to the first of several addresses that answers, on the mock: sockets are real and time
 * is not. All addresses are loopback ones, of which each behaves in its own way at one port.
 */
#include "core/async/async.h"
#include "core/async/mock.h"
#include "core/base/clock.h"
#include "core/fetch/dial.h"
#include "core/fetch/fetch_error.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What is at an address. Those from CLOSED on have no listener. */
enum site { GOOD, ALSO_GOOD, FULL, ALSO_FULL, REFUSED, LISTENERS, CLOSED = LISTENERS, UNREACHABLE };

enum { PLACES = 8, FILLERS_MAX = 8, NEVER_MS = 1000000 };

static const char *const texts[] = {
    [GOOD] = "127.0.0.1",
    [ALSO_GOOD] = "127.0.0.2",
    [FULL] = "127.0.0.3", /* a SYN gets no answer */
    [ALSO_FULL] = "127.0.0.4",
    [REFUSED] = "127.1.0.1",     /* listens, but the guard does not want it */
    [CLOSED] = "127.0.0.5",      /* a SYN gets RST */
    [UNREACHABLE] = "224.0.0.1", /* connect() fails at once: TCP has no multicast */
};

static struct guard *guard;
static int listeners[LISTENERS], fillers[2 * FILLERS_MAX];
static size_t filler_count;
static uint16_t port;

/* -- sites ------------------------------------------------------------------------------------- */

static struct address address_of(enum site site)
{
    struct address a = {.v4.sin_family = AF_INET};

    ck_assert_int_eq(inet_pton(AF_INET, texts[site], &a.v4.sin_addr), 1);
    return a;
}

static bool listen_at(enum site site, uint16_t at)
{
    struct address a = address_of(site);
    socklen_t len = sizeof a.v4;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    a.v4.sin_port = htons(at);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &a.any, len) < 0 ||
        listen(fd, site == FULL || site == ALSO_FULL ? 0 : SOMAXCONN) < 0) {
        close(fd);
        return false;
    }
    ck_assert_int_eq(getsockname(fd, &a.any, &len), 0);
    port = ntohs(a.v4.sin_port);
    listeners[site] = fd;
    return true;
}

/* The kernel drops what comes when the queue of connections to be accepted is full. */
static void fill(enum site site)
{
    struct address a = address_of(site);
    bool full = false;

    a.v4.sin_port = htons(port);
    for (int i = 0; i < FILLERS_MAX && !full; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(fd, 0);
        (void)connect(fd, &a.any, sizeof a.v4);
        full = poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 0) == 0;
        fillers[filler_count++] = fd;
    }
    ck_assert(full);
}

/* One port for all: chosen by the first, free at the others as a rule. */
static bool open_sites(void)
{
    bool all = true;

    for (enum site site = 0; site < LISTENERS; site++)
        all = listen_at(site, site == 0 ? 0 : port) && all;
    return all;
}

static void close_sites(void)
{
    for (size_t i = 0; i < LISTENERS; i++)
        if (listeners[i] >= 0)
            close(listeners[i]);
    for (size_t i = 0; i < filler_count; i++)
        close(fillers[i]);
    memset(listeners, -1, sizeof listeners);
    filler_count = 0;
}

static void setup(void)
{
    struct net nets[3];

    async_setup();
    ck_assert_int_eq(net_parse("127.0.0.0/24", &nets[0]), 0);
    ck_assert_int_eq(net_parse("224.0.0.1", &nets[1]), 0);
    ck_assert_int_eq(net_parse("::1", &nets[2]), 0);
    ck_assert_int_eq(guard_new(&(struct guard_options){.allow = nets, .allow_count = 3}, &guard),
                     0);
    memset(listeners, -1, sizeof listeners);
    for (int i = 0; i < 10 && !open_sites(); i++)
        close_sites();
    ck_assert_int_ge(listeners[LISTENERS - 1], 0);
    fill(FULL);
    fill(ALSO_FULL);
    ck_assert_int_eq(mock_start(&(struct mock_options){.async.threads = 1}), 0);
}

static void teardown(void)
{
    close_sites();
    guard_free(guard);
    async_teardown();
}

/* -- dialling ---------------------------------------------------------------------------------- */

struct dialling {
    const enum site *sites;
    unsigned count, within_ms;
    future *f;
};

static void dial_here(void *arg)
{
    struct dialling *d = arg;
    struct address addresses[PLACES];

    for (unsigned i = 0; i < d->count; i++)
        addresses[i] = address_of(d->sites[i]);
    d->f =
        dial(guard, addresses, d->count, port,
             d->within_ms == NEVER_MS ? CLOCK_NEVER : clock_after_ms(async_now_ns(), d->within_ms));
}

static future *start(const enum site *sites, unsigned count, unsigned within_ms)
{
    struct dialling d = {sites, count, within_ms, NULL};

    on_loop(dial_here, &d);
    return d.f;
}

#define SITES(...)      ((const enum site[]){__VA_ARGS__}), SITE_COUNT(__VA_ARGS__)
#define SITE_COUNT(...) (unsigned)(sizeof((const enum site[]){__VA_ARGS__}) / sizeof(enum site))

static void await(future *f)
{
    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
}

static bool is_site(const struct address *a, enum site site)
{
    struct address expected = address_of(site);

    return a->any.sa_family == AF_INET && ntohs(a->v4.sin_port) == port &&
           a->v4.sin_addr.s_addr == expected.v4.sin_addr.s_addr;
}

/* Whether somebody has connected to the listener: then the connection, else -1. */
static int accepted(enum site site)
{
    return accept4(listeners[site], NULL, NULL, SOCK_CLOEXEC);
}

static void expect_site(future *f, enum site site)
{
    char byte = 0;

    await(f);
    ck_assert_int_eq(future_state(f), FUTURE_OK);
    const struct dialled *d = future_value(f);
    ck_assert(is_site(&d->address, site));
    int peer = accepted(site), fd = dial_take_socket(f);
    ck_assert_int_ge(peer, 0);
    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
    ck_assert_int_eq(recv(peer, &byte, 1, 0), 1);
    close(fd);
    close(peer);
    future_drop(f);
}

static void expect_failure(future *f, enum fetch_code code, const char *message)
{
    await(f);
    ck_assert_int_eq(future_error(f), (int)code);
    const struct dial_failure *failure = future_value(f);
    ck_assert_str_eq(failure->message, message);
    future_drop(f);
}

/* -- one after another ------------------------------------------------------------------------- */

START_TEST(the_socket_is_as_the_header_says_and_taken_once)
{
    future *f = start(SITES(GOOD), NEVER_MS);
    int on = 0;
    socklen_t len = sizeof on;

    await(f);
    ck_assert_int_eq(future_state(f), FUTURE_OK);
    int fd = dial_take_socket(f);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dial_take_socket(f), -1);
    future_drop(f);
    ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    ck_assert_int_ne(on, 0);
    close(fd);
}
END_TEST

START_TEST(a_socket_that_nobody_takes_is_closed_with_the_last_reference)
{
    future *f = start(SITES(GOOD), NEVER_MS);
    char byte;

    await(f);
    ck_assert(future_ok(f));
    int peer = accepted(GOOD);
    ck_assert_int_ge(peer, 0);
    future_drop(f);
    ck_assert_int_eq(recv(peer, &byte, 1, 0), 0);
    close(peer);
}
END_TEST

static const struct {
    enum site sites[PLACES];
    unsigned count;
    enum site winner;
    unsigned after_ms;
} races[] = {
    {{GOOD}, 1, GOOD, 0},
    {{GOOD, ALSO_GOOD}, 2, GOOD, 0},
    {{ALSO_GOOD, GOOD}, 2, ALSO_GOOD, 0},
    {{CLOSED, GOOD}, 2, GOOD, 0},
    {{UNREACHABLE, GOOD}, 2, GOOD, 0},
    {{UNREACHABLE, CLOSED, UNREACHABLE, CLOSED, GOOD}, 5, GOOD, 0},
    {{REFUSED, GOOD}, 2, GOOD, 0},
    {{FULL, GOOD}, 2, GOOD, DIAL_STAGGER_MS},
    {{FULL, CLOSED, GOOD}, 3, GOOD, DIAL_STAGGER_MS},
    {{FULL, REFUSED, UNREACHABLE, GOOD}, 4, GOOD, DIAL_STAGGER_MS},
    {{FULL, ALSO_FULL, GOOD}, 3, GOOD, 2 * DIAL_STAGGER_MS},
    {{CLOSED, FULL, CLOSED, ALSO_FULL, GOOD, ALSO_GOOD}, 6, GOOD, 2 * DIAL_STAGGER_MS},
};

static void race(const enum site *sites, unsigned count, enum site winner, unsigned after_ms)
{
    uint64_t since = async_now_ns();
    size_t open = open_descriptors();
    future *f = start(sites, count, NEVER_MS);

    await(f);
    ck_assert_uint_eq((async_now_ns() - since) / NS_PER_MS, after_ms);
    ck_assert_uint_eq(open_descriptors(), open + 1); /* the losers are closed */
    expect_site(f, winner);
    ck_assert_int_lt(accepted(GOOD), 0);
    ck_assert_int_lt(accepted(ALSO_GOOD), 0);
    ck_assert_int_lt(accepted(REFUSED), 0);
    mock_advance(10 * NS_PER_SEC); /* no timer of it is left */
}

/* Twice: the second time with descriptors that the loop has known. */
START_TEST(the_next_is_tried_after_250_ms_or_as_soon_as_one_failed)
{
    race(races[_i].sites, races[_i].count, races[_i].winner, races[_i].after_ms);
    race(races[_i].sites, races[_i].count, races[_i].winner, races[_i].after_ms);
}
END_TEST

static void dial_loopback_here(void *arg)
{
    const struct address loopback = {
        .v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}};

    *(future **)arg = dial(guard, &loopback, 1, port, CLOCK_NEVER);
}

/* Nobody listens there; a machine without IPv6 says something else, and as soon. */
START_TEST(ipv6_is_dialled_and_a_machine_may_not_have_it)
{
    uint64_t since = async_now_ns();
    future *f;

    on_loop(dial_loopback_here, &f);
    await(f);
    ck_assert_int_eq(future_error(f), FETCH_CONNECT_FAILURE);
    ck_assert_uint_lt(async_now_ns() - since, NS_PER_MS);
    future_drop(f);
}
END_TEST

/* -- failures ---------------------------------------------------------------------------------- */

START_TEST(when_all_fail_the_last_error_is_told)
{
    expect_failure(start(SITES(CLOSED), NEVER_MS), FETCH_CONNECT_FAILURE,
                   "Could not connect: Connection refused");
    expect_failure(start(SITES(UNREACHABLE), NEVER_MS), FETCH_CONNECT_FAILURE,
                   "Could not connect: Network is unreachable");
    expect_failure(start(SITES(UNREACHABLE, CLOSED), NEVER_MS), FETCH_CONNECT_FAILURE,
                   "Could not connect to any of 2 addresses: Connection refused");
    expect_failure(start(SITES(CLOSED, UNREACHABLE, REFUSED), NEVER_MS), FETCH_CONNECT_FAILURE,
                   "Could not connect to any of 3 addresses: Network is unreachable");
}
END_TEST

START_TEST(when_the_guard_refuses_all_nothing_is_connected_to)
{
    expect_failure(start(SITES(REFUSED, REFUSED), NEVER_MS), FETCH_BLOCKED_ADDRESS,
                   "The address is not open to fetches: loopback address (RFC 1122)");
    ck_assert_int_lt(accepted(REFUSED), 0);
}
END_TEST

/* _i: some have failed, or are still to be tried. */
START_TEST(at_the_deadline_all_attempts_end)
{
    static const struct {
        enum site sites[PLACES];
        unsigned count, within_ms;
        const char *message;
    } cases[] = {
        {{FULL}, 1, 600, "Could not connect: no answer in time"},
        {{FULL, ALSO_FULL}, 2, 600, "Could not connect to any of 2 addresses: no answer in time"},
        {{CLOSED, FULL}, 2, 600, "Could not connect to any of 2 addresses: no answer in time"},
        {{FULL, GOOD}, 2, 249, "Could not connect to any of 2 addresses: no answer in time"},
        {{FULL}, 1, 0, "Could not connect: no answer in time"},
    };
    uint64_t since = async_now_ns();
    size_t open = open_descriptors();
    future *f = start(cases[_i].sites, cases[_i].count, cases[_i].within_ms);

    await(f);
    ck_assert_uint_eq((async_now_ns() - since) / NS_PER_MS, cases[_i].within_ms);
    ck_assert_uint_eq(open_descriptors(), open);
    expect_failure(f, FETCH_TIMEOUT, cases[_i].message);
}
END_TEST

/* Leaves this process so many descriptors to open; returns the limit that was. */
static struct rlimit leave_descriptors(unsigned count)
{
    struct rlimit before, now;
    int next = dup(0);

    ck_assert_int_ge(next, 0);
    close(next); /* the lowest that is free, and none above it is taken */
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = (struct rlimit){(rlim_t)next + count, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

START_TEST(without_a_socket_it_is_our_own_failure)
{
    struct rlimit before = leave_descriptors(0);

    expect_failure(start(SITES(GOOD, ALSO_GOOD), NEVER_MS), FETCH_INTERNAL,
                   "No socket to connect with: Too many open files");
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}
END_TEST

START_TEST(without_a_second_socket_the_first_attempt_goes_on)
{
    struct rlimit before = leave_descriptors(1);
    future *f = start(SITES(FULL, GOOD), 1000);

    mock_advance(999 * NS_PER_MS);
    ck_assert(!future_settled(f));
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect_failure(f, FETCH_TIMEOUT, "Could not connect to any of 2 addresses: no answer in time");
}
END_TEST

/* -- cancel ------------------------------------------------------------------------------------ */

START_TEST(cancel_closes_what_is_open)
{
    size_t open = open_descriptors();
    future *f = start(SITES(FULL, ALSO_FULL, GOOD), 1000);

    mock_advance((uint64_t)_i * DIAL_STAGGER_MS * NS_PER_MS);
    ck_assert_uint_eq(open_descriptors(), open + 1 + (size_t)_i);
    ck_assert_int_eq(future_cancel(f), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_uint_eq(open_descriptors(), open);
    ck_assert_int_lt(accepted(GOOD), 0);
    mock_advance(10 * NS_PER_SEC);
}
END_TEST

/* Whoever wins, nothing is left over: the teardown looks. */
START_TEST(a_cancel_may_come_when_it_is_just_connected)
{
    future *f = start(SITES(GOOD), NEVER_MS);

    future_cancel(f);
    await(f);
    ck_assert(future_state(f) == FUTURE_CANCELLED || future_state(f) == FUTURE_OK);
    future_drop(f);
}
END_TEST

Suite *suite_dial(void)
{
    Suite *suite = suite_create("dial");
    TCase *tcase = tcase_create("dial");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, the_socket_is_as_the_header_says_and_taken_once);
    tcase_add_test(tcase, a_socket_that_nobody_takes_is_closed_with_the_last_reference);
    tcase_add_loop_test(tcase, the_next_is_tried_after_250_ms_or_as_soon_as_one_failed, 0,
                        sizeof races / sizeof *races);
    tcase_add_test(tcase, ipv6_is_dialled_and_a_machine_may_not_have_it);
    tcase_add_test(tcase, when_all_fail_the_last_error_is_told);
    tcase_add_test(tcase, when_the_guard_refuses_all_nothing_is_connected_to);
    tcase_add_loop_test(tcase, at_the_deadline_all_attempts_end, 0, 5);
    tcase_add_test(tcase, without_a_socket_it_is_our_own_failure);
    tcase_add_test(tcase, without_a_second_socket_the_first_attempt_goes_on);
    tcase_add_loop_test(tcase, cancel_closes_what_is_open, 0, 2);
    tcase_add_test(tcase, a_cancel_may_come_when_it_is_just_connected);
    return suite;
}
