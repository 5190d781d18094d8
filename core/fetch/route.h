/*
 * Where a transfer connects to: libcurl asks here for each socket. What the guard refuses is not
 * connected to, and a socket that is connected already is made use of.
 *
 * Internal to transfer.c.
 */
#ifndef SKIMD_FETCH_ROUTE_H
#define SKIMD_FETCH_ROUTE_H

#include "core/fetch/address.h"
#include "core/fetch/engine_internal.h"

struct route {
    struct engine *engine;
    const struct address *address; /* where `socket` leads */
    int socket;                    /* connected, but not given to libcurl yet; -1: none */
    int given;                     /* connected, and just given to libcurl; -1: none */
    bool gave;                     /* one was given */
    const char *refused;           /* by the guard: why; NULL: it did not */
    int error;                     /* an errno: why there was no socket; 0: there was */
};

/* Sets the callbacks of a handle, for every route that `r` will be. */
CURLcode route_serve(struct route *r, struct engine *e, CURL *easy);

/* Begins a route to `address` (NULL: wherever) by `socket` (-1: none), which is consumed. */
void route_begin(struct route *r, const struct address *address, int socket);

/*
 * Whether a transfer that ended with `result` should be tried once more, now. libcurl 7.88 calls
 * connect() on a socket though it was told that it is connected. Linux answers that well for a
 * connection that came about since the last connect() returned, but not for one that was complete
 * by then, as over loopback. The next try gets a new socket.
 */
bool route_try_again(struct route *r, CURLcode result, CURL *easy);

/* Closes the socket if libcurl did not want it. Once more does nothing. */
void route_end(struct route *r);

#endif
