/*
 * What the tests of the HTTP server share: the server on the loop with an application that answers
 * by path, and a client that talks to it through raw sockets in the test's thread. What the
 * application keeps open (/pending, /stream) the tests go on with by jobs on the loop.
 *
 * /pending is kept, and not answered; /stream is kept as a stream; /echo answers with the body and
 * "X-Echo: yes"; /big with 32 MiB; /request with "<METHOD|QUERY|USER-AGENT>"; /nowhere is refused
 * by 404, /post-only by 405 unless it is a POST; any other path answers "hello\n".
 */
#ifndef SKIMD_TESTS_HTTP_FIXTURE_H
#define SKIMD_TESTS_HTTP_FIXTURE_H

#include "server/http/http.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATIENCE_MS = 10000, MAX_BODY = 100000, HIGH_WATER = 64 << 10 };

/* Shared by the test's thread and the loop: under the lock, or written before the loop knows. */
extern struct http_fixture {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_options options;
    struct http_server *server; /* loop */
    uint16_t port;
    struct exchange *kept; /* the last one that was kept open */
    unsigned kept_count;
    struct http_end end; /* of the last exchange that ended; its address is not kept */
    char end_trace[40];
    uint64_t end_tag;
    unsigned end_count;
    unsigned gone_count;
    uint64_t gone_at_ns;
    int descriptors;
} fix;

/* What start_server serves. */
extern const struct http_application test_application;

/*
 * Checked fixtures: `fix.options` of long deadlines, which a test may change before it starts the
 * server. The teardown stops the server unless the test did, and asserts that no future, no task
 * and no descriptor is left behind.
 */
void http_setup(void);
void http_teardown(void);

/* Starts the server on a free loopback port, `fix.port`; fails the test when that does not work. */
void start_server(void);

/* Stops it; what is open ends. */
void stop_server(void);

/* -- on the loop ------------------------------------------------------------------------------- */

/* Runs `run` on the loop and waits for its end. */
void run_on_loop(void (*run)(void *arg), void *arg);

/* Waits until a counter of the fixture has come to `count`. */
void wait_for(const unsigned *counter, unsigned count);

/* For run_on_loop: answers the kept exchange with the text `arg`. */
void respond_kept(void *arg);

/* For run_on_loop: writes the text `arg` to the kept stream. */
void write_kept(void *arg);

/* For run_on_loop: ends the kept stream; `arg` is not used. */
void end_kept(void *arg);

/* For run_on_loop: how many exchanges the server has, into the size_t at `arg`. */
void count_exchanges(void *arg);

/* For exchange_stream: counts in `fix.gone_count`, and tells the time in `fix.gone_at_ns`. */
void count_gone(void *arg);

/* -- the client -------------------------------------------------------------------------------- */

/* A request without a body, on a connection that stays open. */
#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

/* What a client has read; NUL-terminated. */
struct heard {
    char text[1 << 16];
    size_t len;
};

/* Connects to the server: the socket, or -1 when nobody listens. */
int dial_server(void);

/* Sends all of it; fails the test when the server does not take it. */
void say_bytes(int fd, const char *bytes, size_t length);
void say(int fd, const char *text);

/* Whether there is something to read, the end of the connection too, before `ms` have passed. */
bool readable_within(int fd, int ms);

/* Reads until `wanted` stands in what was heard; fails the test when the connection ends before. */
void hear(int fd, struct heard *h, const char *wanted);

/* Reads until the connection ends. */
void hear_end(int fd, struct heard *h);

/* Sends `request` on a connection of its own; the answer must begin so, and the server close. */
void is_refused(const char *request, const char *status);

/* How often `part` stands in `text`. */
int occurrences(const char *text, const char *part);

#endif
