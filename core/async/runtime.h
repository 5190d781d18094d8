/*
 * The runtime: one loop thread, a pool of threads, a pool of worker processes. Nobody passes it
 * around; the first call that needs it starts it, exactly once.
 */
#ifndef SKIMD_ASYNC_RUNTIME_H
#define SKIMD_ASYNC_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct async_options {
    unsigned threads;     /* pool threads; 0: 4 */
    unsigned workers;     /* worker processes that compute at the same time; 0: the CPUs */
    size_t request_bytes; /* largest request to a worker; 0: 1 MiB */
    size_t worker_memory; /* bytes a worker may map beside its request memory; 0: 256 MiB */
};

/* Sets what the next start uses. -EBUSY when the runtime runs. Any thread. */
int async_configure(const struct async_options *options);

/* Starts the runtime unless it runs. Only needed to see the errors of starting: negative errno. */
int async_start(void);

/*
 * Cancels what runs, waits for its end, joins the threads, reaps the workers. Afterwards the
 * runtime can be started again. Not from a task or the loop thread (-EDEADLK). 0 also when it
 * does not run.
 */
int async_stop(void);

/* What is alive now; all 0 after async_stop() when every reference was given back. Any thread. */
struct async_counts {
    long futures, tasks, scopes, workers;
};
struct async_counts async_counts(void);

/* Worker processes: how many were lost (crashed or killed) since the start. Any thread. */
long async_workers_lost(void);

/*
 * Called first in main(): true in a process that the runtime spawned as a worker, which then does
 * nothing but `return async_worker_main();`.
 */
bool async_is_worker(int argc, char **argv);
int async_worker_main(void);

#endif
