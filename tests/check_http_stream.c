/* The HTTP server's streams, clients that leave, and what its end means to all that is open. */
#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/http_fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- streams ----------------------------------------------------------------------------------- */

static int open_stream(struct heard *h)
{
    int fd = dial_server();

    say(fd, GET("/stream"));
    hear(fd, h, "\r\n\r\n");
    return fd;
}

START_TEST(a_stream_delivers_each_record_as_it_is_written)
{
    struct heard h = {0};

    start_server();
    int fd = open_stream(&h); /* its head comes before there is a record */
    ck_assert_ptr_nonnull(strstr(h.text, "Transfer-Encoding: chunked\r\n"));
    ck_assert_ptr_nonnull(strstr(h.text, "X-Accel-Buffering: no\r\n"));
    ck_assert_ptr_nonnull(strstr(h.text, "Cache-Control: no-store\r\n"));
    run_on_loop(write_kept, "one\n");
    hear(fd, &h, "4\r\none\n\r\n");
    run_on_loop(write_kept, "two\n");
    hear(fd, &h, "4\r\ntwo\n\r\n");
    run_on_loop(end_kept, NULL);
    hear(fd, &h, "\r\n0\r\n\r\n");
    say(fd, GET("/"));
    hear(fd, &h, "hello\n");
    ck_assert_uint_eq(fix.gone_count, 0);
    close(fd);
}
END_TEST

static void write_two(void *arg)
{
    write_kept(arg);
    write_kept(arg);
}

START_TEST(writes_of_one_turn_go_out_together)
{
    struct heard h = {0};

    start_server();
    int fd = open_stream(&h);
    run_on_loop(write_two, "abcd");
    hear(fd, &h, "8\r\nabcdabcd\r\n");
    run_on_loop(end_kept, NULL);
    hear(fd, &h, "\r\n0\r\n\r\n");
    close(fd);
}
END_TEST

START_TEST(a_stream_to_an_http_1_0_client_ends_with_the_connection)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    hear(fd, &h, "\r\n\r\n");
    run_on_loop(write_kept, "one\n");
    hear(fd, &h, "\r\n\r\none\n");
    run_on_loop(end_kept, NULL);
    hear_end(fd, &h);
    ck_assert_ptr_null(strstr(h.text, "chunked"));
    close(fd);
}
END_TEST

START_TEST(a_stream_asked_for_by_head_is_gone_at_once)
{
    struct heard h = {0};

    start_server();
    int fd = dial_server();
    say(fd, "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    hear(fd, &h, "\r\n\r\n");
    wait_for(&fix.gone_count, 1);
    close(fd);
}
END_TEST

struct filling {
    size_t written;
    future *room;
};

/* What stands at a place of the stream. */
static char pattern(size_t at)
{
    return (char)(at % 251);
}

static void write_block(void *arg)
{
    static char block[16 << 10];
    struct filling *filling = arg;

    for (size_t i = 0; i < sizeof block; i++)
        block[i] = pattern(filling->written + i);
    exchange_write(fix.kept, bytes_of(block, sizeof block));
    filling->written += sizeof block;
    filling->room = exchange_room(fix.kept);
}

/* Reads what is there of the pattern from `at` on; how many bytes. */
static size_t read_pattern(int fd, size_t at)
{
    static char sink[1 << 16];
    ssize_t n = recv(fd, sink, sizeof sink, 0);

    ck_assert_int_gt(n, 0);
    for (size_t i = 0; i < (size_t)n; i++)
        if (sink[i] != pattern(at + i))
            ck_abort_msg("byte %zu is wrong", at + i);
    return (size_t)n;
}

/* Writes until the stream has had no room for 300 ms; gives the future that waits for it. */
static future *fill(size_t *ret_written)
{
    struct filling filling = {0};

    for (;;) {
        run_on_loop(write_block, &filling);
        int rc = future_wait(filling.room, clock_after_ms(clock_now_ns(), 300));
        if (rc == -ETIMEDOUT)
            break;
        ck_assert(future_ok(filling.room));
        future_drop(filling.room);
        ck_assert_uint_lt(filling.written, 256 << 20);
    }
    *ret_written = filling.written;
    return filling.room;
}

/* Opens a stream that is not chunked, so that what is read is what was written. */
static int open_plain_stream(void)
{
    char head[1024] = "";
    int fd = dial_server();

    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    for (size_t i = 0; !strstr(head, "\r\n\r\n"); i++) {
        ck_assert_uint_lt(i, sizeof head - 1);
        ck_assert_int_eq(recv(fd, head + i, 1, 0), 1);
    }
    return fd;
}

START_TEST(a_slow_reader_holds_room_until_it_reads)
{
    size_t written, got = 0;

    start_server();
    int fd = open_plain_stream();
    future *room = fill(&written);
    while (!future_settled(room))
        got += read_pattern(fd, got);
    ck_assert(future_ok(room));
    ck_assert_uint_lt(got, written);
    future_drop(room);
    run_on_loop(end_kept, NULL);
    close(fd);
}
END_TEST

START_TEST(what_was_written_before_the_end_reaches_even_a_client_that_half_closes)
{
    size_t written, got = 0;
    char last;

    start_server();
    int fd = open_plain_stream();
    future *room = fill(&written);
    run_on_loop(end_kept, NULL);
    shutdown(fd, SHUT_WR);
    while (got < written)
        got += read_pattern(fd, got);
    ck_assert_int_eq(recv(fd, &last, 1, 0), 0);
    future_drop(room);
    close(fd);
}
END_TEST

START_TEST(who_waits_for_room_of_an_ended_stream_is_told_when_it_is_lost)
{
    size_t written;

    fix.options.send_timeout_ms = 100;
    start_server();
    int fd = open_plain_stream();
    future *room = fill(&written);
    run_on_loop(end_kept, NULL); /* and nobody reads */
    ck_assert_int_eq(future_wait(room, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    ck_assert_int_eq(future_error(room), -EPIPE);
    future_drop(room);
    close(fd);
}
END_TEST

static void assert_gone_within_100_ms(uint64_t since_ns)
{
    wait_for(&fix.gone_count, 1);
    ck_assert_uint_lt(fix.gone_at_ns - since_ns, 100 * NS_PER_MS);
}

START_TEST(a_client_that_leaves_a_silent_stream_is_noticed)
{
    struct heard h = {0};

    start_server();
    int fd = open_stream(&h);
    run_on_loop(write_kept, "one\n");
    hear(fd, &h, "one\n");
    uint64_t now_ns = clock_now_ns();
    close(fd);
    assert_gone_within_100_ms(now_ns);
}
END_TEST

START_TEST(a_client_that_half_closes_is_taken_for_gone)
{
    struct heard h = {0};

    start_server();
    int fd = open_stream(&h);
    uint64_t now_ns = clock_now_ns();
    shutdown(fd, SHUT_WR);
    assert_gone_within_100_ms(now_ns);
    hear_end(fd, &h);
    close(fd);
}
END_TEST

START_TEST(a_client_that_resets_is_noticed)
{
    struct heard h = {0};
    struct linger linger = {.l_onoff = 1};

    start_server();
    int fd = open_stream(&h);
    uint64_t now_ns = clock_now_ns();
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
    assert_gone_within_100_ms(now_ns);
}
END_TEST

START_TEST(a_client_that_leaves_in_the_middle_of_sending_is_noticed)
{
    struct heard h = {0};
    size_t written;

    start_server();
    int fd = open_stream(&h);
    future *room = fill(&written);
    uint64_t now_ns = clock_now_ns();
    if (_i == 0)
        close(fd);
    else
        shutdown(fd, SHUT_WR);
    assert_gone_within_100_ms(now_ns);
    ck_assert_int_eq(future_wait(room, clock_after_ms(now_ns, PATIENCE_MS)), 0);
    ck_assert_int_eq(future_error(room), -EPIPE);
    future_drop(room);
    if (_i != 0)
        close(fd);
}
END_TEST

static void stream_kept(void *arg)
{
    struct filling *filling = arg;

    exchange_stream(fix.kept, 200, "text/plain", count_gone, NULL);
    exchange_write(fix.kept, BYTES("nobody reads this"));
    filling->room = exchange_room(fix.kept);
}

START_TEST(a_stream_begun_for_a_client_that_has_left_is_gone)
{
    struct filling filling = {0};

    start_server();
    int fd = dial_server();
    say(fd, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    close(fd);
    run_on_loop(stream_kept, &filling);
    wait_for(&fix.gone_count, 1);
    future_drop(filling.room);
}
END_TEST

START_TEST(an_answer_for_a_client_that_has_left_is_dropped)
{
    size_t open = 1;

    start_server();
    int fd = dial_server();
    say(fd, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    close(fd);
    run_on_loop(respond_kept, "nobody reads this");
    for (uint64_t begin = clock_now_ns(); open > 0; run_on_loop(count_exchanges, &open))
        ck_assert_uint_lt(clock_now_ns() - begin, PATIENCE_MS * NS_PER_MS);
}
END_TEST

static void end_and_leave(void *arg)
{
    close(*(int *)arg);
    write_kept("last\n");
    exchange_end(fix.kept);
}

START_TEST(gone_is_not_called_after_the_end)
{
    struct heard h = {0};
    size_t open = 1;

    start_server();
    int fd = open_stream(&h);
    run_on_loop(end_and_leave, &fd);
    for (uint64_t begin = clock_now_ns(); open > 0; run_on_loop(count_exchanges, &open))
        ck_assert_uint_lt(clock_now_ns() - begin, PATIENCE_MS * NS_PER_MS);
    ck_assert_uint_eq(fix.gone_count, 0);
}
END_TEST

/* -- the end ----------------------------------------------------------------------------------- */

static void drain(void *arg)
{
    http_drain(fix.server);
    *(future **)arg = http_idle(fix.server);
}

START_TEST(draining_closes_the_idle_and_lets_the_others_finish)
{
    struct heard idle = {0}, busy = {0}, late = {0}, new = {0};
    future *done;

    start_server();
    int idle_fd = dial_server(), pending_fd = dial_server();
    say(idle_fd, GET("/"));
    hear(idle_fd, &idle, "hello\n");
    say(pending_fd, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    struct exchange *pending = fix.kept;
    int busy_fd = open_stream(&busy);

    run_on_loop(drain, &done);
    hear_end(idle_fd, &idle);
    int new_fd = dial_server(); /* one that asks for the daemon's health, say */
    say(new_fd, GET("/"));
    hear_end(new_fd, &new);
    ck_assert_ptr_nonnull(strstr(new.text, "Connection: close\r\n"));
    ck_assert(!future_settled(done));
    run_on_loop(write_kept, "still here\n");
    hear(busy_fd, &busy, "still here\n");
    run_on_loop(end_kept, NULL);
    hear_end(busy_fd, &busy);
    ck_assert_ptr_nonnull(strstr(busy.text, "\r\n0\r\n\r\n"));

    ck_assert(!future_settled(done));
    fix.kept = pending;
    run_on_loop(respond_kept, "done");
    hear_end(pending_fd, &late);
    ck_assert_ptr_nonnull(strstr(late.text, "Connection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(late.text, "\r\n\r\ndone"));
    ck_assert_int_eq(future_wait(done, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    ck_assert(future_ok(done));
    future_drop(done);
    close(idle_fd);
    close(pending_fd);
    close(busy_fd);
    close(new_fd);
}
END_TEST

START_TEST(stopping_tells_open_streams_and_frees_all)
{
    struct heard first = {0}, second = {0};
    size_t written;

    start_server();
    int silent = open_stream(&first), waiting = dial_server(), half = dial_server();
    say(waiting, GET("/pending"));
    wait_for(&fix.kept_count, 2);
    struct exchange *pending = fix.kept;
    say(half, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    int sending = open_stream(&second);
    future *room = fill(&written);

    stop_server();
    wait_for(&fix.gone_count, 2);
    ck_assert_int_eq(future_error(room), -EPIPE);
    future_drop(room);
    hear_end(silent, &first);
    fix.kept = pending;
    run_on_loop(respond_kept, "too late");
    close(silent);
    close(waiting);
    close(half);
    close(sending);
}
END_TEST

Suite *suite_http_stream(void)
{
    Suite *suite = suite_create("http_stream");
    TCase *streams = tcase_create("streams"), *end = tcase_create("end");
    TCase *cases[] = {streams, end};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], http_setup, http_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(streams, a_stream_delivers_each_record_as_it_is_written);
    tcase_add_test(streams, writes_of_one_turn_go_out_together);
    tcase_add_test(streams, a_stream_to_an_http_1_0_client_ends_with_the_connection);
    tcase_add_test(streams, a_stream_asked_for_by_head_is_gone_at_once);
    tcase_add_test(streams, a_slow_reader_holds_room_until_it_reads);
    tcase_add_test(streams, what_was_written_before_the_end_reaches_even_a_client_that_half_closes);
    tcase_add_test(streams, who_waits_for_room_of_an_ended_stream_is_told_when_it_is_lost);
    tcase_add_test(streams, a_client_that_leaves_a_silent_stream_is_noticed);
    tcase_add_test(streams, a_client_that_half_closes_is_taken_for_gone);
    tcase_add_test(streams, a_client_that_resets_is_noticed);
    tcase_add_loop_test(streams, a_client_that_leaves_in_the_middle_of_sending_is_noticed, 0, 2);
    tcase_add_test(streams, a_stream_begun_for_a_client_that_has_left_is_gone);
    tcase_add_test(streams, an_answer_for_a_client_that_has_left_is_dropped);
    tcase_add_test(streams, gone_is_not_called_after_the_end);
    tcase_add_test(end, draining_closes_the_idle_and_lets_the_others_finish);
    tcase_add_test(end, stopping_tells_open_streams_and_frees_all);
    return suite;
}
