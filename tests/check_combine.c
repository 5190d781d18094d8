#include "core/async/combine.h"

#include "core/async/async.h"
#include "core/async/internal.h"
#include "core/async/mock.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/gates.h"

#include <errno.h>

typedef future *combinator(future *const *fs, size_t n);

static combinator *const combinators[] = {future_all, future_any, future_race};
enum { OF_ALL, OF_ANY, OF_RACE, COMBINATORS };

/* -- what decides ------------------------------------------------------------------------------ */

START_TEST(all_is_ok_when_all_are_and_gives_them_in_the_order_given)
{
    static const int order[GATES] = {3, 0, 4, 1, 2};
    struct gates g;

    gates_open(&g);
    future *f = future_all(g.f, GATES);
    for (int i = 0; i < GATES; i++) {
        expect_pending(f);
        gates_settle(&g, order[i], FUTURE_OK);
    }
    expect_ok(future_ref(f));
    future *const *got = future_value(f);
    for (int i = 0; i < GATES; i++)
        ck_assert_ptr_eq(got[i], g.f[i]);
    ck_assert_int_eq(future_cancel(f), -EALREADY);
    future_drop(f);
    gates_close(&g);
}
END_TEST

/* _i: it is ok, it fails, it is cancelled. */
static const enum future_state outcomes[] = {FUTURE_OK, FUTURE_FAILED, FUTURE_CANCELLED};
enum { OUTCOMES = 3 };

/* That `f` was settled by input `i`, as `state`; drops it. */
static void expect_by(future *f, const struct gates *g, int i, enum future_state state)
{
    expect(future_ref(f), state, gates_error(i, state));
    ck_assert_ptr_eq(future_value(f), state == FUTURE_CANCELLED ? NULL : g->f[i]);
    future_drop(f);
}

static void expect_losers(struct gates *g, int first, int second)
{
    expect(future_ref(g->f[first]), FUTURE_CANCELLED, -ECANCELED);
    expect(future_ref(g->f[second]), FUTURE_CANCELLED, -ECANCELED);
}

START_TEST(the_first_that_is_not_ok_decides_all_and_the_others_are_cancelled)
{
    struct gates g;

    gates_open(&g);
    future *f = future_all(g.f, GATES);
    gates_settle(&g, 3, FUTURE_OK);
    gates_settle(&g, 0, FUTURE_OK);
    expect_pending(f);
    gates_settle(&g, 2, outcomes[_i]);
    expect_by(f, &g, 2, outcomes[_i]);
    expect_losers(&g, 1, 4);
    gates_close(&g);
}
END_TEST

START_TEST(the_first_that_is_ok_decides_any_and_the_others_are_cancelled)
{
    struct gates g;

    gates_open(&g);
    future *f = future_any(g.f, GATES);
    gates_settle(&g, 0, FUTURE_FAILED);
    gates_settle(&g, 4, FUTURE_CANCELLED);
    expect_pending(f);
    gates_settle(&g, 2, FUTURE_OK);
    expect_by(f, &g, 2, FUTURE_OK);
    expect_losers(&g, 1, 3);
    gates_close(&g);
}
END_TEST

START_TEST(when_none_is_ok_any_is_as_the_last_one)
{
    struct gates g;

    gates_open(&g);
    future *f = future_any(g.f, GATES);
    for (int i = GATES - 1; i > 0; i--) {
        gates_settle(&g, i, i % 2 ? FUTURE_FAILED : FUTURE_CANCELLED);
        expect_pending(f);
    }
    gates_settle(&g, 0, outcomes[_i]);
    expect_by(f, &g, 0, outcomes[_i]);
    gates_close(&g);
}
END_TEST

START_TEST(the_first_that_settles_however_it_does_decides_a_race)
{
    struct gates g;

    gates_open(&g);
    future *f = future_race(g.f, GATES);
    expect_pending(f);
    gates_settle(&g, 2, outcomes[_i]);
    expect_by(f, &g, 2, outcomes[_i]);
    expect_losers(&g, 0, 4);
    gates_close(&g);
}
END_TEST

/* Both may settle before the loop has looked at either. */
START_TEST(of_two_that_settle_right_after_the_call_the_first_wins_the_race)
{
    enum { ROUNDS = 1000 };

    for (int round = 0; round < ROUNDS; round++) {
        struct gates g;
        int first = round % GATES, second = (round + 1 + round / GATES % (GATES - 1)) % GATES;
        gates_open(&g);
        future *f = future_race(g.f, GATES);
        gates_settle(&g, first, FUTURE_OK);
        gates_settle(&g, second, FUTURE_OK);
        expect_by(f, &g, first, FUTURE_OK);
        gates_close(&g);
    }
}
END_TEST

START_TEST(of_those_settled_already_the_first_given_wins_the_race)
{
    struct gates g;

    gates_open(&g);
    gates_settle(&g, 3, FUTURE_OK);
    gates_settle(&g, 1, FUTURE_OK);
    future *f = future_race(g.f, GATES);
    gates_settle(&g, 0, FUTURE_OK);
    expect_by(f, &g, 1, FUTURE_OK);
    gates_close(&g);
}
END_TEST

START_TEST(shared_settled_futures_are_inputs_like_any)
{
    struct gates g;

    gates_open(&g);
    future *fs[] = {g.f[0], future_out_of_memory(), future_done(), future_cancelled()};
    expect_ok(future_all((future *[]){future_done(), future_done()}, 2));
    future *f = future_any(fs, 4);
    expect_ok(future_ref(f));
    ck_assert_ptr_eq(future_value(f), future_done());
    future_drop(f);
    gates_settle(&g, 0, FUTURE_CANCELLED);
    expect(future_all(fs, 4), FUTURE_CANCELLED, -ECANCELED);
    expect(future_all(fs + 1, 2), FUTURE_FAILED, -ENOMEM);
    expect(future_race(fs + 3, 1), FUTURE_CANCELLED, -ECANCELED);
    expect(future_race(fs + 1, 3), FUTURE_FAILED, -ENOMEM);
    gates_close(&g);
}
END_TEST

START_TEST(of_no_futures_all_is_ok_and_the_others_are_invalid)
{
    expect_ok(future_all(NULL, 0));
    expect(future_any(NULL, 0), FUTURE_FAILED, -EINVAL);
    expect(future_race(NULL, 0), FUTURE_FAILED, -EINVAL);
}
END_TEST

START_TEST(the_same_future_may_be_given_twice)
{
    for (int i = 0; i < COMBINATORS; i++) {
        struct gates g;
        gates_open(&g);
        future *f = combinators[i]((future *[]){g.f[0], g.f[0]}, 2);
        expect_pending(f);
        gates_settle(&g, 0, FUTURE_OK);
        expect_ok(future_ref(f));
        future *const *got = future_value(f);
        if (i == OF_ALL)
            ck_assert(got[0] == g.f[0] && got[1] == g.f[0]);
        future_drop(f);
        gates_close(&g);
    }
}
END_TEST

START_TEST(combinations_may_be_combined)
{
    struct gates g, h;

    gates_open(&g);
    gates_open(&h);
    future *inner[] = {future_race(g.f, GATES), future_any(h.f, GATES)};
    future *f = future_all(inner, 2);
    gates_settle(&g, 1, FUTURE_OK);
    gates_settle(&h, 0, FUTURE_FAILED);
    expect_pending(f);
    gates_settle(&h, 4, FUTURE_OK);
    expect_ok(future_ref(f));
    ck_assert_ptr_eq(future_value(((future *const *)future_value(f))[1]), h.f[4]);
    future_drop(f);
    future_drop(inner[0]);
    future_drop(inner[1]);
    gates_close(&g);
    gates_close(&h);
}
END_TEST

static void see_that_it_is_later(void *arg)
{
    future **ret = arg;

    *ret = future_all((future *[]){future_done()}, 1);
    future *raced = future_race(ret, 1);
    ck_assert(!future_settled(raced)); /* nothing of the loop ran inside of these calls */
    future_drop(raced);
}

START_TEST(combining_on_the_loop_thread_is_no_different)
{
    future *f;

    on_loop(see_that_it_is_later, &f);
    expect_ok(f);
}
END_TEST

/* -- what is kept ------------------------------------------------------------------------------ */

START_TEST(a_result_keeps_its_inputs_though_the_caller_drops_them)
{
    struct gates g;

    gates_open(&g);
    future *f = future_all(g.f, GATES);
    for (int i = 0; i < GATES; i++) {
        g.f[i] = future_drop(g.f[i]);
        gates_settle(&g, i, FUTURE_OK);
    }
    expect_ok(future_ref(f));
    let_loop_turn();
    ck_assert_int_eq(gates_destroyed, 0);
    future_drop(f);
    ck_assert_int_eq(gates_destroyed, GATES);
}
END_TEST

START_TEST(a_long_chain_of_results_does_not_eat_the_stack)
{
    future *first, *f;
    promise *p = new_promise(&first);

    f = first;
    for (int i = 0; i < 200000; i++) {
        future *pair[] = {f, future_done()};
        future *both = future_all(pair, 2);
        future_drop(f);
        f = both;
    }
    promise_resolve(p, NULL, NULL);
    promise_drop(p);
    expect_ok(f);
}
END_TEST

START_TEST(a_loser_that_does_not_end_keeps_no_value_alive)
{
    for (int i = 0; i < COMBINATORS; i++) {
        struct gates g;
        gates_open_stubborn(&g);
        future *f = combinators[i](g.f, GATES);
        gates_settle(&g, 0, FUTURE_OK);
        if (i == OF_ALL)
            gates_settle(&g, 1, FUTURE_FAILED);
        expect(f, i == OF_ALL ? FUTURE_FAILED : FUTURE_OK, i == OF_ALL ? 101 : 0);
        let_loop_turn();
        ck_assert_int_eq(gates_asked, i == OF_ALL ? GATES - 2 : GATES - 1);
        ck_assert(!future_settled(g.f[GATES - 1]) && !is_watched(g.f[GATES - 1]));
        g.f[0] = future_drop(g.f[0]);
        ck_assert_int_eq(gates_destroyed, 1);
        gates_close(&g);
    }
}
END_TEST

START_TEST(a_future_that_lives_long_does_not_remember_what_it_took_part_in)
{
    enum { ROUNDS = 100 };
    future *stop;
    promise *p = new_promise(&stop);

    for (int i = 0; i < ROUNDS; i++) {
        future *shield = future_shield(stop);
        expect_ok(future_race((future *[]){shield, future_done()}, 2));
        expect(shield, FUTURE_CANCELLED, -ECANCELED);
    }
    let_loop_turn();
    ck_assert(!is_watched(stop));
    promise_resolve(p, NULL, NULL);
    promise_drop(p);
    expect_ok(stop);
}
END_TEST

START_TEST(without_a_runtime_there_is_no_memory_for_results)
{
    future *done = future_done();

    thread_role = ROLE_WORKER;
    future *fs[] = {future_all(&done, 1), future_any(&done, 1), future_race(&done, 1),
                    future_shield(done)};
    struct channel *c = as_completed(&done, 1, 1);
    thread_role = ROLE_PLAIN;
    for (size_t i = 0; i < sizeof fs / sizeof *fs; i++)
        expect(fs[i], FUTURE_FAILED, -ENOMEM);
    ck_assert_ptr_null(c);
}
END_TEST

/* -- cancelling -------------------------------------------------------------------------------- */

START_TEST(a_cancelled_result_cancels_its_inputs_and_waits_for_their_end)
{
    struct gates g;

    gates_open_stubborn(&g);
    future *f = combinators[_i](g.f, GATES);
    ck_assert_int_eq(future_cancel(f), 0);
    let_loop_turn();
    ck_assert_int_eq(gates_asked, GATES);
    for (int i = 0; i < GATES; i++) {
        expect_pending(f);
        gates_settle(&g, i, FUTURE_CANCELLED);
    }
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    gates_close(&g);
}
END_TEST

/* What a cancelled result becomes when input 1 ends first, as `first`, and the others as `rest`. */
static future *cancelled_then(struct gates *g, combinator *combine, enum future_state first,
                              enum future_state rest)
{
    gates_open_stubborn(g);
    future *f = combine(g->f, GATES);
    ck_assert_int_eq(future_cancel(f), 0);
    let_loop_turn();
    gates_settle(g, 1, first);
    for (int i = GATES - 1; i >= 0; i--) {
        expect_pending(f);
        if (i != 1)
            gates_settle(g, i, rest);
    }
    return f;
}

START_TEST(a_cancelled_result_is_what_its_inputs_came_to_all_the_same)
{
    struct gates g;

    expect_ok(cancelled_then(&g, future_all, FUTURE_OK, FUTURE_OK));
    gates_close(&g);
    expect_by(cancelled_then(&g, future_any, FUTURE_OK, FUTURE_CANCELLED), &g, 1, FUTURE_OK);
    gates_close(&g);
    expect_by(cancelled_then(&g, future_race, FUTURE_OK, FUTURE_CANCELLED), &g, 1, FUTURE_OK);
    gates_close(&g);
    expect_by(cancelled_then(&g, future_all, FUTURE_FAILED, FUTURE_OK), &g, 1, FUTURE_FAILED);
    gates_close(&g);
    expect_by(cancelled_then(&g, future_any, FUTURE_CANCELLED, FUTURE_FAILED), &g, 0,
              FUTURE_FAILED);
    gates_close(&g);
    expect(cancelled_then(&g, future_all, FUTURE_CANCELLED, FUTURE_FAILED), FUTURE_CANCELLED,
           -ECANCELED);
    gates_close(&g);
    ck_assert_int_eq(failures_unseen, 0);
}
END_TEST

/* A task that waits for combined tasks, which sleep for good. */
struct sleeper {
    future *pause;
    uint64_t until_ns;
};

static int sleeper_step(task *t, void *frame)
{
    struct sleeper *s = frame;

    BEGIN(t);
    AWAIT(t, s->pause, future_at(s->until_ns));
    END(t);
}

static void sleeper_drop(void *frame)
{
    future_drop(((struct sleeper *)frame)->pause);
}
TASK(sleeper_task, ON_LOOP, sizeof(struct sleeper), .step = sleeper_step, .drop = sleeper_drop);

struct waiting {
    combinator *combine;
    future *f;
};

static future *combine_sleepers(combinator *combine)
{
    future *fs[GATES];

    for (int i = 0; i < GATES; i++)
        fs[i] = task_start(&sleeper_task, &(struct sleeper){.until_ns = CLOCK_NEVER});
    future *f = combine(fs, GATES);
    for (int i = 0; i < GATES; i++)
        future_drop(fs[i]);
    return f;
}

static int waiting_step(task *t, void *frame)
{
    struct waiting *w = frame;

    BEGIN(t);
    AWAIT(t, w->f, combine_sleepers(w->combine));
    END(t);
}

static void waiting_drop(void *frame)
{
    future_drop(((struct waiting *)frame)->f);
}
TASK(waiting_task, ON_LOOP, sizeof(struct waiting), .step = waiting_step, .drop = waiting_drop);

START_TEST(a_task_that_is_cancelled_takes_what_it_combined_with_it)
{
    future *f = task_start(&waiting_task, &(struct waiting){.combine = combinators[_i]});

    let_loop_turn();
    ck_assert_int_eq(async_counts().tasks, GATES + 1);
    ck_assert_int_eq(future_cancel(f), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(async_counts().tasks, 0);
}
END_TEST

/* -- threads ----------------------------------------------------------------------------------- */

START_TEST(inputs_may_settle_on_other_threads_while_they_are_combined)
{
    struct settlers settlers;

    settlers_start(&settlers);
    for (int round = 0; round < ROUNDS_OF_THREADS; round++) {
        struct gates g;
        gates_open(&g);
        enum future_state state = outcomes[round % 2];
        settlers_go(&settlers, &g, state);
        future *f = combinators[round / 2 % COMBINATORS](g.f, GATES);
        settlers_wait(&settlers);
        ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
        ck_assert_int_eq(future_state(f), state);
        if (state == FUTURE_FAILED)
            ck_assert_int_eq(future_error(future_value(f)), future_error(f));
        future_drop(f);
        gates_close(&g);
    }
    settlers_end(&settlers);
    let_loop_turn();
    ck_assert_int_eq(failures_unseen, 0);
}
END_TEST

START_TEST(of_a_cancel_and_inputs_that_settle_exactly_one_wins)
{
    struct settlers settlers;
    int states_seen[FUTURE_CANCELLED + 1] = {0};

    settlers_start(&settlers);
    for (int round = 0; round < ROUNDS_OF_THREADS; round++) {
        struct gates g;
        gates_open(&g);
        future *f = combinators[round % COMBINATORS](g.f, GATES);
        settlers_go(&settlers, &g, FUTURE_OK);
        future_cancel(f);
        settlers_wait(&settlers);
        ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
        states_seen[future_state(f)]++;
        for (int i = 0; i < GATES; i++)
            ck_assert(future_settled(g.f[i]));
        future_drop(f);
        gates_close(&g);
    }
    settlers_end(&settlers);
    ck_assert_int_eq(states_seen[FUTURE_OK] + states_seen[FUTURE_CANCELLED], ROUNDS_OF_THREADS);
}
END_TEST

/* -- unseen failures --------------------------------------------------------------------------- */

/* Failures of all inputs, of which the first decides; the others come as late as can be. */
static future *fail_all_inputs(combinator *combine)
{
    struct gates g;

    gates_open_stubborn(&g);
    future *f = combine(g.f, GATES);
    gates_settle(&g, 2, FUTURE_FAILED);
    let_loop_turn();
    for (int i = 0; i < GATES; i++)
        if (g.p[i])
            gates_settle(&g, i, FUTURE_FAILED);
    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
    gates_close(&g);
    let_loop_turn();
    return f;
}

START_TEST(failures_of_inputs_are_seen_and_that_of_the_result_is_its_own)
{
    future *f = fail_all_inputs(combinators[_i]);

    ck_assert_int_eq(future_state(f), FUTURE_FAILED);
    future_drop(f);
    ck_assert_int_eq(failures_unseen, 0);

    future_drop(fail_all_inputs(combinators[_i]));
    ck_assert_int_eq(failures_unseen, 1);
}
END_TEST

/* -- shield ------------------------------------------------------------------------------------ */

START_TEST(a_shield_passes_on_how_its_future_ends)
{
    struct gates g;

    gates_open(&g);
    future *early = future_shield(g.f[1]);
    expect_pending(early);
    gates_settle(&g, 1, outcomes[_i]);
    expect_by(early, &g, 1, outcomes[_i]);
    expect_by(future_shield(g.f[1]), &g, 1, outcomes[_i]);
    gates_close(&g);
    ck_assert_int_eq(failures_unseen, 0);
}
END_TEST

START_TEST(a_shield_is_cancelled_at_once_and_its_future_goes_on)
{
    struct gates g;

    gates_open_stubborn(&g);
    future *f = future_shield(g.f[0]);
    ck_assert_int_eq(future_cancel(f), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    gates_expect_left_alone(&g);
    gates_settle(&g, 0, FUTURE_OK);
    expect_ok(future_ref(g.f[0]));
    gates_close(&g);
}
END_TEST

START_TEST(behind_a_cancelled_shield_a_failure_is_unseen)
{
    struct gates g;

    gates_open(&g);
    future *f = future_shield(g.f[0]);
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    gates_settle(&g, 0, FUTURE_FAILED);
    gates_close(&g);
    let_loop_turn();
    ck_assert_int_eq(failures_unseen, 1);
}
END_TEST

START_TEST(a_shield_may_be_cancelled_while_its_future_settles)
{
    struct settlers settlers;

    settlers_start(&settlers);
    for (int round = 0; round < ROUNDS_OF_THREADS; round++) {
        struct gates g;
        future *f[GATES];
        gates_open(&g);
        for (int i = 0; i < GATES; i++)
            f[i] = future_shield(g.f[i]);
        settlers_go(&settlers, &g, FUTURE_OK);
        for (int i = 0; i < GATES; i++)
            future_cancel(f[i]);
        settlers_wait(&settlers);
        for (int i = 0; i < GATES; i++) {
            ck_assert_int_eq(future_wait(f[i], CLOCK_NEVER), 0);
            ck_assert(future_ok(g.f[i]));
            ck_assert_ptr_eq(future_value(f[i]), future_ok(f[i]) ? g.f[i] : NULL);
            future_drop(f[i]);
        }
        gates_close(&g);
    }
    settlers_end(&settlers);
}
END_TEST

/* -- in a mock's time, where ready tasks come in any order ------------------------------------- */

/* Tasks that sleep 1 to GATES seconds, not in that order. */
static int nap_seconds(int i)
{
    return (i * 3 + 1) % GATES + 1;
}

static future *nap(int i)
{
    uint64_t until_ns = async_now_ns() + (uint64_t)nap_seconds(i) * NS_PER_SEC;

    return task_start(&sleeper_task, &(struct sleeper){.until_ns = until_ns});
}

START_TEST(all_take_as_long_as_the_longest_and_the_others_as_the_shortest)
{
    enum { SEEDS = 100 };
    static const unsigned seconds[COMBINATORS] = {[OF_ALL] = GATES, [OF_ANY] = 1, [OF_RACE] = 1};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ck_assert_int_eq(mock_start(&(struct mock_options){.seed = seed}), 0);
        for (int which = 0; which < COMBINATORS; which++) {
            uint64_t start_ns = async_now_ns();
            future *naps[GATES];
            for (int i = 0; i < GATES; i++)
                naps[i] = nap(i);
            future *f = combinators[which](naps, GATES);
            ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
            ck_assert(future_ok(f));
            ck_assert_uint_eq(async_now_ns() - start_ns, seconds[which] * NS_PER_SEC);
            future_drop(f);
            mock_turn();
            ck_assert_int_eq(async_counts().tasks, 0);
            for (int i = 0; i < GATES; i++)
                future_drop(naps[i]);
        }
        ck_assert_int_eq(async_stop(), 0);
        ck_assert_int_eq(async_counts().futures, 0);
    }
}
END_TEST

Suite *suite_combine(void)
{
    Suite *suite = suite_create("combine");
    TCase *deciding = tcase_create("what decides"), *keeping = tcase_create("what is kept"),
          *cancelling = tcase_create("cancelling"), *threads = tcase_create("threads"),
          *shield = tcase_create("shield");
    TCase *cases[] = {deciding, keeping, cancelling, threads, shield};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], gates_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(deciding, all_is_ok_when_all_are_and_gives_them_in_the_order_given);
    tcase_add_loop_test(deciding, the_first_that_is_not_ok_decides_all_and_the_others_are_cancelled,
                        1, OUTCOMES);
    tcase_add_test(deciding, the_first_that_is_ok_decides_any_and_the_others_are_cancelled);
    tcase_add_loop_test(deciding, when_none_is_ok_any_is_as_the_last_one, 0, OUTCOMES);
    tcase_add_loop_test(deciding, the_first_that_settles_however_it_does_decides_a_race, 0,
                        OUTCOMES);
    tcase_add_test(deciding, of_two_that_settle_right_after_the_call_the_first_wins_the_race);
    tcase_add_test(deciding, of_those_settled_already_the_first_given_wins_the_race);
    tcase_add_test(deciding, shared_settled_futures_are_inputs_like_any);
    tcase_add_test(deciding, of_no_futures_all_is_ok_and_the_others_are_invalid);
    tcase_add_test(deciding, the_same_future_may_be_given_twice);
    tcase_add_test(deciding, combinations_may_be_combined);
    tcase_add_test(deciding, combining_on_the_loop_thread_is_no_different);
    tcase_add_test(deciding, all_take_as_long_as_the_longest_and_the_others_as_the_shortest);
    tcase_add_test(keeping, a_result_keeps_its_inputs_though_the_caller_drops_them);
    tcase_add_test(keeping, a_loser_that_does_not_end_keeps_no_value_alive);
    tcase_add_test(keeping, a_long_chain_of_results_does_not_eat_the_stack);
    tcase_add_test(keeping, a_future_that_lives_long_does_not_remember_what_it_took_part_in);
    tcase_add_test(keeping, without_a_runtime_there_is_no_memory_for_results);
    tcase_add_loop_test(keeping, failures_of_inputs_are_seen_and_that_of_the_result_is_its_own, 0,
                        COMBINATORS);
    tcase_add_loop_test(cancelling, a_cancelled_result_cancels_its_inputs_and_waits_for_their_end,
                        0, COMBINATORS);
    tcase_add_test(cancelling, a_cancelled_result_is_what_its_inputs_came_to_all_the_same);
    tcase_add_loop_test(cancelling, a_task_that_is_cancelled_takes_what_it_combined_with_it, 0,
                        COMBINATORS);
    tcase_add_test(threads, inputs_may_settle_on_other_threads_while_they_are_combined);
    tcase_add_test(threads, of_a_cancel_and_inputs_that_settle_exactly_one_wins);
    tcase_add_loop_test(shield, a_shield_passes_on_how_its_future_ends, 0, OUTCOMES);
    tcase_add_test(shield, a_shield_is_cancelled_at_once_and_its_future_goes_on);
    tcase_add_test(shield, behind_a_cancelled_shield_a_failure_is_unseen);
    tcase_add_test(shield, a_shield_may_be_cancelled_while_its_future_settles);
    return suite;
}
