#include "core/fetch/room.h"

#include "core/base/clock.h"
#include "core/fetch/flow.h"
#include "core/fetch/lane.h"

#include <limits.h>
#include <stdio.h>

unsigned room_limit(const struct origin *o, uint64_t now)
{
    switch (health_at(&o->health, now)) {
    case HEALTH_GOOD:
        return o->schedule->options.per_origin;
    case HEALTH_PROBING:
        return 1;
    case HEALTH_BACKING_OFF:
    case HEALTH_GIVEN_UP:
        return 0;
    }
    return 0;
}

bool room_is_given_up(const struct origin *o)
{
    return health_at(&o->health, loop_now_ns()) == HEALTH_GIVEN_UP;
}

/* A text of its own; NULL when memory is exhausted. */
char *room_why_given_up(const struct origin *o)
{
    uint64_t left_ns = o->health.until_ns - loop_now_ns();
    char *text;

    if (asprintf(&text, "The host %s; it is left alone for another %llu s",
                 o->health.surrenders > 0 ? "keeps failing" : "asked for a pause",
                 (unsigned long long)(left_ns / NS_PER_SEC) + 1) < 0)
        return NULL;
    return text;
}

/* When the origin may be asked next; in the past: now. */
uint64_t room_opens_at(const struct origin *o)
{
    uint64_t until = o->health.state == HEALTH_GOOD ? 0 : o->health.until_ns;

    return until > o->next_start_ns ? until : o->next_start_ns;
}

/* How many turns may be given there now. */
unsigned room_at(const struct origin *o)
{
    uint64_t now = loop_now_ns();
    unsigned limit = room_opens_at(o) > now ? 0 : room_limit(o, now);

    return limit > o->active ? limit - o->active : 0;
}

/* Whether the lane, which stands in its flow, will be looked at. */
static bool will_come(const struct lane *l)
{
    return l->place == URGENT || flow_has_window(l->flow);
}

/* Back to their flows: as many parked lanes as there is room for; all where they would fail. */
void room_unpark(struct origin *o)
{
    unsigned room = room_is_given_up(o) ? UINT_MAX : room_at(o);

    for (struct rotation_member *m; o->called < room && (m = rotation_next(&o->parked));) {
        struct lane *l = CONTAINER_OF(m, struct lane, parking);
        lane_step_out(l);
        rotation_served(&o->parked, m);
        l->called = lane_place(l, true) && will_come(l);
        o->called += l->called;
    }
    if (rotation_is_wanted(&o->parked) && room_opens_at(o) > loop_now_ns())
        timer_set(&o->timer, room_opens_at(o));
}

void room_due(struct timer *timer)
{
    room_unpark(CONTAINER_OF(timer, struct origin, timer));
}

void room_park(struct lane *l)
{
    struct origin *o = l->origin;

    lane_step_out(l);
    l->place = PARKED;
    rotation_enter(&o->parked, &l->parking);
    if (room_opens_at(o) > loop_now_ns())
        timer_set(&o->timer, room_opens_at(o));
}
