/*
 * Futures that are settled by hand, or by other threads at the same time, for the tests of what
 * combines futures. For tests within gates_setup and async_teardown.
 */
#ifndef SKIMD_TESTS_GATES_H
#define SKIMD_TESTS_GATES_H

#include "core/async/async.h"

#include <pthread.h>
#include <stdatomic.h>

enum { GATES = 5 };

struct gates {
    promise *p[GATES]; /* NULL once settled */
    future *f[GATES];
};

/* Since gates were last opened: cancel requests that stubborn ones got; values destroyed. */
extern atomic_int gates_asked, gates_destroyed;

/* Failed futures that were dropped though nobody looked at them. */
extern atomic_int failures_unseen;

/* As async_setup, with a hook that counts those. */
void gates_setup(void);

/* Stubborn ones only count the requests to be cancelled. */
void gates_open(struct gates *g);
void gates_open_stubborn(struct gates *g);

/* Settles one: ok with a value, cancelled, or failed with gates_error(). */
void gates_settle(struct gates *g, int i, enum future_state state);
int gates_error(int i, enum future_state state);

/* Drops all, those that are pending cancelled. Nobody looks at them. */
void gates_close(struct gates *g);

/* Whether somebody waits for `f`. */
bool is_watched(future *f);

/* Asserts that nobody waits for the gates, that none was asked to be cancelled, and no task is. */
void gates_expect_left_alone(struct gates *g);

/* Asserts that `f` is pending after the loop has turned. */
void expect_pending(future *f);

/* -- threads that settle gates while the test does something else ------------------------------ */

enum { SETTLERS = 2, ROUNDS_OF_THREADS = 3000 };

struct settlers {
    pthread_barrier_t line;
    pthread_t threads[SETTLERS];
    atomic_int ready; /* gives each its number */
    struct gates *gates;
    enum future_state state;
};

void settlers_start(struct settlers *s);

/* One round: between these two, all gates are settled as `state`, each thread settling its share.
 */
void settlers_go(struct settlers *s, struct gates *g, enum future_state state);
void settlers_wait(struct settlers *s);

void settlers_end(struct settlers *s);

#endif
