/*
 * A worker process as its parent holds it: a pidfd, one end of a socket pair, and the memory that
 * requests are written to. How it is used is process_pool.c's.
 */
#ifndef SKIMD_ASYNC_WORKER_PROCESS_H
#define SKIMD_ASYNC_WORKER_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

struct worker_process {
    pid_t pid;
    int pidfd;    /* readable once it has ended */
    int socket;   /* SOCK_SEQPACKET; see wire.h */
    char *memory; /* shared with it, which maps it read-only */
    size_t memory_bytes;
};

/*
 * Spawns this binary as a worker, with `memory_bytes` of request memory and the right to map
 * `own_bytes` more. 0, or a negative errno and nothing is left behind.
 */
int worker_process_spawn(size_t memory_bytes, size_t own_bytes, struct worker_process *ret);

/* Kills it, now. Its end shows on the pidfd. */
void worker_process_kill(const struct worker_process *p);

/* Waits for its end, and reaps it. Returns at once when the pidfd is readable. */
void worker_process_reap(const struct worker_process *p);

/* Frees what the parent holds of a process that was reaped. */
void worker_process_close(struct worker_process *p);

#endif
