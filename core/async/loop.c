/*
 * One turn of the loop: run jobs, round by round, until none is left or so many have run that
 * others should get their turn; fire the timers that are due; ask epoll (without waiting when there
 * is more to do); call the watchers.
 *
 * Jobs come from two places. The loop thread appends to a plain list. Other threads push on a
 * lock-free stack that is taken whole, once a turn, and reversed; they write to the eventfd only
 * when the loop may be asleep:
 *
 *     poster: push job ──▶ read `asleep`        loop: asleep = true ──▶ read stack ──▶ epoll_wait
 *
 * Both sides order their two steps (sequentially consistent), so one of them sees the other.
 */
#include "core/async/internal.h"
#include "core/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 256,
    JOBS_PER_TURN = 128, /* a system call a job would cost more than most jobs */
};

/* What is known of a descriptor, indexed by it. */
struct watch {
    watch_fn *fn;
    void *arg;
    uint32_t wanted;     /* what the owner wants to hear of; 0: nothing */
    uint32_t registered; /* what the kernel was told; 0: it is not in the set */
    uint32_t generation; /* tells events of a closed descriptor from those of its successor */
};

static struct {
    pthread_t thread;
    int epoll, wake;
    bool stopping; /* loop thread */
    uint64_t now_ns;

    uint64_t slow_ns, began_ns; /* 0: callbacks are not timed; when the present one began */
    const char *callback;       /* its name */

    struct job *first, **last; /* loop thread */
    _Atomic(struct job *) posted;
    atomic_bool asleep;

    struct timer **heap;
    size_t timers, heap_capacity;
    int alarm;         /* timerfd: ends the waiting for events */
    uint64_t alarm_ns; /* for when it is set; CLOCK_NEVER: it is not */

    struct watch *watches;
    size_t watch_capacity;
} loop;

/* -- slow callbacks ---------------------------------------------------------------------------- */

/* One ends when the next begins, mostly: the clock is read once for both. */
static void begin_callback(const char *name)
{
    loop.callback = name;
    if (loop.slow_ns && !loop.began_ns)
        loop.began_ns = clock_now_ns();
}

static void end_callback(void)
{
    if (!loop.slow_ns)
        return;

    uint64_t now = clock_now_ns(), took = now - loop.began_ns;
    loop.began_ns = now;
    if (took > loop.slow_ns && runtime_hooks()->slow_callback)
        runtime_hooks()->slow_callback(loop.callback, took);
}

void loop_callback_name(const char *name)
{
    loop.callback = name;
}

/* -- jobs -------------------------------------------------------------------------------------- */

bool loop_is_here(void)
{
    return thread_role == ROLE_LOOP;
}

static void append(struct job *job)
{
    job->next = NULL;
    *loop.last = job;
    loop.last = &job->next;
}

static void take_posted(void)
{
    if (!atomic_load_explicit(&loop.posted, memory_order_relaxed))
        return;

    struct job *newest = atomic_exchange(&loop.posted, NULL);
    struct job *oldest = NULL;
    while (newest) {
        struct job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct job *next = oldest->next;
        append(oldest);
        oldest = next;
    }
}

void loop_post(struct job *job)
{
    if (loop_is_here()) {
        take_posted(); /* what happened before this call stays before it */
        append(job);
        return;
    }
    job->next = atomic_load_explicit(&loop.posted, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&loop.posted, &job->next, job))
        ;
    loop_wake();
}

void loop_wake(void)
{
    uint64_t one = 1;

    if (atomic_load(&loop.asleep) && atomic_exchange(&loop.asleep, false))
        while (write(loop.wake, &one, sizeof one) < 0 && errno == EINTR)
            ;
}

/*
 * Runs what is queued now, but for what is more than `most`; what those jobs queue is for the next
 * round. Returns how many.
 */
static unsigned run_round(unsigned most)
{
    struct job *job = loop.first, **end = loop.last;
    unsigned n = 0;

    loop.first = NULL;
    loop.last = &loop.first;
    if (world()->order) {
        job = world()->order(job);
        most = UINT_MAX; /* such a world ends its turns itself */
    }
    while (job && n < most) {
        struct job *next = job->next; /* running it may free or requeue it */
        begin_callback("job");
        job->run(job);
        end_callback();
        job = next;
        n++;
    }
    if (job) { /* the rest stays in front of what came since */
        *end = loop.first;
        if (!loop.first)
            loop.last = end;
        loop.first = job;
    }
    return n;
}

/* Whether those that are due wait for the next turn, because this world wants it so. */
static bool turn_ends(void)
{
    return world()->turn_ends && world()->turn_ends();
}

static void run_jobs(void)
{
    unsigned n = 0;

    take_posted();
    while (loop.first && n < JOBS_PER_TURN) {
        n += run_round(JOBS_PER_TURN - n);
        if (turn_ends())
            break;
    }
}

static void on_wake(void *arg, int fd, uint32_t events)
{
    uint64_t wakes;

    (void)arg;
    (void)events;
    while (read(fd, &wakes, sizeof wakes) < 0 && errno == EINTR)
        ;
}

/* -- timers: a binary heap, earliest first ----------------------------------------------------- */

static void place(struct timer *timer, size_t at)
{
    loop.heap[at] = timer;
    timer->slot = at + 1;
}

static void sift(struct timer *timer, size_t at)
{
    while (at > 0 && loop.heap[(at - 1) / 2]->at_ns > timer->at_ns) {
        place(loop.heap[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= loop.timers)
            break;
        if (child + 1 < loop.timers && loop.heap[child + 1]->at_ns < loop.heap[child]->at_ns)
            child++;
        if (loop.heap[child]->at_ns >= timer->at_ns)
            break;
        place(loop.heap[child], at);
        at = child;
    }
    place(timer, at);
}

int timer_set(struct timer *timer, uint64_t at_ns)
{
    if (!loop_is_here())
        return -EPERM;
    if (timer->slot == 0) {
        if (loop.timers == loop.heap_capacity) {
            size_t capacity = loop.heap_capacity ? 2 * loop.heap_capacity : 64;
            struct timer **heap = realloc(loop.heap, capacity * sizeof *heap);
            if (!heap)
                return -ENOMEM;
            loop.heap = heap;
            loop.heap_capacity = capacity;
        }
        timer->slot = ++loop.timers;
    }
    /* Past the time of this turn: a timer that is set again and again for now starves nobody. */
    timer->at_ns = at_ns > loop.now_ns ? at_ns : loop.now_ns + 1;
    sift(timer, timer->slot - 1);
    return 0;
}

void timer_clear(struct timer *timer)
{
    if (timer->slot == 0)
        return;

    size_t at = timer->slot - 1;
    struct timer *last = loop.heap[--loop.timers];
    timer->slot = 0;
    if (last != timer)
        sift(last, at);
}

/* Fires what was due when the turn began; what these set for now waits for the next turn. */
static void fire_timers(void)
{
    struct timer *(*pick)(struct timer *const *heap, size_t n) = world()->pick_timer;
    uint64_t now = loop.now_ns;

    while (loop.timers > 0 && loop.heap[0]->at_ns <= now) {
        struct timer *timer = pick ? pick(loop.heap, loop.timers) : loop.heap[0];
        timer_clear(timer);
        begin_callback("timer");
        timer->fire(timer);
        end_callback();
        if (turn_ends())
            break;
    }
}

uint64_t loop_now_ns(void)
{
    return loop.now_ns;
}

/* -- file descriptors -------------------------------------------------------------------------- */

static int tell_kernel(int fd, struct watch *w, uint32_t events)
{
    if (w->registered == events)
        return 0;

    struct epoll_event event = {
        .events = events,
        .data.u64 = (uint64_t)w->generation << 32 | (uint32_t)fd,
    };
    int operation = events == 0 ? EPOLL_CTL_DEL : w->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(loop.epoll, operation, fd, &event) < 0)
        return -errno;
    w->registered = events;
    return 0;
}

static int watch(int fd, uint32_t events, watch_fn *fn, void *arg)
{
    if ((size_t)fd >= loop.watch_capacity) {
        size_t capacity = loop.watch_capacity ? loop.watch_capacity : 64;
        while (capacity <= (size_t)fd)
            capacity *= 2;
        struct watch *watches = realloc(loop.watches, capacity * sizeof *watches);
        if (!watches)
            return -ENOMEM;
        memset(watches + loop.watch_capacity, 0,
               (capacity - loop.watch_capacity) * sizeof *watches);
        loop.watches = watches;
        loop.watch_capacity = capacity;
    }

    struct watch *w = &loop.watches[fd];
    int rc = tell_kernel(fd, w, events);
    if (rc == 0) {
        w->fn = fn;
        w->arg = arg;
        w->wanted = events;
    }
    return rc;
}

int loop_watch(int fd, uint32_t events, watch_fn *fn, void *arg)
{
    return loop_is_here() ? watch(fd, events, fn, arg) : -EPERM;
}

void loop_unwatch(int fd)
{
    if ((size_t)fd < loop.watch_capacity)
        loop.watches[fd].wanted = 0;
}

void loop_forget(int fd)
{
    if ((size_t)fd >= loop.watch_capacity)
        return;

    struct watch *w = &loop.watches[fd];
    if (w->registered)
        tell_kernel(fd, w, 0); /* a duplicate of the descriptor would keep it in the set */
    *w = (struct watch){.generation = w->generation + 1};
}

static void dispatch(const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    struct watch *w = &loop.watches[fd];

    if (w->generation != event->data.u64 >> 32)
        return;
    /* Errors and hang-ups are always reported; they are for whoever wants anything. */
    if (w->wanted == 0)
        tell_kernel(fd, w, 0);
    else if (event->events & (w->wanted | EPOLLERR | EPOLLHUP)) {
        begin_callback("watch");
        w->fn(w->arg, fd, event->events);
        end_callback();
    }
}

/* How long there is nothing to do but to wait. */
static uint64_t wait_until_ns(void)
{
    if (loop.first || loop.stopping)
        return 0;
    return loop.timers > 0 ? loop.heap[0]->at_ns : CLOCK_NEVER;
}

/*
 * A time limit of epoll_wait is set up and taken back by the kernel at each call, though most end
 * before it. The alarm stays set: it is touched only when something is due before that.
 */
static void set_alarm(uint64_t at_ns)
{
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(at_ns / NS_PER_SEC),
                                         .tv_nsec = (long)(at_ns % NS_PER_SEC)}};

    timerfd_settime(loop.alarm, TFD_TIMER_ABSTIME, &at, NULL);
    loop.alarm_ns = at_ns;
}

/* Edge-triggered, so there is nothing to read. */
static void on_alarm(void *arg, int fd, uint32_t events)
{
    (void)arg;
    (void)fd;
    (void)events;
    loop.alarm_ns = CLOCK_NEVER;
}

int loop_poll(int epoll, struct epoll_event *events, int capacity, uint64_t until_ns)
{
    if (until_ns != 0 && until_ns < loop.alarm_ns) {
        if (until_ns <= clock_now_ns()) /* many a timer is set for now */
            until_ns = 0;
        else
            set_alarm(until_ns);
    }
    return epoll_wait(epoll, events, capacity, until_ns == 0 ? 0 : -1);
}

static void poll_events(void)
{
    struct epoll_event events[EVENTS_PER_TURN];
    uint64_t until = wait_until_ns();

    loop.began_ns = 0; /* waiting is no callback's fault */
    if (until != 0) {
        atomic_store(&loop.asleep, true);
        if (atomic_load(&loop.posted))
            until = 0;
    }
    int n = world()->poll(loop.epoll, events, EVENTS_PER_TURN, until);
    atomic_store(&loop.asleep, false);

    loop.now_ns = world()->now_ns();
    for (int i = 0; i < n; i++)
        dispatch(&events[i]);
}

/* -- life -------------------------------------------------------------------------------------- */

void loop_turn(void)
{
    run_jobs();
    fire_timers();
    poll_events();
}

static void *loop_main(void *arg)
{
    (void)arg;
    thread_role = ROLE_LOOP;
    while (!loop.stopping)
        loop_turn();
    do { /* the last jobs' jobs, too */
        run_jobs();
        take_posted();
    } while (loop.first);
    return NULL;
}

static void release(void)
{
    if (loop.alarm >= 0)
        close(loop.alarm);
    if (loop.wake >= 0)
        close(loop.wake);
    close(loop.epoll);
    free(loop.heap);
    free(loop.watches);
    loop.heap = NULL;
    loop.watches = NULL;
    loop.timers = loop.heap_capacity = loop.watch_capacity = 0;
}

int loop_start(uint64_t slow_callback_ns)
{
    loop.last = &loop.first;
    loop.stopping = false;
    loop.slow_ns = slow_callback_ns;
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop.epoll < 0)
        return -errno;
    loop.now_ns = world()->now_ns();
    loop.alarm_ns = CLOCK_NEVER;
    loop.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop.alarm = loop.wake < 0 ? -1 : timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int rc = loop.alarm < 0 ? -errno : 0;
    if (rc == 0)
        rc = watch(loop.wake, EPOLLIN, on_wake, NULL);
    if (rc == 0)
        rc = watch(loop.alarm, EPOLLIN | EPOLLET, on_alarm, NULL);
    if (rc == 0 && !world()->wait)
        rc = start_thread(&loop.thread, loop_main, NULL);
    if (rc < 0)
        release();
    return rc;
}

/* The end of a loop without a thread. */
static void run_here(void)
{
    enum thread_role before = thread_role;

    loop_main(NULL);
    thread_role = before;
}

static void set_stopping(struct job *job)
{
    (void)job;
    loop.stopping = true;
}

void loop_stop(void)
{
    struct job stop = {.run = set_stopping};

    loop_post(&stop);
    if (world()->wait)
        run_here();
    else
        pthread_join(loop.thread, NULL);
    release();
}
