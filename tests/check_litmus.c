/*
 * What the models prove of the order of steps, on the machine: several threads go through the same
 * futures at the same time, meet at each of them, and do their parts to it. Bounded; a step that is
 * out of order shows as a value that is not complete, as one that is destroyed twice or never, or
 * as a wait that outlives everybody's patience.
 */
#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    SLOWER = SANITIZED_THREAD || SANITIZED_ADDRESS ? 4 : 1,
    FUTURES = 64, /* that are raced through without a stop */
    BATCHES = 160 / SLOWER,
    WAKE_UPS = 4000 / SLOWER,
    PARTIES_MAX = 4,
    LOOKS = 4000, /* for others to come: a fraction of a ms */
    WORDS = 8,
};

/* -- values ------------------------------------------------------------------------------------ */

/* Larger than a store, so that it can be seen by half. */
struct value {
    uint64_t words[WORDS];
};

static atomic_long values_made, values_destroyed;

static struct value *make_value(uint64_t word)
{
    struct value *v = malloc(sizeof *v);

    ck_assert_ptr_nonnull(v);
    for (int i = 0; i < WORDS; i++)
        v->words[i] = word;
    atomic_fetch_add_explicit(&values_made, 1, memory_order_relaxed);
    return v;
}

static void destroy_value(void *value)
{
    struct value *v = value;

    for (int i = 0; i < WORDS; i++)
        v->words[i] = 0;
    free(v);
    atomic_fetch_add_explicit(&values_destroyed, 1, memory_order_relaxed);
}

/* `f` is ok, and all of its value is there. */
static void expect_complete(const future *f, uint64_t word)
{
    const struct value *v = future_value(f);

    ck_assert_ptr_nonnull(v);
    for (int i = 0; i < WORDS; i++)
        ck_assert_uint_eq(v->words[i], word);
}

/* -- several threads through many futures ------------------------------------------------------ */

struct race;
struct party {
    struct race *race;
    /* Its part with one future: it gives back the reference that it has. `word` is never 0. */
    void (*part)(future *f, promise *p, uint64_t word);
    pthread_t thread;
};

struct race {
    pthread_barrier_t line;
    struct party parties[PARTIES_MAX];
    unsigned count;
    future *futures[FUTURES];
    promise *promises[FUTURES];
    atomic_uint arrived[FUTURES];
    uint64_t first_word;
    bool over;
};

static void pass_time(uint64_t steps)
{
    for (atomic_uint i = 0; i < steps; i++)
        ;
}

/* Comes back when all parties are here, or those that run now. */
static void meet_others(struct race *r, int at)
{
    atomic_fetch_add(&r->arrived[at], 1);
    for (int looks = 1; looks < LOOKS && atomic_load(&r->arrived[at]) < r->count; looks++)
        if (looks == LOOKS / 2)
            sched_yield();
}

/* Others for each party and each future, so that now one is first and now the other. */
static uint64_t steps_before(const struct party *party, uint64_t word)
{
    return word * UINT64_C(0x9e3779b97f4a7c15) >> (8 + 8 * (party - party->race->parties)) & 63;
}

static void *take_part(void *arg)
{
    const struct party *party = arg;
    struct race *r = party->race;

    for (;;) {
        pthread_barrier_wait(&r->line);
        if (r->over)
            return NULL;
        for (int i = 0; i < FUTURES; i++) {
            uint64_t word = r->first_word + (uint64_t)i;
            meet_others(r, i);
            pass_time(steps_before(party, word));
            party->part(r->futures[i], r->promises[i], word);
        }
        pthread_barrier_wait(&r->line);
    }
}

static void start_parties(struct race *r)
{
    pthread_barrier_init(&r->line, NULL, r->count + 1);
    for (unsigned i = 0; i < r->count; i++) {
        struct party *party = &r->parties[i];
        party->race = r;
        ck_assert_int_eq(pthread_create(&party->thread, NULL, take_part, party), 0);
    }
}

static void end_parties(struct race *r)
{
    r->over = true;
    pthread_barrier_wait(&r->line);
    for (unsigned i = 0; i < r->count; i++)
        pthread_join(r->parties[i].thread, NULL);
    pthread_barrier_destroy(&r->line);
}

/* Runs the race, and asserts that every value was destroyed once. Its futures have a reference for
 * each party, and their promises one owner, who is for the parties to agree on. */
static void run(struct race *r)
{
    start_parties(r);
    for (int batch = 0; batch < BATCHES; batch++) {
        r->first_word = 1 + (uint64_t)batch * FUTURES;
        for (int i = 0; i < FUTURES; i++) {
            r->promises[i] = new_promise(&r->futures[i]);
            r->arrived[i] = 0;
            for (unsigned n = 1; n < r->count; n++)
                future_ref(r->futures[i]);
        }
        pthread_barrier_wait(&r->line);
        pthread_barrier_wait(&r->line);
    }
    end_parties(r);
    let_loop_turn(); /* cancel requests have references, too */
    ck_assert_int_eq(values_destroyed, values_made);
}

/* -- parts ------------------------------------------------------------------------------------- */

static void resolve(future *f, promise *p, uint64_t word)
{
    promise_resolve(p, make_value(word), destroy_value);
    promise_drop(p);
    future_drop(f);
}

static void look_until_settled(future *f, promise *p, uint64_t word)
{
    uint64_t patience = now_ms() + PATIENCE_MS;

    (void)p;
    for (unsigned looks = 1; future_state(f) == FUTURE_PENDING; looks++)
        if (looks % 256 == 0) {
            ck_assert_uint_lt(now_ms(), patience);
            sched_yield();
        }
    expect_complete(f, word);
    future_drop(f);
}

/* With a deadline that passes at about the time when the future is settled; then without one. */
static void give_up_and_wait(future *f, promise *p, uint64_t word)
{
    int rc = future_wait(f, clock_now_ns() + word % 16 * 1000);

    (void)p;
    if (rc == 0)
        expect_complete(f, word);
    else
        ck_assert_int_eq(rc, -ETIMEDOUT);
    ck_assert_int_eq(future_wait(f, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    expect_complete(f, word);
    future_drop(f);
}

static void wait_patiently(future *f, promise *p, uint64_t word)
{
    (void)p;
    ck_assert_int_eq(future_wait(f, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    expect_complete(f, word);
    future_drop(f);
}

static void cancel(future *f, promise *p, uint64_t word)
{
    (void)p;
    (void)word;
    future_cancel(f);
    future_drop(f);
}

static void look_once(future *f, promise *p, uint64_t word)
{
    (void)p;
    switch (future_state(f)) {
    case FUTURE_OK:
        expect_complete(f, word);
        break;
    case FUTURE_CANCELLED:
        ck_assert_int_eq(future_error(f), -ECANCELED);
        ck_assert_ptr_null(future_value(f));
        break;
    case FUTURE_FAILED:
        ck_abort_msg("it failed with %d", future_error(f));
    case FUTURE_PENDING:
        break;
    }
    future_drop(f);
}

/* -- settling ---------------------------------------------------------------------------------- */

START_TEST(who_sees_a_future_settled_sees_all_of_its_value)
{
    struct race r = {
        .count = 3,
        .parties = {{.part = look_until_settled}, {.part = resolve}, {.part = look_once}}};

    run(&r);
}
END_TEST

START_TEST(waiters_that_come_and_give_up_while_a_future_is_settled_are_told)
{
    struct race r = {
        .count = 4,
        .parties = {{.part = resolve},
                    {.part = give_up_and_wait},
                    {.part = wait_patiently},
                    {.part = give_up_and_wait}},
    };

    run(&r);
}
END_TEST

START_TEST(a_cancel_a_settle_and_the_last_drop_that_race_destroy_once)
{
    struct race r = {
        .count = 4,
        .parties = {{.part = resolve}, {.part = cancel}, {.part = look_once}, {.part = cancel}},
    };

    run(&r);
}
END_TEST

/* -- waking up: time passes meanwhile, so that the ones who are to be woken fall asleep ---------
 */

static int step(task *t, void *frame)
{
    (void)t;
    (void)frame;
    return TASK_FINISHED;
}

TASK(litmus_step, ON_LOOP, 0, .step = step);

static void *start_and_wait_on_the_loop(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < WAKE_UPS; i++) {
        pass_time(i % 64 * 8);
        expect_ok(task_start(&litmus_step, NULL));
    }
    return NULL;
}

/* _i: how many threads do. */
START_TEST(a_loop_that_falls_asleep_hears_of_what_is_posted)
{
    pthread_t threads[PARTIES_MAX];

    for (int i = 0; i < _i; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, start_and_wait_on_the_loop, NULL), 0);
    for (int i = 0; i < _i; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

struct meeting {
    pthread_barrier_t *all; /* NULL: nobody is waited for */
};

static void meet(task *t, void *frame)
{
    const struct meeting *m = frame;

    (void)t;
    if (m->all)
        pthread_barrier_wait(m->all);
}

TASK(litmus_meet, ON_THREAD, sizeof(struct meeting), .run = meet);

START_TEST(a_thread_that_falls_asleep_hears_of_what_is_submitted)
{
    for (unsigned i = 0; i < WAKE_UPS; i++) {
        pass_time(i % 64 * 8);
        expect_ok(task_start(&litmus_meet, &(struct meeting){NULL}));
    }
}
END_TEST

/* They can't end but together: the one that is woken must see to it that the others are. */
START_TEST(tasks_that_need_every_thread_find_all_of_them_awake)
{
    enum { THREADS = 4 };
    pthread_barrier_t all;
    future *f[THREADS];

    pthread_barrier_init(&all, NULL, THREADS);
    for (unsigned round = 0; round < WAKE_UPS / THREADS; round++) {
        pass_time(round % 64 * 8);
        for (int i = 0; i < THREADS; i++)
            f[i] = task_start(&litmus_meet, &(struct meeting){&all});
        for (int i = 0; i < THREADS; i++)
            expect_ok(f[i]);
    }
    pthread_barrier_destroy(&all);
}
END_TEST

Suite *suite_litmus(void)
{
    Suite *suite = suite_create("litmus");
    TCase *settling = tcase_create("settling"), *waking = tcase_create("waking");
    TCase *cases[] = {settling, waking};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(settling, who_sees_a_future_settled_sees_all_of_its_value);
    tcase_add_test(settling, waiters_that_come_and_give_up_while_a_future_is_settled_are_told);
    tcase_add_test(settling, a_cancel_a_settle_and_the_last_drop_that_race_destroy_once);
    tcase_add_loop_test(waking, a_loop_that_falls_asleep_hears_of_what_is_posted, 1, 4);
    tcase_add_test(waking, a_thread_that_falls_asleep_hears_of_what_is_submitted);
    tcase_add_test(waking, tasks_that_need_every_thread_find_all_of_them_awake);
    return suite;
}
