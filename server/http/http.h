/*
 * The HTTP side of the daemon: requests come in whole, answers go out whole or as a stream. The
 * only module that knows libmicrohttpd, which runs in external-epoll mode on the runtime's loop.
 *
 * Everything here is called on the loop thread, and so are the callbacks.
 */
#ifndef SKIMD_SERVER_HTTP_HTTP_H
#define SKIMD_SERVER_HTTP_HTTP_H

#include "core/async/future.h"
#include "core/base/buffer.h"
#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct http_server;
struct exchange; /* one request and its answer */
struct memory;
struct memory_share;
struct problem;
struct tls_identity;

/* A timeout of 0 ms is none. */
struct http_options {
    struct sockaddr_storage listen;
    int listen_fd; /* a socket that listens already and was handed over; closed by the server, also
                      where it does not start. 0: `listen` is bound */
    const char *tls_certificate; /* PEM; borrowed until the server has started; NULL: no TLS */
    const char *tls_key;
    unsigned max_connections; /* further ones wait in the kernel's queue; shortly before, those are
                                 closed that have waited longest for their request's head */
    unsigned header_timeout_ms; /* from the first moment of a connection, or from the first byte
                                   after an answer (seen up to as much too late), to the end of
                                   the request's head */
    unsigned body_timeout_ms;   /* in which the body comes slower than: */
    unsigned body_min_rate;     /* bytes a second; 0: any byte will do */
    unsigned send_timeout_ms;   /* without the client taking a byte of an answer whose end is known:
                                   a whole one, or a stream after exchange_end() */
    unsigned idle_timeout_ms;   /* between requests */
    size_t max_body_bytes;      /* of a POST; more: 413 and close. Others: 64 KiB */
    size_t stream_high_water;   /* bytes of a stream that may wait to be sent before
                                   exchange_room() holds */
    struct memory *memory;      /* where bodies are reserved before they are taken: 503 when they
                                   do not fit; borrowed; NULL: they always do */
    unsigned memory_beside;     /* for each byte of a body so many more, which the application will
                                   take to read it */
};

struct http_field {
    const char *name, *value;
};

enum { HTTP_FIELDS_MOST = 4 };

/* No status of HTTP's, but what logs of servers have for it since nginx. */
enum { HTTP_CLIENT_GONE = 499 };

/* How an exchange ended. */
struct http_end {
    int status;                    /* HTTP_CLIENT_GONE: before it was answered */
    uint64_t body_bytes;           /* of the answer's body, that were given to be sent */
    uint64_t duration_us;          /* since the request line came */
    bool is_complete;              /* else the answer was cut off, or its client left */
    const struct sockaddr *remote; /* may be NULL */
};

/*
 * What the server asks of the application for each request whose head and body are in. It answers
 * with exchange_respond() or exchange_stream(), now or later.
 *
 * `accepts` is asked once the head is in, before the body is read: it may refuse (404, 405, 415,
 * 413...) by filling `ret_problem` and returning false; then the problem is the answer and the
 * connection is closed if there is a body under way. Refusals that need the `Allow` header set
 * problem->allow (see problem.h). It must not answer.
 *
 * `fields` (NULL: none) is asked of every answer for fields that go with it, refusals included;
 * how many it wrote is what it returns, and what they point to must live as long as the exchange.
 *
 * `ended` (NULL: nobody wants to know) is told of each exchange whose head was in, once, when its
 * answer was sent or lost; what `end` says is borrowed. It may read the exchange.
 */
struct http_application {
    bool (*accepts)(struct exchange *x, void *arg, struct problem *ret_problem);
    void (*handle)(struct exchange *x, void *arg);
    size_t (*fields)(const struct exchange *x, void *arg,
                     struct http_field ret[static HTTP_FIELDS_MOST]);
    void (*ended)(const struct exchange *x, const struct http_end *end, void *arg);
    void *arg;
};

/*
 * Binds and listens. On failure a negative errno, and `ret_message` says what could not be done.
 * `options` and `application` are copied.
 */
int http_start(const struct http_options *options, const struct http_application *application,
               struct http_server **ret_server, const char **ret_message);

/* The bound address as text, ADDR:PORT; port 0 is resolved. Valid as long as the server. */
const char *http_address(const struct http_server *s);

/*
 * Closes connections that are between two requests. What is under way goes on, a first request on
 * a connection that is open included; answers say Connection: close. New connections are still
 * taken, so that who asks for the daemon's health learns it, until http_stop(); but not from a
 * socket that was handed over: there they wait for the daemon that will be handed it next.
 */
void http_drain(struct http_server *s);

/*
 * Connections that come from now on are shown this certificate; those that are open go on with
 * theirs. 0, or a negative errno and nothing has changed. `identity` is borrowed for the call; the
 * server must have started with TLS.
 */
int http_renew(struct http_server *s, const struct tls_identity *identity);

/* Exchanges that have begun (head complete) and have not ended yet (answer sent, or lost). */
size_t http_exchanges(const struct http_server *s);

/* Connections that are open. */
size_t http_connections(const struct http_server *s);

/* Connections without a request that were closed so far to make room for others. */
uint64_t http_evictions(const struct http_server *s);

/* A future that is ok when no exchange is left (at once if so). One at a time. */
future *http_idle(struct http_server *s);

/*
 * Cuts every connection, tells each open stream `gone` (later), frees all. Exchanges that have not
 * been answered stay valid until they are. Not from a callback. NULL is fine. Returns NULL.
 */
struct http_server *http_stop(struct http_server *s);

/*
 * -- the request: valid until the exchange ends --------------------------------------------------
 * That is, until it is answered or exchange_end() or `gone` is called. Once the client has gone,
 * headers are empty.
 */

struct bytes exchange_method(const struct exchange *x);
struct bytes exchange_path(const struct exchange *x); /* as sent, not decoded, without the query */
struct bytes
exchange_query(const struct exchange *x); /* what stands behind '?', as sent; may be empty */
/* A header's value, its name compared without case; {NULL, 0} when it was not sent. */
struct bytes exchange_header(const struct exchange *x, const char *name);
/* The trace that the request is part of (see trace.h), "": none. */
const char *exchange_trace_id(const struct exchange *x);
/* A number for `ended` to find again: that of the batch which is asked for. 0: none. */
void exchange_set_tag(struct exchange *x, uint64_t tag);
uint64_t exchange_tag(const struct exchange *x);
/* Hands the body over to the caller (buffer_free). */
struct buffer exchange_take_body(struct exchange *x);
/* And the memory that was reserved for it (memory_release). */
void exchange_take_share(struct exchange *x, struct memory_share *ret);

/* -- the answer: exactly one of the two -------------------------------------------------------- */

/*
 * A whole answer; `content_type` is NULL where there is no body (204). Consumes `body`. `fields`
 * (may be NULL) ends with {NULL, NULL}; copied.
 * Afterwards x must not be used any more. Where memory is exhausted the connection is closed.
 */
void exchange_respond(struct exchange *x, int status, const char *content_type,
                      const struct http_field *fields, struct buffer *body);

/* A problem as answer (RFC 9457), with the fields it calls for (Allow, Retry-After). */
void exchange_refuse(struct exchange *x, const struct problem *problem);

/*
 * Begins an answer of unknown length: chunked for HTTP/1.1, ended by close for 1.0;
 * X-Accel-Buffering: no and Cache-Control: no-store go with it. Then any number of exchange_write()
 * and one exchange_end(). `gone` is called once, later, if the client leaves (or half-closes: as
 * nginx, we take that for leaving) before the end; afterwards writes do nothing. Memory that runs
 * out counts as a client that left. After exchange_end() or `gone`, x must not be used any more.
 */
void exchange_stream(struct exchange *x, int status, const char *content_type,
                     void (*gone)(void *arg), void *arg);

/*
 * Queues bytes (copied) to be sent in the next turn of the loop; many writes of one turn go out
 * together.
 */
void exchange_write(struct exchange *x, struct bytes bytes);

/*
 * Ok once fewer than stream_high_water bytes wait to be sent: at once when that is so. One at a
 * time. Fails with -EPIPE when the client has gone.
 */
future *exchange_room(struct exchange *x);

/*
 * Says that the end of the stream is near and does not depend on anything but its client: from here
 * on send_timeout_ms holds for it. exchange_end() says so, too.
 */
void exchange_ending(struct exchange *x);

/* Ends the stream; what was written is still sent. */
void exchange_end(struct exchange *x);

#endif
