/*
 * Whose turn it is among those who share something, newcomers first: the two lists of DRR++ and
 * FQ-CoDel (RFC 8290 section 4.2), with a quantum of one turn.
 *
 *     enter ──▶ fresh ──served──▶ old ──its turn comes, and it wants nothing──▶ out
 *                                 ▲ │
 *                                 └─┘ served
 *
 * A member that comes when it has wanted nothing for a while is served before the old ones, however
 * many these are, and is one of them from then on. One that wants nothing any more keeps its place
 * among the old until its turn comes there; so who comes again and again, a little at a time, is no
 * newcomer and has one turn a round, like the others.
 *
 * RFC 8290 lets a swarm of newcomers starve the old: here these have one turn in
 * ROTATION_FRESH_IN_A_ROW + 1 at the least, so that of n old ones each waits no longer than for
 * n * (ROTATION_FRESH_IN_A_ROW + 1) turns.
 *
 * Every call takes constant time, rotation_next() amortised: one that it passes over has entered
 * once for that.
 */
#ifndef SKIMD_BASE_ROTATION_H
#define SKIMD_BASE_ROTATION_H

#include "core/base/list.h"

enum { ROTATION_FRESH_IN_A_ROW = 3 };

struct rotation {
    struct list fresh, old; /* rotation_member.link; the front one is next */
    struct list aside;
    size_t wanting; /* members that want a turn */
    unsigned row;   /* newcomers served since an old one was */
};

/* Embedded in whom it stands for. */
struct rotation_member {
    struct list link;
    bool wants;    /* a turn */
    bool is_fresh; /* in `fresh`, where nobody has been served */
};

void rotation_init(struct rotation *r);
void rotation_member_init(struct rotation_member *m);

/* Whether a member wants a turn, be it aside. */
bool rotation_is_wanted(const struct rotation *r);

/* `m` wants a turn; again: nothing happens. */
void rotation_enter(struct rotation *r, struct rotation_member *m);

/* The same, and it is the very next. */
void rotation_enter_first(struct rotation *r, struct rotation_member *m);

/* `m` wants none any more; it keeps its place. */
void rotation_rest(struct rotation *r, struct rotation_member *m);

/* Forgets `m`: its end. Nothing happens when it is not there. */
void rotation_remove(struct rotation *r, struct rotation_member *m);

/* Whose turn it is; it keeps its place. NULL: nobody wants one. */
struct rotation_member *rotation_next(struct rotation *r);

/* The same among the newcomers, who may have what is kept for them; NULL: there is none. */
struct rotation_member *rotation_next_fresh(struct rotation *r);

/* `m` has had its turn; whether it wants another one is not asked. */
void rotation_served(struct rotation *r, struct rotation_member *m);

/* `m`, whose turn it is, cannot use it: rotation_next() goes on as if it were not there, until
 * rotation_put_back() brings all that were set aside to the front of the old, in their order. */
void rotation_set_aside(struct rotation *r, struct rotation_member *m);
void rotation_put_back(struct rotation *r);

#endif
