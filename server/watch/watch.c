#include "server/watch/watch.h"

#include "core/async/runtime.h"
#include "core/base/clock.h"
#include "server/batch/internal.h"
#include "server/watch/process.h"

#include <assert.h>
#include <time.h>

enum { LAG_EVERY_MS = 100 };

static_assert((int)METRIC_COUNT(METRIC_ORIGIN_STATES) == (int)HEALTH_STATE_COUNT,
              "each state of a host has its name in the metrics");

/* -- the loop's lag ---------------------------------------------------------------------------- */

static void on_lag_timer(struct timer *timer)
{
    uint64_t now = clock_now_ns();

    histogram_add(&metrics.loop_lag_us, (now - timer->at_ns) / 1000);
    timer_set(timer, clock_after_ms(now, LAG_EVERY_MS));
}

uint64_t watch_unix_time_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void watch_start(struct watch *w)
{
    w->started_ns = clock_now_ns();
    w->start_us = watch_unix_time_us();
    w->lag.fire = on_lag_timer;
    timer_set(&w->lag, clock_after_ms(w->started_ns, LAG_EVERY_MS));
}

void watch_stop(struct watch *w)
{
    timer_clear(&w->lag);
}

/* -- metrics ----------------------------------------------------------------------------------- */

static void read_fetcher(const struct watch *w, struct metrics *m)
{
    struct fetcher_stats stats = fetcher_stats(w->batches->fetcher);

    m->fetch_received_bytes = stats.received_bytes;
    m->fetches_in_flight = stats.schedule.active;
    m->fetches_limit = w->batches->config->concurrency;
    m->turns_waiting = stats.schedule.waiting;
    m->origins_waiting = stats.schedule.origins_waiting;
    for (size_t i = 0; i < HEALTH_STATE_COUNT; i++)
        m->origins[i] = stats.schedule.origins[i];
    m->fetch_connections = stats.connections;
    m->held_bytes = stats.schedule.held_bytes;
}

static void read_workers(struct metrics *m)
{
    struct async_stats stats = async_stats();
    uint64_t alive = (uint64_t)async_counts().workers, busy = (uint64_t)stats.workers_busy;
    uint64_t told = m->workers_lost[WORKER_CRASHED] + m->workers_lost[WORKER_TIMED_OUT];
    uint64_t lost = (uint64_t)stats.workers_lost;

    m->workers[WORKER_BUSY] = busy;
    m->workers[WORKER_IDLE] = alive > busy ? alive - busy : 0;
    m->workers_started = (uint64_t)stats.workers_started;
    m->workers_lost[WORKER_CANCELLED] = lost > told ? lost - told : 0;
    m->workers_recycled = (uint64_t)stats.workers_recycled;
    m->parses_waiting = (uint64_t)(stats.queued + stats.parked);
    m->parses_waiting_bytes = (uint64_t)stats.queued_bytes;
    m->parses_retried = (uint64_t)stats.tasks_retried;
    m->pages_quarantined = (uint64_t)stats.tasks_quarantined;
}

static void read_process(const struct watch *w, struct metrics *m)
{
    struct process_stats stats = process_stats();

    m->cpu_us = stats.cpu_us;
    m->open_fds = stats.open_fds;
    m->max_fds = stats.max_fds;
    m->virtual_bytes = stats.virtual_bytes;
    m->resident_bytes = stats.resident_bytes;
    m->start_us = w->start_us;
}

static void read_memory(const struct watch *w, struct metrics *m)
{
    const struct memory *memory = w->memory->memory;

    m->memory_limit_bytes = memory->ceiling;
    m->memory_taken_bytes = memory_total(memory);
    m->memory_reserved_bytes = memory->reserved;
    m->memory_refusals = memory->refused;
    m->worker_resident_bytes = w->memory->worker_bytes;
}

void watch_read(const struct watch *w, struct metrics *m)
{
    m->build[VERSION_THIS] = 1;
    m->http_requests_in_flight = http_exchanges(w->http);
    m->http_connections = http_connections(w->http);
    m->http_evictions = http_evictions(w->http);
    m->batches_running = m->urls_waiting = 0;
    LIST_FOR (link, &w->batches->running) {
        m->batches_running++;
        m->urls_waiting += batch_progress(CONTAINER_OF(link, struct batch, link)).waiting;
    }
    read_fetcher(w, m);
    read_workers(m);
    read_process(w, m);
    read_memory(w, m);
}

void watch_answer_metrics(struct watch *w, struct exchange *x,
                          const char *const paths[METRIC_PATHS])
{
    struct buffer body = {0};

    watch_read(w, &metrics);
    metrics_write(&body, &metrics, paths);
    exchange_respond(x, 200, METRICS_CONTENT_TYPE, NULL, &body);
}
