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

/* Tasks that one job tells of a cancel, before others get their turn. */
enum { CANCELS_PER_JOB = 256 };

struct scope {
    atomic_uint references; /* the owner's, the scope's own until it has ended, one a pending job */
    struct tiny_lock lock;  /* guards what follows up to the blank line */
    bool closing, ended;
    size_t living;           /* tasks and child scopes */
    struct list tasks, told; /* those that know that the scope is cancelled are in `told` */
    struct list children;

    struct list sibling; /* in parent->children, under the parent's lock */
    struct scope *parent;
    unsigned flags; /* enum scope_flags */
    atomic_int reason, failure;
    uint64_t deadline_ns;
    struct timer timer;       /* loop thread */
    struct scope_queue queue; /* loop thread */
    struct job arm_job, cancel_job, end_job;
    promise *closed;
    future *closed_future;
};

static void destroy(struct scope *s)
{
    promise_cancel(s->closed); /* of a scope that could not begin */
    promise_drop(s->closed);
    future_drop(s->closed_future);
    free(s);
    count(COUNT_SCOPES, -1);
}

struct scope *scope_ref(struct scope *s)
{
    atomic_fetch_add(&s->references, 1);
    return s;
}

void scope_unref(struct scope *s)
{
    if (atomic_fetch_sub(&s->references, 1) == 1)
        destroy(s);
}

/*
 * With the lock held: true when the caller must post the end. A cancelled scope ends without being
 * closed: nothing enters it any more, and it must not hold up the end of those around it.
 */
static bool ends_now(struct scope *s)
{
    if ((!s->closing && !atomic_load(&s->reason)) || s->living > 0 || s->ended)
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

static void for_each_own_task(struct scope *s, void (*fn)(task *t, void *arg), void *arg)
{
    LIST_FOR (link, &s->tasks) {
        fn(CONTAINER_OF(link, task, member), arg);
    }
    LIST_FOR (link, &s->told) {
        fn(CONTAINER_OF(link, task, member), arg);
    }
}

/* Without recursion: scopes may be as deep as tasks are. Those on the way down stay locked. */
void scope_for_each_task(struct scope *top, void (*fn)(task *t, void *arg), void *arg)
{
    struct list *next = &top->sibling; /* whose tasks come next, or the end of its list */
    struct scope *above = NULL;

    do {
        if (above && next == &above->children) {
            next = above->sibling.next;
            tiny_unlock(&above->lock);
            above = above == top ? NULL : above->parent;
        } else {
            above = CONTAINER_OF(next, struct scope, sibling);
            tiny_lock(&above->lock);
            for_each_own_task(above, fn, arg);
            next = above->children.next;
        }
    } while (above);
}

/* -- cancel ------------------------------------------------------------------------------------ */

static void cancel_children(struct scope *s)
{
    LIST_FOR (link, &s->children) {
        struct scope *child = CONTAINER_OF(link, struct scope, sibling);

        if (!(child->flags & SCOPE_SHIELD))
            scope_cancel(child, atomic_load(&s->reason));
    }
}

/* No task enters any more, so `tasks` only gets shorter. */
static void run_cancel(struct job *job)
{
    struct scope *s = CONTAINER_OF(job, struct scope, cancel_job);
    struct list *link = NULL;

    tiny_lock(&s->lock);
    for (int n = 0; n < CANCELS_PER_JOB && (link = list_pop_front(&s->tasks)); n++) {
        list_push_back(&s->told, link);
        future_cancel(&CONTAINER_OF(link, task, member)->future);
    }
    if (!link)
        cancel_children(s);
    bool end = ends_now(s);
    tiny_unlock(&s->lock);
    if (end)
        loop_post(&s->end_job);
    if (link)
        loop_post(&s->cancel_job);
    else
        scope_unref(s);
}

void scope_cancel(struct scope *s, int reason)
{
    int none = 0;

    tiny_lock(&s->lock);
    bool first = !s->ended && atomic_compare_exchange_strong(&s->reason, &none, reason);
    if (first)
        scope_ref(s);
    tiny_unlock(&s->lock);
    if (first)
        loop_post(&s->cancel_job);
}

bool scope_child_failed(struct scope *s, int error)
{
    int none = 0;

    if (!(s->flags & SCOPE_FAIL_FAST) || !atomic_compare_exchange_strong(&s->failure, &none, error))
        return false;
    scope_cancel(s, error);
    return true;
}

int scope_cancelled(const struct scope *s)
{
    return atomic_load(&s->reason);
}

/* The await of somebody who is cancelled is interrupted, and what awaits a shield's end is no way
 * around it. */
static void closed_cancel_asked(promise *p, void *arg)
{
    struct scope *s = arg;

    (void)p;
    if (!(s->flags & SCOPE_SHIELD))
        scope_cancel(s, -ECANCELED);
}

static void deadline_passed(struct timer *timer)
{
    scope_cancel(CONTAINER_OF(timer, struct scope, timer), -ETIMEDOUT);
}

/* -- life -------------------------------------------------------------------------------------- */

static void run_arm(struct job *job)
{
    struct scope *s = CONTAINER_OF(job, struct scope, arm_job);

    tiny_lock(&s->lock);
    bool ended = s->ended; /* cancelled with its parent; if it ends after this, that clears it */
    tiny_unlock(&s->lock);
    if (!ended && timer_set(&s->timer, s->deadline_ns) < 0)
        scope_cancel(s, -ENOMEM);
    scope_unref(s);
}

static void run_end(struct job *job)
{
    struct scope *s = CONTAINER_OF(job, struct scope, end_job);

    timer_clear(&s->timer);
    scope_queue_end(&s->queue);
    if (s->parent)
        leave(s->parent, &s->sibling);
    int failure = atomic_load(&s->failure);
    if (failure)
        promise_fail(s->closed, failure, NULL, NULL);
    else
        promise_resolve(s->closed, NULL, NULL);
    scope_unref(s);
}

static struct scope *make(struct scope *parent, uint64_t deadline_ns, unsigned flags)
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
    list_init(&s->told);
    list_init(&s->children);
    list_init(&s->sibling);
    scope_queue_init(&s->queue);
    s->parent = parent;
    s->flags = flags;
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
    return make(NULL, CLOCK_NEVER, SCOPE_COLLECT_ALL);
}

/* Makes `s` a member of its parent, if that takes any. */
static bool enter_parent(struct scope *s)
{
    struct scope *parent = s->parent;
    /* What still runs in a cancelled scope may clean up in a scope that no cancel reaches. */
    bool may_be_cancelled = (s->flags & SCOPE_SHIELD) && task_current();

    tiny_lock(&parent->lock);
    bool enters = !parent->ended && (may_be_cancelled || !atomic_load(&parent->reason));
    if (enters) {
        list_push_back(&parent->children, &s->sibling);
        parent->living++;
    }
    tiny_unlock(&parent->lock);
    return enters;
}

struct scope *scope_new(uint64_t deadline_ns, unsigned flags)
{
    if (async_start() < 0)
        return NULL;

    struct scope *parent = task_current() ? task_current()->scope : runtime_root();
    uint64_t outer_ns = flags & SCOPE_SHIELD ? CLOCK_NEVER : parent->deadline_ns;
    bool tighter = deadline_ns < outer_ns;
    struct scope *s = make(parent, tighter ? deadline_ns : outer_ns, flags);
    if (!s)
        return NULL;
    if (!enter_parent(s)) {
        destroy(s); /* nobody else knows it */
        return NULL;
    }
    if (tighter) { /* the parent's own deadline cancels its children too */
        scope_ref(s);
        loop_post(&s->arm_job);
    }
    return s;
}

future *scope_close(struct scope *s)
{
    tiny_lock(&s->lock);
    s->closing = true;
    future *closed = future_ref(s->closed_future);
    bool end = ends_now(s);
    tiny_unlock(&s->lock);
    if (end)
        loop_post(&s->end_job);
    return closed;
}

struct scope *scope_drop(struct scope *s)
{
    if (!s)
        return NULL;
    tiny_lock(&s->lock);
    bool closed = s->closing;
    tiny_unlock(&s->lock);
    if (!closed) {
        scope_cancel(s, -ECANCELED);
        future_drop(scope_close(s));
    }
    scope_unref(s);
    return NULL;
}
