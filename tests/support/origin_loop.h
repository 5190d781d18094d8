/*
 * The insides of a running test origin, shared by its loop (origin.c) and its connections
 * (origin_connection.c). Everything here is called on the loop thread only.
 */
#ifndef SKIMD_TESTS_ORIGIN_LOOP_H
#define SKIMD_TESTS_ORIGIN_LOOP_H

#include "core/base/buffer.h"
#include "core/base/list.h"
#include "tests/support/origin.h"
#include "tests/support/origin_answer.h"
#include "tests/support/origin_script.h"

#include <pthread.h>

struct origin {
    pthread_t thread;
    int epoll, listener, wake;
    uint16_t port;
    char url[sizeof "http://255.255.255.255:65535"];

    /* Shared with every thread, under the mutex; `changed` is for those who wait for a counter. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t counters[ORIGIN_COUNTERS];
    bool gate_open, stopping;

    /* The loop thread's own. */
    struct list connections;
    struct list held;
    struct list timed;
    uint64_t next_due_ns; /* no later than the first `due_ns` in `timed` */
    bool accept_paused;   /* out of descriptors, until a connection ends */
    struct answer_source source;

    struct list sites; /* addresses that play scripts; under the mutex while the loop runs */
    int sites_epoll;   /* of their listeners */
};

enum phase { READ_HEAD, SWALLOW_BODY, HELD, SEND, DRAIN };

struct connection {
    struct list link;    /* in origin.connections */
    struct list waiting; /* in origin.held or origin.timed, or in neither */
    int fd;
    uint32_t interest; /* what epoll was asked for */
    enum phase phase;
    struct buffer in;
    bool in_flight;     /* counted in ORIGIN_IN_FLIGHT */
    uint64_t body_left; /* of the request, to be swallowed */
    struct answer answer;
    uint64_t sent;
    uint64_t due_ns;         /* the answer's next byte may not go before */
    struct site *site;       /* whose script it plays; NULL: none */
    const struct step *step; /* of the script: what follows `answer` */
};

/* Adds to a counter; the second one with `mutex` held. Both wake who waits for it. */
void origin_add(struct origin *origin, enum origin_counter counter, int by);
void origin_add_locked(struct origin *origin, enum origin_counter counter, int by);

/* Changes what epoll watches `fd` for; `who` comes back with its events. */
void origin_watch(struct origin *origin, int fd, void *who, uint32_t interest);

/* A descriptor is free again: accepts, if accepting was paused for the lack of one. */
void origin_accept_again(struct origin *origin);

/*
 * Makes a connection of a socket that was accepted, at `site` or (NULL) the origin's own address.
 * Takes `fd` over unless it returns a negative errno.
 */
int connection_start(struct origin *origin, int fd, struct site *site);

/* Takes a connection as far as it gets; it may be gone afterwards. */
void connection_run(struct origin *origin, struct connection *connection);

/* What epoll has said about a connection; it may be gone afterwards. */
void connection_event(struct origin *origin, struct connection *connection, uint32_t events);

/* -- scripts, origin_script.c ------------------------------------------------------------------ */

/* Accepts where somebody waits at a site. */
void sites_accept(struct origin *origin);
void sites_free(struct origin *origin);

/* Whether the site's next answer does not wait for a request. */
bool script_speaks_first(struct origin *origin, struct site *site);

/*
 * Make `c->answer` of the first steps of the site's next answer, that to `head` (empty: to none);
 * and of the steps that follow it. 0 or -ENOMEM.
 */
int script_begin(struct origin *origin, struct connection *c, struct bytes head);
int script_continue(struct connection *c);

/* -- the end ----------------------------------------------------------------------------------- */

/* Closes and frees a connection, whatever it is doing. */
void connection_end(struct origin *origin, struct connection *connection);

#endif
