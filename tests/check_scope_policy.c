/* What a scope does when a task fails, and what a shield keeps off. */
#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Waits for `go` (borrowed; NULL: for ever), and then fails with `error` (0: does not). */
struct member {
    future *go, *gone;
    int error;
    atomic_int *drops;
};

static int member_step(task *t, void *frame)
{
    struct member *m = frame;

    BEGIN(t);
    AWAIT(t, m->gone, m->go ? future_ref(m->go) : future_at(CLOCK_NEVER));
    if (m->error)
        task_fail(t, m->error, NULL, NULL);
    END(t);
}

static void member_drop(void *frame)
{
    struct member *m = frame;

    future_drop(m->gone);
    atomic_fetch_add(m->drops, 1);
}

TASK(member_task, ON_LOOP, sizeof(struct member), .step = member_step, .drop = member_drop);

static struct scope *new_scope(uint64_t deadline_ns, unsigned flags)
{
    struct scope *s = scope_new(deadline_ns, flags);

    ck_assert_ptr_nonnull(s);
    return s;
}

/* -- failing fast ------------------------------------------------------------------------------ */

static void fail_one_of_three(unsigned flags, enum future_state of_others, int error_of_others)
{
    atomic_int drops = 0;
    future *go, *others_go;
    promise *start = new_promise(&go), *start_others = new_promise(&others_go);
    struct scope *s = new_scope(CLOCK_NEVER, flags);
    future *failing =
        task_start_in(s, &member_task, &(struct member){.go = go, .error = -EIO, .drops = &drops});
    future *others[2];

    for (int i = 0; i < 2; i++)
        others[i] =
            task_start_in(s, &member_task, &(struct member){.go = others_go, .drops = &drops});
    promise_resolve(start, NULL, NULL);
    expect(failing, FUTURE_FAILED, -EIO);
    if (flags == SCOPE_COLLECT_ALL)
        promise_resolve(start_others, NULL, NULL);
    for (int i = 0; i < 2; i++)
        expect(others[i], of_others, error_of_others);
    if (flags == SCOPE_COLLECT_ALL)
        expect_ok(scope_close(s));
    else
        expect(scope_close(s), FUTURE_FAILED, -EIO);
    ck_assert_int_eq(scope_cancelled(s), flags == SCOPE_COLLECT_ALL ? 0 : -EIO);
    scope_drop(s);
    ck_assert_int_eq(drops, 3);
    promise_drop(start);
    promise_drop(start_others);
    future_drop(go);
    future_drop(others_go);
}

START_TEST(a_scope_that_fails_fast_cancels_the_siblings_and_fails_with_the_first_error)
{
    fail_one_of_three(SCOPE_FAIL_FAST, FUTURE_CANCELLED, -ECANCELED);
}
END_TEST

START_TEST(a_scope_that_collects_all_lets_the_siblings_go_on)
{
    fail_one_of_three(SCOPE_COLLECT_ALL, FUTURE_OK, 0);
}
END_TEST

START_TEST(of_two_failures_the_scope_has_the_first)
{
    atomic_int drops = 0;
    future *go;
    promise *start = new_promise(&go);
    struct scope *s = new_scope(CLOCK_NEVER, SCOPE_FAIL_FAST);
    future *f[2];

    for (int i = 0; i < 2; i++)
        f[i] = task_start_in(s, &member_task,
                             &(struct member){.go = go, .error = -EIO - i, .drops = &drops});
    promise_resolve(start, NULL, NULL); /* wakes them in this order */
    expect(f[0], FUTURE_FAILED, -EIO);
    expect(f[1], FUTURE_CANCELLED, -ECANCELED);
    expect(scope_close(s), FUTURE_FAILED, -EIO);
    scope_drop(s);
    promise_drop(start);
    future_drop(go);
}
END_TEST

START_TEST(a_cancelled_task_is_no_failure)
{
    atomic_int drops = 0;
    struct scope *s = new_scope(CLOCK_NEVER, SCOPE_FAIL_FAST);
    future *f = task_start_in(s, &member_task, &(struct member){.drops = &drops});

    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(scope_cancelled(s), 0);
    expect_ok(scope_close(s));
    scope_drop(s);
}
END_TEST

static void fail_on_thread(task *t, void *frame)
{
    (void)frame;
    task_fail(t, 42, NULL, NULL); /* a code of a module's own */
}

TASK(failing_thread_task, ON_THREAD, 0, .run = fail_on_thread);

START_TEST(a_failure_on_a_thread_cancels_tasks_on_the_loop)
{
    atomic_int drops = 0;
    struct scope *s = new_scope(CLOCK_NEVER, SCOPE_FAIL_FAST);
    future *f = task_start_in(s, &member_task, &(struct member){.drops = &drops});

    expect(task_start_in(s, &failing_thread_task, NULL), FUTURE_FAILED, 42);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect(scope_close(s), FUTURE_FAILED, 42);
    scope_drop(s);
}
END_TEST

START_TEST(a_late_spawn_is_refused_after_a_failure)
{
    atomic_int drops = 0;
    struct scope *s = new_scope(CLOCK_NEVER, SCOPE_FAIL_FAST);

    expect(task_start_in(s, &failing_thread_task, NULL), FUTURE_FAILED, 42);
    expect(task_start_in(s, &member_task, &(struct member){.drops = &drops}), FUTURE_CANCELLED,
           -ECANCELED);
    ck_assert_int_eq(drops, 1);
    expect(scope_close(s), FUTURE_FAILED, 42);
    scope_drop(s);
}
END_TEST

/* -- shield ------------------------------------------------------------------------------------ */

/* A task that makes a scope of `flags` in its own one, starts a member there, and waits for it. */
struct host {
    uint64_t deadline_ns;
    unsigned flags;
    promise *ready;
    future *go, *closed, *member;
    struct scope *inner;
    atomic_int *drops, *inner_reason;
    enum future_state *ret_member;
    bool late; /* the scope is made only when this one was cancelled */
    future *cancelled;
};

static int host_step(task *t, void *frame)
{
    struct host *h = frame;

    BEGIN(t);
    if (h->late) {
        promise_resolve(h->ready, NULL, NULL);
        AWAIT(t, h->cancelled, future_at(CLOCK_NEVER));
    }
    h->inner = scope_new(h->deadline_ns, h->flags);
    if (!h->inner) {
        task_fail(t, -ENOENT, NULL, NULL);
        return TASK_FINISHED;
    }
    h->member =
        task_start_in(h->inner, &member_task, &(struct member){.go = h->go, .drops = h->drops});
    if (!h->late)
        promise_resolve(h->ready, NULL, NULL);
    AWAIT(t, h->closed, scope_close(h->inner));
    *h->inner_reason = scope_cancelled(h->inner);
    *h->ret_member = future_state(h->member);
    END(t);
}

static void host_drop(void *frame)
{
    struct host *h = frame;

    future_drop(h->closed);
    future_drop(h->member);
    future_drop(h->cancelled);
    scope_drop(h->inner);
    promise_drop(h->ready);
}

TASK(host_task, ON_LOOP, sizeof(struct host), .step = host_step, .drop = host_drop,
     .catches_cancel = true);

struct outcome {
    atomic_int drops, reason;
    enum future_state member;
};

/* Cancels the outer scope while a member runs in the inner one, and then lets that one go. */
static void cancel_around(struct outcome *o, uint64_t deadline_ns, unsigned flags, bool late,
                          bool let_go)
{
    future *ready, *go;
    promise *is_ready = new_promise(&ready), *start = new_promise(&go);
    struct scope *outer = new_scope(CLOCK_NEVER, 0);
    struct host h = {
        .deadline_ns = deadline_ns,
        .flags = flags,
        .ready = is_ready,
        .go = go,
        .drops = &o->drops,
        .inner_reason = &o->reason,
        .ret_member = &o->member,
        .late = late,
    };

    future *host = task_start_in(outer, &host_task, &h);
    expect_ok(ready);
    scope_cancel(outer, -ECANCELED);
    let_loop_turn();
    if (let_go) {
        ck_assert_int_eq(o->drops, 0);
        promise_resolve(start, NULL, NULL);
    }
    expect_ok(host);
    expect_ok(scope_close(outer));
    scope_drop(outer);
    promise_drop(start);
    future_drop(go);
}

START_TEST(a_cancel_goes_down_into_a_scope_without_shield)
{
    struct outcome o = {0};

    cancel_around(&o, CLOCK_NEVER, 0, false, false);
    ck_assert_int_eq(o.reason, -ECANCELED);
    ck_assert_int_eq(o.member, FUTURE_CANCELLED);
}
END_TEST

START_TEST(a_shield_keeps_the_cancel_of_outer_scopes_off)
{
    struct outcome o = {0};

    cancel_around(&o, CLOCK_NEVER, SCOPE_SHIELD, false, true);
    ck_assert_int_eq(o.reason, 0);
    ck_assert_int_eq(o.member, FUTURE_OK);
}
END_TEST

START_TEST(a_cancelled_task_may_clean_up_in_a_shielded_scope_that_it_makes_then)
{
    struct outcome o = {0};

    cancel_around(&o, CLOCK_NEVER, SCOPE_SHIELD, true, true);
    ck_assert_int_eq(o.reason, 0);
    ck_assert_int_eq(o.member, FUTURE_OK);
}
END_TEST

START_TEST(a_shielded_scope_keeps_its_own_deadline)
{
    struct outcome o = {0};

    cancel_around(&o, clock_after_ms(clock_now_ns(), 20), SCOPE_SHIELD, false, false);
    ck_assert_int_eq(o.reason, -ETIMEDOUT);
    ck_assert_int_eq(o.member, FUTURE_CANCELLED);
}
END_TEST

START_TEST(a_shield_keeps_the_deadline_of_outer_scopes_off)
{
    future *ready, *go;
    promise *is_ready = new_promise(&ready), *start = new_promise(&go);
    struct scope *outer = new_scope(clock_after_ms(clock_now_ns(), 5), 0);
    struct outcome o = {0};
    struct host h = {
        .deadline_ns = CLOCK_NEVER,
        .flags = SCOPE_SHIELD,
        .ready = is_ready,
        .go = go,
        .drops = &o.drops,
        .inner_reason = &o.reason,
        .ret_member = &o.member,
    };

    future *host = task_start_in(outer, &host_task, &h);
    expect_ok(future_at(clock_after_ms(clock_now_ns(), 10)));
    ck_assert_int_eq(scope_cancelled(outer), -ETIMEDOUT);
    ck_assert_int_eq(o.drops, 0);
    promise_resolve(start, NULL, NULL);
    future_wait(host, CLOCK_NEVER);
    ck_assert_int_eq(o.member, o.drops ? FUTURE_OK : FUTURE_PENDING);
    future_drop(host);
    future_drop(ready);
    expect_ok(scope_close(outer));
    scope_drop(outer);
    promise_drop(start);
    future_drop(go);
}
END_TEST

START_TEST(stopping_the_runtime_waits_for_a_shielded_scope)
{
    struct outcome o = {0};
    future *ready;
    promise *is_ready = new_promise(&ready);
    struct host h = {
        .deadline_ns = clock_after_ms(clock_now_ns(), 20),
        .flags = SCOPE_SHIELD,
        .ready = is_ready,
        .drops = &o.drops,
        .inner_reason = &o.reason,
        .ret_member = &o.member,
    };

    future_drop(task_start(&host_task, &h));
    expect_ok(ready);
    ck_assert_int_eq(async_stop(), 0);
    ck_assert_int_eq(o.reason, -ETIMEDOUT); /* it had all of its time */
}
END_TEST

Suite *suite_scope_policy(void)
{
    Suite *suite = suite_create("scope_policy");
    TCase *failing = tcase_create("failing"), *shield = tcase_create("shield");
    TCase *cases[] = {failing, shield};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(failing,
                   a_scope_that_fails_fast_cancels_the_siblings_and_fails_with_the_first_error);
    tcase_add_test(failing, a_scope_that_collects_all_lets_the_siblings_go_on);
    tcase_add_test(failing, of_two_failures_the_scope_has_the_first);
    tcase_add_test(failing, a_cancelled_task_is_no_failure);
    tcase_add_test(failing, a_failure_on_a_thread_cancels_tasks_on_the_loop);
    tcase_add_test(failing, a_late_spawn_is_refused_after_a_failure);
    tcase_add_test(shield, a_cancel_goes_down_into_a_scope_without_shield);
    tcase_add_test(shield, a_shield_keeps_the_cancel_of_outer_scopes_off);
    tcase_add_test(shield, a_cancelled_task_may_clean_up_in_a_shielded_scope_that_it_makes_then);
    tcase_add_test(shield, a_shielded_scope_keeps_its_own_deadline);
    tcase_add_test(shield, a_shield_keeps_the_deadline_of_outer_scopes_off);
    tcase_add_test(shield, stopping_the_runtime_waits_for_a_shielded_scope);
    return suite;
}
