/* What blocks: tasks on pool threads, which wait for each other, or are abandoned. */
#include "core/base/clock.h"
#include "tests/torture/scenario.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

struct thread_frame {
    struct token *token;
    unsigned depth;
    future *other;   /* owned; waited for, unless it is NULL */
    atomic_bool *go; /* waited for, unless it is NULL; also told that this has begun */
};

static void drop_frame(void *frame)
{
    struct thread_frame *f = frame;

    future_drop(f->other);
    token_drop(f->token);
}

/* -- waiting for each other -------------------------------------------------------------------- */

static future *start_nested(unsigned depth, future *other);

/* A wait may be refused, as by a pool in which everybody waits. */
static void wait_and_drop(future *f)
{
    int rc = future_wait(f, CLOCK_NEVER);

    if (rc < 0 && rc != -EDEADLK)
        complain("a wait on a pool thread gives %d", rc);
    future_drop(f);
}

struct nap {
    struct token *token;
    future *slept;
};

static int nap_step(task *t, void *frame)
{
    struct nap *n = frame;

    BEGIN(t);
    AWAIT(t, n->slept, future_at(clock_after_ms(async_now_ns(), 1)));
    END(t);
}

static void nap_drop(void *frame)
{
    struct nap *n = frame;

    future_drop(n->slept);
    token_drop(n->token);
}

TASK(nap_task, ON_LOOP, sizeof(struct nap), .step = nap_step, .drop = nap_drop);

static void nested_run(task *t, void *frame)
{
    struct thread_frame *f = frame;

    if (f->other)
        future_wait(f->other, CLOCK_NEVER);
    if (f->depth > 0) {
        wait_and_drop(start_nested(f->depth - 1, NULL));
        wait_and_drop(task_start(&nap_task, &(struct nap){.token = token_new()}));
    }
    if (f->depth % 2)
        task_fail(t, -EPROTO, token_new(), token_drop);
    else
        task_return(t, token_new(), token_drop);
}

TASK(nested_task, ON_THREAD, sizeof(struct thread_frame), .run = nested_run, .drop = drop_frame);

static future *start_nested(unsigned depth, future *other)
{
    return task_start(&nested_task,
                      &(struct thread_frame){.token = token_new(),
                                             .depth = depth,
                                             .other = other ? future_ref(other) : NULL});
}

static void nested_waits(void)
{
    future *last = NULL;

    if (!start_mock(&(struct mock_options){.seed = 3, .async.threads = 2}))
        return;
    for (unsigned depth = 0; depth < 4; depth++) {
        last = keep(start_nested(depth, last));
    }
    settle();
}

/* A wait that gives up before the other is settled. */
static void hurried_run(task *t, void *frame)
{
    struct thread_frame *f = frame;

    (void)t;
    future_wait(f->other, clock_after_ms(async_now_ns(), 1));
}

TASK(hurried_task, ON_THREAD, sizeof(struct thread_frame), .run = hurried_run, .drop = drop_frame);

static void waits_that_give_up(void)
{
    future *never = NULL;

    if (!start_mock(&(struct mock_options){.seed = 5, .async.threads = 3}))
        return;
    promise *p = promise_new(&never);
    if (!p)
        never = future_out_of_memory();
    keep(never);
    for (int i = 0; i < 2; i++) {
        struct thread_frame frame = {.token = token_new(), .other = future_ref(never)};
        keep(task_start(&hurried_task, &frame));
    }
    future_wait(never, clock_after_ms(async_now_ns(), 1));
    promise_drop(p);
    settle();
}

/* -- cancelled --------------------------------------------------------------------------------- */

/* Holds its thread until it is told to go on; it goes by itself soon after it was cancelled. */
static void hold_run(task *t, void *frame)
{
    struct thread_frame *f = frame;
    uint64_t give_up_ns = 0;

    atomic_store(&f->go[0], true);
    while (!atomic_load(&f->go[1]) && (!give_up_ns || clock_now_ns() < give_up_ns)) {
        if (!give_up_ns && task_cancelled(t))
            give_up_ns = clock_after_ms(clock_now_ns(), f->depth);
        sched_yield();
    }
    task_return(t, token_new(), token_drop);
}

TASK(hold_task, ON_THREAD, sizeof(struct thread_frame), .run = hold_run, .drop = drop_frame);
TASK(hang_task, ON_THREAD, sizeof(struct thread_frame), .run = hold_run, .drop = drop_frame,
     .abandonable = true);

static void queued_and_running(void)
{
    static atomic_bool go[2];

    memset(go, 0, sizeof go);
    if (!start_mock(&(struct mock_options){.async.threads = 1}))
        return;
    struct thread_frame frame = {.token = token_new(), .go = go};
    future *running = keep(task_start(&hold_task, &frame));
    future *queued = keep(start_nested(1, NULL));
    keep(start_nested(0, NULL));
    while (!atomic_load(&go[0]) && !future_settled(running))
        sched_yield();
    future_cancel(queued);
    future_cancel(running);
    settle();
}

/* How long a hanging task that was not abandoned hangs on; where it was, it is told to go on. */
enum { HANG_MS = 3 };

static void abandoned(void)
{
    static atomic_bool go[3][2]; /* whoever was abandoned ends when he likes */
    future *hanging[3];

    memset(go, 0, sizeof go);
    if (!start_mock(&(struct mock_options){.async.threads = 2}))
        return;
    for (int i = 0; i < 3; i++) { /* one more than threads, which waits for one that is replaced */
        struct thread_frame frame = {.token = token_new(), .depth = HANG_MS, .go = go[i]};
        hanging[i] = keep(task_start(&hang_task, &frame));
    }
    for (int i = 0; i < 3; i++) {
        while (!atomic_load(&go[i][0]) && !future_settled(hanging[i]))
            sched_yield();
        future_cancel(hanging[i]);
        future_wait(hanging[i], CLOCK_NEVER);
    }
    keep(start_nested(2, NULL));
    for (int i = 0; i < 3; i++)
        atomic_store(&go[i][1], true);
    settle();
}

const struct scenario thread_scenarios[] = {
    {"nested waits", false, nested_waits},
    {"waits that give up", false, waits_that_give_up},
    {"queued and running", false, queued_and_running},
    {"abandoned", false, abandoned},
    {0},
};
