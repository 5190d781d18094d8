/*
 * The inside of flows: whether they want a turn, and what they do with it. What is for everybody is
 * in schedule.h.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_FLOW_H
#define SKIMD_FETCH_FLOW_H

#include "core/fetch/schedule_internal.h"

/* Whether more of the plan may be begun, as far as the flow's window and what it holds go. */
bool flow_has_window(const struct flow *f);

/* To be called when that may have become untrue: who was called to an origin's room and does not
 * come any more passes the call on. */
void flow_window_shrank(struct flow *f);

/* Has the flow want turns, or none, after its lanes or its window have changed. */
void flow_update(struct flow *f);

/* The lane whose turn it is, which then stands nowhere; NULL: none can be served. Opens the next
 * lane of the plan; `schedule.starved` tells that there was no memory for that. */
struct lane *flow_next_lane(struct flow *f);

/* Takes the next URL off the lane's plan, which has one. */
size_t flow_take_url(struct lane *l);

/* Settles the future of flow_run() when all has ended. */
void flow_settle_if_ended(struct flow *f);

#endif
