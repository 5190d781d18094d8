#include "server/watch/report.h"

#include "core/async/async.h"
#include "server/log.h"
#include "server/watch/metrics.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum { REPORTED_TASKS = 50 };

/* -- hooks ------------------------------------------------------------------------------------- */

static atomic_bool slow_callbacks_wanted;

static void unseen_failure(const char *name, int error)
{
    log_warn("a failure that nobody handled", log_text("task", name ? name : "promise"),
             log_int("code", error));
}

static void slow_callback(const char *name, uint64_t took_ns)
{
    if (!atomic_load(&slow_callbacks_wanted))
        return;
    metrics.loop_stalls++;
    log_warn("the event loop was kept", log_text("by", name), log_ms("took_ms", took_ns / 1000));
}

static void worker_lost(const struct worker_loss *loss)
{
    metrics.workers_lost[loss->verdict == -ETIMEDOUT ? WORKER_TIMED_OUT : WORKER_CRASHED]++;
    log_warn("a worker was lost", log_int("pid", loss->pid),
             log_text("task", loss->task ? loss->task : "none"),
             log_text("signal", loss->signal ? sigabbrev_np(loss->signal) : "none"),
             log_int("status", loss->status), log_bool("killed", loss->verdict != 0));
}

struct async_hooks report_hooks(void)
{
    return (struct async_hooks){
        .unseen_failure = unseen_failure,
        .slow_callback = slow_callback,
        .worker_lost = worker_lost,
    };
}

void report_slow_callbacks(void)
{
    atomic_store(&slow_callbacks_wanted, true);
}

/* -- the list of tasks ------------------------------------------------------------------------- */

struct report {
    future *dump;
};

static void log_lines(const char *text)
{
    for (struct bytes rest = bytes_cstr(text); rest.len > 0;)
        log_info("tasks", log_bytes("line", bytes_split(&rest, '\n')));
}

static int report_step(task *t, void *frame)
{
    struct report *r = frame;

    BEGIN(t);
    AWAIT(t, r->dump, async_dump(REPORTED_TASKS));
    if (future_ok(r->dump))
        log_lines(future_value(r->dump));
    else
        log_warn("the tasks cannot be listed", log_errno(future_error(r->dump)));
    END(t);
}

static void report_drop(void *frame)
{
    future_drop(((struct report *)frame)->dump);
}

TASK(report_task, ON_LOOP, sizeof(struct report), .step = report_step, .drop = report_drop);

void report_tasks(void)
{
    future_drop(task_start(&report_task, &(struct report){0}));
}
