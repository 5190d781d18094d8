/*
 * Happy eyeballs (RFC 8305 section 5): the first of several addresses that can be connected to.
 *
 * libcurl is told one address for each transfer (CURLOPT_CONNECT_TO). For a host with several, the
 * first connection is made here, and the one that wins is handed to libcurl.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_DIAL_H
#define SKIMD_FETCH_DIAL_H

#include "core/async/future.h"
#include "core/fetch/address.h"
#include "core/fetch/guard.h"

#include <stdint.h>

/* A next address is tried when the one before has not answered after this, or has failed. */
enum { DIAL_STAGGER_MS = 250 };

/* The value: the address that answered first (with its port). It owns a connected socket. */
struct dialled {
    struct address address;
    int socket; /* non-blocking, close-on-exec, without Nagle's delay; -1: taken */
};

/* The detail of a failure. */
struct dial_failure {
    char message[128]; /* "Could not connect to any of 3 addresses: Connection refused" */
};

/*
 * Connects to one of `count` (>= 1) addresses (copied), in their order, at `port` (host byte
 * order), by `deadline_ns` (async_now_ns()). Addresses that the guard refuses are passed over; it
 * is borrowed until the future is settled. Attempts that have not won when one does are closed, and
 * so are all when the future is cancelled.
 *
 * Fails with an enum fetch_code: FETCH_BLOCKED_ADDRESS when the guard refused them all,
 * FETCH_CONNECT_FAILURE with the last error, FETCH_TIMEOUT, and FETCH_INTERNAL when no address was
 * left to try and there was no socket for one (too many are open).
 */
future *dial(const struct guard *guard, const struct address *addresses, unsigned count,
             uint16_t port, uint64_t deadline_ns);

/*
 * Takes the socket out of an ok dial(): the caller closes it. Once; -1 after that. The loop does
 * not watch it.
 */
int dial_take_socket(future *dialled);

#endif
