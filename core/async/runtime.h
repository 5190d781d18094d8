/*
 * The runtime: one loop thread, a pool of threads, a pool of worker processes. Nobody passes it
 * around; the first call that needs it starts it, exactly once.
 */
#ifndef SKIMD_ASYNC_RUNTIME_H
#define SKIMD_ASYNC_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a worker process came to its end. */
struct worker_loss {
    int pid;
    int signal; /* that ended it; 0: it exited, with `status` */
    int status;
    int verdict;      /* negative errno: why the runtime killed it; 0: it died by itself */
    const char *task; /* whose call it had; NULL: none */
};

/*
 * What the program wants to hear of; each may be NULL. Hooks run where it happens: they must not
 * block, and must not call back into the runtime but to start tasks.
 */
struct async_hooks {
    /* A failure that nobody looked at, of a task (NULL: of a promise). On the thread that drops. */
    void (*unseen_failure)(const char *task, int error);
    /* A task, timer, watch or job kept the loop for `took_ns`. Loop thread. */
    void (*slow_callback)(const char *name, uint64_t took_ns);
    /* A worker died, or had to be killed other than for a cancel. Loop thread. */
    void (*worker_lost)(const struct worker_loss *loss);
};

/*
 * A worker's resident memory (`worker_rss`) is looked at every 64 calls, and after calls whose
 * requests make up an eighth of it; what bounds it in between is `worker_memory`.
 */
struct async_options {
    unsigned threads;          /* pool threads; 0: 4 */
    unsigned workers;          /* worker processes that compute at the same time; 0: the CPUs */
    size_t request_bytes;      /* largest request to a worker; 0: 1 MiB */
    size_t worker_memory;      /* bytes a worker may map beside its request memory; 0: 256 MiB */
    size_t worker_rss;         /* one found with more resident (see below) is replaced; 0: never */
    unsigned worker_tasks;     /* a worker that has served so many is replaced; 0: 100,000 */
    size_t queue_bytes;        /* of process tasks that wait (task_def.size); 0: 64 MiB */
    uint64_t slow_callback_ns; /* longest that a callback should keep the loop; 0: not measured */
    struct async_hooks hooks;
};

/* Sets what the next start uses. -EBUSY when the runtime runs. Any thread. */
int async_configure(const struct async_options *options);

/* Starts the runtime unless it runs. Only needed to see the errors of starting: negative errno. */
int async_start(void);

/*
 * Cancels what runs, waits for its end, joins the threads, reaps the workers. Meanwhile no other
 * thread may start anything; it may hold, wait for and drop what there is. Afterwards the
 * runtime can be started again. Not from a task or the loop thread (-EDEADLK). 0 also when it does
 * not run.
 */
int async_stop(void);

/* The runtime's clock: CLOCK_MONOTONIC in ns, unless a test's mock makes the time. Any thread. */
uint64_t async_now_ns(void);

/* What is alive now; all 0 after async_stop() when every reference was given back. Any thread. */
struct async_counts {
    long futures, tasks, scopes, workers;
};
struct async_counts async_counts(void);

/* What has happened since the start, and what waits now. Any thread. */
struct async_stats {
    long workers_started;      /* those that replaced others, too */
    long workers_lost;         /* died, or killed, while in use */
    long workers_recycled;     /* replaced for their age or size */
    long tasks_retried;        /* on another worker, after theirs was lost */
    long tasks_quarantined;    /* refused: their request had killed two workers */
    long threads_abandoned;    /* left to themselves, now */
    long workers_busy;         /* that have a call, now */
    long queued, queued_bytes; /* process tasks that wait for a worker, now */
    long parked;               /* process tasks that wait for the queue, now */
};
struct async_stats async_stats(void);

/*
 * Resident bytes of the workers, without what they share with this process. Those that are idle
 * with more than `most` of them (0: any number) are replaced, one after the other, and busy ones
 * when they are idle again. Loop thread; some 10 us for each worker.
 */
size_t async_measure_workers(size_t most);

/*
 * Called first in main(): true in a process that the runtime spawned as a worker, which then does
 * nothing but `return async_worker_main();`. In a program that does not ask, workers end with a
 * message on standard error as soon as they come to start a runtime, and tasks for processes fail
 * with -ECHILD.
 */
bool async_is_worker(int argc, char **argv);
int async_worker_main(void);

#endif
