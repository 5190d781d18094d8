/*
 * bench_async NAME...: measures the future layer, or the bare loop beside it, and prints a line
 * "NAME VALUE" each: nanoseconds an operation, for memory.* bytes a task. README.md tells what they
 * mean. Without a name it lists them.
 *
 *   loop, then, thread, process    ours; each is a loop task that starts and awaits others
 *   parked                         one million tasks that wait
 *   bare.*                         bare.c
 */
#include "bench/async/bare.h"
#include "bench/async/measure.h"
#include "core/async/async.h"

#include <errno.h>
#include <malloc.h>
#include <unistd.h>

/* -- loops of awaits --------------------------------------------------------------------------- */

/* Does `n` operations: starts one, awaits it, and so on. */
struct one_by_one {
    future *(*start)(void);
    uint64_t n;
    future *running;
};

static int one_by_one_step(task *t, void *frame)
{
    struct one_by_one *o = frame;

    BEGIN(t);
    while (o->n-- > 0) {
        AWAIT(t, o->running, o->start());
        if (!future_ok(o->running))
            die("a task failed");
    }
    END(t);
}

static void one_by_one_drop(void *frame)
{
    future_drop(((struct one_by_one *)frame)->running);
}

TASK(one_by_one, ON_LOOP, sizeof(struct one_by_one), .step = one_by_one_step,
     .drop = one_by_one_drop);

/* Does `n` operations: starts `width`, awaits them all, and so on. */
struct all_at_once {
    future *(*start)(void);
    uint64_t n;
    size_t width, next;
    future *running[BATCH];
};

static int all_at_once_step(task *t, void *frame)
{
    struct all_at_once *a = frame;

    BEGIN(t);
    for (; a->n > 0; a->n -= a->width) {
        for (size_t i = 0; i < a->width; i++)
            a->running[i] = a->start();
        for (a->next = 0; a->next < a->width; a->next++) {
            AWAIT(t, a->running[a->next], future_ref(a->running[a->next]));
            if (!future_ok(a->running[a->next]))
                die("a task failed");
        }
        for (size_t i = 0; i < a->width; i++)
            a->running[i] = future_drop(a->running[i]);
    }
    END(t);
}

static void all_at_once_drop(void *frame)
{
    struct all_at_once *a = frame;

    for (size_t i = 0; i < a->width; i++)
        future_drop(a->running[i]);
}

TASK(all_at_once, ON_LOOP, sizeof(struct all_at_once), .step = all_at_once_step,
     .drop = all_at_once_drop);

static void finish(future *f)
{
    if (future_wait(f, CLOCK_NEVER) < 0 || !future_ok(f))
        die("the task that measures failed");
    future_drop(f);
}

static uint64_t run_one_by_one(uint64_t n, future *start(void))
{
    finish(task_start(&one_by_one, &(struct one_by_one){.start = start, .n = n}));
    return n;
}

static uint64_t run_batches(uint64_t n, future *start(void))
{
    n = (n + BATCH - 1) / BATCH * BATCH;
    finish(task_start(&all_at_once, &(struct all_at_once){.start = start, .n = n, .width = BATCH}));
    return n;
}

/* -- loop tasks -------------------------------------------------------------------------------- */

static int nothing_step(task *t, void *frame)
{
    (void)frame;
    BEGIN(t);
    END(t);
}

TASK(nothing, ON_LOOP, 0, .step = nothing_step);

static future *start_nothing(void)
{
    return task_start(&nothing, NULL);
}

static uint64_t loop_one(uint64_t n)
{
    return run_one_by_one(n, start_nothing);
}

static uint64_t loop_batch(uint64_t n)
{
    return run_batches(n, start_nothing);
}

/* -- continuations ----------------------------------------------------------------------------- */

/* A chain whose links are ready when they are made: each makes the next. */
struct ready_chain {
    uint64_t left;
    promise *end;
};

static void ready_link(future *done, promise *next, void *arg)
{
    struct ready_chain *chain = arg;

    if (--chain->left > 0)
        future_drop(future_then(done, EXECUTOR_LOOP, ready_link, chain));
    else
        promise_drop(chain->end);
    promise_resolve(next, NULL, NULL);
    promise_drop(next);
}

static uint64_t then_ready(uint64_t n)
{
    struct ready_chain chain = {.left = n};
    future *end;

    chain.end = promise_new(&end);
    if (!chain.end)
        die("no memory");
    future_drop(future_then(future_done(), EXECUTOR_LOOP, ready_link, &chain));
    future_wait(end, CLOCK_NEVER); /* the promise was dropped: -EOWNERDEAD */
    future_drop(end);
    return n;
}

/* Chains of BATCH links whose head is settled when they are complete. */
static void link_done(future *done, promise *next, void *arg)
{
    (void)done;
    (void)arg;
    promise_resolve(next, NULL, NULL);
    promise_drop(next);
}

static future *start_chain(void)
{
    future *tail;
    promise *head = promise_new(&tail);

    if (!head)
        die("no memory");
    for (int i = 0; i < BATCH; i++) {
        future *longer = future_then(tail, EXECUTOR_LOOP, link_done, NULL);
        future_drop(tail);
        tail = longer;
    }
    promise_resolve(head, NULL, NULL);
    promise_drop(head);
    return tail;
}

static uint64_t then_pending(uint64_t n)
{
    uint64_t chains = (n + BATCH - 1) / BATCH;

    run_one_by_one(chains, start_chain);
    return chains * BATCH;
}

/* -- threads ----------------------------------------------------------------------------------- */

static void idle_run(task *t, void *frame)
{
    (void)t;
    (void)frame;
}

TASK(idle, ON_THREAD, 0, .run = idle_run);

static future *start_idle(void)
{
    return task_start(&idle, NULL);
}

static uint64_t thread_one(uint64_t n)
{
    return run_one_by_one(n, start_idle);
}

static uint64_t thread_batch(uint64_t n)
{
    return run_batches(n, start_idle);
}

/* -- processes --------------------------------------------------------------------------------- */

/* As tasks are in practice: with a timeout, and a reply that is checked and copied. */
struct sum {
    size_t length;
};

static ssize_t sum_pack(void *frame, char *request, size_t capacity)
{
    const struct sum *s = frame;

    if (s->length > capacity)
        return -1;
    memcpy(request, payload, s->length);
    return (ssize_t)s->length;
}

static ssize_t sum_serve(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity)
{
    uint64_t sum = touch(request);

    (void)deadline_ns;
    (void)capacity;
    memset(reply, 0, REPLY_BYTES);
    memcpy(reply, &sum, sizeof sum);
    return REPLY_BYTES;
}

static void sum_unpack(task *t, void *frame, struct bytes reply)
{
    void *copy = reply.len == REPLY_BYTES ? malloc(REPLY_BYTES) : NULL;

    (void)frame;
    if (copy)
        task_return(t, memcpy(copy, reply.ptr, REPLY_BYTES), free);
    else
        task_fail(t, -1, NULL, NULL);
}

TASK(sum, ON_PROCESS, sizeof(struct sum), .pack = sum_pack, .serve = sum_serve,
     .unpack = sum_unpack, .timeout_ms = 1000, .idempotent = true);

static future *start_small(void)
{
    return task_start(&sum, &(struct sum){.length = REPLY_BYTES});
}

static future *start_large(void)
{
    return task_start(&sum, &(struct sum){.length = LARGE_BYTES});
}

static uint64_t process_small(uint64_t n)
{
    return run_one_by_one(n, start_small);
}

static uint64_t process_large(uint64_t n)
{
    return run_one_by_one(n, start_large);
}

static future *start_one_of_many(void *arg, size_t index)
{
    const size_t *length = arg;

    (void)index;
    return task_start(&sum, &(struct sum){.length = *length});
}

static uint64_t process_many(uint64_t n, size_t length)
{
    finish(map_in(NULL, n, IN_FLIGHT, start_one_of_many, &length));
    return n;
}

static uint64_t processes_small(uint64_t n)
{
    return process_many(n, REPLY_BYTES);
}

static uint64_t processes_large(uint64_t n)
{
    return process_many(n, LARGE_BYTES);
}

/* -- parked tasks ------------------------------------------------------------------------------ */

enum { PARKED = 1000 * 1000 };

struct park {
    future *gate;
};

static int park_step(task *t, void *frame)
{
    struct park *p = frame;

    BEGIN(t);
    AWAIT(t, p->gate, future_ref(p->gate));
    END(t);
}

static void park_drop(void *frame)
{
    future_drop(((struct park *)frame)->gate);
}

TASK(park, ON_LOOP, sizeof(struct park), .step = park_step, .drop = park_drop);

/* Parks them: the last task, which parks nobody, runs after all of them have. */
struct crowd {
    struct scope *scope;
    future *gate, *last;
};

static int crowd_step(task *t, void *frame)
{
    struct crowd *c = frame;

    BEGIN(t);
    for (int i = 0; i < PARKED; i++)
        future_drop(task_start_in(c->scope, &park, &(struct park){future_ref(c->gate)}));
    AWAIT(t, c->last, start_nothing());
    END(t);
}

static void crowd_drop(void *frame)
{
    future_drop(((struct crowd *)frame)->last);
}

TASK(crowd, ON_LOOP, sizeof(struct crowd), .step = crowd_step, .drop = crowd_drop);

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* The second number of /proc/self/statm, in pages. */
static size_t resident_bytes(void)
{
    char line[128], *resident;
    FILE *statm = fopen("/proc/self/statm", "re");

    if (!statm || !fgets(line, sizeof line, statm))
        die("no statm");
    fclose(statm);
    (void)strtoul(line, &resident, 10);
    return strtoul(resident, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

static void parked(void)
{
    future *gate;
    promise *p = promise_new(&gate);
    struct scope *scope = scope_new(CLOCK_NEVER, 0);

    if (!p || !scope)
        die("no memory");
    finish(start_nothing()); /* the loop thread and its heap are there */

    size_t heap = heap_bytes(), resident = resident_bytes();
    uint64_t start = clock_now_ns();
    finish(task_start(&crowd, &(struct crowd){.scope = scope, .gate = gate}));
    uint64_t parked_at = clock_now_ns();
    if (async_counts().tasks != PARKED)
        die("not all are parked");
    printf("parked.heap_bytes %.1f\n", (double)(heap_bytes() - heap) / PARKED);
    printf("parked.rss_bytes %.1f\n", (double)(resident_bytes() - resident) / PARKED);
    printf("parked.start_ns %.1f\n", (double)(parked_at - start) / PARKED);

    start = clock_now_ns();
    scope_cancel(scope, -ECANCELED);
    future *closed = scope_close(scope);
    finish(closed);
    printf("parked.cancel_ns %.1f\n", (double)(clock_now_ns() - start) / PARKED);
    if (async_counts().tasks != 0)
        die("not all have ended");
    promise_drop(p);
    future_drop(gate);
    scope_drop(scope);
}

/* -- the program ------------------------------------------------------------------------------- */

static const struct measurement measurements[] = {
    {"loop.one", loop_one},
    {"loop.batch", loop_batch},
    {"then.ready", then_ready},
    {"then.pending", then_pending},
    {"thread.one", thread_one},
    {"thread.batch", thread_batch},
    {"process.small", process_small},
    {"process.large", process_large},
    {"processes.small", processes_small},
    {"processes.large", processes_large},
    {"bare.queue_one", bare_queue_one},
    {"bare.queue_batch", bare_queue_batch},
    {"bare.condvar", bare_condvar},
    {"bare.recv_small", bare_recv_small},
    {"bare.recv_large", bare_recv_large},
    {"bare.epoll_small", bare_epoll_small},
    {"bare.epoll_large", bare_epoll_large},
    {"bare.processes_small", bare_processes_small},
    {"bare.processes_large", bare_processes_large},
};

enum { MEASUREMENTS = sizeof measurements / sizeof measurements[0] };

static void measure_by_name(const char *name)
{
    int i = 0;

    if (strcmp(name, "parked") == 0) {
        parked();
        return;
    }
    while (i < MEASUREMENTS && strcmp(measurements[i].name, name) != 0)
        i++;
    if (i == MEASUREMENTS)
        die(name);
    measure(&measurements[i]);
}

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    memset(payload, 'x', sizeof payload); /* untouched, all of it would be one page of zeros */
    for (int i = 1; i < argc; i++)
        measure_by_name(argv[i]);
    if (argc == 1) {
        for (int i = 0; i < MEASUREMENTS; i++)
            puts(measurements[i].name);
        puts("parked");
    }
    return async_stop() < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
