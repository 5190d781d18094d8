/*
 * Fetching: one URL in, its final answer out, through redirects, retries and the queues of the
 * origins on the way. A loop task; see README.md for how the parts fit.
 */
#ifndef SKIMD_FETCH_FETCH_H
#define SKIMD_FETCH_FETCH_H

#include "core/async/future.h"
#include "core/base/bytes.h"
#include "core/fetch/fetch_error.h"
#include "core/fetch/fetcher.h"
#include "core/fetch/schedule.h"
#include "core/fetch/transfer.h"

#include <stdint.h>

/* What the fetches of a batch may do, and how they go about it. Borrowed until they are settled. */
struct fetch_options {
    unsigned timeout_ms; /* of look-ups and transfers, redirects included; waiting for a turn does
                            not count */
    size_t max_page_bytes;
    unsigned max_redirects;
    unsigned retries;
    const char *user_agent;
    const struct header_list *headers; /* NULL: none. To other origins they are not sent on */
    bool insecure;                     /* whatever the certificates */
    bool identity;                     /* without content codings */
    bool (*wants_type)(struct bytes content_type); /* see struct transfer_request */
};

struct fetch_request {
    struct bytes url; /* borrowed until the future is settled, as are: */
    const struct fetch_options *options;
    struct flow *flow;     /* NULL: the fetcher's own */
    struct ticket *ticket; /* a turn that has come (flow_options.begin): taken over. NULL: none */
    struct transfer_watch *watch; /* on the body of the final answer, and on those of redirects; it
                                     is used until its `release` is called. NULL: none */
};

/* The value of a fetch: an HTTP answer of any status that is not a redirect to follow. */
struct fetch_page {
    const struct response *response;
    struct bytes final_url;
    unsigned redirects, attempts;
    uint64_t queued_us;            /* waiting for turns */
    uint64_t total_us;             /* look-ups and transfers, all hops of the last attempt */
    struct transfer_timing timing; /* of the last hop, its look-up and dialling included */
    /* private */
    future *source; /* owns the response */
    char *url;
};

/* Frees the body of a page that nobody looks at any more, and gives its bytes and its place back;
 * all else of the page stays. Loop thread. */
void fetch_page_drop_body(const struct fetch_page *page);

/* The detail of a failed fetch; its error is an enum fetch_code (or -ENOMEM without a detail). */
struct fetch_failure {
    char message[CURL_ERROR_SIZE];
    bool retryable; /* worth asking for again later */
    unsigned attempts, redirects;
    char *final_url;   /* where redirects had led, and it failed; NULL: none was followed */
    uint64_t total_us; /* as of a page; 0: nothing was asked of any host in the last attempt */
};

/* For a flow that obeys robots.txt; must stay as long as the flow does. */
struct robots_policy {
    struct fetcher *fetcher;
    struct bytes product; /* robots_product() of the User-Agent that its fetches have */
};

/* Sets the options of a flow that does; its fetches then fail with FETCH_ROBOTS_DISALLOWED. */
void fetch_obey_robots(struct flow_options *flow, struct robots_policy *policy);

/*
 * Fetches. The value is a `struct fetch_page`, to be dropped on the loop thread. Any thread; with a
 * ticket, the loop thread.
 */
future *fetch(struct fetcher *f, const struct fetch_request *request);

#endif
