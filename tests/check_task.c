#include "core/async/task.h"

#include "core/async/loop.h"
#include "core/async/scope.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

/* What happened to a task, seen from outside its frame. */
struct trace {
    atomic_int steps, drops;
    future *inner;     /* what the task awaits */
    promise *own_next; /* settled from inside */
    bool inner_was_settled_when_dropped;
    bool saw_cancel;
    sem_t started, go;
};

struct traced {
    struct trace *trace;
    future *awaited;
};

static void traced_drop(void *frame)
{
    struct traced *f = frame;

    if (f->awaited)
        f->trace->inner_was_settled_when_dropped = future_settled(f->awaited);
    future_drop(f->awaited);
    f->trace->drops++;
}

static void count_up(void *counter)
{
    atomic_fetch_add((atomic_int *)counter, 1);
}

/* -- on the loop ------------------------------------------------------------------------------- */

static int await_step(task *t, void *frame)
{
    struct traced *f = frame;

    f->trace->steps++;
    BEGIN(t);
    AWAIT(t, f->awaited, future_ref(f->trace->inner));
    task_return(t, f->trace, NULL);
    END(t);
}

TASK(await_task, ON_LOOP, sizeof(struct traced), .step = await_step, .drop = traced_drop);

START_TEST(a_loop_task_parks_until_what_it_awaits_is_settled)
{
    struct trace trace = {0};
    promise *p = promise_new(&trace.inner);
    future *f = task_start(&await_task, &(struct traced){.trace = &trace});

    let_loop_turn();
    ck_assert_int_eq(trace.steps, 1);
    ck_assert(!future_settled(f));
    promise_resolve(p, NULL, NULL);
    expect_ok(future_ref(f));
    ck_assert_ptr_eq(future_value(f), &trace);
    ck_assert_int_eq(trace.steps, 2);
    ck_assert_int_eq(trace.drops, 1); /* before the outcome was seen */
    future_drop(f);
    future_drop(trace.inner);
    promise_drop(p);
}
END_TEST

static int empty_step(task *t, void *frame)
{
    (void)t;
    (void)frame;
    return TASK_FINISHED;
}

TASK(empty_task, ON_LOOP, 0, .step = empty_step);

START_TEST(a_task_that_gives_nothing_is_ok_without_a_value)
{
    future *f = task_start(&empty_task, NULL);

    expect_ok(future_ref(f));
    ck_assert_ptr_null(future_value(f));
    future_drop(f);
}
END_TEST

static int change_mind_step(task *t, void *frame)
{
    atomic_int *destroyed = *(atomic_int **)frame;

    task_return(t, destroyed, count_up);
    task_fail(t, -EIO, destroyed, count_up);
    task_fail(t, 7, destroyed, count_up);
    return TASK_FINISHED;
}

TASK(change_mind_task, ON_LOOP, sizeof(atomic_int *), .step = change_mind_step);

START_TEST(the_last_result_that_a_task_gives_counts)
{
    atomic_int destroyed = 0;
    atomic_int *frame = &destroyed;
    future *f = task_start(&change_mind_task, &frame);

    expect(future_ref(f), FUTURE_FAILED, 7);
    ck_assert_int_eq(destroyed, 2);
    expect(f, FUTURE_FAILED, 7);
    let_loop_turn(); /* the task's own reference is gone, too */
    ck_assert_int_eq(destroyed, 3);
}
END_TEST

struct inside {
    struct trace *trace;
    future *f;
    int steps_inside;
};

static void start_from_the_loop(void *arg)
{
    struct inside *i = arg;

    i->f = task_start(&await_task, &(struct traced){.trace = i->trace});
    i->steps_inside = i->trace->steps;
}

START_TEST(a_task_never_runs_inside_the_call_that_starts_it)
{
    struct trace trace = {.inner = future_done()};
    struct inside inside = {.trace = &trace};

    on_loop(start_from_the_loop, &inside);
    ck_assert_int_eq(inside.steps_inside, 0);
    expect_ok(inside.f);
    ck_assert_int_eq(trace.drops, 1);
}
END_TEST

struct forever {
    struct trace *trace;
    future *awaited;
    long rounds;
    atomic_bool *stop;
};

/* Awaits what is settled already, until somebody else got a turn. */
static int forever_step(task *t, void *frame)
{
    struct forever *f = frame;

    BEGIN(t);
    while (!*f->stop) {
        f->rounds++;
        AWAIT(t, f->awaited, future_done());
    }
    END(t);
}

static void forever_drop(void *frame)
{
    ((struct forever *)frame)->trace->drops++;
}

TASK(forever_task, ON_LOOP, sizeof(struct forever), .step = forever_step, .drop = forever_drop);

static void set_flag(void *flag)
{
    *(atomic_bool *)flag = true;
}

START_TEST(a_task_that_only_awaits_settled_futures_lets_others_run)
{
    struct trace trace = {0};
    atomic_bool stop = false;
    future *f = task_start(&forever_task, &(struct forever){.trace = &trace, .stop = &stop});

    on_loop(set_flag, &stop);
    expect_ok(f);
    ck_assert_int_eq(trace.drops, 1);
}
END_TEST

START_TEST(a_task_that_only_awaits_settled_futures_can_be_cancelled)
{
    struct trace trace = {0};
    atomic_bool stop = false;
    future *f = task_start(&forever_task, &(struct forever){.trace = &trace, .stop = &stop});

    let_loop_turn();
    ck_assert_int_eq(future_cancel(f), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(trace.drops, 1);
}
END_TEST

static void start_and_cancel(void *arg)
{
    struct inside *i = arg;

    start_from_the_loop(arg);
    ck_assert_int_eq(future_cancel(i->f), 0);
}

START_TEST(cancel_of_a_queued_loop_task_never_starts_it)
{
    struct trace trace = {.inner = future_done()};
    struct inside inside = {.trace = &trace};

    on_loop(start_and_cancel, &inside);
    expect(inside.f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(trace.steps, 0);
    ck_assert_int_eq(trace.drops, 1);
}
END_TEST

static void decline(promise *p, void *arg)
{
    (void)p;
    *(atomic_int *)arg += 1;
}

START_TEST(cancel_of_a_parked_loop_task_waits_for_what_it_awaits_to_end)
{
    struct trace trace = {0};
    atomic_int asked = 0;
    promise *p = promise_new(&trace.inner);

    promise_on_cancel(p, decline, &asked);
    future *f = task_start(&await_task, &(struct traced){.trace = &trace});
    let_loop_turn();
    ck_assert_int_eq(future_cancel(f), 0);
    let_loop_turn();
    ck_assert_int_eq(asked, 1);
    ck_assert(!future_settled(f)); /* the work that it awaits is still being undone */
    ck_assert_int_eq(trace.drops, 0);
    promise_cancel(p);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert(trace.inner_was_settled_when_dropped);
    ck_assert_int_eq(trace.steps, 1);
    ck_assert_int_eq(trace.drops, 1);
    future_drop(trace.inner);
    promise_drop(p);
}
END_TEST

static int catch_step(task *t, void *frame)
{
    struct traced *f = frame;

    BEGIN(t);
    AWAIT(t, f->awaited, future_ref(f->trace->inner));
    f->trace->saw_cancel = task_cancelled(t);
    AWAIT(t, f->awaited, future_at(clock_after_ms(clock_now_ns(), 2)));
    if (future_ok(f->awaited))
        task_fail(t, -ECANCELED, NULL, NULL);
    END(t);
}

TASK(catch_task, ON_LOOP, sizeof(struct traced), .step = catch_step, .drop = traced_drop,
     .catches_cancel = true);

START_TEST(a_task_that_catches_its_cancel_cleans_up_undisturbed)
{
    struct trace trace = {0};
    promise *p = promise_new(&trace.inner);
    future *f = task_start(&catch_task, &(struct traced){.trace = &trace});

    let_loop_turn();
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert(trace.saw_cancel);
    ck_assert_int_eq(future_state(trace.inner), FUTURE_CANCELLED);
    ck_assert_int_eq(trace.drops, 1);
    future_drop(trace.inner);
    promise_drop(p);
}
END_TEST

/* -- on a thread ------------------------------------------------------------------------------- */

static void blocking_run(task *t, void *frame)
{
    struct trace *trace = ((struct traced *)frame)->trace;

    trace->steps++;
    sem_post(&trace->started);
    sem_wait(&trace->go);
    trace->saw_cancel = task_cancelled(t);
    task_return(t, trace, NULL);
}

TASK(blocking_task, ON_THREAD, sizeof(struct traced), .run = blocking_run, .drop = traced_drop);

static void trace_init(struct trace *trace)
{
    *trace = (struct trace){0};
    sem_init(&trace->started, 0, 0);
    sem_init(&trace->go, 0, 0);
}

static void trace_destroy(struct trace *trace)
{
    sem_destroy(&trace->started);
    sem_destroy(&trace->go);
}

static void note_pool_thread(task *t, void *frame)
{
    (void)t;
    **(pthread_t **)frame = pthread_self();
}

TASK(whereami_task, ON_THREAD, sizeof(pthread_t *), .run = note_pool_thread);

START_TEST(a_thread_task_runs_neither_here_nor_on_the_loop)
{
    pthread_t pool, *frame = &pool;
    struct trace trace;

    expect_ok(task_start(&whereami_task, &frame));
    ck_assert(!pthread_equal(pool, pthread_self()));
    trace_init(&trace);
    future *f = task_start(&blocking_task, &(struct traced){.trace = &trace});
    sem_wait(&trace.started);
    let_loop_turn(); /* it blocks, and the loop does not */
    sem_post(&trace.go);
    expect_ok(f);
    trace_destroy(&trace);
}
END_TEST

START_TEST(cancel_of_a_queued_thread_task_never_starts_it)
{
    struct trace running, queued;

    async_reconfigure(1, 1, 0);
    trace_init(&running);
    trace_init(&queued);
    future *first = task_start(&blocking_task, &(struct traced){.trace = &running});
    sem_wait(&running.started);
    future *second = task_start(&blocking_task, &(struct traced){.trace = &queued});
    future_cancel(second);
    expect(second, FUTURE_CANCELLED, -ECANCELED); /* while the only thread is busy */
    ck_assert_int_eq(queued.drops, 1);
    sem_post(&running.go);
    expect_ok(first);
    ck_assert_int_eq(queued.steps, 0);
    trace_destroy(&running);
    trace_destroy(&queued);
}
END_TEST

START_TEST(a_running_thread_task_sees_its_cancel_and_its_result_counts)
{
    struct trace trace;

    trace_init(&trace);
    future *f = task_start(&blocking_task, &(struct traced){.trace = &trace});
    sem_wait(&trace.started);
    ck_assert_int_eq(future_cancel(f), 0);
    let_loop_turn();
    ck_assert(!future_settled(f));
    sem_post(&trace.go);
    expect_ok(f); /* the state tells who won */
    ck_assert(trace.saw_cancel);
    ck_assert_int_eq(trace.drops, 1);
    trace_destroy(&trace);
}
END_TEST

static void quick_run(task *t, void *frame)
{
    ((struct traced *)frame)->trace->steps++;
    task_return(t, NULL, NULL);
}

TASK(quick_thread_task, ON_THREAD, sizeof(struct traced), .run = quick_run, .drop = traced_drop);

START_TEST(of_a_cancel_and_a_run_on_a_thread_exactly_one_wins)
{
    enum { ROUNDS = 3000 };
    struct trace trace = {0};
    int ran = 0;

    for (int i = 0; i < ROUNDS; i++) {
        future *f = task_start(&quick_thread_task, &(struct traced){.trace = &trace});
        future_cancel(f);
        ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
        ran += future_ok(f);
        future_drop(f);
    }
    ck_assert_int_eq(trace.steps, ran);
    ck_assert_int_eq(trace.drops, ROUNDS);
}
END_TEST

/* -- the order of the end ---------------------------------------------------------------------- */

/* Looks at its own future from its drop. */
struct ending {
    future *_Atomic *self;
    atomic_int *settled_first, *drops;
    future *go, *gone;
    sem_t *let_go;
};

static int end_step(task *t, void *frame)
{
    struct ending *e = frame;

    BEGIN(t);
    AWAIT(t, e->gone, future_ref(e->go));
    END(t);
}

static void end_run(task *t, void *frame)
{
    (void)t;
    sem_wait(((struct ending *)frame)->let_go);
}

static void end_drop(void *frame)
{
    struct ending *e = frame;

    future_drop(e->gone);
    atomic_fetch_add(e->settled_first, future_settled(*e->self));
    atomic_fetch_add(e->drops, 1);
}

TASK(end_on_loop_task, ON_LOOP, sizeof(struct ending), .step = end_step, .drop = end_drop);
TASK(end_on_thread_task, ON_THREAD, sizeof(struct ending), .run = end_run, .drop = end_drop);

START_TEST(a_frame_is_dropped_before_its_future_settles)
{
    future *_Atomic self[3];
    atomic_int settled_first = 0, drops = 0;
    future *go, *never;
    promise *p = new_promise(&go), *q = new_promise(&never);
    sem_t let_go;
    struct ending e = {NULL, &settled_first, &drops, go, NULL, &let_go};

    sem_init(&let_go, 0, 0);
    e.self = &self[0];
    self[0] = task_start(&end_on_loop_task, &e);
    e.self = &self[1];
    self[1] = task_start(&end_on_thread_task, &e);
    e.self = &self[2];
    e.go = never;
    self[2] = task_start(&end_on_loop_task, &e);
    sem_post(&let_go);
    promise_resolve(p, NULL, NULL);
    future_cancel(self[2]);
    expect_ok(self[0]);
    expect_ok(self[1]);
    expect(self[2], FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(drops, 3);
    ck_assert_int_eq(settled_first, 0);
    promise_drop(p);
    promise_drop(q);
    future_drop(go);
    future_drop(never);
    sem_destroy(&let_go);
}
END_TEST

/* Keeps the loop until it is let go. */
static void keep_the_loop(void *arg)
{
    struct trace *loop = arg;

    sem_post(&loop->started);
    sem_wait(&loop->go);
}

struct keeper {
    struct trace *loop;
};

static int keeper_step(task *t, void *frame)
{
    (void)t;
    keep_the_loop(((struct keeper *)frame)->loop);
    return TASK_FINISHED;
}

TASK(keeper_task, ON_LOOP, sizeof(struct keeper), .step = keeper_step);

START_TEST(a_thread_does_not_run_what_was_cancelled_before_the_loop_could_say_so)
{
    struct trace running, loop, queued = {0};

    async_reconfigure(1, 1, 0);
    trace_init(&running);
    trace_init(&loop);
    future *first = task_start(&blocking_task, &(struct traced){.trace = &running});
    future *keeper = task_start(&keeper_task, &(struct keeper){&loop});
    sem_wait(&running.started);
    sem_wait(&loop.started);
    future *second = task_start(&quick_thread_task, &(struct traced){.trace = &queued});
    future_cancel(second);
    sem_post(&running.go);
    expect(second, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(queued.steps, 0);
    ck_assert_int_eq(queued.drops, 1);
    sem_post(&loop.go);
    expect_ok(first);
    expect_ok(keeper);
    trace_destroy(&running);
    trace_destroy(&loop);
}
END_TEST

/* -- starting while the scope is cancelled ----------------------------------------------------- */

static ssize_t no_pack(void *frame, char *request, size_t capacity)
{
    (void)request;
    (void)capacity;
    ((struct traced *)frame)->trace->steps++;
    return -ENODATA;
}

static ssize_t no_serve(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity)
{
    (void)request, (void)deadline_ns, (void)reply, (void)capacity;
    return -ENOSYS;
}

static void no_unpack(task *t, void *frame, struct bytes reply)
{
    (void)t, (void)frame, (void)reply;
}

TASK(never_packed_task, ON_PROCESS, sizeof(struct traced), .pack = no_pack, .serve = no_serve,
     .unpack = no_unpack, .drop = traced_drop);

enum { BURST = 50 };

struct starter {
    pthread_barrier_t line;
    struct scope *scope;
    const struct task_def *def;
    struct trace *trace;
    atomic_int started;
    bool over;
};

static void *racing_starter(void *arg)
{
    struct starter *s = arg;

    for (;;) {
        pthread_barrier_wait(&s->line);
        if (s->over)
            return NULL;
        for (int i = 0; i < BURST; i++) {
            future_drop(task_start_in(s->scope, s->def, &(struct traced){.trace = s->trace}));
            s->started = i;
        }
        pthread_barrier_wait(&s->line);
    }
}

/* _i: the kind of task. The cancel may come between a task's entry and its being queued. */
START_TEST(starts_that_race_with_their_scopes_cancel_drop_each_frame_once)
{
    static const struct task_def *const defs[] = {&await_task, &quick_thread_task,
                                                  &never_packed_task};
    enum { ROUNDS = 500 };
    struct trace trace = {.inner = future_done()};
    struct starter s = {.trace = &trace, .def = defs[_i]};
    pthread_t thread;

    pthread_barrier_init(&s.line, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, racing_starter, &s), 0);
    for (int i = 0; i < ROUNDS; i++) {
        s.scope = scope_new(CLOCK_NEVER, 0);
        s.started = -1;
        pthread_barrier_wait(&s.line);
        while (s.started < i % BURST)
            sched_yield();
        scope_cancel(s.scope, -ECANCELED);
        pthread_barrier_wait(&s.line);
        expect_ok(scope_close(s.scope));
        ck_assert_int_eq(trace.drops, (i + 1) * BURST);
        scope_drop(s.scope);
    }
    s.over = true;
    pthread_barrier_wait(&s.line);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&s.line);
}
END_TEST

Suite *suite_task(void)
{
    Suite *suite = suite_create("task");
    TCase *loop = tcase_create("on the loop"), *thread = tcase_create("on a thread");
    TCase *cases[] = {loop, thread};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(loop, a_loop_task_parks_until_what_it_awaits_is_settled);
    tcase_add_test(loop, a_task_that_gives_nothing_is_ok_without_a_value);
    tcase_add_test(loop, the_last_result_that_a_task_gives_counts);
    tcase_add_test(loop, a_task_never_runs_inside_the_call_that_starts_it);
    tcase_add_test(loop, a_task_that_only_awaits_settled_futures_lets_others_run);
    tcase_add_test(loop, a_task_that_only_awaits_settled_futures_can_be_cancelled);
    tcase_add_test(loop, cancel_of_a_queued_loop_task_never_starts_it);
    tcase_add_test(loop, cancel_of_a_parked_loop_task_waits_for_what_it_awaits_to_end);
    tcase_add_test(loop, a_task_that_catches_its_cancel_cleans_up_undisturbed);
    tcase_add_test(thread, a_thread_task_runs_neither_here_nor_on_the_loop);
    tcase_add_test(thread, cancel_of_a_queued_thread_task_never_starts_it);
    tcase_add_test(thread, a_running_thread_task_sees_its_cancel_and_its_result_counts);
    tcase_add_test(thread, of_a_cancel_and_a_run_on_a_thread_exactly_one_wins);
    tcase_add_test(thread, a_thread_does_not_run_what_was_cancelled_before_the_loop_could_say_so);
    tcase_add_test(thread, a_frame_is_dropped_before_its_future_settles);
    tcase_add_loop_test(thread, starts_that_race_with_their_scopes_cancel_drop_each_frame_once, 0,
                        3);
    return suite;
}
