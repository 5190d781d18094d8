/*
 * Worker processes seen from outside, while they start, serve and are killed; and a way to hold up
 * the loop meanwhile. For tests within async_setup and async_teardown.
 */
#ifndef SKIMD_TESTS_WORKER_WATCH_H
#define SKIMD_TESTS_WORKER_WATCH_H

#include "tests/support/worker_orders.h"

#include <semaphore.h>
#include <sys/types.h>

/* Those that were alive when they were looked at. */
struct workers {
    pid_t pids[16];
    size_t count;
    size_t largest; /* resident bytes */
};
void workers_look(struct workers *w);

/*
 * Kills them all, and comes back when they have ended. In one turn of the loop: it does not see one
 * dead while the others are alive.
 */
void workers_kill(const struct workers *w);
void workers_kill_in_one_turn(const struct workers *w);

/* Comes back when all of them are confined, and sleep: their hello is sent. */
void workers_await_sleep(const struct workers *w);

/* Comes back when one is larger by GROWN_BYTES, as orders to grow make it: it has read its call. */
void workers_await_growth(const struct workers *w);

/* Starts a call of `deed` (GROW, GROW_ONCE), and comes back when a worker serves it. */
future *start_serving(const struct task_def *def, enum deed deed, struct workers *ret_workers);

/*
 * Holds up the loop, in a task, until gate_open(). gate_close_after() has it run `fn`, and what
 * that posts, just before.
 */
struct gate {
    sem_t there, open;
    future *held;
};
void gate_close(struct gate *gate);
void gate_close_after(struct gate *gate, void (*fn)(void *arg), void *arg);
void gate_open(struct gate *gate);

#endif
