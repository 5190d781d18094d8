/* The mock runtime does what mock.h says: time, order, fake workers. */
#include "core/async/mock.h"

#include "core/async/async.h"
#include "core/async/loop.h"
#include "core/async/task_table.h"
#include "core/async/wire.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/player.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SEEDS = 100 };

static void start(uint64_t seed)
{
    ck_assert_int_eq(mock_start(&(struct mock_options){.seed = seed, .async = play_options}), 0);
}

/* What happened, in order. */
static struct {
    int what[64];
    uint64_t when[64];
    size_t length;
} diary;

static void note(int what)
{
    ck_assert_uint_lt(diary.length, 64);
    diary.what[diary.length] = what;
    diary.when[diary.length++] = async_now_ns() - MOCK_EPOCH_NS;
}

static void expect_diary(const int *what, size_t n)
{
    ck_assert_uint_eq(diary.length, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(diary.what[i], what[i]);
}

static void note_done(future *done, promise *next, void *arg)
{
    (void)done;
    note(*(const int *)arg);
    promise_resolve(next, NULL, NULL);
    promise_drop(next);
}

static int numbers[64];

/* A continuation of `f`, which it consumes, that notes `number`. */
static void note_after(future *f, int number)
{
    numbers[number] = number;
    future_drop(future_then(f, EXECUTOR_LOOP, note_done, &numbers[number]));
    future_drop(f);
}

struct noter {
    int number;
};

static int noter_step(task *t, void *frame)
{
    (void)t;
    note(((struct noter *)frame)->number);
    return TASK_FINISHED;
}

TASK(noter_task, ON_LOOP, sizeof(struct noter), .step = noter_step);

static void start_noter(int number)
{
    future_drop(task_start(&noter_task, &(struct noter){number}));
}

/* -- who turns the loop ------------------------------------------------------------------------ */

START_TEST(the_loop_turns_only_inside_a_wait)
{
    future *f = task_start(&noter_task, &(struct noter){1});

    for (int i = 0; i < 1000; i++)
        sched_yield();
    ck_assert_uint_eq(diary.length, 0);
    ck_assert(!future_settled(f));
    ck_assert_int_eq(mock_turn(), 0);
    ck_assert_uint_eq(diary.length, 1);
    ck_assert(future_settled(f));
    future_drop(f);
    start_noter(2);
    ck_assert_int_eq(async_stop(), 0);
    ck_assert_uint_eq(diary.length, 1); /* it was cancelled, not run */
}
END_TEST

struct inside {
    future *pending;
    int wait, turn, advance, stop;
};

static void try_inside(future *done, promise *next, void *arg)
{
    struct inside *in = arg;

    (void)done;
    in->wait = future_wait(in->pending, CLOCK_NEVER);
    in->turn = mock_turn();
    in->advance = mock_advance(1);
    in->stop = async_stop();
    promise_drop(next);
}

/* _i: on the driving thread inside the loop, and on a pool thread. */
START_TEST(inside_the_loop_and_on_threads_nobody_turns_it)
{
    struct inside in = {0};
    promise *p = new_promise(&in.pending);
    future *deadline = future_at(at(5));

    promise_drop(p); /* settled: a wait answers everywhere */
    expect(future_then(deadline, _i ? EXECUTOR_THREAD : EXECUTOR_LOOP, try_inside, &in),
           FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_eq(in.wait, 0);
    ck_assert_int_eq(in.turn, -EDEADLK);
    ck_assert_int_eq(in.advance, -EDEADLK);
    ck_assert_int_eq(in.stop, -EDEADLK);
    expect_now(5);
    future_drop(deadline);
    future_drop(in.pending);
}
END_TEST

START_TEST(a_pending_future_is_refused_inside_the_loop)
{
    struct inside in = {0};
    promise *p = new_promise(&in.pending);

    expect(future_then(future_done(), EXECUTOR_LOOP, try_inside, &in), FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_eq(in.wait, -EDEADLK);
    promise_drop(p);
    future_drop(in.pending);
}
END_TEST

struct life {
    int rc;
    uint64_t now;
};

static void *live_elsewhere(void *arg)
{
    struct life *life = arg;

    life->rc = mock_start(&(struct mock_options){.async = play_options});
    if (life->rc == 0)
        life->rc = mock_advance(7);
    life->now = async_now_ns();
    if (life->rc == 0)
        life->rc = async_stop();
    return NULL;
}

START_TEST(the_thread_that_starts_it_turns_it)
{
    struct life life = {0};
    pthread_t thread;

    ck_assert_int_eq(async_stop(), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, live_elsewhere, &life), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(life.rc, 0);
    ck_assert_uint_eq(life.now, at(7));
    start(0);
    ck_assert_int_eq(mock_advance(3), 0);
    expect_now(3);
}
END_TEST

struct elsewhere {
    future *f;
    uint64_t deadline_ns;
    int turn, advance, wait;
    atomic_bool done;
};

static void *wait_elsewhere(void *arg)
{
    struct elsewhere *e = arg;

    e->turn = mock_turn();
    e->advance = mock_advance(1);
    e->wait = future_wait(e->f, e->deadline_ns);
    e->done = true;
    return NULL;
}

/* _i: until the future is settled, and until the deadline, which comes sooner. */
START_TEST(another_thread_waits_for_the_virtual_time)
{
    struct elsewhere e = {.f = future_at(at(2 * NS_PER_SEC)),
                          .deadline_ns = _i ? at(NS_PER_SEC) : CLOCK_NEVER};
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, wait_elsewhere, &e), 0);
    for (int i = 0; i < 1000; i++) /* it shall be there already, mostly */
        sched_yield();
    mock_advance(_i ? NS_PER_SEC : 2 * NS_PER_SEC);
    while (!e.done)
        mock_advance(1);
    pthread_join(thread, NULL);
    ck_assert_int_eq(e.turn, -EDEADLK);
    ck_assert_int_eq(e.advance, -EDEADLK);
    ck_assert_int_eq(e.wait, _i ? -ETIMEDOUT : 0);
    future_cancel(e.f);
    future_drop(e.f);
}
END_TEST

static size_t mood_in_job;

static void look_at_mood(struct job *job)
{
    (void)job;
    mood_in_job = context_get(play_key).len;
}

START_TEST(the_context_of_the_driving_thread_is_not_the_loops)
{
    struct job job = {.run = look_at_mood};

    mood_in_job = 99;
    ck_assert_int_eq(context_set(play_key, BYTES("good")), 0);
    loop_post(&job);
    mock_turn();
    ck_assert_uint_eq(mood_in_job, 0);
    ck_assert(bytes_equal(context_get(play_key), BYTES("good")));
    ck_assert_int_eq(context_set(play_key, BYTES("")), 0);
}
END_TEST

/* -- time -------------------------------------------------------------------------------------- */

START_TEST(the_time_begins_at_the_epoch_and_jumps_to_each_timer)
{
    static const uint64_t times[] = {20 * NS_PER_SEC, 5, 1, 3};

    expect_now(0);
    for (int i = 0; i < 4; i++)
        note_after(future_at(at(times[i])), i);
    mock_turn();
    expect_now(0);
    expect_ok(future_at(at(times[0])));
    expect_now(times[0]);
    mock_turn();
    expect_diary((const int[]){2, 3, 1, 0}, 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(diary.when[i], times[diary.what[i]]);
}
END_TEST

static void next_link(future *done, promise *next, void *arg)
{
    int *left = arg;

    (void)done;
    promise_drop(next);
    if (--*left > 0)
        future_drop(future_then(future_done(), EXECUTOR_LOOP, next_link, left));
    else
        note(1);
}

START_TEST(time_stands_still_until_nothing_else_can_happen)
{
    int left = 10000;

    note_after(future_at(at(1)), 2);
    future_drop(future_then(future_done(), EXECUTOR_LOOP, next_link, &left));
    mock_advance(1);
    expect_diary((const int[]){1, 2}, 2);
    ck_assert_uint_eq(diary.when[0], 0);
    ck_assert_uint_eq(diary.when[1], 1);
}
END_TEST

static void put_away(void *arg, int fd, uint32_t events)
{
    int *times = arg;
    eventfd_t value;

    (void)events;
    eventfd_read(fd, &value);
    note(3);
    if (--*times > 0)
        eventfd_write(fd, 1);
    else
        loop_unwatch(fd);
}

struct watched {
    int fd, times;
    struct job job;
};

static void watch_it(struct job *job)
{
    struct watched *w = CONTAINER_OF(job, struct watched, job);

    ck_assert_int_eq(loop_watch(w->fd, EPOLLIN, put_away, &w->times), 0);
}

static void forget_it(struct job *job)
{
    loop_forget(CONTAINER_OF(job, struct watched, job)->fd);
}

START_TEST(a_ready_descriptor_comes_before_the_time)
{
    struct watched w = {.fd = eventfd(1, EFD_CLOEXEC), .times = 5, .job.run = watch_it};

    note_after(future_at(at(1)), 2);
    loop_post(&w.job);
    mock_advance(1);
    expect_diary((const int[]){3, 3, 3, 3, 3, 2}, 6);
    ck_assert_uint_eq(diary.when[4], 0);
    w.job.run = forget_it;
    loop_post(&w.job);
    mock_turn();
    close(w.fd);
}
END_TEST

START_TEST(advancing_stops_at_each_timer_and_moves_no_further_than_it_was_told)
{
    for (int i = 0; i < 10; i++)
        note_after(future_at(at(10 * (uint64_t)i + 10)), i);
    ck_assert_int_eq(mock_advance(49), 0);
    expect_now(49);
    ck_assert_uint_eq(diary.length, 4);
    ck_assert_int_eq(mock_advance(1), 0);
    expect_now(50);
    ck_assert_uint_eq(diary.length, 5);
    ck_assert_int_eq(mock_advance(500), 0);
    expect_now(550);
    ck_assert_uint_eq(diary.length, 10);
    for (size_t i = 0; i < 10; i++)
        ck_assert_uint_eq(diary.when[i], 10 * i + 10);
}
END_TEST

START_TEST(a_timer_for_now_or_the_past_is_due_a_nanosecond_later)
{
    mock_advance(10);
    expect_ok(future_at(0));
    expect_now(11);
    expect_ok(future_at(at(11)));
    expect_now(12);
}
END_TEST

/* _i: whether the future is settled before, at, or after the deadline. */
START_TEST(a_wait_ends_at_its_deadline_or_when_the_future_is_settled)
{
    future *f = future_at(at(99 + (uint64_t)_i));
    int rc = future_wait(f, at(100));

    ck_assert_int_eq(rc, _i < 2 ? 0 : -ETIMEDOUT);
    expect_now(_i < 1 ? 99 : 100);
    ck_assert_int_eq(future_settled(f), _i < 2);
    ck_assert_int_eq(future_wait(f, 0), rc); /* and a deadline in the past is none that waits */
    expect_now(_i < 1 ? 99 : 100);
    expect_ok(f);
    expect_now(99 + (uint64_t)_i);
}
END_TEST

START_TEST(a_wait_that_nothing_can_end_is_refused)
{
    future *f;
    promise *p = new_promise(&f);

    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), -EDEADLK);
    expect_now(0);
    note_after(future_at(at(10)), 1);
    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), -EDEADLK);
    expect_now(10); /* not before the last timer */
    ck_assert_int_eq(future_wait(f, at(30)), -ETIMEDOUT);
    expect_now(30);
    promise_drop(p);
    expect(f, FUTURE_FAILED, -EOWNERDEAD);
}
END_TEST

/* -- time and threads -------------------------------------------------------------------------- */

struct busy {
    uint64_t *ret_before, *ret_after;
};

/* Takes its time, in which a clock that does not wait for it would go on. */
static void be_busy(task *t, void *frame)
{
    struct busy *b = frame;

    (void)t;
    *b->ret_before = async_now_ns();
    for (int i = 0; i < 2000; i++)
        sched_yield();
    *b->ret_after = async_now_ns();
}

TASK(busy_task, ON_THREAD, sizeof(struct busy), .run = be_busy);

START_TEST(time_never_moves_while_a_task_is_on_a_thread)
{
    enum { TASKS = 5 };
    uint64_t before[TASKS], after[TASKS];

    note_after(future_at(at(1)), 1);
    for (int i = 0; i < TASKS; i++) /* more than threads: the queued ones count, too */
        future_drop(task_start(&busy_task, &(struct busy){&before[i], &after[i]}));
    mock_advance(1);
    for (int i = 0; i < TASKS; i++) {
        ck_assert_uint_eq(before[i], at(0));
        ck_assert_uint_eq(after[i], at(0));
    }
    expect_diary((const int[]){1}, 1);
}
END_TEST

static atomic_ulong seen_on_thread;

static void look_at_clock(future *done, promise *next, void *arg)
{
    (void)done;
    (void)arg;
    for (int i = 0; i < 2000; i++)
        sched_yield();
    seen_on_thread = async_now_ns();
    promise_drop(next);
}

START_TEST(time_never_moves_while_a_continuation_is_on_a_thread)
{
    future *timer = future_at(at(5)), *later = future_at(at(6));

    future_drop(future_then(timer, EXECUTOR_THREAD, look_at_clock, NULL));
    expect_ok(later);
    ck_assert_uint_eq(seen_on_thread, at(5));
    future_drop(timer);
}
END_TEST

struct waiting {
    uint64_t settle_ns, deadline_ns;
    uint64_t *ret_end;
    int *ret_rc;
    bool *ret_settled; /* after a second wait */
};

static void wait_on_thread(task *t, void *frame)
{
    struct waiting *w = frame;
    future *f = future_at(w->settle_ns);

    (void)t;
    *w->ret_rc = future_wait(f, w->deadline_ns);
    *w->ret_end = async_now_ns();
    *w->ret_settled = future_wait(f, CLOCK_NEVER) == 0 && future_ok(f);
    future_drop(f);
}

TASK(waiting_task, ON_THREAD, sizeof(struct waiting), .run = wait_on_thread);

/* _i: as above. A thread that is blocked holds up nothing, and gives up by the virtual clock. */
START_TEST(a_pool_thread_waits_in_virtual_time)
{
    uint64_t end = 0, deadline = at(20 * NS_PER_SEC);
    int rc = 1;
    bool settled = false;

    expect_ok(task_start(&waiting_task, &(struct waiting){deadline - 1 + (uint64_t)_i, deadline,
                                                          &end, &rc, &settled}));
    if (_i != 1) /* at the same ns the thread may look before the loop has settled it, or after */
        ck_assert_int_eq(rc, _i == 0 ? 0 : -ETIMEDOUT);
    ck_assert_uint_eq(end, _i == 0 ? deadline - 1 : deadline);
    ck_assert(settled);
    expect_now(end - MOCK_EPOCH_NS + (_i == 2));
}
END_TEST

START_TEST(a_pool_thread_that_waits_until_the_past_gives_up_at_once)
{
    uint64_t end = 0;
    int rc = 1;
    bool settled = false;

    mock_advance(10);
    expect_ok(task_start(&waiting_task, &(struct waiting){at(20), at(10), &end, &rc, &settled}));
    ck_assert_int_eq(rc, -ETIMEDOUT);
    ck_assert_uint_eq(end, at(10));
    ck_assert(settled);
}
END_TEST

static void wait_for_given(task *t, void *frame)
{
    task_fail(t, future_wait(*(future **)frame, CLOCK_NEVER) == 0 ? -EIO : -EXDEV, NULL, NULL);
}

TASK(wait_task, ON_THREAD, sizeof(future *), .run = wait_for_given);

START_TEST(a_blocked_thread_is_nothing_that_could_end_a_wait)
{
    future *f;
    promise *p = new_promise(&f);
    future *thread = task_start(&wait_task, &f);

    ck_assert_int_eq(future_wait(thread, CLOCK_NEVER), -EDEADLK);
    promise_resolve(p, NULL, NULL);
    promise_drop(p);
    expect(thread, FUTURE_FAILED, -EIO);
    future_drop(f);
}
END_TEST

/* Over many rounds: what is settled just as a thread is about to block for it. */
START_TEST(time_does_not_slip_by_a_thread_that_was_just_woken)
{
    enum { ROUNDS = SANITIZED_THREAD ? 300 : 2000 };

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t end = 0, now = async_now_ns();
        int rc = 1;
        bool settled = false;
        future *later = future_at(now + 10);
        future *f = task_start(&waiting_task, &(struct waiting){now + 1 + (uint64_t)(i % 3),
                                                                CLOCK_NEVER, &end, &rc, &settled});
        expect_ok(f);
        ck_assert_uint_eq(end, now + 1 + (uint64_t)(i % 3));
        expect_ok(later);
    }
}
END_TEST

/* -- order ------------------------------------------------------------------------------------- */

enum { MANY = 8 };

static void make_tasks(void)
{
    for (int i = 0; i < MANY; i++)
        start_noter(i);
}

static void make_continuations(void)
{
    for (int i = 0; i < MANY; i++)
        note_after(future_done(), i);
}

struct note_timer {
    struct timer timer;
    int number;
} note_timers[MANY];

static void note_timer(struct timer *timer)
{
    note(CONTAINER_OF(timer, struct note_timer, timer)->number);
}

static void set_timers(struct job *job)
{
    (void)job;
    for (int i = 0; i < MANY; i++) {
        note_timers[i] = (struct note_timer){.timer.fire = note_timer, .number = i};
        ck_assert_int_eq(timer_set(&note_timers[i].timer, at(1)), 0);
    }
}

static struct job set_timers_job;

static void make_timers(void)
{
    set_timers_job.run = set_timers;
    loop_post(&set_timers_job);
}

static int event_fds[MANY];

static void note_event(void *arg, int fd, uint32_t events)
{
    (void)events;
    note((int)((int *)arg - event_fds));
    loop_forget(fd);
    close(fd);
}

static void watch_events(struct job *job)
{
    (void)job;
    for (int i = 0; i < MANY; i++) {
        event_fds[i] = eventfd(1, EFD_CLOEXEC);
        ck_assert_int_eq(loop_watch(event_fds[i], EPOLLIN, note_event, &event_fds[i]), 0);
    }
}

static struct job watch_events_job;

static void make_events(void)
{
    watch_events_job.run = watch_events;
    loop_post(&watch_events_job);
}

static void (*const makers[])(void) = {make_tasks, make_continuations, make_timers, make_events};

/* The order in which MANY things that are ready at once come, as one number. */
static uint64_t order_of(void (*make)(void), uint64_t seed)
{
    uint64_t order = 0;

    diary.length = 0;
    start(seed);
    make();
    mock_advance(1);
    ck_assert_uint_eq(diary.length, MANY);
    for (int i = 0; i < MANY; i++)
        order = order * MANY + (uint64_t)diary.what[i];
    ck_assert_int_eq(async_stop(), 0);
    return order;
}

/* _i: tasks, continuations, timers, descriptors. */
START_TEST(the_same_seed_gives_the_same_order_and_another_another)
{
    uint64_t orders[SEEDS];
    bool before[MANY][MANY] = {0};

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        orders[seed] = order_of(makers[_i], seed);
        for (int i = 0; i < MANY && seed > 0; i++)
            for (int j = i + 1; j < MANY; j++)
                before[diary.what[i]][diary.what[j]] = true;
    }
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        ck_assert_uint_eq(order_of(makers[_i], seed), orders[seed]);
    size_t same = 0;
    for (size_t i = 1; i < SEEDS; i++)
        for (size_t j = 1; j < i; j++)
            same += orders[i] == orders[j];
    ck_assert_uint_lt(same, 4);    /* 8! orders, 99 seeds */
    for (int i = 0; i < MANY; i++) /* of two, each may be the first */
        for (int j = 0; j < MANY; j++)
            ck_assert(i == j || before[i][j]);
}
END_TEST

/* _i: tasks, continuations. */
START_TEST(seed_0_leaves_all_in_order)
{
    uint64_t in_order = 0;

    for (uint64_t i = 0; i < MANY; i++)
        in_order = in_order * MANY + i;
    ck_assert_uint_eq(order_of(makers[_i], 0), in_order);
}
END_TEST

static void note_in_order(struct job *job);

static struct note_job {
    struct job job;
    int number;
} plain_jobs[MANY];

static void note_in_order(struct job *job)
{
    note(CONTAINER_OF(job, struct note_job, job)->number);
}

START_TEST(jobs_that_are_neither_tasks_nor_continuations_keep_their_order)
{
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        int last = -1;
        size_t tasks = 0;

        diary.length = 0;
        start(seed);
        for (int i = 0; i < MANY; i++) {
            plain_jobs[i] = (struct note_job){.job.run = note_in_order, .number = i};
            loop_post(&plain_jobs[i].job);
            start_noter(MANY + i);
        }
        mock_turn();
        ck_assert_uint_eq(diary.length, (size_t)2 * MANY);
        for (size_t i = 0; i < (size_t)2 * MANY; i++) {
            tasks += diary.what[i] >= MANY;
            if (diary.what[i] >= MANY)
                continue;
            ck_assert_int_eq(diary.what[i], last + 1);
            last = diary.what[i];
        }
        ck_assert_uint_eq(tasks, MANY);
        ck_assert_int_eq(async_stop(), 0);
    }
}
END_TEST

/* A chain of jobs and a descriptor: does the descriptor come before the chain has ended? */
START_TEST(descriptors_come_between_jobs_at_times)
{
    size_t between = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        int left = 4;
        struct watched w = {.fd = eventfd(1, EFD_CLOEXEC), .times = 1, .job.run = watch_it};

        diary.length = 0;
        start(seed);
        loop_post(&w.job);
        future_drop(future_then(future_done(), EXECUTOR_LOOP, next_link, &left));
        mock_turn();
        ck_assert_uint_eq(diary.length, 2);
        if (diary.what[0] == 3)
            between++;
        ck_assert(seed > 0 || between == 0);
        w.job.run = forget_it;
        loop_post(&w.job);
        mock_turn();
        close(w.fd);
        ck_assert_int_eq(async_stop(), 0);
    }
    ck_assert_uint_gt(between, 0);
}
END_TEST

/* -- fake workers ------------------------------------------------------------------------------ */

static void begin(uint64_t seed, uint64_t kill_ns, const struct mock_act *acts, size_t count)
{
    play_with(&(struct mock_options){.seed = seed, .kill_ns = kill_ns}, acts, count);
}

static void play_setup(void)
{
    async_setup();
    memset(&play, 0, sizeof play);
}

START_TEST(a_fake_worker_answers_with_the_tasks_own_serve)
{
    begin(0, 0, NULL, 0);
    ck_assert_int_eq(context_set(play_key, BYTES("good")), 0);
    future *f = start_double(double_soon, 21);
    ck_assert_int_eq(context_set(play_key, BYTES("")), 0);
    expect_double(f, 21);
    expect_now(0);
    ck_assert_uint_eq(play.serves, 1);
    ck_assert_uint_eq(play.drops, 1);
    ck_assert_uint_eq(play.served_deadline_ns, at(100 * NS_PER_MS));
    ck_assert(bytes_equal(play.served_context, BYTES("good")));
    ck_assert_str_eq(play.told.task, "double_soon_task");
    ck_assert_uint_lt(play.told.worker, PLAY_STRENGTH);
    ck_assert_uint_eq(play.told.nth, 0);
    ck_assert_uint_eq(play.told.id, 1);
    ck_assert_uint_eq(play.told.deadline_ns, at(100 * NS_PER_MS));
    ck_assert_uint_eq(play.told.request.len, sizeof(uint32_t));
    ck_assert_int_eq(play.request[0], 21);
    expect_double(start_double(double_plain, 4), 4);
    ck_assert_uint_eq(play.told.nth, 1);
    ck_assert_uint_eq(play.told.id, 2);
    ck_assert_uint_eq(play.told.deadline_ns, CLOCK_NEVER);
    ck_assert_uint_eq(play.served_context.len, 0);
    ck_assert_uint_eq(mock_workers_started(), PLAY_STRENGTH);
    expect_strength();
}
END_TEST

START_TEST(without_a_player_every_call_is_answered_at_once)
{
    start(0);
    for (uint32_t i = 0; i < 10; i++)
        expect_double(start_double(double_plain, i), i);
    expect_now(0);
    ck_assert_uint_eq(play.serves, 10);
}
END_TEST

/* What becomes of a call, and of the pool. */
struct deed_case {
    enum mock_deed deed;
    int plain, again; /* errors of a task that is not idempotent, and of one that is */
    unsigned plain_calls, again_calls;
    int lost; /* of the plain one */
    unsigned killed;
};

static const struct deed_case deed_cases[] = {
    {MOCK_ANSWER, 0, 0, 1, 1, 0, 0},           {MOCK_LIE, -EBADMSG, -EBADMSG, 1, 1, 1, 1},
    {MOCK_CRASH, -EOWNERDEAD, 0, 1, 2, 1, 0},  {MOCK_CRASH_UNREAD, 0, 0, 2, 2, 1, 0},
    {MOCK_ANSWER_AND_CRASH, 0, 0, 1, 1, 1, 0}, {MOCK_KILLED, -EOWNERDEAD, 0, 1, 2, 1, 0},
};

/* _i: which deed, at once or later; the call after it is answered. */
START_TEST(a_fake_worker_does_what_it_is_told)
{
    const struct deed_case *c = &deed_cases[_i / 2];
    uint64_t after_ns = _i % 2 ? 7 : 0;
    struct mock_act acts[] = {{c->deed, after_ns, BYTES("a lie")}, {.deed = MOCK_ANSWER}};

    for (uint64_t seed = 0; seed < SEEDS / 2; seed++) {
        begin(seed, 0, acts, 2);
        expect_error(start_double(double_plain, 3), c->plain);
        expect_now(after_ns);
        ck_assert_uint_eq(play.calls, c->plain_calls);
        expect_strength();
        ck_assert_int_eq(async_stats().workers_lost, c->lost);
        ck_assert_uint_eq(mock_workers_killed(), c->killed);
        ck_assert_uint_eq(mock_workers_started(), PLAY_STRENGTH + (unsigned)c->lost);
        ck_assert_int_eq(async_stop(), 0);

        begin(seed, 0, acts, 2);
        expect_error(start_double(double_again, 3), c->again);
        ck_assert_uint_eq(play.calls, c->again_calls);
        ck_assert_uint_eq(play.drops, 1);
        expect_now(after_ns);
        expect_strength();
        ck_assert_int_eq(async_stop(), 0);
    }
}
END_TEST

START_TEST(a_worker_that_hangs_is_killed_at_the_deadline_and_the_grace)
{
    begin(0, 0, (const struct mock_act[]){{.deed = MOCK_HANG}}, 1);
    expect(start_double(double_soon, 1), FUTURE_FAILED, -ETIMEDOUT);
    expect_now((100 + 250) * NS_PER_MS);
    ck_assert_uint_eq(mock_workers_killed(), 1);
    ck_assert_uint_eq(play.serves, 0);
    future *f = start_double(double_plain, 1); /* which has no deadline */
    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), -EDEADLK);
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect_now((100 + 250) * NS_PER_MS);
    expect_strength();
}
END_TEST

/* _i: whether its answer, on its way when the kill comes, is sent before the worker is dead. */
START_TEST(a_worker_goes_on_until_its_kill_is_there)
{
    uint64_t kill_ns = _i ? 10 : 4;

    begin(0, kill_ns, (const struct mock_act[]){{MOCK_ANSWER, 10, BYTES("")}}, 1);
    future *f = start_double(double_plain, 5);
    mock_advance(5);
    future_cancel(f);
    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
    ck_assert_int_eq(future_error(f), _i ? 0 : -ECANCELED);
    expect_now(_i ? 10 : 9);
    ck_assert_uint_eq(play.serves, (unsigned)_i);
    ck_assert_uint_eq(mock_workers_killed(), 1);
    mock_advance(20);
    ck_assert_int_eq(async_stats().workers_lost, 1);
    expect_strength();
    future_drop(f);
}
END_TEST

START_TEST(stopping_does_not_wait_for_a_worker_that_is_about_to_die)
{
    begin(0, NS_PER_SEC, (const struct mock_act[]){{.deed = MOCK_HANG}}, 1);
    future *f = start_double(double_plain, 5);
    mock_turn();
    future_cancel(f);
    mock_turn();
    ck_assert(!future_settled(f)); /* it has not been reaped */
    ck_assert_int_eq(async_stop(), 0);
    ck_assert_int_eq(future_state(f), FUTURE_CANCELLED);
    future_drop(f);
}
END_TEST

/* -- fake workers that begin badly ------------------------------------------------------------- */

static void let_starts_fail(enum mock_birth how, size_t n)
{
    for (size_t i = 0; i < n; i++)
        play.births[i] = how;
}

/* _i: they exit before they say hello; they cannot be started. */
START_TEST(starts_that_fail_are_tried_again_after_twice_as_long)
{
    enum { TRIES = 14 };
    const uint64_t last = 5000 * NS_PER_MS;

    let_starts_fail(_i ? MOCK_UNBORN : MOCK_STILLBORN, TRIES);
    begin(0, 0, NULL, 0);
    expect(start_double(double_plain, 1), FUTURE_FAILED, -ECHILD);
    expect(start_double(double_again, 1), FUTURE_FAILED, -ECHILD); /* and now at once */
    ck_assert_int_eq(async_counts().workers, 0);
    mock_advance(100 * NS_PER_SEC);
    ck_assert_uint_gt(play.starts, TRIES);
    ck_assert_uint_eq(mock_workers_started(), play.starts);
    size_t first = _i ? 1 : PLAY_STRENGTH; /* those before were tried together */
    for (size_t i = first + 1; i < TRIES; i++) {
        uint64_t before = play.born_ns[i - 1] - play.born_ns[i - 2];
        uint64_t wait = play.born_ns[i] - play.born_ns[i - 1];
        if (i > first + 1 || !_i)
            ck_assert_uint_ge(wait, before);
        ck_assert_uint_le(wait, last);
        if (i > first + 1)
            ck_assert_uint_eq(wait, 2 * before < last ? 2 * before : last);
    }
    ck_assert_uint_eq(play.born_ns[TRIES - 1] - play.born_ns[TRIES - 2], last);
    expect_double(start_double(double_plain, 8), 8); /* those after them are born well */
    expect_strength();
}
END_TEST

START_TEST(a_call_waits_through_a_few_starts_that_fail)
{
    let_starts_fail(MOCK_STILLBORN, PLAY_STRENGTH);
    begin(0, 0, NULL, 0);
    expect_double(start_double(double_plain, 8), 8);
    expect_now(20 * NS_PER_MS);
    expect_strength();
}
END_TEST

START_TEST(a_mute_worker_is_killed_when_its_start_takes_too_long)
{
    let_starts_fail(MOCK_MUTE, 64);
    begin(0, 0, NULL, 0);
    future *f = start_double(double_plain, 1);
    ck_assert_int_eq(mock_advance(10 * NS_PER_SEC - 1), 0);
    ck_assert_uint_eq(mock_workers_killed(), 0);
    mock_advance(1);
    ck_assert_uint_eq(mock_workers_killed(), PLAY_STRENGTH);
    ck_assert(!future_settled(f));
    expect(f, FUTURE_FAILED, -ECHILD);
    ck_assert_uint_eq(play.calls, 0);
}
END_TEST

START_TEST(a_mute_worker_serves_once_it_has_said_hello)
{
    let_starts_fail(MOCK_MUTE, 64);
    begin(0, 0, NULL, 0);
    ck_assert(!mock_worker_hello(0)); /* nobody has needed one */
    future *f = start_double(double_plain, 6);
    mock_advance(NS_PER_SEC);
    ck_assert_uint_eq(play.calls, 0);
    ck_assert(mock_worker_hello(1));
    mock_turn();
    ck_assert(future_settled(f));
    ck_assert_uint_eq(play.told.worker, 1);
    expect_double(f, 6);
    expect_now(NS_PER_SEC);
}
END_TEST

static const uint32_t versions[] = {WIRE_VERSION + 1, WIRE_VERSION, 0};

/* _i: a wrong version, a wrong count of tasks, both; a hello that is too short; nothing. */
START_TEST(a_worker_with_a_wrong_hello_is_killed)
{
    struct wire_hello hello = {.version = versions[_i % 3],
                               .task_count = task_table_size() + (_i != 0)};
    struct bytes lie = bytes_of((const char *)&hello, _i == 4 ? 0 : _i == 3 ? 7 : 8);

    let_starts_fail(MOCK_MUTE, 64);
    begin(0, 0, NULL, 0);
    future *f = start_double(double_plain, 6);
    mock_turn();
    ck_assert(mock_worker_say(1, lie));
    mock_turn();
    ck_assert_uint_eq(mock_workers_killed(), 1);
    ck_assert(!mock_worker_say(1, lie)); /* it is dead */
    ck_assert_int_eq(async_stats().workers_lost, 1);
    mock_worker_hello(2);
    mock_worker_hello(0);
    expect_double(f, 6);
    ck_assert_uint_eq(mock_workers_killed(), 1);
}
END_TEST

/* -- fake workers out of turn ------------------------------------------------------------------ */

START_TEST(a_worker_that_speaks_out_of_turn_is_killed)
{
    begin(0, 0, NULL, 0);
    expect_double(start_double(double_plain, 6), 6);
    mock_turn();
    ck_assert(_i ? mock_worker_hello(0) : mock_worker_say(0, BYTES("psst")));
    ck_assert_uint_eq(mock_workers_killed(), 0);
    mock_turn();
    ck_assert_uint_eq(mock_workers_killed(), 1);
    ck_assert(!mock_worker_hello(0));
    expect_strength();
    expect_double(start_double(double_plain, 7), 7);
}
END_TEST

/* _i: whether the call is in its hands; by the signal of a crash, by a kill, by an exit. */
START_TEST(a_worker_dies_out_of_turn)
{
    bool busy = _i & 1;
    int signal = (const int[]){SIGSEGV, SIGKILL, 0}[_i / 2];

    begin(0, 0, (const struct mock_act[]){{MOCK_ANSWER, 10, BYTES("")}}, 1);
    future *f = start_double(double_plain, 6);
    mock_turn();
    unsigned worker = busy ? play.told.worker : (play.told.worker + 1) % PLAY_STRENGTH;
    ck_assert(mock_worker_die(worker, signal));
    ck_assert(!mock_worker_die(worker, signal));
    ck_assert(!mock_worker_die(99, signal));
    expect_strength();
    ck_assert_int_eq(future_settled(f), busy);
    expect_error(f, busy ? -EOWNERDEAD : 0);
    ck_assert_uint_eq(play.calls, 1);
    ck_assert_uint_eq(mock_workers_killed(), 0);
    ck_assert_int_eq(async_stats().workers_lost, 1);
}
END_TEST

/* -- one after another ------------------------------------------------------------------------- */

START_TEST(each_run_begins_anew)
{
    for (int i = 0; i < 3; i++) {
        begin((uint64_t)i, 0, (const struct mock_act[]){{MOCK_CRASH, 3, BYTES("")}}, 1);
        expect_now(0);
        ck_assert_uint_eq(mock_workers_started(), 0);
        ck_assert_uint_eq(mock_workers_killed(), 0);
        ck_assert_int_eq(async_stats().workers_lost, 0);
        expect(start_double(double_plain, 6), FUTURE_FAILED, -EOWNERDEAD);
        ck_assert_uint_eq(play.told.nth, 0);
        mock_advance(NS_PER_SEC);
        ck_assert_int_eq(async_stop(), 0);
        ck_assert_int_eq(async_stop(), 0); /* it does not run */

        async_reconfigure(2, 1, 0); /* and a real one in between */
        uint64_t now = clock_now_ns();
        expect_ok(future_at(0));
        ck_assert_uint_ge(async_now_ns(), now);
        ck_assert_int_eq(async_stop(), 0);
    }
}
END_TEST

START_TEST(a_start_while_it_runs_is_refused_and_changes_nothing)
{
    begin(0, 0, NULL, 0);
    expect_double(start_double(double_plain, 1), 1);
    mock_advance(77);
    ck_assert_int_eq(mock_start(&(struct mock_options){.seed = 9}), -EBUSY);
    expect_now(77);
    ck_assert_uint_eq(mock_workers_started(), PLAY_STRENGTH);
    expect_double(start_double(double_plain, 2), 2);
    ck_assert_uint_eq(play.calls, 2);
    ck_assert_int_eq(async_stop(), 0);
    expect_ok(future_at(0)); /* a real one */
    ck_assert_int_eq(mock_start(&(struct mock_options){.seed = 9}), -EBUSY);
    expect_ok(future_at(0));
}
END_TEST

struct cleaner {
    future *nap;
};

static int cleaner_step(task *t, void *frame)
{
    struct cleaner *c = frame;

    BEGIN(t);
    AWAIT(t, c->nap, future_at(CLOCK_NEVER));
    AWAIT(t, c->nap, future_at(async_now_ns() + 20 * NS_PER_SEC));
    note(1);
    END(t);
}

static void cleaner_drop(void *frame)
{
    future_drop(((struct cleaner *)frame)->nap);
}

TASK(cleaner_task, ON_LOOP, sizeof(struct cleaner), .step = cleaner_step, .drop = cleaner_drop,
     .catches_cancel = true);

START_TEST(stopping_waits_in_virtual_time_for_what_cleans_up)
{
    future_drop(task_start(&cleaner_task, &(struct cleaner){0}));
    mock_turn();
    ck_assert_int_eq(async_stop(), 0);
    expect_diary((const int[]){1}, 1);
    ck_assert_uint_eq(diary.when[0], 20 * NS_PER_SEC);
}
END_TEST

static int wait_for_it_step(task *t, void *frame)
{
    future **f = frame;

    BEGIN(t);
    AWAIT(t, *f, future_ref(*f));
    END(t);
}

TASK(waits_for_it, ON_LOOP, sizeof(future *), .step = wait_for_it_step, .drop = cleaner_drop);

static void stay(promise *p, void *arg)
{
    (void)p;
    (void)arg;
}

START_TEST(stopping_what_can_never_end_is_refused)
{
    future *f;
    promise *p = new_promise(&f);

    promise_on_cancel(p, stay, NULL);
    future *waiting = task_start(&waits_for_it, &f);
    mock_turn();
    ck_assert_int_eq(async_stop(), -EDEADLK);
    ck_assert(!future_settled(waiting));
    promise_drop(p);
    ck_assert_int_eq(async_stop(), 0);
    ck_assert_int_eq(future_state(waiting), FUTURE_CANCELLED);
    future_drop(waiting);
}
END_TEST

static void wait_a_while(future *done, promise *next, void *arg)
{
    future *nap = future_at(async_now_ns() + NS_PER_SEC);

    (void)done;
    *(int *)arg = future_wait(nap, CLOCK_NEVER);
    future_drop(nap);
    promise_drop(next);
}

START_TEST(stopping_waits_in_virtual_time_for_what_blocks_on_a_thread)
{
    int rc = 1;
    future *timer = future_at(at(5));
    future *f = future_then(timer, EXECUTOR_THREAD, wait_a_while, &rc);

    ck_assert_int_eq(future_wait(timer, CLOCK_NEVER), 0);
    ck_assert_int_eq(async_stop(), 0);
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(future_error(f), -EOWNERDEAD);
    future_drop(timer);
    future_drop(f);
}
END_TEST

Suite *suite_mock(void)
{
    Suite *suite = suite_create("mock");
    TCase *driving = tcase_create("driving"), *time = tcase_create("time"),
          *threads = tcase_create("threads"), *order = tcase_create("order"),
          *workers = tcase_create("workers"), *life = tcase_create("life");
    TCase *unordered[] = {driving, time, threads}, *others[] = {order, workers, life};

    for (size_t i = 0; i < 3; i++) {
        tcase_add_checked_fixture(unordered[i], mock_setup, async_teardown);
        tcase_add_checked_fixture(others[i], play_setup, async_teardown);
        tcase_set_timeout(unordered[i], 60);
        tcase_set_timeout(others[i], 60);
        suite_add_tcase(suite, unordered[i]);
        suite_add_tcase(suite, others[i]);
    }
    tcase_add_test(driving, the_loop_turns_only_inside_a_wait);
    tcase_add_loop_test(driving, inside_the_loop_and_on_threads_nobody_turns_it, 0, 2);
    tcase_add_test(driving, a_pending_future_is_refused_inside_the_loop);
    tcase_add_test(driving, the_thread_that_starts_it_turns_it);
    tcase_add_loop_test(driving, another_thread_waits_for_the_virtual_time, 0, 2);
    tcase_add_test(driving, the_context_of_the_driving_thread_is_not_the_loops);
    tcase_add_test(driving, stopping_waits_in_virtual_time_for_what_cleans_up);
    tcase_add_test(driving, stopping_waits_in_virtual_time_for_what_blocks_on_a_thread);
    tcase_add_test(driving, stopping_what_can_never_end_is_refused);
    tcase_add_test(time, the_time_begins_at_the_epoch_and_jumps_to_each_timer);
    tcase_add_test(time, time_stands_still_until_nothing_else_can_happen);
    tcase_add_test(time, a_ready_descriptor_comes_before_the_time);
    tcase_add_test(time, advancing_stops_at_each_timer_and_moves_no_further_than_it_was_told);
    tcase_add_test(time, a_timer_for_now_or_the_past_is_due_a_nanosecond_later);
    tcase_add_loop_test(time, a_wait_ends_at_its_deadline_or_when_the_future_is_settled, 0, 3);
    tcase_add_test(time, a_wait_that_nothing_can_end_is_refused);
    tcase_add_test(threads, time_never_moves_while_a_task_is_on_a_thread);
    tcase_add_test(threads, time_never_moves_while_a_continuation_is_on_a_thread);
    tcase_add_loop_test(threads, a_pool_thread_waits_in_virtual_time, 0, 3);
    tcase_add_test(threads, a_pool_thread_that_waits_until_the_past_gives_up_at_once);
    tcase_add_test(threads, a_blocked_thread_is_nothing_that_could_end_a_wait);
    tcase_add_test(threads, time_does_not_slip_by_a_thread_that_was_just_woken);
    tcase_add_loop_test(order, the_same_seed_gives_the_same_order_and_another_another, 0, 4);
    tcase_add_loop_test(order, seed_0_leaves_all_in_order, 0, 2);
    tcase_add_test(order, jobs_that_are_neither_tasks_nor_continuations_keep_their_order);
    tcase_add_test(order, descriptors_come_between_jobs_at_times);
    tcase_add_test(workers, a_fake_worker_answers_with_the_tasks_own_serve);
    tcase_add_test(workers, without_a_player_every_call_is_answered_at_once);
    tcase_add_loop_test(workers, a_fake_worker_does_what_it_is_told, 0,
                        2 * sizeof deed_cases / sizeof *deed_cases);
    tcase_add_test(workers, a_worker_that_hangs_is_killed_at_the_deadline_and_the_grace);
    tcase_add_loop_test(workers, a_worker_goes_on_until_its_kill_is_there, 0, 2);
    tcase_add_test(workers, stopping_does_not_wait_for_a_worker_that_is_about_to_die);
    tcase_add_loop_test(workers, starts_that_fail_are_tried_again_after_twice_as_long, 0, 2);
    tcase_add_test(workers, a_call_waits_through_a_few_starts_that_fail);
    tcase_add_test(workers, a_mute_worker_is_killed_when_its_start_takes_too_long);
    tcase_add_test(workers, a_mute_worker_serves_once_it_has_said_hello);
    tcase_add_loop_test(workers, a_worker_with_a_wrong_hello_is_killed, 0, 5);
    tcase_add_loop_test(workers, a_worker_that_speaks_out_of_turn_is_killed, 0, 2);
    tcase_add_loop_test(workers, a_worker_dies_out_of_turn, 0, 6);
    tcase_add_test(life, each_run_begins_anew);
    tcase_add_test(life, a_start_while_it_runs_is_refused_and_changes_nothing);
    return suite;
}
