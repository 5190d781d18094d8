#include "core/async/scope.h"

#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/player.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* -- members ----------------------------------------------------------------------------------- */

/* Sleeps until it is cancelled. */
struct sleeper {
    atomic_int *drops;
    future *sleep;
};

static int sleeper_step(task *t, void *frame)
{
    struct sleeper *s = frame;

    BEGIN(t);
    AWAIT(t, s->sleep, future_at(CLOCK_NEVER));
    END(t);
}

static void sleeper_drop(void *frame)
{
    struct sleeper *s = frame;

    future_drop(s->sleep);
    atomic_fetch_add(s->drops, 1);
}

TASK(sleeper_task, ON_LOOP, sizeof(struct sleeper), .step = sleeper_step, .drop = sleeper_drop);

static future *start_sleeper(struct scope *s, atomic_int *drops)
{
    return task_start_in(s, &sleeper_task, &(struct sleeper){.drops = drops});
}

static void thread_run(task *t, void *frame)
{
    (void)frame;
    task_return(t, NULL, NULL);
}

TASK(thread_task, ON_THREAD, sizeof(struct sleeper), .run = thread_run, .drop = sleeper_drop);

/* Starts a task of its own, which ends up in the same scope, once `go` is settled. */
struct parent {
    struct sleeper sleeper;
    future *go, *gone;
    future **ret_child;
};

static int parent_step(task *t, void *frame)
{
    struct parent *p = frame;

    BEGIN(t);
    AWAIT(t, p->gone, future_ref(p->go));
    *p->ret_child = task_start(&sleeper_task, &(struct sleeper){.drops = p->sleeper.drops});
    END(t);
}

static void parent_drop(void *frame)
{
    struct parent *p = frame;

    future_drop(p->gone);
    atomic_fetch_add(p->sleeper.drops, 1);
}

TASK(parent_task, ON_LOOP, sizeof(struct parent), .step = parent_step, .drop = parent_drop);

/* Cancels its own scope in mid-step, and then starts a task there. */
struct suicide {
    struct scope *scope;
    atomic_int *drops, *steps_after;
    future *refused;
};

static int suicide_step(task *t, void *frame)
{
    struct suicide *s = frame;

    BEGIN(t);
    scope_cancel(s->scope, -ECANCELED);
    AWAIT(t, s->refused, start_sleeper(s->scope, s->drops));
    atomic_fetch_add(s->steps_after, 1);
    END(t);
}

static void suicide_drop(void *frame)
{
    future_drop(((struct suicide *)frame)->refused);
}

TASK(suicide_task, ON_LOOP, sizeof(struct suicide), .step = suicide_step, .drop = suicide_drop);

static struct scope *new_scope(uint64_t deadline_ns)
{
    struct scope *s = scope_new(deadline_ns, 0);

    ck_assert_ptr_nonnull(s);
    return s;
}

/* -- closing ----------------------------------------------------------------------------------- */

START_TEST(an_empty_scope_closes_at_once)
{
    struct scope *s = new_scope(CLOCK_NEVER);

    expect_ok(scope_close(s));
    ck_assert_int_eq(scope_cancelled(s), 0);
    ck_assert_ptr_null(scope_drop(s));
    ck_assert_ptr_null(scope_drop(NULL));
}
END_TEST

START_TEST(a_scope_closes_only_after_its_last_task)
{
    enum { TASKS = 5 };
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0;
    future *f[TASKS];

    for (int i = 0; i < TASKS; i++)
        f[i] = start_sleeper(s, &drops);
    future *closed = scope_close(s);
    for (int i = 0; i < TASKS; i++) {
        let_loop_turn();
        ck_assert(!future_settled(closed));
        future_cancel(f[i]);
        expect(f[i], FUTURE_CANCELLED, -ECANCELED);
    }
    expect_ok(closed);
    ck_assert_int_eq(drops, TASKS);
    scope_drop(s);
}
END_TEST

START_TEST(a_closed_scope_refuses_a_task_and_drops_its_frame_once)
{
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int first = 0, late = 0;
    future *f = start_sleeper(s, &first);
    future *closed = scope_close(s);

    expect(start_sleeper(s, &late), FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(late, 1);
    expect(task_start_in(s, &thread_task, &(struct sleeper){.drops = &late}), FUTURE_CANCELLED,
           -ECANCELED);
    ck_assert_int_eq(late, 2);
    ck_assert(!future_settled(f)); /* refusing one does not end the others */
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(closed);
    expect(start_sleeper(s, &late), FUTURE_CANCELLED, -ECANCELED); /* nor when it has ended */
    ck_assert_int_eq(late, 3);
    scope_drop(s);
}
END_TEST

START_TEST(a_task_of_a_closed_scope_may_start_others_in_it)
{
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0;
    future *child = NULL, *go;
    promise *p = promise_new(&go);
    future *f = task_start_in(
        s, &parent_task, &(struct parent){.sleeper.drops = &drops, .go = go, .ret_child = &child});
    future *closed = scope_close(s);

    promise_drop(p);
    expect_ok(f);
    let_loop_turn();
    ck_assert_ptr_nonnull(child);
    ck_assert(!future_settled(child));
    ck_assert(!future_settled(closed)); /* the child is in the scope, too */
    future_cancel(child);
    expect(child, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(closed);
    ck_assert_int_eq(drops, 2);
    scope_drop(s);
    future_drop(go);
}
END_TEST

struct stranger {
    struct scope *scope;
    atomic_int drops;
    future *refused;
};

static void start_as_a_stranger(void *arg)
{
    struct stranger *s = arg;

    s->refused = start_sleeper(s->scope, &s->drops);
}

START_TEST(a_closed_scope_refuses_what_a_task_of_another_starts)
{
    struct stranger stranger = {.scope = new_scope(CLOCK_NEVER)};
    atomic_int drops = 0;
    future *f = start_sleeper(stranger.scope, &drops);
    future *closed = scope_close(stranger.scope);

    on_loop(start_as_a_stranger, &stranger);
    expect(stranger.refused, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(stranger.drops, 1);
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(closed);
    scope_drop(stranger.scope);
}
END_TEST

/* -- cancelling -------------------------------------------------------------------------------- */

START_TEST(a_cancelled_scope_cancels_every_task_and_takes_no_more)
{
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0;
    future *a = start_sleeper(s, &drops), *b = start_sleeper(s, &drops);

    scope_cancel(s, -EIO);
    scope_cancel(s, -EPIPE);
    ck_assert_int_eq(scope_cancelled(s), -EIO); /* the first reason counts */
    expect(start_sleeper(s, &drops), FUTURE_CANCELLED, -ECANCELED);
    expect(a, FUTURE_CANCELLED, -ECANCELED);
    expect(b, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(drops, 3);
    expect_ok(scope_close(s));
    scope_drop(s);
}
END_TEST

START_TEST(cancelling_the_future_of_a_close_cancels_the_scope)
{
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0;
    future *f = start_sleeper(s, &drops), *closed = scope_close(s);

    future_cancel(closed);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(closed); /* all have ended: that is what it tells */
    ck_assert_int_eq(scope_cancelled(s), -ECANCELED);
    scope_drop(s);
}
END_TEST

START_TEST(an_unclosed_scope_that_is_dropped_is_cancelled)
{
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0;
    future *f = start_sleeper(s, &drops);

    scope_drop(s);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(drops, 1);
    let_loop_turn();
    ck_assert_int_eq(async_counts().scopes, 1); /* the runtime's own */
}
END_TEST

START_TEST(a_hundred_thousand_tasks_end_with_their_scope)
{
    enum { TASKS = SANITIZED_THREAD ? 20000 : 100000 };
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0;

    for (int i = 0; i < TASKS; i++)
        future_drop(start_sleeper(s, &drops));
    scope_cancel(s, -ECANCELED);
    expect_ok(scope_close(s));
    ck_assert_int_eq(drops, TASKS);
    scope_drop(s);
}
END_TEST

START_TEST(a_scope_cancelled_while_tasks_end_by_themselves_loses_none)
{
    enum { TASKS = 200, ROUNDS = 50 };
    atomic_int drops = 0;

    for (int round = 0; round < ROUNDS; round++) {
        struct scope *s = new_scope(CLOCK_NEVER);
        for (int i = 0; i < TASKS; i++)
            future_drop(i % 2 ? start_sleeper(s, &drops)
                              : task_start_in(s, &thread_task, &(struct sleeper){.drops = &drops}));
        future *closed = scope_close(s);
        scope_cancel(s, -ECANCELED);
        scope_drop(s);
        expect_ok(closed);
        ck_assert_int_eq(drops, (round + 1) * TASKS);
    }
}
END_TEST

/* -- deadlines --------------------------------------------------------------------------------- */

START_TEST(a_deadline_cancels_the_scope_for_real)
{
    struct scope *s = new_scope(at(3));
    atomic_int drops = 0;
    future *f = start_sleeper(s, &drops);

    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect_now(3);
    ck_assert_int_eq(scope_cancelled(s), -ETIMEDOUT);
    expect_ok(scope_close(s));
    scope_drop(s);
}
END_TEST

START_TEST(a_scope_that_ends_in_time_meets_no_deadline)
{
    struct scope *s = new_scope(at(3));
    atomic_int drops = 0;
    future *f = task_start_in(s, &thread_task, &(struct sleeper){.drops = &drops});

    expect_ok(scope_close(s));
    expect_now(0);
    ck_assert_int_eq(mock_advance(3), 0);
    ck_assert_int_eq(scope_cancelled(s), 0);
    expect_ok(f);
    scope_drop(s);
}
END_TEST

/* -- scopes in scopes -------------------------------------------------------------------------- */

/* A task that makes a scope inside its own, and waits for that to end. */
struct nest {
    atomic_int *drops;
    uint64_t deadline_ns;
    struct scope **ret_scope;
    future **ret_inner;
    future *closed;
};

static int nest_step(task *t, void *frame)
{
    struct nest *n = frame;

    BEGIN(t);
    *n->ret_scope = scope_new(n->deadline_ns, 0);
    if (!*n->ret_scope) {
        task_fail(t, -ESRCH, NULL, NULL);
        return TASK_FINISHED;
    }
    *n->ret_inner = start_sleeper(*n->ret_scope, n->drops);
    AWAIT(t, n->closed, scope_close(*n->ret_scope));
    END(t);
}

static void nest_drop(void *frame)
{
    future_drop(((struct nest *)frame)->closed);
}

TASK(nest_task, ON_LOOP, sizeof(struct nest), .step = nest_step, .drop = nest_drop);

struct nested {
    struct scope *outer, *inner;
    future *task, *sleeper;
    atomic_int drops;
};

static void make_nested(struct nested *n, uint64_t outer_deadline, uint64_t inner_deadline)
{
    *n = (struct nested){.outer = new_scope(outer_deadline)};
    n->task = task_start_in(n->outer, &nest_task,
                            &(struct nest){.drops = &n->drops,
                                           .deadline_ns = inner_deadline,
                                           .ret_scope = &n->inner,
                                           .ret_inner = &n->sleeper});
    let_loop_turn();
    ck_assert_ptr_nonnull(n->inner);
}

START_TEST(cancelling_a_scope_cancels_the_scopes_inside)
{
    struct nested n;

    make_nested(&n, CLOCK_NEVER, CLOCK_NEVER);
    scope_cancel(n.outer, -EIO);
    expect_ok(scope_close(n.outer)); /* not before the inner one has ended */
    ck_assert_int_eq(n.drops, 1);
    ck_assert_int_eq(scope_cancelled(n.inner), -EIO);
    expect(n.sleeper, FUTURE_CANCELLED, -ECANCELED);
    expect(n.task, FUTURE_CANCELLED, -ECANCELED);
    scope_drop(n.inner);
    scope_drop(n.outer);
}
END_TEST

START_TEST(cancelling_an_inner_scope_leaves_the_outer_one_alone)
{
    struct nested n;

    make_nested(&n, CLOCK_NEVER, CLOCK_NEVER);
    scope_cancel(n.inner, -EIO);
    expect(n.sleeper, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(n.task); /* which only waited for the inner scope to close */
    ck_assert_int_eq(scope_cancelled(n.outer), 0);
    scope_drop(n.inner);
    expect_ok(scope_close(n.outer));
    scope_drop(n.outer);
}
END_TEST

START_TEST(an_inner_scope_ends_at_the_outer_deadline)
{
    struct nested n;

    make_nested(&n, at(20), CLOCK_NEVER);
    expect(n.sleeper, FUTURE_CANCELLED, -ECANCELED);
    expect_now(20);
    ck_assert_int_eq(scope_cancelled(n.inner), -ETIMEDOUT);
    expect_ok(scope_close(n.outer));
    future_drop(n.task);
    scope_drop(n.inner);
    scope_drop(n.outer);
}
END_TEST

START_TEST(a_tighter_inner_deadline_ends_the_inner_scope_only)
{
    struct nested n;

    make_nested(&n, at(20), at(10));
    expect(n.sleeper, FUTURE_CANCELLED, -ECANCELED);
    expect_now(10);
    expect_ok(n.task);
    ck_assert_int_eq(scope_cancelled(n.inner), -ETIMEDOUT);
    ck_assert_int_eq(scope_cancelled(n.outer), 0);
    expect_ok(scope_close(n.outer));
    scope_drop(n.inner);
    scope_drop(n.outer);
}
END_TEST

/* Is asked to end, and makes a scope all the same. */
static int late_scope_step(task *t, void *frame)
{
    struct sleeper *s = frame;

    BEGIN(t);
    AWAIT(t, s->sleep, future_at(CLOCK_NEVER));
    if (scope_new(CLOCK_NEVER, 0) == NULL)
        task_fail(t, -ECANCELED, NULL, NULL);
    END(t);
}

TASK(late_scope_task, ON_LOOP, sizeof(struct sleeper), .step = late_scope_step,
     .drop = sleeper_drop, .catches_cancel = true);

START_TEST(a_cancelled_scope_takes_no_new_scopes)
{
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0;
    future *f = task_start_in(s, &late_scope_task, &(struct sleeper){.drops = &drops});

    let_loop_turn();
    scope_cancel(s, -ECANCELED);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(scope_close(s));
    scope_drop(s);
}
END_TEST

/* -- the end of the runtime -------------------------------------------------------------------- */

/* Cancels its own scope, and cleans up before it is told so itself. */
struct tidy {
    struct scope *scope;
    future *pause;
};

static int tidy_step(task *t, void *frame)
{
    struct tidy *d = frame;

    BEGIN(t);
    scope_cancel(d->scope, -ECANCELED);
    AWAIT(t, d->pause, future_ref(future_done()));
    AWAIT(t, d->pause, future_at(clock_after_ms(async_now_ns(), 20)));
    if (!future_ok(d->pause))
        task_fail(t, -EBADE, NULL, NULL);
    END(t);
}

static void tidy_drop(void *frame)
{
    future_drop(((struct tidy *)frame)->pause);
}

TASK(tidy_task, ON_LOOP, sizeof(struct tidy), .step = tidy_step, .drop = tidy_drop,
     .catches_cancel = true);

START_TEST(a_cancel_that_comes_late_does_not_disturb_the_cleaning_up)
{
    enum { TASKS = 1000 }; /* more than are told of a cancel at a time */
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0;

    for (int i = 0; i < TASKS; i++)
        future_drop(start_sleeper(s, &drops));
    expect_ok(task_start_in(s, &tidy_task, &(struct tidy){.scope = s}));
    expect_ok(scope_close(s));
    ck_assert_int_eq(drops, TASKS);
    scope_drop(s);
}
END_TEST

START_TEST(stopping_the_runtime_cancels_what_still_runs)
{
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0;
    future *in_scope = start_sleeper(s, &drops), *loose = start_sleeper(NULL, &drops);
    future *closed = scope_close(s);

    ck_assert_int_eq(async_stop(), 0);
    expect(in_scope, FUTURE_CANCELLED, -ECANCELED);
    expect(loose, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(closed);
    ck_assert_int_eq(drops, 2);
    scope_drop(s);
}
END_TEST

START_TEST(stopping_the_runtime_ends_scopes_that_nobody_has_closed)
{
    struct scope *s = new_scope(CLOCK_NEVER),
                 *empty = new_scope(clock_after_ms(async_now_ns(), 60000));
    atomic_int drops = 0;
    future *f = start_sleeper(s, &drops);

    ck_assert_int_eq(async_stop(), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(drops, 1);
    expect_ok(scope_close(s));
    scope_drop(s);
    scope_drop(empty);
}
END_TEST

START_TEST(a_task_does_not_go_on_with_what_its_cancelled_scope_refused)
{
    struct scope *s = new_scope(CLOCK_NEVER);
    atomic_int drops = 0, steps_after = 0;
    future *f =
        task_start_in(s, &suicide_task,
                      &(struct suicide){.scope = s, .drops = &drops, .steps_after = &steps_after});

    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(atomic_load(&steps_after), 0);
    ck_assert_int_eq(atomic_load(&drops), 1);
    scope_drop(s);
}
END_TEST

Suite *suite_scope(void)
{
    Suite *suite = suite_create("scope");
    TCase *closing = tcase_create("closing"), *cancelling = tcase_create("cancelling"),
          *deadlines = tcase_create("deadlines"), *nesting = tcase_create("nesting");
    TCase *cases[] = {closing, cancelling, deadlines, nesting};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], cases[i] == deadlines ? mock_setup : async_setup,
                                  async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(closing, an_empty_scope_closes_at_once);
    tcase_add_test(closing, a_scope_closes_only_after_its_last_task);
    tcase_add_test(closing, a_closed_scope_refuses_a_task_and_drops_its_frame_once);
    tcase_add_test(closing, a_task_of_a_closed_scope_may_start_others_in_it);
    tcase_add_test(closing, a_closed_scope_refuses_what_a_task_of_another_starts);
    tcase_add_test(cancelling, a_cancelled_scope_cancels_every_task_and_takes_no_more);
    tcase_add_test(cancelling, a_task_does_not_go_on_with_what_its_cancelled_scope_refused);
    tcase_add_test(cancelling, cancelling_the_future_of_a_close_cancels_the_scope);
    tcase_add_test(cancelling, an_unclosed_scope_that_is_dropped_is_cancelled);
    tcase_add_test(cancelling, a_hundred_thousand_tasks_end_with_their_scope);
    tcase_add_test(cancelling, a_scope_cancelled_while_tasks_end_by_themselves_loses_none);
    tcase_add_test(cancelling, stopping_the_runtime_cancels_what_still_runs);
    tcase_add_test(cancelling, a_cancel_that_comes_late_does_not_disturb_the_cleaning_up);
    tcase_add_test(cancelling, stopping_the_runtime_ends_scopes_that_nobody_has_closed);
    tcase_add_test(deadlines, a_deadline_cancels_the_scope_for_real);
    tcase_add_test(deadlines, a_scope_that_ends_in_time_meets_no_deadline);
    tcase_add_test(deadlines, an_inner_scope_ends_at_the_outer_deadline);
    tcase_add_test(deadlines, a_tighter_inner_deadline_ends_the_inner_scope_only);
    tcase_add_test(nesting, cancelling_a_scope_cancels_the_scopes_inside);
    tcase_add_test(nesting, cancelling_an_inner_scope_leaves_the_outer_one_alone);
    tcase_add_test(nesting, a_cancelled_scope_takes_no_new_scopes);
    return suite;
}
