#include "core/fetch/lane.h"

#include "core/base/clock.h"
#include "core/fetch/flow.h"
#include "core/fetch/room.h"

#include <stdlib.h>

bool lane_has_work(const struct lane *l)
{
    return !list_empty(&l->tickets) || l->next != PLAN_NONE;
}

void lane_free(struct lane *l)
{
    struct flow *f = l->flow;

    timer_clear(&l->timer);
    future_drop(l->admission);
    if (l->origin) {
        rotation_remove(&l->origin->parked, &l->parking);
        HASH_DEL(f->lanes, l);
        origin_put(&f->schedule->origins, l->origin);
    } else {
        f->stray = NULL;
    }
    free(l);
}

/* A lane stays as long as its delay does, which would be forgotten with it. */
static bool is_in_use(const struct lane *l)
{
    return lane_has_work(l) || l->active > 0 || l->asking || l->serving ||
           l->next_start_ns > loop_now_ns();
}

/* -- admission --------------------------------------------------------------------------------- */

static void take_admission(struct lane *l, future *admission)
{
    future_drop(l->admission);
    l->admission = future_ref(admission);
}

static void on_admission(future *done, promise *next, void *arg)
{
    struct lane *l = arg;

    promise_resolve(next, NULL, NULL);
    promise_drop(next);
    if (future_ok(done) || !l->unasked)
        take_admission(l, done);
    l->admitted = future_drop(l->admitted);
    l->asking = l->unasked = false;
    l->flow->asking--;
    lane_place(l, false);
    flow_settle_if_ended(l->flow);
    lane_tidy(l);
}

/* Should there be something to do again, it is asked for anew. */
static void unask(struct lane *l)
{
    if (!l->asking || l->unasked)
        return;
    l->unasked = true;
    future_cancel(l->admitted);
}

/* True when there is nothing to ask, or the answer is there. */
static bool ask_for_admission(struct lane *l)
{
    const struct flow_options *o = &l->flow->options;
    uint64_t now = loop_now_ns();

    if (!o->ask || (l->admission && now < clock_after_ms(l->admission_ns, ADMISSION_MS)))
        return true;
    future *asked = o->ask(o->ask_arg, l->origin->key);
    l->admission_ns = now;
    if (!future_settled(asked))
        l->admitted = future_then(asked, EXECUTOR_LOOP, on_admission, l);
    l->asking = l->admitted && !future_settled(l->admitted);
    if (l->asking) {
        l->flow->asking++;
    } else { /* the answer is there, or there is no memory to wait with: go without */
        l->admitted = future_drop(l->admitted);
        take_admission(l, asked);
    }
    future_drop(asked);
    return !l->asking;
}

uint64_t lane_delay_ms(const struct lane *l)
{
    const struct flow_options *o = &l->flow->options;
    uint64_t asked =
        o->ask_delay_ms && l->admission ? o->ask_delay_ms(o->ask_arg, l->admission) : 0;

    return asked > o->delay_ms ? asked : o->delay_ms;
}

/* -- where it stands --------------------------------------------------------------------------- */

void lane_step_out(struct lane *l)
{
    l->flow->ready_lanes -= l->place == READY;
    if (l->place == PARKED)
        rotation_rest(&l->origin->parked, &l->parking);
    list_remove(&l->link);
    l->place = NOWHERE;
}

static void stand(struct lane *l, enum place place, struct list *head, bool in_front)
{
    lane_step_out(l);
    l->flow->ready_lanes += place == READY;
    l->place = place;
    if (in_front)
        list_push_front(head, &l->link);
    else
        list_push_back(head, &l->link);
}

void lane_uncall(struct lane *l)
{
    if (!l->called)
        return;
    l->called = false;
    l->origin->called--;
}

/* The room that the lane was called to is for the next. */
void lane_pass_call_on(struct lane *l)
{
    if (!l->called)
        return;
    lane_uncall(l);
    room_unpark(l->origin);
}

/* Whether nothing of its own keeps the lane from its turn; if something does, it will be told. */
bool lane_is_able(struct lane *l)
{
    if (!l->origin)
        return true;
    if (l->asking || l->active >= l->flow->options.per_origin)
        return false;
    if (l->next_start_ns > loop_now_ns()) {
        timer_set(&l->timer, l->next_start_ns);
        return false;
    }
    return ask_for_admission(l);
}

/* Puts the lane where it belongs after something of it has changed. True: it waits for its turn. */
bool lane_place(struct lane *l, bool in_front)
{
    struct flow *f = l->flow;
    enum place before = l->place;
    bool urgent = !list_empty(&l->tickets), waits = false;

    if (!lane_has_work(l) || (l->place != PARKED && !lane_is_able(l))) {
        lane_step_out(l);
    } else if (l->place != PARKED) {
        waits = true;
        if (l->place != (urgent ? URGENT : READY))
            stand(l, urgent ? URGENT : READY, urgent ? &f->urgent : &f->ready, in_front);
    }
    flow_update(f);
    if (!lane_has_work(l))
        unask(l);
    if (l->place != before)
        lane_pass_call_on(l);
    return waits;
}

static void lane_due(struct timer *timer)
{
    struct lane *l = CONTAINER_OF(timer, struct lane, timer);

    if (is_in_use(l))
        lane_place(l, false);
    else
        lane_free(l);
}

/* Ends what is of no use any more. */
void lane_tidy(struct lane *l)
{
    if (!is_in_use(l))
        lane_free(l);
    else if (!lane_has_work(l) && l->next_start_ns > loop_now_ns())
        timer_set(&l->timer, l->next_start_ns); /* to be freed then */
}

/* -- tickets ----------------------------------------------------------------------------------- */

/* So many more (or fewer) tickets wait in the lane. */
void lane_count_waiting(struct lane *l, int change)
{
    l->origin->queued += (size_t)change; /* modulo 2^N: a negative change subtracts */
    l->flow->schedule->waiting += (size_t)change;
    l->flow->waiting += (size_t)change;
    flow_window_shrank(l->flow);
}

/* -- finding one ------------------------------------------------------------------------------- */

/* The flow's lane at `key` ("": the stray one). NULL when memory is exhausted. */
struct lane *lane_at(struct flow *f, const char *key)
{
    struct origin *o = NULL;
    struct lane *l = f->stray;

    if (*key) {
        o = origin_get(&f->schedule->origins, key);
        if (!o)
            return NULL;
        o->schedule = f->schedule;
        o->timer.fire = room_due;
        HASH_FIND_PTR(f->lanes, &o, l);
    }
    if (l) {
        if (o)
            origin_put(&f->schedule->origins, o);
        return l;
    }
    l = calloc(1, sizeof *l);
    if (l) {
        *l = (struct lane){.flow = f, .origin = o, .next = PLAN_NONE, .timer.fire = lane_due};
        list_init(&l->link);
        rotation_member_init(&l->parking);
        list_init(&l->tickets);
        if (!o)
            f->stray = l;
        else
            HASH_ADD_PTR(f->lanes, origin, l);
    }
    if (l && o && !l->hh.tbl) { /* no memory for the table */
        free(l);
        l = NULL;
    }
    if (!l && o)
        origin_put(&f->schedule->origins, o);
    return l;
}
