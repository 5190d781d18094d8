/*
 * A scope counts what lives in it: tasks, and scopes made in it. Whoever takes the last one out of
 * a closing scope posts its end to the loop, where the deadline's timer is, and where the scope in
 * turn leaves its parent.
 */
#include "core/async/internal.h"
#include "core/async/process_queue.h"
#include "core/base/clock.h"

#include <errno.h>
#include <stdlib.h>

struct scope {
    atomic_uint references; /* the owner's, the scope's own until it has ended, one a pending job */
    struct tiny_lock lock;  /* guards what follows up to the blank line */
    bool closing, ended;
    size_t living; /* tasks and child scopes */
    struct list tasks, children;

    struct list sibling; /* in parent->children, under the parent's lock */
    struct scope *parent;
    atomic_int reason;
    uint64_t deadline_ns;
    struct timer timer;       /* loop thread */
    struct scope_queue queue; /* loop thread */
    struct job arm_job, cancel_job, end_job;
    promise *closed;
    future *closed_future; /* until scope_close() hands it out */
};

static void destroy(struct scope *s)
{
    promise_drop(s->closed);
    future_drop(s->closed_future);
    free(s);
    count(COUNT_SCOPES, -1);
}

static void unref(struct scope *s)
{
    if (atomic_fetch_sub(&s->references, 1) == 1)
        destroy(s);
}

/* With the lock held: true when the caller must post the end. */
static bool ends_now(struct scope *s)
{
    if (!s->closing || s->living > 0 || s->ended)
        return false;
    s->ended = true;
    return true;
}

/* -- tasks ------------------------------------------------------------------------------------- */

int scope_enter(struct scope *s, task *t, bool from_inside)
{
    int rc = 0;

    tiny_lock(&s->lock);
    if (atomic_load(&s->reason))
        rc = -ECANCELED;
    else if (s->ended || (s->closing && !from_inside))
        rc = -ESHUTDOWN;
    else {
        list_push_back(&s->tasks, &t->member);
        s->living++;
    }
    tiny_unlock(&s->lock);
    return rc;
}

static void leave(struct scope *s, struct list *link)
{
    tiny_lock(&s->lock);
    list_remove(link);
    s->living--;
    bool end = ends_now(s);
    tiny_unlock(&s->lock);
    if (end)
        loop_post(&s->end_job);
}

void scope_leave(struct scope *s, task *t)
{
    leave(s, &t->member);
}

uint64_t scope_deadline_ns(const struct scope *s)
{
    return s->deadline_ns;
}

struct scope_queue *scope_queue_of(struct scope *s)
{
    return &s->queue;
}

/* -- cancel ------------------------------------------------------------------------------------ */

static void run_cancel(struct job *job)
{
    struct scope *s = CONTAINER_OF(job, struct scope, cancel_job);

    tiny_lock(&s->lock);
    LIST_FOR (link, &s->tasks) {
        future_cancel(&CONTAINER_OF(link, task, member)->future);
    }
    LIST_FOR (link, &s->children) {
        scope_cancel(CONTAINER_OF(link, struct scope, sibling), atomic_load(&s->reason));
    }
    tiny_unlock(&s->lock);
    unref(s);
}

void scope_cancel(struct scope *s, int reason)
{
    int none = 0;

    tiny_lock(&s->lock);
    bool first = !s->ended && atomic_compare_exchange_strong(&s->reason, &none, reason);
    if (first)
        atomic_fetch_add(&s->references, 1);
    tiny_unlock(&s->lock);
    if (first)
        loop_post(&s->cancel_job);
}

int scope_cancelled(const struct scope *s)
{
    return atomic_load(&s->reason);
}

static void closed_cancel_asked(promise *p, void *arg)
{
    (void)p;
    scope_cancel(arg, -ECANCELED);
}

static void deadline_passed(struct timer *timer)
{
    scope_cancel(CONTAINER_OF(timer, struct scope, timer), -ETIMEDOUT);
}

/* -- life -------------------------------------------------------------------------------------- */

static void run_arm(struct job *job)
{
    struct scope *s = CONTAINER_OF(job, struct scope, arm_job);

    /* `ended` is set under the lock, but its job comes after this one: the timer will be cleared.
     */
    if (timer_set(&s->timer, s->deadline_ns) < 0)
        scope_cancel(s, -ENOMEM);
    unref(s);
}

static void run_end(struct job *job)
{
    struct scope *s = CONTAINER_OF(job, struct scope, end_job);

    timer_clear(&s->timer);
    if (s->parent)
        leave(s->parent, &s->sibling);
    promise_resolve(s->closed, NULL, NULL);
    unref(s);
}

static struct scope *make(struct scope *parent, uint64_t deadline_ns)
{
    struct scope *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->closed = promise_make(&s->closed_future);
    if (!s->closed) {
        free(s);
        return NULL;
    }
    promise_on_cancel(s->closed, closed_cancel_asked, s);
    atomic_init(&s->references, 2);
    list_init(&s->tasks);
    list_init(&s->children);
    list_init(&s->sibling);
    scope_queue_init(&s->queue);
    s->parent = parent;
    s->deadline_ns = deadline_ns;
    s->timer.fire = deadline_passed;
    s->arm_job.run = run_arm;
    s->cancel_job.run = run_cancel;
    s->end_job.run = run_end;
    count(COUNT_SCOPES, 1);
    return s;
}

struct scope *scope_new_root(void)
{
    return make(NULL, CLOCK_NEVER);
}

struct scope *scope_new(uint64_t deadline_ns)
{
    if (async_start() < 0)
        return NULL;

    struct scope *parent = task_current() ? task_current()->scope : runtime_root();
    bool tighter = deadline_ns < parent->deadline_ns;
    struct scope *s = make(parent, tighter ? deadline_ns : parent->deadline_ns);
    if (!s)
        return NULL;

    tiny_lock(&parent->lock);
    bool refused = parent->ended || atomic_load(&parent->reason);
    if (!refused) {
        list_push_back(&parent->children, &s->sibling);
        parent->living++;
    }
    tiny_unlock(&parent->lock);
    if (refused) {
        destroy(s); /* nobody else knows it */
        return NULL;
    }
    if (tighter) { /* the parent's own deadline cancels its children too */
        atomic_fetch_add(&s->references, 1);
        loop_post(&s->arm_job);
    }
    return s;
}

future *scope_close(struct scope *s)
{
    tiny_lock(&s->lock);
    s->closing = true;
    future *closed = s->closed_future;
    s->closed_future = NULL;
    bool end = ends_now(s);
    tiny_unlock(&s->lock);
    if (end)
        loop_post(&s->end_job);
    return closed;
}

struct scope *scope_drop(struct scope *s)
{
    if (s) {
        if (!s->closing) {
            scope_cancel(s, -ECANCELED);
            future_drop(scope_close(s));
        }
        unref(s);
    }
    return NULL;
}
