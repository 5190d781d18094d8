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
#include <stdlib.h>

/* Awaits of settled futures in a row that go on at once, before others get their turn. */
enum { READY_AWAITS = 64 };

static _Thread_local task *current;

task *task_current(void)
{
    return current;
}

/* -- end --------------------------------------------------------------------------------------- */

void task_return(task *t, void *value, destroy_fn *destroy)
{
    if (t->destroy)
        t->destroy(t->value);
    t->outcome = FUTURE_OK;
    t->error = 0;
    t->value = value;
    t->destroy = destroy;
}

void task_fail(task *t, int error, void *detail, destroy_fn *destroy)
{
    task_return(t, detail, destroy);
    t->outcome = error == -ECANCELED ? FUTURE_CANCELLED : FUTURE_FAILED;
    t->error = error;
}

void task_end(task *t)
{
    struct scope *scope = t->scope;

    if (t->def->drop)
        t->def->drop(t->frame);
    future_settle(&t->future, t->outcome, t->error, t->value, t->destroy);
    scope_leave(scope, t);
    count(COUNT_TASKS, -1);
    future_drop(&t->future);
}

void task_end_cancelled(task *t)
{
    task_fail(t, -ECANCELED, NULL, NULL);
    task_end(t);
}

bool task_cancelled(const task *t)
{
    return atomic_load_explicit(&t->future.cancel_asked, memory_order_relaxed) ||
           scope_cancelled(t->scope) != 0;
}

/* -- on the loop ------------------------------------------------------------------------------- */

static void loop_task_resume(struct job *job)
{
    task *t = CONTAINER_OF(job, task, job);

    t->awaited = NULL;
    if (task_cancelled(t)) {
        if (!t->def->catches_cancel) {
            task_end_cancelled(t);
            return;
        }
        t->cancel_told = true;
    }
    current = t;
    int state = t->def->step(t, t->frame);
    current = NULL;
    if (state == TASK_FINISHED)
        task_end(t);
}

static void loop_task_fire(struct waiter *w)
{
    loop_post(&CONTAINER_OF(w, task, waiter)->job);
}

/* A task that is queued finds the request when it is resumed; one that is parked waits on, until
 * what it awaits has really ended. */
static void loop_task_cancel(future *f)
{
    task *t = (task *)f;

    if (t->awaited && !t->cancel_told)
        future_cancel(t->awaited);
}

int task_resume_point(const task *t)
{
    return t->resume_line;
}

bool task_await(task *t, future *f, int line)
{
    bool interrupted = task_cancelled(t) && !t->cancel_told;

    t->resume_line = line;
    if (future_settled(f) && !interrupted && ++t->ready_awaits < READY_AWAITS)
        return true;
    t->ready_awaits = 0;
    t->awaited = f;
    if (!future_add_waiter(f, &t->waiter))
        loop_post(&t->job);
    else if (interrupted)
        future_cancel(f);
    return false;
}

/* -- on a thread ------------------------------------------------------------------------------- */

void task_run_here(task *t)
{
    if (task_cancelled(t)) {
        task_end_cancelled(t);
        return;
    }
    current = t;
    t->def->run(t, t->frame);
    current = NULL;
    task_end(t);
}

static void thread_task_cancel(future *f)
{
    task *t = (task *)f;

    if (thread_pool_withdraw(t))
        task_end_cancelled(t);
}

/* -- in a process ------------------------------------------------------------------------------ */

static void process_task_submit(struct job *job)
{
    task *t = CONTAINER_OF(job, task, job);

    if (task_cancelled(t))
        task_end_cancelled(t);
    else
        process_pool_submit(t);
}

static void process_task_cancel(future *f)
{
    task *t = (task *)f;

    process_pool_cancel(t);
}

/* -- start ------------------------------------------------------------------------------------- */

static void task_release(future *f)
{
    free((task *)f);
}

static const struct future_class classes[] = {
    [ON_LOOP] = {.cancel = loop_task_cancel, .release = task_release},
    [ON_THREAD] = {.cancel = thread_task_cancel, .release = task_release},
    [ON_PROCESS] = {.cancel = process_task_cancel, .release = task_release},
};

/* What its executor, and a cancel request, find in a task. */
static void prepare(task *t)
{
    switch (t->def->where) {
    case ON_LOOP:
        t->waiter.fire = loop_task_fire;
        t->job.run = loop_task_resume;
        break;
    case ON_THREAD:
        list_init(&t->queued);
        break;
    case ON_PROCESS:
        list_init(&t->waiting);
        t->job.run = process_task_submit;
        break;
    }
}

static future *refuse(const struct task_def *def, void *frame, future *answer)
{
    if (def->drop)
        def->drop(frame);
    return answer;
}

future *task_start_in(struct scope *scope, const struct task_def *def, void *frame)
{
    if (async_start() < 0)
        return refuse(def, frame, future_cancelled());

    task *t = calloc(1, sizeof *t + def->frame_size);
    if (!t)
        return refuse(def, frame, future_out_of_memory());
    future_init(&t->future, &classes[def->where], 2);
    t->def = def;
    t->scope = scope ? scope : current ? current->scope : runtime_root();
    t->outcome = FUTURE_OK;
    if (def->frame_size > 0) /* without a frame, the pointer may be NULL */
        memcpy(t->frame, frame, def->frame_size);
    prepare(t);
    count(COUNT_TASKS, 1);

    if (scope_enter(t->scope, t, current && current->scope == t->scope) < 0) {
        count(COUNT_TASKS, -1);
        future_drop(&t->future);
        future_drop(&t->future);
        return refuse(def, frame, future_cancelled());
    }
    if (def->where == ON_THREAD)
        thread_pool_submit(t);
    else
        loop_post(&t->job);
    return &t->future;
}

future *task_start(const struct task_def *def, void *frame)
{
    return task_start_in(NULL, def, frame);
}
