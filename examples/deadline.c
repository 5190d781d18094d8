/*
 * deadline: three tasks that would never end, and a scope that ends them all.
 *
 * One waits on the loop, one blocks a thread, one spins in a process. At the deadline the first is
 * interrupted where it waits, the second sees that it is cancelled and leaves, the third has its
 * process killed. The scope's future settles when nothing of them runs any more, not earlier.
 *
 *     make examples && build/release/examples/deadline
 */
#include "core/async/async.h"
#include "core/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DEADLINE_MS = 300 };

static int wait_step(task *t, void *frame)
{
    future **forever = frame;

    BEGIN(t);
    AWAIT(t, *forever, future_at(CLOCK_NEVER));
    END(t);
}

static void wait_drop(void *frame)
{
    future_drop(*(future **)frame);
}

TASK(wait_task, ON_LOOP, sizeof(future *), .step = wait_step, .drop = wait_drop);

/* Nothing interrupts a thread from outside: one that blocks does so in pieces, and asks between. */
static void block_run(task *t, void *frame)
{
    (void)frame;
    while (!task_cancelled(t))
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    task_fail(t, -ECANCELED, NULL, NULL);
}

TASK(block_task, ON_THREAD, 0, .run = block_run);

static ssize_t spin_pack(void *frame, char *request, size_t capacity)
{
    (void)frame, (void)request, (void)capacity;
    return 0;
}

static ssize_t spin_serve(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity)
{
    (void)request, (void)deadline_ns, (void)reply, (void)capacity;
    for (volatile int forever = 1; forever;)
        continue;
    return 0;
}

static void spin_unpack(task *t, void *frame, struct bytes reply)
{
    (void)t, (void)frame, (void)reply;
}

TASK(spin_task, ON_PROCESS, 0, .pack = spin_pack, .serve = spin_serve, .unpack = spin_unpack);

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    static const char *const states[] = {"pending", "ok", "failed", "cancelled"};
    static const char *const names[] = {"loop", "thread", "process"};
    uint64_t start = async_now_ns();
    struct scope *scope = scope_new(clock_after_ms(start, DEADLINE_MS), 0);
    future *tasks[] = {
        task_start_in(scope, &wait_task, &(future *){NULL}),
        task_start_in(scope, &block_task, NULL),
        task_start_in(scope, &spin_task, NULL),
    };
    future *end = scope_close(scope);

    future_wait(end, CLOCK_NEVER);
    for (int i = 0; i < 3; i++) {
        printf("%-8s %s\n", names[i], states[future_state(tasks[i])]);
        future_drop(tasks[i]);
    }
    printf("after %" PRIu64 " ms: %s\n", (async_now_ns() - start) / NS_PER_MS,
           strerrorname_np(-scope_cancelled(scope)));
    future_drop(end);
    scope_drop(scope);
    return async_stop() < 0;
}
