#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { THREADS = 4 };

/* -- work -------------------------------------------------------------------------------------- */

struct meeting {
    pthread_barrier_t *all;
};

static void meet(task *t, void *frame)
{
    (void)t;
    pthread_barrier_wait(((struct meeting *)frame)->all);
}

TASK(meet_task, ON_THREAD, sizeof(struct meeting), .run = meet);

START_TEST(as_many_tasks_as_threads_run_at_the_same_time)
{
    pthread_barrier_t all;
    future *f[THREADS];

    pthread_barrier_init(&all, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        f[i] = task_start(&meet_task, &(struct meeting){&all});
    for (int i = 0; i < THREADS; i++)
        expect_ok(f[i]);
    pthread_barrier_destroy(&all);
}
END_TEST

struct sequence {
    atomic_int *next;
    int index;
};

static void check_turn(task *t, void *frame)
{
    struct sequence *s = frame;

    if (atomic_fetch_add(s->next, 1) != s->index)
        task_fail(t, -EBADE, NULL, NULL);
}

TASK(turn_task, ON_THREAD, sizeof(struct sequence), .run = check_turn);

START_TEST(one_thread_runs_its_tasks_in_order)
{
    enum { TASKS = 500 };
    atomic_int next = 0;
    future *f[TASKS];

    async_reconfigure(1, 1, 0);
    for (int i = 0; i < TASKS; i++)
        f[i] = task_start(&turn_task, &(struct sequence){&next, i});
    for (int i = 0; i < TASKS; i++)
        expect_ok(f[i]);
}
END_TEST

/* -- waiting on a pool thread ------------------------------------------------------------------ */

static void do_nothing(task *t, void *frame)
{
    (void)t;
    (void)frame;
}

TASK(nothing_task, ON_THREAD, 0, .run = do_nothing);

struct nested {
    atomic_int *waited, *refused;
};

/* Waits for a task of the same pool: what exhausts pools that let everybody wait. */
static void wait_nested(task *t, void *frame)
{
    struct nested *n = frame;
    future *f = task_start(&nothing_task, NULL);
    int rc = future_wait(f, CLOCK_NEVER);

    atomic_fetch_add(rc == 0 ? n->waited : n->refused, 1);
    if (rc != 0 && rc != -EDEADLK)
        task_fail(t, rc, NULL, NULL);
    future_drop(f);
}

TASK(nested_task, ON_THREAD, sizeof(struct nested), .run = wait_nested);

START_TEST(nested_waits_end_though_every_thread_wants_to_wait)
{
    enum { TASKS = 200 };
    atomic_int waited = 0, refused = 0;
    future *f[TASKS];

    for (int i = 0; i < TASKS; i++)
        f[i] = task_start(&nested_task, &(struct nested){&waited, &refused});
    for (int i = 0; i < TASKS; i++)
        expect_ok(f[i]);
    ck_assert_int_eq(waited + refused, TASKS);
}
END_TEST

START_TEST(the_only_thread_must_not_wait)
{
    atomic_int waited = 0, refused = 0;

    async_reconfigure(1, 1, 0);
    expect_ok(task_start(&nested_task, &(struct nested){&waited, &refused}));
    ck_assert_int_eq(refused, 1);
}
END_TEST

struct settled_wait {
    future *f;
};

static void wait_for_settled(task *t, void *frame)
{
    future *f = ((struct settled_wait *)frame)->f;
    int rc = future_wait(f, 0);

    if (rc != 0)
        task_fail(t, rc, NULL, NULL);
}

TASK(settled_wait_task, ON_THREAD, sizeof(struct settled_wait), .run = wait_for_settled);

START_TEST(a_settled_future_answers_on_a_thread_that_must_not_wait)
{
    async_reconfigure(1, 1, 0);
    expect_ok(task_start(&settled_wait_task, &(struct settled_wait){future_done()}));
}
END_TEST

static void time_out(task *t, void *frame)
{
    future *f = ((struct settled_wait *)frame)->f;

    for (int i = 0; i < 10; i++) {
        int rc = future_wait(f, 0);
        if (rc != -ETIMEDOUT)
            task_fail(t, rc ? rc : -EBADE, NULL, NULL);
    }
}

TASK(time_out_task, ON_THREAD, sizeof(struct settled_wait), .run = time_out);

START_TEST(a_wait_that_timed_out_does_not_count_as_blocked)
{
    future *never;
    promise *p = promise_new(&never);

    async_stop();
    async_reconfigure(2, 1, 0);
    expect_ok(task_start(&time_out_task, &(struct settled_wait){never}));
    promise_drop(p);
    future_drop(never);
}
END_TEST

static void try_to_stop(task *t, void *frame)
{
    (void)frame;
    task_fail(t, async_stop(), NULL, NULL);
}

TASK(stop_task, ON_THREAD, 0, .run = try_to_stop);

START_TEST(a_pool_thread_cannot_stop_the_runtime)
{
    expect(task_start(&stop_task, NULL), FUTURE_FAILED, -EDEADLK);
}
END_TEST

Suite *suite_thread_pool(void)
{
    Suite *suite = suite_create("thread_pool");
    TCase *work = tcase_create("work"), *waiting = tcase_create("waiting");
    TCase *cases[] = {work, waiting};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(work, as_many_tasks_as_threads_run_at_the_same_time);
    tcase_add_test(work, one_thread_runs_its_tasks_in_order);
    tcase_add_test(waiting, nested_waits_end_though_every_thread_wants_to_wait);
    tcase_add_test(waiting, the_only_thread_must_not_wait);
    tcase_add_test(waiting, a_settled_future_answers_on_a_thread_that_must_not_wait);
    tcase_add_test(waiting, a_wait_that_timed_out_does_not_count_as_blocked);
    tcase_add_test(waiting, a_pool_thread_cannot_stop_the_runtime);
    return suite;
}
