#include "core/async/context.h"

#include "core/async/async.h"
#include "core/async/internal.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

CONTEXT_KEY(batch);
CONTEXT_KEY(trace);

/* More keys than a context may have. */
#define TEN(X, n)                                                                                  \
    X(key_##n##0)                                                                                  \
    X(key_##n##1)                                                                                  \
    X(key_##n##2)                                                                                  \
    X(key_##n##3)                                                                                  \
    X(key_##n##4) X(key_##n##5) X(key_##n##6) X(key_##n##7) X(key_##n##8) X(key_##n##9)
#define MANY(X)                                                                                    \
    TEN(X, 0)                                                                                      \
    TEN(X, 1)                                                                                      \
    TEN(X, 2)                                                                                      \
    TEN(X, 3)                                                                                      \
    TEN(X, 4)                                                                                      \
    TEN(X, 5) TEN(X, 6) TEN(X, 7) TEN(X, 8) TEN(X, 9) TEN(X, 10) TEN(X, 11) TEN(X, 12)
#define DECLARE(key) CONTEXT_KEY(key);
#define ADDRESS(key) &key,
MANY(DECLARE)
static const struct context_key *const many[] = {MANY(ADDRESS)};
enum { KEYS = sizeof many / sizeof *many };

static void set(const struct context_key *key, const char *value)
{
    ck_assert_int_eq(context_set(key, bytes_cstr(value)), 0);
}

/* Both keys' values here, as text. */
struct look {
    char text[64];
};

static void look(struct look *l)
{
    struct bytes b = context_get(&batch), t = context_get(&trace);

    snprintf(l->text, sizeof l->text, "%.*s/%.*s", (int)b.len, b.ptr, (int)t.len, t.ptr);
}

static void expect_here(const char *text)
{
    struct look l;

    look(&l);
    ck_assert_str_eq(l.text, text);
}

static void forget(void)
{
    set(&batch, "");
    set(&trace, "");
}

/* -- tasks that look, on each kind of executor ------------------------------------------------- */

static void *copy_of(struct bytes text)
{
    return strndup(text.ptr, text.len);
}

static void return_look(task *t)
{
    struct look l;

    look(&l);
    task_return(t, copy_of(bytes_cstr(l.text)), free);
}

static int loop_look_step(task *t, void *frame)
{
    (void)frame;
    return_look(t);
    return TASK_FINISHED;
}
TASK(loop_look, ON_LOOP, 0, .step = loop_look_step);

static void thread_look_run(task *t, void *frame)
{
    (void)frame;
    return_look(t);
}
TASK(thread_look, ON_THREAD, 0, .run = thread_look_run);

static ssize_t look_pack(void *frame, char *request, size_t capacity)
{
    (void)frame, (void)request, (void)capacity;
    return 0;
}

static ssize_t look_serve(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity)
{
    struct look l;

    (void)request, (void)deadline_ns;
    if (context_set(&batch, BYTES("mine")) != -ENOTSUP)
        return -EPROTO;
    look(&l);
    return snprintf(reply, capacity, "%s", l.text);
}

static void look_unpack(task *t, void *frame, struct bytes reply)
{
    (void)frame;
    task_return(t, copy_of(reply), free);
}
TASK(process_look, ON_PROCESS, 0, .pack = look_pack, .serve = look_serve, .unpack = look_unpack,
     .timeout_ms = PATIENCE_MS);

static const struct task_def *const looks[] = {&loop_look, &thread_look, &process_look};
enum { LOOKS = sizeof looks / sizeof *looks };

static void expect_text(future *f, const char *text)
{
    expect_ok(future_ref(f));
    ck_assert_str_eq(future_value(f), text);
    future_drop(f);
}

/* -- keys and values --------------------------------------------------------------------------- */

START_TEST(a_key_has_no_value_until_it_is_set)
{
    ck_assert_uint_eq(context_get(&batch).len, 0);
    set(&trace, "t");
    ck_assert_uint_eq(context_get(&batch).len, 0);
    expect_here("/t");
    forget();
}
END_TEST

START_TEST(a_value_is_a_copy_and_an_empty_one_takes_it_away)
{
    char value[] = "one";

    set(&batch, value);
    value[0] = 'x';
    expect_here("one/");
    set(&batch, "another");
    expect_here("another/");
    set(&batch, "");
    set(&batch, "");
    expect_here("/");
    ck_assert_ptr_null(context_here()); /* nothing is kept for nothing */
}
END_TEST

START_TEST(a_value_may_be_taken_from_the_context_that_it_changes)
{
    set(&batch, "abc");
    ck_assert_int_eq(context_set(&trace, context_get(&batch)), 0);
    ck_assert_int_eq(context_set(&batch, bytes_of(context_get(&batch).ptr + 1, 2)), 0);
    expect_here("bc/abc");
    forget();
}
END_TEST

START_TEST(values_may_be_any_bytes)
{
    static const char bytes[] = {0, -1, '/', 0};

    ck_assert_int_eq(context_set(&batch, bytes_of(bytes, sizeof bytes)), 0);
    ck_assert(bytes_equal(context_get(&batch), bytes_of(bytes, sizeof bytes)));
    forget();
}
END_TEST

/* Against a plain array, in an order that a small generator picks. */
START_TEST(keys_do_not_disturb_each_other)
{
    enum { SOME = 12, STEPS = 5000 };
    char values[SOME][8] = {{0}};
    unsigned random = 1;

    for (int step = 0; step < STEPS; step++) {
        random = random * 1103515245 + 12345;
        unsigned which = random / 65536 % SOME, length = random / 1048576 % 8;
        memset(values[which], 0, sizeof values[which]);
        memset(values[which], 'a' + step % 26, length);
        ck_assert_int_eq(context_set(many[which], bytes_of(values[which], length)), 0);
        for (int i = 0; i < SOME; i++) {
            struct bytes value = context_get(many[i]);
            ck_assert_uint_eq(value.len, strnlen(values[i], sizeof values[i]));
            ck_assert_int_eq(value.len ? memcmp(value.ptr, values[i], value.len) : 0, 0);
        }
    }
    for (int i = 0; i < SOME; i++)
        set(many[i], "");
    ck_assert_ptr_null(context_here());
}
END_TEST

START_TEST(a_key_that_is_in_no_table_is_refused)
{
    static const struct context_key stray = {"stray"};

    set(&batch, "b");
    ck_assert_int_eq(context_set(&stray, BYTES("value")), -EINVAL);
    ck_assert_uint_eq(context_get(&stray).len, 0);
    expect_here("b/");
    forget();
}
END_TEST

/* -- limits ------------------------------------------------------------------------------------ */

START_TEST(values_together_have_a_limit_and_a_refused_one_changes_nothing)
{
    static char bytes[CONTEXT_BYTES_MAX + 1];

    memset(bytes, 'x', sizeof bytes);
    ck_assert_int_eq(context_set(&batch, bytes_of(bytes, CONTEXT_BYTES_MAX + 1)), -E2BIG);
    ck_assert_int_eq(context_set(&batch, bytes_of(bytes, SIZE_MAX)), -E2BIG);
    ck_assert_ptr_null(context_here());
    ck_assert_int_eq(context_set(&batch, bytes_of(bytes, CONTEXT_BYTES_MAX)), 0);
    ck_assert_int_eq(context_set(&trace, bytes_of(bytes, 1)), -E2BIG);
    ck_assert_uint_eq(context_get(&batch).len, CONTEXT_BYTES_MAX);
    ck_assert_uint_eq(context_get(&trace).len, 0);
    ck_assert_int_eq(context_set(&batch, bytes_of(bytes, CONTEXT_BYTES_MAX - 1)), 0);
    ck_assert_int_eq(context_set(&trace, bytes_of(bytes, 1)), 0);
    ck_assert_int_eq(context_set(&trace, bytes_of(bytes, 2)), -E2BIG);
    ck_assert_uint_eq(context_get(&trace).len, 1);
    forget();
}
END_TEST

START_TEST(keys_have_a_limit_and_the_largest_context_reaches_a_worker)
{
    static char value[CONTEXT_BYTES_MAX];
    char packed[CONTEXT_WIRE_MAX];
    int set_keys = 0;

    memset(value, 'x', sizeof value);
    ck_assert_int_gt(KEYS, CONTEXT_KEYS_MAX);
    set(&batch, "b");
    for (int i = 0; i < CONTEXT_KEYS_MAX - 2; i++)
        set_keys += context_set(many[i], BYTES("v")) == 0;
    ck_assert_int_eq(set_keys, CONTEXT_KEYS_MAX - 2);
    size_t left = CONTEXT_BYTES_MAX - CONTEXT_KEYS_MAX + 1;
    ck_assert_int_eq(context_set(many[KEYS - 1], bytes_of(value, left + 1)), -E2BIG);
    ck_assert_int_eq(context_set(many[KEYS - 1], bytes_of(value, left)), 0);
    set(many[0], ""); /* another in its place, so that not the bytes are refused */
    set(many[KEYS - 2], "v");
    ck_assert_int_eq(context_set(many[KEYS - 1], bytes_of(value, left - 1)), 0);
    ck_assert_int_eq(context_set(many[0], BYTES("v")), -E2BIG);
    ck_assert_uint_eq(context_pack(context_here(), packed), CONTEXT_WIRE_MAX - 1);
    expect_text(task_start(&process_look, NULL), "b/");
    for (int i = 0; i < KEYS; i++)
        set(many[i], "");
    forget();
}
END_TEST

/* -- tasks ------------------------------------------------------------------------------------- */

START_TEST(a_task_has_the_context_of_whoever_started_it_wherever_it_runs)
{
    set(&batch, "b-42");
    set(&trace, "t");
    future *f = task_start(looks[_i], NULL);
    set(&batch, "b-43"); /* too late for that one */
    future *g = task_start(looks[_i], NULL);
    forget();
    future *none = task_start(looks[_i], NULL);
    expect_text(f, "b-42/t");
    expect_text(g, "b-43/t");
    expect_text(none, "/");
}
END_TEST

START_TEST(a_worker_forgets_the_context_of_the_call_before)
{
    async_reconfigure(1, 1, 0);
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "b%d", i);
        set(i % 2 ? &batch : &trace, name);
        future *f = task_start(&process_look, NULL);
        forget();
        expect_text(f, i % 2 ? (i == 1 ? "b1/" : "b3/")
                             : (const char *const[]){"/b0", "", "/b2", "", "/b4"}[i]);
        expect_text(task_start(&process_look, NULL), "/");
    }
}
END_TEST

/* Starts one of each kind, sets its own value, and starts them again. */
struct parent {
    future *f[2 * LOOKS], **seen, *last;
};

static void start_looks(future **ret_fs)
{
    for (int i = 0; i < LOOKS; i++)
        ret_fs[i] = task_start(looks[i], NULL);
}

static int parent_step(task *t, void *frame)
{
    struct parent *p = frame;

    BEGIN(t);
    start_looks(p->f);
    context_set(&batch, BYTES("child"));
    start_looks(p->f + LOOKS);
    for (int i = 0; i < 2 * LOOKS; i++)
        p->seen[i] = future_ref(p->f[i]);
    AWAIT(t, p->last, future_ref(p->f[2 * LOOKS - 1]));
    return_look(t); /* still its own, after the wait */
    END(t);
}

static void parent_drop(void *frame)
{
    struct parent *p = frame;

    for (int i = 0; i < 2 * LOOKS; i++)
        future_drop(p->f[i]);
    future_drop(p->last);
}
TASK(parent, ON_LOOP, sizeof(struct parent), .step = parent_step, .drop = parent_drop);

START_TEST(what_a_task_sets_is_seen_by_what_it_starts_then_and_not_by_its_starter)
{
    future *seen[2 * LOOKS];

    set(&batch, "top");
    expect_text(task_start(&parent, &(struct parent){.seen = seen}), "child/");
    expect_here("top/");
    for (int i = 0; i < 2 * LOOKS; i++)
        expect_text(seen[i], i < LOOKS ? "top/" : "child/");
    expect_text(task_start(&loop_look, NULL), "top/"); /* nor by its siblings */
    forget();
}
END_TEST

/* Passes a gate with values of its own set before. */
struct passer {
    future *gate;
    char name[16];
};

static int passer_step(task *t, void *frame)
{
    struct passer *p = frame;

    BEGIN(t);
    context_set(&batch, bytes_cstr(p->name));
    AWAIT(t, p->gate, future_ref(p->gate));
    context_set(&trace, bytes_cstr(p->name));
    return_look(t);
    END(t);
}

static void passer_drop(void *frame)
{
    future_drop(((struct passer *)frame)->gate);
}
TASK(passer, ON_LOOP, sizeof(struct passer), .step = passer_step, .drop = passer_drop);

START_TEST(tasks_that_take_turns_on_the_loop_keep_their_own_contexts)
{
    enum { PASSERS = 20 };
    future *gate, *f[PASSERS];
    promise *p = new_promise(&gate);

    for (int i = 0; i < PASSERS; i++) {
        struct passer frame = {.gate = future_ref(gate)};
        snprintf(frame.name, sizeof frame.name, "p%d", i);
        f[i] = task_start(&passer, &frame);
    }
    let_loop_turn();
    promise_drop(p);
    for (int i = 0; i < PASSERS; i++) {
        char text[32];
        snprintf(text, sizeof text, "p%d/p%d", i, i);
        expect_text(f[i], text);
    }
    expect(gate, FUTURE_FAILED, -EOWNERDEAD);
}
END_TEST

/* A thread task that runs another on its own stack, as there is one thread. */
static void inner_run(task *t, void *frame)
{
    (void)frame;
    return_look(t);
    context_set(&batch, BYTES("inner"));
}
TASK(inner, ON_THREAD, 0, .run = inner_run);

static void outer_run(task *t, void *frame)
{
    struct look after;

    (void)frame;
    context_set(&batch, BYTES("started"));
    future *f = task_start(&inner, NULL);
    context_set(&batch, BYTES("outer"));
    int rc = future_wait(f, CLOCK_NEVER);
    look(&after);
    if (rc < 0 || !future_ok(f) || strcmp(after.text, "outer/") != 0)
        task_fail(t, -EPROTO, NULL, NULL);
    else
        task_return(t, strdup(future_value(f)), free);
    future_drop(f);
}
TASK(outer, ON_THREAD, 0, .run = outer_run);

START_TEST(a_task_that_runs_on_the_stack_of_another_has_its_own)
{
    async_reconfigure(1, 1, 0);
    expect_text(task_start(&outer, NULL), "started/");
    expect_text(task_start(&thread_look, NULL), "/"); /* nothing stays with the thread */
}
END_TEST

static future *start_look(void *arg, size_t index)
{
    future **fs = arg;

    return future_ref(fs[index] = task_start(looks[index % LOOKS], NULL));
}

START_TEST(the_tasks_of_a_map_have_the_context_of_its_caller)
{
    future *fs[2 * LOOKS];

    set(&batch, "map");
    future *f = map_in(NULL, 2 * LOOKS, 2, start_look, fs);
    forget();
    expect_ok(f);
    for (int i = 0; i < 2 * LOOKS; i++)
        expect_text(fs[i], "map/");
}
END_TEST

/* -- continuations and threads ----------------------------------------------------------------- */

static void return_look_then(future *done, promise *next, void *arg)
{
    struct look l;

    (void)done, (void)arg;
    look(&l);
    promise_resolve(next, copy_of(bytes_cstr(l.text)), free);
    context_set(&batch, BYTES("continuation"));
    context_set(&trace, BYTES("continuation"));
    promise_drop(next);
}

static void *settle_in_another_context(void *arg)
{
    set(&batch, "settler");
    promise_resolve(arg, NULL, NULL);
    return NULL;
}

START_TEST(a_continuation_has_the_context_of_whoever_registered_it)
{
    static const enum executor where[] = {EXECUTOR_LOOP, EXECUTOR_THREAD};
    pthread_t thread;
    future *f;

    async_reconfigure(1, 1, 0);
    promise *p = new_promise(&f);
    set(&batch, "first");
    future *first = future_then(f, where[_i], return_look_then, NULL);
    set(&batch, "second");
    future *second = future_then(f, where[_i], return_look_then, NULL);
    forget();
    future *none = future_then(f, where[_i], return_look_then, NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, settle_in_another_context, p), 0);
    pthread_join(thread, NULL);
    expect_text(first, "first/");
    expect_text(second, "second/");
    expect_text(none, "/"); /* also: what those before it have set is gone from the thread */
    expect_here("/");
    promise_drop(p);
    future_drop(f);
}
END_TEST

static void *set_and_start(void *arg)
{
    struct look before;

    look(&before);
    set(&batch, strcmp(before.text, "/") == 0 ? arg : "not empty");
    return task_start(&loop_look, NULL);
}

START_TEST(each_thread_has_a_context_of_its_own_that_ends_with_it)
{
    enum { THREADS = 4 };
    static char names[THREADS][16];
    pthread_t threads[THREADS];

    set(&batch, "main");
    for (int i = 0; i < THREADS; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, set_and_start, names[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *f;
        char text[16];
        pthread_join(threads[i], &f);
        snprintf(text, sizeof text, "t%d/", i);
        expect_text(f, text);
    }
    expect_here("main/");
    forget();
}
END_TEST

/* -- the wire form ----------------------------------------------------------------------------- */

START_TEST(a_context_that_is_packed_reads_the_same_in_a_worker)
{
    char packed[CONTEXT_WIRE_MAX];

    set(&trace, "trace");
    set(many[7], "seven");
    set(&batch, "batch");
    size_t length = context_pack(context_here(), packed);
    forget();
    set(many[7], "");
    ck_assert_uint_eq(context_pack(NULL, packed + length), 0);

    thread_role = ROLE_WORKER;
    int rc = context_enter_packed(bytes_of(packed, length));
    struct bytes seven = context_get(many[7]), eight = context_get(many[8]);
    struct look l, none;
    look(&l);
    context_enter_packed((struct bytes){0});
    look(&none);
    thread_role = ROLE_PLAIN;
    ck_assert_int_eq(rc, 0);
    ck_assert_str_eq(l.text, "batch/trace");
    ck_assert(bytes_equal(seven, BYTES("seven")));
    ck_assert_uint_eq(eight.len, 0);
    ck_assert_str_eq(none.text, "/");
}
END_TEST

static size_t put_entry(char *out, uint32_t key, uint32_t length, const char *value)
{
    memcpy(out, &key, sizeof key);
    memcpy(out + sizeof key, &length, sizeof length);
    memcpy(out + sizeof key + sizeof length, value, strlen(value));
    return sizeof key + sizeof length + strlen(value);
}

START_TEST(a_malformed_context_is_refused_and_leaves_none)
{
    /* Behind a first entry {0, "first"}; the last one is as it should be. */
    static const struct {
        uint32_t key, length;
        const char *value;
        size_t cut; /* bytes missing at the end */
    } cases[] = {
        {1, 0, "", 0},                  /* no value */
        {1, 5, "four", 0},              /* too short */
        {1, UINT32_MAX, "four", 0},     /* the sum overflows */
        {1, UINT32_MAX - 7, "four", 0}, /* and comes out as nothing */
        {1, 3, "four", 0},              /* too long */
        {1, 4, "four", 5},              /* half a head */
        {1, 4, "four", 8},              /* no length */
        {0, 4, "four", 0},              /* the same key again */
        {100000, 4, "four", 0},         /* no such key */
        {UINT32_MAX, 4, "four", 0},     /* nor such */
        {1, 4, "four", 0},
    };
    char packed[64];
    size_t length = put_entry(packed, 0, 5, "first");

    length += put_entry(packed + length, cases[_i].key, cases[_i].length, cases[_i].value);
    char *exact = malloc(length - cases[_i].cut); /* a read past the end is seen by ASan */
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, packed, length - cases[_i].cut);
    int rc = context_enter_packed(bytes_of(exact, length - cases[_i].cut));
    thread_role = ROLE_WORKER;
    size_t got = 0;
    for (int i = 0; i < KEYS; i++)
        got += context_get(many[i]).len;
    got += context_get(&batch).len + context_get(&trace).len;
    thread_role = ROLE_PLAIN;
    context_enter_packed((struct bytes){0});
    free(exact);
    bool last = _i == sizeof cases / sizeof *cases - 1;
    ck_assert_int_eq(rc, last ? 0 : -EBADMSG);
    ck_assert_uint_le(got, last ? 9 : 0);
}
END_TEST

START_TEST(a_context_over_the_limits_is_refused)
{
    static char packed[2 * CONTEXT_WIRE_MAX], value[CONTEXT_BYTES_MAX + 2];
    size_t length = 0;

    memset(value, 'x', CONTEXT_BYTES_MAX + 1);
    length = put_entry(packed, 0, CONTEXT_BYTES_MAX + 1, value);
    ck_assert_int_eq(context_enter_packed(bytes_of(packed, length)), -EBADMSG);
    length = put_entry(packed, 0, CONTEXT_BYTES_MAX, value + 1);
    ck_assert_int_eq(context_enter_packed(bytes_of(packed, length)), 0);

    length = 0;
    for (uint32_t key = 0; key < CONTEXT_KEYS_MAX; key++)
        length += put_entry(packed + length, key, 1, "v");
    ck_assert_int_eq(context_enter_packed(bytes_of(packed, length)), 0);
    length += put_entry(packed + length, CONTEXT_KEYS_MAX, 1, "v");
    ck_assert_int_eq(context_enter_packed(bytes_of(packed, length)), -EBADMSG);
}
END_TEST

Suite *suite_context(void)
{
    Suite *suite = suite_create("context");
    TCase *keys = tcase_create("keys and values"), *tasks = tcase_create("tasks"),
          *threads = tcase_create("continuations and threads"), *wire = tcase_create("wire form");
    TCase *cases[] = {keys, tasks, threads, wire};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(keys, a_key_has_no_value_until_it_is_set);
    tcase_add_test(keys, a_value_is_a_copy_and_an_empty_one_takes_it_away);
    tcase_add_test(keys, a_value_may_be_taken_from_the_context_that_it_changes);
    tcase_add_test(keys, values_may_be_any_bytes);
    tcase_add_test(keys, keys_do_not_disturb_each_other);
    tcase_add_test(keys, a_key_that_is_in_no_table_is_refused);
    tcase_add_test(keys, values_together_have_a_limit_and_a_refused_one_changes_nothing);
    tcase_add_test(keys, keys_have_a_limit_and_the_largest_context_reaches_a_worker);
    tcase_add_loop_test(tasks, a_task_has_the_context_of_whoever_started_it_wherever_it_runs, 0,
                        LOOKS);
    tcase_add_test(tasks, a_worker_forgets_the_context_of_the_call_before);
    tcase_add_test(tasks, what_a_task_sets_is_seen_by_what_it_starts_then_and_not_by_its_starter);
    tcase_add_test(tasks, tasks_that_take_turns_on_the_loop_keep_their_own_contexts);
    tcase_add_test(tasks, a_task_that_runs_on_the_stack_of_another_has_its_own);
    tcase_add_test(tasks, the_tasks_of_a_map_have_the_context_of_its_caller);
    tcase_add_loop_test(threads, a_continuation_has_the_context_of_whoever_registered_it, 0, 2);
    tcase_add_test(threads, each_thread_has_a_context_of_its_own_that_ends_with_it);
    tcase_add_test(wire, a_context_that_is_packed_reads_the_same_in_a_worker);
    tcase_add_loop_test(wire, a_malformed_context_is_refused_and_leaves_none, 0, 11);
    tcase_add_test(wire, a_context_over_the_limits_is_refused);
    return suite;
}
