#include "core/fetch/fetcher.h"

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/fetch/fetcher_internal.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    TLS_ENGINES = 8, /* each reads the certificates, which takes as much time as 20 handshakes */

    DNS_NAMES = 65536,
    DNS_TRY_MS = 1000,
    DNS_TRIES = 5, /* c-ares 1.34 waits less and less for a server that is quick otherwise */
    /* Each transfer under way has a buffer, and many large ones do not stay in the processor's
     * cache: pages of 16 KiB cost a tenth more with 64 KiB. Those of 160 KiB cost a tenth less, as
     * they take a quarter of the calls. */
    RECEIVE_BUFFER_BYTES = 16 << 10,
    RECEIVE_BUFFER_MOST = 64 << 10,
    RECEIVE_BUFFERS_BYTES = 64 << 20, /* of all transfers, where they have the large ones */
};

/* -- life -------------------------------------------------------------------------------------- */

static void hold(void *arg, ptrdiff_t change)
{
    struct fetcher *f = arg;

    schedule_hold(f->schedule, change);
}

static bool make_queues(struct fetcher *f)
{
    const struct fetcher_options *o = &f->options;
    size_t places = o->hold_bytes / o->max_page_bytes;

    large_bodies_init(&f->large, places > 0 ? (unsigned)places : 1);
    f->schedule = schedule_new(&(struct schedule_options){
        .concurrency = o->concurrency,
        .per_origin = o->per_origin,
        .delay_ms = o->delay_ms,
        .hold_bytes = o->hold_bytes,
        .has_room = o->has_room,
        .has_room_arg = o->has_room_arg,
    });
    if (f->schedule)
        f->flow = flow_new(f->schedule, &(struct flow_options){.per_origin = UINT_MAX});
    f->scope = scope_new(CLOCK_NEVER, 0);
    if (f->scope)
        f->robots = robots_files_new(f, f->scope, o->user_agent, o->hold_bytes);
    return f->flow && f->robots;
}

static bool make_engines(struct fetcher *f)
{
    const struct fetcher_options *o = &f->options;
    struct engine_options options = {
        .guard = o->guard,
        .connect_timeout_ms = o->connect_timeout_ms,
        .max_connections = o->concurrency,
        .low_speed_ms = o->low_speed_ms,
        .low_speed_bytes = o->low_speed_bytes,
        .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
        .receive_buffer_most =
            o->concurrency <= RECEIVE_BUFFERS_BYTES / RECEIVE_BUFFER_MOST ? RECEIVE_BUFFER_MOST : 0,
        .ca_file = o->ca_file,
        .proxy = o->proxy,
        .hold = hold,
        .hold_arg = f,
        .large = &f->large,
    };

    for (size_t i = 0; i < ENGINES; i++) {
        f->engines[i] = engine_new(&options);
        if (!f->engines[i])
            return false;
    }
    return true;
}

static const char *make(struct fetcher *f)
{
    errno = ENOMEM;
    if (!make_queues(f))
        return "no memory";
    f->resolver = resolver_new(&(struct resolver_options){
        .servers = f->options.dns_servers,
        .cache_names = DNS_NAMES,
        .try_timeout_ms = DNS_TRY_MS,
        .tries = DNS_TRIES,
    });
    if (!f->resolver)
        return "no resolver can be made with these name servers";
    if (!make_engines(f))
        return errno == EINVAL && f->options.ca_file
                   ? "there is no certificate (PEM) to be read in the file of those to trust"
                   : "libcurl does not take the proxy";
    return NULL;
}

size_t fetcher_descriptors(size_t concurrency)
{
    return ENGINES * concurrency;
}

struct fetcher *fetcher_new(const struct fetcher_options *options, const char **ret_message)
{
    struct fetcher *f = calloc(1, sizeof *f);

    *ret_message = "no memory";
    errno = ENOMEM;
    if (!f || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(f);
        return NULL;
    }
    f->options = *options;
    *ret_message = make(f);
    return *ret_message ? fetcher_free(f) : f;
}

future *fetcher_close(struct fetcher *f)
{
    scope_cancel(f->scope, -ECANCELED);
    return scope_close(f->scope);
}

struct fetcher *fetcher_free(struct fetcher *f)
{
    int error = errno;

    if (!f)
        return NULL;
    robots_files_free(f->robots);
    scope_drop(f->scope);
    for (size_t i = 0; i < ENGINES; i++)
        engine_free(f->engines[i]);
    resolver_free(f->resolver);
    flow_free(f->flow);
    schedule_free(f->schedule);
    free(f);
    curl_global_cleanup();
    errno = error;
    return NULL;
}

struct schedule *fetcher_schedule(struct fetcher *f)
{
    return f->schedule;
}

struct fetcher_stats fetcher_stats(const struct fetcher *f)
{
    struct fetcher_stats stats = {.schedule = schedule_stats(f->schedule)};

    for (size_t i = 0; i < ENGINES; i++) {
        stats.connections += engine_connections(f->engines[i]);
        stats.received_bytes += engine_received_bytes(f->engines[i]);
    }
    return stats;
}

struct engine *fetcher_engine(struct fetcher *f, const struct target *target)
{
    uint64_t hash = hash_keyed(target->origin, strlen(target->origin));

    return f->engines[hash % (target->is_tls ? TLS_ENGINES : ENGINES)];
}
