/*
 * Futures and promises: one result that is not there yet, and the right to give it.
 *
 * A future is a reference-counted handle that any thread may hold. It is pending, then settled
 * exactly once: ok with a value, failed with an error, or cancelled. The value belongs to the
 * future: holders borrow it as long as they hold a reference, nobody changes it, and it is
 * destroyed once, with the last reference.
 *
 * A promise is the other end: one owner, who settles it. A promise dropped unsettled fails its
 * future with -EOWNERDEAD, so that no waiter is ever forgotten.
 *
 * Errors are negative errno from this layer, or positive codes whose meaning is declared by the
 * module that failed the future.
 *
 * Functions that return a `future *` never return NULL: where memory is exhausted they return a
 * shared future that has failed with -ENOMEM.
 */
#ifndef SKIMD_ASYNC_FUTURE_H
#define SKIMD_ASYNC_FUTURE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct future future;
typedef struct promise promise;

enum future_state { FUTURE_PENDING, FUTURE_OK, FUTURE_FAILED, FUTURE_CANCELLED };

/* Destroys a value; NULL where nothing is to be destroyed. Runs on the thread that drops last. */
typedef void destroy_fn(void *value);

/* -- future: any thread ------------------------------------------------------------------------ */

/* One more reference to `f`; returns `f`. */
future *future_ref(future *f);

/* Gives one reference back; NULL does nothing. Returns NULL, so `f = future_drop(f)`. */
future *future_drop(future *f);

/* True once it is. Not a look at the outcome. */
bool future_settled(const future *f);

/*
 * The outcome. A failed future that is dropped though nobody ever asked for its state, its value or
 * its error is an error that got lost: the runtime's hook `unseen_failure` hears of it.
 */
enum future_state future_state(const future *f);

static inline bool future_ok(const future *f)
{
    return future_state(f) == FUTURE_OK;
}

/* The value of an ok future, or the detail of a failed one; borrowed. NULL while pending. */
const void *future_value(const future *f);

/* 0 while pending and when ok; the error when failed; -ECANCELED when cancelled. */
int future_error(const future *f);

/*
 * Blocks until `f` is settled or `deadline_ns` (CLOCK_MONOTONIC; CLOCK_NEVER: no deadline) passes.
 * Giving up does not cancel. On a pool thread, a thread task that has not begun is run here and
 * now, whatever the deadline. A settled future answers 0 on every thread; a pending one:
 *   -EDEADLK    on the loop thread (there, a task AWAITs); on a pool thread when every other one
 *               is blocked already, and when `f` waits, through others, for a task of this thread
 *   -ENOTSUP    in a worker process
 *   -ETIMEDOUT  the deadline passed first
 */
int future_wait(future *f, uint64_t deadline_ns);

/*
 * Asks that `f` be cancelled. A request: it is carried out later, on the loop thread, and the
 * state that `f` settles with tells who won. Returns 0, or -EALREADY when `f` is settled.
 */
int future_cancel(future *f);

/* Where a continuation runs. */
enum executor { EXECUTOR_LOOP, EXECUTOR_THREAD };

/*
 * A continuation: gets the settled future (borrowed) and owns the promise of its own result,
 * which it settles and drops (dropping unsettled means -EOWNERDEAD). It has the context
 * (context.h) of whoever registered it.
 */
typedef void then_fn(future *done, promise *next, void *arg);

/*
 * Runs `fn` on `where` once `f` is settled, on whatever outcome; never inside this call, even when
 * `f` is settled already. Returns the future of the continuation's promise. Until `fn` runs, a
 * cancel of that goes on to `f` (EXECUTOR_LOOP), or ends it at once, and `fn` runs for nobody
 * (EXECUTOR_THREAD). `fn` is in no scope: what it starts is in the runtime's.
 */
future *future_then(future *f, enum executor where, then_fn *fn, void *arg);

/* Shared futures that are settled already: ok without a value; failed with -ENOMEM; cancelled. */
future *future_done(void);
future *future_out_of_memory(void);
future *future_cancelled(void);

/* A future that becomes ok at `at_ns` (async_now_ns()). Cancelling it ends it at once. */
future *future_at(uint64_t at_ns);

/* future_at() `ms` milliseconds from now. */
future *future_after_ms(uint64_t ms);

/* -- promise: one owner at a time, any thread -------------------------------------------------- */

/*
 * Makes a promise and, in `*ret_future`, the reference to its future that the caller owns.
 * NULL when memory is exhausted.
 */
promise *promise_new(future **ret_future);

/*
 * Registers what a cancel request does; without it the future is cancelled at once. `fn` runs on
 * the loop thread, never inside future_cancel, at most once and only while the promise is pending;
 * it settles the promise (promise_cancel) when the work is really undone, now or later. Register
 * before the future is shown to others. `arg` must stay valid until the promise is settled: where
 * that happens on another thread than the loop, `fn` may be running, so settle on the loop thread.
 */
typedef void promise_cancel_fn(promise *p, void *arg);
void promise_on_cancel(promise *p, promise_cancel_fn *fn, void *arg);

/*
 * Settle. Each consumes `value`: when the promise was settled before (cancelled, say) they destroy
 * it and return -EALREADY. `error` is a negative errno or a positive code of the caller's module.
 */
int promise_resolve(promise *p, void *value, destroy_fn *destroy);
int promise_fail(promise *p, int error, void *detail, destroy_fn *destroy);
int promise_cancel(promise *p);

/*
 * Gives the promise up; unsettled, its future fails with -EOWNERDEAD. Not while another thread is
 * still inside a function that settles it, though the future may be seen settled by then. NULL is
 * fine. Returns NULL.
 */
promise *promise_drop(promise *p);

#endif
