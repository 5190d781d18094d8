/* as_completed(): futures told through a channel, in the order in which they settle. */
#include "core/async/async.h"
#include "core/async/mock.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/gates.h"

#include <errno.h>

/* The next one, which the caller owns; NULL when there will be none. */
static future *next(struct channel *c)
{
    future *ready = channel_ready(c);
    void *item = NULL;

    ck_assert_int_eq(future_wait(ready, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    if (future_ok(ready))
        ck_assert(channel_try_get(c, &item));
    else
        ck_assert_int_eq(future_error(ready), -EPIPE);
    future_drop(ready);
    return item;
}

static void expect_next(struct channel *c, const future *f)
{
    future *got = next(c);

    ck_assert_ptr_eq(got, f);
    future_drop(got);
}

static struct channel *complete(future *const *fs, size_t n, size_t capacity)
{
    struct channel *c = as_completed(fs, n, capacity);

    ck_assert_ptr_nonnull(c);
    return c;
}

START_TEST(they_are_told_in_the_order_in_which_they_settle)
{
    static const int order[GATES] = {2, 4, 0, 3, 1};
    struct gates g;

    gates_open(&g);
    gates_settle(&g, 4, FUTURE_FAILED); /* before the call: in the order given */
    gates_settle(&g, 2, FUTURE_OK);
    struct channel *c = complete(g.f, GATES, (size_t)_i + 1);
    gates_settle(&g, 0, FUTURE_CANCELLED);
    gates_settle(&g, 3, FUTURE_OK);
    for (int i = 0; i < GATES; i++) {
        if (i == GATES - 1)
            gates_settle(&g, 1, FUTURE_OK);
        expect_next(c, g.f[order[i]]);
    }
    expect_next(c, NULL);
    channel_drop(c);
    future_state(g.f[4]);
    gates_close(&g);
}
END_TEST

START_TEST(one_that_is_given_twice_is_told_twice)
{
    struct channel *c = complete((future *[]){future_done(), future_done()}, 2, 1);

    expect_next(c, future_done());
    expect_next(c, future_done());
    expect_next(c, NULL);
    channel_drop(c);
}
END_TEST

START_TEST(of_no_futures_nothing_is_told)
{
    struct channel *c = complete(NULL, 0, 1);

    expect_next(c, NULL);
    channel_drop(c);
}
END_TEST

/* Gets what can be got before the loop has another turn. */
struct grab {
    struct channel *c;
    size_t n;
};

static void grab(void *arg)
{
    struct grab *g = arg;

    for (void *item; channel_try_get(g->c, &item); g->n++)
        future_drop(item);
}

START_TEST(a_full_channel_holds_up_the_telling_and_not_the_futures)
{
    struct gates g;
    size_t capacity = (size_t)_i + 1;

    gates_open(&g);
    struct channel *c = complete(g.f, GATES, capacity);
    for (int i = 0; i < GATES; i++)
        gates_settle(&g, i, FUTURE_OK);
    let_loop_turn();
    struct grab first = {.c = c};
    on_loop(grab, &first);
    ck_assert_uint_eq(first.n, capacity + 1); /* and the one that was parked */
    for (size_t i = first.n; i < GATES; i++)
        expect_next(c, g.f[i]);
    expect_next(c, NULL);
    channel_drop(c);
    gates_close(&g);
}
END_TEST

START_TEST(a_future_that_was_told_is_kept_no_longer)
{
    struct gates g;

    gates_open(&g);
    struct channel *c = complete(g.f, GATES, 1);
    g.f[3] = future_drop(g.f[3]);
    gates_settle(&g, 3, FUTURE_OK);
    future_drop(next(c));
    let_loop_turn();
    ck_assert_int_eq(gates_destroyed, 1);
    channel_drop(c);
    gates_close(&g);
}
END_TEST

/* _i: 0 it is dropped; 1 it is closed. */
START_TEST(a_channel_that_is_given_up_ends_the_telling_and_leaves_the_futures_alone)
{
    for (int settled = 0; settled <= GATES; settled++) { /* the teller waits for one, or for room */
        struct gates g;
        gates_open_stubborn(&g);
        struct channel *c = complete(g.f, GATES, 1);
        for (int i = 0; i < settled; i++)
            gates_settle(&g, i, FUTURE_OK);
        let_loop_turn();
        if (_i == 0)
            c = channel_drop(c);
        else
            channel_close(c);
        gates_expect_left_alone(&g);
        channel_drop(c);
        for (int i = 0; i < GATES; i++) {
            ck_assert_int_eq(future_settled(g.f[i]), i < settled);
            g.f[i] = future_drop(g.f[i]);
        }
        ck_assert_int_eq(gates_destroyed, settled);
        for (int i = settled; i < GATES; i++)
            gates_settle(&g, i, FUTURE_OK);
    }
}
END_TEST

START_TEST(a_channel_may_be_given_up_at_any_time)
{
    struct settlers settlers;

    settlers_start(&settlers);
    for (int round = 0; round < ROUNDS_OF_THREADS; round++) {
        struct gates g;
        gates_open(&g);
        settlers_go(&settlers, &g, FUTURE_OK);
        struct channel *c = complete(g.f, GATES, 1);
        for (int i = 0; i < round % (GATES + 2); i++)
            future_drop(next(c));
        channel_drop(c);
        settlers_wait(&settlers);
        gates_close(&g);
    }
    settlers_end(&settlers);
}
END_TEST

START_TEST(each_is_told_once_whatever_threads_settle_them)
{
    enum { ROUNDS = 1000 };
    struct settlers settlers;

    settlers_start(&settlers);
    for (int round = 0; round < ROUNDS; round++) {
        struct gates g;
        int told[GATES] = {0};
        gates_open(&g);
        settlers_go(&settlers, &g, FUTURE_OK);
        struct channel *c = complete(g.f, GATES, (size_t)(round % GATES) + 1);
        for (future *f; (f = next(c)); future_drop(f)) {
            ck_assert(future_settled(f));
            for (int i = 0; i < GATES; i++)
                told[i] += g.f[i] == f;
        }
        for (int i = 0; i < GATES; i++)
            ck_assert_int_eq(told[i], 1);
        settlers_wait(&settlers);
        channel_drop(c);
        gates_close(&g);
    }
    settlers_end(&settlers);
}
END_TEST

/* Calls as_completed() in its scope, which it cancels before when it is told to. */
struct in_scope {
    struct scope *scope;
    bool cancel;
    future **fs;
    struct channel **ret;
};

static int in_scope_step(task *t, void *frame)
{
    struct in_scope *s = frame;

    (void)t;
    if (s->cancel)
        scope_cancel(s->scope, -ECANCELED);
    *s->ret = as_completed(s->fs, GATES, 1);
    return TASK_FINISHED;
}
TASK(in_scope_task, ON_LOOP, sizeof(struct in_scope), .step = in_scope_step);

/* _i: 0 the scope is cancelled later; 1 it is cancelled already. */
START_TEST(the_end_of_the_scope_closes_the_channel_and_leaves_the_futures_alone)
{
    struct scope *s = scope_new(CLOCK_NEVER, 0);
    struct channel *c = NULL;
    struct gates g;

    gates_open_stubborn(&g);
    gates_settle(&g, 3, FUTURE_OK);
    expect_ok(task_start_in(s, &in_scope_task, &(struct in_scope){s, _i == 1, g.f, &c}));
    ck_assert_ptr_nonnull(c);
    if (_i == 0) {
        let_loop_turn();
        scope_cancel(s, -ECANCELED);
    }
    expect_ok(scope_close(s));
    if (_i == 0)
        expect_next(c, g.f[3]);
    expect_next(c, NULL);
    gates_expect_left_alone(&g);
    channel_drop(c);
    scope_drop(s);
    gates_close(&g);
}
END_TEST

START_TEST(a_failure_that_was_told_and_not_looked_at_is_unseen)
{
    struct gates g;

    gates_open(&g);
    struct channel *c = complete(g.f, GATES, GATES);
    for (int i = 0; i < 3; i++)
        gates_settle(&g, i, FUTURE_FAILED);
    future *looked_at = next(c);
    ck_assert_int_eq(future_error(looked_at), 100);
    future_drop(looked_at);
    future_drop(next(c));
    channel_drop(c);
    gates_close(&g);
    let_loop_turn();
    ck_assert_int_eq(failures_unseen, 2);
}
END_TEST

START_TEST(what_takes_shorter_is_told_first_in_every_order_of_turns)
{
    enum { SEEDS = 100 };

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        future *naps[GATES];
        ck_assert_int_eq(mock_start(&(struct mock_options){.seed = seed}), 0);
        for (unsigned i = 0; i < GATES; i++) /* 2, 5, 3, 1, 4 */
            naps[i] = future_at(MOCK_EPOCH_NS + ((i * 3 + 1) % GATES + 1) * NS_PER_SEC);
        struct channel *c = complete(naps, GATES, seed % GATES + 1);
        for (int i = 0; i < GATES; i++)
            expect_next(c, naps[(const int[GATES]){3, 0, 2, 4, 1}[i]]);
        expect_next(c, NULL);
        channel_drop(c);
        ck_assert_uint_eq(async_now_ns(), MOCK_EPOCH_NS + GATES * NS_PER_SEC);
        for (int i = 0; i < GATES; i++)
            future_drop(naps[i]);
        ck_assert_int_eq(async_stop(), 0);
        ck_assert_int_eq(async_counts().futures, 0);
    }
}
END_TEST

Suite *suite_as_completed(void)
{
    Suite *suite = suite_create("as_completed");
    TCase *telling = tcase_create("telling"), *ending = tcase_create("ending");
    TCase *cases[] = {telling, ending};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], gates_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_loop_test(telling, they_are_told_in_the_order_in_which_they_settle, 0, GATES);
    tcase_add_test(telling, one_that_is_given_twice_is_told_twice);
    tcase_add_test(telling, of_no_futures_nothing_is_told);
    tcase_add_loop_test(telling, a_full_channel_holds_up_the_telling_and_not_the_futures, 0, 3);
    tcase_add_test(telling, a_future_that_was_told_is_kept_no_longer);
    tcase_add_test(telling, each_is_told_once_whatever_threads_settle_them);
    tcase_add_test(telling, what_takes_shorter_is_told_first_in_every_order_of_turns);
    tcase_add_test(telling, a_failure_that_was_told_and_not_looked_at_is_unseen);
    tcase_add_loop_test(
        ending, a_channel_that_is_given_up_ends_the_telling_and_leaves_the_futures_alone, 0, 2);
    tcase_add_test(ending, a_channel_may_be_given_up_at_any_time);
    tcase_add_loop_test(ending,
                        the_end_of_the_scope_closes_the_channel_and_leaves_the_futures_alone, 0, 2);
    return suite;
}
