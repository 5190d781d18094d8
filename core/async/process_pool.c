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
#include "core/async/task_table.h"
#include "core/async/wire.h"
#include "core/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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
    pid_t pid;
    int pidfd, socket;
    char *memory; /* the request's, shared with the worker */
    task *task;   /* while BUSY */
    uint64_t call_id;
    int verdict;  /* why it was killed, and its task fails; 0: it was not */
    bool unheard; /* it died before it read its call */
    struct timer timer;
};

static struct {
    struct async_options options;
    bool started;
    struct list workers;
    struct list waiting; /* tasks */
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
    pidfd_send_signal(w->pidfd, SIGKILL, NULL, 0);
}

static void overran(struct timer *timer)
{
    kill_worker(CONTAINER_OF(timer, struct worker, timer), -ETIMEDOUT);
}

static void worker_free(struct worker *w)
{
    if (w->socket >= 0) {
        loop_forget(w->socket);
        close(w->socket);
    }
    if (w->pidfd >= 0) {
        loop_forget(w->pidfd);
        close(w->pidfd);
    }
    timer_clear(&w->timer);
    if (w->memory)
        munmap(w->memory, pool.options.request_bytes);
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
        list_push_front(&pool.waiting, &t->waiting);
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
    if (received.head.error)
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
    ssize_t n = recv(w->socket, &received, sizeof received, MSG_DONTWAIT | MSG_TRUNC);
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
        loop_watch(w->socket, 0, on_message, w);
    dispatch();
}

static void on_exit_seen(void *arg, int fd, uint32_t events)
{
    struct worker *w = arg;
    siginfo_t info;

    (void)events;
    while (hear(w))
        ;
    while (waitid(P_PIDFD, (id_t)fd, &info, WEXITED) < 0 && errno == EINTR)
        ;
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

/* The worker's environment: nothing of ours but what the loader and the sanitizers read. */
static void choose_environment(char **ret_environment, size_t capacity)
{
    size_t n = 0;

    for (char **e = environ; *e && n + 1 < capacity; e++) {
        const char *name_end = strchr(*e, '=');
        if (!name_end)
            continue;
        size_t length = (size_t)(name_end - *e), suffix = sizeof "SAN_OPTIONS" - 1;
        if ((length > suffix && memcmp(name_end - suffix, "SAN_OPTIONS", suffix) == 0) ||
            strncmp(*e, "LD_LIBRARY_PATH=", 16) == 0)
            ret_environment[n++] = *e;
    }
    ret_environment[n] = NULL;
}

static int spawn_process(pid_t *ret_pid, int socket, int memory)
{
    char request_bytes[24], worker_memory[24], parent[24];
    char flag[] = WORKER_FLAG, name[] = "async-worker";
    char *argv[] = {name, flag, request_bytes, worker_memory, parent, NULL};
    char *environment[16];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    snprintf(request_bytes, sizeof request_bytes, "%zu", pool.options.request_bytes);
    snprintf(worker_memory, sizeof worker_memory, "%zu", pool.options.worker_memory);
    snprintf(parent, sizeof parent, "%ld", (long)getpid());
    choose_environment(environment, sizeof environment / sizeof environment[0]);

    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_adddup2(&actions, socket, WORKER_SOCKET);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, memory, WORKER_MEMORY);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, WORKER_MEMORY + 1);
    /* A process group of its own: a Ctrl-C on the terminal is for the parent to handle. */
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

/* A descriptor above those that a worker's own take. Consumes `fd`. */
static int move_up(int fd)
{
    int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, WORKER_MEMORY + 1);

    if (fd >= 0)
        close(fd);
    return moved;
}

/* Shared memory for requests. Sealed: a worker that shrank it would crash its parent. */
static int make_memory(char **ret_memory)
{
    int fd = move_up(memfd_create("async-request", MFD_CLOEXEC | MFD_ALLOW_SEALING));

    if (fd < 0)
        return -errno;
    size_t size = pool.options.request_bytes;
    if (ftruncate(fd, (off_t)size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        close(fd);
        return -errno;
    }
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        close(fd);
        return -errno;
    }
    *ret_memory = memory;
    return fd;
}

static int spawn_worker(void)
{
    int pair[2];
    struct worker *w = calloc(1, sizeof *w);

    if (!w)
        return -ENOMEM;
    list_init(&w->link);
    w->socket = w->pidfd = -1;
    w->timer.fire = overran;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        worker_free(w);
        return -EMFILE;
    }
    w->socket = pair[0];
    int theirs = move_up(pair[1]);
    int memory = make_memory(&w->memory);
    int rc = theirs < 0 || memory < 0 ? -EMFILE : spawn_process(&w->pid, theirs, memory);
    if (theirs >= 0)
        close(theirs);
    if (memory >= 0)
        close(memory);
    if (rc == 0) {
        w->pidfd = pidfd_open(w->pid, 0);
        if (w->pidfd < 0)
            rc = -errno;
        else
            rc = loop_watch(w->socket, EPOLLIN, on_message, w);
        if (rc == 0)
            rc = loop_watch(w->pidfd, EPOLLIN, on_exit_seen, w);
        if (rc == 0)
            rc = timer_set(&w->timer, clock_after_ms(clock_now_ns(), START_TIMEOUT_MS));
        if (rc < 0) { /* a worker that cannot be watched cannot be used */
            kill(w->pid, SIGKILL);
            waitpid(w->pid, NULL, 0);
        }
    }
    if (rc < 0) {
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
    for (struct list *link; (link = list_pop_front(&pool.waiting));)
        fail(CONTAINER_OF(link, task, waiting), -ECHILD);
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
    ssize_t length = t->def->pack(t->frame, w->memory, pool.options.request_bytes);
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
    if (send(w->socket, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        kill_worker(w, -EOWNERDEAD); /* it died idle: the task, unheard, is for the next one */
        list_push_front(&pool.waiting, &t->waiting);
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
    while (!list_empty(&pool.waiting) && pool.busy < pool.options.workers) {
        if (list_empty(&pool.workers))
            break;
        struct worker *w = CONTAINER_OF(pool.workers.next, struct worker, link);
        if (w->state != IDLE)
            break;
        struct list *link = list_pop_front(&pool.waiting);
        call(w, CONTAINER_OF(link, task, waiting));
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
    list_push_back(&pool.waiting, &t->waiting);
    dispatch();
}

void process_pool_cancel(task *t)
{
    if (t->worker) {
        kill_worker(t->worker, -ECANCELED);
    } else if (!list_empty(&t->waiting)) {
        list_remove(&t->waiting);
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
    list_init(&pool.waiting);
}

void process_pool_stop(void)
{
    timer_clear(&pool.respawn);
    LIST_FOR (link, &pool.workers) {
        struct worker *w = CONTAINER_OF(link, struct worker, link);
        siginfo_t info;

        pidfd_send_signal(w->pidfd, SIGKILL, NULL, 0);
        while (waitid(P_PIDFD, (id_t)w->pidfd, &info, WEXITED) < 0 && errno == EINTR)
            ;
        count(COUNT_WORKERS, -1);
        worker_free(w);
    }
    pool.alive = 0;
}
