/*
 * Waiters are entered on the calling thread, so that what settles from then on is heard of in the
 * order in which it settles. Each that fires posts the job of its slot; all else is the loop's:
 *
 *     caller:   enter the waiters ─ post `entered`
 *     settler:  fire ─ post the slot's job
 *     loop:     slot ... slot: decided ─ settle the result, cancel the others
 *                              and entered ─ take the waiters off, give the inputs back
 *                              and no job still to come ─ free
 *
 * They are taken off because an input may live long: one that says "stop" may take part in any
 * number of combinations, and must not remember them all.
 */
#include "core/async/combine.h"

#include "core/async/channel.h"
#include "core/async/internal.h"

#include <errno.h>
#include <stdlib.h>

enum kind { ALL, ANY, RACE, SHIELD, AS_COMPLETED };

/* One of the inputs. */
struct slot {
    struct waiter waiter; /* `fire` is NULL once it has fired */
    struct job job;
    struct combination *owner;
};

struct combination {
    enum kind kind;
    bool entered; /* the caller is done with it */
    size_t n;
    size_t to_come;  /* inputs whose jobs will still run */
    future **inputs; /* with a NULL behind the last; NULL: given back, or passed on */
    struct job entered_job;

    promise *result;  /* until it is settled */
    future *decisive; /* the input whose outcome it will have */
    bool cancel_asked;

    bool telling;                   /* AS_COMPLETED: the teller has not ended */
    struct job *ready, **ready_end; /* of the inputs to be told */
    promise *news;                  /* while the teller waits for one */
    struct job told_job;

    struct slot slots[];
};

/* -- inputs ------------------------------------------------------------------------------------ */

static void drop_input(void *value)
{
    future_drop(value);
}

static void drop_inputs(void *value)
{
    for (future **f = value; *f; f++)
        future_drop(*f);
    free(value);
}

static void slot_fire(struct waiter *w)
{
    w->fire = NULL;
    loop_post(&CONTAINER_OF(w, struct slot, waiter)->job);
}

/* Takes the waiters off, and gives the inputs back. */
static void leave(struct combination *c)
{
    for (size_t i = 0; c->inputs && i < c->n; i++) {
        future_remove_waiter(c->inputs[i], &c->slots[i].waiter);
        c->to_come -= c->slots[i].waiter.fire != NULL; /* fired: its job is on its way */
    }
    if (c->inputs)
        drop_inputs(c->inputs);
    c->inputs = NULL;
}

static void leave_if_over(struct combination *c)
{
    if (c->result || c->telling || !c->entered)
        return;
    leave(c);
    if (c->to_come == 0)
        free(c);
}

static void run_entered(struct job *job)
{
    struct combination *c = CONTAINER_OF(job, struct combination, entered_job);

    c->entered = true;
    leave_if_over(c);
}

/* Afterwards `c` is the loop's alone. */
static void enter(struct combination *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (!future_add_waiter(c->inputs[i], &c->slots[i].waiter))
            slot_fire(&c->slots[i].waiter);
    loop_post(&c->entered_job);
}

/* -- results ----------------------------------------------------------------------------------- */

/*
 * Whoever gets the result has no use for the others: they are cancelled, and how they fail is not
 * an error that got lost.
 */
static void settle(struct combination *c)
{
    future *f = c->decisive;

    switch (future_state(f)) {
    case FUTURE_OK:
        if (c->kind == ALL) {
            promise_resolve(c->result, c->inputs, drop_inputs);
            c->inputs = NULL;
        } else {
            promise_resolve(c->result, future_ref(f), drop_input);
        }
        break;
    case FUTURE_FAILED:
        promise_fail(c->result, future_error(f), future_ref(f), drop_input);
        break;
    case FUTURE_CANCELLED:
    case FUTURE_PENDING: /* not so: it is settled */
        promise_cancel(c->result);
        break;
    }
    c->result = promise_drop(c->result);
    for (size_t i = 0; c->inputs && i < c->n; i++) {
        future_cancel(c->inputs[i]);
        atomic_store_explicit(&c->inputs[i]->seen, true, memory_order_relaxed);
    }
}

/*
 * `f` has settled. A result that was cancelled is decided like any, but is settled only when all
 * have ended.
 */
static void judge(struct combination *c, future *f)
{
    bool ok = future_peek_state(f) == FUTURE_OK, last = c->to_come == 0;
    bool decides = last || (c->kind == ALL ? !ok : c->kind == ANY ? ok : true);

    if (decides && !c->decisive)
        c->decisive = f;
    if (c->decisive && (last || !c->cancel_asked))
        settle(c);
}

static void cancel_inputs(promise *p, void *arg)
{
    struct combination *c = arg;

    (void)p;
    c->cancel_asked = true;
    for (size_t i = 0; i < c->n; i++)
        future_cancel(c->inputs[i]);
}

static void leave_shielded(promise *p, void *arg)
{
    struct combination *c = arg;

    promise_cancel(p);
    c->result = promise_drop(p);
    leave_if_over(c);
}

/* -- as completed ------------------------------------------------------------------------------ */

/* Waits for inputs and for room in the channel. The last input tells when the channel is closed. */
struct teller {
    struct combination *c;
    struct channel *channel; /* borrowed, and there as long as `closed` is pending */
    future *closed;          /* borrowed from the inputs */
    size_t left;
    future *news, *put;
};

static future *news(struct combination *c)
{
    future *f = NULL;

    c->news = promise_make(&f);
    /* Without memory to park on, come back in the next turns: awaiting a settled future yields. */
    return c->news ? f : future_out_of_memory();
}

static void tell(struct combination *c, struct job *ready)
{
    ready->next = NULL;
    *c->ready_end = ready;
    c->ready_end = &ready->next;
    if (c->news) {
        promise_resolve(c->news, NULL, NULL);
        c->news = promise_drop(c->news);
    }
}

static future **first_ready(const struct combination *c)
{
    return &c->inputs[CONTAINER_OF(c->ready, struct slot, job) - c->slots];
}

/* Something settled takes its place, or all values would be kept until the last one is told. */
static void drop_first_ready(struct combination *c)
{
    future_drop(*first_ready(c));
    *first_ready(c) = future_done();
    c->ready = c->ready->next;
    if (!c->ready)
        c->ready_end = &c->ready;
}

static int teller_step(task *t, void *frame)
{
    struct teller *l = frame;

    BEGIN(t);
    while (l->left > 0 && !future_settled(l->closed)) {
        if (!l->c->ready) {
            AWAIT(t, l->news, news(l->c));
            continue;
        }
        AWAIT(t, l->put, channel_put(l->channel, future_ref(*first_ready(l->c))));
        if (future_error(l->put) == -ENOMEM)
            continue;
        drop_first_ready(l->c);
        l->left--;
    }
    END(t);
}

static void run_told(struct job *job)
{
    struct combination *c = CONTAINER_OF(job, struct combination, told_job);

    c->telling = false;
    c->news = promise_drop(c->news);
    leave_if_over(c);
}

/* On the caller's thread when the scope takes no more tasks: what is the loop's is left to it. */
static void teller_drop(void *frame)
{
    struct teller *l = frame;

    if (!future_settled(l->closed))
        channel_close(l->channel);
    if (l->put)
        future_state(l->put); /* that nobody takes what is put is no error that got lost */
    future_drop(l->news);
    future_drop(l->put);
    loop_post(&l->c->told_job);
}

TASK(as_completed_task, ON_LOOP, sizeof(struct teller), .step = teller_step, .drop = teller_drop);

/* -- start ------------------------------------------------------------------------------------- */

static void run_slot(struct job *job)
{
    struct slot *slot = CONTAINER_OF(job, struct slot, job);
    struct combination *c = slot->owner;

    c->to_come--;
    if (c->result)
        judge(c, c->inputs[slot - c->slots]);
    else if (c->telling)
        tell(c, job);
    leave_if_over(c);
}

/* Of `n` futures, and one more where `last` is one. NULL when memory is exhausted. */
static struct combination *make(enum kind kind, future *const *fs, size_t n, future *last)
{
    size_t all = n + (last != NULL);
    struct combination *c = malloc(sizeof *c + all * sizeof c->slots[0]);
    future **inputs = calloc(all + 1, sizeof(future *));

    if (!c || !inputs) {
        free(c);
        free(inputs);
        return NULL;
    }
    *c = (struct combination){
        .kind = kind, .n = all, .to_come = all, .inputs = inputs, .entered_job.run = run_entered};
    for (size_t i = 0; i < all; i++) {
        inputs[i] = future_ref(i < n ? fs[i] : last);
        c->slots[i] = (struct slot){.waiter.fire = slot_fire, .job.run = run_slot, .owner = c};
        list_init(&c->slots[i].waiter.link);
    }
    return c;
}

/* One that was not entered. */
static void discard(struct combination *c)
{
    drop_inputs(c->inputs);
    free(c);
}

static future *combine(enum kind kind, future *const *fs, size_t n, promise_cancel_fn *on_cancel)
{
    struct combination *c = make(kind, fs, n, NULL);
    future *result = NULL;

    if (!c)
        return future_out_of_memory();
    c->result = promise_new(&result);
    if (!c->result) {
        discard(c);
        return future_out_of_memory();
    }
    promise_on_cancel(c->result, on_cancel, c);
    enter(c);
    return result;
}

future *future_all(future *const *fs, size_t n)
{
    return n > 0 ? combine(ALL, fs, n, cancel_inputs) : future_done();
}

future *future_any(future *const *fs, size_t n)
{
    return n > 0 ? combine(ANY, fs, n, cancel_inputs) : future_invalid();
}

future *future_race(future *const *fs, size_t n)
{
    return n > 0 ? combine(RACE, fs, n, cancel_inputs) : future_invalid();
}

future *future_shield(future *f)
{
    return combine(SHIELD, &f, 1, leave_shielded);
}

struct channel *as_completed(future *const *fs, size_t n, size_t capacity)
{
    struct channel *channel = channel_new(capacity, drop_input);
    future *closed = channel ? channel_closed(channel) : NULL;
    bool open = closed && !future_settled(closed); /* else there was no memory for it */
    struct combination *c = open ? make(AS_COMPLETED, fs, n, closed) : NULL;

    future_drop(closed);
    if (!c)
        return channel_drop(channel);
    c->telling = true;
    c->ready_end = &c->ready;
    c->told_job.run = run_told;
    enter(c);

    future *told =
        task_start(&as_completed_task,
                   &(struct teller){.c = c, .channel = channel, .closed = closed, .left = n});
    bool started = told != future_out_of_memory();
    future_drop(told);
    return started ? channel : channel_drop(channel);
}
