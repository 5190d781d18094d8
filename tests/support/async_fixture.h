/*
 * What the tests of core/async share: a runtime around each test, whose end proves that nothing is
 * left over, and ways to wait for an event rather than for time to pass.
 */
#ifndef SKIMD_TESTS_ASYNC_FIXTURE_H
#define SKIMD_TESTS_ASYNC_FIXTURE_H

#include "core/async/async.h"

#include <sys/types.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED_ADDRESS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED_ADDRESS 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SANITIZED_THREAD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZED_THREAD 1
#endif
#endif
#ifndef SANITIZED_ADDRESS
#define SANITIZED_ADDRESS 0
#endif
#ifndef SANITIZED_THREAD
#define SANITIZED_THREAD 0
#endif

/* Nothing in these tests takes so long, even under a sanitizer on a busy machine. */
enum { PATIENCE_MS = 30000 };

/*
 * Checked fixtures: 4 threads, 2 workers, requests up to 1 MiB + 64 KiB. The teardown stops the
 * runtime and asserts that futures, tasks, scopes, workers and children are all 0, and as many
 * descriptors open as there were before.
 */
void async_setup(void);
void async_teardown(void);

/* Sets other options; only before the runtime runs. */
void async_reconfigure(unsigned threads, unsigned workers, size_t worker_memory);

/* Waits until `f` is settled, as `state` with `error`, and drops it. */
void expect(future *f, enum future_state state, int error);
void expect_ok(future *f);

/* promise_new, which must not fail. */
promise *new_promise(future **ret_future);

/* Runs `fn` as a loop task and waits for its end. */
void on_loop(void (*fn)(void *arg), void *arg);

/* Comes back when the loop has run what was posted before, and has seen what was ready. */
void let_loop_turn(void);

/* The child processes that are alive: at most `capacity` into `ret_pids`; returns their number. */
size_t children(pid_t *ret_pids, size_t capacity);

/* Kills a process and comes back when it has ended. Does not reap it. False: it had ended already.
 */
bool kill_and_see_it_end(pid_t pid);

/* How many descriptors this process has open. */
size_t open_descriptors(void);

/* Milliseconds since some moment, for loops that are bounded by time. */
uint64_t now_ms(void);

#endif
