/* What becomes of mistakes that those who write tasks make: an error or a message, never a hang. */
#include "core/async/async.h"
#include "core/async/loop.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* -- steps ------------------------------------------------------------------------------------- */

struct step_frame {
    int returned;
    char text[8];
    future *slot;
};

static int returning_step(task *t, void *frame)
{
    (void)t;
    return ((struct step_frame *)frame)->returned;
}

TASK(returning_task, ON_LOOP, sizeof(struct step_frame), .step = returning_step);

START_TEST(a_step_that_returns_an_errno_fails_with_it)
{
    expect(task_start(&returning_task, &(struct step_frame){.returned = -EIO}), FUTURE_FAILED,
           -EIO);
}
END_TEST

START_TEST(a_step_that_parks_without_an_await_fails)
{
    expect(task_start(&returning_task, &(struct step_frame){.returned = TASK_PARKED}),
           FUTURE_FAILED, -EDEADLK);
    expect(task_start(&returning_task, &(struct step_frame){.returned = 42}), FUTURE_FAILED,
           -EDEADLK);
}
END_TEST

static int nested_step(task *t, void *frame)
{
    struct step_frame *f = frame;

    BEGIN(t);
    switch (f->returned) {
    case 0:
        AWAIT(t, f->slot, future_at(0));
        break;
    }
    END(t);
}

TASK(nested_task, ON_LOOP, sizeof(struct step_frame), .step = nested_step);

START_TEST(an_await_in_a_nested_switch_aborts_with_a_message)
{
    future_wait(task_start(&nested_task, NULL), CLOCK_NEVER);
}
END_TEST

static int null_frame_step(task *t, void *frame)
{
    const struct step_frame *f = frame;

    if (f->returned != 0 || f->text[0] || f->text[sizeof f->text - 1] || f->slot)
        task_fail(t, -EBADE, NULL, NULL);
    return TASK_FINISHED;
}

TASK(null_frame_task, ON_LOOP, sizeof(struct step_frame), .step = null_frame_step);

START_TEST(no_frame_is_one_of_zeros)
{
    expect_ok(task_start(&null_frame_task, NULL));
}
END_TEST

static int fail_without_error(task *t, void *frame)
{
    (void)frame;
    task_fail(t, 0, NULL, NULL);
    return TASK_FINISHED;
}

TASK(errorless_task, ON_LOOP, 0, .step = fail_without_error);

START_TEST(a_failure_without_an_error_is_einval)
{
    future *f;
    promise *p = new_promise(&f);

    expect(task_start(&errorless_task, NULL), FUTURE_FAILED, -EINVAL);
    promise_fail(p, 0, NULL, NULL);
    promise_drop(p);
    expect(f, FUTURE_FAILED, -EINVAL);
}
END_TEST

/* -- processes --------------------------------------------------------------------------------- */

static ssize_t nothing_pack(void *frame, char *request, size_t capacity)
{
    (void)frame, (void)request, (void)capacity;
    return 0;
}

static ssize_t nothing_serve(struct bytes request, uint64_t deadline_ns, char *reply,
                             size_t capacity)
{
    (void)request, (void)deadline_ns, (void)reply, (void)capacity;
    return 0;
}

static void forgetful_unpack(task *t, void *frame, struct bytes reply)
{
    (void)t, (void)frame, (void)reply;
}

TASK(forgetful_task, ON_PROCESS, 0, .pack = nothing_pack, .serve = nothing_serve,
     .unpack = forgetful_unpack);

START_TEST(an_unpack_that_says_nothing_is_a_bad_message)
{
    expect(task_start(&forgetful_task, NULL), FUTURE_FAILED, -EBADMSG);
}
END_TEST

/* -- scopes ------------------------------------------------------------------------------------ */

START_TEST(a_scope_that_nobody_closes_does_not_keep_the_runtime)
{
    struct scope *s = scope_new(CLOCK_NEVER, 0);
    future *f = task_start_in(s, &nested_task, &(struct step_frame){.returned = 1});

    expect_ok(f);
    ck_assert_int_eq(async_stop(), 0);
    scope_drop(s);
}
END_TEST

START_TEST(closing_a_scope_again_gives_the_same_future)
{
    struct scope *s = scope_new(CLOCK_NEVER, 0);
    future *first = scope_close(s), *again = scope_close(s);

    ck_assert_ptr_eq(first, again);
    expect_ok(first);
    expect_ok(again);
    scope_drop(s);
}
END_TEST

/* -- limits ------------------------------------------------------------------------------------ */

static future *settled(void *arg, size_t index)
{
    (void)index;
    ++*(int *)arg;
    return future_done();
}

START_TEST(a_limit_of_0_is_taken_for_1)
{
    int started = 0, item;

    expect_ok(map_in(NULL, 3, 0, settled, &started));
    ck_assert_int_eq(started, 3);
    struct channel *c = channel_new(0, NULL);
    expect_ok(channel_put(c, &item));
    channel_drop(c);
}
END_TEST

/* -- the loop ---------------------------------------------------------------------------------- */

static void ignore_timer(struct timer *timer)
{
    (void)timer;
}

static void ignore_events(void *arg, int fd, uint32_t events)
{
    (void)arg, (void)fd, (void)events;
}

START_TEST(off_the_loop_thread_its_functions_refuse)
{
    struct timer timer = {.fire = ignore_timer};

    ck_assert_int_eq(async_start(), 0);
    ck_assert_int_eq(timer_set(&timer, 0), -EPERM);
    ck_assert_int_eq(loop_watch(0, 1, ignore_events, NULL), -EPERM);
}
END_TEST

Suite *suite_mistakes(void)
{
    Suite *suite = suite_create("mistakes");
    TCase *told = tcase_create("told"), *fatal = tcase_create("fatal");

    tcase_add_checked_fixture(told, async_setup, async_teardown);
    suite_add_tcase(suite, told);
    tcase_add_test(told, a_step_that_returns_an_errno_fails_with_it);
    tcase_add_test(told, a_step_that_parks_without_an_await_fails);
    tcase_add_test(told, no_frame_is_one_of_zeros);
    tcase_add_test(told, a_failure_without_an_error_is_einval);
    tcase_add_test(told, an_unpack_that_says_nothing_is_a_bad_message);
    tcase_add_test(told, a_scope_that_nobody_closes_does_not_keep_the_runtime);
    tcase_add_test(told, closing_a_scope_again_gives_the_same_future);
    tcase_add_test(told, a_limit_of_0_is_taken_for_1);
    tcase_add_test(told, off_the_loop_thread_its_functions_refuse);
    suite_add_tcase(suite, fatal);
    tcase_add_test_raise_signal(fatal, an_await_in_a_nested_switch_aborts_with_a_message, SIGABRT);
    return suite;
}
