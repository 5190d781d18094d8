/*
 * The HTTP server, driven through raw sockets by the test's thread while it runs on the loop. The
 * application under it answers by path; what it keeps open (/pending, /stream) the tests go on with
 * by jobs on the loop.
 */
#include "core/async/async.h"
#include "core/async/loop.h"
#include "core/base/clock.h"
#include "server/http.h"
#include "server/http_head.h"
#include "server/problem.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, MAX_BODY = 100000, HIGH_WATER = 64 << 10 };

/* Shared by the test's thread and the loop: under the lock, or written before the loop knows. */
static struct fixture {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_options options;
    struct http_server *server; /* loop */
    uint16_t port;
    struct exchange *kept; /* the last one that was kept open */
    unsigned kept_count;
    unsigned gone_count;
    uint64_t gone_at_ns;
    int descriptors;
} fix;

/* -- jobs on the loop -------------------------------------------------------------------------- */

struct call {
    struct job job;
    void (*run)(void *arg);
    void *arg;
    bool done;
};

static void run_call(struct job *job)
{
    struct call *call = (struct call *)job;

    call->run(call->arg);
    pthread_mutex_lock(&fix.lock);
    call->done = true;
    pthread_cond_broadcast(&fix.changed);
    pthread_mutex_unlock(&fix.lock);
}

/* Runs `run` on the loop and waits for its end. */
static void on_loop(void (*run)(void *arg), void *arg)
{
    struct call call = {.job.run = run_call, .run = run, .arg = arg};

    loop_post(&call.job);
    pthread_mutex_lock(&fix.lock);
    while (!call.done)
        pthread_cond_wait(&fix.changed, &fix.lock);
    pthread_mutex_unlock(&fix.lock);
}

/* Waits until a counter of the fixture has come to `count`. */
static void wait_for(const unsigned *counter, unsigned count)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&fix.lock);
    while (*counter < count)
        if (pthread_cond_timedwait(&fix.changed, &fix.lock, &until) == ETIMEDOUT)
            ck_abort_msg("waited in vain for %u, it is %u", count, *counter);
    pthread_mutex_unlock(&fix.lock);
}

/* -- the application --------------------------------------------------------------------------- */

static bool accepts(struct exchange *x, void *arg, struct problem *ret_problem)
{
    (void)arg;
    if (bytes_equal(exchange_path(x), BYTES("/nowhere"))) {
        problem_set(ret_problem, PROBLEM_NOT_FOUND, NULL, "There is nothing here.");
        return false;
    }
    if (bytes_equal(exchange_path(x), BYTES("/post-only")) &&
        !bytes_equal(exchange_method(x), BYTES("POST"))) {
        problem_set(ret_problem, PROBLEM_METHOD_NOT_ALLOWED, NULL, "POST it.");
        ret_problem->allow = "POST";
        return false;
    }
    return true;
}

static void on_gone(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&fix.lock);
    fix.gone_count++;
    fix.gone_at_ns = clock_now_ns();
    pthread_cond_broadcast(&fix.changed);
    pthread_mutex_unlock(&fix.lock);
}

static void keep(struct exchange *x)
{
    pthread_mutex_lock(&fix.lock);
    fix.kept = x;
    fix.kept_count++;
    pthread_cond_broadcast(&fix.changed);
    pthread_mutex_unlock(&fix.lock);
}

static void respond_text(struct exchange *x, const char *text)
{
    struct buffer body = {0};

    buffer_text(&body, text);
    exchange_respond(x, 200, "text/plain", NULL, &body);
}

static void handle(struct exchange *x, void *arg)
{
    struct bytes path = exchange_path(x);

    (void)arg;
    if (bytes_equal(path, BYTES("/pending"))) {
        keep(x);
    } else if (bytes_equal(path, BYTES("/stream"))) {
        exchange_stream(x, 200, "application/x-ndjson", on_gone, NULL);
        keep(x);
    } else if (bytes_equal(path, BYTES("/echo"))) {
        struct buffer body = exchange_take_body(x);
        exchange_respond(x, 200, "application/octet-stream",
                         (const struct http_field[]){{"X-Echo", "yes"}, {NULL, NULL}}, &body);
    } else if (bytes_equal(path, BYTES("/big"))) {
        struct buffer body = {0};
        if (buffer_reserve(&body, 32 << 20)) {
            memset(body.ptr, 'b', 32 << 20);
            body.len = 32 << 20;
        }
        exchange_respond(x, 200, "text/plain", NULL, &body);
    } else if (bytes_equal(path, BYTES("/request"))) {
        struct bytes method = exchange_method(x), query = exchange_query(x);
        struct bytes agent = exchange_header(x, "user-agent");
        struct buffer body = {0};
        buffer_printf(&body, "<%.*s|%.*s|%.*s>", (int)method.len, method.ptr, (int)query.len,
                      query.ptr, (int)agent.len, agent.ptr);
        exchange_respond(x, 200, "text/plain", NULL, &body);
    } else {
        respond_text(x, "hello\n");
    }
}

/* -- fixture ----------------------------------------------------------------------------------- */

static int count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void start(void *arg)
{
    struct http_application application = {.accepts = accepts, .handle = handle};
    const char *message = NULL;

    (void)arg;
    int rc = http_start(&fix.options, &application, &fix.server, &message);
    ck_assert_msg(rc == 0, "%s: %s", message ? message : "", strerror(-rc));
    const char *colon = strrchr(http_address(fix.server), ':');
    ck_assert_ptr_nonnull(colon);
    fix.port = (uint16_t)strtoul(colon + 1, NULL, 10);
}

static void stop(void *arg)
{
    (void)arg;
    fix.server = http_stop(fix.server);
}

static void setup(void)
{
    struct sockaddr_in *address;

    fix = (struct fixture){.lock = PTHREAD_MUTEX_INITIALIZER,
                           .changed = PTHREAD_COND_INITIALIZER,
                           .options = {.max_connections = 2000,
                                       .header_timeout_ms = PATIENCE_MS,
                                       .body_timeout_ms = PATIENCE_MS,
                                       .send_timeout_ms = PATIENCE_MS,
                                       .idle_timeout_ms = PATIENCE_MS,
                                       .max_body_bytes = MAX_BODY,
                                       .stream_high_water = HIGH_WATER}};
    address = (struct sockaddr_in *)&fix.options.listen;
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fix.descriptors = count_descriptors();
    ck_assert_int_eq(async_start(), 0);
}

/* Stops the server unless the test did, and looks for what was left behind. */
static void teardown(void)
{
    on_loop(stop, NULL);
    ck_assert_int_eq(async_stop(), 0);
    struct async_counts left = async_counts();
    ck_assert_int_eq(left.futures, 0);
    ck_assert_int_eq(left.tasks, 0);
    ck_assert_int_eq(count_descriptors(), fix.descriptors);
}

/* -- the client -------------------------------------------------------------------------------- */

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(fix.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static void say_bytes(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        ck_assert_msg(n > 0, "send: %s", strerror(errno));
        bytes += n;
        length -= (size_t)n;
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

static bool readable_within(int fd, int ms)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, ms) > 0;
}

/* What a client has read; NUL-terminated. */
struct heard {
    char text[1 << 16];
    size_t len;
};

/* Reads once. False at the end of the connection. */
static bool hear_more(int fd, struct heard *h)
{
    ck_assert_msg(readable_within(fd, PATIENCE_MS), "nothing comes; so far: %s", h->text);
    ck_assert_uint_lt(h->len, sizeof h->text - 1);
    ssize_t n = recv(fd, h->text + h->len, sizeof h->text - 1 - h->len, 0);
    if (n <= 0)
        return false;
    h->len += (size_t)n;
    h->text[h->len] = '\0';
    return true;
}

static void hear(int fd, struct heard *h, const char *wanted)
{
    while (!strstr(h->text, wanted))
        ck_assert_msg(hear_more(fd, h), "closed before \"%s\": %s", wanted, h->text);
}

static void hear_end(int fd, struct heard *h)
{
    while (hear_more(fd, h))
        ;
}

/* Sends `request` on a connection of its own; the answer must begin so, and the server close. */
static void is_refused(const char *request, const char *status)
{
    static struct heard h;
    int fd = dial();

    h = (struct heard){0};
    say(fd, request);
    hear_end(fd, &h);
    ck_assert_msg(strncmp(h.text, "HTTP/1.1 ", 9) == 0 && strncmp(h.text + 9, status, 3) == 0,
                  "%s\n---\n%s", request, h.text);
    ck_assert_msg(strstr(h.text, "hello") == NULL, "%s", h.text);
    close(fd);
}

static int count(const char *text, const char *part)
{
    int n = 0;

    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        n++;
    return n;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

/* -- whole answers ----------------------------------------------------------------------------- */

START_TEST(requests_share_a_kept_alive_connection)
{
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = dial();
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

    on_loop(start, NULL);
    int fd = dial();
    say(fd, "GET /request?1 HTTP/1.1\r\nHost: h\r\n\r\nGET /request?2 HTTP/1.1\r\nHost: h\r\n\r\n"
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    hear(fd, &h, "\r\n\r\nabc");
    ck_assert_int_eq(count(h.text, "HTTP/1.1 200 "), 3);
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

    on_loop(start, NULL);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct heard h = {0};
        int fd = dial();
        snprintf(request, sizeof request,
                 "POST /echo HTTP/1.1\r\nHost: h\r\n%sGET /request?2 HTTP/1.1\r\nHost: h\r\n\r\n",
                 heads[i]);
        say(fd, request);
        hear_end(fd, &h);
        ck_assert_msg(count(h.text, "HTTP/1.1 ") <= 1, "%zu: %s", i, h.text);
        close(fd);
    }
}
END_TEST

START_TEST(the_application_sees_the_target_as_it_was_sent)
{
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = dial();
    say(fd, "GET http://h:1/request?a=%20b&c HTTP/1.1\r\nHost: h:1\r\nUser-Agent: me\r\n\r\n");
    hear(fd, &h, "<GET|a=%20b&c|me>");
    close(fd);
}
END_TEST

START_TEST(a_body_comes_by_length_or_in_chunks)
{
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12");
    say(fd, "345");
    hear(fd, &h, "\r\n\r\n12345");
    ck_assert_ptr_nonnull(strstr(h.text, "X-Echo: yes\r\n"));
    close(fd);
    h = (struct heard){0};
    fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    say(fd, "2\r\nde\r\n0\r\nTrailer: x\r\n\r\n");
    hear(fd, &h, "\r\n\r\nabcde");
    close(fd);
}
END_TEST

START_TEST(a_client_that_expects_100_continue_is_told_to_go_on)
{
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = dial();
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

    on_loop(start, NULL);
    int fd = dial();
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

    on_loop(start, NULL);
    int fd = dial();
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
    on_loop(start, NULL);
    is_refused("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n", "413");
    is_refused("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
               "413");
}
END_TEST

START_TEST(a_client_in_the_middle_of_a_body_above_the_limit_still_reads_the_refusal)
{
    static char chunk[6 + 0x4000 + 2];
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = dial();
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

    on_loop(start, NULL);
    int fd = dial();
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

    on_loop(start, NULL);
    int fd = dial();
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    hear_end(fd, &h);
    ck_assert_ptr_nonnull(strstr(h.text, "\r\n\r\nhello\n"));
    close(fd);
}
END_TEST

static void respond_kept(void *arg)
{
    respond_text(fix.kept, arg);
}

START_TEST(an_answer_may_come_later)
{
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = dial();
    say(fd, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    ck_assert_uint_eq(http_exchanges(fix.server), 1);
    on_loop(respond_kept, "at last");
    hear(fd, &h, "at last");
    say(fd, GET("/"));
    hear(fd, &h, "hello\n");
    close(fd);
}
END_TEST

START_TEST(an_answer_reaches_a_client_that_has_half_closed)
{
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = dial();
    say(fd, GET("/pending"));
    shutdown(fd, SHUT_WR);
    wait_for(&fix.kept_count, 1);
    on_loop(respond_kept, "at last");
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
    on_loop(start, NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial();
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
    on_loop(start, NULL);
    int first = dial(), second = dial();
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

    on_loop(start, NULL);
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

    on_loop(start, NULL);
    int fd = dial();
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

    on_loop(start, NULL);
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

    on_loop(start, NULL);
    int fd = dial();
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
    on_loop(start, NULL);
    int fd = dial();
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
    on_loop(start, NULL);
    int fd = dial();
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
    on_loop(start, NULL);
    int fd = dial();
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
    on_loop(start, NULL);
    int fd = dial();
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
    on_loop(start, NULL);
    int fd = dial();
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
    on_loop(start, NULL);
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        ck_assert(!readable_within(fd, 20));
        say(fd, "x");
    }
    hear(fd, &h, "xxxxxxxxxxxxxxxxxxxx");
    close(fd);
}
END_TEST

static void count_exchanges(void *arg)
{
    *(size_t *)arg = http_exchanges(fix.server);
}

START_TEST(a_client_that_does_not_take_its_answer_is_cut_off)
{
    size_t open = 1;

    fix.options.send_timeout_ms = 100;
    on_loop(start, NULL);
    int fd = dial();
    say(fd, GET("/big"));
    ck_assert(readable_within(fd, PATIENCE_MS));
    for (uint64_t begin = clock_now_ns(); open > 0; on_loop(count_exchanges, &open))
        ck_assert_uint_lt(clock_now_ns() - begin, PATIENCE_MS * NS_PER_MS);
    close(fd);
}
END_TEST

/* -- streams ----------------------------------------------------------------------------------- */

static void write_kept(void *arg)
{
    exchange_write(fix.kept, bytes_cstr(arg));
}

static void end_kept(void *arg)
{
    (void)arg;
    exchange_end(fix.kept);
}

static int open_stream(struct heard *h)
{
    int fd = dial();

    say(fd, GET("/stream"));
    hear(fd, h, "\r\n\r\n");
    return fd;
}

START_TEST(a_stream_delivers_each_record_as_it_is_written)
{
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = open_stream(&h); /* its head comes before there is a record */
    ck_assert_ptr_nonnull(strstr(h.text, "Transfer-Encoding: chunked\r\n"));
    ck_assert_ptr_nonnull(strstr(h.text, "X-Accel-Buffering: no\r\n"));
    ck_assert_ptr_nonnull(strstr(h.text, "Cache-Control: no-store\r\n"));
    on_loop(write_kept, "one\n");
    hear(fd, &h, "4\r\none\n\r\n");
    on_loop(write_kept, "two\n");
    hear(fd, &h, "4\r\ntwo\n\r\n");
    on_loop(end_kept, NULL);
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

    on_loop(start, NULL);
    int fd = open_stream(&h);
    on_loop(write_two, "abcd");
    hear(fd, &h, "8\r\nabcdabcd\r\n");
    on_loop(end_kept, NULL);
    hear(fd, &h, "\r\n0\r\n\r\n");
    close(fd);
}
END_TEST

START_TEST(a_stream_to_an_http_1_0_client_ends_with_the_connection)
{
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = dial();
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    hear(fd, &h, "\r\n\r\n");
    on_loop(write_kept, "one\n");
    hear(fd, &h, "\r\n\r\none\n");
    on_loop(end_kept, NULL);
    hear_end(fd, &h);
    ck_assert_ptr_null(strstr(h.text, "chunked"));
    close(fd);
}
END_TEST

START_TEST(a_stream_asked_for_by_head_is_gone_at_once)
{
    struct heard h = {0};

    on_loop(start, NULL);
    int fd = dial();
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
        on_loop(write_block, &filling);
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
    int fd = dial();

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

    on_loop(start, NULL);
    int fd = open_plain_stream();
    future *room = fill(&written);
    while (!future_settled(room))
        got += read_pattern(fd, got);
    ck_assert(future_ok(room));
    ck_assert_uint_lt(got, written);
    future_drop(room);
    on_loop(end_kept, NULL);
    close(fd);
}
END_TEST

START_TEST(what_was_written_before_the_end_reaches_even_a_client_that_half_closes)
{
    size_t written, got = 0;
    char last;

    on_loop(start, NULL);
    int fd = open_plain_stream();
    future *room = fill(&written);
    on_loop(end_kept, NULL);
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
    on_loop(start, NULL);
    int fd = open_plain_stream();
    future *room = fill(&written);
    on_loop(end_kept, NULL); /* and nobody reads */
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

    on_loop(start, NULL);
    int fd = open_stream(&h);
    on_loop(write_kept, "one\n");
    hear(fd, &h, "one\n");
    uint64_t now_ns = clock_now_ns();
    close(fd);
    assert_gone_within_100_ms(now_ns);
}
END_TEST

START_TEST(a_client_that_half_closes_is_taken_for_gone)
{
    struct heard h = {0};

    on_loop(start, NULL);
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

    on_loop(start, NULL);
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

    on_loop(start, NULL);
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

    exchange_stream(fix.kept, 200, "text/plain", on_gone, NULL);
    exchange_write(fix.kept, BYTES("nobody reads this"));
    filling->room = exchange_room(fix.kept);
}

START_TEST(a_stream_begun_for_a_client_that_has_left_is_gone)
{
    struct filling filling = {0};

    on_loop(start, NULL);
    int fd = dial();
    say(fd, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    close(fd);
    on_loop(stream_kept, &filling);
    wait_for(&fix.gone_count, 1);
    future_drop(filling.room);
}
END_TEST

START_TEST(an_answer_for_a_client_that_has_left_is_dropped)
{
    size_t open = 1;

    on_loop(start, NULL);
    int fd = dial();
    say(fd, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    close(fd);
    on_loop(respond_kept, "nobody reads this");
    for (uint64_t begin = clock_now_ns(); open > 0; on_loop(count_exchanges, &open))
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

    on_loop(start, NULL);
    int fd = open_stream(&h);
    on_loop(end_and_leave, &fd);
    for (uint64_t begin = clock_now_ns(); open > 0; on_loop(count_exchanges, &open))
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
    struct heard idle = {0}, busy = {0}, late = {0};
    future *done;

    on_loop(start, NULL);
    int idle_fd = dial(), pending_fd = dial();
    say(idle_fd, GET("/"));
    hear(idle_fd, &idle, "hello\n");
    say(pending_fd, GET("/pending"));
    wait_for(&fix.kept_count, 1);
    struct exchange *pending = fix.kept;
    int busy_fd = open_stream(&busy);

    on_loop(drain, &done);
    hear_end(idle_fd, &idle);
    ck_assert_int_eq(dial(), -1);
    ck_assert(!future_settled(done));
    on_loop(write_kept, "still here\n");
    hear(busy_fd, &busy, "still here\n");
    on_loop(end_kept, NULL);
    hear_end(busy_fd, &busy);
    ck_assert_ptr_nonnull(strstr(busy.text, "\r\n0\r\n\r\n"));

    ck_assert(!future_settled(done));
    fix.kept = pending;
    on_loop(respond_kept, "done");
    hear_end(pending_fd, &late);
    ck_assert_ptr_nonnull(strstr(late.text, "Connection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(late.text, "\r\n\r\ndone"));
    ck_assert_int_eq(future_wait(done, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    ck_assert(future_ok(done));
    future_drop(done);
    close(idle_fd);
    close(pending_fd);
    close(busy_fd);
}
END_TEST

START_TEST(stopping_tells_open_streams_and_frees_all)
{
    struct heard first = {0}, second = {0};
    size_t written;

    on_loop(start, NULL);
    int silent = open_stream(&first), waiting = dial(), half = dial();
    say(waiting, GET("/pending"));
    wait_for(&fix.kept_count, 2);
    struct exchange *pending = fix.kept;
    say(half, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    int sending = open_stream(&second);
    future *room = fill(&written);

    on_loop(stop, NULL);
    wait_for(&fix.gone_count, 2);
    ck_assert_int_eq(future_error(room), -EPIPE);
    future_drop(room);
    hear_end(silent, &first);
    fix.kept = pending;
    on_loop(respond_kept, "too late");
    close(silent);
    close(waiting);
    close(half);
    close(sending);
}
END_TEST

static void start_badly(void *arg)
{
    struct http_application application = {.accepts = accepts, .handle = handle};
    const char *message = NULL;
    struct http_server *none = NULL;

    *(int *)arg = http_start(&fix.options, &application, &none, &message);
    ck_assert_ptr_null(none);
    ck_assert_ptr_nonnull(message);
}

START_TEST(an_address_in_use_is_told)
{
    int rc = 0;

    on_loop(start, NULL);
    ((struct sockaddr_in *)&fix.options.listen)->sin_port = htons(fix.port);
    on_loop(start_badly, &rc);
    ck_assert_int_eq(rc, -EADDRINUSE);
}
END_TEST

Suite *suite_http(void)
{
    Suite *suite = suite_create("http");
    TCase *whole = tcase_create("whole answers"), *refusals = tcase_create("refusals");
    TCase *deadlines = tcase_create("deadlines"), *streams = tcase_create("streams");
    TCase *end = tcase_create("end");
    TCase *cases[] = {whole, refusals, deadlines, streams, end};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], setup, teardown);
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
    tcase_add_test(refusals, a_head_that_can_be_read_in_two_ways_is_refused);
    tcase_add_test(refusals, an_unknown_transfer_coding_is_refused);
    tcase_add_test(refusals, a_head_without_end_is_refused);
    tcase_add_test(refusals, a_query_of_hundreds_of_parts_is_refused);
    tcase_add_test(refusals, the_rules_for_heads_hold_without_the_library);
    tcase_add_test(refusals, targets_of_every_form_are_split);
    tcase_add_test(deadlines, a_head_that_comes_a_byte_at_a_time_meets_its_deadline);
    tcase_add_test(deadlines, a_second_head_that_comes_a_byte_at_a_time_meets_its_deadline);
    tcase_add_test(deadlines, a_connection_that_says_nothing_is_closed_without_a_word);
    tcase_add_test(deadlines, an_idle_connection_outlives_the_header_deadline_but_not_its_own);
    tcase_add_test(deadlines, a_body_that_stops_coming_meets_its_deadline);
    tcase_add_test(deadlines, a_body_may_take_long_as_long_as_it_comes);
    tcase_add_test(deadlines, a_client_that_does_not_take_its_answer_is_cut_off);
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
    tcase_add_test(end, an_address_in_use_is_told);
    return suite;
}
