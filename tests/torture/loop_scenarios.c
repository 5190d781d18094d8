/* What happens on the loop alone: tasks, timers, continuations, scopes, contexts. */
#include "core/async/internal.h"
#include "core/base/clock.h"
#include "tests/torture/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

static uint64_t in_ms(unsigned ms)
{
    return clock_after_ms(async_now_ns(), ms);
}

/* -- tasks that wait --------------------------------------------------------------------------- */

/* Sleeps, waits for one of its own kind that it starts, and for another future. */
struct waiter_frame {
    struct token *token;
    future *other;  /* owned; NULL: one that nobody settles, `never` */
    promise *never; /* its own, as interrupting an await cancels what is awaited */
    unsigned depth, ready;
    future *slept, *below;
};

static future *start_waiter(struct scope *s, const struct task_def *def, future *other,
                            unsigned depth);

static const struct task_def waiter_task;

/* A promise and its future; out of memory: none, and a future that says so. */
static future *promised(promise **ret_promise)
{
    future *f = NULL;

    *ret_promise = promise_new(&f);
    return *ret_promise ? f : future_out_of_memory();
}

static future *other_or_never(struct waiter_frame *w)
{
    return w->other ? future_ref(w->other) : promised(&w->never);
}

static int waiter_step(task *t, void *frame)
{
    struct waiter_frame *w = frame;

    BEGIN(t);
    AWAIT(t, w->slept, future_at(in_ms(1)));
    for (w->ready = 0; w->ready < 100; w->ready++)
        AWAIT(t, w->slept, future_done());
    if (w->depth > 0)
        AWAIT(t, w->below, start_waiter(NULL, &waiter_task, w->other, w->depth - 1));
    if (!task_cancelled(t))
        AWAIT(t, w->slept, other_or_never(w));
    if (task_cancelled(t)) { /* only who catches it comes here */
        AWAIT(t, w->slept, future_at(in_ms(1)));
        task_fail(t, -ECANCELED, NULL, NULL);
    } else {
        task_return(t, token_new(), token_drop);
    }
    END(t);
}

static void waiter_drop(void *frame)
{
    struct waiter_frame *w = frame;

    promise_drop(w->never);
    future_drop(w->other);
    future_drop(w->slept);
    future_drop(w->below);
    token_drop(w->token);
}

TASK(waiter_task, ON_LOOP, sizeof(struct waiter_frame), .step = waiter_step, .drop = waiter_drop);
TASK(patient_task, ON_LOOP, sizeof(struct waiter_frame), .step = waiter_step, .drop = waiter_drop,
     .catches_cancel = true);

static future *start_waiter(struct scope *s, const struct task_def *def, future *other,
                            unsigned depth)
{
    return task_start_in(s, def,
                         &(struct waiter_frame){.token = token_new(),
                                                .other = other ? future_ref(other) : NULL,
                                                .depth = depth});
}

static void resolve(promise *p)
{
    struct token *token = token_new();

    if (p)
        promise_resolve(p, token, token_drop);
    else
        token_drop(token);
    promise_drop(p);
}

static void only_start(void)
{
    if (start_mock(&(struct mock_options){0}))
        expect(future_done(), FUTURE_OK);
}

static void await_and_cancel(void)
{
    promise *p = NULL;

    if (!start_mock(&(struct mock_options){.seed = 7}))
        return;
    future *f = keep(promised(&p));
    keep(start_waiter(NULL, &waiter_task, f, 3));
    future *cancelled = keep(start_waiter(NULL, &waiter_task, NULL, 1));
    future *patient = keep(start_waiter(NULL, &patient_task, NULL, 0));
    future_cancel(keep(start_waiter(NULL, &waiter_task, NULL, 0))); /* before it begins */
    mock_advance(5 * NS_PER_MS);
    future_cancel(cancelled);
    future_cancel(patient);
    mock_advance(5 * NS_PER_MS);
    resolve(p);
    settle();
}

/* Started by nobody, waited for by nobody: the end of the runtime is their end. */
static void stop_amid_all(void)
{
    if (!start_mock(&(struct mock_options){.seed = 3}))
        return;
    for (unsigned i = 0; i < 5; i++) {
        keep(start_waiter(NULL, i % 2 ? &waiter_task : &patient_task, NULL, i));
        keep(future_at(in_ms(i)));
        keep(future_at(in_ms(1000)));
    }
    keep(process_room(1));
    keep(async_dump(3));
    mock_advance(3 * NS_PER_MS);
}

static void timers(void)
{
    if (!start_mock(&(struct mock_options){.seed = 11}))
        return;
    for (unsigned i = 0; i < 70; i++) { /* the heap grows once */
        future *f = keep(future_at(in_ms(1 + i * 37 % 20)));
        if (i % 5 == 0)
            future_cancel(f);
    }
    mock_advance(NS_PER_MS);
    settle();
}

/* -- continuations ----------------------------------------------------------------------------- */

static void pass_on(future *done, promise *next, void *arg)
{
    struct token *token = token_new();

    token_drop(arg);
    if (future_ok(done))
        promise_resolve(next, token, token_drop);
    else
        promise_fail(next, future_error(done), token, token_drop);
    promise_drop(next);
}

static void give_up(future *done, promise *next, void *arg)
{
    (void)done;
    token_drop(arg);
    promise_drop(next);
}

/* The argument of one that could not be registered is still the caller's. */
static future *then(future *f, enum executor where, then_fn *fn)
{
    struct token *token = token_new();
    future *result = future_then(f, where, fn, token);

    if (result == future_out_of_memory())
        token_drop(token);
    return result;
}

static void continuations(void)
{
    promise *p = NULL, *q = NULL;

    if (!start_mock(&(struct mock_options){.seed = 5, .async.threads = 2}))
        return;
    future *f = keep(promised(&p)), *g = promised(&q);
    for (unsigned i = 0; i < 4; i++) {
        enum executor where = i % 2 ? EXECUTOR_THREAD : EXECUTOR_LOOP;
        future *first = keep(then(f, where, pass_on));
        keep(then(first, EXECUTOR_THREAD, pass_on));
        keep(then(first, EXECUTOR_LOOP, give_up));
        future_cancel(keep(then(g, where, pass_on))); /* goes on to `g`, on the loop */
    }
    keep(then(g, EXECUTOR_LOOP, pass_on));
    future_drop(g); /* its source is all that holds it now */
    mock_turn();
    resolve(p);
    promise_drop(q);
    settle();
    keep(then(f, EXECUTOR_LOOP, pass_on)); /* settled already */
    keep(then(f, EXECUTOR_THREAD, pass_on));
}

/* -- scopes ------------------------------------------------------------------------------------ */

static void close_and_drop(struct scope *s)
{
    if (s)
        keep(scope_close(s));
    scope_drop(s);
}

/* Makes scopes where it runs, inside of that of its task. */
struct nest_frame {
    struct token *token;
    struct scope *inner, *shield;
    future *other; /* as that of a waiter */
    future *inner_closed, *shield_closed;
};

static int nest_step(task *t, void *frame)
{
    struct nest_frame *n = frame;

    BEGIN(t);
    n->inner = scope_new(CLOCK_NEVER, SCOPE_COLLECT_ALL);
    if (n->inner) {
        keep(start_waiter(n->inner, &waiter_task, n->other, 1));
        AWAIT(t, n->inner_closed, scope_close(n->inner));
    }
    n->shield = scope_new(in_ms(20), SCOPE_SHIELD | SCOPE_FAIL_FAST);
    if (n->shield) {
        keep(start_waiter(n->shield, &waiter_task, future_done(), 1));
        AWAIT(t, n->shield_closed, scope_close(n->shield));
    }
    task_fail(t, -EPROTO, token_new(), token_drop);
    END(t);
}

static void nest_drop(void *frame)
{
    struct nest_frame *n = frame;

    scope_drop(n->inner);
    scope_drop(n->shield);
    future_drop(n->other);
    future_drop(n->inner_closed);
    future_drop(n->shield_closed);
    token_drop(n->token);
}

TASK(nest_task, ON_LOOP, sizeof(struct nest_frame), .step = nest_step, .drop = nest_drop,
     .catches_cancel = true);

static future *start_nest(struct scope *s, future *other)
{
    return keep(task_start_in(
        s, &nest_task,
        &(struct nest_frame){.token = token_new(), .other = other ? future_ref(other) : NULL}));
}

static void scopes(void)
{
    promise *p = NULL;

    if (!start_mock(&(struct mock_options){.seed = 13}))
        return;
    future *f = keep(promised(&p));
    struct scope *good = scope_new(CLOCK_NEVER, SCOPE_COLLECT_ALL);
    struct scope *late = scope_new(in_ms(10), SCOPE_COLLECT_ALL);
    struct scope *hasty = scope_new(CLOCK_NEVER, SCOPE_FAIL_FAST);
    struct scope *left = scope_new(CLOCK_NEVER, SCOPE_COLLECT_ALL);
    struct scope *asked = scope_new(in_ms(100), SCOPE_COLLECT_ALL);
    keep(start_waiter(good, &waiter_task, f, 2));
    keep(start_waiter(late, &waiter_task, late ? NULL : f, 1));
    keep(start_waiter(left, &patient_task, left ? NULL : f, 1));
    keep(start_waiter(asked, &waiter_task, asked ? NULL : f, 1));
    keep(start_waiter(hasty, &waiter_task, hasty ? NULL : f, 1));
    start_nest(hasty, f);
    start_nest(asked, asked ? NULL : f);
    scope_drop(left);
    close_and_drop(late);
    if (asked)
        future_cancel(keep(scope_close(asked)));
    scope_drop(asked);
    mock_advance(15 * NS_PER_MS);
    resolve(p);
    close_and_drop(good);
    mock_advance(50 * NS_PER_MS);
    if (hasty && tortured()) /* what should have failed there may not have begun */
        scope_cancel(hasty, -ECANCELED);
    close_and_drop(hasty);
    settle();
}

static void cancelled_scope(void)
{
    if (!start_mock(&(struct mock_options){0}))
        return;
    struct scope *s = scope_new(CLOCK_NEVER, SCOPE_COLLECT_ALL);
    for (int i = 0; s && i < 300; i++) { /* more than are told at a time */
        future_drop(start_waiter(s, &waiter_task, NULL, 0));
    }
    if (s) {
        start_nest(s, NULL);
        mock_turn();
        scope_cancel(s, -ECONNABORTED);
        keep(start_waiter(s, &waiter_task, NULL, 0)); /* refused */
        close_and_drop(s);
        mock_turn();
    }
    settle();
}

/* -- context ----------------------------------------------------------------------------------- */

CONTEXT_KEY(torture_key);
CONTEXT_KEY(torture_other_key);

struct context_frame {
    struct token *token;
    unsigned depth;
    future *below;
};

static future *start_context(unsigned depth);

static int context_step(task *t, void *frame)
{
    struct context_frame *c = frame;

    BEGIN(t);
    context_set(c->depth % 2 ? &torture_key : &torture_other_key, BYTES("deeper and deeper"));
    if (c->depth > 0) {
        AWAIT(t, c->below, start_context(c->depth - 1));
    }
    if (context_set(&torture_key, BYTES("")) == 0 && context_get(&torture_key).len > 0)
        complain("a value was taken out of a context, and is there");
    END(t);
}

static void context_drop_frame(void *frame)
{
    struct context_frame *c = frame;

    future_drop(c->below);
    token_drop(c->token);
}

TASK(context_task, ON_LOOP, sizeof(struct context_frame), .step = context_step,
     .drop = context_drop_frame);

static future *start_context(unsigned depth)
{
    return task_start(&context_task, &(struct context_frame){.token = token_new(), .depth = depth});
}

static void contexts(void)
{
    if (!start_mock(&(struct mock_options){.async.threads = 1}))
        return;
    bool set = context_set(&torture_key, BYTES("of the thread")) == 0;
    if (!set && !tortured())
        complain("a context takes no value");
    keep(start_context(4));
    keep(then(future_done(), EXECUTOR_LOOP, pass_on));
    keep(then(future_done(), EXECUTOR_THREAD, pass_on));
    struct scope *s = scope_new(CLOCK_NEVER, SCOPE_COLLECT_ALL);
    if (s)
        scope_cancel(s, -ECANCELED);
    keep(start_waiter(s, &waiter_task, future_done(), 0)); /* refused, with the context */
    close_and_drop(s);
    settle();
    if (set && !bytes_equal(context_get(&torture_key), BYTES("of the thread")))
        complain("a context has changed");
    context_drop(context_swap(NULL)); /* as context_set() with nothing, which might fail */
}

/* -- the list of tasks ------------------------------------------------------------------------- */

static int idle_step(task *t, void *frame)
{
    struct waiter_frame *w = frame;

    BEGIN(t);
    AWAIT(t, w->slept, future_ref(w->other));
    END(t);
}

/* As many kinds of tasks as make the list of kinds grow. */
#define IDLE(name)                                                                                 \
    TASK(name, ON_LOOP, sizeof(struct waiter_frame), .step = idle_step, .drop = waiter_drop)
IDLE(idle_a);
IDLE(idle_b);
IDLE(idle_c);
IDLE(idle_d);
IDLE(idle_e);
IDLE(idle_f);
IDLE(idle_g);
IDLE(idle_h);
IDLE(idle_i);
IDLE(idle_j);
IDLE(idle_k);
IDLE(idle_l);
IDLE(idle_m);
IDLE(idle_n);
IDLE(idle_o);
IDLE(idle_p);
IDLE(idle_q);

/* What is there is all there: a line of numbers, and one for each task that was asked for. */
static void expect_dump(size_t limit, size_t least)
{
    future *f = async_dump(limit);
    size_t lines = 0;

    expect(f, FUTURE_OK);
    for (const char *c = future_ok(f) ? future_value(f) : NULL; c && *c; c++)
        lines += *c == '\n';
    if (future_ok(f) && lines < least)
        complain("a list of tasks has %zu lines", lines);
}

static void dump(void)
{
    static const struct task_def *const idle[] = {
        &idle_a, &idle_b, &idle_c, &idle_d, &idle_e, &idle_f, &idle_g, &idle_h, &idle_i,
        &idle_j, &idle_k, &idle_l, &idle_m, &idle_n, &idle_o, &idle_p, &idle_q};
    promise *p = NULL;

    if (!start_mock(&(struct mock_options){.seed = 17}))
        return;
    future *f = keep(promised(&p));
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; i++)
        keep(start_waiter(NULL, idle[i], f, 0));
    keep(start_waiter(NULL, &waiter_task, f, 2));
    expect_dump(20, tortured() ? 1 : 1 + 2 * 18);
    mock_advance(2 * NS_PER_MS);
    expect_dump(0, 1);
    future_cancel(keep(async_dump(3)));
    resolve(p);
    settle();
    expect_dump(3, 1);
}

/* -- descriptors and hooks --------------------------------------------------------------------- */

/* The other end is closed, so that is to be heard of. */
static void on_hangup(void *arg, int fd, uint32_t events)
{
    (void)events;
    token_drop(arg);
    loop_unwatch(fd);
    loop_forget(fd);
    close(fd);
}

static int watch_step(task *t, void *frame)
{
    enum { HIGH = 200 }; /* the table of descriptors grows */
    int pair[2];

    (void)t;
    (void)frame;
    if (pipe2(pair, O_CLOEXEC) < 0) {
        complain("there is no pipe");
        return TASK_FINISHED;
    }
    int high = dup3(pair[0], HIGH, O_CLOEXEC);
    close(pair[0]);
    close(pair[1]);
    struct token *token = token_new();
    if (loop_watch(high, EPOLLIN, on_hangup, token) < 0) {
        token_drop(token);
        loop_forget(high);
        close(high);
    }
    return TASK_FINISHED;
}

TASK(watch_task, ON_LOOP, 0, .step = watch_step);

static void hear_of_failure(const char *name, int error)
{
    (void)name;
    if (error == 0)
        complain("a failure without an error was not seen");
    future_drop(start_context(0));
}

static void hear_of_slowness(const char *name, uint64_t took_ns)
{
    (void)took_ns;
    if (!name)
        complain("something without a name is slow");
}

static int fail_step(task *t, void *frame)
{
    (void)frame;
    task_fail(t, -EPROTO, token_new(), token_drop);
    return TASK_FINISHED;
}

TASK(fail_task, ON_LOOP, 0, .step = fail_step);

static void descriptors_and_hooks(void)
{
    const struct mock_options options = {.async = {
                                             .slow_callback_ns = 1,
                                             .hooks.unseen_failure = hear_of_failure,
                                             .hooks.slow_callback = hear_of_slowness,
                                         }};

    if (!start_mock(&options))
        return;
    for (int i = 0; i < 3; i++)
        future_drop(task_start(&fail_task, NULL));
    keep(task_start(&watch_task, NULL));
    settle();
    mock_advance(NS_PER_MS);
}

const struct scenario loop_scenarios[] = {
    {"only start", false, only_start},
    {"await and cancel", false, await_and_cancel},
    {"stop amid all", false, stop_amid_all},
    {"timers", false, timers},
    {"continuations", false, continuations},
    {"scopes", false, scopes},
    {"cancelled scope", false, cancelled_scope},
    {"contexts", false, contexts},
    {"dump", false, dump},
    {"descriptors and hooks", false, descriptors_and_hooks},
    {0},
};
