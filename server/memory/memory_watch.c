#include "server/memory/memory_watch.h"

#include "core/async/runtime.h"
#include "core/async/task.h"
#include "core/base/clock.h"
#include "core/base/heap.h"
#include "server/log.h"
#include "server/memory/cgroup.h"
#include "server/watch/process.h"

enum {
    MEASURE_EVERY_MS = 100,
    MEASURE_IDLE_MS = 500, /* without a ceiling */

    /* When holes of so many bytes are given back: as nothing runs, or room is short; or while
     * batches run, which would take most of them again. */
    TRIM_LEAST = 4 << 20,
    TRIM_BUSY_LEAST = 64 << 20,
    TRIM_SHORT_MS = 1000,
    TRIM_QUIET_MS = 1000,
    TRIM_BUSY_MS = 10000,

    WORKER_KEEP = 16 << 20, /* what a worker may keep then */

    GROUP_SHARE = 8, /* of a control group's limit, that is left to the kernel's buffers */

    TELL_AGAIN_MS = 5000, /* without a refusal: the log says that it is over */
};

#define GROUP_SELF "/proc/self/cgroup"
#define GROUP_ROOT "/sys/fs/cgroup"

uint64_t memory_ceiling(uint64_t max_memory, uint64_t workers, uint64_t max_page_bytes,
                        const char **ret_source)
{
    *ret_source = "--max-memory";
    if (max_memory != MEMORY_AUTO)
        return max_memory;

    uint64_t limit = cgroup_memory_limit(GROUP_SELF, GROUP_ROOT);
    uint64_t floor = memory_floor(workers, max_page_bytes);
    limit -= limit / GROUP_SHARE;
    *ret_source = "7/8 of the control group's limit";
    if (limit == 0 || limit >= floor)
        return limit;
    *ret_source = "what these --workers need; the control group's limit is lower";
    return floor;
}

/* -- giving back ------------------------------------------------------------------------------- */

/* On a thread, though the loop cannot allocate meanwhile: it may do what needs no memory. */
static void trim_run(task *t, void *frame)
{
    (void)t;
    (void)frame;
    heap_trim();
}

TASK(trim_task, ON_THREAD, 0, .run = trim_run);

static uint64_t age_ms(uint64_t since_ns, uint64_t now_ns)
{
    return (now_ns - since_ns) / NS_PER_MS;
}

static bool is_quiet(const struct memory_watch *w, uint64_t now_ns)
{
    return age_ms(w->busy_ns, now_ns) >= TRIM_QUIET_MS;
}

static bool should_trim(const struct memory_watch *w, uint64_t holes, uint64_t now_ns)
{
    uint64_t age = age_ms(w->trim_ns, now_ns);

    if (w->trimmed || holes < TRIM_LEAST)
        return false;
    if (w->memory->is_short)
        return age >= TRIM_SHORT_MS;
    if (is_quiet(w, now_ns))
        return age >= TRIM_QUIET_MS;
    return holes >= TRIM_BUSY_LEAST && age >= TRIM_BUSY_MS;
}

/* What is resident here and nobody has asked for grows with the holes of malloc. */
static void give_back(struct memory_watch *w, uint64_t now_ns)
{
    uint64_t counted = w->memory->filled + w->memory->held;
    uint64_t beside = w->own_bytes > counted ? w->own_bytes - counted : 0;

    if (w->trimmed && future_settled(w->trimmed)) {
        w->trimmed = future_drop(w->trimmed);
        w->kept_bytes = beside;
    }
    if (beside < w->kept_bytes)
        w->kept_bytes = beside;
    if (!should_trim(w, beside - w->kept_bytes, now_ns))
        return;
    w->trim_ns = now_ns;
    w->trimmed = task_start(&trim_task, NULL);
}

/* -- measuring --------------------------------------------------------------------------------- */

/* A request can be refused for its size alone: what is told is whether any are. */
static void tell_state(struct memory_watch *w, uint64_t now_ns)
{
    const struct memory *m = w->memory;

    if (m->is_short || m->refused > w->refused)
        w->refused_ns = now_ns;
    w->refused = m->refused;
    if (!w->told_short && w->refused_ns == now_ns) {
        w->told_short = true;
        log_warn("memory is short: new batches are refused", log_unsigned("ceiling", m->ceiling),
                 log_unsigned("taken", memory_total(m)));
    } else if (w->told_short && age_ms(w->refused_ns, now_ns) >= TELL_AGAIN_MS) {
        w->told_short = false;
        log_info("memory is no longer short", log_unsigned("ceiling", m->ceiling),
                 log_unsigned("taken", memory_total(m)), log_unsigned("refused", m->refused));
    }
}

static void measure(struct memory_watch *w, uint64_t now_ns)
{
    struct schedule *schedule = fetcher_schedule(w->batches->fetcher);
    bool idle = is_quiet(w, now_ns) || w->memory->is_short;

    if (!list_empty(&w->batches->running))
        w->busy_ns = now_ns;
    w->own_bytes = process_resident_bytes();
    w->worker_bytes = async_measure_workers(idle ? WORKER_KEEP : 0);
    memory_measure(w->memory, &(struct memory_sample){
                                  .own = w->own_bytes,
                                  .workers = w->worker_bytes,
                                  .fetches = schedule_active(schedule),
                                  .held = schedule_held(schedule),
                                  .now_ns = now_ns,
                              });
    tell_state(w, now_ns);
    batches_share(w->batches);
    schedule_look_again(schedule);
    give_back(w, now_ns);
}

static void on_timer(struct timer *timer)
{
    struct memory_watch *w = CONTAINER_OF(timer, struct memory_watch, timer);
    uint64_t now = loop_now_ns();

    measure(w, now);
    timer_set(timer,
              clock_after_ms(now, w->memory->ceiling > 0 ? MEASURE_EVERY_MS : MEASURE_IDLE_MS));
}

void memory_watch_start(struct memory_watch *w)
{
    w->timer.fire = on_timer;
    w->trim_ns = w->busy_ns = loop_now_ns();
    w->kept_bytes = UINT64_MAX;
    on_timer(&w->timer);
}

void memory_watch_stop(struct memory_watch *w)
{
    timer_clear(&w->timer);
    w->trimmed = future_drop(w->trimmed);
}
