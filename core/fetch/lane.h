/*
 * Lanes: what a flow has to fetch at one origin, and where it stands for that (the drawing is in
 * schedule_internal.h). A lane waits for its turn only while nothing of its own is in the way: the
 * flow's admission to the origin, the pause between two turns, the flow's limit there.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_LANE_H
#define SKIMD_FETCH_LANE_H

#include "core/fetch/schedule_internal.h"

/* The flow's lane at the origin `key` ("": the stray one), made if need be. NULL when memory is
 * exhausted. What is not used for anything ends with lane_tidy(). */
struct lane *lane_at(struct flow *f, const char *key);

/* Whether it has something to fetch: tickets, or URLs of the plan. */
bool lane_has_work(const struct lane *l);

/* Whether nothing of its own keeps the lane from its turn. If something does, the lane is placed
 * when that is over. */
bool lane_is_able(struct lane *l);

/* Puts the lane where it belongs after something of it has changed; `in_front`: before the others
 * of its flow. True: it waits for its turn there. */
bool lane_place(struct lane *l, bool in_front);

/* Takes it away from where it stands. */
void lane_step_out(struct lane *l);

/* It has come, or does not come, for the room at its origin that it was called to... */
void lane_uncall(struct lane *l);

/* ...which then is for the next. Nothing happens for a lane that was not called. */
void lane_pass_call_on(struct lane *l);

/* So many more (or fewer) tickets wait in the lane. */
void lane_count_waiting(struct lane *l, int change);

/* The pause between two turns that the flow's options and its admission ask for. */
uint64_t lane_delay_ms(const struct lane *l);

/* Frees the lane if it is of no use any more: `l` may be gone. */
void lane_tidy(struct lane *l);

/* Frees the lane, which must be of no use any more. */
void lane_free(struct lane *l);

#endif
