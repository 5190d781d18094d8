#include "core/base/clock.h"
#include "core/fetch/lane.h"
#include "core/fetch/room.h"

#include <string.h>

/* Whether `key` is an origin of `host`: "scheme://host:port" or "scheme://[host]:port". */
static bool is_of_host(const char *key, struct bytes host)
{
    const char *start = strstr(key, "://") + 3, *end = strrchr(key, ':');

    if (*start == '[') {
        start++;
        end--;
    }
    return bytes_equal_nocase(bytes_of(start, (size_t)(end - start)), host);
}

/* When the first of the lanes that wait for this origin may go on for its own part. */
static uint64_t lanes_open_at(const struct schedule *s, const struct origin *o, bool *ret_all_ask)
{
    uint64_t first = CLOCK_NEVER;
    bool asking = false;

    LIST_FOR (link, &s->all_flows) {
        const struct flow *f = CONTAINER_OF(link, struct flow, member);
        struct lane *l;
        HASH_FIND_PTR(f->lanes, &o, l);
        if (!l || !lane_has_work(l))
            continue;
        asking = asking || l->asking;
        if (!l->asking && l->next_start_ns < first)
            first = l->next_start_ns;
    }
    *ret_all_ask = asking && first == CLOCK_NEVER;
    return first == CLOCK_NEVER ? 0 : first;
}

void schedule_report(const struct schedule *s, struct bytes host,
                     void (*tell)(void *arg, const struct origin_report *report), void *arg)
{
    uint64_t now = loop_now_ns();

    for (const struct origin *o = s->origins.table; o; o = o->hh.next) {
        if (!is_of_host(o->key, host))
            continue;
        bool all_ask;
        uint64_t opens = room_opens_at(o), lanes_open = lanes_open_at(s, o, &all_ask);
        if (lanes_open > opens)
            opens = lanes_open;
        tell(arg,
             &(struct origin_report){
                 .origin = o->key,
                 .state = health_at(&o->health, now),
                 .in_flight = o->active,
                 .limit = room_limit(o, now),
                 .queued = o->queued,
                 .next_start_in_ms = opens > now ? (opens - now + NS_PER_MS - 1) / NS_PER_MS : 0,
                 .waits_for_admission = all_ask,
                 .failures = o->health.failures,
                 .refusals = o->health.refusals,
             });
    }
}

struct schedule_stats schedule_stats(const struct schedule *s)
{
    struct schedule_stats stats = {
        .active = s->active,
        .waiting = s->waiting,
        .held_bytes = s->held,
    };
    uint64_t now = loop_now_ns();

    for (const struct origin *o = s->origins.table; o; o = o->hh.next) {
        stats.origins[health_at(&o->health, now)]++;
        stats.origins_waiting += o->queued > 0;
    }
    return stats;
}
