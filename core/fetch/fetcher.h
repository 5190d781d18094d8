/*
 * What fetches share, whoever asks for them: the schedule, the engines and their connections,
 * names, robots.txt files.
 *
 * Loop thread only, but for what says otherwise.
 */
#ifndef SKIMD_FETCH_FETCHER_H
#define SKIMD_FETCH_FETCHER_H

#include "core/async/future.h"
#include "core/fetch/guard.h"
#include "core/fetch/schedule.h"

#include <stdbool.h>
#include <stddef.h>
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

#endif
