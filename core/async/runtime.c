#include "core/async/internal.h"
#include "core/base/clock.h"

#include "core/async/task_table.h"
#include "core/async/worker.h"
#include "core/async/worker_process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DEFAULT_THREADS = 4,
    DEFAULT_REQUEST_BYTES = 1 << 20,
    DEFAULT_WORKER_MEMORY = 256 << 20,
    DEFAULT_WORKER_TASKS = 100000,
    DEFAULT_QUEUE_BYTES = 64 << 20,
};

_Thread_local enum thread_role thread_role;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool running;
static struct async_options configured;
static struct scope *root;
static _Atomic(const struct world *) current_world = &real_world;

/* -- the world --------------------------------------------------------------------------------- */

static uint64_t real_now_ns(void)
{
    return clock_now_ns();
}

const struct world real_world = {
    .now_ns = real_now_ns,
    .poll = loop_poll,
    .workers = &spawned_workers,
};

const struct world *world(void)
{
    return atomic_load_explicit(&current_world, memory_order_relaxed);
}

uint64_t async_now_ns(void)
{
    return world()->now_ns();
}

/* -- counters ---------------------------------------------------------------------------------- */

/* The loop counts for itself, without a locked instruction; all others share the other row. */
static atomic_long counters[2][COUNTERS];

void count(enum counter which, long change)
{
    if (thread_role == ROLE_LOOP) {
        long now = atomic_load_explicit(&counters[0][which], memory_order_relaxed);
        atomic_store_explicit(&counters[0][which], now + change, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(&counters[1][which], change, memory_order_relaxed);
    }
}

static long counted(enum counter which)
{
    return atomic_load_explicit(&counters[0][which], memory_order_relaxed) +
           atomic_load_explicit(&counters[1][which], memory_order_relaxed);
}

/* What has happened is counted anew by each run; what is alive may be older than it. */
static void reset_counters(void)
{
    for (enum counter c = COUNT_WORKERS_STARTED; c <= COUNT_TASKS_QUARANTINED; c++)
        for (int row = 0; row < 2; row++)
            atomic_store(&counters[row][c], 0);
}

struct async_counts async_counts(void)
{
    return (struct async_counts){
        .futures = counted(COUNT_FUTURES),
        .tasks = counted(COUNT_TASKS),
        .scopes = counted(COUNT_SCOPES),
        .workers = counted(COUNT_WORKERS),
    };
}

struct async_stats async_stats(void)
{
    return (struct async_stats){
        .workers_started = counted(COUNT_WORKERS_STARTED),
        .workers_lost = counted(COUNT_WORKERS_LOST),
        .workers_recycled = counted(COUNT_WORKERS_RECYCLED),
        .tasks_retried = counted(COUNT_TASKS_RETRIED),
        .tasks_quarantined = counted(COUNT_TASKS_QUARANTINED),
        .threads_abandoned = counted(COUNT_THREADS_ABANDONED),
        .workers_busy = counted(COUNT_WORKERS_BUSY),
        .queued = counted(COUNT_QUEUED),
        .queued_bytes = counted(COUNT_QUEUED_BYTES),
        .parked = counted(COUNT_PARKED),
    };
}

/* -- life -------------------------------------------------------------------------------------- */

struct scope *runtime_root(void)
{
    return root;
}

const struct async_hooks *runtime_hooks(void)
{
    return &configured.hooks;
}

int start_thread(pthread_t *ret_thread, void *(*main)(void *), void *arg)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = -pthread_create(ret_thread, NULL, main, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int async_configure(const struct async_options *options)
{
    pthread_mutex_lock(&lock);
    int rc = atomic_load(&running) ? -EBUSY : 0;
    if (rc == 0)
        configured = *options;
    pthread_mutex_unlock(&lock);
    return rc;
}

static struct async_options with_defaults(struct async_options o)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (o.threads == 0)
        o.threads = DEFAULT_THREADS;
    if (o.workers == 0)
        o.workers = cpus > 0 ? (unsigned)cpus : 1;
    if (o.request_bytes == 0)
        o.request_bytes = DEFAULT_REQUEST_BYTES;
    if (o.worker_memory == 0)
        o.worker_memory = DEFAULT_WORKER_MEMORY;
    if (o.worker_tasks == 0)
        o.worker_tasks = DEFAULT_WORKER_TASKS;
    if (o.queue_bytes == 0)
        o.queue_bytes = DEFAULT_QUEUE_BYTES;
    return o;
}

static int start_parts(void)
{
    struct async_options now = with_defaults(configured);

    reset_counters();
    future_let_sleep();
    int rc = loop_start(now.slow_callback_ns);
    if (rc < 0)
        return rc;
    rc = thread_pool_start(now.threads);
    if (rc < 0) {
        loop_stop();
        return rc;
    }
    process_pool_configure(&now);
    root = scope_new_root();
    if (!root) {
        thread_pool_stop();
        loop_stop();
        return -ENOMEM;
    }
    atomic_store(&running, true);
    return 0;
}

/*
 * A program whose main() does not ask async_is_worker() would do in each of its workers what it
 * does in the first process: start workers, which start workers.
 */
static void refuse_to_multiply(void)
{
    static const char message[] =
        "async: this program must begin its main() with "
        "\"if (async_is_worker(argc, argv)) return async_worker_main();\"\n";

    if (!worker_was_spawned())
        return;
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) {
        /* nobody to tell */
    }
    _exit(EXIT_FAILURE);
}

/* A definition that lacks its functions is a mistake in the program: say so where it is seen. */
static void check_definitions(void)
{
    for (uint32_t i = 0; i < task_table_size(); i++) {
        const struct task_def *def = task_table_get(i);
        const char *needs[] = {
            [ON_LOOP] = ".step", [ON_THREAD] = ".run", [ON_PROCESS] = ".pack, .serve and .unpack"};
        bool complete[] = {
            [ON_LOOP] = def->step,
            [ON_THREAD] = def->run,
            [ON_PROCESS] = def->pack && def->serve && def->unpack,
        };

        if (!complete[def->where]) {
            fprintf(stderr, "async: task %s of %s needs %s\n", def->name, def->file,
                    needs[def->where]);
            abort();
        }
    }
}

static int start_locked(const struct world *w)
{
    refuse_to_multiply();
    check_definitions();
    current_world = w;
    int rc = start_parts();
    if (rc < 0)
        current_world = &real_world;
    return rc;
}

int async_start(void)
{
    if (atomic_load_explicit(&running, memory_order_acquire))
        return 0;
    if (thread_role == ROLE_WORKER)
        return -ENOTSUP;

    pthread_mutex_lock(&lock);
    int rc = atomic_load(&running) ? 0 : start_locked(&real_world);
    pthread_mutex_unlock(&lock);
    return rc;
}

int runtime_start_in(const struct world *w, const struct async_options *options)
{
    pthread_mutex_lock(&lock);
    int rc = -EBUSY;
    if (!atomic_load(&running)) {
        configured = *options;
        rc = start_locked(w);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static void stop_rest(struct job *job)
{
    (void)job;
    process_pool_stop();
    future_end_sleep(); /* a continuation on a thread, or an abandoned task, may wait for one */
}

/* Everything that runs. -EDEADLK only in a mock: something there can never end. */
static int end_tasks(void)
{
    scope_cancel(root, -ECANCELED);
    future *closed = scope_close(root);
    int rc = future_wait(closed, CLOCK_NEVER);
    future_drop(closed);
    return rc;
}

static void end_parts(void)
{
    struct job stop = {.run = stop_rest};

    loop_post(&stop);
    thread_pool_stop();
    loop_stop();
    root = scope_drop(root); /* last: until here, continuations may find that it takes no more */
    current_world = &real_world;
    atomic_store(&running, false);
}

int async_stop(void)
{
    if (thread_role != ROLE_PLAIN)
        return -EDEADLK;

    pthread_mutex_lock(&lock);
    int rc = atomic_load(&running) ? end_tasks() : 0;
    if (rc == 0 && atomic_load(&running))
        end_parts();
    pthread_mutex_unlock(&lock);
    return rc;
}
