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

/*
 * With c-ares 1.18 a server is given up for a question after try_timeout_ms * (2^tries - 1). Newer
 * ones wait for a server that has been quick only five times as long as it took on average, at
 * least 250 ms, before they ask again; so do not give too few tries.
 */
struct resolver_options {
    const char *servers; /* "127.0.0.1:5353,[::1]:53"; NULL: those of the system, as they are now */
    size_t cache_names;  /* names that are remembered, the least recently used go first */
    unsigned try_timeout_ms; /* > 0: for the first answer of a server; doubles with each round */
    unsigned tries;          /* > 0: rounds over the servers */
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
    bool temporary;    /* asking again may help: no answer, SERVFAIL and the like */
    char message[128]; /* "Could not resolve host: a.example (no such name)" */
};

/*
 * NULL and errno: ENOMEM, EINVAL (`servers` is no such list), EIO (what the system says of its name
 * servers cannot be read). Reads files.
 */
struct resolver *resolver_new(const struct resolver_options *options);

/* Look-ups under way are cancelled. NULL is fine. Returns NULL. */
struct resolver *resolver_free(struct resolver *r);

/*
 * Looks `host` up (a name in ASCII, no address literal; copied): the hosts file first, then A and
 * AAAA. The name is taken as absolute, with or without a dot at its end: search lists and host
 * aliases of the system are not applied. The value is a `struct resolution`, shared with the cache.
 *
 * Look-ups of the same name at the same time are one; cancelling gives up the wait, not the
 * look-up, whose answer is remembered. Answers are kept for their TTL (between 1 s and an hour;
 * what the hosts file says for 1 s), failures for 2 s (temporary) or half a minute; an answer of
 * which the one question failed temporarily for half a minute at most.
 *
 * When A is answered with addresses, AAAA is waited for another 50 ms (RFC 8305 section 3). What
 * comes later is for those who ask then. A without an answer is waited for to its end, since
 * machines without IPv6 could do nothing with AAAA alone.
 *
 * More than 8192 names at a time are too many: FETCH_DNS_FAILURE, temporary.
 */
future *resolve(struct resolver *r, const char *host);

#endif
