/*
 * What the files of this room share and nobody else includes: the inside of futures, tasks and
 * scopes, and the doors between the runtime's parts.
 */
#ifndef SKIMD_ASYNC_INTERNAL_H
#define SKIMD_ASYNC_INTERNAL_H

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
 * A one-byte lock for sections of a few instructions that never block: a future's list of waiters,
 * a scope's list of members. There are millions of futures; a mutex has 40 bytes.
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
    void (*cancel)(future *f);  /* loop thread, once, only while pending; NULL: it can't be */
    void (*release)(future *f); /* frees the memory around `f`; NULL: it is static */
};

struct future {
    const struct future_class *class;
    atomic_uint references;
    atomic_uchar state; /* enum future_state; written once, under the lock, released */
    struct tiny_lock lock;
    atomic_bool cancel_asked;
    int error;
    void *value;
    destroy_fn *destroy;
    struct list waiters;
    struct job cancel_job;
};

void future_init(future *f, const struct future_class *class, unsigned references);

/* promise_new() for a runtime that is starting or known to run. */
promise *promise_make(future **ret_future);

/* A shared future that has failed with -EPIPE. */
future *future_broken_pipe(void);

/* Cancels every pending future_at(): the loop's last turns, so that none outlives the runtime. */
void future_cancel_sleepers(void);

/* Settles; consumes `value`. 0, or -EALREADY. Any thread. */
int future_settle(future *f, enum future_state state, int error, void *value, destroy_fn *destroy);

/* Enters `w`, unless `f` is settled already: then false, and `w` is not touched again. */
bool future_add_waiter(future *f, struct waiter *w);

/* Takes `w` off, if it is still on; afterwards its `fire` neither runs nor will. */
void future_remove_waiter(future *f, struct waiter *w);

/* -- task -------------------------------------------------------------------------------------- */

struct task {
    future future; /* first: a task is its future */
    const struct task_def *def;
    struct scope *scope;
    struct list member; /* in scope->tasks, under the scope's lock */
    struct job job;     /* start, resume, or the end of a process call */
    /* the result, until the task ends */
    enum future_state outcome;
    int error;
    void *value;
    destroy_fn *destroy;
    union {
        struct {             /* ON_LOOP */
            future *awaited; /* borrowed from the frame; NULL while not parked */
            struct waiter waiter;
            int resume_line;
            unsigned ready_awaits; /* in a row, without going back to the loop */
            bool cancel_told;      /* a task that catches it was resumed with the cancel */
        };
        struct {                /* ON_THREAD */
            struct list queued; /* in the pool's queue, under the pool's lock */
        };
        struct { /* ON_PROCESS, loop thread only */
            struct list waiting;
            struct worker *worker;
            bool retried;
        };
    };
    alignas(max_align_t) char frame[];
};

/* The task that runs on this thread, or NULL. */
task *task_current(void);

/* Runs `def->run` of a thread task on this (pool) thread and ends it. */
void task_run_here(task *t);

/* Ends a task with what it gave (or cancelled): drops the frame, settles, leaves the scope. */
void task_end(task *t);
void task_end_cancelled(task *t);

/* -- scope ------------------------------------------------------------------------------------- */

/* Enters / removes a task. -ECANCELED or -ESHUTDOWN when the scope takes no more. */
int scope_enter(struct scope *s, task *t, bool from_inside);
void scope_leave(struct scope *s, task *t);
uint64_t scope_deadline_ns(const struct scope *s);
struct scope_queue *scope_queue_of(struct scope *s);

struct scope *scope_new_root(void);

/* -- runtime ----------------------------------------------------------------------------------- */

enum thread_role { ROLE_PLAIN, ROLE_LOOP, ROLE_POOL, ROLE_WORKER };
extern _Thread_local enum thread_role thread_role;

struct scope *runtime_root(void);

/* Starts a thread with all signals blocked: those are the application's. 0 or negative errno. */
int start_thread(pthread_t *ret_thread, void *(*main)(void *));

enum counter {
    COUNT_FUTURES,
    COUNT_TASKS,
    COUNT_SCOPES,
    COUNT_WORKERS,
    COUNT_WORKERS_LOST,
    COUNTERS
};
void count(enum counter which, long change);

/* -- loop, thread pool, process pool: started and stopped by the runtime ----------------------- */

int loop_start(void);
void loop_stop(void); /* after everything else has ended: joins the thread, frees all */

int thread_pool_start(unsigned threads);
void thread_pool_stop(void);
void thread_pool_submit(task *t);
bool thread_pool_withdraw(task *t); /* true: it was queued and will not run */
void thread_pool_post(struct job *job);
bool thread_pool_block(void); /* this pool thread is about to block; false: it must not */
void thread_pool_unblock(void);

void process_pool_configure(const struct async_options *options); /* before the first submit */
void process_pool_stop(void);                                     /* loop thread */
void process_pool_submit(task *t);                                /* loop thread */
void process_pool_cancel(task *t);                                /* loop thread */

#endif
