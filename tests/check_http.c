/* The HTTP server: whole answers, and its start. */
#include "tests/check.h"
#include "tests/support/http_fixture.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- whole answers ----------------------------------------------------------------------------- */

START_TEST(requests_share_a_kept_alive_connection)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    for (int i = 0; i < 3; i++) {
        h = (struct heard){0};
        say(fd, GET("/"));
        hear(fd, &h, "hello\n");
        ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 200 ", 13), 0);
        ck_assert_ptr_nonnull(strstr(h.text, "X-Content-Type-Options: nosniff\r\n"));
        ck_assert_ptr_nonnull(strstr(h.text, "\r\nDate: "));
    }
    close(fd);
}
END_TEST

START_TEST(pipelined_requests_are_answered_in_order)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "GET /request?1 HTTP/1.1\r\nHost: h\r\n\r\nGET /request?2 HTTP/1.1\r\nHost: h\r\n\r\n"
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    hear(fd, &h, "\r\n\r\nabc");
    ck_assert_int_eq(occurrences(h.text, "HTTP/1.1 200 "), 3);
    ck_assert(strstr(h.text, "<GET|1|>") < strstr(h.text, "<GET|2|>"));
    ck_assert(strstr(h.text, "<GET|2|>") < strstr(h.text, "\r\n\r\nabc"));
    close(fd);
}
END_TEST

/* What libmicrohttpd 0.9 reads as a short or empty body, while others see a longer one. */
START_TEST(what_may_be_part_of_a_body_is_never_taken_for_a_request)
{
    static const char *const heads[] = {
        "Content-Length: 1\r\n 55\r\n\r\n",
        "Content-Length:\r\n\t55\r\n\r\n",
        ": x\r\n",
    };
    char request[256];

    start_server();
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct heard h = {0};
        int fd = dial_server();
        snprintf(request, sizeof request,
                 "POST /echo HTTP/1.1\r\nHost: h\r\n%sGET /request?2 HTTP/1.1\r\nHost: h\r\n\r\n",
                 heads[i]);
        say(fd, request);
        hear_end(fd, &h);
        ck_assert_msg(occurrences(h.text, "HTTP/1.1 ") <= 1, "%zu: %s", i, h.text);
        close(fd);
    }
}
END_TEST

START_TEST(the_application_sees_the_target_as_it_was_sent)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "GET http://h:1/request?a=%20b&c HTTP/1.1\r\nHost: h:1\r\nUser-Agent: me\r\n\r\n");
    hear(fd, &h, "<GET|a=%20b&c|me>");
    close(fd);
}
END_TEST

START_TEST(a_body_comes_by_length_or_in_chunks)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12");
    say(fd, "345");
    hear(fd, &h, "\r\n\r\n12345");
    ck_assert_ptr_nonnull(strstr(h.text, "X-Echo: yes\r\n"));
    close(fd);
    h = (struct heard){0};
    fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    say(fd, "2\r\nde\r\n0\r\nTrailer: x\r\n\r\n");
    hear(fd, &h, "\r\n\r\nabcde");
    close(fd);
}
END_TEST

START_TEST(a_client_that_expects_100_continue_is_told_to_go_on)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    hear(fd, &h, "HTTP/1.1 100 Continue\r\n\r\n");
    ck_assert_ptr_null(strstr(h.text, "200"));
    say(fd, "body");
    hear(fd, &h, "\r\n\r\nbody");
    close(fd);
}
END_TEST

START_TEST(a_refusal_spares_the_client_the_sending_of_the_body)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
            "Expect: 100-continue\r\n\r\n");
    hear_end(fd, &h);
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 404 ", 13), 0);
    ck_assert_ptr_nonnull(strstr(h.text, "Connection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(h.text, "Content-Type: application/problem+json\r\n"));
    close(fd);
}
END_TEST

START_TEST(a_refusal_without_a_body_keeps_the_connection)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, GET("/post-only"));
    hear(fd, &h, "POST it.\"}\n");
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 405 ", 13), 0);
    ck_assert_ptr_nonnull(strstr(h.text, "Allow: POST\r\n"));
    say(fd, GET("/"));
    hear(fd, &h, "hello\n");
    close(fd);
}
END_TEST

START_TEST(a_body_above_the_limit_is_refused_before_it_is_sent)
{
    start_server();
    is_refused("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n", "413");
    is_refused("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
               "413");
}
END_TEST

START_TEST(a_client_in_the_middle_of_a_body_above_the_limit_still_reads_the_refusal)
{
    static char chunk[6 + 0x4000 + 2];
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    memset(chunk, 'x', sizeof chunk);
    memcpy(chunk, "4000\r\n", 6);
    memcpy(chunk + sizeof chunk - 2, "\r\n", 2);
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (!readable_within(fd, 0))
        say_bytes(fd, chunk, sizeof chunk);
    for (int i = 0; i < 40; i++) /* a client that looks for an answer only later */
        say_bytes(fd, chunk, sizeof chunk);
    hear_end(fd, &h);
    ck_assert_int_eq(recv(fd, h.text, 1, 0), 0); /* an end, no reset */
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 413 ", 13), 0);
    ck_assert_ptr_nonnull(strstr(h.text, "\"status\":413"));
    close(fd);
}
END_TEST

START_TEST(head_gets_the_head_of_get)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    say(fd, GET("/request"));
    hear(fd, &h, "<GET||>");
    ck_assert_ptr_nonnull(strstr(h.text, "Content-Length: 6\r\n"));
    ck_assert_ptr_null(strstr(h.text, "hello"));
    close(fd);
}
END_TEST

START_TEST(an_http_1_0_client_needs_no_host_and_is_closed)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    hear_end(fd, &h);
    ck_assert_ptr_nonnull(strstr(h.text, "\r\n\r\nhello\n"));
    close(fd);
}
END_TEST

START_TEST(an_answer_may_come_later)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    ck_assert_uint_eq(http_exchanges(fix.server), 1);
    run_on_loop(respond_kept, "at last");
    hear(fd, &h, "at last");
    say(fd, GET("/"));
    hear(fd, &h, "hello\n");
    close(fd);
}
END_TEST

START_TEST(an_answer_reaches_a_client_that_has_half_closed)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, GET("/pending"));
    shutdown(fd, SHUT_WR);
    wait_for(&fix.kept_count, 1);
    run_on_loop(respond_kept, "at last");
    hear_end(fd, &h);
    ck_assert_ptr_nonnull(strstr(h.text, "at last"));
    close(fd);
}
END_TEST

START_TEST(five_hundred_connections_are_served_at_once)
{
    enum { CONNECTIONS = 500 };
    static int fds[CONNECTIONS];
    struct rlimit limit;
    static struct heard h;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    start_server();
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial_server();
        ck_assert_int_ge(fds[i], 0);
        say(fds[i], "GET / HTTP/1.1\r\nHo");
    }
    for (int i = 0; i < CONNECTIONS; i++)
        say(fds[i], "st: h\r\n\r\n");
    for (int i = 0; i < CONNECTIONS; i++) {
        h = (struct heard){0};
        hear(fds[i], &h, "hello\n");
    }
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
}
END_TEST

START_TEST(connections_above_the_limit_wait_for_their_turn)
{
    struct heard h = {0};

    fix.options.max_connections = 1;
    start_server();
    int first = dial_server(), second = dial_server();
    say(first, GET("/"));
    hear(first, &h, "hello\n");
    say(second, GET("/"));
    ck_assert(!readable_within(second, 100));
    close(first);
    h = (struct heard){0};
    hear(second, &h, "hello\n");
    close(second);
}
END_TEST

static void count_connections(void *arg)
{
    *(size_t *)arg = http_connections(fix.server);
}

static void wait_for_connections(size_t count)
{
    for (size_t now = 0; now < count;)
        run_on_loop(count_connections, &now);
}

START_TEST(who_waits_longest_without_a_request_makes_room_for_others)
{
    enum { MOST = 32, ROOM = 2 };
    int silent[MOST - ROOM], fd;
    struct heard h = {0};

    fix.options.max_connections = MOST;
    start_server();
    int busy = dial_server();
    say(busy, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    for (int i = 0; i < MOST - ROOM; i++) {
        silent[i] = dial_server();
        say(silent[i], "GET / HTTP/1.1\r\nHost: slo");
    }
    for (int i = 0; i < MOST; i++) {
        fd = dial_server();
        h = (struct heard){0};
        say(fd, GET("/"));
        hear(fd, &h, "hello\n");
        close(fd);
    }
    h = (struct heard){0};
    hear_end(silent[0], &h);
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 408 ", 13), 0);
    say(silent[MOST - ROOM - 1], "w\r\n\r\n");
    h = (struct heard){0};
    hear(silent[MOST - ROOM - 1], &h, "hello\n");
    run_on_loop(respond_kept, "at last");
    h = (struct heard){0};
    hear(busy, &h, "at last");
    for (int i = 0; i < MOST - ROOM; i++)
        close(silent[i]);
    close(busy);
}
END_TEST

START_TEST(who_keeps_a_connection_after_the_answer_makes_room_for_those_that_wait)
{
    enum { MOST = 32 };
    int fds[MOST];
    struct exchange *kept[MOST];
    struct heard h = {0};

    fix.options.max_connections = MOST;
    start_server();
    for (unsigned i = 0; i < MOST; i++) {
        fds[i] = dial_server();
        say(fds[i], GET("/pending"));
        wait_for(&fix.kept_count, i + 1);
        kept[i] = fix.kept;
    }
    int fd = dial_server();
    say(fd, GET("/"));
    for (int i = 0; i < MOST; i++) {
        fix.kept = kept[i];
        run_on_loop(respond_kept, "at last");
        h = (struct heard){0};
        hear(fds[i], &h, "at last");
    }
    ck_assert(readable_within(fd, PATIENCE_MS / 10));
    h = (struct heard){0};
    hear(fd, &h, "hello\n");
    say(fds[MOST - 1], GET("/")); /* no more were closed than that takes */
    h = (struct heard){0};
    hear(fds[MOST - 1], &h, "hello\n");
    for (int i = 0; i < MOST; i++)
        close(fds[i]);
    close(fd);
}
END_TEST

struct late {
    int fd, next;
};

/* On the loop: what both do is there when it looks. */
static void end_head_and_dial(void *arg)
{
    struct late *late = arg;

    say(late->fd, "w\r\n\r\n");
    late->next = dial_server();
}

START_TEST(what_was_refused_for_its_time_is_not_carried_out_although_the_rest_had_come)
{
    enum { MOST = 32, ROOM = 2 };
    int silent[MOST - ROOM];
    struct heard h = {0};

    fix.options.max_connections = MOST;
    start_server();
    for (int i = 0; i < MOST - ROOM; i++) {
        silent[i] = dial_server();
        say(silent[i], "GET /pending HTTP/1.1\r\nHost: slo");
        wait_for_connections((size_t)i + 1);
    }
    ck_assert(!readable_within(silent[0], 300)); /* a head may be on its way for so long */
    struct late late = {.fd = silent[0]};
    run_on_loop(end_head_and_dial, &late);
    hear_end(silent[0], &h);
    ck_assert_int_eq(strncmp(h.text, "HTTP/1.1 408 ", 13), 0);
    ck_assert_uint_eq(fix.kept_count, 0);
    for (int i = 0; i < MOST - ROOM; i++)
        close(silent[i]);
    close(late.next);
}
END_TEST

/* -- the start --------------------------------------------------------------------------------- */

static void start_badly(void *arg)
{
    const char *message = NULL;
    struct http_server *none = NULL;

    *(int *)arg = http_start(&fix.options, &test_application, &none, &message);
    ck_assert_ptr_null(none);
    ck_assert_ptr_nonnull(message);
}

START_TEST(an_address_in_use_is_told)
{
    int rc = 0;

    start_server();
    ((struct sockaddr_in *)&fix.options.listen)->sin_port = htons(fix.port);
    run_on_loop(start_badly, &rc);
    ck_assert_int_eq(rc, -EADDRINUSE);
}
END_TEST

/* -- how exchanges end ------------------------------------------------------------------------- */

/* Says `request`, waits for the end of its exchange, and checks what was told of it. */
static void ends(const char *request, int status, uint64_t body_bytes)
{
    struct heard h = {0};
    unsigned before = fix.end_count;

    int fd = dial_server();
    say(fd, request);
    hear(fd, &h, "\r\n\r\n");
    wait_for(&fix.end_count, before + 1);
    ck_assert_int_eq(fix.end.status, status);
    ck_assert_uint_eq(fix.end.body_bytes, body_bytes);
    ck_assert(fix.end.is_complete);
    ck_assert_uint_lt(fix.end.duration_us, 1000000ull * PATIENCE_MS);
    close(fd);
}

START_TEST(the_application_is_told_how_each_exchange_ended)
{
    struct http_end none = {0};

    start_server();
    ends(GET("/"), 200, strlen("hello\n"));
    ends("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", 200, 0);
    ends("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 200, 3);
    fix.end = none;
    is_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400");
    wait_for(&fix.end_count, 4);
    ck_assert_int_eq(fix.end.status, 400);
    is_refused("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n", "413");
    wait_for(&fix.end_count, 5);
    ck_assert_int_eq(fix.end.status, 413);
}
END_TEST

START_TEST(a_refusal_in_the_middle_of_a_body_is_told_as_the_end)
{
    struct heard h = {0};

    fix.options.body_timeout_ms = 50;
    start_server();
    int fd = dial_server();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    hear_end(fd, &h);
    ck_assert_ptr_nonnull(strstr(h.text, "HTTP/1.1 408 "));
    wait_for(&fix.end_count, 1);
    ck_assert_int_eq(fix.end.status, 408);
    close(fd);
}
END_TEST

START_TEST(a_stream_that_is_cut_off_is_told_with_what_was_sent)
{
    static char first[] = "first\n";
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "GET /stream HTTP/1.1\r\nHost: h\r\n"
            "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-00\r\n\r\n");
    wait_for(&fix.kept_count, 1);
    run_on_loop(write_kept, first);
    hear(fd, &h, "first\n");
    close(fd);
    wait_for(&fix.end_count, 1);
    ck_assert_int_eq(fix.end.status, 200);
    ck_assert_uint_eq(fix.end.body_bytes, strlen(first));
    ck_assert(!fix.end.is_complete);
    ck_assert_uint_eq(fix.end_tag, 7);
    ck_assert_str_eq(fix.end_trace, "0123456789abcdef0123456789abcdef");
    wait_for(&fix.gone_count, 1);
}
END_TEST

START_TEST(an_exchange_without_an_answer_ends_as_if_its_client_had_left)
{
    start_server();
    int fd = dial_server();
    say(fd, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    stop_server();
    ck_assert_uint_eq(fix.end_count, 1);
    ck_assert_int_eq(fix.end.status, HTTP_CLIENT_GONE);
    ck_assert(!fix.end.is_complete);
    run_on_loop(respond_kept, "nobody hears it");
    close(fd);
}
END_TEST

Suite *suite_http(void)
{
    Suite *suite = suite_create("http");
    TCase *whole = tcase_create("whole answers"), *start = tcase_create("start");
    TCase *end = tcase_create("end");
    TCase *cases[] = {whole, start, end};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], http_setup, http_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(whole, requests_share_a_kept_alive_connection);
    tcase_add_test(whole, pipelined_requests_are_answered_in_order);
    tcase_add_test(whole, what_may_be_part_of_a_body_is_never_taken_for_a_request);
    tcase_add_test(whole, the_application_sees_the_target_as_it_was_sent);
    tcase_add_test(whole, a_body_comes_by_length_or_in_chunks);
    tcase_add_test(whole, a_client_that_expects_100_continue_is_told_to_go_on);
    tcase_add_test(whole, a_refusal_spares_the_client_the_sending_of_the_body);
    tcase_add_test(whole, a_refusal_without_a_body_keeps_the_connection);
    tcase_add_test(whole, a_body_above_the_limit_is_refused_before_it_is_sent);
    tcase_add_test(whole, a_client_in_the_middle_of_a_body_above_the_limit_still_reads_the_refusal);
    tcase_add_test(whole, head_gets_the_head_of_get);
    tcase_add_test(whole, an_http_1_0_client_needs_no_host_and_is_closed);
    tcase_add_test(whole, an_answer_may_come_later);
    tcase_add_test(whole, an_answer_reaches_a_client_that_has_half_closed);
    tcase_add_test(whole, five_hundred_connections_are_served_at_once);
    tcase_add_test(whole, connections_above_the_limit_wait_for_their_turn);
    tcase_add_test(whole, who_waits_longest_without_a_request_makes_room_for_others);
    tcase_add_test(whole,
                   what_was_refused_for_its_time_is_not_carried_out_although_the_rest_had_come);
    tcase_add_test(whole, who_keeps_a_connection_after_the_answer_makes_room_for_those_that_wait);
    tcase_add_test(start, an_address_in_use_is_told);
    tcase_add_test(end, the_application_is_told_how_each_exchange_ended);
    tcase_add_test(end, a_refusal_in_the_middle_of_a_body_is_told_as_the_end);
    tcase_add_test(end, a_stream_that_is_cut_off_is_told_with_what_was_sent);
    tcase_add_test(end, an_exchange_without_an_answer_ends_as_if_its_client_had_left);
    return suite;
}
