/*
 * Tasks: functions whose implementer declared where they run. Starting one gives a future; the
 * caller neither knows nor cares whether a loop, a thread or a sandboxed process does the work.
 *
 *     struct greet { future *pause; const char *name; };
 *
 *     static int greet_step(task *t, void *frame)
 *     {
 *         struct greet *g = frame;
 *         BEGIN(t);
 *         AWAIT(t, g->pause, future_at(...));
 *         ...
 *         END(t);
 *     }
 *     static void greet_drop(void *frame) { future_drop(((struct greet *)frame)->pause); }
 *
 *     TASK(greet_task, ON_LOOP, sizeof(struct greet), .step = greet_step, .drop = greet_drop);
 *
 *     future *greet(const char *name)
 *     {
 *         return task_start(&greet_task, &(struct greet){.name = name});
 *     }
 */
#ifndef SKIMD_ASYNC_TASK_H
#define SKIMD_ASYNC_TASK_H

#include "core/async/future.h"
#include "core/base/bytes.h"

#include <stddef.h>
#include <sys/types.h>

typedef struct task task;
struct scope;

/*
 * The longest reply of a worker process, in bytes. Where net.core.wmem_max is under half of it, or
 * the kernel finds no memory for one, long replies fail their tasks.
 */
enum { TASK_REPLY_MAX = 192 * 1024 };

enum task_where { ON_LOOP, ON_THREAD, ON_PROCESS };

/* What the step function of a loop task returns; use the macros. */
enum { TASK_FINISHED, TASK_PARKED };

/*
 * A task's definition: static data. The frame is the task's memory: task_start() copies the
 * caller's initial one; `drop` releases what it holds, exactly once, before the future settles.
 */
struct task_def {
    const char *name, *file; /* TASK() fills them in */
    enum task_where where;
    size_t frame_size;
    void (*drop)(void *frame);

    /*
     * ON_LOOP: see BEGIN, AWAIT, END. A negative errno that is returned fails the task. A cancelled
     * task is not stepped again: `drop` is its unwinding. One that `catches_cancel` is: it finds
     * task_cancelled(), cleans up (its awaits are not interrupted any more) and ends with
     * task_fail(t, -ECANCELED, ...) or what it has.
     */
    int (*step)(task *t, void *frame);
    bool catches_cancel;

    /* ON_THREAD: blocks as it likes on a pool thread; polls task_cancelled() where that helps. */
    void (*run)(task *t, void *frame);
    /*
     * ON_THREAD: `run` may be left to itself when it is cancelled and does not end: the future is
     * cancelled at once, `drop` is called when `run` returns, and another thread takes the place of
     * its own until then. For calls that hang at times and whose effects nobody minds. No more than
     * async_options.threads are left so at a time; beyond that, and where no thread can be started,
     * the end of `run` is waited for.
     */
    bool abandonable;

    /*
     * ON_PROCESS. `pack` (loop thread) writes the request to the worker's memory and returns its
     * length, or a negative errno, which fails the task; it is called again when the request must
     * go to another worker. `serve` (in the worker process) answers it with at most `capacity`
     * (TASK_REPLY_MAX) bytes and returns their number or a negative errno, which fails the task; it
     * should give up at `deadline_ns`. `unpack` (loop thread) gets the answer, which is hostile,
     * and calls task_return() or task_fail(); doing neither is -EBADMSG.
     *
     * `serve` computes, and nothing else: any system call but those of malloc (output, files,
     * sleeping) kills the worker by SIGSYS. A process task fails with what `pack` or `serve` gave,
     * with -ECANCELED in a cancelled or overdue scope, and with
     *   -EOWNERDEAD       the worker died (the hook `worker_lost` tells how)
     *   -ENOTRECOVERABLE  this same request has killed two workers already, and is in quarantine
     *   -ETIMEDOUT        it overran `timeout_ms` (or its scope's deadline) by 250 ms: killed
     *   -EBADMSG          the worker said what makes no sense
     *   -EMSGSIZE         request or reply are too long
     *   -ENOBUFS, -ENOMEM the kernel had no memory for the reply
     *   -ECHILD           no worker can be started
     */
    ssize_t (*pack)(void *frame, char *request, size_t capacity);
    ssize_t (*serve)(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity);
    void (*unpack)(task *t, void *frame, struct bytes reply);
    /*
     * ON_PROCESS, optional: runs in each new worker before its sandbox closes, to open what `serve`
     * needs. 0 or a negative errno, with which the worker ends.
     */
    int (*prepare)(void);
    /* ON_PROCESS, optional: bytes that the frame keeps while it waits (see process_room()). */
    size_t (*size)(const void *frame);
    unsigned timeout_ms; /* ON_PROCESS: told to `serve` as its deadline; 0: none */
    bool idempotent;     /* ON_PROCESS: may be run a second time when its worker died */
};

/*
 * Declares a definition and enters it in the table by whose index workers are told what to run.
 *     TASK(name, where, frame_size, .field = ...);
 */
#define TASK(def, where_, frame_size_, ...)                                                        \
    static const struct task_def def = {.name = #def,                                              \
                                        .file = __FILE__,                                          \
                                        .where = (where_),                                         \
                                        .frame_size = (frame_size_),                               \
                                        __VA_ARGS__};                                              \
    static const struct task_def *const def##_entry                                                \
        __attribute__((section("async_tasks"), used, retain)) = &def

/*
 * Starts a task in the scope of the task that is running here (else in the runtime's own scope),
 * or in `scope`. `frame` (`def->frame_size` bytes; NULL: all zero) is copied. The task takes over
 * what it holds, whatever the outcome: where it can't start, `def->drop` is called and the future
 * is settled (cancelled in a cancelled or closed scope). It never runs inside this call. Starts the
 * runtime if need be. Any thread.
 */
future *task_start(const struct task_def *def, void *frame);
future *task_start_in(struct scope *scope, const struct task_def *def, void *frame);

/*
 * Backpressure for those who make requests for worker processes: settles ok when `bytes` more fit
 * into the queue of process tasks (async_options.queue_bytes), or nothing waits there: it bounds
 * what comes to those that wait, not what many start at once in an idle pool. First come, first
 * served. A process task that is started when the queue is full is parked in front of it, and
 * with it whoever awaits it; nothing is ever dropped. Any thread.
 */
future *process_room(size_t bytes);

/* -- inside a task ----------------------------------------------------------------------------- */

/*
 * Give the result; the task settles with it when it ends (a task that gives none is ok without a
 * value). They consume `value`, which outlives the frame: without `destroy` it must be static. As
 * with promises, `error` is negative errno or a positive code of the task's module.
 */
void task_return(task *t, void *value, destroy_fn *destroy);
void task_fail(task *t, int error, void *detail, destroy_fn *destroy);

/*
 * True once cancelling was asked for, of the task or of its scope: from then on the scope refuses
 * new tasks, so what this one still starts is cancelled, too. Any thread.
 */
bool task_cancelled(const task *t);

/*
 * A loop task is a function that is called again where it left off, so locals do not survive an
 * AWAIT: what must live on is in the frame. No AWAIT inside a nested switch, none between a
 * declaration with an initialiser and its use.
 */
#define BEGIN(t)                                                                                   \
    switch (task_resume_point(t)) {                                                                \
    default:                                                                                       \
        return task_lost_place(t);                                                                 \
    case 0:

/*
 * Evaluates `expression` to a future, which `slot` then owns (what it held before is dropped), and
 * goes on when it is settled, in whatever state.
 */
#define AWAIT(t, slot, expression)                                                                 \
    do {                                                                                           \
        {                                                                                          \
            future *awaited_ = (expression);                                                       \
            future_drop(slot);                                                                     \
            (slot) = awaited_;                                                                     \
            if (!task_await((t), awaited_, __LINE__))                                              \
                return TASK_PARKED;                                                                \
        }                                                                                          \
        __attribute__((fallthrough));                                                              \
    case __LINE__:;                                                                                \
    } while (0)

#define END(t)                                                                                     \
    }                                                                                              \
    (void)(t);                                                                                     \
    return TASK_FINISHED

/*
 * For the macros: where to go on; park until `f` is settled (true: it is, go on at once); abort,
 * with a message, as there is no AWAIT in this step where the task should go on.
 */
int task_resume_point(const task *t);
bool task_await(task *t, future *f, int line);
int task_lost_place(const task *t) __attribute__((noreturn));

#endif
