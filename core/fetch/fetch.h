/*
 * Fetching: one URL in, its final answer out, through redirects, retries and the queues of the
 * origins on the way. A loop task; see README.md for how the parts fit.
 */
#ifndef SKIMD_FETCH_FETCH_H
#define SKIMD_FETCH_FETCH_H

#include "core/async/future.h"
#include "core/base/bytes.h"
#include "core/fetch/fetch_error.h"
#include "core/fetch/guard.h"
#include "core/fetch/schedule.h"
#include "core/fetch/transfer.h"

#include <stdint.h>

struct fetcher;

struct fetcher_options {
    const struct guard *guard; /* borrowed; outlives the fetcher */
    unsigned concurrency;      /* fetches under way in all */
    unsigned per_origin;       /* and at one origin */
    uint64_t delay_ms;         /* between two requests to an origin */
    unsigned connect_timeout_ms;
    unsigned low_speed_bytes, low_speed_ms; /* see struct engine_options */
    size_t hold_bytes; /* no fetch is started while the bodies that are held are more than this */
    size_t max_page_bytes; /* the largest that a fetch may ask for: as many as fit into hold_bytes
                              may grow above LARGE_BODY_BYTES at a time */
    bool (*has_room)(void *arg, size_t active, size_t held); /* see struct schedule_options */
    void *has_room_arg;
    const char *user_agent;  /* of what is fetched on its own account (robots.txt); borrowed */
    const char *ca_file;     /* borrowed; NULL: the system's */
    const char *proxy;       /* borrowed; NULL: none */
    const char *dns_servers; /* borrowed; NULL: the system's */
};

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

/*
 * Loop thread. NULL and errno: ENOMEM, or EINVAL with `*ret_message`, a static text that says which
 * option is at fault.
 */
struct fetcher *fetcher_new(const struct fetcher_options *options, const char **ret_message);

/* How many descriptors fetches may take, connections that are kept included. Any thread. */
size_t fetcher_descriptors(size_t concurrency);

/* Ends what the fetcher does by itself (robots.txt). Loop thread, once, when no fetch is under way.
 */
future *fetcher_close(struct fetcher *f);

/* Loop thread, when fetcher_close() has settled and no page is held. NULL is fine. Returns NULL. */
struct fetcher *fetcher_free(struct fetcher *f);

/* For flow_new() and the reports. */
struct schedule *fetcher_schedule(struct fetcher *f);

/* For those who watch. Loop thread. */
struct fetcher_stats {
    struct schedule_stats schedule;
    size_t connections;      /* to hosts, that are open, idle ones included */
    uint64_t received_bytes; /* of bodies, so far, as they came over the wire */
};
struct fetcher_stats fetcher_stats(const struct fetcher *f);

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
