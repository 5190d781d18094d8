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
    void *fake; /* a mock's */
};

/* How it ended. */
struct worker_exit {
    int signal; /* 0: it exited, with `status` */
    int status; /* -1: not known */
};

/* Where workers come from: real processes, or a mock's fakes. */
struct worker_backend {
    /*
     * Starts a worker, with `memory_bytes` of request memory and the right to map `own_bytes`
     * more. 0, or a negative errno and nothing is left behind.
     */
    int (*spawn)(size_t memory_bytes, size_t own_bytes, struct worker_process *ret);

    /* Kills it, now. Its end shows on the pidfd. */
    void (*kill)(const struct worker_process *p);

    /* Waits for its end, and reaps it. Returns at once when the pidfd is readable. */
    void (*reap)(const struct worker_process *p, struct worker_exit *ret_exit);

    /* Resident bytes of its own, without the request memory; 0 when they are not known. */
    size_t (*resident)(const struct worker_process *p);

    /* Frees what the parent holds of a process that was reaped. */
    void (*close)(struct worker_process *p);
};

/* This binary, spawned as a worker. */
extern const struct worker_backend spawned_workers;

#endif
