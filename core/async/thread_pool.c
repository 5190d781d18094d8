/*
 * The thread pool runs what blocks: thread tasks, and continuations that asked for a thread.
 * Two queues under one lock; continuations first, as they finish what was begun.
 *
 * A wait on a pool thread could hang: no thread might be left to do what is waited for. So it
 *   - runs a task that has not begun right there, on the stack of the one that waits;
 *   - is refused when every other thread waits already;
 *   - is refused when what it waits for waits, on another thread, for a task of this one.
 */
#include "core/async/internal.h"
#include "core/base/clock.h"

#include <errno.h>
#include <stdlib.h>

/* Tasks that run on top of each other on one stack, each for the one below that waits for it. */
enum { NESTED_MAX = 64 };

struct pool_thread {
    struct list link; /* in pool.threads */
    pthread_t thread;
    unsigned nested;
    unsigned abandoned; /* of the tasks on its stack; with one it counts no more */
    bool blocked;
    task *waits_for; /* a thread task, while it is blocked for one */
};

static struct {
    pthread_mutex_t lock; /* guards the rest, but for `active` */
    pthread_cond_t work, ended_one;
    struct list tasks;
    struct job *first, **last;
    struct list threads, ended; /* those that have ended are still to be joined */
    unsigned idle;              /* that wait for `work` */
    bool waking;                /* one was told that has not looked for it yet */
    unsigned size;              /* threads that there should be for work */
    unsigned count;             /* that there are */
    unsigned abandoned;         /* of those: that an abandoned task keeps */
    bool stopping;
    atomic_long active;
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .ended_one = PTHREAD_COND_INITIALIZER,
};

static _Thread_local struct pool_thread *here;

/* -- what is active: a mock's time stands still for it ----------------------------------------- */

static void activate(void)
{
    if (world()->wait)
        atomic_fetch_add(&pool.active, 1);
}

static void deactivate(void)
{
    if (world()->wait) {
        atomic_fetch_sub(&pool.active, 1);
        loop_wake();
    }
}

long thread_pool_active(void)
{
    return atomic_load(&pool.active);
}

void thread_pool_blocks(void)
{
    deactivate();
}

void thread_pool_goes_on(void)
{
    activate();
}

/* -- sleeping ---------------------------------------------------------------------------------- */

/*
 * Gives the lock back and wakes a thread if there is work for one. One at a time: whoever was woken
 * wakes the next before it runs what it took, so a thousand tasks do not cost those who start them
 * a thousand system calls. Without the lock, or the thread would wake up to wait for it.
 */
static void unlock_and_wake(void)
{
    bool wake = !pool.waking && pool.idle > 0 && (pool.first || !list_empty(&pool.tasks));

    pool.waking |= wake;
    pthread_mutex_unlock(&pool.lock);
    if (wake)
        pthread_cond_signal(&pool.work);
}

static void sleep_until_woken(void)
{
    pool.idle++;
    pthread_cond_wait(&pool.work, &pool.lock);
    pool.idle--;
    pool.waking = false;
}

/* -- who is left for work ---------------------------------------------------------------------- */

static bool is_free(const struct pool_thread *t)
{
    return !t->blocked && t->abandoned == 0;
}

/* Whether a thread but this one can do what there is to be done. */
static bool another_is_free(void)
{
    LIST_FOR (link, &pool.threads) {
        const struct pool_thread *t = CONTAINER_OF(link, struct pool_thread, link);
        if (t != here && is_free(t))
            return true;
    }
    return false;
}

/* Whether others wait for what only this thread is left to do. */
static bool is_needed(void)
{
    bool blocked = false;

    LIST_FOR (link, &pool.threads)
        blocked |= CONTAINER_OF(link, struct pool_thread, link)->blocked;
    return blocked && !another_is_free();
}

/* -- running ----------------------------------------------------------------------------------- */

/* Exact to some ms, as task_ticks() is, for a fifth of the price. */
static uint64_t coarse_now_ns(void)
{
    struct timespec now;

    if (world()->wait)
        return async_now_ns();
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* `t` runs no more. True when it had been abandoned; only then somebody else may have known it to
 * run, so all others do without the lock. */
static bool stops_running(task *t)
{
    if (!t->def->abandonable) {
        atomic_store(&t->runner, NULL);
        return false;
    }
    pthread_mutex_lock(&pool.lock);
    atomic_store(&t->runner, NULL);
    bool abandoned = t->abandoned;
    if (abandoned && --here->abandoned == 0) {
        pool.abandoned--;
        count(COUNT_THREADS_ABANDONED, -1);
    }
    pthread_mutex_unlock(&pool.lock);
    return abandoned;
}

/* With the lock held, which it gives up meanwhile. `t` was taken from the queue. */
static void run_task(task *t)
{
    atomic_store(&t->runner, here);
    t->since_ticks = task_ticks(coarse_now_ns());
    here->nested++;
    unlock_and_wake();
    bool ran = task_run_here(t);
    if (stops_running(t))
        task_end_abandoned(t);
    else if (ran)
        task_end(t);
    else
        task_end_cancelled(t);
    pthread_mutex_lock(&pool.lock);
    here->nested--;
}

static void run_job(struct job *job)
{
    unlock_and_wake();
    job->run(job);
    deactivate();
    pthread_mutex_lock(&pool.lock);
}

static task *next_task(void)
{
    struct list *link = list_pop_front(&pool.tasks);

    return link ? CONTAINER_OF(link, task, queued) : NULL;
}

static struct job *next_job(void)
{
    struct job *job = pool.first;

    if (job) {
        pool.first = job->next;
        if (!pool.first)
            pool.last = &pool.first;
    }
    return job;
}

/* Whether this thread took the place of one that has come back. */
static bool is_surplus(void)
{
    return pool.count - pool.abandoned > pool.size && !is_needed();
}

static void *pool_main(void *arg)
{
    here = arg;
    thread_role = ROLE_POOL;
    pthread_mutex_lock(&pool.lock);
    while (!is_surplus()) {
        struct job *job = next_job();
        task *t = job ? NULL : next_task();
        if (job) {
            run_job(job);
        } else if (t) {
            run_task(t);
            deactivate();
        } else if (pool.stopping && !is_needed()) {
            break;
        } else {
            sleep_until_woken();
        }
    }
    pool.count--;
    list_remove(&here->link);
    list_push_back(&pool.ended, &here->link);
    pthread_cond_signal(&pool.ended_one);
    if (pool.stopping) /* others may have stayed for this one */
        pthread_cond_broadcast(&pool.work);
    unlock_and_wake(); /* it may have been woken for work */
    return NULL;
}

void thread_pool_submit(task *t)
{
    activate();
    pthread_mutex_lock(&pool.lock);
    list_push_back(&pool.tasks, &t->queued);
    unlock_and_wake();
}

/* Once the threads are gone, the last turns of the loop run what is left. */
void thread_pool_post(struct job *job)
{
    pthread_mutex_lock(&pool.lock);
    bool open = pool.count > 0;
    if (open) {
        activate();
        job->next = NULL;
        *pool.last = job;
        pool.last = &job->next;
    }
    unlock_and_wake();
    if (!open)
        loop_post(job);
}

/* -- waiting ----------------------------------------------------------------------------------- */

/* Whether the thread that runs `t` waits, through others perhaps, for a task of this thread. */
static bool waits_for_us(const task *t)
{
    for (unsigned hops = 0; t && hops <= pool.count; hops++) {
        const struct pool_thread *runner = atomic_load(&t->runner); /* ends only with the lock */
        if (runner == here || !runner)
            return runner;
        t = runner->waits_for;
    }
    return false;
}

int thread_pool_wait(future *f, uint64_t deadline_ns)
{
    task *t = task_on_thread(f);
    int rc = 0;

    pthread_mutex_lock(&pool.lock);
    if (t && !list_empty(&t->queued) && here->nested < NESTED_MAX) {
        list_remove(&t->queued);
        deactivate(); /* one of the two runs at a time */
        run_task(t);
    } else if (!another_is_free() || waits_for_us(t)) {
        rc = -EDEADLK;
    } else {
        here->blocked = true;
        here->waits_for = t;
        pthread_mutex_unlock(&pool.lock);
        rc = future_block(f, deadline_ns);
        pthread_mutex_lock(&pool.lock);
        here->waits_for = NULL;
        here->blocked = false;
    }
    pthread_mutex_unlock(&pool.lock);
    /* One that was abandoned while it ran here is settled by the loop, about now. */
    return rc == 0 && !future_settled(f) ? future_block(f, CLOCK_NEVER) : rc;
}

/* -- threads ----------------------------------------------------------------------------------- */

static int add_thread(void)
{
    struct pool_thread *t = calloc(1, sizeof *t);

    if (!t)
        return -ENOMEM;
    int rc = start_thread(&t->thread, pool_main, t);
    if (rc < 0) {
        free(t);
        return rc;
    }
    list_push_back(&pool.threads, &t->link);
    pool.count++;
    return 0;
}

static void join_ended(void)
{
    for (struct list *link; (link = list_pop_front(&pool.ended));) {
        struct pool_thread *t = CONTAINER_OF(link, struct pool_thread, link);

        pthread_mutex_unlock(&pool.lock);
        pthread_join(t->thread, NULL);
        free(t);
        pthread_mutex_lock(&pool.lock);
    }
}

/* -- cancelling -------------------------------------------------------------------------------- */

/* Only where another thread takes the place of its own, or has done so, and not without end. */
static bool abandon(task *t)
{
    struct pool_thread *runner = atomic_load(&t->runner);

    if (!t->def->abandonable || !runner || t->abandoned)
        return false;
    if (runner->abandoned == 0) {
        if (pool.abandoned >= pool.size || pool.stopping || add_thread() < 0)
            return false;
        pool.abandoned++;
        count(COUNT_THREADS_ABANDONED, 1);
    }
    runner->abandoned++;
    t->abandoned = true;
    scope_ref(t->scope);
    return true;
}

void thread_pool_cancel(task *t)
{
    pthread_mutex_lock(&pool.lock);
    join_ended();
    bool queued = !list_empty(&t->queued);
    list_remove(&t->queued);
    bool abandoned = !queued && abandon(t);
    pthread_mutex_unlock(&pool.lock);
    if (abandoned)
        task_abandon(t);
    if (!queued)
        return;
    task_end_cancelled(t);
    deactivate();
}

bool thread_pool_describe(const task *t, uint32_t *ret_since_ticks)
{
    pthread_mutex_lock(&pool.lock);
    bool runs = atomic_load(&t->runner);
    *ret_since_ticks = t->since_ticks;
    pthread_mutex_unlock(&pool.lock);
    return runs;
}

/* -- life -------------------------------------------------------------------------------------- */

int thread_pool_start(unsigned threads)
{
    int rc = 0;

    list_init(&pool.tasks);
    list_init(&pool.threads);
    list_init(&pool.ended);
    pool.last = &pool.first;
    pool.stopping = pool.waking = false;
    pthread_mutex_lock(&pool.lock);
    pool.size = threads;
    while (rc == 0 && pool.count < threads)
        rc = add_thread();
    pthread_mutex_unlock(&pool.lock);
    if (rc < 0)
        thread_pool_stop();
    return rc;
}

void thread_pool_stop(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.stopping = true;
    pthread_cond_broadcast(&pool.work);
    while (pool.count > 0 || !list_empty(&pool.ended)) {
        join_ended();
        if (pool.count > 0)
            pthread_cond_wait(&pool.ended_one, &pool.lock);
    }
    struct job *job = pool.first; /* posted after the last thread had looked */
    pool.first = NULL;
    pthread_mutex_unlock(&pool.lock);
    while (job) {
        struct job *next = job->next;
        loop_post(job);
        deactivate();
        job = next;
    }
}
