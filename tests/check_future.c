#include "core/async/future.h"

#include "core/async/loop.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/player.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RACES = 3000 };

static void count_up(void *counter)
{
    atomic_fetch_add((atomic_int *)counter, 1);
}

/* -- settling ---------------------------------------------------------------------------------- */

START_TEST(the_first_settle_counts_and_later_ones_answer_ealready)
{
    atomic_int destroyed = 0, refused = 0;
    future *f;
    promise *p = new_promise(&f);

    ck_assert_int_eq(future_state(f), FUTURE_PENDING);
    ck_assert_int_eq(future_error(f), 0);
    ck_assert_ptr_null(future_value(f));
    ck_assert_int_eq(promise_resolve(p, &destroyed, count_up), 0);
    ck_assert_int_eq(promise_resolve(p, &refused, count_up), -EALREADY);
    ck_assert_int_eq(promise_fail(p, -EIO, &refused, count_up), -EALREADY);
    ck_assert_int_eq(promise_cancel(p), -EALREADY);
    ck_assert_int_eq(refused, 2); /* consumed all the same */
    ck_assert_int_eq(future_state(f), FUTURE_OK);
    ck_assert_int_eq(future_error(f), 0);
    ck_assert_ptr_eq(future_value(f), &destroyed);
    ck_assert_ptr_null(promise_drop(p));
    ck_assert_int_eq(destroyed, 0);
    ck_assert_ptr_null(future_drop(f));
    ck_assert_int_eq(destroyed, 1);
}
END_TEST

START_TEST(a_value_lives_until_the_last_reference_is_gone)
{
    atomic_int destroyed = 0;
    future *f;
    promise *p = new_promise(&f);

    ck_assert_ptr_eq(future_ref(f), f);
    promise_resolve(p, &destroyed, count_up);
    future_drop(f);
    ck_assert_int_eq(destroyed, 0);
    future_drop(f);
    ck_assert_int_eq(destroyed, 0); /* the promise holds one */
    promise_drop(p);
    ck_assert_int_eq(destroyed, 1);
}
END_TEST

START_TEST(a_failure_carries_its_detail)
{
    atomic_int destroyed = 0;
    future *f;
    promise *p = new_promise(&f);

    promise_fail(p, 42, &destroyed, count_up);
    promise_drop(p);
    ck_assert_int_eq(future_state(f), FUTURE_FAILED);
    ck_assert_ptr_eq(future_value(f), &destroyed);
    expect(f, FUTURE_FAILED, 42);
    ck_assert_int_eq(destroyed, 1);
}
END_TEST

START_TEST(a_promise_dropped_unsettled_fails_with_eownerdead)
{
    future *f;

    promise_drop(new_promise(&f));
    expect(f, FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_ptr_null(promise_drop(NULL));
    ck_assert_ptr_null(future_drop(NULL));
}
END_TEST

START_TEST(the_shared_futures_are_settled_and_outlive_every_drop)
{
    for (int i = 0; i < 3; i++) {
        expect_ok(future_done());
        expect(future_cancelled(), FUTURE_CANCELLED, -ECANCELED);
        expect(future_out_of_memory(), FUTURE_FAILED, -ENOMEM);
    }
    ck_assert_int_eq(future_cancel(future_done()), -EALREADY);
}
END_TEST

/* -- waiting ----------------------------------------------------------------------------------- */

static void resolve(void *arg)
{
    promise_resolve(arg, NULL, NULL);
}

START_TEST(a_plain_thread_blocks_until_the_future_is_settled)
{
    future *f;
    promise *p = new_promise(&f);

    let_loop_turn();
    ck_assert(!future_settled(f));
    on_loop(resolve, p);
    expect_ok(f);
    promise_drop(p);
}
END_TEST

START_TEST(a_wait_that_times_out_does_not_cancel)
{
    future *f;
    promise *p = new_promise(&f);

    ck_assert_int_eq(future_wait(f, 0), -ETIMEDOUT);
    expect_now(0);
    ck_assert_int_eq(future_wait(f, at(2)), -ETIMEDOUT);
    expect_now(2);
    let_loop_turn();
    ck_assert_int_eq(future_state(f), FUTURE_PENDING);
    ck_assert_int_eq(promise_resolve(p, NULL, NULL), 0);
    ck_assert_int_eq(future_wait(f, 0), 0); /* settled: answers though the deadline has passed */
    expect_ok(f);
    promise_drop(p);
}
END_TEST

struct loop_wait {
    future *f;
    int rc;
};

static void wait_on_loop(void *arg)
{
    struct loop_wait *w = arg;

    w->rc = future_wait(w->f, CLOCK_NEVER);
}

START_TEST(the_loop_thread_never_blocks_but_sees_what_is_settled)
{
    struct loop_wait w = {.rc = 1};
    promise *p = new_promise(&w.f);

    on_loop(wait_on_loop, &w);
    ck_assert_int_eq(w.rc, -EDEADLK);
    promise_resolve(p, NULL, NULL);
    on_loop(wait_on_loop, &w);
    ck_assert_int_eq(w.rc, 0);
    promise_drop(p);
    future_drop(w.f);
}
END_TEST

static void *wait_for_it(void *arg)
{
    ck_assert_int_eq(future_wait(arg, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    future_drop(arg);
    return NULL;
}

START_TEST(every_waiting_thread_is_woken_by_one_settle)
{
    enum { WAITERS = 3, ROUNDS = 100 };
    pthread_t threads[WAITERS];

    for (int round = 0; round < ROUNDS; round++) {
        future *f;
        promise *p = new_promise(&f);
        for (int i = 0; i < WAITERS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_for_it, future_ref(f)), 0);
        promise_resolve(p, NULL, NULL);
        promise_drop(p);
        future_drop(f);
        for (int i = 0; i < WAITERS; i++)
            pthread_join(threads[i], NULL);
    }
}
END_TEST

/* -- continuations ----------------------------------------------------------------------------- */

static void copy_outcome(future *done, promise *next, void *arg)
{
    enum executor where = loop_is_here() ? EXECUTOR_LOOP : EXECUTOR_THREAD;

    if (where != *(enum executor *)arg)
        promise_fail(next, -EXDEV, NULL, NULL);
    else if (future_ok(done))
        promise_resolve(next, NULL, NULL);
    else
        promise_fail(next, future_error(done), NULL, NULL);
    promise_drop(next);
}

/* _i: outcome, executor, and whether the source is settled before the continuation is attached. */
START_TEST(a_continuation_runs_on_its_executor_whatever_the_outcome)
{
    enum executor where = _i & 1 ? EXECUTOR_THREAD : EXECUTOR_LOOP;
    bool settled_before = _i & 2;
    int error = (const int[]){0, -EIO, -ECANCELED}[_i >> 2];
    future *f, *result = NULL;
    promise *p = new_promise(&f);

    if (!settled_before)
        result = future_then(f, where, copy_outcome, &where);
    if (error == 0)
        promise_resolve(p, NULL, NULL);
    else if (error == -ECANCELED)
        promise_cancel(p);
    else
        promise_fail(p, error, NULL, NULL);
    if (settled_before)
        result = future_then(f, where, copy_outcome, &where);
    promise_drop(p);
    future_drop(f);
    expect(result, error ? FUTURE_FAILED : FUTURE_OK, error);
}
END_TEST

struct inline_check {
    bool attached, early;
    future *result;
};

static void note_early(future *done, promise *next, void *arg)
{
    struct inline_check *c = arg;

    (void)done;
    c->early = !c->attached;
    promise_resolve(next, NULL, NULL);
    promise_drop(next);
}

static void attach_to_settled(void *arg)
{
    struct inline_check *c = arg;

    c->result = future_then(future_done(), EXECUTOR_LOOP, note_early, c);
    c->attached = true;
}

static void attach_and_settle(void *arg)
{
    struct inline_check *c = arg;
    future *f;
    promise *p = new_promise(&f);

    c->result = future_then(f, EXECUTOR_LOOP, note_early, c);
    promise_resolve(p, NULL, NULL);
    c->attached = true;
    promise_drop(p);
    future_drop(f);
}

START_TEST(a_continuation_never_runs_inside_the_call_that_makes_it_ready)
{
    struct inline_check settled = {0}, settling = {0};

    on_loop(attach_to_settled, &settled);
    on_loop(attach_and_settle, &settling);
    expect_ok(settled.result);
    expect_ok(settling.result);
    ck_assert(!settled.early);
    ck_assert(!settling.early);
}
END_TEST

static void drop_unsettled(future *done, promise *next, void *arg)
{
    (void)done;
    (void)arg;
    promise_drop(next);
}

START_TEST(a_continuation_that_gives_no_answer_fails_with_eownerdead)
{
    expect(future_then(future_done(), EXECUTOR_LOOP, drop_unsettled, NULL), FUTURE_FAILED,
           -EOWNERDEAD);
    expect(future_then(future_done(), EXECUTOR_THREAD, drop_unsettled, NULL), FUTURE_FAILED,
           -EOWNERDEAD);
}
END_TEST

/* A chain of continuations, each ready at once, that goes on until something else happened. */
struct chain {
    atomic_bool stop;
    int event;
    long links;
    promise *end;
};

static void next_link(future *done, promise *next, void *arg)
{
    struct chain *c = arg;

    (void)done;
    promise_drop(next);
    c->links++;
    if (c->event >= 0 && c->links == 10)
        ck_assert_int_eq(eventfd_write(c->event, 1), 0);
    if (c->stop)
        c->end = promise_drop(c->end);
    else
        future_drop(future_then(future_done(), EXECUTOR_LOOP, next_link, c));
}

static void stop_chain(future *done, promise *next, void *arg)
{
    (void)done;
    ((struct chain *)arg)->stop = true;
    promise_drop(next);
}

START_TEST(a_long_ready_chain_does_not_starve_the_timers)
{
    struct chain c = {.event = -1};
    future *end;

    c.end = new_promise(&end);
    future *timer = future_at(clock_after_ms(clock_now_ns(), 5));
    future_drop(future_then(timer, EXECUTOR_LOOP, stop_chain, &c));
    future_drop(timer);
    future_drop(future_then(future_done(), EXECUTOR_LOOP, next_link, &c));
    expect(end, FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_gt(c.links, 10);
}
END_TEST

static void stop_chain_on_event(void *arg, int fd, uint32_t events)
{
    (void)events;
    ((struct chain *)arg)->stop = true;
    loop_unwatch(fd);
}

static void watch_chain(void *arg)
{
    struct chain *c = arg;

    ck_assert_int_eq(loop_watch(c->event, EPOLLIN, stop_chain_on_event, c), 0);
}

static void forget_chain(void *arg)
{
    loop_forget(((struct chain *)arg)->event);
}

START_TEST(a_long_ready_chain_does_not_starve_the_descriptors)
{
    struct chain c = {.event = eventfd(0, EFD_CLOEXEC)};
    future *end;

    c.end = new_promise(&end);
    on_loop(watch_chain, &c);
    future_drop(future_then(future_done(), EXECUTOR_LOOP, next_link, &c));
    expect(end, FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_ge(c.links, 10);
    on_loop(forget_chain, &c);
    close(c.event);
}
END_TEST

START_TEST(what_is_ready_when_the_runtime_stops_is_still_run)
{
    enum { LINKS = 100 };
    static const enum executor where[] = {EXECUTOR_LOOP, EXECUTOR_THREAD};
    future *f;
    promise *p = new_promise(&f);

    for (int i = 0; i < LINKS; i++) {
        future *next = future_then(f, where[i % 2], drop_unsettled, NULL);
        future_drop(f);
        f = next;
    }
    promise_drop(p);
    ck_assert_int_eq(async_stop(), 0);
    ck_assert_int_eq(future_error(f), -EOWNERDEAD);
    future_drop(f);
}
END_TEST

/* -- cancelling -------------------------------------------------------------------------------- */

/* Makes itself ready again, so many times. */
static void go_round(future *done, promise *next, void *arg)
{
    int *left = arg;

    if (--*left > 0)
        future_drop(future_then(done, EXECUTOR_LOOP, go_round, left));
    promise_resolve(next, NULL, NULL);
    promise_drop(next);
}

START_TEST(what_becomes_ready_while_the_runtime_stops_is_still_run)
{
    int left = 1000000; /* far more than it takes to stop */

    future_drop(future_then(future_done(), EXECUTOR_LOOP, go_round, &left));
    ck_assert_int_eq(async_stop(), 0);
    ck_assert_int_eq(left, 0);
}
END_TEST

START_TEST(a_promise_without_a_hook_is_cancelled)
{
    future *f;
    promise *p = new_promise(&f);

    ck_assert_int_eq(future_cancel(f), 0);
    expect(future_ref(f), FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(promise_resolve(p, NULL, NULL), -EALREADY);
    ck_assert_int_eq(future_cancel(f), -EALREADY);
    promise_drop(p);
    future_drop(f);
}
END_TEST

struct hook {
    int calls;
    bool on_loop, decline;
};

static void cancel_hook(promise *p, void *arg)
{
    struct hook *h = arg;

    h->calls++;
    h->on_loop = loop_is_here();
    if (!h->decline)
        promise_cancel(p);
}

START_TEST(a_cancel_hook_runs_once_on_the_loop_and_decides)
{
    struct hook h = {0};
    future *f;
    promise *p = new_promise(&f);

    promise_on_cancel(p, cancel_hook, &h);
    for (int i = 0; i < 3; i++)
        future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    let_loop_turn();
    ck_assert_int_eq(h.calls, 1);
    ck_assert(h.on_loop);
    promise_drop(p);
}
END_TEST

START_TEST(a_cancel_hook_may_let_the_work_end_as_it_does)
{
    struct hook h = {.decline = true};
    future *f;
    promise *p = new_promise(&f);

    promise_on_cancel(p, cancel_hook, &h);
    ck_assert_int_eq(future_cancel(f), 0);
    let_loop_turn();
    ck_assert_int_eq(h.calls, 1);
    ck_assert(!future_settled(f));
    ck_assert_int_eq(promise_resolve(p, NULL, NULL), 0);
    expect_ok(f);
    promise_drop(p);
}
END_TEST

START_TEST(a_settled_promises_hook_is_not_called)
{
    struct hook h = {0};
    future *f;
    promise *p = new_promise(&f);

    promise_on_cancel(p, cancel_hook, &h);
    promise_resolve(p, NULL, NULL);
    ck_assert_int_eq(future_cancel(f), -EALREADY);
    let_loop_turn();
    ck_assert_int_eq(h.calls, 0);
    promise_drop(p);
    future_drop(f);
}
END_TEST

static void pass_error(future *done, promise *next, void *arg)
{
    (void)arg;
    promise_fail(next, future_error(done), NULL, NULL);
    promise_drop(next);
}

START_TEST(cancelling_a_continuations_result_cancels_its_source)
{
    struct hook h = {0};
    future *f;
    promise *p = new_promise(&f);
    future *result = future_then(f, EXECUTOR_LOOP, pass_error, NULL);

    promise_on_cancel(p, cancel_hook, &h);
    ck_assert_int_eq(future_cancel(result), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect(result, FUTURE_FAILED, -ECANCELED); /* it ran, and saw how its source ended */
    ck_assert_int_eq(h.calls, 1);
    promise_drop(p);
}
END_TEST

static void keep_promise(future *done, promise *next, void *arg)
{
    (void)done;
    *(promise **)arg = next;
}

START_TEST(a_continuation_that_has_run_is_not_asked_to_cancel_its_source)
{
    promise *kept = NULL;
    future *result = future_then(future_done(), EXECUTOR_LOOP, keep_promise, &kept);

    let_loop_turn();
    ck_assert_ptr_nonnull(kept);
    ck_assert_int_eq(future_cancel(result), 0);
    expect(result, FUTURE_CANCELLED, -ECANCELED);
    promise_drop(kept);
}
END_TEST

static void cancel_other(future *done, promise *next, void *arg)
{
    ck_assert_int_eq(future_cancel(done), -EALREADY);
    ck_assert_int_eq(future_cancel(arg), 0);
    promise_resolve(next, NULL, NULL);
    promise_drop(next);
}

START_TEST(a_continuation_may_cancel_another_future)
{
    future *source, *other;
    promise *p = new_promise(&source), *q = new_promise(&other);
    enum executor where = _i ? EXECUTOR_THREAD : EXECUTOR_LOOP;
    future *result = future_then(source, where, cancel_other, other);

    promise_resolve(p, NULL, NULL);
    expect_ok(result);
    expect(other, FUTURE_CANCELLED, -ECANCELED);
    future_drop(source);
    promise_drop(p);
    promise_drop(q);
}
END_TEST

struct self {
    promise *go;
    future *source, *result;
};

static void cancel_and_drop_own(future *done, promise *next, void *arg)
{
    struct self *s = arg;

    ck_assert_ptr_eq(done, s->source);
    ck_assert_int_eq(future_cancel(s->result), 0);
    s->result = future_drop(s->result);
    s->source = future_drop(s->source);
    ck_assert(future_settled(done)); /* borrowed until this returns */
    promise_drop(next);
    s->go = promise_drop(s->go);
}

START_TEST(a_continuation_may_cancel_its_result_and_drop_all_it_knows)
{
    struct self s;
    future *end;
    promise *p = new_promise(&s.source);
    enum executor where = _i ? EXECUTOR_THREAD : EXECUTOR_LOOP;

    s.go = new_promise(&end);
    s.result = future_then(s.source, where, cancel_and_drop_own, &s);
    promise_drop(p);
    expect(end, FUTURE_FAILED, -EOWNERDEAD);
}
END_TEST

struct race {
    pthread_barrier_t line;
    promise *p;
    future *f;
    int rc;
    bool over;
};

static void *racing_resolver(void *arg)
{
    struct race *r = arg;

    for (;;) {
        pthread_barrier_wait(&r->line);
        if (r->over)
            return NULL;
        static atomic_int ignored;
        r->rc = promise_resolve(r->p, &ignored, count_up);
        pthread_barrier_wait(&r->line);
    }
}

static pthread_t start_race(struct race *r)
{
    pthread_t thread;

    pthread_barrier_init(&r->line, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, racing_resolver, r), 0);
    return thread;
}

static void end_race(struct race *r, pthread_t thread)
{
    r->over = true;
    pthread_barrier_wait(&r->line);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&r->line);
}

START_TEST(of_a_cancel_and_a_settle_that_race_exactly_one_wins)
{
    struct race r = {0};
    pthread_t thread = start_race(&r);

    for (int i = 0; i < RACES; i++) {
        r.p = new_promise(&r.f);
        pthread_barrier_wait(&r.line);
        future_cancel(r.f);
        pthread_barrier_wait(&r.line);
        ck_assert(future_settled(r.f));
        ck_assert_int_eq(future_ok(r.f), r.rc == 0);
        ck_assert_int_eq(future_state(r.f) == FUTURE_CANCELLED, r.rc == -EALREADY);
        promise_drop(r.p);
        future_drop(r.f);
    }
    end_race(&r, thread);
}
END_TEST

START_TEST(of_two_settles_that_race_exactly_one_wins)
{
    struct race r = {0};
    pthread_t thread = start_race(&r);
    atomic_int destroyed = 0;

    for (int i = 0; i < RACES; i++) {
        r.p = new_promise(&r.f);
        pthread_barrier_wait(&r.line);
        int rc = promise_fail(r.p, -EIO, &destroyed, count_up);
        pthread_barrier_wait(&r.line);
        ck_assert_int_eq((rc == 0) + (r.rc == 0), 1);
        ck_assert_int_eq(future_error(r.f), rc == 0 ? -EIO : 0);
        promise_drop(r.p);
        future_drop(r.f);
        ck_assert_int_eq(destroyed, i + 1);
    }
    end_race(&r, thread);
}
END_TEST

START_TEST(a_wait_that_gives_up_while_the_future_is_settled_is_safe)
{
    struct race r = {0};
    pthread_t thread = start_race(&r);

    for (int i = 0; i < RACES; i++) {
        r.p = new_promise(&r.f);
        pthread_barrier_wait(&r.line);
        int rc = future_wait(r.f, clock_now_ns() + (uint64_t)(i % 50) * 1000);
        ck_assert(rc == 0 || rc == -ETIMEDOUT);
        ck_assert(rc != 0 || future_ok(r.f));
        pthread_barrier_wait(&r.line);
        ck_assert(future_ok(r.f));
        promise_drop(r.p);
        future_drop(r.f);
    }
    end_race(&r, thread);
}
END_TEST

Suite *suite_future(void)
{
    Suite *suite = suite_create("future");
    TCase *settling = tcase_create("settling"), *waiting = tcase_create("waiting");
    TCase *time = tcase_create("virtual time");
    TCase *then = tcase_create("continuations"), *cancel = tcase_create("cancelling");
    TCase *cases[] = {settling, waiting, time, then, cancel};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], cases[i] == time ? mock_setup : async_setup,
                                  async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(settling, the_first_settle_counts_and_later_ones_answer_ealready);
    tcase_add_test(settling, a_value_lives_until_the_last_reference_is_gone);
    tcase_add_test(settling, a_failure_carries_its_detail);
    tcase_add_test(settling, a_promise_dropped_unsettled_fails_with_eownerdead);
    tcase_add_test(settling, the_shared_futures_are_settled_and_outlive_every_drop);
    tcase_add_test(waiting, a_plain_thread_blocks_until_the_future_is_settled);
    tcase_add_test(time, a_wait_that_times_out_does_not_cancel);
    tcase_add_test(waiting, the_loop_thread_never_blocks_but_sees_what_is_settled);
    tcase_add_test(waiting, every_waiting_thread_is_woken_by_one_settle);
    tcase_add_loop_test(then, a_continuation_runs_on_its_executor_whatever_the_outcome, 0, 12);
    tcase_add_test(then, a_continuation_never_runs_inside_the_call_that_makes_it_ready);
    tcase_add_test(then, a_continuation_that_gives_no_answer_fails_with_eownerdead);
    tcase_add_test(then, a_long_ready_chain_does_not_starve_the_timers);
    tcase_add_test(then, a_long_ready_chain_does_not_starve_the_descriptors);
    tcase_add_test(then, what_is_ready_when_the_runtime_stops_is_still_run);
    tcase_add_test(then, what_becomes_ready_while_the_runtime_stops_is_still_run);
    tcase_add_test(cancel, a_promise_without_a_hook_is_cancelled);
    tcase_add_test(cancel, a_cancel_hook_runs_once_on_the_loop_and_decides);
    tcase_add_test(cancel, a_cancel_hook_may_let_the_work_end_as_it_does);
    tcase_add_test(cancel, a_settled_promises_hook_is_not_called);
    tcase_add_test(cancel, cancelling_a_continuations_result_cancels_its_source);
    tcase_add_test(cancel, a_continuation_that_has_run_is_not_asked_to_cancel_its_source);
    tcase_add_loop_test(cancel, a_continuation_may_cancel_another_future, 0, 2);
    tcase_add_loop_test(cancel, a_continuation_may_cancel_its_result_and_drop_all_it_knows, 0, 2);
    tcase_add_test(cancel, of_a_cancel_and_a_settle_that_race_exactly_one_wins);
    tcase_add_test(cancel, of_two_settles_that_race_exactly_one_wins);
    tcase_add_test(cancel, a_wait_that_gives_up_while_the_future_is_settled_is_safe);
    return suite;
}
