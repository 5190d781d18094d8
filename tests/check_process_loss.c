/* What is known of workers that were lost: the hook that hears of it, the quarantine. */
#include "core/async/async.h"
#include "core/async/mock.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/worker_watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* -- the hook ---------------------------------------------------------------------------------- */

static struct worker_loss heard; /* written on the loop before the task fails, which is awaited */
static int times_heard, times_heard_busy; /* ... of workers that had a task */
static char heard_task[32];

static void hear_loss(const struct worker_loss *loss)
{
    heard = *loss;
    snprintf(heard_task, sizeof heard_task, "%s", loss->task ? loss->task : "");
    times_heard++;
    times_heard_busy += loss->task != NULL;
}

static void setup(void)
{
    struct async_options options = {
        .workers = WORKERS,
        .hooks.worker_lost = hear_loss,
    };

    async_setup();
    ck_assert_int_eq(async_configure(&options), 0);
    heard = (struct worker_loss){0};
    times_heard = times_heard_busy = 0;
}

static void expect_loss(int times, int signal, int status, int verdict, const char *its_task)
{
    ck_assert_int_eq(times_heard, times);
    ck_assert_int_gt(heard.pid, 0);
    ck_assert_int_eq(heard.signal, signal);
    ck_assert_int_eq(heard.status, status);
    ck_assert_int_eq(heard.verdict, verdict);
    ck_assert_str_eq(heard_task, its_task);
}

START_TEST(a_worker_that_dies_by_itself_is_told_with_how_it_ended)
{
    expect(start_order(plain_order, EXIT, 7), FUTURE_FAILED, -EOWNERDEAD);
    expect_loss(1, 0, 7, 0, "call_task");
    expect(start_order(hasty_order, CRASH, 0), FUTURE_FAILED, -EOWNERDEAD);
    if (!(SANITIZED_ADDRESS || SANITIZED_THREAD)) /* where abort() itself is allowed */
        expect_loss(2, SIGSYS, 0, 0, "hasty_task");
    ck_assert_int_eq(times_heard, 2);
    ck_assert_int_eq(async_stats().workers_lost, 2);
}
END_TEST

START_TEST(a_worker_that_had_to_be_killed_is_told_with_the_reason)
{
    expect(start_order(plain_order, SAY_NONSENSE, 0), FUTURE_FAILED, -EBADMSG);
    expect_loss(1, SIGKILL, 0, -EBADMSG, "call_task");
    expect(start_order(hasty_order, SPIN, 0), FUTURE_FAILED, -ETIMEDOUT);
    expect_loss(2, SIGKILL, 0, -ETIMEDOUT, "hasty_task");
}
END_TEST

START_TEST(workers_killed_from_outside_are_told_with_and_without_a_task)
{
    struct workers w;
    future *f = start_serving(plain_order, GROW, &w);

    workers_kill(&w);
    expect(f, FUTURE_FAILED, -EOWNERDEAD);
    let_loop_turn();
    ck_assert_int_eq(times_heard, (int)w.count);
    ck_assert_int_eq(times_heard_busy, 1);
    ck_assert_int_eq(heard.signal, SIGKILL);
    ck_assert_int_eq(heard.verdict, 0);
}
END_TEST

START_TEST(a_worker_killed_for_a_cancel_is_counted_but_not_told)
{
    future *f = start_running(plain_order, SPIN, 0);

    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(times_heard, 0);
    ck_assert_int_eq(async_stats().workers_lost, 1);
}
END_TEST

static struct mock_act crash_soon(const struct mock_call *call, void *arg)
{
    (void)call;
    (void)arg;
    return (struct mock_act){.deed = MOCK_CRASH, .after_ns = NS_PER_MS};
}

/* By the mock, where a kill takes its time. */
START_TEST(a_worker_that_crashes_before_it_is_killed_for_a_cancel_is_told)
{
    struct mock_options options = {
        .async.hooks.worker_lost = hear_loss, .worker = crash_soon, .kill_ns = NS_PER_SEC};

    ck_assert_int_eq(mock_start(&options), 0);
    future *f = start_order(plain_order, ECHO, 0);
    mock_turn();
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect_loss(1, SIGSEGV, 0, -ECANCELED, "call_task");
}
END_TEST

START_TEST(a_worker_that_dies_before_its_hello_is_told)
{
    let_workers_start("fail");
    expect(start_order(plain_order, ECHO, 0), FUTURE_FAILED, -ECHILD);
    ck_assert_int_ge(times_heard, STRENGTH);
    ck_assert_int_eq(heard.status, EXIT_FAILURE);
    ck_assert_str_eq(heard_task, "");
    let_workers_start(NULL);
}
END_TEST

/* -- quarantine -------------------------------------------------------------------------------- */

static void expect_refused(const struct task_def *def, enum deed deed, int number, long times)
{
    long lost = async_stats().workers_lost;
    atomic_int drops = 0;

    expect(task_start(def, &(struct call){.order = {deed, number}, .drops = &drops}), FUTURE_FAILED,
           -ENOTRECOVERABLE);
    ck_assert_int_eq(drops, 1);
    ck_assert_int_eq(async_stats().workers_lost, lost);
    ck_assert_int_eq(async_stats().tasks_quarantined, times);
}

/* _i: the ways of a worker to die of what it was given. */
START_TEST(a_request_that_killed_two_workers_is_refused)
{
    static const struct {
        enum deed deed;
        int number, error;
    } ways[] = {
        {CRASH, 0, -EOWNERDEAD},
        {EXIT, 3, -EOWNERDEAD},
        {SAY_NONSENSE, 0, -EBADMSG},
        {SAY_NOTHING, 0, -EBADMSG},
    };
    enum deed deed = ways[_i].deed;
    int number = ways[_i].number;

    expect(start_order(plain_order, deed, number), FUTURE_FAILED, ways[_i].error);
    expect_echo();
    expect(start_order(plain_order, deed, number), FUTURE_FAILED, ways[_i].error);
    expect_refused(plain_order, deed, number, 1);
    expect_refused(plain_order, deed, number, 2);
    expect_echo();
    expect(start_order(plain_order, CRASH, 1), FUTURE_FAILED, -EOWNERDEAD); /* another one */
    ck_assert_int_eq(async_stats().workers_lost, 3);
    await_strength(WORKERS);
    check_strength();
}
END_TEST

START_TEST(an_idempotent_task_that_kills_twice_is_its_requests_last)
{
    expect(start_order(retried_order, CRASH, 0), FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_eq(async_stats().tasks_retried, 1);
    expect_refused(retried_order, CRASH, 0, 1);
}
END_TEST

enum { ASSAULTS = 4 };

/* Neither from outside, ... */
START_TEST(a_request_whose_workers_were_killed_is_innocent)
{
    for (int i = 0; i < ASSAULTS; i++) {
        struct workers w;
        future *f = start_serving(plain_order, GROW, &w);

        workers_kill(&w);
        expect(f, FUTURE_FAILED, -EOWNERDEAD);
        await_strength(WORKERS);
    }
    ck_assert_int_eq(async_stats().tasks_quarantined, 0);
}
END_TEST

/* ... nor for a cancel, ... */
START_TEST(a_request_that_was_cancelled_is_innocent)
{
    for (int i = 0; i < ASSAULTS; i++) {
        future *f = start_running(plain_order, SPIN, 0);
        future_cancel(f);
        expect(f, FUTURE_CANCELLED, -ECANCELED);
    }
    ck_assert_int_eq(async_stats().tasks_quarantined, 0);
}
END_TEST

/* ... nor for being late. */
START_TEST(a_request_that_overran_its_deadline_is_innocent)
{
    for (int i = 0; i < ASSAULTS; i++)
        expect(start_order(hasty_order, SPIN, 0), FUTURE_FAILED, -ETIMEDOUT);
    ck_assert_int_eq(async_stats().tasks_quarantined, 0);
}
END_TEST

Suite *suite_process_loss(void)
{
    Suite *suite = suite_create("process_loss");
    TCase *hook = tcase_create("hook"), *quarantine = tcase_create("quarantine");
    TCase *cases[] = {hook, quarantine};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(hook, a_worker_that_dies_by_itself_is_told_with_how_it_ended);
    tcase_add_test(hook, a_worker_that_had_to_be_killed_is_told_with_the_reason);
    tcase_add_test(hook, workers_killed_from_outside_are_told_with_and_without_a_task);
    tcase_add_test(hook, a_worker_killed_for_a_cancel_is_counted_but_not_told);
    tcase_add_test(hook, a_worker_that_crashes_before_it_is_killed_for_a_cancel_is_told);
    tcase_add_test(hook, a_worker_that_dies_before_its_hello_is_told);
    tcase_add_loop_test(quarantine, a_request_that_killed_two_workers_is_refused, 0, 4);
    tcase_add_test(quarantine, an_idempotent_task_that_kills_twice_is_its_requests_last);
    tcase_add_test(quarantine, a_request_whose_workers_were_killed_is_innocent);
    tcase_add_test(quarantine, a_request_that_was_cancelled_is_innocent);
    tcase_add_test(quarantine, a_request_that_overran_its_deadline_is_innocent);
    return suite;
}
