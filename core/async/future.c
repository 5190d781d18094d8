/*
 * Settling is one step under the future's lock: the value is written, the state released, and the
 * waiters are told. A waiter is on the list exactly as long as it may still be told, so whoever
 * takes it off under the same lock knows that it won't be:
 *
 *     settle:  lock ─ value ─ state ─ fire all ─ unlock          (then drops its own reference)
 *     give up: lock ─ take waiter off ─ unlock ─ free waiter
 */
#include "core/async/internal.h"
#include "core/base/clock.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

/* -- shared, settled futures ------------------------------------------------------------------- */

static const struct future_class shared_class = {0};

static future shared_done = {.class = &shared_class, .state = FUTURE_OK};
static future shared_cancelled = {
    .class = &shared_class, .state = FUTURE_CANCELLED, .error = -ECANCELED};
static future shared_out_of_memory = {
    .class = &shared_class, .state = FUTURE_FAILED, .error = -ENOMEM};

static future shared_broken_pipe = {
    .class = &shared_class, .state = FUTURE_FAILED, .error = -EPIPE};

static future shared_invalid = {.class = &shared_class, .state = FUTURE_FAILED, .error = -EINVAL};

future *future_done(void)
{
    return &shared_done;
}

future *future_cancelled(void)
{
    return &shared_cancelled;
}

future *future_out_of_memory(void)
{
    return &shared_out_of_memory;
}

future *future_broken_pipe(void)
{
    return &shared_broken_pipe;
}

future *future_invalid(void)
{
    return &shared_invalid;
}

/* -- references -------------------------------------------------------------------------------- */

void future_init(future *f, const struct future_class *class, unsigned references)
{
    *f = (future){.class = class};
    atomic_init(&f->references, references);
    list_init(&f->waiters);
    count(COUNT_FUTURES, 1);
}

future *future_ref(future *f)
{
    if (f->class->release)
        atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
    return f;
}

/* The last reference is gone: nobody can ask any more. */
static void report_unseen(const future *f)
{
    const struct async_hooks *hooks = runtime_hooks();
    const task *t = task_of(f);

    if (hooks->unseen_failure)
        hooks->unseen_failure(t ? t->def->name : NULL, f->error);
}

static void destroy_one(future *f)
{
    if (future_peek_state(f) == FUTURE_FAILED && !atomic_load(&f->seen))
        report_unseen(f);
    if (f->destroy)
        f->destroy(f->value);
    f->class->release(f);
    count(COUNT_FUTURES, -1);
}

/*
 * A value may hold the last reference to another future, whose value holds one...: they are
 * destroyed one after the other, since a long chain would eat the stack.
 */
static void destroy_future(future *f)
{
    static _Thread_local struct list *doomed; /* NULL: none is being destroyed here */

    if (doomed) {
        list_push_back(doomed, &f->waiters); /* nobody waits any more */
        return;
    }
    struct list all = {&all, &all};
    doomed = &all;
    destroy_one(f);
    for (struct list *link; (link = list_pop_front(&all));)
        destroy_one(CONTAINER_OF(link, future, waiters));
    doomed = NULL;
}

future *future_drop(future *f)
{
    if (f && f->class->release &&
        atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) == 1)
        destroy_future(f);
    return NULL;
}

/* -- state ------------------------------------------------------------------------------------- */

bool future_settled(const future *f)
{
    return future_peek_state(f) != FUTURE_PENDING;
}

enum future_state future_state(const future *f)
{
    enum future_state state = future_peek_state(f);

    if (state == FUTURE_FAILED && !atomic_load_explicit(&f->seen, memory_order_relaxed)) {
        future *looked_at = (future *)(uintptr_t)f; /* who looks does not change what there is */
        atomic_store_explicit(&looked_at->seen, true, memory_order_relaxed);
    }
    return state;
}

const void *future_value(const future *f)
{
    return future_state(f) == FUTURE_PENDING ? NULL : f->value;
}

int future_error(const future *f)
{
    return future_state(f) == FUTURE_PENDING ? 0 : f->error;
}

/* With the lock held, which this releases. */
static void settle_locked(future *f, enum future_state state)
{
    atomic_store_explicit(&f->state, state, memory_order_release);
    for (struct list *link; (link = list_pop_front(&f->waiters));) {
        struct waiter *w = CONTAINER_OF(link, struct waiter, link);
        w->fire(w);
    }
    tiny_unlock(&f->lock);
}

int future_settle(future *f, enum future_state state, int error, void *value, destroy_fn *destroy)
{
    tiny_lock(&f->lock);
    if (future_settled(f)) {
        tiny_unlock(&f->lock);
        if (destroy)
            destroy(value);
        return -EALREADY;
    }
    void *old = f->value; /* what an abandoned task has given already */
    destroy_fn *destroy_old = f->destroy;
    f->error = error;
    f->value = value;
    f->destroy = destroy;
    settle_locked(f, state);
    if (destroy_old)
        destroy_old(old);
    return 0;
}

void future_settle_kept(future *f)
{
    tiny_lock(&f->lock);
    settle_locked(f, f->outcome);
}

bool future_add_waiter(future *f, struct waiter *w)
{
    if (future_settled(f))
        return false;

    tiny_lock(&f->lock);
    bool pending = !future_settled(f);
    if (pending)
        list_push_back(&f->waiters, &w->link);
    tiny_unlock(&f->lock);
    return pending;
}

void future_remove_waiter(future *f, struct waiter *w)
{
    tiny_lock(&f->lock);
    list_remove(&w->link);
    tiny_unlock(&f->lock);
}

int future_cancel(future *f)
{
    if (future_settled(f))
        return -EALREADY;
    if (f->class->ask_cancel && !atomic_exchange(&f->cancel_asked, true))
        f->class->ask_cancel(future_ref(f));
    return 0;
}

/* -- waiting on a thread ----------------------------------------------------------------------- */

struct thread_waiter {
    struct waiter settled, late;
    sem_t wake;
    bool pool;
    atomic_bool woken;
};

static atomic_uint blocked_threads;

/* By the first of the two; the other may come, too. */
static void wake_thread(struct thread_waiter *w)
{
    if (atomic_exchange(&w->woken, true))
        return;
    if (w->pool)
        thread_pool_goes_on();
    sem_post(&w->wake);
}

static void wake_settled(struct waiter *waiter)
{
    wake_thread(CONTAINER_OF(waiter, struct thread_waiter, settled));
}

static void wake_late(struct waiter *waiter)
{
    wake_thread(CONTAINER_OF(waiter, struct thread_waiter, late));
}

static void sleep_until(struct thread_waiter *w, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / NS_PER_SEC),
                             .tv_nsec = (long)(deadline_ns % NS_PER_SEC)};
    int rc;

    do
        rc = deadline_ns == CLOCK_NEVER ? sem_wait(&w->wake)
                                        : sem_clockwait(&w->wake, CLOCK_MONOTONIC, &until);
    while (rc < 0 && errno == EINTR);
}

/* Until `f` or `late` (NULL: none) is settled, or the kernel's clock says `deadline_ns`. */
static void block(future *f, future *late, uint64_t deadline_ns)
{
    struct thread_waiter w = {
        .settled.fire = wake_settled, .late.fire = wake_late, .pool = thread_role == ROLE_POOL};

    sem_init(&w.wake, 0, 0); /* before anybody can post it */
    if (!future_add_waiter(f, &w.settled)) {
        sem_destroy(&w.wake);
        return;
    }
    list_init(&w.late.link);
    bool sleeps = !late || future_add_waiter(late, &w.late);
    if (w.pool) { /* not sooner: who settles now says that it goes on */
        atomic_fetch_add(&blocked_threads, 1);
        thread_pool_blocks();
    }
    if (sleeps)
        sleep_until(&w, deadline_ns);
    /* Also when it was told: the settler may still be inside sem_post. */
    future_remove_waiter(f, &w.settled);
    if (late)
        future_remove_waiter(late, &w.late);
    if (w.pool && !w.woken)
        thread_pool_goes_on();
    if (w.pool)
        atomic_fetch_sub(&blocked_threads, 1);
    sem_destroy(&w.wake);
}

unsigned future_blocked_threads(void)
{
    return atomic_load(&blocked_threads);
}

int future_block(future *f, uint64_t deadline_ns)
{
    if (deadline_ns == CLOCK_NEVER || !world()->wait) {
        block(f, NULL, deadline_ns);
    } else if (deadline_ns > async_now_ns()) { /* a mock's time, which passes on its loop */
        future *late = future_at(deadline_ns);
        block(f, late, CLOCK_NEVER);
        future_cancel(late);
        future_drop(late);
    }
    return future_settled(f) ? 0 : -ETIMEDOUT;
}

int future_wait(future *f, uint64_t deadline_ns)
{
    if (future_settled(f))
        return 0;
    switch (thread_role) {
    case ROLE_LOOP:
        return -EDEADLK;
    case ROLE_WORKER:
        return -ENOTSUP;
    case ROLE_POOL:
        return thread_pool_wait(f, deadline_ns);
    case ROLE_PLAIN:
        break;
    }
    return world()->wait ? world()->wait(f, deadline_ns) : future_block(f, deadline_ns);
}

/* -- promise ----------------------------------------------------------------------------------- */

struct promise {
    future future; /* first: both handles are one object */
    promise_cancel_fn *on_cancel;
    void *arg;
    struct job cancel_job;
};

static void run_cancel(struct job *job)
{
    promise *p = CONTAINER_OF(job, promise, cancel_job);

    if (future_settled(&p->future))
        ;
    else if (p->on_cancel)
        p->on_cancel(p, p->arg);
    else
        promise_cancel(p);
    future_drop(&p->future);
}

static void promise_ask_cancel(future *f)
{
    loop_post(&((promise *)f)->cancel_job);
}

static void promise_release(future *f)
{
    free((promise *)f);
}

static const struct future_class promise_class = {
    .ask_cancel = promise_ask_cancel,
    .release = promise_release,
};

promise *promise_make(future **ret_future)
{
    promise *p = malloc(sizeof *p);
    if (!p)
        return NULL;
    future_init(&p->future, &promise_class, 2);
    p->on_cancel = NULL;
    p->arg = NULL;
    p->cancel_job.run = run_cancel;
    *ret_future = &p->future;
    return p;
}

promise *promise_new(future **ret_future)
{
    return async_start() < 0 ? NULL : promise_make(ret_future);
}

void promise_on_cancel(promise *p, promise_cancel_fn *fn, void *arg)
{
    p->on_cancel = fn;
    p->arg = arg;
}

int promise_resolve(promise *p, void *value, destroy_fn *destroy)
{
    return future_settle(&p->future, FUTURE_OK, 0, value, destroy);
}

int promise_fail(promise *p, int error, void *detail, destroy_fn *destroy)
{
    return future_settle(&p->future, FUTURE_FAILED, error ? error : -EINVAL, detail, destroy);
}

int promise_cancel(promise *p)
{
    return future_settle(&p->future, FUTURE_CANCELLED, -ECANCELED, NULL, NULL);
}

promise *promise_drop(promise *p)
{
    if (p) {
        if (!future_settled(&p->future))
            promise_fail(p, -EOWNERDEAD, NULL, NULL);
        future_drop(&p->future);
    }
    return NULL;
}

/* -- continuations ----------------------------------------------------------------------------- */

struct continuation {
    struct waiter waiter;
    struct job job;
    future *source;
    promise *next;
    struct context *context;
    enum executor where;
    then_fn *fn;
    void *arg;
};

static void run_continuation(struct job *job)
{
    struct continuation *c = CONTAINER_OF(job, struct continuation, job);

    if (c->where == EXECUTOR_LOOP)
        promise_on_cancel(c->next, NULL, NULL); /* from here on it is `fn`'s, and `c` ends */
    struct context *before = context_swap(c->context);
    c->fn(c->source, c->next, c->arg);
    context_drop(context_swap(before));
    future_drop(c->source);
    free(c);
}

bool future_job_is_continuation(const struct job *job)
{
    return job->run == run_continuation;
}

static void post_continuation(struct waiter *w)
{
    struct continuation *c = CONTAINER_OF(w, struct continuation, waiter);

    switch (c->where) {
    case EXECUTOR_LOOP:
        loop_post(&c->job);
        break;
    case EXECUTOR_THREAD:
        thread_pool_post(&c->job);
        break;
    }
}

/* Cancelling the result goes on to the source: its end, whatever it is, runs the continuation. */
static void cancel_source(promise *p, void *arg)
{
    struct continuation *c = arg;

    (void)p;
    future_cancel(c->source);
}

future *future_then(future *f, enum executor where, then_fn *fn, void *arg)
{
    struct continuation *c = malloc(sizeof *c);
    future *result = NULL;
    promise *next = c ? promise_new(&result) : NULL;

    if (!next) {
        free(c);
        return future_out_of_memory();
    }
    *c = (struct continuation){
        .waiter.fire = post_continuation,
        .job.run = run_continuation,
        .source = future_ref(f),
        .next = next,
        .context = context_ref(context_here()),
        .where = where,
        .fn = fn,
        .arg = arg,
    };
    if (where == EXECUTOR_LOOP)
        promise_on_cancel(next, cancel_source, c);
    if (!future_add_waiter(f, &c->waiter))
        post_continuation(&c->waiter);
    return result;
}

/* -- time -------------------------------------------------------------------------------------- */

struct sleeper {
    struct list link; /* in `sleepers` once it is armed */
    struct timer timer;
    struct job arm;
    promise *promise;
};

static struct list sleepers = {&sleepers, &sleepers}; /* loop thread */
static bool no_more_sleep;                            /* loop thread: the runtime ends */

static void sleeper_end(struct sleeper *s)
{
    list_remove(&s->link);
    promise_drop(s->promise);
    free(s);
}

static void sleeper_fire(struct timer *timer)
{
    struct sleeper *s = CONTAINER_OF(timer, struct sleeper, timer);

    promise_resolve(s->promise, NULL, NULL);
    sleeper_end(s);
}

static void sleeper_cancel(promise *p, void *arg)
{
    struct sleeper *s = arg;

    promise_cancel(p);
    timer_clear(&s->timer); /* armed: the arming job was posted before this one */
    sleeper_end(s);
}

static void sleeper_arm(struct job *job)
{
    struct sleeper *s = CONTAINER_OF(job, struct sleeper, arm);

    list_push_back(&sleepers, &s->link);
    if (no_more_sleep) {
        sleeper_cancel(s->promise, s);
        return;
    }
    if (timer_set(&s->timer, s->timer.at_ns) < 0) {
        promise_fail(s->promise, -ENOMEM, NULL, NULL);
        sleeper_end(s);
    }
}

void future_let_sleep(void)
{
    no_more_sleep = false;
}

void future_end_sleep(void)
{
    no_more_sleep = true;
    while (!list_empty(&sleepers)) {
        struct sleeper *s = CONTAINER_OF(sleepers.next, struct sleeper, link);
        sleeper_cancel(s->promise, s);
    }
}

future *future_at(uint64_t at_ns)
{
    struct sleeper *s = malloc(sizeof *s);
    future *f = NULL;
    promise *p = s ? promise_new(&f) : NULL;

    if (!p) {
        free(s);
        return future_out_of_memory();
    }
    *s = (struct sleeper){
        .timer = {.at_ns = at_ns, .fire = sleeper_fire}, .arm.run = sleeper_arm, .promise = p};
    promise_on_cancel(p, sleeper_cancel, s);
    loop_post(&s->arm);
    return f;
}

future *future_after_ms(uint64_t ms)
{
    return future_at(clock_after_ms(async_now_ns(), ms));
}
