/*
 * How long a connection may take over what it is doing. libmicrohttpd only knows idle time, in
 * whole seconds: a client that sends a byte now and then holds a connection for ever.
 *
 *     HEAD     opened, or part of a head came      header_timeout_ms, however many bytes come
 *     BODY     head in, body coming                body_timeout_ms, see http_deadline_progress()
 *     WORK     the application's turn              none
 *     SEND     the end of the answer is known      send_timeout_ms since the client took a byte
 *     IDLE     answered, kept alive                idle_timeout_ms; HEAD once a byte came
 *
 * The timer is left alone while bytes come; when it fires, it looks whether time is really up. For
 * what libmicrohttpd does not tell (a first byte came, a byte was taken) it asks the kernel then,
 * so the usual request costs no system call.
 *
 * Loop thread.
 */
#ifndef SKIMD_SERVER_HTTP_DEADLINE_H
#define SKIMD_SERVER_HTTP_DEADLINE_H

#include "core/async/loop.h"
#include "server/http/http.h"

enum http_phase { HTTP_HEAD, HTTP_BODY, HTTP_WORK, HTTP_SEND, HTTP_IDLE };

struct http_deadline {
    const struct http_options *options; /* borrowed; a timeout of 0 ms is none */
    int fd;                             /* a TCP socket, borrowed */
    void (*expired)(struct http_deadline *deadline);

    enum http_phase phase; /* read only, as all below */
    uint64_t since_ns;     /* when the phase began, or would have with what progress gave back */
    uint64_t acked_bytes;  /* HTTP_SEND: what the client had taken when last asked */
    struct timer timer;
};

/*
 * Enters a phase. `expired` is called when its time is up; it may enter another or end the watch.
 * Set options, fd and expired before the first call. Where memory for the timer is exhausted the
 * connection is told so by being shut down.
 */
void http_deadline_enter(struct http_deadline *deadline, enum http_phase phase);

/*
 * So many bytes of the body came. They give back as much of the time as body_min_rate takes for
 * them, but never more than was used: who was quick may not be slow for it.
 */
void http_deadline_progress(struct http_deadline *deadline, size_t bytes);

/* Ends the watch; call before the struct or the socket goes. */
void http_deadline_clear(struct http_deadline *deadline);

/* True when the client has ever sent a byte. */
bool http_deadline_heard(const struct http_deadline *deadline);

#endif
