/*
 * Places for large bodies: only so many bodies at a time may grow above LARGE_BODY_BYTES, so that
 * the memory of those under way is bounded. A transfer that finds no place pauses.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_LARGE_BODIES_H
#define SKIMD_FETCH_LARGE_BODIES_H

#include "core/async/loop.h"
#include "core/base/list.h"

#include <stdbool.h>

enum { LARGE_BODY_BYTES = 512 << 10 };

/* Shared by engines. */
struct large_bodies {
    unsigned free;
    struct list waiting; /* struct large_body */
    struct job hand_out;
    bool handing_out; /* `hand_out` is queued */
};

/* What one body has to do with it; embedded, zero-initialised but for `go_on`. */
struct large_body {
    struct list link; /* in large_bodies.waiting; NULL: never waited */
    bool has_place;
    void (*go_on)(struct large_body *body); /* it has a place now; called from a job */
};

void large_bodies_init(struct large_bodies *all, unsigned places);

/* True: the body has a place (now, or already). False: it waits for one, behind those that wait,
 * and `go_on` will be called. */
bool large_body_enter(struct large_bodies *all, struct large_body *body);

/* Gives the wait up; nothing for a body that has a place, or does not wait. Also inside `go_on`. */
void large_body_wait_no_more(struct large_body *body);

/* Gives the place back, or the wait up; nothing for a body with neither. Also inside `go_on`. */
void large_body_leave(struct large_bodies *all, struct large_body *body);

#endif
