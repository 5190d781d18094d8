/*
 * Whose turn it is: how many fetches are under way in all and at each origin. What has to wait,
 * waits here and never inside libcurl, where waiting transfers cost time.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_SCHEDULE_H
#define SKIMD_FETCH_SCHEDULE_H

#include "core/async/future.h"
#include "core/base/list.h"

#include <stdbool.h>
#include <stddef.h>

struct schedule;
struct origin_queue;

/* A fetch's place, embedded in its frame; all zero: none. */
struct ticket {
    struct origin_queue *origin;
    struct list link; /* in the origin's queue, until it has its turn */
    promise *promise;
    unsigned per_origin;
    bool granted;
};

/*
 * At most `concurrency` turns at a time, and none while more than `hold_bytes` are held (see
 * schedule_hold). NULL when memory is exhausted.
 */
struct schedule *schedule_new(unsigned concurrency, size_t hold_bytes);

/* No ticket may be left. NULL is fine. Returns NULL. */
struct schedule *schedule_free(struct schedule *s);

/*
 * Asks for a turn at `origin` (copied), where at most `per_origin` may be under way. The future is
 * ok when the turn has come. Whatever becomes of it, end with schedule_leave, which gives the turn
 * or the place in the queue back. Turns are given to origins in rotation, within an origin in
 * order.
 */
future *schedule_enter(struct schedule *s, struct ticket *t, const char *origin,
                       unsigned per_origin);

/* Gives the turn, or the place in the queue, back. Nothing happens for a ticket without either. */
void schedule_leave(struct schedule *s, struct ticket *t);

/* Accounts for memory that fetched bodies take (change > 0) or gave back (< 0). */
void schedule_hold(struct schedule *s, ptrdiff_t change);

/* Turns that are taken now, and tickets that wait. */
size_t schedule_active(const struct schedule *s);
size_t schedule_waiting(const struct schedule *s);

#endif
