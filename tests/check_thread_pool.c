#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { THREADS = 4 };

/* -- work -------------------------------------------------------------------------------------- */

struct meeting {
    pthread_barrier_t *all;
};

static void meet(task *t, void *frame)
{
    (void)t;
    pthread_barrier_wait(((struct meeting *)frame)->all);
}

TASK(meet_task, ON_THREAD, sizeof(struct meeting), .run = meet);

START_TEST(as_many_tasks_as_threads_run_at_the_same_time)
{
    pthread_barrier_t all;
    future *f[THREADS];

    pthread_barrier_init(&all, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        f[i] = task_start(&meet_task, &(struct meeting){&all});
    for (int i = 0; i < THREADS; i++)
        expect_ok(f[i]);
    pthread_barrier_destroy(&all);
}
END_TEST

struct sequence {
    atomic_int *next;
    int index;
};

static void check_turn(task *t, void *frame)
{
    struct sequence *s = frame;

    if (atomic_fetch_add(s->next, 1) != s->index)
        task_fail(t, -EBADE, NULL, NULL);
}

TASK(turn_task, ON_THREAD, sizeof(struct sequence), .run = check_turn);

START_TEST(one_thread_runs_its_tasks_in_order)
{
    enum { TASKS = 500 };
    atomic_int next = 0;
    future *f[TASKS];

    async_reconfigure(1, 1, 0);
    for (int i = 0; i < TASKS; i++)
        f[i] = task_start(&turn_task, &(struct sequence){&next, i});
    for (int i = 0; i < TASKS; i++)
        expect_ok(f[i]);
}
END_TEST

/* -- waiting on a pool thread ------------------------------------------------------------------ */

static void do_nothing(task *t, void *frame)
{
    (void)t;
    (void)frame;
}

TASK(nothing_task, ON_THREAD, 0, .run = do_nothing);

struct nested {
    atomic_int *waited, *refused;
};

/* Waits for a task of the same pool: what exhausts pools that let everybody wait. */
static void wait_nested(task *t, void *frame)
{
    struct nested *n = frame;
    future *f = task_start(&nothing_task, NULL);
    int rc = future_wait(f, CLOCK_NEVER);

    atomic_fetch_add(rc == 0 ? n->waited : n->refused, 1);
    if (rc != 0 && rc != -EDEADLK)
        task_fail(t, rc, NULL, NULL);
    future_drop(f);
}

TASK(nested_task, ON_THREAD, sizeof(struct nested), .run = wait_nested);

START_TEST(nested_waits_end_though_every_thread_wants_to_wait)
{
    enum { TASKS = 200 };
    atomic_int waited = 0, refused = 0;
    future *f[TASKS];

    for (int i = 0; i < TASKS; i++)
        f[i] = task_start(&nested_task, &(struct nested){&waited, &refused});
    for (int i = 0; i < TASKS; i++)
        expect_ok(f[i]);
    ck_assert_int_eq(waited + refused, TASKS);
}
END_TEST

START_TEST(the_only_thread_runs_what_it_waits_for_itself)
{
    atomic_int waited = 0, refused = 0;

    async_reconfigure(1, 1, 0);
    expect_ok(task_start(&nested_task, &(struct nested){&waited, &refused}));
    ck_assert_int_eq(waited, 1);
}
END_TEST

/* Starts one that waits for one that waits ... so deep, all on the stack of the first. */
struct depth {
    int left;
    atomic_int *ran, *refused;
};

static void go_deeper(task *t, void *frame);

TASK(deeper_task, ON_THREAD, sizeof(struct depth), .run = go_deeper);

static void go_deeper(task *t, void *frame)
{
    struct depth *d = frame;

    (void)t;
    atomic_fetch_add(d->ran, 1);
    if (d->left == 0)
        return;
    future *f = task_start(&deeper_task, &(struct depth){d->left - 1, d->ran, d->refused});
    if (future_wait(f, CLOCK_NEVER) == -EDEADLK)
        atomic_fetch_add(d->refused, 1);
    future_drop(f);
}

START_TEST(a_chain_of_waits_does_not_eat_the_stack)
{
    enum { DEPTH = 10000 };
    atomic_int ran = 0, refused = 0;

    async_reconfigure(1, 1, 0);
    expect_ok(task_start(&deeper_task, &(struct depth){DEPTH, &ran, &refused}));
    async_stop(); /* those whose waits were refused have started others before */
    ck_assert_int_ge(ran, 64);
    ck_assert_int_le(ran, DEPTH + 1);
    ck_assert_int_ge(refused, 1);
    ck_assert_int_le(refused, DEPTH / 64 + 1);
}
END_TEST

/* Waits for what never comes: only a pending promise, no task that it could run. */
struct promise_wait {
    future *never;
};

static void wait_for_promise(task *t, void *frame)
{
    int rc = future_wait(((struct promise_wait *)frame)->never, CLOCK_NEVER);

    task_fail(t, rc ? rc : -EBADE, NULL, NULL);
}

TASK(promise_wait_task, ON_THREAD, sizeof(struct promise_wait), .run = wait_for_promise);

START_TEST(the_last_thread_that_does_not_wait_must_not)
{
    future *never;
    promise *p = new_promise(&never);

    async_stop();
    async_reconfigure(1, 1, 0);
    expect(task_start(&promise_wait_task, &(struct promise_wait){never}), FUTURE_FAILED, -EDEADLK);
    promise_cancel(p);
    promise_drop(p);
    future_drop(never);
}
END_TEST

/* Tasks in a ring, each waiting for the next one. */
struct ring {
    future **futures;
    int index, size;
    atomic_int *refused;
};

static void wait_in_ring(task *t, void *frame)
{
    struct ring *r = frame;

    int rc = future_wait(r->futures[(r->index + 1) % r->size], CLOCK_NEVER);
    if (rc == -EDEADLK)
        atomic_fetch_add(r->refused, 1);
    else if (rc != 0)
        task_fail(t, rc, NULL, NULL);
}

TASK(ring_task, ON_THREAD, sizeof(struct ring), .run = wait_in_ring);

/* Holds the pool until all futures of the ring are known. */
struct gate {
    pthread_barrier_t *open;
};

static void hold(task *t, void *frame)
{
    (void)t;
    pthread_barrier_wait(((struct gate *)frame)->open);
}

TASK(gate_task, ON_THREAD, sizeof(struct gate), .run = hold);

static void run_ring(unsigned threads, int size)
{
    pthread_barrier_t open;
    future *gates[8], *f[16];
    atomic_int refused = 0;

    async_stop();
    async_reconfigure(threads, 1, 0);
    pthread_barrier_init(&open, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++)
        gates[i] = task_start(&gate_task, &(struct gate){&open});
    for (int i = 0; i < size; i++)
        f[i] = task_start(&ring_task, &(struct ring){f, i, size, &refused});
    pthread_barrier_wait(&open);
    for (unsigned i = 0; i < threads; i++)
        expect_ok(gates[i]);
    for (int i = 0; i < size; i++) /* while one of them runs, it may look at another's future */
        ck_assert_int_eq(future_wait(f[i], CLOCK_NEVER), 0);
    for (int i = 0; i < size; i++)
        expect_ok(f[i]);
    ck_assert_int_ge(refused, 1); /* a ring has no end of its own */
    pthread_barrier_destroy(&open);
}

/* Of one task more than threads, of fewer, of many more. */
START_TEST(rings_of_waits_end_with_one_that_is_refused)
{
    for (unsigned threads = 1; threads <= 4; threads++)
        for (int size = 1; size <= 10; size++)
            run_ring(threads, size);
}
END_TEST

struct settled_wait {
    future *f;
};

static void wait_for_settled(task *t, void *frame)
{
    future *f = ((struct settled_wait *)frame)->f;
    int rc = future_wait(f, 0);

    if (rc != 0)
        task_fail(t, rc, NULL, NULL);
}

TASK(settled_wait_task, ON_THREAD, sizeof(struct settled_wait), .run = wait_for_settled);

START_TEST(a_settled_future_answers_on_a_thread_that_must_not_wait)
{
    async_reconfigure(1, 1, 0);
    expect_ok(task_start(&settled_wait_task, &(struct settled_wait){future_done()}));
}
END_TEST

static void time_out(task *t, void *frame)
{
    future *f = ((struct settled_wait *)frame)->f;

    for (int i = 0; i < 10; i++) {
        int rc = future_wait(f, 0);
        if (rc != -ETIMEDOUT)
            task_fail(t, rc ? rc : -EBADE, NULL, NULL);
    }
}

TASK(time_out_task, ON_THREAD, sizeof(struct settled_wait), .run = time_out);

START_TEST(a_wait_that_timed_out_does_not_count_as_blocked)
{
    future *never;
    promise *p = promise_new(&never);

    async_stop();
    async_reconfigure(2, 1, 0);
    expect_ok(task_start(&time_out_task, &(struct settled_wait){never}));
    promise_drop(p);
    future_drop(never);
}
END_TEST

/* Two that wait for each other, but not at the same time. */
struct partner {
    future *_Atomic *other;
    pthread_barrier_t *line;
    bool first;
};

static void wait_in_turn(task *t, void *frame)
{
    struct partner *p = frame;

    pthread_barrier_wait(p->line);
    int rc = p->first ? future_wait(*p->other, 0) : -ETIMEDOUT;
    pthread_barrier_wait(p->line);
    if (!p->first) /* the first one still runs, and waits no more */
        rc = future_wait(*p->other, clock_after_ms(async_now_ns(), 20));
    pthread_barrier_wait(p->line);
    if (rc != -ETIMEDOUT)
        task_fail(t, rc ? rc : -EBADE, NULL, NULL);
}

TASK(partner_task, ON_THREAD, sizeof(struct partner), .run = wait_in_turn);

START_TEST(a_wait_that_is_over_makes_no_ring)
{
    pthread_barrier_t line;
    future *_Atomic f[2];

    pthread_barrier_init(&line, NULL, 3);
    for (int i = 0; i < 2; i++)
        f[i] = task_start(&partner_task, &(struct partner){&f[1 - i], &line, i == 0});
    for (int i = 0; i < 3; i++)
        pthread_barrier_wait(&line);
    expect_ok(f[0]);
    expect_ok(f[1]);
    pthread_barrier_destroy(&line);
}
END_TEST

static void try_to_stop(task *t, void *frame)
{
    (void)frame;
    task_fail(t, async_stop(), NULL, NULL);
}

TASK(stop_task, ON_THREAD, 0, .run = try_to_stop);

START_TEST(a_pool_thread_cannot_stop_the_runtime)
{
    expect(task_start(&stop_task, NULL), FUTURE_FAILED, -EDEADLK);
}
END_TEST

/* -- abandoning -------------------------------------------------------------------------------- */

/* Blocks until it is let go, deaf to its cancel. */
struct deaf {
    pthread_barrier_t *begun, *let_go;
    atomic_int *drops, *destroyed;
};

static void count_destroyed(void *value)
{
    atomic_fetch_add((atomic_int *)value, 1);
}

static void be_deaf(task *t, void *frame)
{
    struct deaf *d = frame;

    pthread_barrier_wait(d->begun);
    pthread_barrier_wait(d->let_go);
    if (!task_cancelled(t))
        task_fail(t, -EBADE, NULL, NULL);
    future_drop(task_start(&nothing_task, NULL)); /* its scope may have ended */
    scope_drop(scope_new(CLOCK_NEVER, SCOPE_SHIELD));
    task_return(t, d->destroyed, count_destroyed);
}

static void deaf_drop(void *frame)
{
    atomic_fetch_add(((struct deaf *)frame)->drops, 1);
}

TASK(deaf_task, ON_THREAD, sizeof(struct deaf), .run = be_deaf, .drop = deaf_drop,
     .abandonable = true);
TASK(deaf_kept_task, ON_THREAD, sizeof(struct deaf), .run = be_deaf, .drop = deaf_drop);

START_TEST(an_abandonable_task_is_cancelled_though_it_goes_on)
{
    pthread_barrier_t begun, let_go;
    atomic_int drops = 0, destroyed = 0;

    async_reconfigure(1, 1, 0);
    pthread_barrier_init(&begun, NULL, 2);
    pthread_barrier_init(&let_go, NULL, 2);
    struct scope *s = scope_new(CLOCK_NEVER, 0);
    future *f = task_start_in(s, &deaf_task, &(struct deaf){&begun, &let_go, &drops, &destroyed});
    pthread_barrier_wait(&begun);
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(scope_close(s)); /* nothing in the scope any more */
    scope_drop(s);
    ck_assert_int_eq(drops, 0);
    ck_assert_int_eq(async_stats().threads_abandoned, 1);
    expect_ok(task_start(&nothing_task, NULL)); /* on a thread that has taken the place */

    pthread_barrier_wait(&let_go);
    ck_assert_int_eq(async_stop(), 0); /* joins it */
    ck_assert_int_eq(drops, 1);
    ck_assert_int_eq(destroyed, 1);
    ck_assert_int_eq(async_stats().threads_abandoned, 0);
    pthread_barrier_destroy(&begun);
    pthread_barrier_destroy(&let_go);
}
END_TEST

/* Gives one result after the other until it is cancelled, and some more. */
static void give_and_give(task *t, void *frame)
{
    struct deaf *d = frame;

    pthread_barrier_wait(d->begun);
    for (int more = 1000; more > 0; more -= task_cancelled(t))
        task_return(t, d->destroyed, count_destroyed);
}

TASK(giving_task, ON_THREAD, sizeof(struct deaf), .run = give_and_give, .abandonable = true);

START_TEST(what_a_task_gives_while_it_is_abandoned_does_not_count)
{
    pthread_barrier_t begun;
    atomic_int destroyed = 0;

    pthread_barrier_init(&begun, NULL, 2);
    for (int i = 0; i < 200; i++) {
        future *f =
            task_start(&giving_task, &(struct deaf){.begun = &begun, .destroyed = &destroyed});
        pthread_barrier_wait(&begun);
        future_cancel(f);
        ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
        if (future_state(f) == FUTURE_OK) /* it had ended before */
            ck_assert_ptr_eq(future_value(f), &destroyed);
        else
            ck_assert_ptr_null(future_value(f));
        ck_assert_int_eq(future_error(f), future_ok(f) ? 0 : -ECANCELED);
        future_drop(f);
    }
    ck_assert_int_eq(async_stop(), 0); /* none is within the barrier any more */
    pthread_barrier_destroy(&begun);
}
END_TEST

START_TEST(a_task_that_must_not_be_abandoned_is_waited_for)
{
    pthread_barrier_t begun, let_go;
    atomic_int drops = 0, destroyed = 0;

    pthread_barrier_init(&begun, NULL, 2);
    pthread_barrier_init(&let_go, NULL, 2);
    future *f = task_start(&deaf_kept_task, &(struct deaf){&begun, &let_go, &drops, &destroyed});
    pthread_barrier_wait(&begun);
    future_cancel(f);
    let_loop_turn();
    ck_assert(!future_settled(f));
    pthread_barrier_wait(&let_go);
    expect_ok(f);
    ck_assert_int_eq(destroyed, 1);
    pthread_barrier_destroy(&begun);
    pthread_barrier_destroy(&let_go);
}
END_TEST

START_TEST(no_more_threads_are_abandoned_than_there_should_be)
{
    enum { SIZE = 2 };
    pthread_barrier_t begun, let_go;
    atomic_int drops = 0, destroyed = 0;
    future *f[2 * SIZE];

    async_reconfigure(SIZE, 1, 0);
    pthread_barrier_init(&begun, NULL, 2);
    pthread_barrier_init(&let_go, NULL, 2 * SIZE + 1);
    for (int i = 0; i < 2 * SIZE; i++) {
        f[i] = task_start(&deaf_task, &(struct deaf){&begun, &let_go, &drops, &destroyed});
        pthread_barrier_wait(&begun);
        future_cancel(f[i]);
        let_loop_turn();
        ck_assert_int_eq(future_settled(f[i]), i < SIZE);
    }
    pthread_barrier_wait(&let_go);
    for (int i = 0; i < 2 * SIZE; i++)
        expect(f[i], i < SIZE ? FUTURE_CANCELLED : FUTURE_OK, i < SIZE ? -ECANCELED : 0);
    pthread_barrier_t all;
    pthread_barrier_init(&all, NULL, SIZE); /* strength again, and no surplus needed for it */
    for (int i = 0; i < SIZE; i++)
        f[i] = task_start(&meet_task, &(struct meeting){&all});
    for (int i = 0; i < SIZE; i++)
        expect_ok(f[i]);
    async_stop();
    ck_assert_int_eq(drops, 2 * SIZE);
    ck_assert_int_eq(destroyed, 2 * SIZE);
    pthread_barrier_destroy(&all);
    pthread_barrier_destroy(&begun);
    pthread_barrier_destroy(&let_go);
}
END_TEST

/* -- waiting and abandoning together ----------------------------------------------------------- */

/* Comes back when every other thread of the pool is blocked: only then a wait is refused. */
static void see_all_blocked(task *t, void *frame)
{
    future *never = ((struct settled_wait *)frame)->f;

    (void)t;
    while (future_wait(never, 0) != -EDEADLK)
        sched_yield();
}

TASK(all_blocked_task, ON_THREAD, sizeof(struct settled_wait), .run = see_all_blocked);

/* Refused while the one above is in one of its own short waits, it tries again. */
static int wait_though_refused(future *f)
{
    int rc;

    while ((rc = future_wait(f, CLOCK_NEVER)) == -EDEADLK)
        sched_yield();
    return rc;
}

static void be_deaf_in_a_wait(task *t, void *frame)
{
    (void)t;
    wait_though_refused(((struct settled_wait *)frame)->f);
}

TASK(deaf_wait_task, ON_THREAD, sizeof(struct settled_wait), .run = be_deaf_in_a_wait,
     .abandonable = true);

START_TEST(an_abandoned_thread_that_waits_takes_no_wait_from_the_others)
{
    future *never;
    promise *p = new_promise(&never);

    async_stop();
    async_reconfigure(2, 1, 0);
    future *deaf = task_start(&deaf_wait_task, &(struct settled_wait){never});
    expect_ok(task_start(&all_blocked_task, &(struct settled_wait){never}));
    future_cancel(deaf);
    expect(deaf, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(task_start(&time_out_task, &(struct settled_wait){never}));
    promise_drop(p);
    async_stop(); /* joins the one that waits for `never` */
    future_drop(never);
}
END_TEST

/* Lets one that is abandoned run on its own stack, and ends when all others are blocked. */
struct below {
    struct deaf deaf;
    future *_Atomic *above;
    pthread_barrier_t *back;
    future *never;
};

static void run_below(task *t, void *frame)
{
    struct below *b = frame;
    future *above = task_start(&deaf_task, &b->deaf);

    atomic_store(b->above, future_ref(above));
    future_wait(above, CLOCK_NEVER);
    future_drop(above);
    pthread_barrier_wait(b->back);
    see_all_blocked(t, &(struct settled_wait){b->never});
}

TASK(below_task, ON_THREAD, sizeof(struct below), .run = run_below);

struct late_wait {
    pthread_barrier_t *begun, *go;
    future *never;
};

static void wait_late(task *t, void *frame)
{
    struct late_wait *w = frame;

    pthread_barrier_wait(w->begun);
    pthread_barrier_wait(w->go);
    int rc = wait_though_refused(w->never);
    if (rc != 0)
        task_fail(t, rc, NULL, NULL);
}

TASK(late_wait_task, ON_THREAD, sizeof(struct late_wait), .run = wait_late);

START_TEST(a_surplus_thread_stays_while_all_others_wait)
{
    pthread_barrier_t begun, let_go, go, back;
    atomic_int drops = 0, destroyed = 0;
    future *never, *_Atomic above = NULL;
    promise *p = new_promise(&never);

    async_stop();
    async_reconfigure(2, 1, 0);
    pthread_barrier_init(&begun, NULL, 2);
    pthread_barrier_init(&let_go, NULL, 2);
    pthread_barrier_init(&go, NULL, 2);
    pthread_barrier_init(&back, NULL, 2);
    /* Of two threads one is busy, so the other runs both `below` and what that waits for. */
    future *late = task_start(&late_wait_task, &(struct late_wait){&begun, &go, never});
    pthread_barrier_wait(&begun);
    future *below = task_start(
        &below_task, &(struct below){{&begun, &let_go, &drops, &destroyed}, &above, &back, never});
    pthread_barrier_wait(&begun);
    future_cancel(above);
    expect(above, FUTURE_CANCELLED, -ECANCELED);
    /* The third, which took the place of the abandoned one, is busy as that one comes back. */
    pthread_barrier_t third_go;
    pthread_barrier_init(&third_go, NULL, 2);
    future *third = task_start(&late_wait_task, &(struct late_wait){&begun, &third_go, never});
    pthread_barrier_wait(&begun);
    pthread_barrier_wait(&let_go);
    pthread_barrier_wait(&back);
    pthread_barrier_wait(&go);
    pthread_barrier_wait(&third_go);
    expect_ok(below);
    expect_ok(task_start(&nothing_task, NULL)); /* somebody is left for it */
    promise_resolve(p, NULL, NULL);
    promise_drop(p);
    expect_ok(late);
    expect_ok(third);
    future_drop(never);
    pthread_barrier_destroy(&begun);
    pthread_barrier_destroy(&let_go);
    pthread_barrier_destroy(&go);
    pthread_barrier_destroy(&third_go);
    pthread_barrier_destroy(&back);
}
END_TEST

static void answer(future *done, promise *next, void *arg)
{
    (void)done;
    (void)arg;
    promise_resolve(next, NULL, NULL);
    promise_drop(next);
}

/* Waits for another continuation, which becomes ready when the runtime is about to end. */
static void wait_for_another(future *done, promise *next, void *arg)
{
    future *nap = future_at(clock_after_ms(async_now_ns(), 50));
    future *other = future_then(nap, EXECUTOR_THREAD, answer, NULL);

    (void)done;
    pthread_barrier_wait(arg);
    int rc = future_wait(other, CLOCK_NEVER);
    if (rc == 0 || rc == -EDEADLK) /* all others had ended before it began to wait */
        promise_resolve(next, NULL, NULL);
    promise_drop(next);
    future_drop(nap);
    future_drop(other);
}

START_TEST(when_the_runtime_stops_a_thread_stays_for_those_that_wait)
{
    pthread_barrier_t begun;

    pthread_barrier_init(&begun, NULL, 2);
    future *f = future_then(future_done(), EXECUTOR_THREAD, wait_for_another, &begun);
    pthread_barrier_wait(&begun);
    ck_assert_int_eq(async_stop(), 0);
    expect_ok(f);
    pthread_barrier_destroy(&begun);
}
END_TEST

/* Waits on a thread for a time that never comes. */
static void wait_for_ever(future *done, promise *next, void *arg)
{
    future *never = future_at(CLOCK_NEVER);

    (void)done;
    pthread_barrier_wait(arg);
    promise_fail(next, future_wait(never, CLOCK_NEVER) ? -EDEADLK : future_error(never), NULL,
                 NULL);
    promise_drop(next);
    future_drop(never);
}

START_TEST(stopping_the_runtime_ends_a_timer_that_a_continuation_waits_for)
{
    pthread_barrier_t begun;

    pthread_barrier_init(&begun, NULL, 2);
    future *f = future_then(future_done(), EXECUTOR_THREAD, wait_for_ever, &begun);
    pthread_barrier_wait(&begun);
    ck_assert_int_eq(async_stop(), 0);
    /* Refused, where all other threads had ended before it began to wait. */
    ck_assert(future_error(f) == -ECANCELED || future_error(f) == -EDEADLK);
    future_drop(f);
    pthread_barrier_destroy(&begun);
}
END_TEST

Suite *suite_thread_pool(void)
{
    Suite *suite = suite_create("thread_pool");
    TCase *work = tcase_create("work"), *waiting = tcase_create("waiting");
    TCase *abandoning = tcase_create("abandoning");
    TCase *cases[] = {work, waiting, abandoning};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(work, as_many_tasks_as_threads_run_at_the_same_time);
    tcase_add_test(work, one_thread_runs_its_tasks_in_order);
    tcase_add_test(waiting, nested_waits_end_though_every_thread_wants_to_wait);
    tcase_add_test(waiting, the_only_thread_runs_what_it_waits_for_itself);
    tcase_add_test(waiting, a_chain_of_waits_does_not_eat_the_stack);
    tcase_add_test(waiting, the_last_thread_that_does_not_wait_must_not);
    tcase_add_test(waiting, rings_of_waits_end_with_one_that_is_refused);
    tcase_add_test(waiting, a_settled_future_answers_on_a_thread_that_must_not_wait);
    tcase_add_test(waiting, a_wait_that_timed_out_does_not_count_as_blocked);
    tcase_add_test(waiting, a_wait_that_is_over_makes_no_ring);
    tcase_add_test(waiting, a_pool_thread_cannot_stop_the_runtime);
    tcase_add_test(abandoning, an_abandonable_task_is_cancelled_though_it_goes_on);
    tcase_add_test(abandoning, what_a_task_gives_while_it_is_abandoned_does_not_count);
    tcase_add_test(abandoning, a_task_that_must_not_be_abandoned_is_waited_for);
    tcase_add_test(abandoning, no_more_threads_are_abandoned_than_there_should_be);
    tcase_add_test(abandoning, an_abandoned_thread_that_waits_takes_no_wait_from_the_others);
    tcase_add_test(abandoning, a_surplus_thread_stays_while_all_others_wait);
    tcase_add_test(abandoning, when_the_runtime_stops_a_thread_stays_for_those_that_wait);
    tcase_add_test(abandoning, stopping_the_runtime_ends_a_timer_that_a_continuation_waits_for);
    return suite;
}
