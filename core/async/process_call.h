/*
 * One call of a worker process: what is sent to it, what it says, and what its answer or its end
 * makes of the task. Which worker is called, and what becomes of it, is process_pool.c's.
 *
 * Loop thread only.
 */
#ifndef SKIMD_ASYNC_PROCESS_CALL_H
#define SKIMD_ASYNC_PROCESS_CALL_H

#include "core/async/loop.h"
#include "core/async/task.h"
#include "core/async/worker_process.h"
#include "core/base/list.h"

enum { KILL_GRACE_MS = 250 }; /* past the deadline that `serve` was told */

enum worker_state {
    STARTING,
    IDLE,
    BUSY,   /* has a task, killed or not, until its exit is seen */
    ENDING, /* idle, and killed or dead */
};

struct worker {
    struct list link; /* in the pool's; the idle ones first, the last used in front */
    enum worker_state state;
    struct worker_process process;
    struct timer timer; /* for its start, then for its call */

    task *task; /* while BUSY */
    uint64_t call_id;
    uint32_t call_task;
    size_t request_len; /* of what lies in its memory */
    int verdict;        /* why it was killed, and its task fails; 0: it was not */
    bool unheard;       /* it died before it read its call */
    bool stray;         /* it spoke about an earlier call: not the fault of the one it has */
    bool exited;        /* its end was seen */

    unsigned calls; /* that it has answered */
    unsigned calls_unmeasured;
    size_t bytes_unmeasured; /* of their requests */
    bool worn;               /* to be replaced when it is idle */
};

/* For a start of the runtime: nothing was called yet, nothing is suspected. */
void call_reset(void);

/*
 * Sends the call of `t` to `w`, which is idle; `w` has it then. A task that cannot be sent ends.
 * False when `w` can't be reached, as it has died: `t` was packed in vain, and is as it was.
 */
bool call_send(struct worker *w, task *t);

enum heard {
    HEARD_NOTHING,
    HEARD_RESET, /* nothing either, but there may be more; see call_hear() */
    HEARD_HELLO,
    HEARD_ANSWER,   /* to its call; see call_finish() */
    HEARD_NONSENSE, /* anything else */
    HEARD_END,      /* its socket is closed */
};

/* Takes one message of `w` from its socket. */
enum heard call_hear(struct worker *w);

/* Ends `t` with the answer that call_hear() has just heard. */
void call_finish(task *t);

/*
 * Whether a worker that ended so, after that verdict, died of what it did itself: a fault, an exit,
 * nonsense. Not when it was killed from outside, for a cancel, or for being late.
 */
bool call_was_fatal(const struct worker_exit *exit, int verdict);

/* `w`, whose memory is still there, died of the request of its call: that is remembered. */
void call_accuse(const struct worker *w);

/* The worker of `t` is gone, and reaped: makes the call again, or ends the task. */
void call_lost(task *t, int verdict, bool unheard);

#endif
