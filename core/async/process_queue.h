/*
 * Tasks that wait for a worker process. The queue holds so many bytes; a task that finds no room
 * is parked in front of it, and enters when its turn comes. In both places tasks are in order
 * within a scope, and scopes in rotation, newcomers first (rotation.h): one with many or slow tasks
 * does not keep the others from theirs, and one that comes beside many waits for none of them.
 *
 *     push ──▶ parked ──▶ queued ──▶ pop        parked is empty whenever queued is
 *
 * Loop thread only, but for process_room() (task.h), which is here, too.
 */
#ifndef SKIMD_ASYNC_PROCESS_QUEUE_H
#define SKIMD_ASYNC_PROCESS_QUEUE_H

#include "core/async/task.h"
#include "core/base/rotation.h"

/* What one scope has in one of the two places. */
struct scope_line {
    struct list tasks;
    struct rotation_member turn; /* in that place; wanted exactly while `tasks` is not empty */
};

/* A scope's part of it all; embedded there. */
struct scope_queue {
    struct scope_line queued, parked;
};

void scope_queue_init(struct scope_queue *s);

/* Forgets the scope, none of whose tasks waits any more. */
void scope_queue_end(struct scope_queue *s);

/* Empties it for a start of the runtime; it takes `limit` bytes. */
void process_queue_configure(size_t limit);

/* True when no task waits, neither queued nor parked. */
bool process_queue_empty(void);

/* Enters a task at the end, or, where it was taken out in vain, as the very next. */
void process_queue_push(task *t);
void process_queue_push_again(task *t);

/* Takes the next task out; NULL when there is none. */
task *process_queue_pop(void);

/* Takes `t` out, queued or parked; false when it is neither. */
bool process_queue_withdraw(task *t);

#endif
