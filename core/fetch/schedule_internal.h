/*
 * What flows, lanes and the schedule know of each other. For the files behind schedule.h:
 *
 *     schedule.c         who may have a turn, and whose it is
 *     flow.c             a batch: its window, its plan, whether it wants a turn
 *     lane.c             a batch at an origin: where it stands, its admission and its pauses
 *     room.c             an origin: how much room it has, and the lanes that wait for that
 *     schedule_report.c  what they are doing
 *
 * Where a lane that has something to fetch stands:
 *
 *     nowhere ──▶ urgent (it has tickets) or ready, of its flow ──its turn──▶ nowhere
 *        ▲                  ▲      │
 *        │                  │      └─ no room at the origin ──▶ parked there
 *        │                  └─ room: the first of the parked is called, to the front ─┘
 *        └─ it has to wait for something of its own: admission, its delay, its own limit
 *
 * As many are called as there is room for. One that loses its place before its turn (its URLs are
 * given up, its flow's window is full) passes the call on, so that room never waits for somebody
 * who does not come.
 *
 * A flow wants a turn exactly while it has a lane that may be looked at. Flows take turns in
 * rotation, newcomers first, and so do the lanes that are parked at an origin. A flow whose lane is
 * only parked has not had its turn. A lane is parked at most once for each turn that is given back
 * at its origin. So the cost of a turn is bounded, however much waits.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_SCHEDULE_INTERNAL_H
#define SKIMD_FETCH_SCHEDULE_INTERNAL_H

#include "core/async/loop.h"
#include "core/base/rotation.h"
#include "core/fetch/origin.h"
#include "core/fetch/schedule.h"

enum place { NOWHERE, URGENT, READY, PARKED };

struct lane {
    UT_hash_handle hh; /* in flow.lanes, by origin */
    struct flow *flow;
    struct origin *origin;          /* NULL: for URLs that no origin can be read off */
    struct list link;               /* where `place` says; while it is parked: nowhere */
    struct rotation_member parking; /* at the origin */
    enum place place;
    struct list tickets;
    uint32_t next, last; /* URLs of the plan; PLAN_NONE: none is left */
    uint32_t left;
    unsigned active;
    uint64_t next_start_ns;
    struct timer timer;

    future *admission;     /* the last that was settled: what holds for turns; NULL: none yet */
    future *admitted;      /* the continuation that says that the next one is */
    uint64_t admission_ns; /* when it was asked for */
    bool asking;
    bool unasked; /* nobody wants to know any more */
    bool called;  /* it stands in its flow for room at the origin: counted there */
    bool serving; /* it has its turn, and must not be freed meanwhile */
};

struct flow {
    struct schedule *schedule;
    struct flow_options options;
    struct rotation_member turn; /* in schedule.flows */
    struct list member;          /* in schedule.all_flows */
    struct list urgent, ready;
    struct lane *lanes; /* hash table by origin */
    struct lane *stray; /* the lane without an origin */
    size_t group;       /* of the plan: the next that opens */
    unsigned open;      /* lanes with URLs of the plan */
    unsigned ready_lanes;
    unsigned asking;
    size_t active; /* turns that it has */
    size_t under_way;
    size_t waiting; /* tickets */
    size_t held;
    uint64_t run_ns;
    promise *ended;
};

struct schedule {
    struct schedule_options options;
    struct origins origins;
    struct rotation flows;
    struct list all_flows;
    size_t active, waiting, held;
    size_t results; /* bytes that flows hold */
    struct job give;
    struct timer give_later; /* in the next turn of the loop */
    uint64_t given_ns;       /* the turn of the loop... */
    size_t given;            /* ...in which so many turns were given */
    bool giving;             /* `give` is queued */
    bool starved;            /* there was no memory to open a lane with */
    bool closed;             /* schedule_free came first: `give` frees what is left */
};

/* Has turns given, soon, if somebody wants one and may have it. */
void schedule_wake(struct schedule *s);

#endif
