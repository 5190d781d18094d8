/*
 * The life of a task: queued for its executor, running there, ended. It ends exactly once, through
 * task_end(), which drops the frame, settles the future and leaves the scope, in that order: when
 * somebody sees the outcome, what the task held is given back.
 *
 * From the moment a task has entered its scope, a cancel request may reach it on the loop thread,
 * even before the thread that starts it has queued it. So a task is complete when it enters, and
 * whoever takes it from a queue asks task_cancelled() first.
 */
#include "core/async/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Awaits of settled futures in a row that go on at once, before others get their turn. */
enum { READY_AWAITS = 64 };

static _Thread_local task *current;

task *task_current(void)
{
    return current;
}

/* -- what it is -------------------------------------------------------------------------------- */

static const struct future_class classes[];

const task *task_of(const future *f)
{
    return f->class >= classes && f->class <= &classes[ON_PROCESS] ? (const task *)f : NULL;
}

task *task_on_thread(future *f)
{
    return f->class == &classes[ON_THREAD] ? (task *)f : NULL;
}

uint32_t task_ticks(uint64_t now_ns)
{
    return (uint32_t)(now_ns >> 20);
}

/* -- end --------------------------------------------------------------------------------------- */

/* The result waits in the future itself, which nobody reads before it is settled. */
static void keep(task *t, enum future_state outcome, int error, void *value, destroy_fn *destroy)
{
    future *f = &t->future;

    /* Only one that was abandoned may be settled already: the one case with another writer. */
    if (t->def->abandonable)
        tiny_lock(&f->lock);
    bool late = future_settled(f);
    void *old = late ? value : f->value;
    destroy_fn *destroy_old = late ? destroy : f->destroy;
    if (!late) {
        f->outcome = (unsigned char)outcome;
        f->error = error;
        f->value = value;
        f->destroy = destroy;
    }
    if (t->def->abandonable)
        tiny_unlock(&f->lock);
    if (destroy_old)
        destroy_old(old);
}

void task_return(task *t, void *value, destroy_fn *destroy)
{
    keep(t, FUTURE_OK, 0, value, destroy);
}

void task_fail(task *t, int error, void *detail, destroy_fn *destroy)
{
    if (error == 0)
        error = -EINVAL;
    keep(t, error == -ECANCELED ? FUTURE_CANCELLED : FUTURE_FAILED, error, detail, destroy);
}

static void leave(task *t)
{
    scope_leave(t->scope, t);
    count(COUNT_TASKS, -1);
}

/* Settles, and leaves the scope: from then on the task is nobody's but its holders'. */
static void finish(task *t)
{
    future *f = &t->future;

    if (f->outcome == FUTURE_FAILED && scope_child_failed(t->scope, f->error))
        atomic_store(&f->seen, true); /* the scope passes it on */
    future_settle_kept(f);
    leave(t);
}

static void release_frame(task *t)
{
    if (t->def->drop)
        t->def->drop(t->frame);
    context_drop(t->context);
    t->context = NULL;
}

void task_end(task *t)
{
    release_frame(t);
    finish(t);
    future_drop(&t->future);
}

void task_end_cancelled(task *t)
{
    task_fail(t, -ECANCELED, NULL, NULL);
    task_end(t);
}

void task_abandon(task *t)
{
    /* In one step: between two, what it gives meanwhile would count. */
    future_settle(&t->future, FUTURE_CANCELLED, -ECANCELED, NULL, NULL);
    leave(t);
}

void task_end_abandoned(task *t)
{
    release_frame(t);
    scope_unref(t->scope);
    future_drop(&t->future);
}

bool task_cancelled(const task *t)
{
    return atomic_load_explicit(&t->future.cancel_asked, memory_order_relaxed) ||
           scope_cancelled(t->scope) != 0;
}

/* What `step` returned is neither of what the macros return, or it parked without an AWAIT. */
static bool makes_sense(const task *t, int state)
{
    return state == TASK_FINISHED || (state == TASK_PARKED && t->awaited);
}

/* -- on the loop ------------------------------------------------------------------------------- */

/*
 * Why a task's job is queued. It is queued once for all of them: whoever sets the first posts it.
 * A cancel request holds a reference, since the task may end before it is looked at.
 */
enum signal { SIGNAL_GO = 1, SIGNAL_CANCEL = 2 };

static void signal_task(task *t, enum signal signal)
{
    if (atomic_fetch_or(&t->future.signals, (unsigned char)signal) == 0)
        loop_post(&t->job);
}

static void task_ask_cancel(future *f)
{
    signal_task((task *)f, SIGNAL_CANCEL);
}

static void resume(task *t)
{
    const future *awaited = t->awaited;

    t->awaited = NULL;
    if (task_cancelled(t)) {
        if (!t->def->catches_cancel) {
            if (awaited) /* that it failed meanwhile is not an error that got lost */
                future_state(awaited);
            task_end_cancelled(t);
            return;
        }
        t->future.cancel_told = true;
    }
    current = t;
    int state = t->def->step(t, t->frame);
    current = NULL;
    if (!makes_sense(t, state)) {
        task_fail(t, state < 0 ? state : -EDEADLK, NULL, NULL);
        task_end(t);
    } else if (state == TASK_FINISHED) {
        task_end(t);
    }
}

/* A task that is queued finds the request when it is resumed; one that is parked waits on, until
 * what it awaits has really ended. */
static void interrupt(task *t)
{
    if (t->awaited && !t->future.cancel_told)
        future_cancel(t->awaited);
}

static void submit(task *t)
{
    if (task_cancelled(t))
        task_end_cancelled(t);
    else
        process_pool_submit(t);
}

static void run_signals(struct job *job)
{
    task *t = CONTAINER_OF(job, task, job);
    unsigned char signals = atomic_exchange(&t->future.signals, 0);

    loop_callback_name(t->def->name);
    switch (t->def->where) {
    case ON_LOOP:
        if (signals & SIGNAL_GO)
            resume(t);
        else if (!future_settled(&t->future))
            interrupt(t);
        break;
    case ON_THREAD:
        if (!future_settled(&t->future))
            thread_pool_cancel(t);
        break;
    case ON_PROCESS:
        if (signals & SIGNAL_GO)
            submit(t);
        else if (!future_settled(&t->future))
            process_pool_cancel(t);
        break;
    }
    if (signals & SIGNAL_CANCEL)
        future_drop(&t->future);
}

bool task_job_is_task(const struct job *job)
{
    return job->run == run_signals;
}

static void loop_task_fire(struct waiter *w)
{
    signal_task(CONTAINER_OF(w, task, waiter), SIGNAL_GO);
}

int task_resume_point(const task *t)
{
    return t->resume_line;
}

int task_lost_place(const task *t)
{
    fprintf(
        stderr,
        "async: task %s is to go on at line %d, where its step has no AWAIT of its own: it is in a "
        "nested switch, or in another function\n",
        t->def->name, t->resume_line);
    abort();
}

bool task_await(task *t, future *f, int line)
{
    bool interrupted = task_cancelled(t) && !t->future.cancel_told;

    t->resume_line = line;
    if (future_settled(f) && !interrupted && ++t->future.ready_awaits < READY_AWAITS)
        return true;
    t->future.ready_awaits = 0;
    t->since_ticks = task_ticks(loop_now_ns());
    t->awaited = f;
    if (!future_add_waiter(f, &t->waiter))
        signal_task(t, SIGNAL_GO);
    else if (interrupted)
        future_cancel(f);
    return false;
}

/* -- on a thread ------------------------------------------------------------------------------- */

bool task_run_here(task *t)
{
    task *below = current;

    if (task_cancelled(t))
        return false;
    current = t;
    t->def->run(t, t->frame);
    current = below;
    return true;
}

/* -- start ------------------------------------------------------------------------------------- */

static void task_release(future *f)
{
    free((task *)f);
}

static const struct future_class classes[] = {
    [ON_LOOP] = {.ask_cancel = task_ask_cancel, .release = task_release},
    [ON_THREAD] = {.ask_cancel = task_ask_cancel, .release = task_release},
    [ON_PROCESS] = {.ask_cancel = task_ask_cancel, .release = task_release},
};

/* What its executor, and a cancel request, find in a task. */
static void prepare(task *t)
{
    switch (t->def->where) {
    case ON_LOOP:
        t->awaited = NULL;
        t->waiter = (struct waiter){.fire = loop_task_fire};
        break;
    case ON_THREAD:
        list_init(&t->queued);
        atomic_init(&t->runner, NULL);
        t->abandoned = false;
        break;
    case ON_PROCESS:
        list_init(&t->waiting);
        t->worker = NULL;
        t->queued_bytes = 0;
        t->retried = t->parked = false;
        break;
    }
}

static uint32_t next_id(void)
{
    static atomic_uint last;

    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static future *refuse(const struct task_def *def, void *frame, future *answer)
{
    if (def->drop && (frame || def->frame_size == 0)) /* one of zeros holds nothing */
        def->drop(frame);
    return answer;
}

future *task_start_in(struct scope *scope, const struct task_def *def, void *frame)
{
    if (async_start() < 0)
        return refuse(def, frame, future_cancelled());

    task *t = malloc(sizeof *t + def->frame_size);
    if (!t)
        return refuse(def, frame, future_out_of_memory());
    future_init(&t->future, &classes[def->where], 2);
    t->future.outcome = FUTURE_OK;
    t->def = def;
    t->scope = scope ? scope : current ? current->scope : runtime_root();
    t->job = (struct job){.run = run_signals};
    t->context = context_ref(context_here());
    t->id = next_id();
    t->parent = current ? current->id : 0;
    t->since_ticks = task_ticks(loop_is_here() ? loop_now_ns() : async_now_ns());
    t->resume_line = 0;
    if (frame)
        memcpy(t->frame, frame, def->frame_size);
    else
        memset(t->frame, 0, def->frame_size);
    prepare(t);
    count(COUNT_TASKS, 1);

    if (scope_enter(t->scope, t, current && current->scope == t->scope) < 0) {
        count(COUNT_TASKS, -1);
        context_drop(t->context);
        future_drop(&t->future);
        future_drop(&t->future);
        return refuse(def, frame, future_cancelled());
    }
    if (def->where == ON_THREAD)
        thread_pool_submit(t);
    else
        signal_task(t, SIGNAL_GO);
    return &t->future;
}

future *task_start(const struct task_def *def, void *frame)
{
    return task_start_in(NULL, def, frame);
}
