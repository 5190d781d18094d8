/*
 * Tasks that wait for a worker process: in order within a scope, scopes in rotation, so that one
 * with many or slow tasks does not keep the others from theirs.
 *
 * Loop thread only.
 */
#ifndef SKIMD_ASYNC_PROCESS_QUEUE_H
#define SKIMD_ASYNC_PROCESS_QUEUE_H

#include "core/async/task.h"
#include "core/base/list.h"

/* A scope's part of it; embedded there. */
struct scope_queue {
    struct list tasks;
    struct list turn; /* in process_queue.turns, exactly while `tasks` is not empty */
};

struct process_queue {
    struct list turns; /* scope_queue.turn; the front one is next */
};

void scope_queue_init(struct scope_queue *s);
void process_queue_init(struct process_queue *q);
bool process_queue_empty(const struct process_queue *q);

/* Enters a task at the end, or, where it was taken out in vain, as the very next. */
void process_queue_push(struct process_queue *q, task *t);
void process_queue_push_again(struct process_queue *q, task *t);

/* Takes the next task out; NULL when there is none. */
task *process_queue_pop(struct process_queue *q);

/* Takes `t` out of the queue; false when it is not in it. */
bool process_queue_withdraw(task *t);

#endif
