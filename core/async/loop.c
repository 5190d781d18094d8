/*
 * One turn of the loop: run the jobs that were queued when the turn began, fire the timers that
 * are due, ask epoll (without waiting when there is more to do), call the watchers.
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
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 256 };

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

    struct job *first, **last; /* loop thread */
    _Atomic(struct job *) posted;
    atomic_bool asleep;

    struct timer **heap;
    size_t timers, heap_capacity;

    struct watch *watches;
    size_t watch_capacity;
} loop;

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
    if (atomic_load(&loop.asleep) && atomic_exchange(&loop.asleep, false)) {
        uint64_t one = 1;
        while (write(loop.wake, &one, sizeof one) < 0 && errno == EINTR)
            ;
    }
}

/* Runs what is queued now; what those jobs queue waits for the next turn: no job starves I/O. */
static void run_jobs(void)
{
    take_posted();

    struct job *job = loop.first;
    loop.first = NULL;
    loop.last = &loop.first;
    while (job) {
        struct job *next = job->next; /* running it may free or requeue it */
        job->run(job);
        job = next;
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
    uint64_t now = loop.now_ns;

    while (loop.timers > 0 && loop.heap[0]->at_ns <= now) {
        struct timer *timer = loop.heap[0];
        timer_clear(timer);
        timer->fire(timer);
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

int loop_watch(int fd, uint32_t events, watch_fn *fn, void *arg)
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
    else if (event->events & (w->wanted | EPOLLERR | EPOLLHUP))
        w->fn(w->arg, fd, event->events);
}

static int timeout_ms(void)
{
    if (loop.first || loop.stopping)
        return 0;
    if (loop.timers == 0)
        return -1;

    uint64_t at = loop.heap[0]->at_ns, now = clock_now_ns();
    if (at <= now)
        return 0;
    uint64_t ms = (at - now + NS_PER_MS - 1) / NS_PER_MS; /* never early */
    return ms > 3600 * 1000 ? 3600 * 1000 : (int)ms;
}

static void poll_events(void)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int timeout = timeout_ms();

    if (timeout != 0) {
        atomic_store(&loop.asleep, true);
        if (atomic_load(&loop.posted))
            timeout = 0;
    }
    int n = epoll_wait(loop.epoll, events, EVENTS_PER_TURN, timeout);
    atomic_store(&loop.asleep, false);

    loop.now_ns = clock_now_ns();
    for (int i = 0; i < n; i++)
        dispatch(&events[i]);
}

/* -- life -------------------------------------------------------------------------------------- */

static void *loop_main(void *arg)
{
    (void)arg;
    thread_role = ROLE_LOOP;
    while (!loop.stopping) {
        run_jobs();
        fire_timers();
        poll_events();
    }
    do { /* the last jobs' jobs, too */
        run_jobs();
        future_cancel_sleepers();
        take_posted();
    } while (loop.first);
    return NULL;
}

static void release(void)
{
    if (loop.wake >= 0)
        close(loop.wake);
    close(loop.epoll);
    free(loop.heap);
    free(loop.watches);
    loop.heap = NULL;
    loop.watches = NULL;
    loop.timers = loop.heap_capacity = loop.watch_capacity = 0;
}

int loop_start(void)
{
    loop.last = &loop.first;
    loop.stopping = false;
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop.epoll < 0)
        return -errno;
    loop.now_ns = clock_now_ns();
    loop.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int rc = loop.wake < 0 ? -errno : loop_watch(loop.wake, EPOLLIN, on_wake, NULL);
    if (rc == 0)
        rc = start_thread(&loop.thread, loop_main);
    if (rc < 0)
        release();
    return rc;
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
    pthread_join(loop.thread, NULL);
    release();
}
