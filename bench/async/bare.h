/*
 * The least that a C program can do for the same: what the future layer costs above these is its
 * own. None of them can cancel, time out, fail, or lose a worker and go on.
 */
#ifndef SKIMD_BENCH_ASYNC_BARE_H
#define SKIMD_BENCH_ASYNC_BARE_H

#include "bench/async/measure.h"

/* What is sent to processes, by these and by ours; main fills it. */
extern char payload[LARGE_BYTES];

/* A queue of function pointers: a node is allocated, pushed, popped, called and freed. */
work_fn bare_queue_one, bare_queue_batch;

/* Two threads that wake each other, each by its condition variable. */
work_fn bare_condvar;

/*
 * A forked process that answers: request in shared memory, messages by SOCK_SEQPACKET. The parent
 * blocks in recv, or, as every event loop must, in epoll_wait. `bare_processes` keeps as many
 * processes as there are CPUs busy.
 */
work_fn bare_recv_small, bare_recv_large, bare_epoll_small, bare_epoll_large;
work_fn bare_processes_small, bare_processes_large;

#endif
