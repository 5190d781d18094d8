/* The process pool: calls to workers, workers that die, hang or lie, cancelling, recycling. */
#include "core/async/async.h"
#include "core/async/mock.h"
#include "core/async/wire.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/worker_watch.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { KILL_GRACE_MS = 250 };

/* -- calls ------------------------------------------------------------------------------------- */

START_TEST(a_request_reaches_the_worker_and_its_reply_comes_back)
{
    static const size_t sizes[] = {0, 1, 64, 100 << 10, 1 << 20};
    size_t length = sizes[_i];
    char *payload = malloc(length + 1);

    ck_assert_ptr_nonnull(payload);
    for (size_t i = 0; i < length; i++)
        payload[i] = (char)(i * i);
    future *f =
        task_start(plain_order,
                   &(struct call){.order = {ECHO, 56}, .payload = payload, .payload_len = length});
    expect_ok(future_ref(f));
    ck_assert_uint_eq(answer_of(f)->length, 64);
    ck_assert_uint_eq(answer_of(f)->checksum, checksum(payload, length));
    future_drop(f);
    free(payload);
}
END_TEST

START_TEST(an_empty_request_gets_an_empty_reply)
{
    future *f = task_start(empty_order, NULL);

    expect_ok(future_ref(f));
    ck_assert_uint_eq(answer_of(f)->length, 0);
    future_drop(f);
}
END_TEST

START_TEST(a_reply_may_be_as_long_as_the_wire_allows)
{
    future *f = start_order(plain_order, ECHO, WIRE_REPLY_MAX - 8);

    expect_ok(future_ref(f));
    ck_assert_uint_eq(answer_of(f)->length, WIRE_REPLY_MAX);
    future_drop(f);
    expect(start_order(plain_order, ECHO, WIRE_REPLY_MAX - 7), FUTURE_FAILED, -ENOSPC);
    expect(start_order(plain_order, CLAIM_MORE, 0), FUTURE_FAILED, -EMSGSIZE);
    ck_assert_int_eq(async_stats().workers_lost, 0);
}
END_TEST

START_TEST(a_worker_can_send_the_longest_reply_whatever_sockets_hold_by_default)
{
    let_workers_start("wide");
    expect(start_order(plain_order, ECHO, WIRE_REPLY_MAX - 8), FUTURE_OK, 0);
    let_workers_start(NULL);
}
END_TEST

START_TEST(a_reply_that_the_socket_does_not_take_fails_its_own_task_only)
{
    let_workers_start("narrow");
    expect(start_order(plain_order, ECHO, WIRE_REPLY_MAX - 8), FUTURE_FAILED, -EMSGSIZE);
    expect_echo();
    let_workers_start(NULL);
    ck_assert_int_eq(async_stats().workers_lost, 0);
}
END_TEST

START_TEST(an_error_of_serve_fails_the_task_and_leaves_the_worker)
{
    expect(start_order(plain_order, GIVE_ERROR, -EILSEQ), FUTURE_FAILED, -EILSEQ);
    expect_echo();
    ck_assert_int_eq(async_stats().workers_lost, 0);
}
END_TEST

START_TEST(an_error_of_pack_fails_the_task_and_no_worker_hears_of_it)
{
    expect(start_order(plain_order, PACK_ERROR, -E2BIG), FUTURE_FAILED, -E2BIG);
    expect(start_order(plain_order, PACK_TOO_MUCH, 0), FUTURE_FAILED, -EMSGSIZE);
    expect(task_start(plain_order, &(struct call){.payload = NULL, .payload_len = 8 << 20}),
           FUTURE_FAILED, -EMSGSIZE);
    expect_echo();
    ck_assert_int_eq(async_stats().workers_lost, 0);
}
END_TEST

START_TEST(more_calls_than_workers_are_all_answered)
{
    enum { CALLS = 500 };
    future *f[CALLS];
    uint64_t i;

    for (i = 0; i < CALLS; i++) /* the payload lives until it is packed: until the end */
        f[i] = task_start(plain_order, &(struct call){.payload = (const char *)&f[i],
                                                      .payload_len = sizeof f[i]});
    for (i = 0; i < CALLS; i++) {
        uint64_t sum = 0;
        ck_assert_int_eq(future_wait(f[i], CLOCK_NEVER), 0);
        ck_assert(future_ok(f[i]));
        sum = answer_of(f[i])->checksum;
        ck_assert_uint_eq(sum, checksum((const char *)&f[i], sizeof f[i]));
    }
    for (i = 0; i < CALLS; i++)
        future_drop(f[i]);
    ck_assert_int_eq(async_stats().workers_lost, 0);
    ck_assert_int_eq(async_stats().workers_busy, 0);
    check_strength();
}
END_TEST

START_TEST(scopes_take_turns_at_the_workers)
{
    enum { LONG = 20 };
    future *slow[LONG];

    async_reconfigure(4, 1, 0);
    struct scope *crowd = scope_new(CLOCK_NEVER, 0), *other = scope_new(CLOCK_NEVER, 0);
    for (int i = 0; i < LONG; i++)
        slow[i] =
            task_start_in(crowd, hasty_order, &(struct call){.order = {SPIN_UNTIL_DEADLINE, 0}});
    expect_ok(task_start_in(other, plain_order, &(struct call){.order = {ECHO, 0}}));
    ck_assert(!future_settled(slow[2])); /* one that ran, and perhaps one that was next */
    for (int i = 0; i < LONG; i++)
        expect(slow[i], FUTURE_FAILED, -ETIME);
    expect_ok(scope_close(crowd));
    expect_ok(scope_close(other));
    scope_drop(crowd);
    scope_drop(other);
}
END_TEST

START_TEST(in_a_worker_there_is_no_runtime)
{
    future *f = start_order(plain_order, USE_RUNTIME, 0);

    expect_ok(future_ref(f));
    ck_assert_int_eq(answer_of(f)->number, true);
    future_drop(f);
}
END_TEST

static future *told_context(const struct task_def *def, const char *value)
{
    ck_assert_int_eq(context_set(order_context, bytes_cstr(value)), 0);
    future *f = start_order(def, TELL_CONTEXT, 0);
    ck_assert_int_eq(context_set(order_context, BYTES("")), 0);
    return f;
}

START_TEST(serve_sees_the_context_of_whoever_started_its_task)
{
    static const char *const values[] = {"b-42", "", "another", ""};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        future *f = told_context(plain_order, values[i]);
        expect_ok(future_ref(f));
        ck_assert_uint_eq(answer_of(f)->checksum, checksum(values[i], strlen(values[i])));
        future_drop(f);
    }
}
END_TEST

/* -- workers that die, hang or lie ------------------------------------------------------------- */

START_TEST(a_crash_fails_its_own_task_only)
{
    atomic_int packs = 0;
    future *f = task_start(plain_order, &(struct call){.order = {CRASH, 0}, .packs = &packs});

    for (int i = 0; i < 10; i++)
        expect_echo();
    expect(f, FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_eq(packs, 1);
    ck_assert_int_eq(async_stats().workers_lost, 1);
    check_strength();
}
END_TEST

START_TEST(an_idempotent_task_is_retried_once_on_a_fresh_worker)
{
    atomic_int once = 0, always = 0;

    expect_ok(task_start(retried_order, &(struct call){.order = {CRASH_ONCE, 0}, .packs = &once}));
    ck_assert_int_eq(once, 2);
    expect(task_start(retried_order, &(struct call){.order = {CRASH, 1}, .packs = &always}),
           FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_eq(always, 2);
    ck_assert_int_eq(async_stats().workers_lost, 3);
    check_strength();
}
END_TEST

START_TEST(an_answer_sent_before_the_crash_counts_and_the_next_call_is_not_lost)
{
    expect_ok(start_order(plain_order, ANSWER_AND_CRASH, 0));
    expect_echo(); /* sent to the dying worker it may be, but not read by it */
}
END_TEST

START_TEST(a_worker_that_hangs_is_killed_soon_after_its_deadline)
{
    uint64_t start = now_ms();

    expect(start_order(hasty_order, SPIN, 0), FUTURE_FAILED, -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - start, HASTY_MS + KILL_GRACE_MS);
    ck_assert_uint_lt(now_ms() - start, HASTY_MS + KILL_GRACE_MS + 5000);
    ck_assert_int_eq(async_stats().workers_lost, 1);
    check_strength();
}
END_TEST

static void start_hasty(void *ret_future)
{
    *(future **)ret_future = start_order(hasty_order, ECHO, 0);
}

/* The loop finds the answer and the end of the worker's time at once. */
START_TEST(an_answer_counts_though_the_loop_was_held_up_past_the_deadline)
{
    uint64_t until;
    struct gate gate;
    future *f;

    warm_up();
    gate_close_after(&gate, start_hasty, &f);
    until = now_ms() + HASTY_MS + KILL_GRACE_MS + 10;
    while (now_ms() < until)
        sched_yield();
    gate_open(&gate);
    expect_ok(f);
    expect_echo();
    ck_assert_int_eq(async_stats().workers_lost, 0);
}
END_TEST

START_TEST(serve_is_told_the_deadline_and_may_give_up_itself)
{
    expect(start_order(hasty_order, SPIN_UNTIL_DEADLINE, 0), FUTURE_FAILED, -ETIME);
    ck_assert_int_eq(async_stats().workers_lost, 0);
}
END_TEST

/* _i: nonsense of some kind, all of it from a worker that has a task. */
START_TEST(a_worker_that_talks_nonsense_is_killed)
{
    static const enum deed deeds[] = {SAY_NONSENSE, SAY_TOO_MUCH, ANSWER_ANOTHER_CALL};

    expect(start_order(plain_order, deeds[_i], 0), FUTURE_FAILED, -EBADMSG);
    ck_assert_int_eq(async_stats().workers_lost, 1);
    check_strength();
}
END_TEST

/* No errno at all, or the one that only the parent gives. */
START_TEST(a_worker_that_gives_an_impossible_error_is_killed)
{
    static const int errors[] = {INT32_MIN, -4096, -ECANCELED};

    expect(start_order(plain_order, GIVE_ERROR, errors[_i]), FUTURE_FAILED, -EBADMSG);
    check_strength();
}
END_TEST

START_TEST(a_worker_that_sends_an_empty_message_is_killed)
{
    expect(start_order(plain_order, SAY_NOTHING, 0), FUTURE_FAILED, -EBADMSG);
    check_strength();
}
END_TEST

START_TEST(a_worker_that_talks_out_of_turn_is_killed_and_its_task_stands)
{
    async_reconfigure(4, 1, 0);
    expect_ok(start_order(plain_order, ANSWER_TWICE, 0));
    uint64_t give_up = now_ms() + PATIENCE_MS;
    while (async_stats().workers_lost == 0 && now_ms() < give_up)
        let_loop_turn();
    ck_assert_int_eq(async_stats().workers_lost, 1);
    expect_echo();
}
END_TEST

/* By the mock: the worker says a second time what it has said, when it has the next call. */
static struct mock_act answer_the_first_again(const struct mock_call *call, void *arg)
{
    static struct wire_reply first;

    if (call->nth == 0)
        first = (struct wire_reply){.id = call->id};
    bool lie = call->nth > 0 && (call->worker == 0 || arg);
    return (struct mock_act){.deed = lie ? MOCK_LIE : MOCK_ANSWER,
                             .lie = bytes_of((const char *)&first, sizeof first)};
}

START_TEST(who_comes_after_one_that_is_answered_twice_is_not_to_blame)
{
    struct mock_options options = {.worker = answer_the_first_again, .async = {.workers = 1}};

    ck_assert_int_eq(mock_start(&options), 0);
    expect_echo();
    expect_ok(start_order(retried_order, ECHO, 0));
    ck_assert_int_eq(async_stats().tasks_retried, 1);
    ck_assert_int_eq(async_stats().workers_lost, 1);
}
END_TEST

START_TEST(who_comes_after_one_that_is_answered_twice_is_not_suspected)
{
    struct mock_options options = {.worker = answer_the_first_again, .arg = &options};

    ck_assert_int_eq(mock_start(&options), 0);
    expect_echo();
    for (int i = 0; i < 3; i++)
        expect(start_order(plain_order, ECHO, 0), FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_eq(async_stats().tasks_quarantined, 0);
}
END_TEST

START_TEST(who_comes_right_behind_one_that_answers_twice_is_answered)
{
    for (int i = 0; i < 3; i++) {
        async_reconfigure(4, 1, 0);
        warm_up(); /* that was call 1 */
        future *twice = start_order(plain_order, ANSWER_TWICE, 2);
        future *next = start_order(retried_order, ECHO, 0);
        expect_ok(twice);
        expect_ok(next);
        ck_assert_int_eq(async_stats().tasks_quarantined, 0);
        ck_assert_int_eq(async_stop(), 0);
    }
}
END_TEST

/* -- cancelling -------------------------------------------------------------------------------- */

static bool is_among(pid_t pid, const pid_t *pids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

START_TEST(cancel_of_a_running_process_task_kills_reaps_and_replaces_its_worker)
{
    pid_t before[16], after[16];
    future *f = start_running(plain_order, SPIN, 0);
    size_t count = children(before, 16), gone = 0;

    ck_assert_uint_eq(count, STRENGTH);
    ck_assert_int_eq(async_stats().workers_busy, 1);
    ck_assert_int_eq(async_stats().workers_started, STRENGTH);
    ck_assert_int_eq(future_cancel(f), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(async_stats().workers_busy, 0);
    for (size_t i = 0; i < count; i++) /* no zombie is left when the outcome is seen */
        gone += kill(before[i], 0) < 0 && errno == ESRCH;
    ck_assert_uint_eq(gone, 1);
    check_strength();
    count = children(after, 16);
    for (size_t i = 0; i < count; i++)
        gone += !is_among(after[i], before, STRENGTH);
    ck_assert_uint_eq(gone, 2); /* one went, one came */
    ck_assert_int_eq(async_stats().workers_started, STRENGTH + 1);
    ck_assert_int_eq(async_stats().workers_lost, 1);
}
END_TEST

START_TEST(cancel_of_a_queued_process_task_never_starts_it)
{
    atomic_int packs = 0, drops = 0;

    async_reconfigure(4, 1, 0);
    future *running = start_running(plain_order, SPIN, 0);
    future *queued = task_start(
        plain_order, &(struct call){.order = {ECHO, 0}, .packs = &packs, .drops = &drops});
    let_loop_turn();
    ck_assert_int_eq(future_cancel(queued), 0);
    expect(queued, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(drops, 1);
    ck_assert_int_eq(async_stats().workers_lost, 0);
    future_cancel(running);
    expect(running, FUTURE_CANCELLED, -ECANCELED);
    expect_echo();
    ck_assert_int_eq(packs, 0);
}
END_TEST

START_TEST(cancel_of_an_idempotent_task_does_not_retry_it)
{
    future *f = start_running(retried_order, SPIN, 0);

    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(async_stats().workers_lost, 1);
    check_strength();
}
END_TEST

START_TEST(a_scopes_deadline_ends_a_call_that_hangs)
{
    warm_up();
    struct scope *s = scope_new(clock_after_ms(clock_now_ns(), 20), 0);
    future *f = task_start_in(s, plain_order, &(struct call){.order = {SPIN, 0}});

    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(scope_cancelled(s), -ETIMEDOUT);
    expect_ok(scope_close(s));
    scope_drop(s);
    check_strength();
}
END_TEST

START_TEST(of_a_cancel_and_an_answer_exactly_one_wins)
{
    enum { ROUNDS = SANITIZED_THREAD ? 20 : 150 };
    atomic_int drops = 0;

    warm_up();
    for (int i = 0; i < ROUNDS; i++) {
        future *f = task_start(plain_order, &(struct call){.order = {ECHO, 8}, .drops = &drops});
        for (volatile int spin = 0; spin < i * 300; spin++)
            ;
        future_cancel(f);
        ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
        ck_assert(future_ok(f) ? answer_of(f)->length == 16 : future_error(f) == -ECANCELED);
        ck_assert_int_eq(drops, i + 1);
        future_drop(f);
    }
    expect_echo();
}
END_TEST

START_TEST(stopping_the_runtime_ends_calls_that_run_and_calls_that_wait)
{
    enum { TASKS = 10 };
    future *f[TASKS];

    warm_up();
    for (int i = 0; i < TASKS; i++)
        f[i] = start_order(plain_order, SPIN, 0);
    let_loop_turn();
    ck_assert_int_eq(async_stop(), 0);
    for (int i = 0; i < TASKS; i++)
        expect(f[i], FUTURE_CANCELLED, -ECANCELED);
}
END_TEST

/* -- workers that grow old --------------------------------------------------------------------- */

static void configure(const struct async_options *options)
{
    ck_assert_int_eq(async_configure(options), 0);
}

/* Under load: there are always more tasks than workers. */
START_TEST(workers_are_replaced_after_so_many_tasks_and_no_call_is_lost)
{
    enum { TASKS = 50, AGE = 20, GENERATIONS = SANITIZED_ADDRESS || SANITIZED_THREAD ? 5 : 20 };
    uint64_t give_up = now_ms() + PATIENCE_MS;
    long calls = 0;

    configure(&(struct async_options){.workers = WORKERS, .worker_tasks = AGE});
    while (async_stats().workers_recycled < GENERATIONS && now_ms() < give_up) {
        future *f[TASKS];
        for (int i = 0; i < TASKS; i++)
            f[i] = start_order(plain_order, ECHO, i);
        for (int i = 0; i < TASKS; i++)
            expect_ok(f[i]);
        calls += TASKS;
    }
    ck_assert_int_ge(async_stats().workers_recycled, GENERATIONS);
    ck_assert_int_le(async_stats().workers_recycled, calls / AGE);
    await_strength(WORKERS);
    ck_assert_int_eq(async_stats().workers_lost, 0);
    ck_assert_int_eq(async_stats().tasks_retried, 0);
}
END_TEST

static enum mock_birth mute(unsigned worker, void *arg)
{
    (void)worker;
    (void)arg;
    return MOCK_MUTE;
}

/* By the mock, whose workers say hello when they are told to. */
START_TEST(one_worker_is_replaced_at_a_time_and_only_when_all_are_there)
{
    struct mock_options options = {.birth = mute, .async = {.workers = 1, .worker_tasks = 1}};

    ck_assert_int_eq(mock_start(&options), 0);
    future *f = start_order(plain_order, ECHO, 0);
    mock_turn();
    ck_assert(mock_worker_hello(0));
    expect_ok(f);
    ck_assert_uint_eq(mock_workers_killed(), 0); /* the spare one is still starting */
    ck_assert(mock_worker_hello(1));
    mock_turn();
    ck_assert_uint_eq(mock_workers_killed(), 1);
    ck_assert_uint_eq(mock_workers_started(), 3);
    for (int i = 0; i < 3; i++) /* too old it may be, but it is the only one */
        expect_echo();
    ck_assert_uint_eq(mock_workers_killed(), 1);
    ck_assert(mock_worker_hello(2));
    mock_turn();
    ck_assert_uint_eq(mock_workers_killed(), 2);
    expect_echo();
    ck_assert_int_eq(async_stats().workers_recycled, 2);
    ck_assert_int_eq(async_stats().workers_lost, 0);
}
END_TEST

START_TEST(a_worker_that_leaks_is_replaced)
{
    enum { LIMIT = 32 << 20, PIECE = 1 << 20, PIECES = 200 };

    configure(&(struct async_options){.workers = 1, .worker_rss = LIMIT});
    for (int i = 0; i < PIECES; i++)
        expect_ok(start_order(plain_order, LEAK, PIECE));
    /* Its size is looked at now and then, not after each call. */
    ck_assert_int_ge(async_stats().workers_recycled, 1);
    ck_assert_int_eq(async_stats().workers_lost, 0);
}
END_TEST

START_TEST(a_worker_that_does_not_leak_stays)
{
    enum { LIMIT = 32 << 20, LENGTH = 28 << 20 };
    char *payload = calloc(1, LENGTH);
    pid_t before[16], after[16];

    ck_assert_ptr_nonnull(payload);
    configure(&(struct async_options){
        .workers = 1,
        .request_bytes = LENGTH + 4096,
        .worker_rss = SANITIZED_ADDRESS || SANITIZED_THREAD ? (size_t)1 << 30 : LIMIT,
    });
    warm_up();
    size_t count = children(before, 16);
    for (int i = 0; i < 4; i++) /* what it shares is not its own */
        expect_ok(
            task_start(plain_order, &(struct call){.payload = payload, .payload_len = LENGTH}));
    for (int i = 0; i < 200; i++)
        expect_echo();
    ck_assert_int_eq(async_stats().workers_recycled, 0);
    ck_assert_uint_eq(children(after, 16), count);
    for (size_t i = 0; i < count; i++)
        ck_assert(is_among(after[i], before, count));
    free(payload);
}
END_TEST

struct measuring {
    size_t most, all;
};

static void measure_on_loop(void *arg)
{
    struct measuring *m = arg;

    m->all = async_measure_workers(m->most);
}

START_TEST(a_worker_that_is_found_large_while_idle_is_replaced)
{
    enum { PIECE = 1 << 20, PIECES = 40 };
    struct measuring m = {0};
    uint64_t give_up = now_ms() + PATIENCE_MS;

    configure(&(struct async_options){.workers = 1});
    on_loop(measure_on_loop, &m);
    ck_assert_uint_eq(m.all, 0); /* none was started yet */
    for (int i = 0; i < PIECES; i++)
        expect_ok(start_order(plain_order, LEAK, PIECE));
    await_strength(1);
    on_loop(measure_on_loop, &m);
    ck_assert_uint_ge(m.all, (size_t)PIECES * PIECE);
    ck_assert_int_eq(async_stats().workers_recycled, 0);
    m.most = (size_t)PIECES * PIECE / 2;
    while (async_stats().workers_recycled == 0 && now_ms() < give_up)
        on_loop(measure_on_loop, &m);
    ck_assert_int_ge(async_stats().workers_recycled, 1);
    ck_assert_int_eq(async_stats().workers_lost, 0);
    expect_echo();
}
END_TEST

/* -- workers that do not start ----------------------------------------------------------------- */

START_TEST(when_no_worker_can_start_calls_fail_after_a_few_tries)
{
    let_workers_start("fail");
    expect(start_order(plain_order, ECHO, 0), FUTURE_FAILED, -ECHILD);
    expect(start_order(retried_order, ECHO, 0), FUTURE_FAILED, -ECHILD);
    let_workers_start(NULL);
}
END_TEST

START_TEST(when_no_worker_can_be_replaced_the_others_go_on)
{
    struct rlimit before, none;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    future *f = start_running(plain_order, SPIN, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    uint64_t until = now_ms() + 500; /* far beyond the failed starts that make a pool hopeless */
    while (now_ms() < until)
        expect_echo();
    ck_assert_int_lt(async_counts().workers, STRENGTH);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    await_strength(WORKERS);
    check_strength();
}
END_TEST

/* By the mock: each is killed as soon as it has said hello. */
START_TEST(workers_that_die_before_they_are_of_use_are_replaced_ever_later)
{
    struct mock_options options = {.async = {.workers = 1}};

    ck_assert_int_eq(mock_start(&options), 0);
    expect(start_order(plain_order, PACK_ERROR, -E2BIG), FUTURE_FAILED, -E2BIG);
    ck_assert_uint_eq(mock_workers_started(), 2);
    for (int ms = 0; ms < 1000; ms++) {
        for (unsigned i = 0; i < mock_workers_started(); i++)
            mock_worker_die(i, SIGKILL);
        mock_advance(NS_PER_MS);
    }
    ck_assert_uint_gt(mock_workers_started(), 4);
    ck_assert_uint_lt(mock_workers_started(), 20);
    expect_echo(); /* one that is of use ends it */
    mock_advance(10 * NS_PER_SEC);
    ck_assert(mock_worker_die(mock_workers_started() - 1, SIGKILL));
    unsigned started = mock_workers_started();
    mock_turn();
    ck_assert_uint_eq(mock_workers_started(), started + 1);
}
END_TEST

/* -- workers that take their time to die, by the mock -------------------------------------------
 */

START_TEST(a_worker_that_dies_slowly_does_not_stand_before_the_others)
{
    struct mock_options options = {.async = {.workers = 1, .worker_tasks = 1},
                                   .kill_ns = NS_PER_SEC};

    ck_assert_int_eq(mock_start(&options), 0);
    expect_echo();
    ck_assert_uint_eq(mock_workers_killed(), 1); /* of old age */
    expect_echo();
    ck_assert_uint_eq(async_now_ns(), MOCK_EPOCH_NS);
}
END_TEST

static struct mock_act only_the_first_hangs(const struct mock_call *call, void *arg)
{
    (void)arg;
    return (struct mock_act){.deed = call->nth == 0 ? MOCK_HANG : MOCK_ANSWER};
}

START_TEST(none_is_replaced_for_its_age_while_another_dies)
{
    struct mock_options options = {.worker = only_the_first_hangs,
                                   .async = {.workers = 2, .worker_tasks = 1},
                                   .kill_ns = NS_PER_SEC};

    ck_assert_int_eq(mock_start(&options), 0);
    future *f = start_order(plain_order, ECHO, 0);
    mock_turn();
    future_cancel(f);
    mock_turn();
    expect_echo();
    ck_assert_uint_eq(mock_workers_killed(), 1);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    mock_turn();
    ck_assert_uint_eq(mock_workers_killed(), 2); /* now it is */
}
END_TEST

static enum mock_birth first_two_mute(unsigned worker, void *arg)
{
    (void)arg;
    return worker < 2 ? MOCK_MUTE : MOCK_BORN;
}

START_TEST(a_hello_that_comes_too_late_is_not_heard)
{
    struct mock_options options = {
        .birth = first_two_mute, .async = {.workers = 1}, .kill_ns = NS_PER_SEC};

    ck_assert_int_eq(mock_start(&options), 0);
    future *f = start_order(plain_order, ECHO, 0);
    mock_advance(10 * NS_PER_SEC); /* the longest that a start may take */
    ck_assert_uint_eq(mock_workers_killed(), 2);
    ck_assert(mock_worker_hello(0));
    expect_ok(f);
    ck_assert_int_eq(async_stats().workers_lost, 2);
}
END_TEST

static struct mock_act note_deadline(const struct mock_call *call, void *arg)
{
    *(uint64_t *)arg = call->deadline_ns;
    return (struct mock_act){.deed = MOCK_ANSWER};
}

START_TEST(serve_is_told_the_deadline_of_its_scope_when_that_comes_first)
{
    uint64_t told, soon = MOCK_EPOCH_NS + NS_PER_MS, late = MOCK_EPOCH_NS + NS_PER_SEC;
    struct mock_options options = {.worker = note_deadline, .arg = &told};
    struct {
        uint64_t scope_ns;
        const struct task_def *def;
        uint64_t expected_ns;
    } cases[] = {
        {CLOCK_NEVER, plain_order, CLOCK_NEVER},
        {soon, plain_order, soon},
        {soon, hasty_order, soon},
        {late, hasty_order, MOCK_EPOCH_NS + HASTY_MS * NS_PER_MS},
    };

    ck_assert_int_eq(mock_start(&options), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scope *s = scope_new(cases[i].scope_ns, 0);
        expect_ok(task_start_in(s, cases[i].def, &(struct call){.order = {ECHO, 0}}));
        ck_assert_uint_eq(told, cases[i].expected_ns);
        expect_ok(scope_close(s));
        scope_drop(s);
    }
}
END_TEST

static struct mock_act say_nonsense_twice(const struct mock_call *call, void *arg)
{
    (void)arg;
    mock_worker_say(call->worker, BYTES("non"));
    return (struct mock_act){.deed = MOCK_LIE, .lie = BYTES("sense")};
}

/* In the mock, time only goes on when nothing is heard. */
START_TEST(what_a_worker_says_after_nonsense_is_not_heard)
{
    struct mock_options options = {.worker = say_nonsense_twice, .kill_ns = NS_PER_SEC};

    ck_assert_int_eq(mock_start(&options), 0);
    expect(start_order(plain_order, ECHO, 0), FUTURE_FAILED, -EBADMSG);
    ck_assert_uint_eq(async_now_ns(), MOCK_EPOCH_NS + NS_PER_SEC);
}
END_TEST

Suite *suite_process_pool(void)
{
    Suite *suite = suite_create("process_pool");
    TCase *calls = tcase_create("calls"), *hostile = tcase_create("hostile workers"),
          *cancelling = tcase_create("cancelling"), *aging = tcase_create("aging"),
          *starting = tcase_create("starting");
    TCase *cases[] = {calls, hostile, cancelling, aging, starting};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_loop_test(calls, a_request_reaches_the_worker_and_its_reply_comes_back, 0, 5);
    tcase_add_test(calls, scopes_take_turns_at_the_workers);
    tcase_add_test(calls, an_empty_request_gets_an_empty_reply);
    tcase_add_test(calls, a_reply_may_be_as_long_as_the_wire_allows);
    tcase_add_test(calls, a_worker_can_send_the_longest_reply_whatever_sockets_hold_by_default);
    tcase_add_test(calls, a_reply_that_the_socket_does_not_take_fails_its_own_task_only);
    tcase_add_test(calls, an_error_of_serve_fails_the_task_and_leaves_the_worker);
    tcase_add_test(calls, an_error_of_pack_fails_the_task_and_no_worker_hears_of_it);
    tcase_add_test(calls, more_calls_than_workers_are_all_answered);
    tcase_add_test(calls, in_a_worker_there_is_no_runtime);
    tcase_add_test(calls, serve_sees_the_context_of_whoever_started_its_task);
    tcase_add_test(hostile, a_crash_fails_its_own_task_only);
    tcase_add_test(hostile, an_idempotent_task_is_retried_once_on_a_fresh_worker);
    tcase_add_test(hostile, an_answer_sent_before_the_crash_counts_and_the_next_call_is_not_lost);
    tcase_add_test(hostile, a_worker_that_hangs_is_killed_soon_after_its_deadline);
    tcase_add_test(hostile, an_answer_counts_though_the_loop_was_held_up_past_the_deadline);
    tcase_add_test(hostile, serve_is_told_the_deadline_and_may_give_up_itself);
    tcase_add_loop_test(hostile, a_worker_that_talks_nonsense_is_killed, 0, 3);
    tcase_add_loop_test(hostile, a_worker_that_gives_an_impossible_error_is_killed, 0, 3);
    tcase_add_test(hostile, a_worker_that_sends_an_empty_message_is_killed);
    tcase_add_test(hostile, a_worker_that_talks_out_of_turn_is_killed_and_its_task_stands);
    tcase_add_test(hostile, who_comes_after_one_that_is_answered_twice_is_not_to_blame);
    tcase_add_test(hostile, who_comes_after_one_that_is_answered_twice_is_not_suspected);
    tcase_add_test(hostile, who_comes_right_behind_one_that_answers_twice_is_answered);
    tcase_add_test(cancelling,
                   cancel_of_a_running_process_task_kills_reaps_and_replaces_its_worker);
    tcase_add_test(cancelling, cancel_of_a_queued_process_task_never_starts_it);
    tcase_add_test(cancelling, cancel_of_an_idempotent_task_does_not_retry_it);
    tcase_add_test(cancelling, a_scopes_deadline_ends_a_call_that_hangs);
    tcase_add_test(cancelling, of_a_cancel_and_an_answer_exactly_one_wins);
    tcase_add_test(cancelling, stopping_the_runtime_ends_calls_that_run_and_calls_that_wait);
    tcase_add_test(aging, workers_are_replaced_after_so_many_tasks_and_no_call_is_lost);
    tcase_add_test(aging, one_worker_is_replaced_at_a_time_and_only_when_all_are_there);
    tcase_add_test(aging, a_worker_that_leaks_is_replaced);
    tcase_add_test(aging, a_worker_that_is_found_large_while_idle_is_replaced);
    tcase_add_test(aging, a_worker_that_does_not_leak_stays);
    tcase_add_test(starting, when_no_worker_can_start_calls_fail_after_a_few_tries);
    tcase_add_test(starting, when_no_worker_can_be_replaced_the_others_go_on);
    tcase_add_test(starting, workers_that_die_before_they_are_of_use_are_replaced_ever_later);
    tcase_add_test(aging, a_worker_that_dies_slowly_does_not_stand_before_the_others);
    tcase_add_test(aging, none_is_replaced_for_its_age_while_another_dies);
    tcase_add_test(aging, serve_is_told_the_deadline_of_its_scope_when_that_comes_first);
    tcase_add_test(aging, a_hello_that_comes_too_late_is_not_heard);
    tcase_add_test(aging, what_a_worker_says_after_nonsense_is_not_heard);
    return suite;
}
