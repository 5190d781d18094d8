/* Batches as server-sent events: who gets them, what they look like, and what is sent in silence.
 */
#include "core/async/async.h"
#include "core/base/clock.h"
#include "server/batch/sse.h"
#include "server/batch/stream.h"
#include "tests/check.h"
#include "tests/support/http_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- who asks for them ------------------------------------------------------------------------- */

static const struct {
    const char *accept;
    bool wanted;
} accepts[] = {
    {"text/event-stream", true},
    {"TEXT/Event-Stream", true},
    {"text/html, text/event-stream;q=0.1", true},
    {" text/event-stream ; charset=utf-8 ; q=0.001 ,*/*", true},
    {"application/x-ndjson;q=0.5, text/event-stream;q=0.501", true},
    {"", false},
    {"*/*", false},
    {"text/*", false},
    {"text/event-streams", false},
    {"text/event-stream;q=0", false},
    {"text/event-stream;q=0.000", false},
    {"text/event-stream;q=2", false},
    {"text/event-stream;q=0.0001", false},
    {"text/event-stream;q=x", false},
    {"text/event-stream;q=", false},
    {"application/x-ndjson, text/event-stream", false},
    {"application/x-ndjson;q=0.9, text/event-stream;q=0.5", false},
};

START_TEST(who_names_them_in_accept_gets_them)
{
    ck_assert_msg(sse_is_wanted(bytes_cstr(accepts[_i].accept)) == accepts[_i].wanted, "%s",
                  accepts[_i].accept);
}
END_TEST

/* -- a stream of one record, which comes when the test says so --------------------------------- */

static struct {
    struct stream_options options;
    struct stream *stream; /* loop */
    unsigned gone;
} batch;

static void on_gone(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&fix.lock);
    batch.gone++;
    pthread_cond_broadcast(&fix.changed);
    pthread_mutex_unlock(&fix.lock);
}

static void write_missing(void *arg, size_t index, struct buffer *out)
{
    (void)arg;
    buffer_printf(out, "{\"missing\":%zu}\n", index);
}

static bool accept_all(struct exchange *x, void *arg, struct problem *ret_problem)
{
    (void)x;
    (void)arg;
    (void)ret_problem;
    return true;
}

static void begin_stream(struct exchange *x, void *arg)
{
    (void)arg;
    batch.stream = stream_new(x, &batch.options);
    ck_assert_ptr_nonnull(batch.stream);
}

static void start_application(void *arg)
{
    static const struct http_application application = {.accepts = accept_all,
                                                        .handle = begin_stream};
    const char *message = NULL;

    (void)arg;
    ck_assert_int_eq(http_start(&fix.options, &application, &fix.server, &message), 0);
    fix.port = (uint16_t)strtoul(strrchr(http_address(fix.server), ':') + 1, NULL, 10);
}

/* Opens the stream of two records; its head has come. */
static int open_stream(struct heard *h, bool as_events, unsigned heartbeat_ms)
{
    batch.gone = 0;
    batch.options = (struct stream_options){.total = 2,
                                            .window = 2,
                                            .order = ORDER_COMPLETION,
                                            .as_events = as_events,
                                            .heartbeat_ms = heartbeat_ms,
                                            .write_missing = write_missing,
                                            .gone = on_gone};
    run_on_loop(start_application, NULL);
    int fd = dial_server();
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    hear(fd, h, "\r\n\r\n");
    return fd;
}

static void emit(void *arg)
{
    struct buffer line = {0};

    buffer_printf(&line, "{\"n\":%s}\n", (const char *)arg);
    future_drop(stream_emit(batch.stream, 0, RECORD_OK, &line));
}

static void finish(void *arg)
{
    *(future **)arg = stream_finish(batch.stream);
}

static void free_stream(void *arg)
{
    (void)arg;
    batch.stream = stream_free(batch.stream);
}

static void finish_stream(void)
{
    future *finished;

    run_on_loop(finish, &finished);
    ck_assert_int_eq(future_wait(finished, CLOCK_NEVER), 0);
    future_drop(finished);
    run_on_loop(free_stream, NULL);
}

START_TEST(a_record_is_an_event)
{
    struct heard h = {0};
    char one[] = "1";
    int fd = open_stream(&h, true, 0);

    ck_assert_ptr_nonnull(strstr(h.text, "Content-Type: text/event-stream\r\n"));
    ck_assert_ptr_nonnull(strstr(h.text, "Cache-Control: no-store\r\n"));
    run_on_loop(emit, one);
    hear(fd, &h, "\r\n\r\ndata: {\"n\":1}\n\n");
    finish_stream();
    hear_end(fd, &h);
    ck_assert_ptr_nonnull(
        strstr(h.text, "\n\ndata: {\"missing\":1}\n\ndata: {\"type\":\"end\",\"total\":2"));
    ck_assert_str_eq(h.text + h.len - 3, "}\n\n");
    close(fd);
}
END_TEST

START_TEST(silence_is_broken_by_comments)
{
    struct heard h = {0};
    char one[] = "1";
    int fd = open_stream(&h, true, 20);

    hear(fd, &h, "\r\n\r\n:\n\n:\n\n");
    run_on_loop(emit, one);
    hear(fd, &h, ":\n\ndata: {\"n\":1}\n\n");
    hear(fd, &h, "data: {\"n\":1}\n\n:\n\n");
    finish_stream();
    hear_end(fd, &h);
    ck_assert_ptr_nonnull(strstr(h.text, "\"type\":\"end\""));
    close(fd);
}
END_TEST

START_TEST(ndjson_has_neither_frames_nor_comments)
{
    struct heard h = {0};
    char one[] = "1";
    int fd = open_stream(&h, false, 1);

    ck_assert_ptr_nonnull(strstr(h.text, "Content-Type: application/x-ndjson\r\n"));
    ck_assert(!readable_within(fd, 30));
    run_on_loop(emit, one);
    hear(fd, &h, "\r\n\r\n{\"n\":1}\n");
    finish_stream();
    hear_end(fd, &h);
    ck_assert_ptr_null(strstr(h.text, "data:"));
    close(fd);
}
END_TEST

static void do_nothing(void *arg)
{
    (void)arg;
}

START_TEST(a_reader_who_left_in_silence_is_sent_no_more)
{
    struct heard h = {0};
    int fd = open_stream(&h, true, 2);

    hear(fd, &h, ":\n\n:\n\n");
    close(fd);
    wait_for(&batch.gone, 1);
    for (uint64_t end = clock_after_ms(clock_now_ns(), 20); clock_now_ns() < end;)
        run_on_loop(do_nothing, NULL); /* the loop turns, and its timers fire */
    finish_stream();
}
END_TEST

Suite *suite_sse(void)
{
    Suite *s = suite_create("sse");
    TCase *accept = tcase_create("accept"), *tc = tcase_create("stream");

    tcase_add_loop_test(accept, who_names_them_in_accept_gets_them, 0,
                        (int)(sizeof accepts / sizeof accepts[0]));
    suite_add_tcase(s, accept);
    tcase_add_checked_fixture(tc, http_setup, http_teardown);
    tcase_add_test(tc, a_record_is_an_event);
    tcase_add_test(tc, silence_is_broken_by_comments);
    tcase_add_test(tc, ndjson_has_neither_frames_nor_comments);
    tcase_add_test(tc, a_reader_who_left_in_silence_is_sent_no_more);
    suite_add_tcase(s, tc);
    return s;
}
