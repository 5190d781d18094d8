/*
 * What the files behind http.h share and nobody else includes:
 *
 *     http.c        libmicrohttpd: callbacks, the loop, the server's life
 *     connection.c  a TCP connection: its deadline, refusals past libmicrohttpd, its end; TLS'
 *                   handshake
 *     identity.c    which certificate a connection shows
 *     exchange.c    a request and its answer, as the application sees them
 *
 * Loop thread.
 */
#ifndef SKIMD_SERVER_HTTP_INTERNAL_H
#define SKIMD_SERVER_HTTP_INTERNAL_H

#include "core/async/future.h"
#include "core/async/loop.h"
#include "core/base/list.h"
#include "server/http/deadline.h"
#include "server/http/head.h"
#include "server/http/http.h"
#include "server/http/identity.h"
#include "server/http/linger.h"
#include "server/http/listen.h"
#include "server/http/outbox.h"
#include "server/memory/memory.h"
#include "server/watch/trace.h"

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

struct http_server {
    struct http_options options;
    struct http_application application;
    struct MHD_Daemon *daemon;
    int epoll; /* MHD's */
    char address[HTTP_ADDRESS_SIZE];
    struct list connections;
    struct list shaking; /* connections in the middle of TLS' handshake that MHD may look at */
    size_t connection_count;
    struct timer room_timer; /* when the first of `waiting` may be closed, if there is need */
    struct list waiting;     /* connections without a request, those that wait longest first */
    size_t leaving;          /* that were closed to make room, and are still counted */
    uint64_t evictions;
    struct list exchanges; /* that have begun */
    size_t exchange_count;
    struct list woken;       /* exchanges whose connection is to be resumed */
    struct list reading;     /* and those that go on with their bodies in a later turn, in order */
    struct timer read_timer; /* that turn */
    size_t read_bytes;       /* of bodies, in this one */
    struct http_lingering lingering;
    struct http_identities identities;
    promise *idle; /* somebody waits for the last exchange; or NULL */
    struct job run_job;
    bool run_posted;
    bool running; /* inside MHD_run() */
    bool draining;
    bool stopped; /* soon only run_job still refers to the server */
};

/* -- connection.c ------------------------------------------------------------------------------ */

struct connection {
    struct list link;    /* in server->connections */
    struct list waiting; /* in server->waiting, or alone */
    struct http_server *server;
    int fd; /* MHD's */
    struct MHD_Connection *mhd;
    const struct sockaddr *remote;  /* MHD's; may be NULL */
    struct list shaking;            /* in server->shaking, or alone */
    bool awaits;                    /* suspended until the client goes on with the handshake */
    void *tls;                      /* MHD's gnutls_session_t; NULL: no TLS */
    struct http_identity *identity; /* what it shows; NULL: MHD's, or no TLS */
    bool leaves;                    /* closed to make room for others */
    bool has_ended;                 /* the client's side */
    bool lingers;                   /* closed while the client may still be sending */
    int refused;                    /* the status of connection_refuse(); 0: it was not called */
    struct http_deadline deadline;
};

/* A connection was accepted. NULL when memory is exhausted. */
struct connection *connection_new(struct http_server *s, struct MHD_Connection *mhd, int fd,
                                  void *tls, const struct sockaddr *remote);

/*
 * libmicrohttpd tries again and again, as fast as it can, to go on with a handshake for which
 * nothing has come. So each that is not over after a run is suspended until something has.
 */
void connections_await_handshakes(struct http_server *s);

/* What the connection does from here on, and how long it may. */
void connection_enter(struct connection *c, enum http_phase phase);

/* Has it seen that the client ends, where nobody else watches the socket. */
void connection_watch_end(struct connection *c);

/* For room_timer: closes those of `waiting` that there is no room for. */
void connections_make_room(struct timer *timer);

/* Has it seen that the client has ended, where it did not look while that came: once more. */
void connection_look_again(struct connection *c);

/* The handshake is over. */
void connection_open(struct connection *c);

/* Lets MHD see it again, if it waits for the handshake. */
void connection_resume(struct connection *c);

/* MHD is about to close the socket. NULL is fine. Returns NULL. */
struct connection *connection_free(struct connection *c);

/*
 * Writes a refusal to the socket past MHD, which takes no answer in the middle of a request and has
 * nothing to send then. To be followed by closing the connection.
 */
void connection_refuse(struct connection *c, const struct problem *problem);

/* -- exchange.c -------------------------------------------------------------------------------- */

enum { EXCHANGE_METHOD_SIZE = 24 };

/* Two sides hold an exchange, MHD (`mhd`) and the application (`held`); the last frees it. */
struct exchange {
    struct list link;              /* in server->exchanges, from `begun` on */
    struct http_server *server;    /* NULL once it was stopped */
    struct connection *connection; /* NULL once MHD has let go, as `mhd` */
    struct MHD_Connection *mhd;
    struct MHD_Response *response; /* made, not yet given to MHD */
    int status;                    /* of `response`, also when MHD has it; 0: none */
    struct list wake;              /* in server->woken */
    bool begun;                    /* the head was complete */
    bool handed;                   /* given to the application */
    bool held;                     /* the application may still use it */
    bool suspended;                /* by us, in MHD */
    bool cut;                      /* to be closed without (more of) an answer */

    bool streaming, ended, left; /* left: the client has, or memory ran out */
    struct http_outbox outbox;
    promise *room; /* somebody waits for it; or NULL */
    void (*gone)(void *arg);
    void *gone_arg;
    struct job gone_job;
    bool gone_posted;

    uint64_t began_ns, sent_bytes;
    uint64_t tag;
    char trace_id[TRACE_ID_SIZE];

    bool http_1_0;
    char method[EXCHANGE_METHOD_SIZE];
    struct bytes path, query; /* of `target` */
    struct buffer body;
    struct memory_share share; /* of options.memory, for the body */
    size_t round_start;        /* of the body: what had come when it last had to wait its turn */
    uint64_t announced_bytes;  /* the Content-Length; 0: none */
    size_t target_len;
    char target[];
};

/* The request line is in. NULL when memory is exhausted. */
struct exchange *exchange_new(struct connection *c, struct MHD_Connection *mhd,
                              struct bytes target);

/*
 * The head is in. True when the request goes on; else there is an answer (or, where memory is
 * exhausted, `cut`), and `*ret_close` says whether it must go out, and the connection be closed,
 * before more is read.
 */
bool exchange_begin(struct exchange *x, struct bytes method, const struct http_head *head,
                    bool *ret_close);

/* A piece of the body. False when the connection must be closed; the client was told why. */
bool exchange_body(struct exchange *x, struct bytes piece);

/* The request is in: hands it to the application unless it was answered already. */
void exchange_hand_over(struct exchange *x);

/*
 * Moves at most `max` bytes of the stream to `to`. Returns their number, -EAGAIN when there are
 * none now, or -ENODATA at the stream's end.
 */
ssize_t exchange_read(struct exchange *x, char *to, size_t max);

/* The client of a stream has gone: who waits for room learns it now, `gone` is called later. */
void exchange_leave(struct exchange *x);

/* MHD has let go: the answer went out, or (not `sent`) was lost. May free the exchange. */
void exchange_completed(struct exchange *x, bool sent);

/* -- http.c ------------------------------------------------------------------------------------ */

/* There is something new for MHD to look at; it will, in the next turn. */
void http_wake(struct exchange *x);

/* MHD does not look at the connection until http_resume(), which wakes it. Between two requests. */
void http_suspend(struct connection *c);
void http_resume(struct connection *c);

/* Closes the connection, whatever MHD is doing with it. */
void http_cut(struct exchange *x);

/*
 * Make x->response: from bytes (consumed) and fields, or from what exchange_read() gives. 0, or
 * -ENOMEM (also for a field that cannot be sent).
 */
int http_make_whole(struct exchange *x, int status, const char *content_type,
                    const struct http_field *fields, struct buffer *body);
int http_make_stream(struct exchange *x, int status, const char *content_type);

/* The last exchange may have ended: settles what http_idle() gave. */
void http_settle_idle(struct http_server *s);

#endif
