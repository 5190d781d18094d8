/*
 * A ring of items under a mutex, and three queues of those who wait: putters, each with the item
 * that found no place, and getters and closers, who are only told that there may be something, or
 * that there will be nothing more.
 *
 * Promises are settled after the lock is released; a waiter is taken off its queue under the lock
 * before that, so exactly one of "served" and "cancelled" happens to it.
 */
#include "core/async/channel.h"

#include "core/async/internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct channel {
    atomic_uint owners;
    atomic_uint references; /* one of all owners together, one a parked waiter */
    pthread_mutex_t lock;
    bool closed;
    struct list putters, getters, closers;
    destroy_fn *destroy;
    size_t capacity, count, head;
    void *items[];
};

struct parked {
    struct list link; /* empty once it was taken off the queue */
    struct channel *channel;
    promise *promise;
    void *item; /* a putter's */
    struct job serve_job;
    int error;
};

struct channel *channel_new(size_t capacity, destroy_fn *destroy)
{
    struct channel *c = NULL;

    if (capacity == 0)
        capacity = 1;
    if (capacity <= (SIZE_MAX - sizeof *c) / sizeof c->items[0])
        c = calloc(1, sizeof *c + capacity * sizeof c->items[0]);
    if (!c)
        return NULL;
    atomic_init(&c->owners, 1);
    atomic_init(&c->references, 1);
    pthread_mutex_init(&c->lock, NULL);
    list_init(&c->putters);
    list_init(&c->getters);
    list_init(&c->closers);
    c->destroy = destroy;
    c->capacity = capacity;
    return c;
}

struct channel *channel_ref(struct channel *c)
{
    atomic_fetch_add(&c->owners, 1);
    return c;
}

static void unref(struct channel *c)
{
    void *item;

    if (atomic_fetch_sub(&c->references, 1) != 1)
        return;
    while (channel_try_get(c, &item))
        if (c->destroy)
            c->destroy(item);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Nobody can serve those who wait in a channel without owners: closing it ends their waiting. */
struct channel *channel_drop(struct channel *c)
{
    if (c && atomic_fetch_sub(&c->owners, 1) == 1) {
        channel_close(c);
        unref(c);
    }
    return NULL;
}

static void parked_free(struct parked *w)
{
    promise_drop(w->promise);
    unref(w->channel);
    free(w);
}

/* Loop thread; the request may come when the waiter has just been served: then that stands. */
static void cancel_parked(promise *p, void *arg)
{
    struct parked *w = arg;
    struct channel *c = w->channel;

    pthread_mutex_lock(&c->lock);
    bool waiting = !list_empty(&w->link);
    list_remove(&w->link);
    pthread_mutex_unlock(&c->lock);
    if (!waiting)
        return;
    if (w->item && c->destroy)
        c->destroy(w->item);
    promise_cancel(p);
    parked_free(w);
}

/* On the loop, where cancel requests are carried out too: one of them finds `w` alive, not both. */
static void run_serve(struct job *job)
{
    struct parked *w = CONTAINER_OF(job, struct parked, serve_job);

    if (w->error && w->item && w->channel->destroy)
        w->channel->destroy(w->item);
    if (w->error)
        promise_fail(w->promise, w->error, NULL, NULL);
    else
        promise_resolve(w->promise, NULL, NULL);
    parked_free(w);
}

/* Ends a waiter that was taken off its queue; an item that it failed to put goes with it. */
static void serve_parked(struct list *link, int error)
{
    struct parked *w = CONTAINER_OF(link, struct parked, link);

    w->error = error;
    loop_post(&w->serve_job);
}

/* With the lock held: enters a waiter; NULL when memory is exhausted. */
static future *park(struct channel *c, struct list *queue, void *item)
{
    struct parked *w = malloc(sizeof *w);
    future *f = NULL;

    if (!w)
        return NULL;
    promise *p = promise_new(&f);
    if (!p) {
        free(w);
        return NULL;
    }
    atomic_fetch_add(&c->references, 1);
    *w = (struct parked){.channel = c, .promise = p, .item = item, .serve_job.run = run_serve};
    promise_on_cancel(w->promise, cancel_parked, w);
    list_push_back(queue, &w->link);
    return f;
}

static void push(struct channel *c, void *item)
{
    c->items[(c->head + c->count++) % c->capacity] = item;
}

future *channel_put(struct channel *c, void *item)
{
    struct list *getter = NULL;
    future *f = future_done();
    bool refused = false;

    pthread_mutex_lock(&c->lock);
    if (c->closed) {
        refused = true;
        f = future_broken_pipe();
    } else if (c->count < c->capacity) {
        push(c, item);
        getter = list_pop_front(&c->getters);
    } else if (!(f = park(c, &c->putters, item))) {
        refused = true;
        f = future_out_of_memory();
    }
    pthread_mutex_unlock(&c->lock);
    if (refused && c->destroy)
        c->destroy(item);
    if (getter)
        serve_parked(getter, 0);
    return f;
}

bool channel_try_get(struct channel *c, void **ret_item)
{
    struct list *putter = NULL;

    pthread_mutex_lock(&c->lock);
    bool any = c->count > 0;
    if (any) {
        *ret_item = c->items[c->head];
        c->head = (c->head + 1) % c->capacity;
        c->count--;
        putter = list_pop_front(&c->putters);
        if (putter)
            push(c, CONTAINER_OF(putter, struct parked, link)->item);
    }
    pthread_mutex_unlock(&c->lock);
    if (putter)
        serve_parked(putter, 0);
    return any;
}

future *channel_ready(struct channel *c)
{
    future *f = future_done();

    pthread_mutex_lock(&c->lock);
    if (c->count == 0 && c->closed)
        f = future_broken_pipe();
    else if (c->count == 0 && !(f = park(c, &c->getters, NULL)))
        f = future_out_of_memory();
    pthread_mutex_unlock(&c->lock);
    return f;
}

future *channel_closed(struct channel *c)
{
    future *f = future_done();

    pthread_mutex_lock(&c->lock);
    if (!c->closed && !(f = park(c, &c->closers, NULL)))
        f = future_out_of_memory();
    pthread_mutex_unlock(&c->lock);
    return f;
}

void channel_close(struct channel *c)
{
    pthread_mutex_lock(&c->lock);
    c->closed = true;
    for (struct list *link; (link = list_pop_front(&c->putters));)
        serve_parked(link, -EPIPE);
    for (struct list *link; (link = list_pop_front(&c->getters));)
        serve_parked(link, c->count > 0 ? 0 : -EPIPE);
    for (struct list *link; (link = list_pop_front(&c->closers));)
        serve_parked(link, 0);
    pthread_mutex_unlock(&c->lock);
}
