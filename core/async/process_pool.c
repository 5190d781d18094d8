/*
 * The parent's side of the worker processes. Everything here happens on the loop thread.
 *
 *     STARTING ──hello──▶ IDLE ──call──▶ BUSY ──reply──▶ IDLE
 *         │                │               │
 *        kill          kill: LOST         kill     for its deadline, a cancel, a message that
 *         └──────────────▶ exit ◀──────────┘       makes no sense, the end of its socket
 *
 * A worker's end is seen on its pidfd. What it had sent before still counts: the socket is drained
 * first. Only when the process is reaped does its task settle, so "cancelled" means that nothing
 * of it runs any more. One worker more is kept than may compute at once, so that a kill does not
 * make the next call wait for a new process.
 */
#include "core/async/internal.h"
#include "core/async/process_queue.h"
#include "core/async/task_table.h"
#include "core/async/wire.h"
#include "core/async/worker_process.h"
#include "core/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    SPARE_WORKERS = 1,
    START_TIMEOUT_MS = 10000,
    KILL_GRACE_MS = 250,   /* past the deadline that `serve` was told */
    BACKOFF_FIRST_MS = 10, /* before a worker that died while starting is replaced, doubling */
    BACKOFF_LAST_MS = 5000,
    HOPELESS_STARTS = 4, /* failed starts in a row after which no worker left means: do not wait */
    LAST_ERRNO = 4095,
};

enum worker_state {
    STARTING,
    IDLE,
    BUSY, /* has a task, killed or not, until its exit is seen */
    LOST, /* idle, and killed or dead */
};

struct worker {
    struct list link; /* in pool.workers; the idle ones first, the last used in front */
    enum worker_state state;
    struct worker_process process;
    task *task; /* while BUSY */
    uint64_t call_id;
    int verdict;  /* why it was killed, and its task fails; 0: it was not */
    bool unheard; /* it died before it read its call */
    struct timer timer;
};

static struct {
    struct async_options options;
    bool started;
    struct list workers;
    struct process_queue waiting;
    unsigned alive, busy;
    unsigned failed_starts; /* in a row */
    uint64_t last_call_id;
    struct timer respawn;
} pool;

static struct {
    struct wire_reply head;
    char body[WIRE_REPLY_MAX];
} received;

static void spawn_missing(void);
static void dispatch(void);

/* -- ending ------------------------------------------------------------------------------------ */

static void fail(task *t, int error)
{
    task_fail(t, error, NULL, NULL);
    task_end(t);
}

/* Whatever comes next, the exit of the process ends the matter. The first verdict counts. */
static void kill_worker(struct worker *w, int verdict)
{
    if (w->verdict)
        return;
    w->verdict = verdict;
    timer_clear(&w->timer);
    if (w->state == IDLE) {
        w->state = LOST;
        list_remove(&w->link);
        list_push_back(&pool.workers, &w->link);
    }
    worker_process_kill(&w->process);
}

static void overran(struct timer *timer)
{
    kill_worker(CONTAINER_OF(timer, struct worker, timer), -ETIMEDOUT);
}

static void worker_free(struct worker *w)
{
    loop_forget(w->process.socket);
    loop_forget(w->process.pidfd);
    worker_process_close(&w->process);
    timer_clear(&w->timer);
    list_remove(&w->link);
    free(w);
}

/* Its worker is gone, and reaped. A call that it never read may be made again, whatever it does. */
static void end_call(task *t, int verdict, bool unheard)
{
    t->worker = NULL;
    if (verdict == -ECANCELED || task_cancelled(t)) {
        task_end_cancelled(t);
    } else if (verdict == -EOWNERDEAD && (t->def->idempotent || unheard) && !t->retried) {
        t->retried = true;
        process_queue_push_again(&pool.waiting, t);
    } else {
        fail(t, verdict);
    }
}

/* -- what a worker says ------------------------------------------------------------------------ */

static void take_reply(struct worker *w, size_t length)
{
    task *t = w->task;

    w->task = NULL;
    t->worker = NULL;
    w->state = w->verdict ? LOST : IDLE;
    pool.busy--;
    if (w->state == IDLE) {
        timer_clear(&w->timer);
        list_remove(&w->link);
        list_push_front(&pool.workers, &w->link);
    }
    /* Past its scope's deadline, which the worker was told, it may have given up for that. */
    if (loop_now_ns() >= scope_deadline_ns(t->scope))
        task_fail(t, -ECANCELED, NULL, NULL);
    else if (received.head.error)
        task_fail(t, received.head.error, NULL, NULL);
    else
        t->def->unpack(t, t->frame, bytes_of(received.body, length));
    task_end(t);
}

/* Whether `received`, of which `length` bytes came, answers the call that `w` is busy with. */
static bool is_answer(const struct worker *w, size_t length)
{
    const struct wire_reply *head = &received.head;

    /* Only the parent says "cancelled": a worker must not make its own failure look like that. */
    return length >= sizeof *head && length <= sizeof received && head->id == w->call_id &&
           head->error <= 0 && head->error >= -LAST_ERRNO && head->error != -ECANCELED;
}

/* Takes one message; false when there is none (or the worker is out of its mind, and killed). */
static bool hear(struct worker *w)
{
    struct wire_hello hello;

    if (w->verdict == -EBADMSG)
        return false; /* nothing that it says counts any more */
    ssize_t n = recv(w->process.socket, &received, sizeof received, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0) {
        /* What unix(7) does not say: a peer that closes with messages unread resets the connection,
         * and that is told before the messages that it had sent. */
        w->unheard |= errno == ECONNRESET;
        return errno == ECONNRESET || errno == EINTR;
    }
    if (n == 0) {
        /* Closed, or an empty message, which looks the same: of no use for anything either way. */
        kill_worker(w, -EOWNERDEAD);
        return false;
    }

    switch (w->state) {
    case STARTING:
        memcpy(&hello, &received, sizeof hello);
        if (w->verdict || n != sizeof hello || hello.version != WIRE_VERSION ||
            hello.task_count != task_table_size())
            break;
        w->state = IDLE;
        pool.failed_starts = 0;
        timer_clear(&w->timer);
        list_remove(&w->link);
        list_push_front(&pool.workers, &w->link);
        spawn_missing(); /* this may have been the first that started after failures */
        return true;
    case BUSY:
        if (!is_answer(w, (size_t)n))
            break;
        take_reply(w, (size_t)n - sizeof received.head);
        return true;
    case IDLE:
    case LOST:
        break; /* speaks out of turn */
    }
    kill_worker(w, -EBADMSG);
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

static void on_exit_seen(void *arg, int fd, uint32_t events)
{
    struct worker *w = arg;

    (void)fd;
    (void)events;
    while (hear(w))
        ;
    worker_process_reap(&w->process);
    count(COUNT_WORKERS, -1);
    count(COUNT_WORKERS_LOST, 1);
    pool.alive--;

    task *t = w->task;
    int verdict = w->verdict ? w->verdict : -EOWNERDEAD;
    bool unheard = w->unheard;
    pool.failed_starts += w->state == STARTING;
    pool.busy -= w->state == BUSY;
    worker_free(w);
    if (t)
        end_call(t, verdict, unheard);
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
        rc = timer_set(&w->timer, clock_after_ms(clock_now_ns(), START_TIMEOUT_MS));
    return rc;
}

static int spawn_worker(void)
{
    struct worker *w = calloc(1, sizeof *w);

    if (!w)
        return -ENOMEM;
    list_init(&w->link);
    w->timer.fire = overran;
    int rc =
        worker_process_spawn(pool.options.request_bytes, pool.options.worker_memory, &w->process);
    if (rc < 0) {
        free(w);
        return rc;
    }
    rc = watch(w);
    if (rc < 0) { /* a worker that cannot be watched cannot be used */
        worker_process_kill(&w->process);
        worker_process_reap(&w->process);
        worker_free(w);
        return rc;
    }
    list_push_back(&pool.workers, &w->link);
    pool.alive++;
    count(COUNT_WORKERS, 1);
    return 0;
}

/* True when waiting for a worker makes no sense: none is there, and none can be started. */
static bool hopeless(void)
{
    return pool.alive == 0 && pool.failed_starts >= HOPELESS_STARTS;
}

static void fail_waiting(void)
{
    for (task *t; (t = process_queue_pop(&pool.waiting));)
        fail(t, -ECHILD);
}

/* Brings the pool to strength, at once or, while workers die before they can say hello, later. */
static void spawn_missing(void)
{
    if (pool.respawn.slot)
        return;
    while (pool.alive < pool.options.workers + SPARE_WORKERS) {
        if (pool.failed_starts == 0 && spawn_worker() == 0)
            continue;
        if (hopeless())
            fail_waiting();
        unsigned doublings = pool.failed_starts < 10 ? pool.failed_starts : 10;
        uint64_t ms = (uint64_t)BACKOFF_FIRST_MS << doublings;
        if (ms > BACKOFF_LAST_MS)
            ms = BACKOFF_LAST_MS;
        if (timer_set(&pool.respawn, clock_after_ms(clock_now_ns(), ms)) < 0)
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

/* When the task must have been served: what its definition allows, or the end of its scope. */
static uint64_t deadline_of(const task *t)
{
    uint64_t scope = scope_deadline_ns(t->scope);
    uint64_t own =
        t->def->timeout_ms ? clock_after_ms(clock_now_ns(), t->def->timeout_ms) : CLOCK_NEVER;

    return own < scope ? own : scope;
}

static void call(struct worker *w, task *t)
{
    ssize_t length = t->def->pack(t->frame, w->process.memory, pool.options.request_bytes);
    if (length > (ssize_t)pool.options.request_bytes)
        length = -EMSGSIZE;
    uint64_t deadline = deadline_of(t);
    if (length >= 0 && deadline != CLOCK_NEVER &&
        timer_set(&w->timer, clock_after_ms(deadline, KILL_GRACE_MS)) < 0)
        length = -ENOMEM;
    if (length < 0) {
        fail(t, (int)length);
        return;
    }

    struct wire_call message = {
        .id = ++pool.last_call_id,
        .deadline_ns = deadline,
        .length = (uint64_t)length,
        .task = task_table_index(t->def),
    };
    if (send(w->process.socket, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        kill_worker(w, -EOWNERDEAD); /* it died idle: the task, unheard, is for the next one */
        process_queue_push_again(&pool.waiting, t);
        return;
    }
    w->state = BUSY;
    w->task = t;
    w->call_id = message.id;
    t->worker = w;
    pool.busy++;
    list_remove(&w->link);
    list_push_back(&pool.workers, &w->link);
}

static void dispatch(void)
{
    while (!process_queue_empty(&pool.waiting) && pool.busy < pool.options.workers) {
        if (list_empty(&pool.workers))
            break;
        struct worker *w = CONTAINER_OF(pool.workers.next, struct worker, link);
        if (w->state != IDLE)
            break;
        call(w, process_queue_pop(&pool.waiting));
    }
}

void process_pool_submit(task *t)
{
    if (!pool.started) {
        pool.started = true;
        spawn_missing();
    }
    if (hopeless()) {
        fail(t, -ECHILD);
        return;
    }
    process_queue_push(&pool.waiting, t);
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
    process_queue_init(&pool.waiting);
}

void process_pool_stop(void)
{
    timer_clear(&pool.respawn);
    LIST_FOR (link, &pool.workers) {
        struct worker *w = CONTAINER_OF(link, struct worker, link);

        worker_process_kill(&w->process);
        worker_process_reap(&w->process);
        count(COUNT_WORKERS, -1);
        worker_free(w);
    }
    pool.alive = 0;
}
