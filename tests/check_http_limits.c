/* What the HTTP server does not put up with: heads it refuses, and peers that take too long. */
#include "core/async/loop.h"
#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "server/http/deadline.h"
#include "server/http/head.h"
#include "server/memory/memory.h"
#include "server/problem.h"
#include "tests/check.h"
#include "tests/support/http_fixture.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- refusals ---------------------------------------------------------------------------------- */

START_TEST(a_head_that_can_be_read_in_two_ways_is_refused)
{
    static const char *const heads[] = {
        "Host: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "Host: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "Host: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "Host: h\r\nContent-Length: 3, 3\r\n\r\nabc",
        "Host: h\r\nContent-Length: +3\r\n\r\nabc",
        "Host: h\r\nContent-Length: -3\r\n\r\nabc",
        "Host: h\r\nContent-Length: 0x3\r\n\r\nabc",
        "Host: h\r\nContent-Length: \r\n\r\nabc",
        "Host: h\r\nContent-Length : 3\r\n\r\nabc",
        "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Host: h\r\nHost: h\r\n\r\n",
        "Host: h\r\nhost: other\r\n\r\n",
        "Host : h\r\n\r\n",
        "Host: a b\r\n\r\n",
        "Host: h\r\nno colon\r\n\r\n",
        "Host: h\r\nBad(Name: x\r\n\r\n",
        "Host: h\r\nBell: \a\r\n\r\n",
        "X: no host\r\n\r\n",
    };

    start_server();
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        char request[256];
        snprintf(request, sizeof request, "POST / HTTP/1.1\r\n%s" GET("/"), heads[i]);
        is_refused(request, "400");
    }
}
END_TEST

START_TEST(an_unknown_transfer_coding_is_refused)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
    hear_end(fd, &h);
    /* libmicrohttpd 1.0 says 400 by itself, before we are asked. */
    ck_assert(strncmp(h.text, "HTTP/1.1 501 ", 13) == 0 ||
              strncmp(h.text, "HTTP/1.1 400 ", 13) == 0);
    close(fd);
}
END_TEST

START_TEST(a_query_of_hundreds_of_parts_is_refused)
{
    struct buffer request = {0};

    start_server();
    buffer_text(&request, "GET /request?a=1");
    for (int i = 0; i < 600; i++)
        buffer_text(&request, "&a=1");
    buffer_append(&request, " HTTP/1.1\r\nHost: h\r\n\r\n", sizeof " HTTP/1.1\r\nHost: h\r\n\r\n");
    is_refused(request.ptr, "400");
    buffer_free(&request);
}
END_TEST

START_TEST(a_head_without_end_is_refused)
{
    static char request[64 << 10];
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    int length = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: h\r\nLong: ");
    memset(request + length, 'x', sizeof request - 1 - (size_t)length);
    send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
    hear_end(fd, &h);
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 431 ", 13), 0);
    close(fd);
}
END_TEST

static struct http_head head_of(const char *fields)
{
    struct http_head head = {0};
    struct bytes rest = bytes_cstr(fields);

    while (rest.ptr) {
        struct bytes value = bytes_split(&rest, '\n'), name = bytes_split(&value, ':');
        http_head_field(&head, name, value);
    }
    return head;
}

START_TEST(the_rules_for_heads_hold_without_the_library)
{
    static const struct {
        const char *method, *target, *fields;
        int status;
    } cases[] = {
        {"GET", "/", "Host:h", 0},
        {"GET", "/", "Host:", 0},
        {"GET", "/", "Host:[::1]:80", 0},
        {"POST", "/", "Host:h\nContent-Length: 18446744073709551616", 0},
        {"POST", "/", "Host:h\nTransfer-Encoding: CHUNKED", 0},
        {"POST", "/", "Host:h\nTransfer-Encoding: gzip", 501},
        {"POST", "/", "Host:h\nTransfer-Encoding: chunked, chunked", 501},
        {"POST", "/", "Host:h\nTransfer-Encoding: chunked\nContent-Length: 0", 400},
        {"G ET", "/", "Host:h", 400},
        {"", "/", "Host:h", 400},
        {"GET", "", "Host:h", 400},
        {"GET", "/a b", "Host:h", 400},
        {"GET", "/\x7F", "Host:h", 400},
        {"GET", "/", "Host:h/x", 400},
        {"GET", "/", "Host:user@h", 400},
        {"GET", "/", "Host:h\nA:b\rc", 400},
        {"GET", "/", "Host:h\n:x", 400},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_head head = head_of(cases[i].fields);
        struct problem problem = {0};
        bool sound = http_head_check(&head, bytes_cstr(cases[i].method),
                                     bytes_cstr(cases[i].target), &problem);
        ck_assert_msg(sound == (cases[i].status == 0), "case %zu: %s", i, problem.detail);
        ck_assert_int_eq(problem.status, cases[i].status);
    }
    struct http_head old = head_of("Transfer-Encoding: chunked");
    struct problem problem;
    old.http_1_0 = true;
    ck_assert(!http_head_check(&old, BYTES("GET"), BYTES("/"), &problem));
    ck_assert(http_head_has_body(&old));
}
END_TEST

START_TEST(targets_of_every_form_are_split)
{
    static const char *const cases[][3] = {
        {"/a/b?c=d?e", "/a/b", "c=d?e"},
        {"/", "/", ""},
        {"http://h", "/", ""},
        {"http://h?q", "/", "q"},
        {"http://h/p?q", "/p", "q"},
        {"*", "*", ""},
        {"/x?u=http://h/", "/x", "u=http://h/"},
        {"ftp://h/p", "ftp://h/p", ""},
        {"x?u=http://h/p", "x", "u=http://h/p"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes path, query;
        http_target_split(bytes_cstr(cases[i][0]), &path, &query);
        ck_assert_msg(bytes_equal(path, bytes_cstr(cases[i][1])), "%s", cases[i][0]);
        ck_assert_msg(bytes_equal(query, bytes_cstr(cases[i][2])), "%s", cases[i][0]);
    }
}
END_TEST

/* -- deadlines --------------------------------------------------------------------------------- */

/* Sends a byte every 10 ms until the server has had enough; how long that took. */
static unsigned trickle(int fd, struct heard *h)
{
    uint64_t start_ns = clock_now_ns();

    while (clock_now_ns() - start_ns < PATIENCE_MS * NS_PER_MS) {
        if (readable_within(fd, 10)) {
            hear_end(fd, h);
            return (unsigned)((clock_now_ns() - start_ns) / NS_PER_MS);
        }
        if (send(fd, "x", 1, MSG_NOSIGNAL) < 0)
            break;
    }
    ck_abort_msg("the server let a byte at a time come for ever");
    return 0;
}

START_TEST(a_head_that_comes_a_byte_at_a_time_meets_its_deadline)
{
    struct heard h = {0};

    fix.options.header_timeout_ms = 200;
    start_server();
    int fd = dial_server();
    say(fd, "GET / HTTP/1.1\r\nHost: ");
    unsigned ms = trickle(fd, &h);
    ck_assert_uint_ge(ms, 150);
    ck_assert_uint_lt(ms, 2000);
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 408 ", 13), 0);
    close(fd);
}
END_TEST

START_TEST(a_second_head_that_comes_a_byte_at_a_time_meets_its_deadline)
{
    struct heard h = {0};

    fix.options.header_timeout_ms = 200;
    start_server();
    int fd = dial_server();
    say(fd, GET("/"));
    hear(fd, &h, "hello\n");
    h = (struct heard){0};
    say(fd, "GET / HTTP/1.1\r\nHost: ");
    ck_assert_uint_lt(trickle(fd, &h), 2000);
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 408 ", 13), 0);
    close(fd);
}
END_TEST

START_TEST(a_connection_that_says_nothing_is_closed_without_a_word)
{
    struct heard h = {0};

    fix.options.header_timeout_ms = 100;
    start_server();
    int fd = dial_server();
    hear_end(fd, &h);
    ck_assert_uint_eq(h.len, 0);
    close(fd);
}
END_TEST

START_TEST(an_idle_connection_outlives_the_header_deadline_but_not_its_own)
{
    struct heard h = {0};

    fix.options.header_timeout_ms = 50;
    fix.options.idle_timeout_ms = 400;
    start_server();
    int fd = dial_server();
    say(fd, GET("/"));
    hear(fd, &h, "hello\n");
    ck_assert(!readable_within(fd, 200));
    say(fd, GET("/"));
    h = (struct heard){0};
    hear(fd, &h, "hello\n");
    uint64_t start_ns = clock_now_ns();
    size_t before = h.len;
    hear_end(fd, &h);
    ck_assert_uint_eq(h.len, before);
    ck_assert_uint_ge(clock_now_ns() - start_ns, 300 * NS_PER_MS);
    close(fd);
}
END_TEST

START_TEST(a_body_that_stops_coming_meets_its_deadline)
{
    struct heard h = {0};

    fix.options.body_timeout_ms = 100;
    start_server();
    int fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    hear_end(fd, &h);
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 408 ", 13), 0);
    close(fd);
}
END_TEST

START_TEST(a_body_may_take_long_as_long_as_it_comes)
{
    struct heard h = {0};

    fix.options.body_timeout_ms = 200;
    start_server();
    int fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        ck_assert(!readable_within(fd, 20));
        say(fd, "x");
    }
    hear(fd, &h, "xxxxxxxxxxxxxxxxxxxx");
    close(fd);
}
END_TEST

START_TEST(a_body_that_drips_meets_its_deadline_although_it_comes)
{
    struct heard h = {0};

    fix.options.body_timeout_ms = 200;
    fix.options.body_min_rate = 1000;
    start_server();
    int fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n");
    for (int i = 0; i < 50000 && !readable_within(fd, 20); i++)
        send(fd, "x", 1, MSG_NOSIGNAL);
    hear_end(fd, &h);
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 408 ", 13), 0);
    close(fd);
}
END_TEST

START_TEST(a_body_that_is_quick_enough_may_take_longer_than_its_deadline)
{
    static char piece[2000];
    struct heard h = {0};

    memset(piece, 'x', sizeof piece);
    fix.options.body_timeout_ms = 400;
    fix.options.body_min_rate = 1000;
    start_server();
    int fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n");
    for (int i = 0; i < 25; i++) {
        ck_assert(!readable_within(fd, 20));
        say_bytes(fd, piece, sizeof piece);
    }
    hear(fd, &h, "HTTP/1.1 200 ");
    close(fd);
}
END_TEST

static void count_progress(void *arg)
{
    struct http_options options = {.body_min_rate = 500};
    uint64_t now = loop_now_ns(), second = NS_PER_SEC;
    struct http_deadline d = {.options = &options, .since_ns = now - 10 * second};

    (void)arg;
    http_deadline_progress(&d, 500);
    ck_assert_uint_eq(d.since_ns, now - 9 * second);
    http_deadline_progress(&d, 250);
    ck_assert_uint_eq(d.since_ns, now - 9 * second + second / 2);
    http_deadline_progress(&d, 0);
    ck_assert_uint_eq(d.since_ns, now - 9 * second + second / 2);
    http_deadline_progress(&d, 1 << 30); /* worth a month */
    ck_assert_uint_eq(d.since_ns, now);
    d.since_ns = now + second;
    http_deadline_progress(&d, 500);
    ck_assert_uint_eq(d.since_ns, now + second);
    options.body_min_rate = 0;
    d.since_ns = now - 10 * second;
    http_deadline_progress(&d, 1);
    ck_assert_uint_eq(d.since_ns, now);
}

START_TEST(bytes_of_a_body_give_back_the_time_that_they_may_take_and_no_more)
{
    start_server();
    run_on_loop(count_progress, NULL);
}
END_TEST

/* The last bytes and the end of the connection come together. */
static void say_and_leave(const char *text)
{
    struct heard h = {0};
    int fd = dial_server(), on = 1;

    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on), 0);
    say(fd, text);
    shutdown(fd, SHUT_WR);
    hear_end(fd, &h);
    ck_assert_ptr_null(strstr(h.text, " 408 "));
    close(fd);
}

START_TEST(a_client_that_leaves_within_its_request_is_let_go_at_once)
{
    fix.options.header_timeout_ms = fix.options.body_timeout_ms = PATIENCE_MS;
    start_server();
    for (int i = 0; i < 10; i++) {
        say_and_leave("GET / HTTP/1.1\r\nHo");
        say_and_leave("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
        say_and_leave(GET("/hello") "GET / HTT");
    }
}
END_TEST

START_TEST(a_client_that_does_not_take_its_answer_is_cut_off)
{
    size_t open = 1;

    fix.options.send_timeout_ms = 100;
    start_server();
    int fd = dial_server();
    say(fd, GET("/big"));
    ck_assert(readable_within(fd, PATIENCE_MS));
    for (uint64_t begin = clock_now_ns(); open > 0; run_on_loop(count_exchanges, &open))
        ck_assert_uint_lt(clock_now_ns() - begin, PATIENCE_MS * NS_PER_MS);
    close(fd);
}
END_TEST

/* -- many large bodies at once ----------------------------------------------------------------- */

enum { BODIES = 80, BODY_BYTES = 40000 };

static struct {
    int fds[BODIES];
    bool all_sent;
    struct timer each_turn; /* of the loop */
    unsigned ended, most;   /* answers that had ended by the last turn; in one turn, at most */
} crowd;

static void look_at_turn(struct timer *timer)
{
    pthread_mutex_lock(&fix.lock);
    unsigned ended = fix.end_count;
    pthread_mutex_unlock(&fix.lock);

    if (ended - crowd.ended > crowd.most)
        crowd.most = ended - crowd.ended;
    crowd.ended = ended;
    if (ended < BODIES)
        timer_set(timer, loop_now_ns());
}

/* While the loop does nothing else. */
static void send_bodies(void *arg)
{
    static char request[BODY_BYTES + 200];
    int head = snprintf(request, sizeof request,
                        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", BODY_BYTES);

    (void)arg;
    memset(request + head, 'x', BODY_BYTES);
    memcpy(request + head + BODY_BYTES - strlen("the end"), "the end", strlen("the end"));
    crowd.all_sent = true;
    for (int i = 0; i < BODIES; i++) {
        ssize_t n = send(crowd.fds[i], request, (size_t)head + BODY_BYTES, MSG_DONTWAIT);
        crowd.all_sent = crowd.all_sent && n == head + BODY_BYTES;
    }
    crowd.each_turn.fire = look_at_turn;
    timer_set(&crowd.each_turn, loop_now_ns());
}

static void most_in_a_turn(void *arg)
{
    *(unsigned *)arg = crowd.most;
}

START_TEST(of_many_large_bodies_that_come_at_once_each_turn_of_the_loop_reads_a_few)
{
    static struct heard h;
    unsigned most;

    memset(&crowd, 0, sizeof crowd);
    start_server();
    for (int i = 0; i < BODIES; i++)
        crowd.fds[i] = dial_server();
    run_on_loop(send_bodies, NULL);
    ck_assert(crowd.all_sent);
    for (int i = 0; i < BODIES; i++) {
        h = (struct heard){0};
        hear(crowd.fds[i], &h, "the end");
        ck_assert_uint_gt(h.len, BODY_BYTES);
        close(crowd.fds[i]);
    }
    wait_for(&fix.end_count, BODIES);
    run_on_loop(most_in_a_turn, &most);
    ck_assert_uint_lt(most, BODIES / 2);
}
END_TEST

/* The last byte of none of them comes. It takes many turns to read what does. */
static void send_and_leave(void *arg)
{
    enum { LEFT_BYTES = MAX_BODY - 1 };
    static char request[LEFT_BYTES + 200];
    int head =
        snprintf(request, sizeof request,
                 "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", LEFT_BYTES + 1);

    (void)arg;
    memset(request + head, 'x', LEFT_BYTES);
    crowd.all_sent = true;
    for (int i = 0; i < BODIES; i++) {
        ssize_t n = send(crowd.fds[i], request, (size_t)head + LEFT_BYTES, MSG_DONTWAIT);
        crowd.all_sent = crowd.all_sent && n == head + LEFT_BYTES;
        close(crowd.fds[i]);
    }
}

START_TEST(of_many_clients_that_leave_within_large_bodies_each_is_let_go_at_once)
{
    memset(&crowd, 0, sizeof crowd);
    fix.options.body_timeout_ms = 6 * PATIENCE_MS;
    start_server();
    for (int i = 0; i < BODIES; i++)
        crowd.fds[i] = dial_server();
    run_on_loop(send_and_leave, NULL);
    ck_assert(crowd.all_sent);
    wait_for(&fix.end_count, BODIES);
}
END_TEST

/* -- memory ------------------------------------------------------------------------------------ */

static struct memory memory;

/* A server that may take bodies of `room` bytes in all. */
static void start_with_room(uint64_t room)
{
    uint64_t ceiling = memory_least(1, 1 << 20);

    memory_init(&memory, &(struct memory_options){
                             .ceiling = ceiling, .workers = 1, .max_page_bytes = 1 << 20});
    memory_measure(&memory, &(struct memory_sample){0});
    memory_measure(&memory, &(struct memory_sample){.own = ceiling - memory_total(&memory) - room});
    fix.options.memory = &memory;
    fix.options.max_body_bytes = 8 << 20;
    start_server();
}

START_TEST(a_body_that_does_not_fit_is_refused_before_it_is_read)
{
    struct heard h = {0};

    start_with_room(100000);
    int fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n");
    hear_end(fd, &h);
    ck_assert_msg(strncmp(h.text, "HTTP/1.1 503 ", 13) == 0, "%s", h.text);
    ck_assert_ptr_nonnull(strstr(h.text, "\r\nRetry-After: 5\r\n"));
    ck_assert_ptr_nonnull(strstr(h.text, "urn:skimd:problem:out-of-memory"));
    close(fd);
    stop_server();
    ck_assert_uint_eq(memory.reserved, 0);
    ck_assert_uint_eq(memory.refused, 1);
}
END_TEST

START_TEST(what_a_body_had_reserved_is_free_for_the_next)
{
    static char body[90000];

    start_with_room(100000);
    memset(body, 'x', sizeof body);
    for (int i = 0; i < 3; i++) {
        static struct heard h;
        int fd = dial_server();

        h.len = 0;
        say(fd, "POST /post-only HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n");
        say_bytes(fd, body, sizeof body);
        hear(fd, &h, "hello");
        wait_for(&fix.end_count, (unsigned)i + 1);
        run_on_loop(count_exchanges, &(size_t){0}); /* behind what ends the exchange */
        close(fd);
    }
    stop_server();
    ck_assert_uint_eq(memory.reserved, 0);
    ck_assert_uint_eq(memory.filled, 0);
    ck_assert_uint_eq(memory.refused, 0);
}
END_TEST

START_TEST(a_body_of_unknown_length_is_refused_where_it_does_not_fit)
{
    static char chunk[1 << 16];
    struct heard h = {0};

    start_with_room(3 << 20);
    memset(chunk, 'x', sizeof chunk);
    int fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 64 && !readable_within(fd, 0); i++) {
        if (send(fd, "10000\r\n", 7, MSG_NOSIGNAL) < 0 ||
            send(fd, chunk, sizeof chunk, MSG_NOSIGNAL) < 0 ||
            send(fd, "\r\n", 2, MSG_NOSIGNAL) < 0)
            break; /* refused by now */
    }
    hear(fd, &h, "\r\n\r\n");
    ck_assert_msg(strncmp(h.text, "HTTP/1.1 503 ", 13) == 0, "%s", h.text);
    ck_assert_ptr_nonnull(strstr(h.text, "\r\nRetry-After: 5\r\n"));
    close(fd);
    stop_server();
    ck_assert_uint_eq(memory.reserved, 0);
    ck_assert_uint_eq(memory.refused, 1);
}
END_TEST

Suite *suite_http_limits(void)
{
    Suite *suite = suite_create("http_limits");
    TCase *refusals = tcase_create("refusals"), *deadlines = tcase_create("deadlines");
    TCase *memory_tests = tcase_create("memory");
    TCase *cases[] = {refusals, deadlines, memory_tests};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], http_setup, http_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(refusals, a_head_that_can_be_read_in_two_ways_is_refused);
    tcase_add_test(refusals, an_unknown_transfer_coding_is_refused);
    tcase_add_test(refusals, a_head_without_end_is_refused);
    tcase_add_test(refusals, a_query_of_hundreds_of_parts_is_refused);
    tcase_add_test(refusals, the_rules_for_heads_hold_without_the_library);
    tcase_add_test(refusals, targets_of_every_form_are_split);
    tcase_add_test(memory_tests, a_body_that_does_not_fit_is_refused_before_it_is_read);
    tcase_add_test(memory_tests, what_a_body_had_reserved_is_free_for_the_next);
    tcase_add_test(memory_tests, a_body_of_unknown_length_is_refused_where_it_does_not_fit);
    tcase_add_test(deadlines, a_head_that_comes_a_byte_at_a_time_meets_its_deadline);
    tcase_add_test(deadlines, a_second_head_that_comes_a_byte_at_a_time_meets_its_deadline);
    tcase_add_test(deadlines, a_connection_that_says_nothing_is_closed_without_a_word);
    tcase_add_test(deadlines, an_idle_connection_outlives_the_header_deadline_but_not_its_own);
    tcase_add_test(deadlines, a_body_that_stops_coming_meets_its_deadline);
    tcase_add_test(deadlines, a_body_may_take_long_as_long_as_it_comes);
    tcase_add_test(deadlines, a_body_that_drips_meets_its_deadline_although_it_comes);
    tcase_add_test(deadlines, a_body_that_is_quick_enough_may_take_longer_than_its_deadline);
    tcase_add_test(deadlines, bytes_of_a_body_give_back_the_time_that_they_may_take_and_no_more);
    tcase_add_test(deadlines, a_client_that_leaves_within_its_request_is_let_go_at_once);
    tcase_add_test(deadlines, a_client_that_does_not_take_its_answer_is_cut_off);
    tcase_add_test(deadlines,
                   of_many_large_bodies_that_come_at_once_each_turn_of_the_loop_reads_a_few);
    tcase_add_test(deadlines,
                   of_many_clients_that_leave_within_large_bodies_each_is_let_go_at_once);
    return suite;
}
