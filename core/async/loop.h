/*
 * The event loop: one hidden thread with epoll, timers and a queue of jobs. Tasks are the way to
 * use it; what stands here is for code that drives file descriptors on the loop itself.
 *
 * Everything but loop_post() and loop_is_here() is called on the loop thread only, while the
 * runtime runs: from the step of a loop task, or from a job that was posted after async_start().
 */
#ifndef SKIMD_ASYNC_LOOP_H
#define SKIMD_ASYNC_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A unit of work, embedded in whatever it works on. */
struct job {
    struct job *next;
    void (*run)(struct job *job);
};

/*
 * Queues `job` to run on the loop thread: later, in order, once per call. The job must not be
 * queued already, and must live until it runs. Any thread.
 */
void loop_post(struct job *job);

/* True on the loop thread. Any thread. */
bool loop_is_here(void);

/* The time of this turn of the loop (CLOCK_MONOTONIC, ns); cheaper than asking the clock. */
uint64_t loop_now_ns(void);

/* -- timers ------------------------------------------------------------------------------------ */

/* A one-shot timer, embedded. Zero-initialise, set `fire`, then use timer_set/timer_clear. */
struct timer {
    uint64_t at_ns;
    size_t slot; /* 1 + place in the heap; 0 when not armed */
    void (*fire)(struct timer *timer);
};

/* (Re-)arms `timer` for `at_ns`; in the past means the next turn. 0, -ENOMEM, or -EPERM: not here.
 */
int timer_set(struct timer *timer, uint64_t at_ns);

/* Disarms; nothing happens when it is not armed. `fire` will not run. */
void timer_clear(struct timer *timer);

/* -- file descriptors -------------------------------------------------------------------------- */

/* `events` are EPOLLIN, EPOLLOUT... as reported; stray wake-ups are possible. */
typedef void watch_fn(void *arg, int fd, uint32_t events);

/*
 * Calls `fn` whenever one of `events` (level-triggered) holds for `fd`; a second call for the same
 * descriptor changes mask and callback. No system call is made when the mask stays the same.
 * 0, -ENOMEM, epoll_ctl's error, or -EPERM: not on the loop thread.
 */
int loop_watch(int fd, uint32_t events, watch_fn *fn, void *arg);

/* Ends the watch. Lazy: the kernel is told only if `fd` becomes ready again. */
void loop_unwatch(int fd);

/* Call before close(fd), also after loop_unwatch(): drops what is remembered of the descriptor. */
void loop_forget(int fd);

#endif
