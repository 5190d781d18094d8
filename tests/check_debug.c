/* What the layer tells of itself: lost failures, slow callbacks, the list of tasks. */
#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- failures that nobody looked at ------------------------------------------------------------ */

static atomic_int unseen, unseen_error;
static _Atomic(const char *) unseen_task;

static void count_unseen(const char *name, int error)
{
    unseen_task = name;
    unseen_error = error;
    atomic_fetch_add(&unseen, 1);
}

static atomic_int slow;
static _Atomic(const char *) slow_name;

static void note_slow(const char *name, uint64_t took_ns)
{
    ck_assert_uint_ge(took_ns, NS_PER_MS);
    slow_name = name;
    atomic_fetch_add(&slow, 1);
}

static void hooked_setup(void)
{
    async_setup();
    unseen = slow = 0;
    unseen_task = slow_name = NULL;
    ck_assert_int_eq(async_configure(&(struct async_options){
                         .threads = 2,
                         .workers = 1,
                         .slow_callback_ns = NS_PER_MS,
                         .hooks = {.unseen_failure = count_unseen, .slow_callback = note_slow},
                     }),
                     0);
}

static int fail_step(task *t, void *frame)
{
    (void)frame;
    task_fail(t, -EIO, NULL, NULL);
    return TASK_FINISHED;
}

TASK(failing_task, ON_LOOP, 0, .step = fail_step);

static void wait_settled(future *f)
{
    ck_assert_int_eq(future_wait(f, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
}

START_TEST(a_failure_that_is_dropped_unseen_is_told_once)
{
    future *f = future_ref(task_start(&failing_task, NULL));

    wait_settled(f);
    future_drop(f);
    ck_assert_int_eq(unseen, 0);
    future_drop(f);
    async_stop(); /* the task's own reference */
    ck_assert_int_eq(unseen, 1);
    ck_assert_str_eq(unseen_task, "failing_task");
    ck_assert_int_eq(unseen_error, -EIO);
}
END_TEST

START_TEST(a_failure_that_nobody_even_waited_for_is_told)
{
    future_drop(task_start(&failing_task, NULL));
    let_loop_turn();
    async_stop();
    ck_assert_int_eq(unseen, 1);
}
END_TEST

static void look_at_state(const future *f)
{
    future_state(f);
}

static void look_at_ok(const future *f)
{
    future_ok(f);
}

static void look_at_error(const future *f)
{
    future_error(f);
}

static void look_at_value(const future *f)
{
    future_value(f);
}

START_TEST(any_look_at_the_outcome_is_enough)
{
    void (*const looks[])(const future *) = {look_at_state, look_at_ok, look_at_error,
                                             look_at_value};
    future *f = task_start(&failing_task, NULL);

    wait_settled(f);
    looks[_i](f);
    future_drop(f);
    async_stop();
    ck_assert_int_eq(unseen, 0);
}
END_TEST

/* What was to be cancelled has failed meanwhile. */
static void fail_instead(promise *p, void *arg)
{
    (void)arg;
    promise_fail(p, -EIO, NULL, NULL);
    promise_drop(p);
}

struct waits {
    future *given, *awaited;
};

static int wait_step(task *t, void *frame)
{
    struct waits *s = frame;

    BEGIN(t);
    AWAIT(t, s->awaited, s->given);
    END(t);
}

static void wait_drop(void *frame)
{
    future_drop(((struct waits *)frame)->awaited);
}

TASK(wait_task, ON_LOOP, sizeof(struct waits), .step = wait_step, .drop = wait_drop);

START_TEST(a_cancelled_task_need_not_look_at_what_it_awaited)
{
    struct waits s = {0};
    promise *p = promise_new(&s.given);
    future *f = task_start(&wait_task, &s);

    let_loop_turn();
    promise_on_cancel(p, fail_instead, NULL);
    future_cancel(f);
    wait_settled(f);
    ck_assert_int_eq(future_state(f), FUTURE_CANCELLED);
    future_drop(f);
    async_stop();
    ck_assert_int_eq(unseen, 0);
}
END_TEST

START_TEST(asking_whether_it_is_settled_is_no_look)
{
    future *f = task_start(&failing_task, NULL);

    wait_settled(f);
    ck_assert(future_settled(f));
    future_drop(f);
    async_stop();
    ck_assert_int_eq(unseen, 1);
}
END_TEST

START_TEST(a_promise_that_failed_unseen_has_no_name)
{
    future *f;
    promise *p = new_promise(&f);

    future_drop(f);
    promise_drop(p); /* -EOWNERDEAD */
    ck_assert_int_eq(unseen, 1);
    ck_assert_ptr_null(unseen_task);
    ck_assert_int_eq(unseen_error, -EOWNERDEAD);
}
END_TEST

START_TEST(neither_cancelled_nor_ok_is_a_lost_failure)
{
    future *f;
    promise *p = new_promise(&f);

    promise_cancel(p);
    future_drop(f);
    promise_drop(p);
    p = new_promise(&f);
    promise_resolve(p, NULL, NULL);
    future_drop(f);
    promise_drop(p);
    ck_assert_int_eq(unseen, 0);
}
END_TEST

START_TEST(a_failure_that_a_scope_passes_on_is_seen_with_the_scope)
{
    struct scope *s = scope_new(CLOCK_NEVER, SCOPE_FAIL_FAST);

    ck_assert_ptr_nonnull(s);
    future_drop(task_start_in(s, &failing_task, NULL));
    expect(scope_close(s), FUTURE_FAILED, -EIO);
    scope_drop(s);
    async_stop();
    ck_assert_int_eq(unseen, 0);
}
END_TEST

/* -- slow callbacks ---------------------------------------------------------------------------- */

static int busy_step(task *t, void *frame)
{
    uint64_t until = clock_now_ns() + 3 * NS_PER_MS;

    (void)t;
    (void)frame;
    while (clock_now_ns() < until)
        ;
    return TASK_FINISHED;
}

TASK(busy_task, ON_LOOP, 0, .step = busy_step);

START_TEST(a_task_that_keeps_the_loop_is_told_by_name)
{
    expect_ok(task_start(&busy_task, NULL));
    async_stop();
    ck_assert_int_ge(slow, 1);
    /* On a busy machine others may be slow, too; but this one was told, or is the last. */
    ck_assert_ptr_nonnull(slow_name);
}
END_TEST

START_TEST(waiting_for_events_is_not_slow)
{
    ck_assert_int_eq(async_stop(), 0);
    ck_assert_int_eq(async_configure(&(struct async_options){
                         .slow_callback_ns = 10 * NS_PER_SEC,
                         .hooks = {.slow_callback = note_slow},
                     }),
                     0);
    expect_ok(future_at(clock_after_ms(clock_now_ns(), 30)));
    async_stop();
    ck_assert_int_eq(slow, 0);
}
END_TEST

/* -- the list of tasks ------------------------------------------------------------------------- */

struct sleepy {
    future *inner;
    int levels;
};

static int sleepy_step(task *t, void *frame);
static void sleepy_drop(void *frame);

TASK(sleepy_task, ON_LOOP, sizeof(struct sleepy), .step = sleepy_step, .drop = sleepy_drop);

static int sleepy_step(task *t, void *frame)
{
    struct sleepy *s = frame;

    BEGIN(t);
    if (s->levels > 0)
        AWAIT(t, s->inner, task_start(&sleepy_task, &(struct sleepy){.levels = s->levels - 1}));
    AWAIT(t, s->inner, future_at(CLOCK_NEVER));
    END(t);
}

static void sleepy_drop(void *frame)
{
    future_drop(((struct sleepy *)frame)->inner);
}

/* The dump's text; the caller frees it. */
static char *dump(size_t limit)
{
    future *f = async_dump(limit);

    wait_settled(f);
    ck_assert(future_ok(f));
    char *text = strdup(future_value(f));
    future_drop(f);
    return text;
}

START_TEST(the_list_says_who_waits_where_for_whom)
{
    future *f = task_start(&sleepy_task, &(struct sleepy){.levels = 1});

    let_loop_turn();
    char *text = dump(10);
    ck_assert_ptr_nonnull(strstr(text, "2 tasks: 0 running, 0 queued, 2 parked, 0 in workers\n"));
    ck_assert_ptr_nonnull(strstr(text, "1 sleepy_task parked at tests/check_debug.c:"));
    ck_assert_ptr_nonnull(strstr(text, ", awaits #"));
    ck_assert_ptr_nonnull(strstr(text, " sleepy_task) parked at "));
    free(text);
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
}
END_TEST

static size_t lines_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

START_TEST(of_many_tasks_only_the_kinds_and_a_few_are_listed)
{
    enum { TASKS = 1000, LIMIT = 7 };
    struct scope *s = scope_new(CLOCK_NEVER, 0);

    ck_assert_ptr_nonnull(s);
    for (int i = 0; i < TASKS; i++)
        future_drop(task_start_in(s, &sleepy_task, &(struct sleepy){0}));
    let_loop_turn();
    char *text = dump(LIMIT);
    ck_assert_ptr_nonnull(strstr(text, "1000 tasks: "));
    ck_assert_ptr_nonnull(strstr(text, "\n1000 sleepy_task parked at "));
    ck_assert_uint_eq(lines_of(text), 2 + LIMIT);
    free(text);
    text = dump(0);
    ck_assert_uint_eq(lines_of(text), 2);
    free(text);
    text = dump(SIZE_MAX);
    ck_assert_uint_eq(lines_of(text), 2 + TASKS);
    free(text);
    scope_drop(s);
}
END_TEST

/* Has a scope of its own, with one of its kind in it. */
struct nested {
    int levels;
    struct scope *scope;
    future *inner, *end;
};

static int nested_step(task *t, void *frame);
static void nested_drop(void *frame);

TASK(nested_task, ON_LOOP, sizeof(struct nested), .step = nested_step, .drop = nested_drop);

static int nested_step(task *t, void *frame)
{
    struct nested *n = frame;

    BEGIN(t);
    if (n->levels > 0) {
        n->scope = scope_new(CLOCK_NEVER, 0);
        n->inner = task_start_in(n->scope, &nested_task, &(struct nested){.levels = n->levels - 1});
    }
    AWAIT(t, n->end, future_at(CLOCK_NEVER));
    END(t);
}

static void nested_drop(void *frame)
{
    struct nested *n = frame;

    future_drop(n->end);
    future_drop(n->inner);
    scope_drop(n->scope);
}

START_TEST(scopes_may_be_nested_deeper_than_the_stack_is)
{
    enum { LEVELS = 300000 };
    future *f = task_start(&nested_task, &(struct nested){.levels = LEVELS});

    while (async_counts().tasks <= LEVELS)
        let_loop_turn();
    let_loop_turn();
    char *text = dump(1);
    ck_assert_ptr_nonnull(strstr(text, "300001 tasks: 0 running, 0 queued, 300001 parked"));
    free(text);
    future_drop(f);
}
END_TEST

START_TEST(an_idle_runtime_lists_no_task)
{
    char *text = dump(10);

    ck_assert_str_eq(text, "0 tasks: 0 running, 0 queued, 0 parked, 0 in workers\n");
    free(text);
}
END_TEST

struct thread_frame {
    promise *runs;
    future *end;
};

static void thread_run(task *t, void *frame)
{
    struct thread_frame *f = frame;

    (void)t;
    promise_resolve(f->runs, NULL, NULL);
    future_wait(f->end, CLOCK_NEVER);
}

static void thread_drop(void *frame)
{
    promise_drop(((struct thread_frame *)frame)->runs);
}

TASK(listed_thread_task, ON_THREAD, sizeof(struct thread_frame), .run = thread_run,
     .drop = thread_drop);

START_TEST(a_task_on_a_thread_is_listed_as_running)
{
    future *runs, *end;
    promise *is_running = new_promise(&runs), *p = new_promise(&end);
    future *f = task_start(&listed_thread_task, &(struct thread_frame){is_running, end});

    expect_ok(runs);
    char *text = dump(10);
    ck_assert_ptr_nonnull(strstr(text, "1 tasks: 1 running"));
    ck_assert_ptr_nonnull(strstr(text, " listed_thread_task running for "));
    free(text);
    promise_resolve(p, NULL, NULL);
    promise_drop(p);
    expect_ok(f);
    future_drop(end);
}
END_TEST

static void do_nothing(task *t, void *frame)
{
    (void)t;
    (void)frame;
}

TASK(brief_task, ON_THREAD, 0, .run = do_nothing);

START_TEST(tasks_may_begin_on_threads_while_they_are_listed)
{
    enum { ROUNDS = 100, TASKS = 50 };
    future *f[TASKS];

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < TASKS; i++)
            f[i] = task_start(&brief_task, NULL);
        free(dump(10));
        for (int i = 0; i < TASKS; i++)
            expect_ok(f[i]);
    }
}
END_TEST

Suite *suite_debug(void)
{
    Suite *suite = suite_create("debug");
    TCase *lost = tcase_create("lost"), *list = tcase_create("list");
    TCase *cases[] = {lost, list};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], hooked_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(lost, a_failure_that_is_dropped_unseen_is_told_once);
    tcase_add_test(lost, a_failure_that_nobody_even_waited_for_is_told);
    tcase_add_loop_test(lost, any_look_at_the_outcome_is_enough, 0, 4);
    tcase_add_test(lost, asking_whether_it_is_settled_is_no_look);
    tcase_add_test(lost, a_cancelled_task_need_not_look_at_what_it_awaited);
    tcase_add_test(lost, a_promise_that_failed_unseen_has_no_name);
    tcase_add_test(lost, neither_cancelled_nor_ok_is_a_lost_failure);
    tcase_add_test(lost, a_failure_that_a_scope_passes_on_is_seen_with_the_scope);
    tcase_add_test(list, a_task_that_keeps_the_loop_is_told_by_name);
    tcase_add_test(list, waiting_for_events_is_not_slow);
    tcase_add_test(list, the_list_says_who_waits_where_for_whom);
    tcase_add_test(list, of_many_tasks_only_the_kinds_and_a_few_are_listed);
    tcase_add_test(list, an_idle_runtime_lists_no_task);
    tcase_add_test(list, scopes_may_be_nested_deeper_than_the_stack_is);
    tcase_add_test(list, a_task_on_a_thread_is_listed_as_running);
    tcase_add_test(list, tasks_may_begin_on_threads_while_they_are_listed);
    return suite;
}
