#include "tests/support/http_fixture.h"

#include "core/async/async.h"
#include "core/async/loop.h"
#include "core/base/clock.h"
#include "server/problem.h"
#include "tests/check.h"
#include "tests/support/transcript.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct http_fixture fix;

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

void run_on_loop(void (*run)(void *arg), void *arg)
{
    struct call call = {.job.run = run_call, .run = run, .arg = arg};

    loop_post(&call.job);
    pthread_mutex_lock(&fix.lock);
    while (!call.done)
        pthread_cond_wait(&fix.changed, &fix.lock);
    pthread_mutex_unlock(&fix.lock);
}

void wait_for(const unsigned *counter, unsigned count)
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

void count_gone(void *arg)
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
    exchange_set_tag(x, 7);
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
        exchange_stream(x, 200, "application/x-ndjson", count_gone, NULL);
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

static void ended(const struct exchange *x, const struct http_end *end, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&fix.lock);
    fix.end = *end;
    fix.end.remote = NULL;
    snprintf(fix.end_trace, sizeof fix.end_trace, "%s", exchange_trace_id(x));
    fix.end_tag = exchange_tag(x);
    fix.end_count++;
    pthread_cond_broadcast(&fix.changed);
    pthread_mutex_unlock(&fix.lock);
}

const struct http_application test_application = {
    .accepts = accepts, .handle = handle, .ended = ended};

/* -- what the tests do on the loop ------------------------------------------------------------- */

void respond_kept(void *arg)
{
    respond_text(fix.kept, arg);
}

void count_exchanges(void *arg)
{
    *(size_t *)arg = http_exchanges(fix.server);
}

void write_kept(void *arg)
{
    exchange_write(fix.kept, bytes_cstr(arg));
}

void end_kept(void *arg)
{
    (void)arg;
    exchange_end(fix.kept);
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
    const char *message = NULL;

    (void)arg;
    int rc = http_start(&fix.options, &test_application, &fix.server, &message);
    ck_assert_msg(rc == 0, "%s: %s", message ? message : "", strerror(-rc));
    const char *colon = strrchr(http_address(fix.server), ':');
    ck_assert_ptr_nonnull(colon);
    fix.port = (uint16_t)strtoul(colon + 1, NULL, 10);
}

void start_server(void)
{
    run_on_loop(start, NULL);
}

static void stop(void *arg)
{
    (void)arg;
    fix.server = http_stop(fix.server);
}

void stop_server(void)
{
    run_on_loop(stop, NULL);
}

void http_setup(void)
{
    struct sockaddr_in *address;

    fix = (struct http_fixture){.lock = PTHREAD_MUTEX_INITIALIZER,
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

void http_teardown(void)
{
    stop_server();
    ck_assert_int_eq(async_stop(), 0);
    struct async_counts left = async_counts();
    ck_assert_int_eq(left.futures, 0);
    ck_assert_int_eq(left.tasks, 0);
    ck_assert_int_eq(count_descriptors(), fix.descriptors);
}

/* -- the client -------------------------------------------------------------------------------- */

int dial_server(void)
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

void say_bytes(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        ck_assert_msg(n > 0, "send: %s", strerror(errno));
        bytes += n;
        length -= (size_t)n;
    }
}

void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

bool readable_within(int fd, int ms)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, ms) > 0;
}

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

void hear(int fd, struct heard *h, const char *wanted)
{
    while (!strstr(h->text, wanted))
        ck_assert_msg(hear_more(fd, h), "closed before \"%s\": %s", wanted, h->text);
}

void hear_end(int fd, struct heard *h)
{
    while (hear_more(fd, h))
        ;
    if (strncmp(h->text, "HTTP/1.1 4", 10) == 0 || strncmp(h->text, "HTTP/1.1 5", 10) == 0)
        transcript_add_raw(bytes_of(h->text, h->len)); /* the server's; others the fixture made */
}

void is_refused(const char *request, const char *status)
{
    static struct heard h;
    int fd = dial_server();

    h = (struct heard){0};
    say(fd, request);
    hear_end(fd, &h);
    ck_assert_msg(strncmp(h.text, "HTTP/1.1 ", 9) == 0 && strncmp(h.text + 9, status, 3) == 0,
                  "%s\n---\n%s", request, h.text);
    ck_assert_msg(strstr(h.text, "hello") == NULL, "%s", h.text);
    close(fd);
}

int occurrences(const char *text, const char *part)
{
    int n = 0;

    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        n++;
    return n;
}
