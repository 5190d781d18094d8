/* The runtime: how it starts and stops, and its timers. */
#include "core/async/future.h"
#include "core/async/loop.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

/* -- the runtime ------------------------------------------------------------------------------- */

static void note_thread(void *arg)
{
    *(pthread_t *)arg = pthread_self();
}

struct racer {
    pthread_barrier_t *start;
    int rc;
    pthread_t loop_thread;
};

static void *race_to_start(void *arg)
{
    struct racer *r = arg;

    pthread_barrier_wait(r->start);
    r->rc = async_start();
    on_loop(note_thread, &r->loop_thread);
    return NULL;
}

START_TEST(eight_threads_that_race_for_the_start_meet_on_one_loop)
{
    enum { RACERS = 8 };
    pthread_t threads[RACERS];
    struct racer racers[RACERS];
    pthread_barrier_t start;

    pthread_barrier_init(&start, NULL, RACERS);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.start = &start, .rc = -1};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race_to_start, &racers[i]), 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(racers[i].rc, 0);
        ck_assert(pthread_equal(racers[i].loop_thread, racers[0].loop_thread));
    }
    pthread_barrier_destroy(&start);
}
END_TEST

START_TEST(a_stopped_runtime_starts_again)
{
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(async_configure(&(struct async_options){.threads = 1}), 0);
        expect_ok(future_at(0));
        ck_assert_int_eq(async_configure(&(struct async_options){.threads = 2}), -EBUSY);
        ck_assert_int_eq(async_stop(), 0);
    }
    ck_assert_int_eq(async_stop(), 0);
}
END_TEST

/* _i: how many descriptors may still be opened. */
START_TEST(a_start_that_finds_no_descriptors_says_so_and_leaves_nothing_behind)
{
    struct rlimit before, tight;
    int next = dup(STDERR_FILENO);
    future *f;

    close(next);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = (struct rlimit){.rlim_cur = (rlim_t)(next + _i), .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
    ck_assert_int_eq(async_start(), -EMFILE);
    ck_assert_ptr_null(promise_new(&f));
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect_ok(future_at(0));
}
END_TEST

static void try_to_stop(void *arg)
{
    *(int *)arg = async_stop();
}

START_TEST(the_loop_cannot_stop_itself)
{
    int rc = 0;

    on_loop(try_to_stop, &rc);
    ck_assert_int_eq(rc, -EDEADLK);
}
END_TEST

/* -- time -------------------------------------------------------------------------------------- */

START_TEST(a_timer_never_fires_early)
{
    uint64_t at = clock_after_ms(clock_now_ns(), 3);
    future *f = future_at(at);

    expect_ok(f);
    ck_assert_uint_ge(clock_now_ns(), at);
}
END_TEST

enum { TIMERS = 200, EVERY_NTH = 3 };

struct row {
    struct timer timer[TIMERS];
    int fired[TIMERS], count;
    promise *end;
};

static struct row row;

static void note_fired(struct timer *timer)
{
    row.fired[row.count++] = (int)(timer - row.timer);
    if (timer == &row.timer[TIMERS - 1])
        row.end = promise_drop(row.end);
}

static void set_row(void *arg)
{
    (void)arg;
    for (int i = 0; i < TIMERS; i++) {
        int at = i * 77 % TIMERS; /* scrambled: 77 and 200 have no common factor */
        row.timer[at].fire = note_fired;
        ck_assert_int_eq(timer_set(&row.timer[at], loop_now_ns() + 1), 0);
    }
    for (int i = 0; i < TIMERS; i++) /* now each one moves */
        ck_assert_int_eq(timer_set(&row.timer[i], loop_now_ns() + 1 + (uint64_t)i * 1000), 0);
    for (int i = 0; i < TIMERS; i += EVERY_NTH)
        timer_clear(&row.timer[i]);
}

START_TEST(timers_fire_in_the_order_of_their_times)
{
    future *end;
    int next = 0;

    row.end = new_promise(&end);
    on_loop(set_row, NULL);
    expect(end, FUTURE_FAILED, -EOWNERDEAD);
    for (int i = 0; i < TIMERS; i++)
        if (i % EVERY_NTH != 0)
            ck_assert_int_eq(row.fired[next++], i);
    ck_assert_int_eq(row.count, next);
}
END_TEST

struct handed_over {
    atomic_bool waiting;
    future *_Atomic f;
};

static void cancel_what_is_handed_over(void *arg)
{
    struct handed_over *h = arg;
    future *f;

    atomic_store(&h->waiting, true);
    while (!(f = atomic_load(&h->f)))
        sched_yield();
    future_cancel(f);
}

static void *hand_over(void *arg)
{
    struct handed_over *h = arg;

    while (!atomic_load(&h->waiting))
        sched_yield();
    atomic_store(&h->f, future_at(CLOCK_NEVER));
    return NULL;
}

/* The loop, busy meanwhile, has not even heard of the timer when it cancels it. */
START_TEST(what_another_thread_posted_before_stays_before)
{
    struct handed_over h = {0};
    pthread_t other;

    pthread_create(&other, NULL, hand_over, &h);
    on_loop(cancel_what_is_handed_over, &h);
    pthread_join(other, NULL);
    expect(h.f, FUTURE_CANCELLED, -ECANCELED);
}
END_TEST

START_TEST(cancelling_a_timer_ends_it_at_once)
{
    future *f = future_at(CLOCK_NEVER);

    ck_assert_int_eq(future_cancel(f), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
}
END_TEST

START_TEST(a_timer_that_nobody_waits_for_ends_with_the_runtime)
{
    future *kept = future_at(CLOCK_NEVER);

    future_drop(future_at(CLOCK_NEVER));
    ck_assert_int_eq(async_stop(), 0);
    expect(kept, FUTURE_CANCELLED, -ECANCELED);
}
END_TEST

struct rearmed {
    struct timer timer;
    int fired;
    promise *end;
};

static void rearm(struct timer *timer)
{
    struct rearmed *r = (struct rearmed *)timer;

    if (++r->fired == 1000)
        r->end = promise_drop(r->end);
    else
        ck_assert_int_eq(timer_set(timer, 0), 0);
}

static void arm(void *arg)
{
    rearm(arg);
}

START_TEST(a_timer_set_again_for_the_past_does_not_starve_the_jobs)
{
    struct rearmed r = {.timer.fire = rearm};
    future *end;

    r.end = new_promise(&end);
    on_loop(arm, &r); /* comes back, though the timer keeps the loop busy */
    let_loop_turn();
    expect(end, FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_eq(r.fired, 1000);
}
END_TEST

/* -- descriptors ------------------------------------------------------------------------------- */

struct hang_up {
    int ends[2];
    promise *heard;
};

static void hear_hang_up(void *arg, int fd, uint32_t events)
{
    struct hang_up *h = arg;

    if (events & EPOLLHUP) {
        loop_forget(fd);
        promise_resolve(h->heard, NULL, NULL);
        promise_drop(h->heard);
    }
}

static void watch_for_hang_up(void *arg)
{
    struct hang_up *h = arg;

    ck_assert_int_eq(loop_watch(h->ends[0], EPOLLIN, hear_hang_up, h), 0);
}

START_TEST(a_hang_up_is_told_to_whoever_wants_anything)
{
    struct hang_up h;
    future *heard;

    h.heard = new_promise(&heard);
    ck_assert_int_eq(pipe2(h.ends, O_CLOEXEC), 0);
    on_loop(watch_for_hang_up, &h);
    close(h.ends[1]);
    expect_ok(heard);
    close(h.ends[0]);
}
END_TEST

/* -- turns ------------------------------------------------------------------------------------- */

enum { CROWD = 1000 };
static int crowd_done, crowd_done_at_timer; /* loop thread, then read when all have ended */

static int crowd_step(task *t, void *frame)
{
    uint64_t until = clock_now_ns() + NS_PER_MS / 50;

    (void)t;
    (void)frame;
    while (clock_now_ns() < until)
        ;
    crowd_done++;
    return TASK_FINISHED;
}

TASK(crowd_task, ON_LOOP, 0, .step = crowd_step);

static void note_crowd(struct timer *timer)
{
    (void)timer;
    crowd_done_at_timer = crowd_done;
}

static void start_crowd(void *arg)
{
    static struct timer soon = {.fire = note_crowd};
    future **f = arg;

    for (int i = 0; i < CROWD; i++)
        f[i] = task_start(&crowd_task, NULL);
    ck_assert_int_eq(timer_set(&soon, 0), 0);
}

START_TEST(a_crowd_of_ready_tasks_does_not_hold_up_the_timers)
{
    future *f[CROWD];

    crowd_done = 0;
    on_loop(start_crowd, f);
    for (int i = 0; i < CROWD; i++)
        expect_ok(f[i]);
    let_loop_turn();
    ck_assert_int_lt(crowd_done_at_timer, CROWD);
}
END_TEST

Suite *suite_runtime(void)
{
    Suite *suite = suite_create("runtime");
    TCase *runtime = tcase_create("runtime"), *timing = tcase_create("time");
    TCase *cases[] = {runtime, timing};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(runtime, eight_threads_that_race_for_the_start_meet_on_one_loop);
    tcase_add_test(runtime, a_stopped_runtime_starts_again);
    tcase_add_loop_test(runtime,
                        a_start_that_finds_no_descriptors_says_so_and_leaves_nothing_behind, 0, 2);
    tcase_add_test(runtime, the_loop_cannot_stop_itself);
    tcase_add_test(timing, a_timer_never_fires_early);
    tcase_add_test(timing, timers_fire_in_the_order_of_their_times);
    tcase_add_test(timing, cancelling_a_timer_ends_it_at_once);
    tcase_add_test(timing, what_another_thread_posted_before_stays_before);
    tcase_add_test(timing, a_hang_up_is_told_to_whoever_wants_anything);
    tcase_add_test(timing, a_timer_that_nobody_waits_for_ends_with_the_runtime);
    tcase_add_test(timing, a_timer_set_again_for_the_past_does_not_starve_the_jobs);
    tcase_add_test(timing, a_crowd_of_ready_tasks_does_not_hold_up_the_timers);
    return suite;
}
