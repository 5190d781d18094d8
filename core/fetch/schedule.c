/* Who may have a turn, and whose it is. Turns are given in a job, never inside a call. */
#include "core/async/runtime.h"
#include "core/base/clock.h"
#include "core/fetch/fetch_error.h"
#include "core/fetch/flow.h"
#include "core/fetch/lane.h"
#include "core/fetch/room.h"

#include <stdlib.h>
#include <string.h>

/*
 * That part of all turns is kept for flows that have few; and of all turns, and of the memory that
 * bodies may take, for newcomers, who then need not wait until others' fetches end.
 */
enum { SPARE_PART = 16, FRESH_PART = 64 };

/*
 * The loop's time is shared as well. What is begun keeps it for some 100 us, in many small parts,
 * and whoever else is under way waits for all that are begun with it, at each of a dozen steps. So
 * a turn of the loop begins few: fewer are under way then, not fewer fetched; fewest where there
 * are others. Newcomers may be more; and in a turn that takes long for other reasons there is one
 * more for each of its ms.
 */
enum { BEGUN_IN_A_TURN = 16, BEGUN_BESIDE_OTHERS = 8, NEWCOMERS_IN_A_TURN = 32 };

static void give_turns(struct job *job);
static void give_later(struct timer *timer);

/* -- the schedule ------------------------------------------------------------------------------ */

struct schedule *schedule_new(const struct schedule_options *options)
{
    struct schedule *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->options = *options;
    s->give.run = give_turns;
    s->give_later.fire = give_later;
    rotation_init(&s->flows);
    list_init(&s->all_flows);
    origins_init(&s->origins);
    return s;
}

struct schedule *schedule_free(struct schedule *s)
{
    if (!s)
        return NULL;
    timer_clear(&s->give_later);
    origins_free(&s->origins);
    s->closed = true;
    if (!s->giving)
        free(s);
    return NULL;
}

/* -- who may have a turn ----------------------------------------------------------------------- */

static bool has_room(const struct schedule *s)
{
    const struct schedule_options *o = &s->options;

    return s->active == 0 || !o->has_room ||
           o->has_room(o->has_room_arg, s->active, schedule_held(s));
}

/* Whether a newcomer may have a turn, which is the last to be kept from one. */
static bool may_give(const struct schedule *s)
{
    size_t most = s->options.hold_bytes;

    return s->active < s->options.concurrency && s->held <= most + most / FRESH_PART && has_room(s);
}

static void count_given(struct schedule *s)
{
    uint64_t now = loop_now_ns();

    s->given = s->given_ns == now ? s->given + 1 : 1;
    s->given_ns = now;
}

/* Whether this turn of the loop has begun `most`. A mock's turn takes no time, and is never full.
 */
static bool is_turn_full(const struct schedule *s, unsigned most)
{
    uint64_t began = loop_now_ns(), took = async_now_ns() - began;

    return took > 0 && s->given_ns == began && s->given >= most + took / NS_PER_MS;
}

/* Whether only newcomers may. */
static bool is_kept_for_fresh(const struct schedule *s)
{
    return is_turn_full(s, s->flows.wanting > 1 ? BEGUN_BESIDE_OTHERS : BEGUN_IN_A_TURN) ||
           s->active + s->options.concurrency / FRESH_PART >= s->options.concurrency ||
           s->held > s->options.hold_bytes;
}

/*
 * Slow hosts of one flow can take all the turns that it gets, and keep them for as long as a fetch
 * may take: it does not get the last of them, so that another flow need not wait for its first
 * ones.
 */
static bool may_give_to(const struct flow *f)
{
    const struct schedule *s = f->schedule;
    size_t spare = s->options.concurrency / SPARE_PART;

    return may_give(s) && (s->active + spare < s->options.concurrency || f->active < spare);
}

void schedule_wake(struct schedule *s)
{
    if (s->giving || !rotation_is_wanted(&s->flows) || !may_give(s))
        return;
    s->giving = true;
    loop_post(&s->give);
}

void schedule_hold(struct schedule *s, ptrdiff_t change)
{
    s->held += (size_t)change; /* modulo 2^N: a negative change subtracts */
    if (change < 0)
        schedule_wake(s);
}

void schedule_look_again(struct schedule *s)
{
    schedule_wake(s);
}

size_t schedule_held(const struct schedule *s)
{
    return s->held + s->results;
}

size_t schedule_active(const struct schedule *s)
{
    return s->active;
}

size_t schedule_waiting(const struct schedule *s)
{
    return s->waiting;
}

/* -- giving turns ------------------------------------------------------------------------------ */

static void begin(struct lane *l, struct ticket *t)
{
    struct flow *f = l->flow;
    size_t index = flow_take_url(l);

    f->under_way++;
    flow_window_shrank(f);
    f->options.begin(f->options.arg, index, t);
}

static void take_turn(struct lane *l, struct origin *o, struct ticket *t)
{
    struct schedule *s = l->flow->schedule;
    uint64_t now = loop_now_ns(), delay = lane_delay_ms(l);

    t->lane = l;
    t->begun_ns = now;
    l->active++;
    l->flow->active++;
    o->active++;
    s->active++;
    if (s->options.delay_ms)
        o->next_start_ns = clock_after_ms(now, s->options.delay_ms);
    if (delay)
        l->next_start_ns = clock_after_ms(now, delay);
}

static struct ticket *take_ticket(struct lane *l)
{
    if (list_empty(&l->tickets))
        return NULL;
    struct ticket *t = CONTAINER_OF(list_pop_front(&l->tickets), struct ticket, link);
    lane_count_waiting(l, -1);
    return t;
}

/* The ticket leaves its lane unserved: the origin is given up. */
static void turn_away(struct lane *l, struct ticket *t)
{
    t->lane = NULL;
    promise_fail(t->promise, FETCH_HOST_UNAVAILABLE, room_why_given_up(l->origin), free);
    t->promise = promise_drop(t->promise);
}

/* Gives the lane, which stands nowhere, its turn. False: it waits for its origin. */
static bool serve(struct lane *l)
{
    struct ticket *t = NULL, granted = {.asked_ns = l->flow->run_ns};
    struct origin *o = l->origin;
    bool is_lost = o && room_is_given_up(o);

    if (o && !is_lost && room_at(o) == 0) {
        room_park(l);
        return false;
    }
    l->serving = true;
    if (o)
        t = take_ticket(l);
    if (is_lost && t) {
        turn_away(l, t);
    } else if (t) {
        take_turn(l, o, t);
        promise_resolve(t->promise, NULL, NULL);
        t->promise = promise_drop(t->promise);
    } else {
        if (o && !is_lost)
            take_turn(l, o, &granted);
        begin(l, &granted);
    }
    l->serving = false;
    lane_place(l, false);
    lane_tidy(l);
    return true;
}

/* The flow whose turn it is, of those that may have one; NULL: none may. */
static struct flow *next_flow(struct schedule *s)
{
    while (may_give(s) && !is_turn_full(s, NEWCOMERS_IN_A_TURN)) {
        bool fresh_only = is_kept_for_fresh(s);
        struct rotation_member *m =
            fresh_only ? rotation_next_fresh(&s->flows) : rotation_next(&s->flows);
        if (!m)
            return NULL;
        struct flow *f = CONTAINER_OF(m, struct flow, turn);
        if (may_give_to(f))
            return f;
        rotation_set_aside(&s->flows, m);
    }
    return NULL;
}

static void give_turns(struct job *job)
{
    struct schedule *s = CONTAINER_OF(job, struct schedule, give);
    struct flow *f;

    if (s->closed) {
        free(s);
        return;
    }
    s->starved = false;
    while (!s->starved && (f = next_flow(s))) {
        struct lane *l = flow_next_lane(f);
        if (l && serve(l)) {
            rotation_served(&s->flows, &f->turn);
            count_given(s);
        }
        flow_update(f);
    }
    rotation_put_back(&s->flows);
    s->giving = false;
    /* Since it was last asked whether the turn is full, there may be room for one more again. */
    bool later = s->starved || (s->given_ns == loop_now_ns() && s->given >= BEGUN_BESIDE_OTHERS &&
                                async_now_ns() > s->given_ns);
    if (later && rotation_is_wanted(&s->flows) && timer_set(&s->give_later, loop_now_ns()) < 0)
        schedule_wake(s); /* without memory for the timer: in this turn, again and again */
}

static void give_later(struct timer *timer)
{
    schedule_wake(CONTAINER_OF(timer, struct schedule, give_later));
}

/* -- turns ------------------------------------------------------------------------------------- */

static future *given_up(const struct origin *o)
{
    future *f;
    promise *p = promise_new(&f);

    if (!p)
        return future_out_of_memory();
    promise_fail(p, FETCH_HOST_UNAVAILABLE, room_why_given_up(o), free);
    promise_drop(p);
    return f;
}

future *schedule_enter(struct flow *f, struct ticket *t, const char *origin)
{
    struct schedule *s = f->schedule;
    struct lane *l = lane_at(f, origin);
    future *turn;

    *t = (struct ticket){.asked_ns = loop_now_ns()};
    if (!l)
        return future_out_of_memory();
    if (room_is_given_up(l->origin)) {
        turn = given_up(l->origin);
        lane_tidy(l);
        return turn;
    }
    if (l->place == NOWHERE && !rotation_is_wanted(&s->flows) && !is_kept_for_fresh(s) &&
        may_give_to(f) && !lane_has_work(l) && lane_is_able(l) && room_at(l->origin) > 0) {
        take_turn(l, l->origin, t);
        count_given(s);
        return future_done();
    }
    t->promise = promise_new(&turn);
    if (!t->promise) {
        lane_tidy(l);
        return future_out_of_memory();
    }
    t->lane = l;
    list_push_back(&l->tickets, &t->link);
    lane_count_waiting(l, 1);
    lane_place(l, false);
    return turn;
}

static void leave_turn(struct ticket *t, enum turn_end end, uint64_t retry_after_s)
{
    struct origin *o = t->lane->origin;
    uint64_t now = loop_now_ns();

    t->lane->active--;
    t->lane->flow->active--;
    o->active--;
    t->lane->flow->schedule->active--;
    switch (end) {
    case TURN_UNUSED:
        break;
    case TURN_ANSWERED:
        health_answered(&o->health, t->begun_ns, now);
        break;
    case TURN_REFUSED:
        health_refused(&o->health, t->begun_ns, now, retry_after_s, arc4random());
        break;
    case TURN_FAILED:
        health_failed(&o->health, t->begun_ns, now, arc4random());
        break;
    }
    room_unpark(o);
}

bool schedule_leave(struct ticket *t, enum turn_end end, uint64_t retry_after_s)
{
    struct lane *l = t->lane;
    bool is_lost = false;

    if (!l)
        return false;
    if (t->begun_ns) {
        leave_turn(t, end, retry_after_s);
        is_lost = room_is_given_up(l->origin);
    } else {
        list_remove(&t->link);
        lane_count_waiting(l, -1);
        t->promise = promise_drop(t->promise);
    }
    *t = (struct ticket){0};
    struct schedule *s = l->flow->schedule;
    lane_place(l, false);
    lane_tidy(l);
    schedule_wake(s);
    return is_lost;
}

bool schedule_is_at(const struct ticket *t, const char *origin)
{
    return t->lane && t->begun_ns && strcmp(t->lane->origin->key, origin) == 0;
}

bool schedule_has_company(const struct ticket *t)
{
    return t->lane->origin->queued > 0 || t->lane->origin->active > 1;
}

const future *schedule_admission(const struct ticket *t)
{
    return t->lane->admission;
}

struct address *schedule_address(const struct ticket *t)
{
    return &t->lane->origin->address;
}
