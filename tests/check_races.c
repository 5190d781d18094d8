/*
 * Races, on the mock: two things that happen 1 ns before each other, at the same time, and 1 ns
 * after, over many seeds. What must come of the first and the last is told; of the same time, each
 * outcome that is allowed must also be seen, or it was no race.
 */
#include "core/async/async.h"
#include "core/async/mock.h"
#include "core/async/wire.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/player.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = SANITIZED_THREAD || SANITIZED_ADDRESS ? 50 : 150, MEETING = 1000 };

/* Runs the block for each seed, with `late` at -1, 0 and 1. */
#define EACH_RACE(seed, late)                                                                      \
    for (uint64_t seed = 1; seed <= SEEDS; seed++)                                                 \
        for (int late = -1; late <= 1; late++)

/* How many nanoseconds after the epoch the second one comes. */
static uint64_t meeting(int late)
{
    return at(MEETING - 1 + (uint64_t)(late + 1));
}

/* Outcomes at the same time. */
struct tally {
    unsigned ok, failed, cancelled;
};

static void count_outcome(struct tally *tally, const future *f)
{
    tally->ok += future_state(f) == FUTURE_OK;
    tally->failed += future_state(f) == FUTURE_FAILED;
    tally->cancelled += future_state(f) == FUTURE_CANCELLED;
}

static void setup(void)
{
    async_setup();
    memset(&play, 0, sizeof play);
}

/* One thread: there is no need of more here, and it takes the most part of a start. */
static struct mock_options options_of(uint64_t seed, uint64_t kill_ns)
{
    struct mock_options options = {.seed = seed, .kill_ns = kill_ns, .async = play_options};

    options.async.threads = 1;
    return options;
}

static void begin(uint64_t seed, uint64_t kill_ns, const struct mock_act *acts, size_t count)
{
    struct mock_options options = options_of(seed, kill_ns);

    play_with(&options, acts, count);
}

/* Nothing may be left of a race, whatever came of it. */
static void finish(void)
{
    ck_assert_int_eq(async_stop(), 0);
    struct async_counts left = async_counts();
    ck_assert_int_eq(left.futures, 0);
    ck_assert_int_eq(left.tasks, 0);
    ck_assert_int_eq(left.scopes, 0);
    ck_assert_int_eq(left.workers, 0);
}

static void settle(future *f)
{
    ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
}

/* -- at a time, do this ------------------------------------------------------------------------ */

/* What a continuation does to others; it counts its runs. */
struct stroke {
    future *cancel;
    struct scope *cancel_scope;
    int *ret_rc; /* of future_cancel */
    unsigned *runs;
};

static void strike(future *done, promise *next, void *arg)
{
    struct stroke *s = arg;

    (void)done;
    if (s->runs)
        ++*s->runs;
    if (s->cancel) {
        int rc = future_cancel(s->cancel);
        if (s->ret_rc)
            *s->ret_rc = rc;
    }
    if (s->cancel_scope)
        scope_cancel(s->cancel_scope, -ECANCELED);
    promise_resolve(next, NULL, NULL);
    promise_drop(next);
}

/* Its future; `stroke` must live until then. */
static future *strike_at(uint64_t at_ns, struct stroke *stroke)
{
    future *timer = future_at(at_ns);
    future *f = future_then(timer, EXECUTOR_LOOP, strike, stroke);

    future_drop(timer);
    return f;
}

/* -- deadlines --------------------------------------------------------------------------------- */

/*
 * _i: a worker's deed at the time when the scope's deadline passes. An answer that comes with the
 * deadline is too late: the worker may have given up for it.
 */
START_TEST(a_deadline_neither_loses_an_answer_before_it_nor_lets_one_pass_after_it)
{
    static const enum mock_deed deeds[] = {MOCK_ANSWER, MOCK_ANSWER_AND_CRASH, MOCK_HANG};

    EACH_RACE(seed, late)
    {
        begin(seed, seed % 3, (const struct mock_act[]){{deeds[_i], MEETING, BYTES("")}}, 1);
        struct scope *s = scope_new(meeting(late), 0);
        future *f = task_start_in(s, double_plain, &(struct doubling){4});
        bool wins = late > 0 && deeds[_i] != MOCK_HANG;

        settle(f);
        ck_assert_int_eq(future_state(f), wins ? FUTURE_OK : FUTURE_CANCELLED);
        ck_assert_uint_eq(play.drops, 1);
        ck_assert_uint_le(play.serves, 1);
        ck_assert_uint_eq(play.calls, 1);
        expect_ok(scope_close(s));
        if (late)
            ck_assert_int_eq(scope_cancelled(s), wins ? 0 : -ETIMEDOUT);
        scope_drop(s);
        future_drop(f);
        expect_strength();
        finish();
    }
}
END_TEST

START_TEST(a_deadline_and_a_crash_give_one_of_both_outcomes)
{
    struct tally tally = {0};

    EACH_RACE(seed, late)
    {
        begin(seed, 0, (const struct mock_act[]){{MOCK_CRASH, MEETING, BYTES("")}}, 1);
        struct scope *s = scope_new(meeting(late), 0);
        future *f = task_start_in(s, double_plain, &(struct doubling){4});

        settle(f);
        if (late)
            ck_assert_int_eq(future_error(f), late > 0 ? -EOWNERDEAD : -ECANCELED);
        else
            count_outcome(&tally, f);
        ck_assert_uint_eq(play.drops, 1);
        ck_assert_int_eq(async_stats().workers_lost, 1);
        future_drop(f);
        expect_ok(scope_close(s));
        scope_drop(s);
        expect_strength();
        finish();
    }
    ck_assert_uint_eq(tally.ok, 0);
    ck_assert_uint_gt(tally.failed, 0);
    ck_assert_uint_gt(tally.cancelled, 0);
}
END_TEST

START_TEST(a_wait_that_times_out_loses_no_answer)
{
    EACH_RACE(seed, late)
    {
        begin(seed, 0, (const struct mock_act[]){{MOCK_ANSWER, MEETING, BYTES("")}}, 1);
        future *f = start_double(double_plain, 4);

        ck_assert_int_eq(future_wait(f, meeting(late)), late < 0 ? -ETIMEDOUT : 0);
        expect_double(f, 4);
        expect_now(MEETING);
        ck_assert_uint_eq(play.calls, 1);
        ck_assert_uint_eq(play.serves, 1);
        ck_assert_uint_eq(mock_workers_killed(), 0);
        finish();
    }
}
END_TEST

/*
 * A task that gives part of its work a time limit of its own, in a scope inside, and goes on after
 * that. It notes whether it came by.
 */
struct limited {
    uint64_t limit_ns;
    bool *ret_came_by, *ret_went_on;
    struct scope *inner;
    future *done, *rest;
};

static int nap_step(task *t, void *frame)
{
    future **nap = frame;

    BEGIN(t);
    AWAIT(t, *nap, future_at(CLOCK_NEVER));
    END(t);
}

static void nap_drop(void *frame)
{
    future_drop(*(future **)frame);
}

TASK(nap_task, ON_LOOP, sizeof(future *), .step = nap_step, .drop = nap_drop);

static future *start_nap(struct scope *s)
{
    return task_start_in(s, &nap_task, &(future *){NULL});
}

static int limited_step(task *t, void *frame)
{
    struct limited *l = frame;

    BEGIN(t);
    l->inner = scope_new(l->limit_ns, 0);
    if (!l->inner)
        return TASK_FINISHED;
    future_drop(start_nap(l->inner));
    AWAIT(t, l->done, scope_close(l->inner));
    *l->ret_came_by = true;
    AWAIT(t, l->rest, future_at(async_now_ns() + 10));
    *l->ret_went_on = true;
    END(t);
}

static void limited_drop(void *frame)
{
    struct limited *l = frame;

    future_drop(l->done);
    future_drop(l->rest);
    scope_drop(l->inner);
}

TASK(limited_task, ON_LOOP, sizeof(struct limited), .step = limited_step, .drop = limited_drop);

/*
 * The pitfall of timeouts: the cancel of the whole and the limit of a part come together, and the
 * part takes the one for the other. _i: the task is cancelled, its scope is, its scope's deadline
 * passes.
 */
START_TEST(a_timeout_inside_does_not_swallow_the_cancel_of_the_whole)
{
    unsigned came_by_at_once = 0;

    EACH_RACE(seed, late)
    {
        begin(seed, 0, NULL, 0);
        bool came_by = false, went_on = false;
        struct scope *outer = scope_new(_i == 2 ? meeting(late) : CLOCK_NEVER, 0);
        future *f =
            task_start_in(outer, &limited_task,
                          &(struct limited){meeting(0), &came_by, &went_on, NULL, NULL, NULL});
        struct stroke stroke = {.cancel = _i == 0 ? f : NULL,
                                .cancel_scope = _i == 1 ? outer : NULL};

        expect_ok(strike_at(meeting(late), &stroke));
        settle(f);
        ck_assert_int_eq(future_state(f), FUTURE_CANCELLED);
        ck_assert(!went_on);
        ck_assert(late != -1 || !came_by);
        ck_assert(late != 1 || came_by);
        came_by_at_once += late == 0 && came_by;
        ck_assert_uint_le(async_now_ns(), meeting(late < 0 ? 0 : late));
        future_drop(f);
        expect_ok(scope_close(outer));
        scope_drop(outer);
        finish();
    }
    if (_i < 2) {
        ck_assert_uint_gt(came_by_at_once, 0);
        ck_assert_uint_lt(came_by_at_once, SEEDS);
    }
}
END_TEST

/* A task that is done when its timer is, with a value that is counted. */
struct timely {
    uint64_t at_ns;
    future *timer;
};

static unsigned values;

static void value_destroyed(void *value)
{
    (void)value;
    values--;
}

static int timely_step(task *t, void *frame)
{
    struct timely *o = frame;

    BEGIN(t);
    AWAIT(t, o->timer, future_at(o->at_ns));
    values++;
    task_return(t, NULL, value_destroyed);
    END(t);
}

static void timely_drop(void *frame)
{
    future_drop(((struct timely *)frame)->timer);
}

TASK(timely_task, ON_LOOP, sizeof(struct timely), .step = timely_step, .drop = timely_drop);

static future *start_timely(struct scope *s, uint64_t at_ns)
{
    return task_start_in(s, &timely_task, &(struct timely){.at_ns = at_ns});
}

/* _i: by a cancel, by the scope's, by its deadline. */
START_TEST(a_task_that_ends_as_it_is_cancelled_is_either)
{
    struct tally tally = {0};

    EACH_RACE(seed, late)
    {
        begin(seed, 0, NULL, 0);
        struct scope *s = scope_new(_i == 2 ? meeting(late) : CLOCK_NEVER, 0);
        future *f = start_timely(s, meeting(0));
        int rc = 1;
        struct stroke stroke = {
            .cancel = _i == 0 ? f : NULL, .cancel_scope = _i == 1 ? s : NULL, .ret_rc = &rc};

        expect_ok(strike_at(meeting(late), &stroke));
        settle(f);
        if (late)
            ck_assert_int_eq(future_state(f), late > 0 ? FUTURE_OK : FUTURE_CANCELLED);
        else
            count_outcome(&tally, f);
        ck_assert(_i != 0 || rc == 0 || future_ok(f));
        ck_assert_uint_eq(values, future_ok(f));
        future_drop(f);
        ck_assert_uint_eq(values, 0);
        expect_ok(scope_close(s));
        scope_drop(s);
        finish();
    }
    ck_assert_uint_gt(tally.ok, 0);
    ck_assert_uint_gt(tally.cancelled, 0);
    ck_assert_uint_eq(tally.failed, 0);
}
END_TEST

/* -- cancels and workers ----------------------------------------------------------------------- */

/* What a cancel 1 ns before a deed, and 1 ns after, must give: errors; and of a slow kill before.
 */
struct cancel_case {
    enum mock_deed deed;
    int before, before_slow, after, after_slow;
    bool both; /* at the same time: each of two outcomes is seen */
};

static const struct cancel_case cancel_cases[] = {
    {MOCK_ANSWER, -ECANCELED, 0, 0, 0, true},
    {MOCK_ANSWER_AND_CRASH, -ECANCELED, 0, 0, 0, true},
    {MOCK_CRASH, -ECANCELED, -ECANCELED, -EOWNERDEAD, -EOWNERDEAD, true},
    {MOCK_KILLED, -ECANCELED, -ECANCELED, -EOWNERDEAD, -EOWNERDEAD, true},
    {MOCK_LIE, -ECANCELED, -ECANCELED, -EBADMSG, -ECANCELED, true}, /* its kill is on its way */
    {MOCK_HANG, -ECANCELED, -ECANCELED, -ECANCELED, -ECANCELED, false},
};

/* _i: what the worker does; whether its kill takes longer than until then. */
START_TEST(of_a_cancel_and_a_deed_of_the_worker_exactly_one_wins)
{
    const struct cancel_case *c = &cancel_cases[_i / 2];
    uint64_t kill_ns = _i % 2 ? 3 : 0;
    unsigned cancelled = 0, others = 0;

    EACH_RACE(seed, late)
    {
        begin(seed, kill_ns, (const struct mock_act[]){{c->deed, MEETING, BYTES("a lie")}}, 1);
        future *f = start_double(double_plain, 4);
        int rc = 1;
        struct stroke stroke = {.cancel = f, .ret_rc = &rc};

        expect_ok(strike_at(meeting(late), &stroke));
        settle(f);
        int error = future_error(f);
        if (late < 0) {
            ck_assert_int_eq(error, kill_ns ? c->before_slow : c->before);
        } else if (late > 0) {
            ck_assert_int_eq(error, kill_ns ? c->after_slow : c->after);
        } else if (error == -ECANCELED) {
            cancelled++;
        } else {
            ck_assert_int_eq(error, c->after);
            others++;
        }
        ck_assert(rc == 0 || (rc == -EALREADY && error == c->after));
        ck_assert_uint_eq(play.drops, 1);
        ck_assert_uint_eq(play.calls, 1);
        if (future_ok(f))
            ck_assert_uint_eq(*(const uint32_t *)future_value(f), 8);
        future_drop(f);
        mock_advance(10);
        expect_strength();
        ck_assert_int_le(async_stats().workers_lost, 1);
        ck_assert_int_eq(async_stats().tasks_retried, 0);
        finish();
    }
    ck_assert_uint_eq(cancelled + others, SEEDS);
    if (c->both && !kill_ns)
        ck_assert(cancelled > 0 && others > 0);
}
END_TEST

START_TEST(a_cancel_between_a_crash_and_the_retry_is_not_lost)
{
    struct mock_act acts[] = {{MOCK_CRASH, MEETING, BYTES("")}, {MOCK_ANSWER, 5, BYTES("")}};
    unsigned retried = 0;

    EACH_RACE(seed, late)
    {
        begin(seed, seed % 2, acts, 2);
        future *f = start_double(double_again, 4);
        struct stroke stroke = {.cancel = f};

        expect_ok(strike_at(meeting(late), &stroke));
        settle(f);
        ck_assert_int_eq(future_state(f), FUTURE_CANCELLED);
        ck_assert_uint_eq(play.serves, 0);
        ck_assert_uint_eq(play.drops, 1);
        ck_assert_uint_le(play.calls, late < 0 ? 1 : 2);
        ck_assert(late <= 0 || play.calls == 2);
        retried += late == 0 && play.calls == 2;
        future_drop(f);
        mock_advance(5);
        expect_strength();
        finish();
    }
    ck_assert_uint_gt(retried, 0);
    ck_assert_uint_lt(retried, SEEDS);
}
END_TEST

/* The deadline that `serve` is told, and as long as it is waited for after that. */
START_TEST(of_a_kill_for_being_late_and_an_answer_exactly_one_wins)
{
    const uint64_t limit = 350 * NS_PER_MS;
    struct tally tally = {0};

    EACH_RACE(seed, late)
    {
        begin(seed, 0, (const struct mock_act[]){{MOCK_ANSWER, limit + (uint64_t)late, BYTES("")}},
              1);
        future *f = start_double(double_soon, 4);

        settle(f);
        if (late)
            ck_assert_int_eq(future_error(f), late > 0 ? -ETIMEDOUT : 0);
        else
            count_outcome(&tally, f);
        ck_assert_uint_eq(play.drops, 1);
        ck_assert_uint_ge(mock_workers_killed(), !future_ok(f));
        ck_assert(late >= 0 || mock_workers_killed() == 0);
        future_drop(f);
        mock_advance(1);
        expect_strength();
        expect_now(limit + (late < 0 ? 0 : 1));
        finish();
    }
    ck_assert_uint_gt(tally.ok, 0);
    ck_assert_uint_gt(tally.failed, 0);
    ck_assert_uint_eq(tally.cancelled, 0);
}
END_TEST

START_TEST(an_answer_that_is_sent_before_the_crash_counts_and_the_next_call_is_not_lost)
{
    enum { CALLS = 6 };
    struct mock_act acts[] = {{.deed = MOCK_ANSWER_AND_CRASH}};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        future *f[CALLS];
        acts[0].after_ns = seed % 4;
        begin(seed, 0, acts, 1);
        for (uint32_t i = 0; i < CALLS; i++)
            f[i] = start_double(double_plain, i);
        for (uint32_t i = 0; i < CALLS; i++)
            expect_double(f[i], i);
        ck_assert_uint_eq(play.serves, CALLS);
        ck_assert_uint_eq(play.drops, CALLS);
        expect_strength();
        ck_assert_int_eq(async_stats().workers_lost, CALLS);
        finish();
    }
}
END_TEST

/* -- workers that are replaced ----------------------------------------------------------------- */

/* _i: after one call, for its size after two. */
START_TEST(recycling_a_worker_just_as_it_answers_loses_and_doubles_nothing)
{
    enum { CALLS = 12 };

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct mock_act acts[PLAY_ACTS];
        struct mock_options options = options_of(seed, seed % 3);
        future *f[CALLS];

        for (size_t i = 0; i < PLAY_ACTS; i++)
            acts[i] = (struct mock_act){MOCK_ANSWER, (seed >> i) % 3, BYTES("")};
        options.async.worker_tasks = _i ? 0 : 1;
        options.async.worker_rss = _i ? 15 : 0;
        options.grown = 10;
        play_with(&options, acts, PLAY_ACTS);
        for (uint32_t i = 0; i < CALLS; i++)
            f[i] = start_double(i % 2 ? double_plain : double_again, i);
        for (uint32_t i = 0; i < CALLS; i++)
            expect_double(f[i], i);
        ck_assert_uint_eq(play.calls, CALLS);
        ck_assert_uint_eq(play.serves, CALLS);
        ck_assert_uint_eq(play.unpacks, CALLS);
        ck_assert_uint_eq(play.drops, CALLS);
        mock_advance(100);
        expect_strength();
        ck_assert_int_eq(async_stats().workers_lost, 0);
        ck_assert_int_eq(async_stats().tasks_retried, 0);
        ck_assert_int_gt(async_stats().workers_recycled, 0);
        ck_assert_int_eq(async_stats().workers_recycled, mock_workers_killed());
        ck_assert_uint_eq(mock_workers_started(), PLAY_STRENGTH + mock_workers_killed());
        finish();
    }
}
END_TEST

/* _i: the first worker has read the call, or has not; the second neither. */
START_TEST(a_task_is_made_again_once_and_no_more)
{
    struct mock_act acts[] = {{_i ? MOCK_CRASH_UNREAD : MOCK_CRASH, 1, BYTES("")},
                              {.deed = MOCK_ANSWER}};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, 0, acts, 2);
        expect_double(start_double(double_again, 4), 4);
        ck_assert_uint_eq(play.calls, 2);
        ck_assert_uint_eq(play.serves, 1);
        ck_assert_uint_eq(play.drops, 1);
        ck_assert_int_eq(async_stats().tasks_retried, 1);
        finish();

        begin(seed, 0, acts, 1);
        expect_error(start_double(double_again, 4), -EOWNERDEAD);
        ck_assert_uint_eq(play.calls, 2);
        ck_assert_uint_eq(play.drops, 1);
        ck_assert_int_eq(async_stats().tasks_retried, 1);
        expect_strength();
        ck_assert_int_eq(async_stats().workers_lost, 2);
        finish();
    }
}
END_TEST

/* The same request again and again, by tasks that start together and one after another. */
START_TEST(a_request_that_has_killed_two_workers_is_refused)
{
    enum { TASKS = 5 };
    struct mock_act acts[] = {{.deed = MOCK_CRASH}};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        future *f[TASKS];
        unsigned refused = 0;

        acts[0].after_ns = seed % 2;
        begin(seed, 0, acts, 1);
        for (int i = 0; i < TASKS; i++)
            f[i] = start_double(seed % 3 ? double_plain : double_again, 13);
        for (int i = 0; i < TASKS; i++) {
            settle(f[i]);
            refused += future_error(f[i]) == -ENOTRECOVERABLE;
            ck_assert(future_error(f[i]) == -ENOTRECOVERABLE || future_error(f[i]) == -EOWNERDEAD);
            future_drop(f[i]);
        }
        /* The one more was on its way when the second death was seen. */
        ck_assert_uint_ge(refused, TASKS - 3);
        ck_assert_int_eq(async_stats().tasks_quarantined, refused);
        ck_assert_int_ge(async_stats().workers_lost, 2);
        ck_assert_int_le(async_stats().workers_lost, 3);
        ck_assert_uint_eq(play.calls, async_stats().workers_lost);
        ck_assert_uint_eq(play.drops, TASKS);
        expect_strength();
        finish();
    }
}
END_TEST

/* _i: by a kill from outside, for being cancelled, for being late, before the call was read. */
START_TEST(what_is_not_the_requests_fault_is_not_held_against_it)
{
    static const enum mock_deed deeds[] = {MOCK_KILLED, MOCK_HANG, MOCK_HANG, MOCK_CRASH_UNREAD};
    static const struct task_def *const *const defs[] = {&double_plain, &double_plain, &double_soon,
                                                         &double_plain};
    struct mock_act acts[] = {{.deed = deeds[_i]},
                              {.deed = deeds[_i]},
                              {.deed = deeds[_i]},
                              {.deed = deeds[_i]},
                              {.deed = MOCK_ANSWER}};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, seed % 2, acts, 5);
        for (int tries = 0; play.calls < 4; tries++) {
            ck_assert_int_lt(tries, 4);
            future *f = start_double(*defs[_i], 13);
            mock_turn();
            if (_i == 1)
                future_cancel(f);
            settle(f);
            ck_assert(!future_ok(f));
            future_drop(f);
        }
        mock_advance(1);
        expect_double(start_double(*defs[_i], 13), 13);
        ck_assert_int_eq(async_stats().workers_lost, 4);
        ck_assert_int_eq(async_stats().tasks_quarantined, 0);
        finish();
    }
}
END_TEST

/* Calls go to workers that die, at the same time, while they are idle. */
START_TEST(a_worker_that_dies_idle_takes_no_call_with_it)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed, 0, NULL, 0);
        expect_double(start_double(double_plain, 1), 1);
        mock_turn();
        future *a = start_double(double_plain, 2), *b = start_double(double_plain, 3);
        for (unsigned w = 0; w < PLAY_STRENGTH; w++)
            ck_assert(mock_worker_die(w, seed % 2 ? SIGKILL : SIGSEGV));
        expect_double(a, 2);
        expect_double(b, 3);
        ck_assert_uint_eq(play.serves, 3);
        expect_strength();
        ck_assert_int_eq(async_stats().workers_lost, PLAY_STRENGTH);
        finish();
    }
}
END_TEST

/* -- scopes ------------------------------------------------------------------------------------ */

/* Fails when its timer is due. */
static int failing_step(task *t, void *frame)
{
    struct timely *o = frame;

    BEGIN(t);
    AWAIT(t, o->timer, future_at(o->at_ns));
    task_fail(t, -EIO, NULL, NULL);
    END(t);
}

TASK(failing_task, ON_LOOP, sizeof(struct timely), .step = failing_step, .drop = timely_drop);

START_TEST(of_a_failure_and_a_deadline_the_first_ends_the_scope)
{
    struct tally tally = {0};

    EACH_RACE(seed, late)
    {
        begin(seed, 0, (const struct mock_act[]){{.deed = MOCK_HANG}}, 1);
        struct scope *s = scope_new(meeting(0), SCOPE_FAIL_FAST);
        future *others[] = {start_nap(s), task_start_in(s, double_plain, &(struct doubling){4})};
        future *f = task_start_in(s, &failing_task, &(struct timely){.at_ns = meeting(late)});
        future *closed = scope_close(s);

        settle(closed);
        ck_assert(future_settled(f));
        if (late)
            ck_assert_int_eq(future_error(closed), late < 0 ? -EIO : 0);
        else
            count_outcome(&tally, f);
        /* The task failed exactly if that is what the scope tells; what ended it may be either. */
        ck_assert_int_eq(future_error(closed), future_state(f) == FUTURE_FAILED ? -EIO : 0);
        ck_assert(scope_cancelled(s) == -ETIMEDOUT ||
                  (scope_cancelled(s) == -EIO && future_error(f) == -EIO));
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(future_state(others[i]), FUTURE_CANCELLED);
            future_drop(others[i]);
        }
        ck_assert_uint_eq(play.drops, 1);
        expect_now(late < 0 ? MEETING - 1 : MEETING);
        future_drop(f);
        future_drop(closed);
        scope_drop(s);
        expect_strength();
        finish();
    }
    ck_assert_uint_gt(tally.failed, 0);
    ck_assert_uint_gt(tally.cancelled, 0);
    ck_assert_uint_eq(tally.ok, 0);
}
END_TEST

START_TEST(of_two_failures_the_first_is_the_scopes)
{
    unsigned second_won = 0;

    EACH_RACE(seed, late)
    {
        unsigned failed = 0;

        begin(seed, 0, NULL, 0);
        struct scope *s = scope_new(CLOCK_NEVER, SCOPE_FAIL_FAST);
        future *a = task_start_in(s, &failing_task, &(struct timely){.at_ns = meeting(0)});
        future *b = task_start_in(s, &failing_task, &(struct timely){.at_ns = meeting(late)});
        future *closed = scope_close(s);

        settle(closed);
        ck_assert_int_eq(future_error(closed), -EIO);
        failed = (future_error(a) == -EIO) + (future_error(b) == -EIO);
        ck_assert_uint_ge(failed, 1);
        if (late) /* the later one is cancelled before it comes to failing */
            ck_assert_int_eq(future_error(late > 0 ? b : a), -ECANCELED);
        else
            second_won += future_error(a) == -ECANCELED;
        future_drop(a);
        future_drop(b);
        future_drop(closed);
        scope_drop(s);
        finish();
    }
    ck_assert_uint_gt(second_won, 0);
    ck_assert_uint_lt(second_won, SEEDS);
}
END_TEST

START_TEST(a_start_in_a_scope_that_is_being_cancelled_drops_its_frame_once)
{
    EACH_RACE(seed, late)
    {
        begin(seed, 0, NULL, 0);
        struct scope *s = scope_new(meeting(late), 0);
        future *f = NULL;

        ck_assert_int_eq(mock_advance(MEETING), 0);
        f = task_start_in(s, double_plain, &(struct doubling){4});
        settle(f);
        ck_assert_int_eq(future_state(f), late > 0 ? FUTURE_OK : FUTURE_CANCELLED);
        ck_assert_uint_eq(play.drops, 1);
        future_drop(f);
        expect_ok(scope_close(s));
        scope_drop(s);
        finish();
    }
}
END_TEST

/* Cleans up, in a scope of its own, after it was cancelled. */
struct careful {
    uint64_t until_ns;
    bool *ret_cleaned;
    struct scope *shield;
    future *nap, *cleaned;
};

static int careful_step(task *t, void *frame)
{
    struct careful *c = frame;

    BEGIN(t);
    AWAIT(t, c->nap, future_at(CLOCK_NEVER));
    c->shield = scope_new(CLOCK_NEVER, SCOPE_SHIELD);
    if (!c->shield) {
        task_fail(t, -ENOMEM, NULL, NULL);
        return TASK_FINISHED;
    }
    future_drop(start_timely(c->shield, c->until_ns));
    AWAIT(t, c->cleaned, scope_close(c->shield));
    *c->ret_cleaned = future_ok(c->cleaned) && async_now_ns() == c->until_ns;
    task_fail(t, -ECANCELED, NULL, NULL);
    END(t);
}

static void careful_drop(void *frame)
{
    struct careful *c = frame;

    future_drop(c->nap);
    future_drop(c->cleaned);
    scope_drop(c->shield);
}

TASK(careful_task, ON_LOOP, sizeof(struct careful), .step = careful_step, .drop = careful_drop,
     .catches_cancel = true);

/* Notes whether what it awaited after it had found itself cancelled was left alone. */
struct tidy {
    uint64_t at_ns;
    unsigned *ret_tidied, *ret_disturbed;
    future *timer;
};

static int tidy_step(task *t, void *frame)
{
    struct tidy *o = frame;

    BEGIN(t);
    AWAIT(t, o->timer, future_at(o->at_ns));
    if (!task_cancelled(t))
        return TASK_FINISHED;
    AWAIT(t, o->timer, future_at(async_now_ns() + 10));
    ++*(future_ok(o->timer) ? o->ret_tidied : o->ret_disturbed);
    task_fail(t, -ECANCELED, NULL, NULL);
    END(t);
}

static void tidy_drop(void *frame)
{
    future_drop(((struct tidy *)frame)->timer);
}

TASK(tidy_task, ON_LOOP, sizeof(struct tidy), .step = tidy_step, .drop = tidy_drop,
     .catches_cancel = true);

/* A task may see that its scope is cancelled before it is told: then that comes while it tidies up.
 * _i: by a cancel, by the deadline. */
START_TEST(a_task_that_has_seen_its_cancel_is_not_disturbed_by_it)
{
    unsigned tidied = 0, disturbed = 0, tidied_at_once = 0;

    EACH_RACE(seed, late)
    {
        begin(seed, 0, NULL, 0);
        struct scope *s = scope_new(_i ? meeting(late) : CLOCK_NEVER, 0);
        future *f = task_start_in(s, &tidy_task,
                                  &(struct tidy){.at_ns = meeting(0),
                                                 .ret_tidied = &tidied,
                                                 .ret_disturbed = &disturbed});
        struct stroke stroke = {.cancel_scope = _i ? NULL : s};
        unsigned before = tidied;

        expect_ok(strike_at(meeting(late), &stroke));
        settle(f);
        ck_assert(late == 0 || future_ok(f) == (late > 0));
        ck_assert_int_eq(future_ok(f), tidied == before);
        tidied_at_once += late == 0 && tidied > before;
        future_drop(f);
        expect_ok(scope_close(s));
        scope_drop(s);
        finish();
    }
    ck_assert_uint_eq(disturbed, 0);
    ck_assert_uint_gt(tidied_at_once, 0);
    ck_assert_uint_lt(tidied_at_once, SEEDS);
}
END_TEST

/* A second cancel, and the deadline of the scope around, come while it cleans up. */
START_TEST(what_is_shielded_is_done_to_its_end_and_holds_up_the_scopes_around)
{
    EACH_RACE(seed, late)
    {
        bool cleaned = false;

        begin(seed, 0, NULL, 0);
        values = 0;
        struct scope *outer = scope_new(meeting(late), 0);
        future *f =
            task_start_in(outer, &careful_task,
                          &(struct careful){.until_ns = meeting(0), .ret_cleaned = &cleaned});
        future *closed = scope_close(outer);
        struct stroke first = {.cancel = f}, second = {.cancel_scope = outer};
        future *strokes[] = {strike_at(at(MEETING - 5), &first), strike_at(meeting(late), &second)};

        settle(closed);
        expect_now(MEETING);
        ck_assert(cleaned);
        ck_assert_int_eq(future_state(f), FUTURE_CANCELLED);
        expect_ok(strokes[0]);
        expect_ok(strokes[1]);
        ck_assert(late == 0 || (late < 0) == (scope_cancelled(outer) != 0));
        future_drop(f);
        future_drop(closed);
        scope_drop(outer);
        finish();
    }
}
END_TEST

/* -- continuations ----------------------------------------------------------------------------- */

/* Three that are settled at about the same time; the continuation of each cancels and drops all. */
struct circle {
    future *sources[3], *results[3];
    unsigned runs[3], late_settles;
};

struct seat {
    struct circle *circle;
    int number;
};

static void break_circle(future *done, promise *next, void *arg)
{
    struct seat *seat = arg;
    struct circle *c = seat->circle;

    c->runs[seat->number]++;
    ck_assert(future_settled(done));
    for (int i = 0; i < 3; i++) {
        future_cancel(c->results[i]);
        if (c->sources[i])
            future_cancel(c->sources[i]);
        c->sources[i] = future_drop(c->sources[i]);
    }
    ck_assert(future_settled(done)); /* borrowed until this returns */
    c->late_settles += promise_resolve(next, NULL, NULL) == -EALREADY;
    promise_drop(next);
}

START_TEST(continuations_may_cancel_and_drop_each_other_and_run_once)
{
    EACH_RACE(seed, late)
    {
        struct circle c = {0};
        struct seat seats[3];

        begin(seed, 0, (const struct mock_act[]){{MOCK_ANSWER, MEETING, BYTES("")}}, 1);
        c.sources[0] = future_at(meeting(late));
        c.sources[1] = start_double(double_plain, 4);
        c.sources[2] = start_timely(NULL, meeting(-late));
        for (int i = 0; i < 3; i++) {
            seats[i] = (struct seat){&c, i};
            c.results[i] = future_then(c.sources[i], EXECUTOR_LOOP, break_circle, &seats[i]);
        }
        for (int i = 0; i < 3; i++) {
            settle(c.results[i]);
            ck_assert_uint_eq(c.runs[i], 1);
            ck_assert_int_ne(future_state(c.results[i]), FUTURE_FAILED);
        }
        for (int i = 0; i < 3; i++)
            future_drop(c.results[i]);
        ck_assert_uint_eq(play.drops, 1);
        finish();
        ck_assert_uint_eq(values, 0);
        for (int i = 0; i < 3; i++)
            ck_assert_uint_eq(c.runs[i], 1);
    }
}
END_TEST

START_TEST(cancels_from_everywhere_at_once_end_a_call_once)
{
    EACH_RACE(seed, late)
    {
        unsigned runs = 0;

        begin(seed, seed % 3, (const struct mock_act[]){{MOCK_ANSWER, MEETING, BYTES("")}}, 1);
        struct scope *s = scope_new(meeting(0), 0);
        future *f = task_start_in(s, seed % 2 ? double_plain : double_again, &(struct doubling){4});
        struct stroke strokes[] = {{.cancel = f, .runs = &runs},
                                   {.cancel_scope = s, .runs = &runs},
                                   {.cancel = f, .cancel_scope = s, .runs = &runs}};
        future *struck[3];

        for (int i = 0; i < 3; i++)
            struck[i] = strike_at(meeting(i == 2 ? late : 0), &strokes[i]);
        settle(f);
        ck_assert_int_eq(future_state(f), FUTURE_CANCELLED);
        ck_assert_uint_eq(play.drops, 1);
        for (int i = 0; i < 3; i++)
            expect_ok(struck[i]);
        ck_assert_uint_eq(runs, 3);
        ck_assert_uint_le(mock_workers_killed(), 1);
        expect_ok(scope_close(s));
        scope_drop(s);
        future_drop(f);
        mock_advance(5);
        expect_strength();
        finish();
    }
}
END_TEST

/* -- combinations ------------------------------------------------------------------------------ */

typedef future *combine_fn(future *const *fs, size_t n);

static combine_fn *const combinators[] = {future_race, future_any, future_all};

/* _i: race, any, all of a call that is answered, a task that fails, and one that never ends. */
START_TEST(the_losers_of_a_combination_are_cancelled_and_its_winner_is_not_lost)
{
    struct tally tally = {0};

    EACH_RACE(seed, late)
    {
        begin(seed, 0, (const struct mock_act[]){{MOCK_ANSWER, MEETING, BYTES("")}}, 1);
        future *call = start_double(double_plain, 4);
        future *failing = task_start(&failing_task, &(struct timely){.at_ns = meeting(late)});
        future *inputs[] = {start_nap(NULL), call, failing};
        future *result = combinators[_i](inputs, 3);
        /* What it must be where the order is told: of a race, the first one. */
        bool ok = _i == 1 || (_i == 0 && late > 0);

        settle(result);
        if (late || _i > 0)
            ck_assert_int_eq(future_error(result), ok ? 0 : -EIO);
        else
            count_outcome(&tally, result);
        const future *winner = future_ok(result) ? call : failing;
        ck_assert_ptr_eq(future_value(result), winner);
        for (int i = 0; i < 3; i++)
            settle(inputs[i]);
        ck_assert_int_eq(future_state(inputs[0]), FUTURE_CANCELLED);
        ck_assert_int_ne(future_state(winner), FUTURE_CANCELLED);
        if (late)
            ck_assert_int_eq(future_ok(call), _i == 1 || late > 0);
        if (late > 0)
            ck_assert_int_eq(future_error(failing), _i == 2 ? -EIO : -ECANCELED);
        ck_assert_uint_eq(play.drops, 1);
        ck_assert_int_eq(async_stats().workers_lost, mock_workers_killed());
        ck_assert(!future_ok(call) || play.serves == 1);
        for (int i = 0; i < 3; i++)
            future_drop(inputs[i]);
        future_drop(result);
        expect_strength();
        finish();
    }
    if (_i == 0)
        ck_assert(tally.ok > 0 && tally.failed > 0);
}
END_TEST

START_TEST(of_the_cancel_of_a_race_and_its_winner_exactly_one_wins)
{
    struct tally tally = {0};

    EACH_RACE(seed, late)
    {
        begin(seed, 0, (const struct mock_act[]){{MOCK_ANSWER, MEETING, BYTES("")}}, 1);
        future *inputs[] = {start_double(double_plain, 4), start_nap(NULL)};
        future *result = future_race(inputs, 2);
        struct stroke stroke = {.cancel = result};

        expect_ok(strike_at(meeting(late), &stroke));
        settle(result);
        if (late)
            ck_assert_int_eq(future_state(result), late > 0 ? FUTURE_OK : FUTURE_CANCELLED);
        else
            count_outcome(&tally, result);
        ck_assert(!future_ok(result) || future_ok(inputs[0]));
        /* It has waited for them, or has left them to be cancelled. */
        for (int i = 0; i < 2; i++) {
            settle(inputs[i]);
            future_drop(inputs[i]);
        }
        ck_assert_uint_eq(play.drops, 1);
        future_drop(result);
        expect_strength();
        finish();
    }
    ck_assert(tally.ok > 0 && tally.cancelled > 0);
    ck_assert_uint_eq(tally.failed, 0);
}
END_TEST

START_TEST(a_shielded_call_is_answered_whoever_leaves)
{
    EACH_RACE(seed, late)
    {
        begin(seed, 0, (const struct mock_act[]){{MOCK_ANSWER, MEETING, BYTES("")}}, 1);
        future *call = start_double(double_plain, 4), *shielded = future_shield(call);
        struct stroke stroke = {.cancel = shielded};

        expect_ok(strike_at(meeting(late), &stroke));
        settle(shielded);
        if (late)
            ck_assert_int_eq(future_ok(shielded), late > 0);
        expect_double(call, 4);
        ck_assert_uint_eq(mock_workers_killed(), 0);
        future_drop(shielded);
        finish();
    }
}
END_TEST

/* -- channels ---------------------------------------------------------------------------------- */

struct item {
    unsigned *left;
};

static void item_destroyed(void *value)
{
    struct item *i = value;

    --*i->left;
    free(i);
}

static struct item *item_new(unsigned *left)
{
    struct item *i = malloc(sizeof *i);

    ck_assert_ptr_nonnull(i);
    i->left = left;
    ++*left;
    return i;
}

struct valve {
    struct channel *channel;
    unsigned *left, *got;
};

static void take_one(future *done, promise *next, void *arg)
{
    struct valve *v = arg;
    void *item;

    (void)done;
    if (channel_try_get(v->channel, &item)) {
        item_destroyed(item);
        ++*v->got;
    }
    promise_drop(next);
}

static void close_it(future *done, promise *next, void *arg)
{
    (void)done;
    channel_close(((struct valve *)arg)->channel);
    promise_drop(next);
}

static future *valve_at(uint64_t at_ns, then_fn *fn, struct valve *v)
{
    future *timer = future_at(at_ns);
    future *f = future_then(timer, EXECUTOR_LOOP, fn, v);

    future_drop(timer);
    return f;
}

/*
 * Of three puts the first has a place and the others are parked; at about the same time one of
 * those is cancelled, one item is taken, and the channel closed.
 */
START_TEST(of_a_put_its_cancel_and_the_close_exactly_one_wins)
{
    struct tally cancelled = {0}, other = {0};

    EACH_RACE(seed, late)
    {
        for (int later = -1; later <= 1; later++) {
            unsigned left = 0, got = 0, put = 0;

            begin(seed, 0, NULL, 0);
            struct valve v = {channel_new(1, item_destroyed), &left, &got};
            future *f[3];
            for (int i = 0; i < 3; i++)
                f[i] = channel_put(v.channel, item_new(&left));
            ck_assert(future_ok(f[0]));
            struct stroke stroke = {.cancel = f[1]};
            future *ends[] = {strike_at(meeting(0), &stroke), valve_at(meeting(late), take_one, &v),
                              valve_at(meeting(later), close_it, &v)};
            settle(ends[0]);
            settle(ends[1]);
            settle(ends[2]);
            for (int i = 0; i < 3; i++) {
                settle(f[i]);
                put += future_ok(f[i]);
                future_drop(ends[i]);
            }
            ck_assert(future_error(f[1]) == -EPIPE || future_error(f[1]) == -ECANCELED ||
                      future_ok(f[1]));
            ck_assert(future_error(f[2]) == -EPIPE || future_ok(f[2]));
            ck_assert_uint_eq(got, 1);          /* the first was there in any case */
            ck_assert_uint_eq(left + got, put); /* what was put, and no more, is to be had */
            if (late == 0 && later == 0) {
                count_outcome(&cancelled, f[1]);
                count_outcome(&other, f[2]);
            }
            for (int i = 0; i < 3; i++)
                future_drop(f[i]);
            channel_drop(v.channel);
            ck_assert_uint_eq(left, 0);
            finish();
        }
    }
    ck_assert(cancelled.ok > 0 && cancelled.failed > 0 && cancelled.cancelled > 0);
    ck_assert(other.ok > 0 && other.failed > 0);
}
END_TEST

START_TEST(of_a_getters_cancel_a_put_and_the_close_exactly_one_wins)
{
    struct tally tally = {0};

    EACH_RACE(seed, late)
    {
        for (int later = -1; later <= 1; later++) {
            unsigned left = 0, got = 0;

            begin(seed, 0, NULL, 0);
            struct valve v = {channel_new(1, item_destroyed), &left, &got};
            future *ready = channel_ready(v.channel);
            struct stroke stroke = {.cancel = ready};
            future *cancel = strike_at(meeting(late), &stroke);
            future *closed = valve_at(meeting(later), close_it, &v);

            mock_advance(MEETING);
            future *put = channel_put(v.channel, item_new(&left));
            ck_assert_int_eq(future_error(put), later <= 0 ? -EPIPE : 0);
            settle(ready);
            settle(cancel);
            settle(closed);
            if (late <= 0 && late < later)
                ck_assert_int_eq(future_error(ready), -ECANCELED);
            if (later <= 0 && later < late)
                ck_assert_int_eq(future_error(ready), -EPIPE);
            if (late > 0 && later > 0)
                ck_assert(future_ok(ready));
            if (late == 0 && later == 0)
                count_outcome(&tally, ready);
            future_drop(ready);
            future_drop(cancel);
            future_drop(closed);
            future_drop(put);
            channel_drop(v.channel);
            ck_assert_uint_eq(left, 0);
            finish();
        }
    }
    ck_assert(tally.failed > 0 && tally.cancelled > 0);
    ck_assert_uint_eq(tally.ok, 0);
}
END_TEST

/* -- the end ----------------------------------------------------------------------------------- */

/* The runtime is stopped while calls, a retry, a nap and a deadline are where they are. */
START_TEST(the_runtime_may_be_stopped_at_any_moment)
{
    struct mock_act acts[] = {{MOCK_CRASH, 3, BYTES("")}, {MOCK_ANSWER, 3, BYTES("")}};

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        for (uint64_t moment = 0; moment < 9; moment++) {
            begin(seed, seed % 3, acts, 2);
            struct scope *s = scope_new(at(4), 0);
            future *f[] = {start_double(double_again, 1),
                           start_double(double_plain, 2),
                           start_double(double_plain, 3),
                           start_nap(s),
                           future_at(at(7)),
                           scope_close(s)};
            if (moment > 0)
                mock_advance(moment - 1);
            scope_drop(s);
            ck_assert_int_eq(async_stop(), 0);
            for (size_t i = 0; i < sizeof f / sizeof *f; i++) {
                ck_assert(future_settled(f[i]));
                future_drop(f[i]);
            }
            ck_assert_uint_eq(play.drops, 3);
            finish();
        }
    }
}
END_TEST

Suite *suite_races(void)
{
    Suite *suite = suite_create("races");
    TCase *deadlines = tcase_create("deadlines"), *cancels = tcase_create("cancels"),
          *workers = tcase_create("workers"), *scopes = tcase_create("scopes"),
          *continuations = tcase_create("continuations"),
          *combinations = tcase_create("combinations"), *channels = tcase_create("channels");
    TCase *cases[] = {deadlines, cancels, workers, scopes, continuations, combinations, channels};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_loop_test(
        deadlines, a_deadline_neither_loses_an_answer_before_it_nor_lets_one_pass_after_it, 0, 3);
    tcase_add_test(deadlines, a_deadline_and_a_crash_give_one_of_both_outcomes);
    tcase_add_test(deadlines, a_wait_that_times_out_loses_no_answer);
    tcase_add_loop_test(deadlines, a_timeout_inside_does_not_swallow_the_cancel_of_the_whole, 0, 3);
    tcase_add_loop_test(cancels, a_task_that_ends_as_it_is_cancelled_is_either, 0, 3);
    tcase_add_loop_test(cancels, of_a_cancel_and_a_deed_of_the_worker_exactly_one_wins, 0,
                        2 * sizeof cancel_cases / sizeof *cancel_cases);
    tcase_add_test(cancels, a_cancel_between_a_crash_and_the_retry_is_not_lost);
    tcase_add_test(cancels, cancels_from_everywhere_at_once_end_a_call_once);
    tcase_add_test(cancels, the_runtime_may_be_stopped_at_any_moment);
    tcase_add_test(workers, of_a_kill_for_being_late_and_an_answer_exactly_one_wins);
    tcase_add_test(workers,
                   an_answer_that_is_sent_before_the_crash_counts_and_the_next_call_is_not_lost);
    tcase_add_loop_test(workers, recycling_a_worker_just_as_it_answers_loses_and_doubles_nothing, 0,
                        2);
    tcase_add_loop_test(workers, a_task_is_made_again_once_and_no_more, 0, 2);
    tcase_add_test(workers, a_request_that_has_killed_two_workers_is_refused);
    tcase_add_loop_test(workers, what_is_not_the_requests_fault_is_not_held_against_it, 0, 4);
    tcase_add_test(workers, a_worker_that_dies_idle_takes_no_call_with_it);
    tcase_add_test(scopes, of_a_failure_and_a_deadline_the_first_ends_the_scope);
    tcase_add_test(scopes, of_two_failures_the_first_is_the_scopes);
    tcase_add_test(scopes, a_start_in_a_scope_that_is_being_cancelled_drops_its_frame_once);
    tcase_add_loop_test(scopes, a_task_that_has_seen_its_cancel_is_not_disturbed_by_it, 0, 2);
    tcase_add_test(scopes, what_is_shielded_is_done_to_its_end_and_holds_up_the_scopes_around);
    tcase_add_test(continuations, continuations_may_cancel_and_drop_each_other_and_run_once);
    tcase_add_loop_test(combinations,
                        the_losers_of_a_combination_are_cancelled_and_its_winner_is_not_lost, 0, 3);
    tcase_add_test(combinations, of_the_cancel_of_a_race_and_its_winner_exactly_one_wins);
    tcase_add_test(combinations, a_shielded_call_is_answered_whoever_leaves);
    tcase_add_test(channels, of_a_put_its_cancel_and_the_close_exactly_one_wins);
    tcase_add_test(channels, of_a_getters_cancel_a_put_and_the_close_exactly_one_wins);
    return suite;
}
