/*
 * Fetching: one URL in, its final answer out, through redirects, retries and the queues of the
 * hosts on the way. A loop task; see README.md for how the parts fit.
 */
#ifndef SKIMD_FETCH_FETCH_H
#define SKIMD_FETCH_FETCH_H

#include "core/async/future.h"
#include "core/base/bytes.h"
#include "core/fetch/fetch_error.h"
#include "core/fetch/guard.h"
#include "core/fetch/transfer.h"

#include <stdint.h>

struct fetcher;

struct fetcher_options {
    const struct guard *guard; /* borrowed; outlives the fetcher */
    unsigned concurrency;      /* fetches under way in all */
    unsigned connect_timeout_ms;
    size_t hold_bytes; /* no fetch is started while the bodies that are held are more than this */
    size_t max_page_bytes; /* the largest that a fetch may ask for: as many as fit into hold_bytes
                              may grow above LARGE_BODY_BYTES at a time */
};

/* What one fetch may do. Borrowed until its future is settled. */
struct fetch_options {
    unsigned timeout_ms; /* of transfers, redirects included; waiting for a turn does not count */
    size_t max_page_bytes;
    unsigned max_redirects;
    unsigned retries;
    unsigned per_origin; /* fetches under way at an origin for this one to start */
    const char *user_agent;
};

/* The value of a fetch: an HTTP answer of any status that is not a redirect to follow. */
struct fetch_page {
    const struct response *response;
    struct bytes final_url;
    unsigned redirects, attempts;
    uint64_t queued_us; /* waiting for turns */
    uint64_t total_us;  /* in transfers, all hops of the last attempt */
    /* private */
    future *source; /* owns the response */
    char *url;
};

/* The detail of a failed fetch; its error is an enum fetch_code (or -ENOMEM without a detail). */
struct fetch_failure {
    char message[CURL_ERROR_SIZE];
    bool retryable; /* worth asking for again later */
    unsigned attempts;
};

/* Loop thread. NULL when memory is exhausted or libcurl cannot be used. */
struct fetcher *fetcher_new(const struct fetcher_options *options);

/* Loop thread, when no fetch is under way and no page is held. NULL is fine. Returns NULL. */
struct fetcher *fetcher_free(struct fetcher *f);

/* Fetches that have their turn now, and that wait for it. Loop thread. */
size_t fetcher_active(const struct fetcher *f);
size_t fetcher_waiting(const struct fetcher *f);

/*
 * Fetches `url` (borrowed until the future is settled). The value is a `struct fetch_page`, to be
 * dropped on the loop thread. Any thread.
 */
future *fetch(struct fetcher *f, struct bytes url, const struct fetch_options *options);

#endif
