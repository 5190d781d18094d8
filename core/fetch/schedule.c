/*
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
 * Turns are given in a job of their own, never inside a call.
 */
#include "core/fetch/schedule.h"

#include "core/async/loop.h"
#include "core/async/runtime.h"
#include "core/base/clock.h"
#include "core/fetch/fetch_error.h"
#include "core/fetch/origin.h"
#include "core/fetch/target.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The next lane of a plan opens with each turn, as long as no more than these are open: that may
 * have a turn, at least; in all; in all of a flow that asks for admission, which the lanes keep. */
enum { READY_LANES = 1024, OPEN_LANES = 16384, ASKING_LANES = 1024 };

/*
 * That part of all turns is kept for flows that have few; and of all turns, and of the memory that
 * bodies may take, for newcomers, who then need not wait until others' fetches end.
 */
enum { SPARE_PART = 16, FRESH_PART = 64 };

/*
 * The loop's time is shared as well. What is begun keeps it for some 100 us, in many small parts;
 * whoever else is under way waits for all that are begun with it, at each of a dozen steps. So few
 * are begun in a row, and once a turn of the loop has taken long, no more in it than would take
 * half of that time: fewer are under way then, not fewer fetched. Newcomers are begun even so.
 */
enum { TURNS_IN_A_ROW = 16, LONG_TURN_NS = 500000, TURNS_IN_A_LONG_TURN = 4, NS_PER_TURN = 200000 };

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
    bool serving; /* it is in serve(), where it must not be freed */
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
    struct job give;
    struct timer give_later; /* in the next turn of the loop, as this one has taken long */
    uint64_t given_ns;       /* the turn of the loop... */
    size_t given;            /* ...in which so many turns were given */
    bool giving;             /* `give` is queued */
    bool starved;            /* there was no memory to open a lane with */
    bool closed;             /* schedule_free came first: `give` frees what is left */
};

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

/* Whether a newcomer may have a turn, which is the last to be kept from one. */
static bool may_give(const struct schedule *s)
{
    size_t most = s->options.hold_bytes;

    return s->active < s->options.concurrency && s->held <= most + most / FRESH_PART;
}

static void count_given(struct schedule *s)
{
    uint64_t now = loop_now_ns();

    s->given = s->given_ns == now ? s->given + 1 : 1;
    s->given_ns = now;
}

static bool is_loop_busy(const struct schedule *s)
{
    uint64_t began = loop_now_ns(), took = async_now_ns() - began;

    return took > LONG_TURN_NS && s->given_ns == began &&
           s->given >= TURNS_IN_A_LONG_TURN + took / NS_PER_TURN;
}

/* Whether only newcomers may. */
static bool is_kept_for_fresh(const struct schedule *s)
{
    return is_loop_busy(s) ||
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

static void wake(struct schedule *s)
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
        wake(s);
}

size_t schedule_active(const struct schedule *s)
{
    return s->active;
}

size_t schedule_waiting(const struct schedule *s)
{
    return s->waiting;
}

/* -- flows and lanes --------------------------------------------------------------------------- */

static bool has_window(const struct flow *f)
{
    bool in_order = f->options.plan && f->options.plan->in_order;
    size_t waiting = f->waiting < FLOW_WAITING_MOST ? f->waiting : FLOW_WAITING_MOST;

    if (f->options.hold_bytes > 0 && f->held > f->options.hold_bytes)
        return false;
    return f->under_way < f->options.window + (in_order ? 0 : waiting);
}

/*
 * Twice as many as there are turns: when a lane's next turn comes, the transfer of its last one is
 * mostly over, and its connection free. And lanes that wait for their one connection do not keep
 * turns unused.
 */
static size_t most_ready(const struct schedule *s)
{
    size_t turns = s->options.concurrency;

    return turns > READY_LANES / 2 ? 2 * turns : READY_LANES;
}

static bool may_open(const struct flow *f)
{
    unsigned most = f->options.ask ? ASKING_LANES : OPEN_LANES;

    return f->options.plan && f->group < f->options.plan->group_count &&
           f->ready_lanes < most_ready(f->schedule) && f->open < most;
}

/* Puts the flow where it belongs after its lanes or its window have changed. */
static void update_flow(struct flow *f)
{
    bool has_lane =
        !list_empty(&f->urgent) || (has_window(f) && (!list_empty(&f->ready) || may_open(f)));

    if (!has_lane) {
        rotation_rest(&f->schedule->flows, &f->turn);
        return;
    }
    rotation_enter(&f->schedule->flows, &f->turn);
    wake(f->schedule);
}

static bool has_work(const struct lane *l)
{
    return !list_empty(&l->tickets) || l->next != PLAN_NONE;
}

static void lane_free(struct lane *l)
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
    return has_work(l) || l->active > 0 || l->asking || l->serving ||
           l->next_start_ns > loop_now_ns();
}

static bool ask_for_admission(struct lane *l);
static void unask(struct lane *l);
static void unpark(struct origin *o);
static void origin_due(struct timer *timer);

/* Whether nothing of its own keeps the lane from its turn; if something does, it will be told. */
static bool is_able(struct lane *l)
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

static void step_out(struct lane *l)
{
    l->flow->ready_lanes -= l->place == READY;
    if (l->place == PARKED)
        rotation_rest(&l->origin->parked, &l->parking);
    list_remove(&l->link);
    l->place = NOWHERE;
}

static void stand(struct lane *l, enum place place, struct list *head, bool in_front)
{
    step_out(l);
    l->flow->ready_lanes += place == READY;
    l->place = place;
    if (in_front)
        list_push_front(head, &l->link);
    else
        list_push_back(head, &l->link);
}

static void uncall(struct lane *l)
{
    if (!l->called)
        return;
    l->called = false;
    l->origin->called--;
}

/* The room that the lane was called to is for the next. */
static void pass_call_on(struct lane *l)
{
    if (!l->called)
        return;
    uncall(l);
    unpark(l->origin);
}

/* Where the window is full by now, those lanes that were called, who stand in front, do not come.
 */
static void window_shrank(struct flow *f)
{
    if (has_window(f))
        return;
    LIST_FOR (link, &f->ready) {
        struct lane *l = CONTAINER_OF(link, struct lane, link);
        if (!l->called)
            return;
        pass_call_on(l);
    }
}

/* So many more (or fewer) tickets wait in the lane. */
static void count_waiting(struct lane *l, int change)
{
    l->origin->queued += (size_t)change; /* modulo 2^N: a negative change subtracts */
    l->flow->schedule->waiting += (size_t)change;
    l->flow->waiting += (size_t)change;
    window_shrank(l->flow);
}

/* Puts the lane where it belongs after something of it has changed. True: it waits for its turn. */
static bool place(struct lane *l, bool in_front)
{
    struct flow *f = l->flow;
    enum place before = l->place;
    bool urgent = !list_empty(&l->tickets), waits = false;

    if (!has_work(l) || (l->place != PARKED && !is_able(l))) {
        step_out(l);
    } else if (l->place != PARKED) {
        waits = true;
        if (l->place != (urgent ? URGENT : READY))
            stand(l, urgent ? URGENT : READY, urgent ? &f->urgent : &f->ready, in_front);
    }
    update_flow(f);
    if (!has_work(l))
        unask(l);
    if (l->place != before)
        pass_call_on(l);
    return waits;
}

static void lane_due(struct timer *timer)
{
    struct lane *l = CONTAINER_OF(timer, struct lane, timer);

    if (is_in_use(l))
        place(l, false);
    else
        lane_free(l);
}

/* Ends what is of no use any more. */
static void tidy(struct lane *l)
{
    if (!is_in_use(l))
        lane_free(l);
    else if (!has_work(l) && l->next_start_ns > loop_now_ns())
        timer_set(&l->timer, l->next_start_ns); /* to be freed then */
}

/* The flow's lane at `key` ("": the stray one). NULL when memory is exhausted. */
static struct lane *lane_at(struct flow *f, const char *key)
{
    struct origin *o = NULL;
    struct lane *l = f->stray;

    if (*key) {
        o = origin_get(&f->schedule->origins, key);
        if (!o)
            return NULL;
        o->schedule = f->schedule;
        o->timer.fire = origin_due;
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

/* -- admission --------------------------------------------------------------------------------- */

static void settle_if_ended(struct flow *f);

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
    place(l, false);
    settle_if_ended(l->flow);
    tidy(l);
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

static uint64_t delay_ms(const struct lane *l)
{
    const struct flow_options *o = &l->flow->options;
    uint64_t asked =
        o->ask_delay_ms && l->admission ? o->ask_delay_ms(o->ask_arg, l->admission) : 0;

    return asked > o->delay_ms ? asked : o->delay_ms;
}

/* -- room at an origin ------------------------------------------------------------------------- */

static unsigned limit_of(const struct origin *o, uint64_t now)
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

static bool is_given_up(const struct origin *o)
{
    return health_at(&o->health, loop_now_ns()) == HEALTH_GIVEN_UP;
}

/* When the origin may be asked next; in the past: now. */
static uint64_t opens_at(const struct origin *o)
{
    uint64_t until = o->health.state == HEALTH_GOOD ? 0 : o->health.until_ns;

    return until > o->next_start_ns ? until : o->next_start_ns;
}

/* How many turns may be given there now. */
static unsigned room_at(const struct origin *o)
{
    uint64_t now = loop_now_ns();
    unsigned limit = opens_at(o) > now ? 0 : limit_of(o, now);

    return limit > o->active ? limit - o->active : 0;
}

/* Whether the lane, which stands in its flow, will be looked at. */
static bool will_come(const struct lane *l)
{
    return l->place == URGENT || has_window(l->flow);
}

/* Back to their flows: as many parked lanes as there is room for; all where they would fail. */
static void unpark(struct origin *o)
{
    unsigned room = is_given_up(o) ? UINT_MAX : room_at(o);

    for (struct rotation_member *m; o->called < room && (m = rotation_next(&o->parked));) {
        struct lane *l = CONTAINER_OF(m, struct lane, parking);
        step_out(l);
        rotation_served(&o->parked, m);
        l->called = place(l, true) && will_come(l);
        o->called += l->called;
    }
    if (rotation_is_wanted(&o->parked) && opens_at(o) > loop_now_ns())
        timer_set(&o->timer, opens_at(o));
}

static void origin_due(struct timer *timer)
{
    unpark(CONTAINER_OF(timer, struct origin, timer));
}

static void park(struct lane *l)
{
    struct origin *o = l->origin;

    step_out(l);
    l->place = PARKED;
    rotation_enter(&o->parked, &l->parking);
    if (opens_at(o) > loop_now_ns())
        timer_set(&o->timer, opens_at(o));
}

/* -- giving turns ------------------------------------------------------------------------------ */

/* A text of its own; NULL when memory is exhausted. */
static char *why_given_up(const struct origin *o)
{
    uint64_t left_ns = o->health.until_ns - loop_now_ns();
    char *text;

    if (asprintf(&text, "The host %s; it is left alone for another %llu s",
                 o->health.surrenders > 0 ? "keeps failing" : "asked for a pause",
                 (unsigned long long)(left_ns / NS_PER_SEC + 1)) < 0)
        return NULL;
    return text;
}

/* Takes the next URL off the lane's plan. */
static size_t take_url(struct lane *l)
{
    struct flow *f = l->flow;
    uint32_t index = l->next;

    l->next = f->options.plan->next[index];
    l->left--;
    if (l->origin)
        l->origin->queued--;
    if (l->next == PLAN_NONE)
        f->open--;
    return index;
}

static void begin(struct lane *l, struct ticket *t)
{
    struct flow *f = l->flow;
    size_t index = take_url(l);

    f->under_way++;
    window_shrank(f);
    f->options.begin(f->options.arg, index, t);
}

static void take_turn(struct lane *l, struct ticket *t)
{
    struct origin *o = l->origin;
    struct schedule *s = l->flow->schedule;
    uint64_t now = loop_now_ns(), delay = delay_ms(l);

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
    count_waiting(l, -1);
    return t;
}

/* The ticket leaves its lane unserved: the origin is given up. */
static void turn_away(struct lane *l, struct ticket *t)
{
    t->lane = NULL;
    promise_fail(t->promise, FETCH_HOST_UNAVAILABLE, why_given_up(l->origin), free);
    t->promise = promise_drop(t->promise);
}

/* Gives the lane, which stands nowhere, its turn. False: it waits for its origin. */
static bool serve(struct lane *l)
{
    struct ticket *t, granted = {.asked_ns = l->flow->run_ns};

    if (l->origin && !is_given_up(l->origin) && room_at(l->origin) == 0) {
        park(l);
        return false;
    }
    l->serving = true;
    t = l->origin ? take_ticket(l) : NULL;
    if (l->origin && is_given_up(l->origin)) {
        if (t)
            turn_away(l, t);
        else
            begin(l, &granted);
    } else if (t) {
        take_turn(l, t);
        promise_resolve(t->promise, NULL, NULL);
        t->promise = promise_drop(t->promise);
    } else {
        if (l->origin)
            take_turn(l, &granted);
        begin(l, &granted);
    }
    l->serving = false;
    place(l, false);
    tidy(l);
    return true;
}

/* Of a URL what its origin is read off: what else is wrong with it is not the others' fault. */
static struct bytes up_to_path(struct bytes url)
{
    const char *slashes = url.len ? memmem(url.ptr, url.len, "://", 3) : NULL;
    size_t at = slashes ? (size_t)(slashes - url.ptr) + 3 : url.len;

    while (at < url.len && !strchr("/?#\\", url.ptr[at]))
        at++;
    return bytes_of(url.ptr, at);
}

/* The key of the group's origin, by its first URL; empty when that has none. */
static const char *key_of_group(struct flow *f, const struct plan_group *g, struct target *t)
{
    const char *message;

    if (f->options.plan->in_order ||
        target_parse(up_to_path(f->options.url(f->options.arg, g->first)), t, &message) != 0)
        return "";
    return t->origin;
}

/* Opens a lane for the next group of the plan, or adds it to one that is open. False: no memory. */
static bool open_next(struct flow *f)
{
    struct plan *plan = f->options.plan;
    const struct plan_group *g = &plan->groups[f->group];
    struct target target = {0};
    struct lane *l = lane_at(f, key_of_group(f, g, &target));

    if (!l) /* no memory: what is stray finds its way by itself, later */
        l = lane_at(f, "");
    target_free(&target);
    if (!l)
        return false;
    f->group++;
    if (l->next == PLAN_NONE) {
        l->next = g->first;
        f->open++;
    } else {
        plan->next[l->last] = g->first;
    }
    l->last = g->last;
    l->left += g->count;
    if (l->origin)
        l->origin->queued += g->count;
    place(l, false);
    return true;
}

/* The lane whose turn it is; NULL: none can be served. */
static struct lane *next_lane(struct flow *f)
{
    struct list *queue = &f->urgent;

    if (list_empty(queue) && has_window(f)) {
        f->schedule->starved = may_open(f) && !open_next(f);
        queue = &f->ready;
    }
    if (list_empty(queue))
        return NULL;
    struct lane *l = CONTAINER_OF(queue->next, struct lane, link);
    step_out(l);
    uncall(l); /* it is there */
    return l;
}

/* The flow whose turn it is, of those that may have one; NULL: none may. */
static struct flow *next_flow(struct schedule *s)
{
    while (may_give(s)) {
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
    struct flow *f = NULL;

    if (s->closed) {
        free(s);
        return;
    }
    s->starved = false;
    for (int n = 0; n < TURNS_IN_A_ROW && !s->starved && (f = next_flow(s)); n++) {
        struct lane *l = next_lane(f);
        if (l && serve(l)) {
            rotation_served(&s->flows, &f->turn);
            count_given(s);
        }
        update_flow(f);
    }
    rotation_put_back(&s->flows);
    s->giving = false;
    if (f)
        wake(s); /* behind what was begun; or starved, and there may be memory again */
    else if (rotation_is_wanted(&s->flows) && may_give(s) && is_loop_busy(s))
        timer_set(&s->give_later, loop_now_ns());
}

static void give_later(struct timer *timer)
{
    wake(CONTAINER_OF(timer, struct schedule, give_later));
}

/* -- turns ------------------------------------------------------------------------------------- */

static future *given_up(const struct origin *o)
{
    future *f;
    promise *p = promise_new(&f);

    if (!p)
        return future_out_of_memory();
    promise_fail(p, FETCH_HOST_UNAVAILABLE, why_given_up(o), free);
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
    if (is_given_up(l->origin)) {
        turn = given_up(l->origin);
        tidy(l);
        return turn;
    }
    if (l->place == NOWHERE && !rotation_is_wanted(&s->flows) && !is_kept_for_fresh(s) &&
        may_give_to(f) && !has_work(l) && is_able(l) && room_at(l->origin) > 0) {
        take_turn(l, t);
        count_given(s);
        return future_done();
    }
    t->promise = promise_new(&turn);
    if (!t->promise) {
        tidy(l);
        return future_out_of_memory();
    }
    t->lane = l;
    list_push_back(&l->tickets, &t->link);
    count_waiting(l, 1);
    place(l, false);
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
    unpark(o);
}

bool schedule_leave(struct ticket *t, enum turn_end end, uint64_t retry_after_s)
{
    struct lane *l = t->lane;
    bool is_lost = false;

    if (!l)
        return false;
    if (t->begun_ns) {
        leave_turn(t, end, retry_after_s);
        is_lost = is_given_up(l->origin);
    } else {
        list_remove(&t->link);
        count_waiting(l, -1);
        t->promise = promise_drop(t->promise);
    }
    *t = (struct ticket){0};
    struct schedule *s = l->flow->schedule;
    place(l, false);
    tidy(l);
    wake(s);
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

/* -- flows ------------------------------------------------------------------------------------- */

struct flow *flow_new(struct schedule *s, const struct flow_options *options)
{
    struct flow *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->schedule = s;
    f->options = *options;
    rotation_member_init(&f->turn);
    list_push_back(&s->all_flows, &f->member);
    list_init(&f->urgent);
    list_init(&f->ready);
    if (options->plan)
        f->group = options->plan->group_count; /* until flow_run() */
    return f;
}

static void settle_if_ended(struct flow *f)
{
    bool has_more = f->options.plan && (f->group < f->options.plan->group_count || f->open > 0);

    if (!f->ended || has_more || f->under_way > 0 || f->asking > 0)
        return;
    promise_resolve(f->ended, NULL, NULL);
    f->ended = promise_drop(f->ended);
}

static void close_cancelled(promise *ended, void *flow)
{
    (void)ended;
    flow_close(flow);
}

future *flow_run(struct flow *f)
{
    future *ended;

    f->ended = promise_new(&ended);
    if (!f->ended)
        return future_out_of_memory();
    promise_on_cancel(f->ended, close_cancelled, f);
    f->run_ns = loop_now_ns();
    f->group = 0;
    update_flow(f);
    settle_if_ended(f);
    return ended;
}

void flow_ended(struct flow *f)
{
    f->under_way--;
    update_flow(f);
    settle_if_ended(f);
}

void flow_hold(struct flow *f, ptrdiff_t change)
{
    f->held += (size_t)change; /* modulo 2^N: a negative change subtracts */
    window_shrank(f);
    update_flow(f);
}

/* Nothing of the plan is begun any more. */
static void give_plan_up(struct lane *l)
{
    if (l->next == PLAN_NONE)
        return;
    if (l->origin)
        l->origin->queued -= l->left;
    l->next = PLAN_NONE;
    l->left = 0;
    l->flow->open--;
}

void flow_close(struct flow *f)
{
    struct lane *l, *next;

    if (f->options.plan)
        f->group = f->options.plan->group_count;
    HASH_ITER (hh, f->lanes, l, next) {
        give_plan_up(l);
        place(l, false);
        tidy(l);
    }
    if (f->stray) {
        give_plan_up(f->stray);
        place(f->stray, false);
        tidy(f->stray);
    }
    update_flow(f);
    settle_if_ended(f);
}

struct flow *flow_free(struct flow *f)
{
    struct lane *l, *next;

    if (!f)
        return NULL;
    rotation_remove(&f->schedule->flows, &f->turn);
    list_remove(&f->member);
    HASH_ITER (hh, f->lanes, l, next) {
        assert(!has_work(l) && l->active == 0 && !l->asking);
        lane_free(l);
    }
    if (f->stray)
        lane_free(f->stray);
    promise_drop(f->ended);
    free(f);
    return NULL;
}

/* -- reports ----------------------------------------------------------------------------------- */

/* Whether `key` is an origin of `host`: "scheme://host:port" or "scheme://[host]:port". */
static bool is_of_host(const char *key, struct bytes host)
{
    const char *start = strstr(key, "://") + 3, *end = strrchr(key, ':');

    if (*start == '[') {
        start++;
        end--;
    }
    return bytes_equal_nocase(bytes_of(start, (size_t)(end - start)), host);
}

/* When the first of the lanes that wait for this origin may go on for its own part. */
static uint64_t lanes_open_at(const struct schedule *s, const struct origin *o, bool *ret_all_ask)
{
    uint64_t first = CLOCK_NEVER;
    bool asking = false;

    LIST_FOR (link, &s->all_flows) {
        const struct flow *f = CONTAINER_OF(link, struct flow, member);
        struct lane *l;
        HASH_FIND_PTR(f->lanes, &o, l);
        if (!l || !has_work(l))
            continue;
        asking = asking || l->asking;
        if (!l->asking && l->next_start_ns < first)
            first = l->next_start_ns;
    }
    *ret_all_ask = asking && first == CLOCK_NEVER;
    return first == CLOCK_NEVER ? 0 : first;
}

void schedule_report(const struct schedule *s, struct bytes host,
                     void (*tell)(void *arg, const struct origin_report *report), void *arg)
{
    uint64_t now = loop_now_ns();

    for (const struct origin *o = s->origins.table; o; o = o->hh.next) {
        if (!is_of_host(o->key, host))
            continue;
        bool all_ask;
        uint64_t opens = opens_at(o), lanes_open = lanes_open_at(s, o, &all_ask);
        if (lanes_open > opens)
            opens = lanes_open;
        tell(arg,
             &(struct origin_report){
                 .origin = o->key,
                 .state = health_at(&o->health, now),
                 .in_flight = o->active,
                 .limit = limit_of(o, now),
                 .queued = o->queued,
                 .next_start_in_ms = opens > now ? (opens - now + NS_PER_MS - 1) / NS_PER_MS : 0,
                 .waits_for_admission = all_ask,
                 .failures = o->health.failures,
                 .refusals = o->health.refusals,
             });
    }
}

struct schedule_stats schedule_stats(const struct schedule *s)
{
    struct schedule_stats stats = {
        .active = s->active,
        .waiting = s->waiting,
        .held_bytes = s->held,
    };
    uint64_t now = loop_now_ns();

    for (const struct origin *o = s->origins.table; o; o = o->hh.next) {
        stats.origins[health_at(&o->health, now)]++;
        stats.origins_waiting += o->queued > 0;
    }
    return stats;
}
