/*
 * Room at an origin: how many turns may be given there now, for its limit, its health and the pause
 * between two turns; and the lanes that are parked until there is some.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_ROOM_H
#define SKIMD_FETCH_ROOM_H

#include "core/fetch/schedule_internal.h"

/* How many turns there may be at a time, as the origin fares at `now`. */
unsigned room_limit(const struct origin *o, uint64_t now);

/* How many turns may be given there now. */
unsigned room_at(const struct origin *o);

/* When the origin may be asked next; in the past: now. */
uint64_t room_opens_at(const struct origin *o);

/* Whether nobody waits for the origin, as what is asked of it fails at once; and a text of its own
 * that says why (free(); NULL when memory is exhausted). */
bool room_is_given_up(const struct origin *o);
char *room_why_given_up(const struct origin *o);

/* The lane, which stands nowhere, waits until there is room at its origin. */
void room_park(struct lane *l);

/* Back to their flows: as many parked lanes as there is room for; all where they would fail. */
void room_unpark(struct origin *o);

/* The end of the origin's wait: origin.timer. */
void room_due(struct timer *timer);

#endif
