/*
 * An origin is in `ready` exactly when a ticket waits there and the origin has room for it; the
 * front origin gets the next turn and goes to the back. So a turn costs the same however many
 * origins and tickets wait, and an origin with many URLs cannot keep the others from theirs.
 */
#include "core/fetch/schedule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct origin_queue {
    UT_hash_handle hh;
    struct list waiting; /* tickets */
    struct list ready;   /* link in schedule.ready */
    unsigned active;
    char key[];
};

struct schedule {
    struct origin_queue *origins; /* hash table by key */
    struct list ready;
    unsigned concurrency;
    size_t active, waiting;
    size_t held, hold_limit;
};

struct schedule *schedule_new(unsigned concurrency, size_t hold_bytes)
{
    struct schedule *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    list_init(&s->ready);
    s->concurrency = concurrency;
    s->hold_limit = hold_bytes;
    return s;
}

struct schedule *schedule_free(struct schedule *s)
{
    free(s);
    return NULL;
}

static bool may_start(const struct schedule *s)
{
    return s->active < s->concurrency && s->held <= s->hold_limit;
}

static struct ticket *first_waiting(struct origin_queue *o)
{
    return list_empty(&o->waiting) ? NULL : CONTAINER_OF(o->waiting.next, struct ticket, link);
}

/* Puts the origin where it belongs after its queue or its activity has changed. */
static void update_ready(struct schedule *s, struct origin_queue *o)
{
    struct ticket *next = first_waiting(o);
    bool has_room = next && o->active < next->per_origin;

    if (!has_room)
        list_remove(&o->ready);
    else if (list_empty(&o->ready))
        list_push_back(&s->ready, &o->ready);
}

static void free_if_idle(struct schedule *s, struct origin_queue *o)
{
    if (o->active > 0 || !list_empty(&o->waiting))
        return;
    HASH_DEL(s->origins, o);
    free(o);
}

static void grant(struct schedule *s, struct ticket *t)
{
    t->granted = true;
    t->origin->active++;
    s->active++;
}

static void give_turns(struct schedule *s)
{
    while (may_start(s) && !list_empty(&s->ready)) {
        struct origin_queue *o =
            CONTAINER_OF(list_pop_front(&s->ready), struct origin_queue, ready);
        struct ticket *t = first_waiting(o);
        list_remove(&t->link);
        s->waiting--;
        grant(s, t);
        promise_resolve(t->promise, NULL, NULL);
        t->promise = promise_drop(t->promise);
        update_ready(s, o);
    }
}

static struct origin_queue *origin_of(struct schedule *s, const char *key)
{
    struct origin_queue *o;
    size_t length = strlen(key);

    HASH_FIND(hh, s->origins, key, length, o);
    if (o)
        return o;
    o = calloc(1, sizeof *o + length + 1);
    if (!o)
        return NULL;
    memcpy(o->key, key, length);
    list_init(&o->waiting);
    list_init(&o->ready);
    HASH_ADD(hh, s->origins, key[0], length, o);
    return o;
}

/* A wait that is cancelled leaves its ticket in the queue, until its owner calls schedule_leave. */
future *schedule_enter(struct schedule *s, struct ticket *t, const char *origin,
                       unsigned per_origin)
{
    struct origin_queue *o = origin_of(s, origin);
    future *turn;

    if (!o)
        return future_out_of_memory();
    *t = (struct ticket){.origin = o, .per_origin = per_origin};
    list_init(&t->link);
    if (may_start(s) && list_empty(&s->ready) && list_empty(&o->waiting) &&
        o->active < per_origin) {
        grant(s, t);
        return future_done();
    }
    t->promise = promise_new(&turn);
    if (!t->promise) {
        t->origin = NULL;
        free_if_idle(s, o);
        return future_out_of_memory();
    }
    list_push_back(&o->waiting, &t->link);
    s->waiting++;
    update_ready(s, o);
    give_turns(s);
    return turn;
}

void schedule_leave(struct schedule *s, struct ticket *t)
{
    struct origin_queue *o = t->origin;

    if (!o)
        return;
    if (t->granted) {
        o->active--;
        s->active--;
    } else {
        list_remove(&t->link);
        s->waiting--;
        t->promise = promise_drop(t->promise);
    }
    *t = (struct ticket){0};
    update_ready(s, o);
    give_turns(s);
    free_if_idle(s, o);
}

void schedule_hold(struct schedule *s, ptrdiff_t change)
{
    s->held += (size_t)change; /* modulo 2^N: a negative change subtracts */
    if (change < 0)
        give_turns(s);
}

size_t schedule_active(const struct schedule *s)
{
    return s->active;
}

size_t schedule_waiting(const struct schedule *s)
{
    return s->waiting;
}
