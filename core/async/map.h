/* Bounded map: one future per index, at most `limit` of them under way at a time. */
#ifndef SKIMD_ASYNC_MAP_H
#define SKIMD_ASYNC_MAP_H

#include "core/async/future.h"

#include <stddef.h>

struct scope;

/* Starts the work of one index (on the loop thread) and gives its future, which the map owns. */
typedef future *map_fn(void *arg, size_t index);

/*
 * Calls `start` for the indices 0 <= index < count in order, never more than `limit` (0 is
 * taken for 1) pending. The future is ok when all have settled, whatever their outcomes: who wants
 * those looks at them in `start`'s own tasks. Cancelling it starts no more, cancels what is under
 * way, and settles when that has ended. The tasks run in `scope` (NULL: the surrounding one). Any
 * thread.
 */
future *map_in(struct scope *scope, size_t count, size_t limit, map_fn *start, void *arg);

#endif
