#include "core/fetch/flow.h"

#include "core/fetch/lane.h"
#include "core/fetch/target.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The next lane of a plan opens with each turn, as long as no more than these are open: that may
 * have a turn, at least; in all; in all of a flow that asks for admission, which the lanes keep. */
enum { READY_LANES = 1024, OPEN_LANES = 16384, ASKING_LANES = 1024 };

/* -- its window -------------------------------------------------------------------------------- */

bool flow_has_window(const struct flow *f)
{
    bool in_order = f->options.plan && f->options.plan->in_order;
    size_t waiting = f->waiting < FLOW_WAITING_MOST ? f->waiting : FLOW_WAITING_MOST;

    if (f->options.hold_bytes > 0 && f->held > f->options.hold_bytes)
        return false;
    return f->under_way < f->options.window + (in_order ? 0 : waiting);
}

/* Where the window is full by now, those lanes that were called, who stand in front, do not come.
 */
void flow_window_shrank(struct flow *f)
{
    if (flow_has_window(f))
        return;
    LIST_FOR (link, &f->ready) {
        struct lane *l = CONTAINER_OF(link, struct lane, link);
        if (!l->called)
            return;
        lane_pass_call_on(l);
    }
}

/* -- its place among the others ---------------------------------------------------------------- */

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
void flow_update(struct flow *f)
{
    bool has_lane =
        !list_empty(&f->urgent) || (flow_has_window(f) && (!list_empty(&f->ready) || may_open(f)));

    if (!has_lane) {
        rotation_rest(&f->schedule->flows, &f->turn);
        return;
    }
    rotation_enter(&f->schedule->flows, &f->turn);
    schedule_wake(f->schedule);
}

/* -- its plan ---------------------------------------------------------------------------------- */

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
    lane_place(l, false);
    return true;
}

/* The lane whose turn it is; NULL: none can be served. */
struct lane *flow_next_lane(struct flow *f)
{
    struct list *queue = &f->urgent;

    if (list_empty(queue) && flow_has_window(f)) {
        f->schedule->starved = may_open(f) && !open_next(f);
        queue = &f->ready;
    }
    if (list_empty(queue))
        return NULL;
    struct lane *l = CONTAINER_OF(queue->next, struct lane, link);
    lane_step_out(l);
    lane_uncall(l); /* it is there */
    return l;
}

/* Takes the next URL off the lane's plan. */
size_t flow_take_url(struct lane *l)
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

/* -- life -------------------------------------------------------------------------------------- */

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

void flow_settle_if_ended(struct flow *f)
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
    flow_update(f);
    flow_settle_if_ended(f);
    return ended;
}

void flow_set_window(struct flow *f, size_t window)
{
    f->options.window = window;
    flow_window_shrank(f);
    flow_update(f);
}

void flow_ended(struct flow *f)
{
    f->under_way--;
    flow_update(f);
    flow_settle_if_ended(f);
}

void flow_hold(struct flow *f, ptrdiff_t change)
{
    f->held += (size_t)change; /* modulo 2^N: a negative change subtracts */
    f->schedule->results += (size_t)change;
    flow_window_shrank(f);
    flow_update(f);
}

void flow_close(struct flow *f)
{
    struct lane *l, *next;

    if (f->options.plan)
        f->group = f->options.plan->group_count;
    HASH_ITER (hh, f->lanes, l, next) {
        give_plan_up(l);
        lane_place(l, false);
        lane_tidy(l);
    }
    if (f->stray) {
        give_plan_up(f->stray);
        lane_place(f->stray, false);
        lane_tidy(f->stray);
    }
    flow_update(f);
    flow_settle_if_ended(f);
}

struct flow *flow_free(struct flow *f)
{
    struct lane *l, *next;

    if (!f)
        return NULL;
    rotation_remove(&f->schedule->flows, &f->turn);
    list_remove(&f->member);
    HASH_ITER (hh, f->lanes, l, next) {
        assert(!lane_has_work(l) && l->active == 0 && !l->asking);
        lane_free(l);
    }
    if (f->stray)
        lane_free(f->stray);
    promise_drop(f->ended);
    free(f);
    return NULL;
}
