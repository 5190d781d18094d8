/*
 * Workers killed by SIGKILL at every step of the protocol, as their parent sees it, and at random
 * under load.
 */
#include "core/async/async.h"
#include "core/async/mock.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/worker_watch.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

/* One computes at a time, so that it is known who has the call: all others are killed idle. */
enum { STRENGTH_OF_ONE = 1 + 1, STEPS = 6 };

static void setup(void)
{
    async_setup();
    async_reconfigure(4, 1, 64 << 20);
}

static void look_at_all(struct workers *w)
{
    workers_look(w);
    ck_assert_uint_eq(w->count, STRENGTH_OF_ONE);
}

/* -- every step -------------------------------------------------------------------------------- */

/* A task whose worker is killed. */
struct victim {
    const struct task_def *def;
    struct call call;
    atomic_int packs, drops;
    future *future;
};

static void start(void *arg)
{
    struct victim *v = arg;

    v->call.packs = &v->packs;
    v->call.drops = &v->drops;
    v->future = task_start(v->def, &v->call);
}

static void kill_before_hello(struct victim *v)
{
    struct workers w;

    let_workers_start("hang");
    start(v);
    let_loop_turn();
    look_at_all(&w);
    let_workers_start(NULL);
    workers_kill_in_one_turn(&w);
}

static void kill_with_hello_unread(struct victim *v)
{
    struct workers w;
    struct gate gate;

    gate_close_after(&gate, start, v); /* in the turn in which the workers are spawned */
    look_at_all(&w);
    workers_await_sleep(&w);
    workers_kill(&w);
    gate_open(&gate);
}

/* They are called before anybody has noticed that they died. */
static void kill_idle(struct victim *v)
{
    struct workers w;
    struct gate gate;

    warm_up();
    gate_close(&gate);
    look_at_all(&w);
    start(v);
    workers_kill(&w);
    gate_open(&gate);
}

static void kill_with_the_call_unread(struct victim *v)
{
    struct workers w;
    siginfo_t info;

    warm_up();
    look_at_all(&w);
    for (size_t i = 0; i < w.count; i++) {
        kill(w.pids[i], SIGSTOP);
        ck_assert_int_eq(waitid(P_PID, (id_t)w.pids[i], &info, WSTOPPED | WNOWAIT), 0);
    }
    start(v);
    let_loop_turn();
    ck_assert_int_eq(v->packs, 1);
    workers_kill_in_one_turn(&w);
}

static void kill_while_it_serves(struct victim *v)
{
    struct workers w;

    warm_up();
    look_at_all(&w);
    v->call.order = (struct order){GROW_ONCE, 0};
    start(v);
    workers_await_growth(&w);
    ck_assert_int_eq(v->packs, 1);
    workers_kill_in_one_turn(&w);
}

static void kill_with_the_answer_unread(struct victim *v)
{
    struct workers w;
    struct gate gate;

    warm_up();
    look_at_all(&w);
    v->call.order = (struct order){ANSWER_AND_GROW, 2};
    gate_close_after(&gate, start, v); /* in the turn in which it is called */
    workers_await_growth(&w);
    workers_kill(&w);
    gate_open(&gate);
}

/* _i: the step, and whether the task is idempotent. */
START_TEST(a_worker_killed_at_any_step_ends_its_task_once_and_is_replaced)
{
    static const struct {
        void (*kill)(struct victim *v);
        int error[2], retried[2]; /* of a plain task; of an idempotent one */
    } steps[] = {
        {kill_before_hello, {0, 0}, {0, 0}},
        {kill_with_hello_unread, {0, 0}, {0, 0}},
        {kill_idle, {0, 0}, {0, 0}},
        {kill_with_the_call_unread, {0, 0}, {1, 1}},
        {kill_while_it_serves, {-EOWNERDEAD, 0}, {0, 1}},
        {kill_with_the_answer_unread, {0, 0}, {0, 0}},
    };
    static_assert(sizeof steps / sizeof *steps == STEPS, "all are run");
    bool idempotent = _i % 2;
    struct victim v = {.def = idempotent ? retried_order : plain_order};
    int error = steps[_i / 2].error[idempotent];

    steps[_i / 2].kill(&v);
    expect(v.future, error ? FUTURE_FAILED : FUTURE_OK, error);
    ck_assert_int_eq(v.drops, 1);
    ck_assert_int_eq(async_stats().tasks_retried, steps[_i / 2].retried[idempotent]);
    await_strength(1);
    ck_assert_int_eq(async_stats().workers_lost, STRENGTH_OF_ONE);
    ck_assert_int_eq(async_counts().tasks, 0);
}
END_TEST

/* -- at random --------------------------------------------------------------------------------- */

/*
 * In each round one worker is killed, whatever it does, while all of the round's tasks run. So one
 * task at most is lost, and none that may be run twice.
 */
START_TEST(random_kills_under_load_cost_a_task_at_most_and_no_idempotent_one)
{
    enum { ROUNDS = SANITIZED_THREAD || SANITIZED_ADDRESS ? 300 : 1000, TASKS = 8 };
    atomic_int drops = 0;
    uint32_t random = 12345;
    int killed = 0, lost = 0;

    async_reconfigure(4, WORKERS, 64 << 20);
    warm_up();
    for (int round = 0; round < ROUNDS; round++) {
        future *f[TASKS];
        pid_t pids[16];
        int failed = 0;

        for (int i = 0; i < TASKS; i++)
            f[i] = task_start(i % 2 ? retried_order : plain_order,
                              &(struct call){.order = {ECHO, i * 1000}, .drops = &drops});
        size_t n = children(pids, 16);
        random = random * 1664525u + 1013904223u;
        killed += n > 0 && kill_and_see_it_end(pids[(random >> 16) % n]);
        for (int i = 0; i < TASKS; i++) {
            ck_assert_int_eq(future_wait(f[i], clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
            if (future_ok(f[i]))
                ck_assert_uint_eq(answer_of(f[i])->length, 8 + (size_t)i * 1000);
            else
                ck_assert_int_eq(future_error(f[i]), i % 2 ? 0 : -EOWNERDEAD);
            failed += !future_ok(f[i]);
            future_drop(f[i]);
        }
        ck_assert_int_le(failed, 1);
        ck_assert_int_eq(drops, (round + 1) * TASKS);
        lost += failed;
    }
    await_strength(WORKERS);
    check_strength();
    ck_assert_int_ge(killed, ROUNDS / 2);
    ck_assert_int_le(lost, killed);
    ck_assert_int_eq(async_stats().workers_lost, killed);
    ck_assert_int_eq(async_stats().tasks_quarantined, 0);
}
END_TEST

/* -- in whatever order it is seen -------------------------------------------------------------- */

static struct mock_act answer_and_crash(const struct mock_call *call, void *arg)
{
    (void)call;
    (void)arg;
    return (struct mock_act){.deed = MOCK_ANSWER_AND_CRASH};
}

/* Where the end of the process may be told before its last message. */
START_TEST(an_answer_that_was_sent_counts_though_the_end_is_seen_first)
{
    for (uint64_t seed = 1; seed <= 64; seed++) {
        ck_assert_int_eq(
            mock_start(&(struct mock_options){.seed = seed, .worker = answer_and_crash}), 0);
        expect_ok(start_order(plain_order, ECHO, 0));
        ck_assert_int_eq(async_stop(), 0);
    }
}
END_TEST

Suite *suite_process_kill(void)
{
    Suite *suite = suite_create("process_kill");
    TCase *kills = tcase_create("kills");

    tcase_add_checked_fixture(kills, setup, async_teardown);
    tcase_set_timeout(kills, 120);
    suite_add_tcase(suite, kills);
    tcase_add_loop_test(kills, a_worker_killed_at_any_step_ends_its_task_once_and_is_replaced, 0,
                        2 * STEPS);
    tcase_add_test(kills, an_answer_that_was_sent_counts_though_the_end_is_seen_first);
    tcase_add_test(kills, random_kills_under_load_cost_a_task_at_most_and_no_idempotent_one);
    return suite;
}
