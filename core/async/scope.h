/*
 * Scopes (nurseries): tasks that belong together, and end together. A task started by a task of
 * the scope is in the scope too; cancelling the scope cancels them all; closing it gives a future
 * that settles when the last of them has ended. Scopes form a tree: a scope is a member of the one
 * that it was made in, is cancelled with it, and never outlives it.
 */
#ifndef SKIMD_ASYNC_SCOPE_H
#define SKIMD_ASYNC_SCOPE_H

#include "core/async/future.h"

#include <stdint.h>

struct scope;

enum scope_flags {
    /* What becomes of the others when a task fails: nothing (default), or all are cancelled. */
    SCOPE_COLLECT_ALL = 0,
    SCOPE_FAIL_FAST = 1,
    /*
     * Neither cancels nor deadlines of the scopes around it reach this one, for cleaning up; nor
     * does a cancel of the future that scope_close() gives. It may be made in a cancelled scope. It
     * still holds up the end of those around it, and that of the runtime.
     */
    SCOPE_SHIELD = 2,
};

/*
 * Makes a scope in the scope of the running task (else in the runtime's). At `deadline_ns`
 * (async_now_ns(); CLOCK_NEVER: none; the parent's deadline holds as well) it is cancelled with
 * -ETIMEDOUT. The caller owns a reference. NULL when memory is exhausted or the surrounding scope
 * is cancelled. Any thread.
 */
struct scope *scope_new(uint64_t deadline_ns, unsigned flags);

/*
 * Asks that every task of the scope be cancelled, and refuses new ones. The scope ends with the
 * last of them, also where nobody closes it. The first `reason` (negative errno) counts. Carried
 * out later, on the loop thread. Any thread.
 */
void scope_cancel(struct scope *s, int reason);

/* 0, or the reason for which the scope was cancelled. Any thread. */
int scope_cancelled(const struct scope *s);

/*
 * Refuses tasks from outside from now on (tasks of the scope may still start others) and gives the
 * future that settles when all have ended: ok, or, where a task failed in a scope that fails fast,
 * failed with the error of the first that did. Cancelling that future cancels the scope. Called
 * again, it gives the same future again.
 */
future *scope_close(struct scope *s);

/*
 * Gives the reference back; a scope that was not closed is cancelled and closes by itself. NULL is
 * fine. Returns NULL.
 */
struct scope *scope_drop(struct scope *s);

#endif
