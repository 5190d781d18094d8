/*
 * For those who watch the daemon: what is counted as it happens stands in metrics.h already; here
 * the rest is read off the modules when somebody asks, and the loop's lag is measured by a timer.
 *
 * Loop thread only.
 */
#ifndef SKIMD_SERVER_WATCH_WATCH_H
#define SKIMD_SERVER_WATCH_WATCH_H

#include "core/async/loop.h"
#include "server/batch/batch.h"
#include "server/http/http.h"
#include "server/memory/memory_watch.h"
#include "server/watch/metrics.h"

/* Zero-initialise, then set what is borrowed. */
struct watch {
    struct batches *batches;
    struct http_server *http;
    const struct memory_watch *memory;
    const bool *leaving; /* it was asked to end */
    /* private */
    struct timer lag;
    uint64_t started_ns;
    uint64_t start_us; /* Unix time */
};

/* Begins to measure. */
void watch_start(struct watch *w);

/* Ends it; also for one that was not started. */
void watch_stop(struct watch *w);

/* Sets what is not counted as it happens. */
void watch_read(const struct watch *w, struct metrics *m);

/* GET /metrics; `paths` as metrics_write() has them. */
void watch_answer_metrics(struct watch *w, struct exchange *x,
                          const char *const paths[METRIC_PATHS]);

/* Microseconds since 1970. */
uint64_t watch_unix_time_us(void);

#endif
