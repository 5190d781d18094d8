/*
 * The parent's side of the worker processes. Everything here happens on the loop thread.
 *
 *     STARTING ──hello──▶ IDLE ──call──▶ BUSY ──reply──▶ IDLE
 *         │                │               │
 *        kill          kill: ENDING       kill     for its deadline, a cancel, a message that
 *         └──────────────▶ exit ◀──────────┘       makes no sense, the end of its socket, its age
 *
 * A worker's end is seen on its pidfd. What it had sent before still counts: the socket is drained
 * first. Only when the process is reaped does its task settle, so "cancelled" means that nothing
 * of it runs any more. One worker more is kept than may compute at once, so that a kill does not
 * make the next call wait for a new process.
 */
#include "core/async/internal.h"
#include "core/async/process_call.h"
#include "core/async/process_queue.h"
#include "core/async/worker_process.h"
#include "core/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    SPARE_WORKERS = 1,
    START_TIMEOUT_MS = 10000,
    BACKOFF_FIRST_MS = 10, /* before a worker that died while starting is replaced, doubling */
    BACKOFF_LAST_MS = 5000,
    HOPELESS_STARTS = 4, /* failed starts in a row after which no worker left means: do not wait */
    MEASURED_CALLS = 64, /* after so many a worker's memory is looked at again... */
    MEASURED_PART = 8,   /* ...or when their requests were this part of what it may have */
    RECYCLED = -ESTALE,  /* the verdict on a worker that is replaced while idle */
};

static struct {
    struct async_options options;
    struct list workers;
    unsigned alive, busy;
    unsigned failed_starts; /* in a row */
    unsigned useless;       /* in a row: workers that said hello, and died before they had a call */
    struct timer respawn;
} pool;

static void spawn_missing(void);
static void dispatch(void);

static const struct worker_backend *backend(void)
{
    return world()->workers;
}

/* So many more (or fewer) workers have a call. */
static void count_busy(int change)
{
    pool.busy += (unsigned)change; /* modulo 2^N: a negative change subtracts */
    count(COUNT_WORKERS_BUSY, change);
}

/* -- ending ------------------------------------------------------------------------------------ */

/* Whatever comes next, the exit of the process ends the matter. The first verdict counts. */
static void kill_worker(struct worker *w, int verdict)
{
    if (w->verdict)
        return;
    w->verdict = verdict;
    timer_clear(&w->timer);
    if (w->state == IDLE) {
        w->state = ENDING;
        list_remove(&w->link);
        list_push_back(&pool.workers, &w->link);
    }
    backend()->kill(&w->process);
}

static void worker_free(struct worker *w)
{
    loop_forget(w->process.socket);
    loop_forget(w->process.pidfd);
    backend()->close(&w->process);
    timer_clear(&w->timer);
    list_remove(&w->link);
    free(w);
}

/* Counts the end of `w`, and tells those who want to know. */
static void report_end(const struct worker *w, const struct worker_exit *exit)
{
    /* SIGKILL is how the runtime ends a worker; another end came before that. */
    bool ours = exit->signal == SIGKILL;

    count(COUNT_WORKERS, -1);
    if (ours && w->verdict == RECYCLED) {
        count(COUNT_WORKERS_RECYCLED, 1);
        return;
    }
    count(COUNT_WORKERS_LOST, 1);
    if ((ours && w->verdict == -ECANCELED) || !runtime_hooks()->worker_lost)
        return;
    runtime_hooks()->worker_lost(&(struct worker_loss){
        .pid = w->process.pid,
        .signal = exit->signal,
        .status = exit->status,
        .verdict = w->verdict == -EOWNERDEAD ? 0 : w->verdict,
        .task = w->task ? w->task->def->name : NULL,
    });
}

/* -- growing old ------------------------------------------------------------------------------- */

/* After a call that was answered; true when the worker has served for long enough. */
static bool wears_out(struct worker *w)
{
    size_t most = pool.options.worker_rss;

    if (w->calls >= pool.options.worker_tasks)
        w->worn = true;
    w->bytes_unmeasured += w->request_len;
    if (most > 0 &&
        (++w->calls_unmeasured >= MEASURED_CALLS || w->bytes_unmeasured >= most / MEASURED_PART)) {
        w->calls_unmeasured = 0;
        w->bytes_unmeasured = 0;
        w->worn |= backend()->resident(&w->process) > most;
    }
    return w->worn;
}

/* True when every worker is there, and well. */
static bool at_full_strength(void)
{
    unsigned well = 0;

    LIST_FOR (link, &pool.workers) {
        const struct worker *w = CONTAINER_OF(link, struct worker, link);
        well += (w->state == IDLE || w->state == BUSY) && !w->verdict && !w->exited;
    }
    return well == pool.options.workers + SPARE_WORKERS;
}

/* One at a time, and only when the spare one stands in for it until its successor is there. */
static void recycle(void)
{
    if (!at_full_strength())
        return;
    LIST_FOR (link, &pool.workers) {
        struct worker *w = CONTAINER_OF(link, struct worker, link);
        if (w->state == IDLE && w->worn) {
            kill_worker(w, RECYCLED);
            return;
        }
    }
}

size_t async_measure_workers(size_t most)
{
    size_t all = 0;

    if (!pool.workers.next) /* none was ever started */
        return 0;
    LIST_FOR (link, &pool.workers) {
        struct worker *w = CONTAINER_OF(link, struct worker, link);
        size_t resident = w->state == STARTING ? 0 : backend()->resident(&w->process);

        w->worn |= most > 0 && resident > most && w->state != STARTING;
        all += resident;
    }
    if (most > 0)
        recycle();
    return all;
}

/* -- what a worker says ------------------------------------------------------------------------ */

static void become_idle(struct worker *w)
{
    w->state = IDLE;
    timer_clear(&w->timer);
    list_remove(&w->link);
    list_push_front(&pool.workers, &w->link);
}

static void take_hello(struct worker *w)
{
    pool.failed_starts = 0;
    become_idle(w);
    spawn_missing(); /* this may have been the first that started after failures */
    recycle();
}

static void take_answer(struct worker *w)
{
    task *t = w->task;

    w->task = NULL;
    t->worker = NULL;
    w->calls++;
    count_busy(-1);
    pool.useless = 0;
    if (w->verdict || w->exited) {
        w->state = ENDING;
    } else {
        become_idle(w);
        if (wears_out(w))
            recycle();
    }
    call_finish(t);
}

/* Takes one message; false when no other may be there. */
static bool hear(struct worker *w)
{
    switch (call_hear(w)) {
    case HEARD_HELLO:
        take_hello(w);
        return true;
    case HEARD_ANSWER:
        take_answer(w);
        return true;
    case HEARD_RESET:
        return true;
    case HEARD_END:
        kill_worker(w, -EOWNERDEAD);
        return false;
    case HEARD_NONSENSE:
        kill_worker(w, -EBADMSG);
        return false;
    case HEARD_NOTHING:
        break;
    }
    return false;
}

static void on_message(void *arg, int fd, uint32_t events)
{
    struct worker *w = arg;

    (void)fd;
    hear(w);
    /* No more comes, or none that counts. Level-triggered: do not hear of it again and again. */
    if (events & (EPOLLHUP | EPOLLERR) || w->verdict == -EBADMSG)
        loop_watch(w->process.socket, 0, on_message, w);
    dispatch();
}

static void overran(struct timer *timer)
{
    kill_worker(CONTAINER_OF(timer, struct worker, timer), -ETIMEDOUT);
}

/* How it bears on the next starts that `w` has ended. */
static void judge_start(const struct worker *w)
{
    if (w->state == STARTING)
        pool.failed_starts++;
    else if (w->verdict == -EOWNERDEAD && w->calls == 0 && (w->state == ENDING || w->unheard))
        pool.useless++;
}

static void on_exit_seen(void *arg, int fd, uint32_t events)
{
    struct worker *w = arg;
    struct worker_exit exit;

    (void)fd;
    (void)events;
    w->exited = true;
    while (hear(w))
        ;
    backend()->reap(&w->process, &exit);
    report_end(w, &exit);

    task *t = w->task;
    bool unheard = w->unheard, innocent = unheard || w->stray;
    if (t && !innocent && call_was_fatal(&exit, w->verdict))
        call_accuse(w);
    int verdict = w->verdict;
    if (verdict == 0 || (verdict == -EBADMSG && innocent))
        verdict = -EOWNERDEAD;
    pool.alive--;
    judge_start(w);
    if (w->state == BUSY)
        count_busy(-1);
    worker_free(w);
    if (t)
        call_lost(t, verdict, unheard);
    spawn_missing();
    dispatch();
}

/* -- starting ---------------------------------------------------------------------------------- */

static int watch(struct worker *w)
{
    int rc = loop_watch(w->process.socket, EPOLLIN, on_message, w);

    if (rc == 0)
        rc = loop_watch(w->process.pidfd, EPOLLIN, on_exit_seen, w);
    if (rc == 0)
        rc = timer_set(&w->timer, clock_after_ms(async_now_ns(), START_TIMEOUT_MS));
    return rc;
}

static int spawn_worker(void)
{
    struct worker *w = calloc(1, sizeof *w);

    if (!w)
        return -ENOMEM;
    list_init(&w->link);
    w->timer.fire = overran;
    int rc = backend()->spawn(pool.options.request_bytes, pool.options.worker_memory, &w->process);
    if (rc < 0) {
        free(w);
        return rc;
    }
    rc = watch(w);
    if (rc < 0) { /* a worker that cannot be watched cannot be used */
        struct worker_exit exit;
        backend()->kill(&w->process);
        backend()->reap(&w->process, &exit);
        worker_free(w);
        return rc;
    }
    list_push_back(&pool.workers, &w->link);
    pool.alive++;
    count(COUNT_WORKERS, 1);
    count(COUNT_WORKERS_STARTED, 1);
    return 0;
}

/* True when waiting for a worker makes no sense: none is there, and none can be started, or not
 * even tried to. */
static bool hopeless(void)
{
    return pool.alive == 0 && (pool.failed_starts >= HOPELESS_STARTS || !pool.respawn.slot);
}

static void fail(task *t, int error)
{
    task_fail(t, error, NULL, NULL);
    task_end(t);
}

static void fail_waiting(void)
{
    for (task *t; (t = process_queue_pop());)
        fail(t, -ECHILD);
}

/* For how often in a row starting workers was in vain: one by one, or all of them. */
static unsigned setbacks(void)
{
    return pool.failed_starts + pool.useless / (pool.options.workers + SPARE_WORKERS);
}

/* Brings the pool to strength, at once or, while workers die before they are of use, later. */
static void spawn_missing(void)
{
    if (pool.respawn.slot)
        return;
    while (pool.alive < pool.options.workers + SPARE_WORKERS) {
        if (setbacks() == 0 && spawn_worker() == 0)
            continue;
        unsigned doublings = setbacks() < 10 ? setbacks() : 10;
        uint64_t ms = (uint64_t)BACKOFF_FIRST_MS << doublings;
        if (ms > BACKOFF_LAST_MS)
            ms = BACKOFF_LAST_MS;
        timer_set(&pool.respawn, clock_after_ms(async_now_ns(), ms)); /* else with the next task */
        if (hopeless())
            fail_waiting();
        break;
    }
}

/* One try; its failure, now or before it says hello, makes the next wait longer. */
static void respawn_due(struct timer *timer)
{
    (void)timer;
    int rc = spawn_worker();

    if (rc < 0)
        pool.failed_starts++;
    if (rc < 0 || pool.failed_starts == 0)
        spawn_missing();
}

/* -- calling ----------------------------------------------------------------------------------- */

/* The worker that takes the next call; NULL when none may. */
static struct worker *next_worker(void)
{
    if (pool.busy >= pool.options.workers || list_empty(&pool.workers))
        return NULL;
    struct worker *w = CONTAINER_OF(pool.workers.next, struct worker, link);
    return w->state == IDLE ? w : NULL;
}

static void call(struct worker *w, task *t)
{
    if (!call_send(w, t)) {
        kill_worker(w, -EOWNERDEAD); /* it died idle: the task, unheard, is for the next one */
        process_queue_push_again(t);
    } else if (w->task) {
        w->state = BUSY;
        count_busy(1);
        list_remove(&w->link);
        list_push_back(&pool.workers, &w->link);
    }
}

static void dispatch(void)
{
    for (struct worker *w; !process_queue_empty() && (w = next_worker());)
        call(w, process_queue_pop());
}

void process_pool_submit(task *t)
{
    spawn_missing(); /* the first time; later, when it could not even be tried again */
    if (hopeless()) {
        fail(t, -ECHILD);
        return;
    }
    /* The usual case: nobody is before it, and a worker is free. */
    struct worker *w = process_queue_empty() ? next_worker() : NULL;
    if (w)
        call(w, t);
    else
        process_queue_push(t);
    dispatch();
}

void process_pool_cancel(task *t)
{
    if (t->worker) {
        kill_worker(t->worker, -ECANCELED);
    } else if (process_queue_withdraw(t)) {
        task_end_cancelled(t);
    }
}

/* -- life -------------------------------------------------------------------------------------- */

void process_pool_configure(const struct async_options *options)
{
    memset(&pool, 0, sizeof pool);
    pool.options = *options;
    pool.respawn.fire = respawn_due;
    list_init(&pool.workers);
    process_queue_configure(options->queue_bytes);
    call_reset();
}

void process_pool_stop(void)
{
    timer_clear(&pool.respawn);
    LIST_FOR (link, &pool.workers) {
        struct worker *w = CONTAINER_OF(link, struct worker, link);
        struct worker_exit exit;

        backend()->kill(&w->process);
        backend()->reap(&w->process, &exit);
        count(COUNT_WORKERS, -1);
        worker_free(w);
    }
    pool.alive = 0;
    count_busy(-(int)pool.busy);
}
