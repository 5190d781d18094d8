/*
 * Host names to addresses: c-ares on the runtime's loop, behind a cache of our own.
 *
 * libcurl is never asked to look a name up: its resolver is a thread for each name that is joined
 * when the transfer ends, and its cache is walked for each transfer.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_RESOLVE_H
#define SKIMD_FETCH_RESOLVE_H

#include "core/async/future.h"
#include "core/fetch/address.h"

#include <stdbool.h>
#include <stddef.h>

struct resolver;

/* So many addresses of one name are used. */
enum { RESOLVE_ADDRESSES_MAX = 16 };

struct resolver_options {
    const char *servers;      /* "127.0.0.1:5353,[::1]:53"; NULL: those of the system */
    size_t cache_names;       /* names that are remembered, the least recently used go first */
    unsigned try_timeout_ms;  /* for the first answer of a server; doubles with each round */
    unsigned tries;           /* rounds over the servers */
};

/*
 * The value of a look-up: at least one address, of port 0, families interleaved in the order in
 * which they should be tried (RFC 6724 is not applied; RFC 8305 section 4: IPv6 first).
 */
struct resolution {
    unsigned count;
    struct address addresses[];
};

/* The detail of a failed look-up; the error is FETCH_DNS_FAILURE. */
struct resolve_failure {
    bool temporary; /* asking again may help: no answer, or SERVFAIL; not for names that do not exist */
    char message[128]; /* "Could not resolve host: a.example (no such name)" */
};

/* NULL and errno when memory is exhausted (ENOMEM) or `servers` is no such list (EINVAL). */
struct resolver *resolver_new(const struct resolver_options *options);

/* Look-ups under way are cancelled. NULL is fine. Returns NULL. */
struct resolver *resolver_free(struct resolver *r);

/*
 * Looks `host` up (a name in ASCII, no address literal; copied): A and AAAA, the hosts file first.
 * The value is a `struct resolution`, shared with the cache. Look-ups of the same name at the same
 * time are one; cancelling gives up the wait, not the look-up, whose answer is remembered. Answers
 * are kept for their TTL (between 1 s and an hour), failures for a few seconds (temporary) or half
 * a minute.
 */
future *resolve(struct resolver *r, const char *host);

#endif
