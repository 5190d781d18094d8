/*
 * One exchange with an origin that misbehaves: where it connects to, what it asks for, what it
 * makes of the answer, and how it ends.
 */
#include "core/base/clock.h"
#include "core/fetch/engine_internal.h"
#include "tests/check.h"
#include "tests/support/origin.h"
#include "tests/support/origin_script.h"
#include "tests/support/transfer_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static struct origin *origin;
static struct address pin;
static struct transfer_request request;

static void setup(void)
{
    transfer_setup();
    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
    pin = loopback(origin_port(origin));
    request = request_to(&pin);
    engine_make();
}

static void teardown(void)
{
    origin = origin_stop(origin);
    transfer_teardown();
}

/* A URL of the origin by a name that only the pin leads from. */
static const char *url_of(const char *path)
{
    static char url[256];

    snprintf(url, sizeof url, "http://pinned.example:%u%s", origin_port(origin), path);
    return url;
}

static const struct outcome *path(const char *p)
{
    return get(url_of(p), &request);
}

static future *begin_path(const char *p)
{
    return get_begin(NULL, url_of(p), &request);
}

static void expect_code(const struct outcome *o, enum fetch_code code)
{
    ck_assert_msg(o->code == (int)code, "%s: %s", fetch_code_name(o->code), o->message);
}

/* -- where it connects to ---------------------------------------------------------------------- */

START_TEST(a_pinned_name_is_never_looked_up)
{
    const struct outcome *o = path("/echo");

    expect_code(o, FETCH_OK);
    ck_assert_ptr_nonnull(strstr(o->body, "Host: pinned.example:"));
    ck_assert_str_eq(o->remote_ip, "127.0.0.1");
    /* The port is the pin's, too. */
    o = get("http://another.example.:1/echo", &request);
    expect_code(o, FETCH_OK);
    ck_assert_ptr_nonnull(strstr(o->body, "Host: another.example.:1\r\n"));
}
END_TEST

START_TEST(an_address_needs_no_pin_and_gets_none_from_the_transfer_before)
{
    struct origin *other = origin_start(NULL);
    char url[128];

    pin = loopback(origin_port(other));
    snprintf(url, sizeof url, "%s/page/1", origin_url(origin));
    for (int i = 0; i < 2; i++) {
        request.address = NULL;
        ck_assert_uint_eq(get(url, &request)->status, 200);
        request.address = &pin;
        ck_assert_uint_eq(path("/page/1")->status, 200);
    }
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 2);
    ck_assert_uint_eq(origin_count(other, ORIGIN_REQUESTS), 2);
    origin_stop(other);
}
END_TEST

START_TEST(a_pin_of_ipv6_leads_there)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv6";
    struct address six = {.v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
    socklen_t length = sizeof six.v6;
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener >= 0 && bind(listener, &six.any, length) == 0) { /* else it has no IPv6 */
        ck_assert_int_eq(listen(listener, 1), 0);
        ck_assert_int_eq(getsockname(listener, &six.any, &length), 0);
        request.address = &six;
        future *f = begin_path("/");
        int fd = accept(listener, NULL, NULL);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, answer, sizeof answer - 1), sizeof answer - 1);
        const struct outcome *o = get_end(f);
        expect_code(o, FETCH_OK);
        ck_assert_str_eq(o->body, "v6");
        ck_assert_str_eq(o->remote_ip, "::1");
        close(fd);
    }
    if (listener >= 0)
        close(listener);
}
END_TEST

START_TEST(the_guard_judges_a_pinned_address)
{
    struct guard *guard;

    ck_assert_int_eq(guard_new(&(struct guard_options){0}, &guard), 0);
    engine_options.guard = guard;
    engine_make();
    expect_code(path("/page/1"), FETCH_BLOCKED_ADDRESS);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 0);
    guard_free(guard);
}
END_TEST

START_TEST(connections_are_used_again)
{
    for (int i = 0; i < 5; i++)
        ck_assert_uint_eq(path("/page/1")->status, 200);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 1);
}
END_TEST

static void count_connections(void *ret_count)
{
    *(size_t *)ret_count = engine_connections(engine_made());
}

static size_t connections_made(void)
{
    size_t count;

    on_loop(count_connections, &count);
    return count;
}

#define LITTLE_PAGE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* Hosts that close connections behind an answer, though they did not say so. */
static const struct step quitters[][6] = {
    {SAY(LITTLE_PAGE), HALF_CLOSE, SCRIPT_END},
    {SAY(LITTLE_PAGE), PAUSE(50), HALF_CLOSE, SCRIPT_END},
    {SAY(LITTLE_PAGE), PAUSE(50), RESET, SCRIPT_END},
    {SAY(LITTLE_PAGE), PAUSE(50), SAY("HTTP/1.1 408 Bored\r\n\r\n"), HALF_CLOSE, SCRIPT_END},
};

enum { QUITTERS = sizeof quitters / sizeof *quitters };

START_TEST(connections_that_their_hosts_closed_while_unused_are_closed_soon)
{
    struct origin *o = origin_start(NULL);
    struct address there[QUITTERS];
    char url[64], ip[32];

    ck_assert_uint_eq(path("/page/1")->status, 200); /* this one is kept */
    for (int i = 0; i < QUITTERS; i++) {
        struct transfer_request to_it = request_to(&there[i]);

        snprintf(ip, sizeof ip, "127.0.1.%d", i + 1);
        there[i] = loopback(origin_port(o));
        ck_assert_int_eq(inet_pton(AF_INET, ip, &there[i].v4.sin_addr), 1);
        ck_assert_ptr_nonnull(origin_script(o, ip, quitters[i]));
        snprintf(url, sizeof url, "http://quits%d.example:%u/", i, origin_port(o));
        ck_assert_uint_eq(get(url, &to_it)->status, 200);
    }
    ck_assert(origin_wait_at_most(o, ORIGIN_OPEN, 0, PATIENCE_MS));
    ck_assert_uint_eq(path("/page/1")->status, 200);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 1);
    ck_assert_uint_eq(connections_made(), 1);
    origin_stop(o);
}
END_TEST

START_TEST(the_last_of_an_origin_keeps_its_connection_where_there_is_room)
{
    request.last = true;
    ck_assert_uint_eq(path("/page/1")->status, 200);
    ck_assert_uint_eq(path("/page/1")->status, 200);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 1);
}
END_TEST

START_TEST(the_last_of_an_origin_closes_its_connection_in_a_crowd)
{
    engine_options.max_connections = 1;
    engine_make();
    request.last = true;
    ck_assert_uint_eq(path("/page/1")->status, 200);
    ck_assert(origin_wait_at_most(origin, ORIGIN_OPEN, 0, PATIENCE_MS));
    request.last = false;
    ck_assert_uint_eq(path("/page/1")->status, 200);
    ck_assert_uint_eq(path("/page/1")->status, 200);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 2);
}
END_TEST

/* A listener whose queue is full: what connects to it hears nothing. */
enum { QUEUED = 4 };

struct full {
    int listener, queued[QUEUED];
    struct address address;
};

static void full_open(struct full *f)
{
    socklen_t length = sizeof f->address.v4;
    bool full = false;

    f->address = loopback(0);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(f->listener, 0);
    ck_assert_int_eq(bind(f->listener, &f->address.any, length), 0);
    ck_assert_int_eq(listen(f->listener, 0), 0);
    ck_assert_int_eq(getsockname(f->listener, &f->address.any, &length), 0);
    for (size_t i = 0; i < QUEUED; i++) {
        f->queued[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(f->queued[i], 0);
        (void)connect(f->queued[i], &f->address.any, length);
        full = poll(&(struct pollfd){.fd = f->queued[i], .events = POLLOUT}, 1, 0) == 0;
    }
    ck_assert(full);
}

static void full_close(struct full *f)
{
    close(f->listener);
    for (size_t i = 0; i < QUEUED; i++)
        close(f->queued[i]);
}

/* libcurl 7.88 closes such a socket without a word. */
START_TEST(the_number_of_a_connection_that_never_came_is_fit_for_another)
{
    struct transfer_request nowhere = request;
    struct full full;

    full_open(&full);
    nowhere.address = &full.address;
    nowhere.timeout_ms = 50;
    request.timeout_ms = 2000;
    for (int i = 0; i < 3; i++) {
        expect_code(get(url_of("/page/1"), &nowhere), FETCH_TIMEOUT);
        expect_code(path("/page/1"), FETCH_OK);
        engine_make(); /* so that the next one connects, too */
    }
    full_close(&full);
}
END_TEST

/* -- a socket that is connected already -------------------------------------------------------- */

START_TEST(a_connected_socket_is_used)
{
    request.socket = connect_to(&pin);
    expect_code(path("/page/1"), FETCH_OK);
    request.socket = -1;
    expect_code(path("/page/1"), FETCH_OK); /* and used again */
    /* libcurl 7.88 does not take one that is connected so soon. */
    bool takes_it = curl_version_info(CURLVERSION_NOW)->version_num >= 0x080000;
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), takes_it ? 1 : 2);
}
END_TEST

START_TEST(a_connected_socket_that_is_not_needed_is_closed)
{
    ck_assert_uint_eq(path("/page/1")->status, 200);
    request.socket = connect_to(&pin);
    ck_assert(origin_wait_at_least(origin, ORIGIN_ACCEPTED, 2, PATIENCE_MS));
    ck_assert_uint_eq(path("/page/1")->status, 200); /* there is a connection */
    ck_assert(origin_wait_at_most(origin, ORIGIN_OPEN, 1, PATIENCE_MS));
}
END_TEST

START_TEST(a_connected_socket_is_closed_with_a_transfer_that_fails)
{
    struct guard *guard;

    ck_assert_int_eq(guard_new(&(struct guard_options){0}, &guard), 0);
    engine_options.guard = guard;
    engine_make();
    request.socket = connect_to(&pin);
    ck_assert(origin_wait_at_least(origin, ORIGIN_ACCEPTED, 1, PATIENCE_MS));
    expect_code(path("/page/1"), FETCH_BLOCKED_ADDRESS);
    ck_assert(origin_wait_at_most(origin, ORIGIN_OPEN, 0, PATIENCE_MS));
    guard_free(guard);
}
END_TEST

START_TEST(a_connected_socket_that_broke_is_a_connect_failure)
{
    struct origin *gone = origin_start(NULL);

    pin = loopback(origin_port(gone));
    request.socket = connect_to(&pin);
    ck_assert(origin_wait_at_least(gone, ORIGIN_ACCEPTED, 1, PATIENCE_MS));
    origin_stop(gone);
    expect_code(path("/page/1"), FETCH_CONNECT_FAILURE);
}
END_TEST

/* -- what it asks for -------------------------------------------------------------------------- */

START_TEST(headers_are_sent_once_and_forgotten)
{
    struct header_list headers = {.lines = curl_slist_append(NULL, "X-Trace: 17")};

    curl_slist_append(headers.lines, "Accept-Language: de");
    request.headers = &headers;
    const struct outcome *o = path("/echo");
    ck_assert_ptr_nonnull(strstr(o->body, "X-Trace: 17\r\n"));
    ck_assert_ptr_nonnull(strstr(o->body, "Accept-Language: de\r\n"));
    request.headers = NULL;
    ck_assert_ptr_null(strstr(path("/echo")->body, "X-Trace"));
    curl_slist_free_all(headers.lines);
}
END_TEST

START_TEST(each_says_who_asks)
{
    ck_assert_ptr_nonnull(strstr(path("/echo")->body, "User-Agent: skimd-test/1\r\n"));
    request.user_agent = "another/2";
    ck_assert_ptr_nonnull(strstr(path("/echo")->body, "User-Agent: another/2\r\n"));
}
END_TEST

/* -- bodies that are not wanted ---------------------------------------------------------------- */

static bool want_html(struct bytes type)
{
    return type.len >= 9 && memcmp(type.ptr, "text/html", 9) == 0;
}

START_TEST(a_wanted_type_is_kept)
{
    request.wants_type = want_html;
    const struct outcome *o = path("/page/1");
    ck_assert_ptr_nonnull(strstr(o->body, "<title>Page 1</title>"));
    ck_assert_uint_eq(o->body_bytes, o->body_len);
    ck_assert(!o->stopped);
}
END_TEST

START_TEST(an_unwanted_body_that_is_short_is_read_for_the_connection_s_sake)
{
    request.wants_type = want_html;
    const struct outcome *o = path("/huge?bytes=65536");
    expect_code(o, FETCH_OK);
    ck_assert_str_eq(o->content_type, "text/plain");
    ck_assert_uint_eq(o->body_len, 0);
    ck_assert_uint_eq(o->body_bytes, 65536);
    ck_assert(!o->stopped);
    ck_assert_uint_eq(path("/page/1")->status, 200);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 1);
}
END_TEST

static bool want_nothing(struct bytes type)
{
    (void)type;
    return false;
}

static const char *const long_bodies[] = {"/huge?bytes=65537", "/huge?bytes=1000000000",
                                          "/endless"};

START_TEST(an_unwanted_body_that_is_long_is_not_waited_for)
{
    request.wants_type = want_nothing;
    const struct outcome *o = path(long_bodies[_i]);
    expect_code(o, FETCH_OK); /* whatever the limit for bodies */
    ck_assert_uint_eq(o->status, 200);
    ck_assert_str_ne(o->content_type, "");
    ck_assert_uint_eq(o->body_len, 0);
    ck_assert(o->stopped);
    ck_assert(origin_wait_at_most(origin, ORIGIN_OPEN, 0, PATIENCE_MS));
    ck_assert_uint_eq(path("/status/204")->status, 204);
}
END_TEST

START_TEST(a_body_over_its_limit_is_refused_whether_announced_or_not)
{
    request.max_body_bytes = 1000;
    expect_code(path("/huge?bytes=1001"), FETCH_BODY_TOO_LARGE);
    expect_code(path("/endless"), FETCH_BODY_TOO_LARGE);
    ck_assert_uint_eq(path("/huge?bytes=1000")->body_len, 1000);
}
END_TEST

/* -- bodies that are looked at ----------------------------------------------------------------- */

struct look {
    struct transfer_watch watch;
    promise *seen;
    future *was_seen;
    unsigned calls;
    bool is_enough;
    size_t body_len;
    char content_type[64], url[128];
};

static bool on_reached(struct transfer_watch *watch, const struct response *so_far)
{
    struct look *l = CONTAINER_OF(watch, struct look, watch);

    l->calls++;
    l->body_len = so_far->body.len;
    snprintf(l->content_type, sizeof l->content_type, "%.*s", (int)so_far->content_type.len,
             so_far->content_type.ptr);
    snprintf(l->url, sizeof l->url, "%.*s", (int)transfer_url(watch).len, transfer_url(watch).ptr);
    promise_resolve(l->seen, NULL, NULL);
    return !l->is_enough;
}

static void look_at(struct look *l, size_t bytes)
{
    *l = (struct look){.watch = {.at_bytes = bytes, .reached = on_reached}};
    l->seen = new_promise(&l->was_seen);
    request.watch = &l->watch;
}

static void end_look(struct look *l)
{
    ck_assert_ptr_null(l->watch.transfer);
    promise_drop(l->seen);
    future_error(l->was_seen);
    future_drop(l->was_seen);
}

START_TEST(a_look_that_has_enough_ends_the_transfer)
{
    struct look l;

    look_at(&l, 3);
    l.is_enough = true;
    const struct outcome *o = get_end(begin_path("/slow?ms=20"));
    expect_code(o, FETCH_OK);
    ck_assert(o->stopped);
    ck_assert_uint_eq(o->body_len, l.body_len);
    ck_assert_uint_eq(l.calls, 1);
    ck_assert_str_eq(l.url + strlen(l.url) - strlen("/slow?ms=20"), "/slow?ms=20");
    end_look(&l);
}
END_TEST

static void stop(void *watch)
{
    transfer_stop(watch);
}

START_TEST(a_body_is_looked_at_while_it_comes_and_ended)
{
    struct look l;

    look_at(&l, 3);
    future *f = begin_path("/slow?ms=20");
    expect_ok(future_ref(l.was_seen));
    on_loop(stop, &l.watch);
    const struct outcome *o = get_end(f);
    expect_code(o, FETCH_OK);
    ck_assert_uint_eq(o->status, 200);
    ck_assert(o->stopped);
    ck_assert_uint_ge(o->body_len, 3);
    ck_assert_uint_eq(o->body_bytes, o->body_len);
    ck_assert_str_eq(o->content_type, "text/html; charset=utf-8");
    ck_assert_str_eq(l.content_type, o->content_type);
    ck_assert_uint_ge(l.body_len, 3);
    ck_assert(origin_wait_at_most(origin, ORIGIN_OPEN, 0, PATIENCE_MS));
    on_loop(stop, &l.watch); /* it is over */
    end_look(&l);
}
END_TEST

static void discard(void *watch)
{
    transfer_discard_body(watch);
}

START_TEST(a_body_that_is_of_no_more_use_is_counted_but_not_kept)
{
    size_t whole = path("/page/1")->body_len;
    struct look l;

    look_at(&l, 3);
    future *f = begin_path("/slow?ms=5");
    expect_ok(future_ref(l.was_seen));
    on_loop(discard, &l.watch);
    ck_assert_int_eq(bytes_held(), 0);
    on_loop(discard, &l.watch); /* it is done already */
    const struct outcome *o = get_end(f);
    expect_code(o, FETCH_OK);
    ck_assert(!o->stopped);
    ck_assert_uint_eq(o->body_len, 0);
    ck_assert_uint_ge(o->body_bytes, whole / 2);
    ck_assert_int_eq(bytes_held(), 0);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 1);
    on_loop(discard, &l.watch); /* it is over */
    end_look(&l);
}
END_TEST

START_TEST(a_body_that_is_of_no_more_use_must_end_within_its_limit)
{
    struct look l;

    look_at(&l, 1);
    request.max_body_bytes = 64 << 20;
    future *f = begin_path("/endless");
    expect_ok(future_ref(l.was_seen));
    on_loop(discard, &l.watch);
    expect_code(get_end(f), FETCH_BODY_TOO_LARGE);
    ck_assert_int_eq(bytes_held(), 0);
    end_look(&l);
}
END_TEST

START_TEST(a_body_is_looked_at_once)
{
    struct look l;

    look_at(&l, 1);
    expect_code(path("/endless"), FETCH_BODY_TOO_LARGE);
    ck_assert_uint_eq(l.calls, 1);
    end_look(&l);
}
END_TEST

START_TEST(a_body_that_is_complete_is_not_looked_at)
{
    struct look l;

    look_at(&l, 1);
    expect_code(path("/page/1"), FETCH_OK);
    request.wants_type = want_nothing;
    expect_code(path("/endless"), FETCH_OK);
    ck_assert_uint_eq(l.calls, 0);
    end_look(&l);
}
END_TEST

START_TEST(where_bodies_are_large_they_are_received_in_larger_pieces)
{
    struct engine e = {
        .options = {.receive_buffer_bytes = 16 << 10, .receive_buffer_most = 64 << 10}};

    ck_assert_uint_eq(engine_receive_buffer(&e), 16 << 10);
    engine_note_body(&e, 200 << 10); /* one is not the rule */
    ck_assert_uint_eq(engine_receive_buffer(&e), 16 << 10);
    for (int i = 0; i < 20; i++)
        engine_note_body(&e, 200 << 10);
    ck_assert_uint_eq(engine_receive_buffer(&e), 64 << 10);
    e.options.receive_buffer_most = 0;
    ck_assert_uint_eq(engine_receive_buffer(&e), 16 << 10);
    e.options.receive_buffer_most = 64 << 10;
    for (int i = 0; i < 40; i++)
        engine_note_body(&e, 0);
    ck_assert_uint_eq(engine_receive_buffer(&e), 16 << 10);
}
END_TEST

/* -- slow ones --------------------------------------------------------------------------------- */

static struct large_body occupant;

static void occupy(void *arg)
{
    (void)arg;
    large_bodies_init(&large_bodies, 1);
    ck_assert(large_body_enter(&large_bodies, &occupant));
}

static void vacate(void *arg)
{
    (void)arg;
    large_body_leave(&large_bodies, &occupant);
}

/* All in one test, as libcurl counts in seconds. */
START_TEST(only_a_body_that_trickles_is_too_slow)
{
    engine_options.low_speed_ms = 1000;
    engine_options.low_speed_bytes = 1000;
    engine_make();
    ck_assert_uint_eq(path("/huge?bytes=300000")->body_len, 300000); /* its handle is next */
    future *thinks = begin_path("/page/1?ms=2500");
    on_loop(occupy, NULL);
    future *paused = begin_path("/huge?bytes=1000000");
    const struct outcome *o = path("/slow?ms=100");
    expect_code(o, FETCH_TIMEOUT);
    ck_assert_int_eq(o->phase, FETCH_RECEIVING);
    ck_assert_uint_gt(o->timing.total_us, 1000000);
    ck_assert_uint_gt(o->timing.first_byte_us, 0);
    expect_code(get_end(thinks), FETCH_OK);
    on_loop(vacate, NULL);
    o = get_end(paused);
    expect_code(o, FETCH_OK);
    ck_assert_uint_eq(o->body_len, 1000000);
}
END_TEST

START_TEST(a_body_that_waits_for_its_place_can_be_cancelled)
{
    struct scope *scope = scope_new(CLOCK_NEVER, 0);

    on_loop(occupy, NULL);
    future *f = get_begin(scope, url_of("/huge?bytes=1000000"), &request);
    while (bytes_held() == 0)
        let_loop_turn();
    scope_cancel(scope, -ECANCELED);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(scope_close(scope));
    scope_drop(scope);
    on_loop(vacate, NULL);
    ck_assert_uint_eq(large_bodies.free, 1);
}
END_TEST

static void tell_if_waiting(void *arg)
{
    *(bool *)arg = !list_empty(&large_bodies.waiting);
}

/* In this order the place is about to be handed out when the transfer ends. */
static void vacate_and_stop(void *watch)
{
    vacate(NULL);
    transfer_stop(watch);
}

START_TEST(a_body_that_waits_for_its_place_can_be_ended)
{
    bool waits = false;
    struct look l;

    on_loop(occupy, NULL);
    look_at(&l, 3);
    future *f = begin_path("/huge?bytes=1000000");
    while (!waits) {
        let_loop_turn();
        on_loop(tell_if_waiting, &waits);
    }
    on_loop(vacate_and_stop, &l.watch);
    const struct outcome *o = get_end(f);
    expect_code(o, FETCH_OK);
    ck_assert(o->stopped);
    ck_assert_uint_gt(o->body_len, 0);
    end_look(&l);
    let_loop_turn();
    ck_assert_uint_eq(large_bodies.free, 1);
}
END_TEST

static void vacate_and_discard(void *watch)
{
    vacate(NULL);
    transfer_discard_body(watch);
}

START_TEST(a_body_that_waits_for_its_place_needs_none_when_it_is_of_no_more_use)
{
    bool waits = false;
    struct look l;

    on_loop(occupy, NULL);
    look_at(&l, 3);
    future *f = begin_path("/huge?bytes=1000000");
    while (!waits) {
        let_loop_turn();
        on_loop(tell_if_waiting, &waits);
    }
    on_loop(_i ? vacate_and_discard : discard, &l.watch);
    const struct outcome *o = get_end(f);
    expect_code(o, FETCH_OK);
    ck_assert(!o->stopped);
    ck_assert_uint_eq(o->body_bytes, 1000000);
    ck_assert_uint_eq(o->body_len, 0);
    end_look(&l);
    if (!_i)
        on_loop(vacate, NULL);
    let_loop_turn();
    ck_assert_uint_eq(large_bodies.free, 1);
}
END_TEST

/* -- fields of the answer ---------------------------------------------------------------------- */

static const struct {
    const char *after;
    bool has;
    uint64_t seconds;
} retries[] = {
    {"0", true, 0},           {"120", true, 120},
    {"100000", true, 100000}, {"Wed,%2021%20Oct%202015%2007:28:00%20GMT", true, 0}, /* long ago */
    {"soon", false, 0},       {"-5", false, 0},
    {"1.5", false, 0},
};

START_TEST(retry_after_is_understood)
{
    char p[128];

    snprintf(p, sizeof p, "/status/503?after=%s", retries[_i].after);
    const struct outcome *o = path(p);
    ck_assert_uint_eq(o->status, 503);
    ck_assert_msg(o->has_retry_after == retries[_i].has, "%s", retries[_i].after);
    ck_assert_uint_eq(o->retry_after_s, retries[_i].seconds);
}
END_TEST

START_TEST(retry_after_may_be_a_date)
{
    time_t at = time(NULL) + 100;
    char p[128];

    strftime(p, sizeof p, "/status/429?after=%a,%%20%d%%20%b%%20%Y%%20%T%%20GMT", gmtime(&at));
    const struct outcome *o = path(p);
    ck_assert(o->has_retry_after);
    ck_assert_uint_le(o->retry_after_s, 100);
    ck_assert_uint_ge(o->retry_after_s, 70);
    ck_assert(!path("/status/429")->has_retry_after);
}
END_TEST

START_TEST(a_redirect_says_where_to)
{
    ck_assert_str_eq(path("/redirect/1")->location, "../page/0");
    ck_assert_str_eq(path("/page/1")->location, "");
}
END_TEST

START_TEST(a_failure_has_its_times)
{
    const struct outcome *o = path("/reset");

    expect_code(o, FETCH_CONNECT_FAILURE);
    ck_assert_uint_gt(o->timing.connect_us, 0);
    ck_assert_uint_gt(o->timing.total_us, 0);
}
END_TEST

/* -- the engine -------------------------------------------------------------------------------- */

START_TEST(a_proxy_gets_it_all_and_is_not_judged)
{
    struct guard *guard;

    ck_assert_int_eq(guard_new(&(struct guard_options){0}, &guard), 0);
    setenv("NO_PROXY", "*", 1);
    engine_options.guard = guard;
    engine_options.proxy = origin_url(origin);
    engine_make();
    request.address = NULL;
    get("http://a.example/page/1", &request);
    get("http://b.example/page/1", &request);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_REQUESTS), 2);
    ck_assert_uint_eq(origin_count(origin, ORIGIN_ACCEPTED), 1);
    guard_free(guard);
}
END_TEST

START_TEST(a_proxy_that_makes_no_tunnel_is_a_connect_failure)
{
    engine_options.proxy = origin_url(origin); /* it knows no CONNECT */
    engine_make();
    request.address = NULL;
    const struct outcome *o = get("https://a.example/", &request);
    expect_code(o, FETCH_CONNECT_FAILURE);
    ck_assert(fetch_code_retryable(o->code, o->phase));
}
END_TEST

START_TEST(no_proxy_comes_from_the_environment)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody listens there */
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    ck_assert_uint_eq(path("/page/1")->status, 200);
}
END_TEST

START_TEST(an_unusable_proxy_is_refused)
{
    static const char *const unusable[] = {"ftp://127.0.0.1:1", "socks5://127.0.0.1:1",
                                           "socks4://127.0.0.1", "http://", "http://a b/"};
    static const char *const usable[] = {"http://127.0.0.1:1", "127.0.0.1:3128", "",
                                         "socks5h://127.0.0.1"};

    for (size_t i = 0; i < sizeof unusable / sizeof *unusable; i++) {
        engine_options.proxy = unusable[i];
        ck_assert_msg(engine_refused(), "%s", unusable[i]);
    }
    for (size_t i = 0; i < sizeof usable / sizeof *usable; i++) {
        engine_options.proxy = usable[i];
        ck_assert_msg(!engine_refused(), "%s", usable[i]);
    }
}
END_TEST

static void count_idle(void *ret_count)
{
    *(size_t *)ret_count = engine_made()->idle_count;
}

/* As if its time had come. */
static void trim(void *arg)
{
    struct engine *e = engine_made();

    (void)arg;
    timer_clear(&e->trim);
    e->trim.fire(&e->trim);
}

START_TEST(few_handles_are_kept_after_many_transfers)
{
    enum { MANY = 100 };
    future *many[MANY];
    size_t idle;

    for (int i = 0; i < MANY; i++)
        many[i] = begin_path("/hold/x");
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, MANY, PATIENCE_MS));
    origin_release(origin);
    for (int i = 0; i < MANY; i++)
        ck_assert_uint_eq(get_end(many[i])->status, 200);
    on_loop(count_idle, &idle);
    ck_assert_uint_eq(idle, MANY); /* others may follow at once */
    on_loop(trim, NULL);
    ck_assert_uint_eq(path("/page/1")->status, 200);
    on_loop(trim, NULL);
    on_loop(count_idle, &idle);
    ck_assert_uint_gt(idle, 0);
    ck_assert_uint_lt(idle, MANY / 2);
}
END_TEST

/* -- many that begin -------------------------------------------------------------------------- */

enum { BEGINNERS = 40 };

static struct one_by_one {
    struct job job;
    future *begun[BEGINNERS];
    size_t count, opened;
    uint64_t turn_ns;
} one_by_one;

static size_t sockets_opened(const struct engine *e)
{
    size_t n = 0;

    for (size_t fd = 0; fd < e->sockets_size; fd++)
        n += e->sockets[fd] != SOCKET_UNKNOWN;
    return n;
}

/* Begins a transfer in each turn of the loop, and counts in the last whose connections there are.
 */
static void begin_in_each_turn(struct job *job)
{
    struct one_by_one *o = CONTAINER_OF(job, struct one_by_one, job);

    if (o->turn_ns != loop_now_ns()) {
        o->turn_ns = loop_now_ns();
        o->begun[o->count++] = begin_path("/hold/x");
        o->opened = sockets_opened(engine_made());
    }
    if (o->count < BEGINNERS)
        loop_post(job);
}

static void begin_one_by_one(void *arg)
{
    (void)arg;
    one_by_one = (struct one_by_one){.job = {.run = begin_in_each_turn}};
    loop_post(&one_by_one.job);
}

static void count_begun(void *arg)
{
    *(size_t *)arg = one_by_one.count;
}

START_TEST(those_that_begin_put_off_none_that_has_begun)
{
    size_t begun = 0;

    on_loop(begin_one_by_one, NULL);
    while (begun < BEGINNERS) {
        let_loop_turn();
        on_loop(count_begun, &begun);
    }
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, BEGINNERS, PATIENCE_MS));
    origin_release(origin);
    for (size_t i = 0; i < BEGINNERS; i++)
        ck_assert_uint_eq(get_end(one_by_one.begun[i])->status, 200);
    ck_assert_uint_gt(one_by_one.opened, BEGINNERS / 2);
}
END_TEST

/* -- places for large bodies ------------------------------------------------------------------- */

static struct large_body bodies[4];
static unsigned went_on[4];

static void count_go_on(struct large_body *body)
{
    went_on[body - bodies]++;
    if (body == &bodies[1]) /* its transfer has timed out */
        large_body_leave(&large_bodies, body);
}

static void queue_for_places(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++)
        bodies[i].go_on = count_go_on;
    large_bodies_init(&large_bodies, 1);
    ck_assert(large_body_enter(&large_bodies, &bodies[0]));
    ck_assert(large_body_enter(&large_bodies, &bodies[0]));
    for (int i = 1; i < 4; i++)
        ck_assert(!large_body_enter(&large_bodies, &bodies[i]));
    large_body_leave(&large_bodies, &bodies[0]);
    ck_assert(!large_body_enter(&large_bodies, &bodies[0])); /* behind the others */
    ck_assert_uint_eq(went_on[1], 0);                        /* later */
}

static void leave_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++)
        large_body_leave(&large_bodies, &bodies[i]);
}

START_TEST(places_are_handed_out_in_order)
{
    static const unsigned first_two[] = {0, 1, 1, 0};

    on_loop(queue_for_places, NULL);
    let_loop_turn();
    ck_assert_mem_eq(went_on, first_two, sizeof went_on);
    on_loop(leave_all, NULL);
    let_loop_turn();
    ck_assert_mem_eq(went_on, first_two, sizeof went_on);
    ck_assert_uint_eq(large_bodies.free, 1);
}
END_TEST

static void add_tests_of_bodies(TCase *tc)
{
    tcase_add_test(tc, a_wanted_type_is_kept);
    tcase_add_test(tc, an_unwanted_body_that_is_short_is_read_for_the_connection_s_sake);
    tcase_add_loop_test(tc, an_unwanted_body_that_is_long_is_not_waited_for, 0,
                        (int)(sizeof long_bodies / sizeof *long_bodies));
    tcase_add_test(tc, a_body_over_its_limit_is_refused_whether_announced_or_not);
    tcase_add_test(tc, a_look_that_has_enough_ends_the_transfer);
    tcase_add_test(tc, a_body_is_looked_at_while_it_comes_and_ended);
    tcase_add_test(tc, a_body_that_is_of_no_more_use_is_counted_but_not_kept);
    tcase_add_test(tc, a_body_that_is_of_no_more_use_must_end_within_its_limit);
    tcase_add_test(tc, where_bodies_are_large_they_are_received_in_larger_pieces);
    tcase_add_test(tc, a_body_is_looked_at_once);
    tcase_add_test(tc, a_body_that_is_complete_is_not_looked_at);
    tcase_add_test(tc, only_a_body_that_trickles_is_too_slow);
    tcase_add_test(tc, a_body_that_waits_for_its_place_can_be_cancelled);
    tcase_add_test(tc, a_body_that_waits_for_its_place_can_be_ended);
    tcase_add_loop_test(tc, a_body_that_waits_for_its_place_needs_none_when_it_is_of_no_more_use, 0,
                        2);
    tcase_add_test(tc, places_are_handed_out_in_order);
}

Suite *suite_transfer(void)
{
    Suite *s = suite_create("transfer");
    TCase *tc = tcase_create("transfer");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_pinned_name_is_never_looked_up);
    tcase_add_test(tc, an_address_needs_no_pin_and_gets_none_from_the_transfer_before);
    tcase_add_test(tc, a_pin_of_ipv6_leads_there);
    tcase_add_test(tc, the_guard_judges_a_pinned_address);
    tcase_add_test(tc, connections_are_used_again);
    tcase_add_test(tc, connections_that_their_hosts_closed_while_unused_are_closed_soon);
    tcase_add_test(tc, the_last_of_an_origin_keeps_its_connection_where_there_is_room);
    tcase_add_test(tc, the_last_of_an_origin_closes_its_connection_in_a_crowd);
    tcase_add_test(tc, the_number_of_a_connection_that_never_came_is_fit_for_another);
    tcase_add_test(tc, a_connected_socket_is_used);
    tcase_add_test(tc, a_connected_socket_that_is_not_needed_is_closed);
    tcase_add_test(tc, a_connected_socket_is_closed_with_a_transfer_that_fails);
    tcase_add_test(tc, a_connected_socket_that_broke_is_a_connect_failure);
    tcase_add_test(tc, headers_are_sent_once_and_forgotten);
    tcase_add_test(tc, each_says_who_asks);
    tcase_add_loop_test(tc, retry_after_is_understood, 0, (int)(sizeof retries / sizeof *retries));
    tcase_add_test(tc, retry_after_may_be_a_date);
    tcase_add_test(tc, a_redirect_says_where_to);
    tcase_add_test(tc, a_failure_has_its_times);
    tcase_add_test(tc, a_proxy_gets_it_all_and_is_not_judged);
    tcase_add_test(tc, a_proxy_that_makes_no_tunnel_is_a_connect_failure);
    tcase_add_test(tc, no_proxy_comes_from_the_environment);
    tcase_add_test(tc, an_unusable_proxy_is_refused);
    tcase_add_test(tc, few_handles_are_kept_after_many_transfers);
    tcase_add_test(tc, those_that_begin_put_off_none_that_has_begun);
    add_tests_of_bodies(tc);
    suite_add_tcase(s, tc);
    return s;
}
