/*
 * Measures what the daemon and its workers take, tells memory.h, and gives back what nobody needs
 * any more: malloc keeps the holes of a peak, and a worker what its largest page took.
 *
 * Ten times a second where there is a ceiling, else twice. Loop thread only.
 */
#ifndef SKIMD_SERVER_MEMORY_MEMORY_WATCH_H
#define SKIMD_SERVER_MEMORY_MEMORY_WATCH_H

#include "core/async/loop.h"
#include "server/batch/batch.h"
#include "server/memory/memory.h"

/* Zero-initialise, then set what is borrowed. */
struct memory_watch {
    struct memory *memory;
    struct batches *batches;
    /* read only */
    uint64_t own_bytes, worker_bytes; /* resident, when last measured */
    /* private */
    struct timer timer;
    future *trimmed;     /* of the trim that runs; NULL: none does */
    uint64_t trim_ns;    /* when the last one began */
    uint64_t kept_bytes; /* what it left at the worst: resident, and not accounted for */
    uint64_t busy_ns;    /* when a batch was last seen to run */
    uint64_t refused;    /* so many requests were, and when that was seen to grow */
    uint64_t refused_ns;
    bool told_short; /* the log's last word */
};

/*
 * The ceiling that is in force, in bytes; 0: none. `max_memory` is --max-memory; `*ret_source` says
 * where it comes from, for the log. MEMORY_AUTO takes seven eighths of what the control group may
 * take, or memory_floor() where that is more.
 */
uint64_t memory_ceiling(uint64_t max_memory, uint64_t workers, uint64_t max_page_bytes,
                        const char **ret_source);

/* Begins to measure; the fetcher must be there. */
void memory_watch_start(struct memory_watch *w);

/* Ends it; also for one that was not started. */
void memory_watch_stop(struct memory_watch *w);

#endif
