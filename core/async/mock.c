#include "core/async/mock.h"

#include "core/async/internal.h"
#include "core/async/task_table.h"
#include "core/async/wire.h"
#include "core/async/worker.h"
#include "core/async/worker_process.h"
#include "core/base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMERS_SHUFFLED = 16, FIRST_PID = 1 << 23 /* beyond what the kernel gives */ };

/* A worker that is played here. */
struct fake {
    struct list link; /* in mock.fakes */
    unsigned number;
    int socket, ended; /* its own end of the pair; the eventfd that stands for its pidfd */
    bool killed, dead;
    struct worker_exit exit;
    struct timer death; /* by a kill that takes its time */
    size_t calls;
    char *memory;
    size_t memory_bytes;
    /* the call that it has */
    struct timer deed;
    struct mock_act act;
    size_t message_len;
    char message[WIRE_CALL_MAX];
};

static struct {
    pthread_t driver; /* the thread that turns the loop */
    struct mock_options options;
    _Atomic uint64_t now_ns;
    const future *awaited; /* by the driver; NULL: none */
    bool draining;         /* it waits until no pool thread has anything to do */
    uint64_t limit_ns;     /* the time may go on until then, where nothing else is to be done... */
    bool idle;             /* ...and has */
    uint64_t random;
    struct job **jobs; /* scratch for shuffling */
    size_t jobs_capacity;
    struct list fakes;
    unsigned started, killed, calls;
} mock = {.fakes = {&mock.fakes, &mock.fakes}};

/* -- order ------------------------------------------------------------------------------------- */

/* splitmix64; https://prng.di.unimi.it/splitmix64.c */
static uint64_t next_random(void)
{
    uint64_t z = mock.random += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* Some number below `n`; the first when nothing is shuffled. */
static size_t pick(size_t n)
{
    if (mock.options.seed == 0 || n <= 1)
        return 0;
    return (size_t)(next_random() % n);
}

/* Jobs of the layer itself keep their place: one may rely on another having run before. */
static bool may_move(const struct job *job)
{
    return task_job_is_task(job) || future_job_is_continuation(job);
}

static bool make_room(size_t n)
{
    if (n > mock.jobs_capacity) {
        struct job **jobs = realloc(mock.jobs, n * sizeof(struct job *));
        if (!jobs)
            return false;
        mock.jobs = jobs;
        mock.jobs_capacity = n;
    }
    return true;
}

static struct job *shuffle_jobs(struct job *ready)
{
    size_t all = 0, n = 0;

    for (struct job *job = ready; job; job = job->next)
        all++;
    if (mock.options.seed == 0 || !make_room(2 * all))
        return ready;

    struct job **jobs = mock.jobs, **movable = mock.jobs + all, **link = &ready;
    all = 0;
    for (struct job *job = ready; job; job = job->next) {
        jobs[all++] = job;
        if (may_move(job))
            movable[n++] = job;
    }
    for (size_t i = 0; i < all; i++) {
        struct job *job = jobs[i];
        if (may_move(job)) {
            size_t chosen = pick(n--);
            job = movable[chosen];
            movable[chosen] = movable[n];
        }
        *link = job;
        link = &job->next;
    }
    *link = NULL;
    return ready;
}

/* One time in four the others have their turn, whatever else is ready. */
static bool turn_ends(void)
{
    return mock.options.seed && pick(4) == 0;
}

/* One of those that are due at the same time as the first: in a heap these are all at its top. */
static struct timer *pick_timer(struct timer *const *heap, size_t n)
{
    size_t same[TIMERS_SHUFFLED] = {0}, count = 1;

    for (size_t i = 0; i < count; i++)
        for (size_t child = 2 * same[i] + 1; child <= 2 * same[i] + 2; child++)
            if (child < n && count < TIMERS_SHUFFLED && heap[child]->at_ns == heap[0]->at_ns)
                same[count++] = child;
    return heap[same[pick(count)]];
}

static void shuffle_events(struct epoll_event *events, int n)
{
    for (int left = mock.options.seed ? n : 0; left > 1; left--) {
        size_t i = pick((size_t)left);
        struct epoll_event last = events[left - 1];
        events[left - 1] = events[i];
        events[i] = last;
    }
}

/* -- time -------------------------------------------------------------------------------------- */

static uint64_t mock_now_ns(void)
{
    return atomic_load(&mock.now_ns);
}

static uint64_t after(uint64_t ns)
{
    uint64_t now = mock_now_ns();

    return ns < CLOCK_NEVER - now ? now + ns : CLOCK_NEVER;
}

/* Whether the driver has what it waits for. */
static bool is_over(void)
{
    if (mock.draining)
        return thread_pool_active() == 0 && future_blocked_threads() == 0;
    return mock.awaited && future_settled(mock.awaited);
}

/* Nothing is to be done before `next_ns`: there the time goes, but not beyond the limit. */
static void go_on(uint64_t next_ns)
{
    uint64_t now = mock_now_ns();
    uint64_t until = next_ns < mock.limit_ns ? next_ns : mock.limit_ns;

    if (next_ns <= now)
        return; /* it is due */
    if (until > now && until != CLOCK_NEVER)
        atomic_store(&mock.now_ns, until);
    else
        mock.idle = true;
}

/*
 * Ready descriptors come first, then what pool threads may still bring, and only then the time
 * goes on. A thread posts its result before it counts as inactive, and wakes the epoll with it, so
 * after a look at that count epoll is asked once more.
 */
static int mock_poll(int epoll, struct epoll_event *events, int capacity, uint64_t until_ns)
{
    bool may_wait = until_ns != 0 && !is_over();
    int n = epoll_wait(epoll, events, capacity, 0);

    if (n == 0 && may_wait)
        n = epoll_wait(epoll, events, capacity, thread_pool_active() > 0 ? -1 : 0);
    if (n == 0 && may_wait)
        go_on(until_ns);
    shuffle_events(events, n);
    return n;
}

/*
 * Turns the loop until `f` (NULL: nothing) is settled, or the time is `limit_ns` and nothing is
 * left to do.
 */
static void drive(const future *f, uint64_t limit_ns)
{
    struct context *before = context_swap(NULL); /* it is this thread's, not the loop's */

    thread_role = ROLE_LOOP;
    mock.awaited = f;
    mock.limit_ns = limit_ns;
    mock.idle = false;
    while (!mock.idle && !is_over())
        loop_turn();
    mock.awaited = NULL;
    thread_role = ROLE_PLAIN;
    context_drop(context_swap(before));
}

static bool drives(void)
{
    return pthread_equal(mock.driver, pthread_self());
}

/* What blocks on a thread when the runtime ends needs the loop, which turns in no join. */
static void drain_threads(void)
{
    mock.draining = true;
    drive(NULL, CLOCK_NEVER);
    mock.draining = false;
}

static int mock_wait(future *f, uint64_t deadline_ns)
{
    if (!drives())
        return future_block(f, deadline_ns);
    drive(f, deadline_ns);
    if (!future_settled(f))
        return deadline_ns == CLOCK_NEVER ? -EDEADLK : -ETIMEDOUT;
    if (scope_cancelled(runtime_root())) /* async_stop() waits for its last task */
        drain_threads();
    return 0;
}

int mock_advance(uint64_t ns)
{
    if (!drives() || thread_role != ROLE_PLAIN)
        return -EDEADLK;
    drive(NULL, after(ns));
    return 0;
}

int mock_turn(void)
{
    return mock_advance(0);
}

/* -- fake workers ------------------------------------------------------------------------------ */

static void die(struct fake *w, int signal, int status)
{
    if (w->dead)
        return;
    w->dead = true;
    w->exit = (struct worker_exit){.signal = signal, .status = status};
    timer_clear(&w->deed);
    timer_clear(&w->death);
    loop_forget(w->socket);
    close(w->socket);
    eventfd_write(w->ended, 1);
}

static void death_comes(struct timer *timer)
{
    die(CONTAINER_OF(timer, struct fake, death), SIGKILL, 0);
}

static void say(struct fake *w, struct bytes message)
{
    if (!w->dead && send(w->socket, message.ptr, message.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        die(w, 0, EXIT_FAILURE);
}

static void say_hello(struct fake *w)
{
    struct wire_hello hello = {.version = WIRE_VERSION, .task_count = task_table_size()};

    say(w, bytes_of((const char *)&hello, sizeof hello));
}

static void answer(struct fake *w)
{
    static struct worker_reply reply;

    thread_role = ROLE_WORKER;
    size_t length = worker_answer(bytes_of(w->message, w->message_len),
                                  bytes_of(w->memory, w->memory_bytes), &reply);
    thread_role = ROLE_LOOP;
    if (length > 0)
        say(w, bytes_of((const char *)&reply, length));
    else
        die(w, 0, EXIT_FAILURE);
}

static void on_call(void *arg, int fd, uint32_t events);

static void do_deed(struct fake *w)
{
    switch (w->act.deed) {
    case MOCK_ANSWER:
        answer(w);
        break;
    case MOCK_LIE:
        say(w, w->act.lie);
        break;
    case MOCK_HANG:
        break;
    case MOCK_ANSWER_AND_CRASH:
        answer(w);
        die(w, SIGSEGV, 0);
        break;
    case MOCK_CRASH:
    case MOCK_CRASH_UNREAD:
        die(w, SIGSEGV, 0);
        break;
    case MOCK_KILLED:
        die(w, SIGKILL, 0);
        break;
    }
    if (!w->dead && loop_watch(w->socket, EPOLLIN, on_call, w) < 0)
        die(w, SIGKILL, 0);
}

static void deed_is_due(struct timer *timer)
{
    do_deed(CONTAINER_OF(timer, struct fake, deed));
}

/* What its player makes of the call that has come. */
static struct mock_act ask_player(const struct fake *w)
{
    struct wire_call call;

    memcpy(&call, w->message, sizeof call);
    const struct task_def *def = task_table_get(call.task);
    struct mock_call told = {
        .task = def ? def->name : NULL,
        .worker = w->number,
        .nth = mock.calls++,
        .id = call.id,
        .deadline_ns = call.deadline_ns,
        .request = bytes_of(w->memory, call.length),
    };
    return mock.options.worker ? mock.options.worker(&told, mock.options.arg)
                               : (struct mock_act){.deed = MOCK_ANSWER};
}

/* The call is looked at first; whether it is read is the deed's to say. */
static void on_call(void *arg, int fd, uint32_t events)
{
    struct fake *w = arg;
    char read[WIRE_CALL_MAX];

    (void)events;
    ssize_t n = recv(fd, w->message, sizeof w->message, MSG_DONTWAIT | MSG_PEEK);
    if (n < (ssize_t)sizeof(struct wire_call)) {
        die(w, 0, EXIT_SUCCESS); /* its parent has closed */
        return;
    }
    w->message_len = (size_t)n;
    w->calls++;
    w->act = ask_player(w);
    if (w->dead) /* it was made to die */
        return;
    if (w->act.deed != MOCK_CRASH_UNREAD)
        while (recv(fd, read, sizeof read, MSG_DONTWAIT) < 0) {
            /* it is there: this was an interruption, or a test's */
        }
    loop_watch(fd, 0, on_call, w);
    if (w->act.after_ns == 0)
        do_deed(w);
    else if (timer_set(&w->deed, after(w->act.after_ns)) < 0)
        die(w, SIGKILL, 0);
}

static void free_fake(struct fake *w)
{
    free(w->memory);
    free(w);
}

static struct fake *make_fake(size_t memory_bytes)
{
    struct fake *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->memory = calloc(1, memory_bytes);
    if (!w->memory) {
        free(w);
        return NULL;
    }
    w->memory_bytes = memory_bytes;
    w->deed.fire = deed_is_due;
    w->death.fire = death_comes;
    return w;
}

/* Opens its descriptors; gives its parent's end of the pair. */
static int connect_fake(struct fake *w)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    w->socket = pair[1];
    w->ended = eventfd(0, EFD_CLOEXEC);
    int rc = w->ended < 0 ? -errno : loop_watch(w->socket, EPOLLIN, on_call, w);
    if (rc < 0) {
        close(pair[0]);
        close(pair[1]);
        if (w->ended >= 0)
            close(w->ended);
        return rc;
    }
    return pair[0];
}

static int fake_spawn(size_t memory_bytes, size_t own_bytes, struct worker_process *ret)
{
    unsigned number = mock.started++;
    enum mock_birth birth =
        mock.options.birth ? mock.options.birth(number, mock.options.arg) : MOCK_BORN;
    struct fake *w = birth == MOCK_UNBORN ? NULL : make_fake(memory_bytes);

    (void)own_bytes;
    if (!w)
        return birth == MOCK_UNBORN ? -EAGAIN : -ENOMEM;
    int socket = connect_fake(w);
    if (socket < 0) {
        free_fake(w);
        return socket;
    }
    w->number = number;
    list_push_back(&mock.fakes, &w->link);
    *ret = (struct worker_process){
        .pid = FIRST_PID + (int)number,
        .pidfd = w->ended,
        .socket = socket,
        .memory = w->memory,
        .memory_bytes = memory_bytes,
        .fake = w,
    };
    if (birth == MOCK_STILLBORN)
        die(w, 0, EXIT_FAILURE);
    else if (birth == MOCK_BORN)
        say_hello(w);
    return 0;
}

static void fake_kill(const struct worker_process *p)
{
    struct fake *w = p->fake;

    if (w->dead || w->killed)
        return;
    w->killed = true;
    mock.killed++;
    if (mock.options.kill_ns == 0 || timer_set(&w->death, after(mock.options.kill_ns)) < 0)
        die(w, SIGKILL, 0);
}

/* One that is still about to die is waited for, as it were. */
static void fake_reap(const struct worker_process *p, struct worker_exit *ret_exit)
{
    struct fake *w = p->fake;

    die(w, SIGKILL, 0);
    *ret_exit = w->exit;
}

static size_t fake_resident(const struct worker_process *p)
{
    return ((const struct fake *)p->fake)->calls * mock.options.grown;
}

static void fake_close(struct worker_process *p)
{
    struct fake *w = p->fake;

    list_remove(&w->link);
    close(p->socket);
    close(p->pidfd);
    free_fake(w);
}

static const struct worker_backend fake_workers = {
    .spawn = fake_spawn,
    .kill = fake_kill,
    .reap = fake_reap,
    .resident = fake_resident,
    .close = fake_close,
};

static struct fake *find(unsigned worker)
{
    LIST_FOR (link, &mock.fakes) {
        struct fake *w = CONTAINER_OF(link, struct fake, link);

        if (w->number == worker && !w->dead)
            return w;
    }
    return NULL;
}

bool mock_worker_hello(unsigned worker)
{
    struct fake *w = find(worker);

    if (w)
        say_hello(w);
    return w;
}

bool mock_worker_say(unsigned worker, struct bytes message)
{
    struct fake *w = find(worker);

    if (w)
        say(w, message);
    return w;
}

bool mock_worker_die(unsigned worker, int signal)
{
    struct fake *w = find(worker);

    if (w)
        die(w, signal, 0);
    return w;
}

unsigned mock_workers_started(void)
{
    return mock.started;
}

unsigned mock_workers_killed(void)
{
    return mock.killed;
}

/* -- start ------------------------------------------------------------------------------------- */

static const struct world mock_world = {
    .now_ns = mock_now_ns,
    .poll = mock_poll,
    .order = shuffle_jobs,
    .turn_ends = turn_ends,
    .pick_timer = pick_timer,
    .wait = mock_wait,
    .workers = &fake_workers,
};

/* What a worker does once before its first call; here for all of them. */
static int prepare_tasks(void)
{
    static bool prepared;
    int rc = prepared ? 0 : worker_prepare();

    prepared |= rc == 0;
    return rc;
}

int mock_start(const struct mock_options *options)
{
    struct async_options async = options->async;

    if (runtime_root())
        return -EBUSY; /* and what that uses is left alone */
    if (async.workers == 0)
        async.workers = 2;
    mock.driver = pthread_self();
    mock.options = *options;
    atomic_store(&mock.now_ns, MOCK_EPOCH_NS);
    mock.random = options->seed;
    mock.started = mock.killed = mock.calls = 0;
    int rc = prepare_tasks();
    return rc < 0 ? rc : runtime_start_in(&mock_world, &async);
}
