/*
 * What the files of this room share and nobody else includes: the inside of futures, tasks and
 * scopes, and the doors between the runtime's parts.
 */
#ifndef SKIMD_ASYNC_INTERNAL_H
#define SKIMD_ASYNC_INTERNAL_H

#include "core/async/context.h"
#include "core/async/future.h"
#include "core/async/loop.h"
#include "core/async/runtime.h"
#include "core/async/scope.h"
#include "core/async/task.h"
#include "core/base/list.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>

/* -- lock -------------------------------------------------------------------------------------- */

/*
 * A one-byte lock for short sections: a future's list of waiters, a scope's list of members. There
 * are millions of futures; a mutex has 40 bytes. Where a section is not that short (a scope tells
 * its tasks of a cancel, async_dump() walks all scopes), those who start tasks there spin
 * meanwhile. Taken in this order: outer scope, inner scope, future, the thread pool's mutex.
 */
struct tiny_lock {
    atomic_uchar held;
};

static inline void tiny_lock(struct tiny_lock *l)
{
    while (atomic_exchange_explicit(&l->held, 1, memory_order_acquire))
        for (int spins = 0; atomic_load_explicit(&l->held, memory_order_relaxed); spins++)
            if (spins > 64)
                sched_yield();
}

static inline void tiny_unlock(struct tiny_lock *l)
{
    atomic_store_explicit(&l->held, 0, memory_order_release);
}

/* -- future ------------------------------------------------------------------------------------ */

/*
 * Somebody who waits for a future. `fire` is called once, with the future's lock held, on the
 * thread that settles: all it may do is hand work to an executor or wake a thread.
 */
struct waiter {
    struct list link;
    void (*fire)(struct waiter *w);
};

/* What differs between the futures of promises, of tasks, and the shared settled ones. */
struct future_class {
    /*
     * Carries a cancel request to the loop thread; on any thread, once, with a reference for it to
     * drop there. NULL: the future can't be cancelled.
     */
    void (*ask_cancel)(future *f);
    void (*release)(future *f); /* frees the memory around `f`; NULL: it is static */
};

struct future {
    const struct future_class *class;
    atomic_uint references;
    atomic_uchar state; /* enum future_state; written once, under the lock, released */
    struct tiny_lock lock;
    atomic_bool cancel_asked;
    atomic_bool seen; /* somebody asked how it failed */
    int error;
    /* Of a task, here because there is room. */
    atomic_uchar signals;       /* enum signal: why its job is queued */
    unsigned char outcome;      /* enum future_state: what it will be settled as */
    unsigned char ready_awaits; /* in a row, without going back to the loop */
    bool cancel_told;           /* a task that catches it was resumed with the cancel */
    void *value;                /* a task's from task_return() on; others see it when settled */
    destroy_fn *destroy;
    struct list waiters;
};

void future_init(future *f, const struct future_class *class, unsigned references);

/* promise_new() for a runtime that is starting or known to run. */
promise *promise_make(future **ret_future);

/* A shared future that has failed with `error`: -EPIPE or -EINVAL. */
future *future_broken_pipe(void);
future *future_invalid(void);

/*
 * From the one on, future_at() does what it says; from the other on it is cancelled, as are those
 * that are pending: when all tasks have ended, nothing waits for the time any more. Before the loop
 * starts; loop thread.
 */
void future_let_sleep(void);
void future_end_sleep(void);

/* Settles; consumes `value`. 0, or -EALREADY. Any thread. */
int future_settle(future *f, enum future_state state, int error, void *value, destroy_fn *destroy);

/* Settles a task's future with what is in it already; nobody else settles that. */
void future_settle_kept(future *f);

/* State and error without a look at them: for whoever passes them on. */
static inline int future_peek_error(const future *f)
{
    return future_settled(f) ? f->error : 0;
}

static inline enum future_state future_peek_state(const future *f)
{
    return atomic_load_explicit(&f->state, memory_order_acquire);
}

/* Enters `w`, unless `f` is settled already: then false, and `w` is not touched again. */
bool future_add_waiter(future *f, struct waiter *w);

/* Takes `w` off, if it is still on; afterwards its `fire` neither runs nor will. */
void future_remove_waiter(future *f, struct waiter *w);

/* True of the jobs of continuations: the mock may run them in any order. */
bool future_job_is_continuation(const struct job *job);

/* -- task -------------------------------------------------------------------------------------- */

struct task {
    future future; /* first: a task is its future */
    const struct task_def *def;
    struct scope *scope;
    struct list member; /* in scope->tasks, under the scope's lock */
    struct job job;     /* for its signals, on the loop */
    struct context *context;
    uint32_t id, parent;  /* 0: it was started outside of tasks */
    uint32_t since_ticks; /* when it was queued, parked, begun: see task_ticks() */
    int resume_line;      /* ON_LOOP: of the AWAIT; 0: it has not begun */
    union {
        struct {             /* ON_LOOP */
            future *awaited; /* borrowed from the frame; NULL while not parked */
            struct waiter waiter;
        };
        struct {                                  /* ON_THREAD, set under the pool's lock */
            struct list queued;                   /* in the pool's queue */
            _Atomic(struct pool_thread *) runner; /* while it runs */
            bool abandoned;
        };
        struct { /* ON_PROCESS, loop thread only */
            struct list waiting;
            struct worker *worker;
            uint32_t queued_bytes; /* what it counts for in the queue */
            bool retried, parked;
        };
    };
    alignas(max_align_t) char frame[];
};

/* The task that runs on this thread, or NULL. */
task *task_current(void);

/* The class of a thread task's future: whether `f` is one, and which. NULL when it is not. */
task *task_on_thread(future *f);

/* Any task's; NULL for the future of a promise. */
const task *task_of(const future *f);

/* Runs `def->run` of a thread task on this (pool) thread; false: it was cancelled before. */
bool task_run_here(task *t);

/* Ends a task with what it gave (or cancelled): drops the frame, settles, leaves the scope. */
void task_end(task *t);
void task_end_cancelled(task *t);

/*
 * The two halves of the end of an abandoned task: the loop settles it as cancelled while it runs,
 * and its scope (referenced for it) loses it; its thread frees the rest when it returns.
 */
void task_abandon(task *t);
void task_end_abandoned(task *t);

/* A clock of some ms that fits a task's 32 bits: 2^20 ns a tick, around in 52 days. */
uint32_t task_ticks(uint64_t now_ns);

/* True of the jobs that resume tasks: the mock may run them in any order. */
bool task_job_is_task(const struct job *job);

/* -- scope ------------------------------------------------------------------------------------- */

/* Enters / removes a task. -ECANCELED or -ESHUTDOWN when the scope takes no more. */
int scope_enter(struct scope *s, task *t, bool from_inside);
void scope_leave(struct scope *s, task *t);

/* A task of `s` has failed with `error`. True when that is the scope's own outcome now. */
bool scope_child_failed(struct scope *s, int error);

/* References for who needs the scope's memory longer than its tasks live. */
struct scope *scope_ref(struct scope *s);
void scope_unref(struct scope *s);

uint64_t scope_deadline_ns(const struct scope *s);
struct scope_queue *scope_queue_of(struct scope *s);

struct scope *scope_new_root(void);

/* Calls `fn` for each task below `top`, in no order; it must not start or end any. Loop thread. */
void scope_for_each_task(struct scope *top, void (*fn)(task *t, void *arg), void *arg);

/* -- context ----------------------------------------------------------------------------------- */

/* What runs here has; borrowed, NULL when empty. */
struct context *context_here(void);
struct context *context_ref(struct context *c); /* NULL is fine, as in the next */
void context_drop(struct context *c);

/* Gives this thread, outside of tasks, another context, owned; returns the one it had, owned. */
struct context *context_swap(struct context *c);

/* The wire form: at most CONTEXT_WIRE_MAX bytes written to `out`; returns their number. */
enum { CONTEXT_WIRE_MAX = CONTEXT_BYTES_MAX + 1024 };
size_t context_pack(const struct context *c, char *out);

/* In a worker: what context_get() sees from now on, borrowed. -EBADMSG: malformed; then nothing. */
int context_enter_packed(struct bytes packed);

/* -- runtime ----------------------------------------------------------------------------------- */

enum thread_role { ROLE_PLAIN, ROLE_LOOP, ROLE_POOL, ROLE_WORKER };
extern _Thread_local enum thread_role thread_role;

struct epoll_event;

/* What the runtime takes from outside. A mock puts something else in its place. */
struct world {
    uint64_t (*now_ns)(void);
    /*
     * As epoll_wait, until `until_ns` (0: without waiting; CLOCK_NEVER: for ever). Returns the
     * number of events.
     */
    int (*poll)(int epoll, struct epoll_event *events, int capacity, uint64_t until_ns);
    /* The jobs that are ready, in the order in which they shall run. NULL: as they came. */
    struct job *(*order)(struct job *ready);
    /* After a round of jobs, or a timer: true ends their turn, though more are due. NULL: no. */
    bool (*turn_ends)(void);
    /* Which of the timers of the same ns as the first fires next. NULL: the first of the heap. */
    struct timer *(*pick_timer)(struct timer *const *heap, size_t n);
    /*
     * future_wait() on a plain thread. NULL: it blocks, since the loop has a thread of its own;
     * else the loop has none, and turns in here.
     */
    int (*wait)(future *f, uint64_t deadline_ns);
    const struct worker_backend *workers;
};
extern const struct world real_world;

/* The world that the runtime runs in; the real one while it does not run. */
const struct world *world(void);

/* Starts the runtime in `w`, with `options` instead of the configured ones. -EBUSY: it runs. */
int runtime_start_in(const struct world *w, const struct async_options *options);

struct scope *runtime_root(void);
const struct async_hooks *runtime_hooks(void);

/* Starts a thread with all signals blocked: those are the application's. 0 or negative errno. */
int start_thread(pthread_t *ret_thread, void *(*main)(void *), void *arg);

enum counter {
    COUNT_FUTURES,
    COUNT_TASKS,
    COUNT_SCOPES,
    COUNT_WORKERS,
    COUNT_WORKERS_STARTED,
    COUNT_WORKERS_LOST,
    COUNT_WORKERS_RECYCLED,
    COUNT_TASKS_RETRIED,
    COUNT_TASKS_QUARANTINED,
    COUNT_THREADS_ABANDONED,
    COUNT_WORKERS_BUSY,
    COUNT_QUEUED,
    COUNT_QUEUED_BYTES,
    COUNT_PARKED,
    COUNTERS
};
void count(enum counter which, long change);

/* -- loop, thread pool, process pool: started and stopped by the runtime ----------------------- */

/* With a thread of its own, or, in a world that has `wait`, driven by loop_turn(). */
int loop_start(uint64_t slow_callback_ns);
void loop_stop(void); /* after everything else has ended: joins the thread, frees all */

/* The poll of the real world. */
int loop_poll(int epoll, struct epoll_event *events, int capacity, uint64_t until_ns);

/* One turn, in a world without a loop thread. */
void loop_turn(void);

/* Wakes the loop for a look around. Any thread. */
void loop_wake(void);

/* The name that a slow callback is reported with, from now until it returns. Loop thread. */
void loop_callback_name(const char *name);

int thread_pool_start(unsigned threads);
void thread_pool_stop(void);
void thread_pool_submit(task *t);
void thread_pool_cancel(task *t); /* loop thread */
void thread_pool_post(struct job *job);

/* future_wait() on a pool thread. */
int thread_pool_wait(future *f, uint64_t deadline_ns);

/* Whether a thread task runs, and when it was queued or begun: see task_ticks(). */
bool thread_pool_describe(const task *t, uint32_t *ret_since_ticks);

/* Tasks and jobs that are queued or run, but for those that wait for a future. */
long thread_pool_active(void);

/* Blocks this thread until `f` is settled: the part of future_wait() that all threads share. */
int future_block(future *f, uint64_t deadline_ns);

/* Pool threads that are blocked there: those are not active. */
unsigned future_blocked_threads(void);

/* A pool thread is about to block; it goes on, as whoever wakes it, or else itself, says. */
void thread_pool_blocks(void);
void thread_pool_goes_on(void);

void process_pool_configure(const struct async_options *options); /* before the first submit */
void process_pool_stop(void);                                     /* loop thread */
void process_pool_submit(task *t);                                /* loop thread */
void process_pool_cancel(task *t);                                /* loop thread */

#endif
