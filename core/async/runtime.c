#include "core/async/internal.h"
#include "core/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

enum { DEFAULT_THREADS = 4, DEFAULT_REQUEST_BYTES = 1 << 20, DEFAULT_WORKER_MEMORY = 256 << 20 };

_Thread_local enum thread_role thread_role;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool running;
static struct async_options configured;
static struct scope *root;
static atomic_long counters[COUNTERS];

void count(enum counter which, long change)
{
    atomic_fetch_add_explicit(&counters[which], change, memory_order_relaxed);
}

static long counted(enum counter which)
{
    return atomic_load_explicit(&counters[which], memory_order_relaxed);
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

long async_workers_lost(void)
{
    return counted(COUNT_WORKERS_LOST);
}

struct scope *runtime_root(void)
{
    return root;
}

int start_thread(pthread_t *ret_thread, void *(*main)(void *))
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = -pthread_create(ret_thread, NULL, main, NULL);
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
    return o;
}

static int start_locked(void)
{
    struct async_options now = with_defaults(configured);

    atomic_store(&counters[COUNT_WORKERS_LOST], 0);
    int rc = loop_start();
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

int async_start(void)
{
    if (atomic_load_explicit(&running, memory_order_acquire))
        return 0;
    if (thread_role == ROLE_WORKER)
        return -ENOTSUP;

    pthread_mutex_lock(&lock);
    int rc = atomic_load(&running) ? 0 : start_locked();
    pthread_mutex_unlock(&lock);
    return rc;
}

static void stop_processes(struct job *job)
{
    (void)job;
    process_pool_stop();
}

int async_stop(void)
{
    if (thread_role != ROLE_PLAIN)
        return -EDEADLK;

    pthread_mutex_lock(&lock);
    if (atomic_load(&running)) {
        scope_cancel(root, -ECANCELED);
        future *closed = scope_close(root);
        future_wait(closed, CLOCK_NEVER);
        future_drop(closed);

        struct job stop = {.run = stop_processes};
        loop_post(&stop);
        thread_pool_stop();
        loop_stop();
        root =
            scope_drop(root); /* last: until here, continuations may find that it takes no more */
        atomic_store(&running, false);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}
