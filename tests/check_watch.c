/*
 * What people and machines that watch the daemon are told: whether it is ready, what is under way,
 * a line of the log for each request, and whose trace that belongs to.
 */
#include "server/watch/trace.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/daemon.h"
#include "tests/support/origin.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- traceparent ------------------------------------------------------------------------------- */

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

START_TEST(a_trace_id_is_read)
{
    static const char *const good[] = {
        "00-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-ff",
        "cc-" TRACE "-" PARENT "-01",
        "cc-" TRACE "-" PARENT "-01-what.the-future-will-be-like",
    };
    char id[TRACE_ID_SIZE];

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(trace_id_parse(bytes_cstr(good[i]), id), "%s", good[i]);
        ck_assert_str_eq(id, TRACE);
    }
}
END_TEST

START_TEST(what_is_no_traceparent_gives_no_trace_id)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-01-",
        "00-" TRACE "-" PARENT "-01-more",
        "cc-" TRACE "-" PARENT "-01.more",
        "ff-" TRACE "-" PARENT "-01",
        "0G-" TRACE "-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-" TRACE "-" PARENT "-0x",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "00-4bf92f3577b34da6a3ce929d0e0e47\n6-" PARENT "-01",
    };
    char id[TRACE_ID_SIZE];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(id, sizeof id, "untouched");
        ck_assert_msg(!trace_id_parse(bytes_cstr(bad[i]), id), "%s", bad[i]);
        ck_assert_str_eq(id, "");
    }
}
END_TEST

/* -- the daemon -------------------------------------------------------------------------------- */

static struct origin *origin;
static struct daemon skimd;
static struct buffer list;

static void setup(void)
{
    static const char *const arguments[] = {"--allow-net",  "127.0.0.0/8", "--workers",  "2",
                                            "--log-level",  "info",        "--grace-ms", "60000",
                                            "--access-log", "on",          NULL};

    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
    daemon_start(&skimd, arguments);
}

static void teardown(void)
{
    if (skimd.pid)
        ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin = origin_stop(origin);
    buffer_free(&list);
}

static void add(const char *path)
{
    buffer_printf(&list, "%s%s\n", origin_url(origin), path);
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(skimd.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* All that comes on the connection until it is closed; NUL-terminated. */
static void hear_all(int fd, struct buffer *ret)
{
    read_until(fd, ret, "there is no such text");
    buffer_byte(ret, '\0');
}

static json_t *ask(const char *path)
{
    struct reply a;
    json_error_t error;

    daemon_request(&skimd, "GET", path, NULL, bytes_of(NULL, 0), &a);
    ck_assert_int_eq(a.status, 200);
    ck_assert_str_eq(a.content_type, "application/json");
    json_t *answer = json_loadb(a.body.ptr, a.body.len, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(json_is_object(answer), "%s", error.text);
    reply_free(&a);
    return answer;
}

/* "a.b.0.c": members of objects and elements of arrays. */
static const json_t *at(const json_t *value, const char *path)
{
    for (struct bytes rest = bytes_cstr(path); rest.ptr;) {
        struct bytes part = bytes_split(&rest, '.');
        char name[64];

        snprintf(name, sizeof name, "%.*s", (int)part.len, part.ptr);
        value = json_is_array(value) ? json_array_get(value, strtoul(name, NULL, 10))
                                     : json_object_get(value, name);
        ck_assert_msg(value, "there is no %s of %s", name, path);
    }
    return value;
}

static long number(const json_t *value, const char *path)
{
    ck_assert_msg(json_is_integer(at(value, path)), "%s is no integer", path);
    return (long)json_integer_value(at(value, path));
}

static const char *text(const json_t *value, const char *path)
{
    ck_assert_msg(json_is_string(at(value, path)), "%s is no text", path);
    return json_string_value(at(value, path));
}

/* -- ready or not ------------------------------------------------------------------------------ */

START_TEST(readyz_says_yes_while_batches_are_taken)
{
    json_t *answer = ask("/readyz");

    ck_assert_str_eq(text(answer, "status"), "ready");
    json_decref(answer);
}
END_TEST

START_TEST(readyz_says_no_while_the_daemon_drains_and_healthz_says_that_it_lives)
{
    struct buffer log = {0}, ready = {0}, healthy = {0}, status = {0};

    add("/hold/x");
    int batch = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    int fds[] = {dial(), dial(), dial()}; /* accepted before what is accepted behind them: */
    json_decref(ask("/readyz"));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    ck_assert(read_until(skimd.log, &log, "\"msg\":\"stopping\""));

    say(fds[0], "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    hear_all(fds[0], &ready);
    ck_assert_int_eq(strncmp(ready.ptr, "HTTP/1.1 503 ", 13), 0);
    ck_assert_ptr_nonnull(strstr(ready.ptr, "Content-Type: application/problem+json\r\n"));
    ck_assert_ptr_nonnull(strstr(ready.ptr, "\"urn:skimd:problem:shutting-down\""));
    say(fds[1], "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    hear_all(fds[1], &healthy);
    ck_assert_int_eq(strncmp(healthy.ptr, "HTTP/1.1 200 ", 13), 0);
    say(fds[2], "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    hear_all(fds[2], &status);
    ck_assert_ptr_nonnull(strstr(status.ptr, "\"state\":\"draining\""));

    origin_release(origin);
    hear_all(batch, &log);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        close(fds[i]);
    close(batch);
    ck_assert_int_eq(daemon_wait(&skimd), 0);
    skimd.pid = 0;
    buffer_free(&log);
    buffer_free(&ready);
    buffer_free(&healthy);
    buffer_free(&status);
}
END_TEST

/* -- status ------------------------------------------------------------------------------------ */

START_TEST(status_tells_of_a_daemon_that_does_nothing)
{
    json_t *s = ask("/v1/status");

    ck_assert_str_ne(text(s, "version"), "");
    ck_assert_str_eq(text(s, "state"), "serving");
    ck_assert(json_is_real(at(s, "uptime_ms")));
    ck_assert_int_eq((int)strlen(text(s, "started_at")), (int)strlen("2026-01-31T12:00:00.000Z"));
    ck_assert_int_eq(number(s, "batches.started"), 0);
    ck_assert_uint_eq(json_array_size(at(s, "batches.running")), 0);
    ck_assert_int_eq(number(s, "fetches.in_flight"), 0);
    ck_assert_int_eq(number(s, "fetches.limit"), 256);
    ck_assert_int_eq(number(s, "workers.busy"), 0);
    ck_assert_int_gt(number(s, "memory.resident_bytes"), 1 << 20);
    ck_assert_int_eq(number(s, "clients.requests"), 1); /* this one */
    json_decref(s);
}
END_TEST

START_TEST(status_tells_how_far_each_running_batch_has_come)
{
    struct buffer one = {0}, two = {0};

    add("/page/1");
    add("/reset");
    for (int i = 0; i < 10; i++)
        add("/hold/x");
    int first =
        daemon_open_scrape(&skimd, "?per_host=3&retries=0&order=completion", buffer_bytes(&list));
    ck_assert(read_until(first, &one, "\"index\":0"));
    ck_assert(read_until(first, &one, "\"index\":1"));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 3, PATIENCE_MS));
    int second = daemon_open_scrape(&skimd, "?per_host=1", buffer_bytes(&list));
    ck_assert(read_until(second, &two, "\"index\":0"));
    json_t *s = ask("/v1/status");

    ck_assert_int_eq(number(s, "batches.started"), 2);
    ck_assert_uint_eq(json_array_size(at(s, "batches.running")), 2);
    ck_assert_int_eq(number(s, "batches.running.0.number"), 1);
    ck_assert_int_eq(number(s, "batches.running.0.total"), 12);
    ck_assert_int_eq(number(s, "batches.running.0.ok"), 1);
    ck_assert_int_eq(number(s, "batches.running.0.failed"), 1);
    ck_assert_int_eq(number(s, "batches.running.0.cancelled"), 0);
    ck_assert_int_eq(number(s, "batches.running.0.pending"), 10);
    ck_assert_str_ge(text(s, "batches.running.0.started_at"), text(s, "started_at"));
    ck_assert(json_is_real(at(s, "batches.running.0.elapsed_ms")));
    ck_assert_int_eq(number(s, "batches.running.1.number"), 2);
    ck_assert_int_ge(number(s, "fetches.in_flight"), 3);
    ck_assert_int_eq(number(s, "fetches.hosts_waiting"), 1);
    json_decref(s);

    origin_release(origin);
    ck_assert(read_until(first, &one, "\"type\":\"end\""));
    ck_assert(read_until(second, &two, "\"type\":\"end\""));
    close(first);
    close(second);
    buffer_free(&one);
    buffer_free(&two);
}
END_TEST

/* -- the access log ---------------------------------------------------------------------------- */

/* The next line of the log with this message, as JSON. */
static json_t *logged(const char *message)
{
    char line[2048], wanted[64];
    json_error_t error;

    snprintf(wanted, sizeof wanted, "\"msg\":\"%s\"", message);
    do {
        size_t n = 0;
        while (n + 1 < sizeof line && read(skimd.log, line + n, 1) == 1 && line[n] != '\n')
            n++;
        line[n] = '\0';
        ck_assert_msg(n > 0, "the log ended before %s", wanted);
    } while (!strstr(line, wanted));
    json_t *parsed = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(json_is_object(parsed), "%s: %s", line, error.text);
    return parsed;
}

START_TEST(each_request_is_a_line_of_the_log)
{
    struct reply a;

    daemon_request(&skimd, "GET", "/healthz?token=secret", NULL, bytes_of(NULL, 0), &a);
    json_t *line = logged("request");

    ck_assert_str_eq(text(line, "level"), "info");
    ck_assert_str_eq(text(line, "method"), "GET");
    ck_assert_str_eq(text(line, "path"), "/healthz"); /* and no query */
    ck_assert_int_eq(number(line, "status"), 200);
    ck_assert_int_eq(number(line, "bytes"), (long)a.body.len);
    ck_assert(json_is_real(at(line, "duration_ms")));
    ck_assert_str_eq(text(line, "remote"), "127.0.0.1");
    ck_assert_ptr_null(json_object_get(line, "batch"));
    ck_assert_ptr_null(json_object_get(line, "trace_id"));
    ck_assert_ptr_null(json_object_get(line, "cut"));
    json_decref(line);
    reply_free(&a);
    daemon_request(&skimd, "PUT", "/nowhere/\"\xc3\xa4", NULL, bytes_of(NULL, 0), &a);
    line = logged("request");
    ck_assert_str_eq(text(line, "method"), "PUT");
    ck_assert_int_eq(number(line, "status"), 404);
    json_decref(line);
    reply_free(&a);
}
END_TEST

static void post_traced(const char *traceparent)
{
    struct buffer request = {0}, answer = {0};
    int fd = dial();

    buffer_printf(&request,
                  "POST /v1/scrape HTTP/1.0\r\nContent-Length: %zu\r\nTraceParent: %s\r\n\r\n%.*s",
                  list.len, traceparent, (int)list.len, list.ptr);
    buffer_byte(&request, '\0');
    say(fd, request.ptr);
    hear_all(fd, &answer);
    ck_assert_ptr_nonnull(strstr(answer.ptr, "\"type\":\"end\""));
    close(fd);
    buffer_free(&request);
    buffer_free(&answer);
}

START_TEST(a_trace_is_in_the_lines_of_its_request_and_of_its_batch)
{
    add("/page/1");
    post_traced("00-" TRACE "-" PARENT "-01");
    json_t *request = logged("request"), *batch = logged("batch");

    ck_assert_str_eq(text(request, "trace_id"), TRACE);
    ck_assert_int_eq(number(request, "batch"), 1);
    ck_assert_str_eq(text(batch, "trace_id"), TRACE);
    ck_assert_int_eq(number(batch, "batch"), 1);
    json_decref(request);
    json_decref(batch);
}
END_TEST

START_TEST(what_is_no_trace_is_not_logged)
{
    add("/page/1");
    post_traced("00-" TRACE "-" PARENT "-01-more");
    json_t *request = logged("request"), *batch = logged("batch");

    ck_assert_ptr_null(json_object_get(request, "trace_id"));
    ck_assert_ptr_null(json_object_get(batch, "trace_id"));
    json_decref(request);
    json_decref(batch);
}
END_TEST

START_TEST(a_client_that_leaves_its_stream_is_logged_as_cut)
{
    add("/hold/x");
    int fd = daemon_open_scrape(&skimd, "", buffer_bytes(&list));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    close(fd);
    json_t *line = logged("request");
    ck_assert_int_eq(number(line, "status"), 200);
    ck_assert(json_is_true(at(line, "cut")));
    ck_assert_int_eq(number(line, "batch"), 1);
    json_decref(line);
}
END_TEST

Suite *suite_watch(void)
{
    Suite *suite = suite_create("watch");
    TCase *trace = tcase_create("trace");
    TCase *daemon = tcase_create("daemon");

    tcase_add_test(trace, a_trace_id_is_read);
    tcase_add_test(trace, what_is_no_traceparent_gives_no_trace_id);
    suite_add_tcase(suite, trace);
    tcase_set_timeout(daemon, 60);
    tcase_add_checked_fixture(daemon, setup, teardown);
    tcase_add_test(daemon, readyz_says_yes_while_batches_are_taken);
    tcase_add_test(daemon, readyz_says_no_while_the_daemon_drains_and_healthz_says_that_it_lives);
    tcase_add_test(daemon, status_tells_of_a_daemon_that_does_nothing);
    tcase_add_test(daemon, status_tells_how_far_each_running_batch_has_come);
    tcase_add_test(daemon, each_request_is_a_line_of_the_log);
    tcase_add_test(daemon, a_trace_is_in_the_lines_of_its_request_and_of_its_batch);
    tcase_add_test(daemon, what_is_no_trace_is_not_logged);
    tcase_add_test(daemon, a_client_that_leaves_its_stream_is_logged_as_cut);
    suite_add_tcase(suite, daemon);
    return suite;
}
