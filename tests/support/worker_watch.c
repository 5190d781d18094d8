#include "tests/support/worker_watch.h"

#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- from outside ------------------------------------------------------------------------------ */

static void read_file_of(pid_t pid, const char *name, char *text, size_t capacity)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(text, 1, capacity - 1, file) : 0;
    text[n] = '\0';
    if (file)
        fclose(file);
}

static size_t resident_of(pid_t pid)
{
    char statm[256];

    read_file_of(pid, "statm", statm, sizeof statm);
    const char *resident = strchr(statm, ' ');
    return resident ? strtoul(resident, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

void workers_look(struct workers *w)
{
    w->count = children(w->pids, sizeof w->pids / sizeof *w->pids);
    w->largest = 0;
    for (size_t i = 0; i < w->count; i++) {
        size_t resident = resident_of(w->pids[i]);
        w->largest = resident > w->largest ? resident : w->largest;
    }
}

void workers_kill(const struct workers *w)
{
    for (size_t i = 0; i < w->count; i++)
        kill_and_see_it_end(w->pids[i]);
}

void workers_kill_in_one_turn(const struct workers *w)
{
    struct gate gate;

    gate_close(&gate);
    workers_kill(w);
    gate_open(&gate);
}

/* Once it is confined, it waits for nothing but its next call. */
static bool sleeps(const struct workers *w, size_t i)
{
    char status[4096];

    read_file_of(w->pids[i], "status", status, sizeof status);
    return strstr(status, "Seccomp:\t2") && strstr(status, "State:\tS");
}

/* Half of it is there before all is; no worker grows by that much for another reason. */
static bool has_grown(const struct workers *w, size_t i)
{
    return resident_of(w->pids[i]) >= w->largest + GROWN_BYTES / 2;
}

/* No event tells of it: looks again and again until `so` holds for `count` of them. */
static void await(const struct workers *w, bool (*so)(const struct workers *w, size_t i),
                  size_t count)
{
    uint64_t give_up = now_ms() + PATIENCE_MS;
    size_t those = 0;

    while (those < count && now_ms() < give_up) {
        sched_yield();
        those = 0;
        for (size_t i = 0; i < w->count; i++)
            those += so(w, i);
    }
    ck_assert_uint_ge(those, count);
}

void workers_await_sleep(const struct workers *w)
{
    await(w, sleeps, w->count);
}

void workers_await_growth(const struct workers *w)
{
    await(w, has_grown, 1);
}

future *start_serving(const struct task_def *def, enum deed deed, struct workers *ret_workers)
{
    static atomic_int packs;

    packs = 0;
    warm_up();
    workers_look(ret_workers);
    future *f = task_start(def, &(struct call){.order = {deed, 0}, .packs = &packs});
    workers_await_growth(ret_workers);
    return f;
}

/* -- holding up the loop ----------------------------------------------------------------------- */

static int hold_step(task *t, void *frame)
{
    struct gate *gate = *(struct gate **)frame;

    (void)t;
    sem_post(&gate->there);
    sem_wait(&gate->open);
    return TASK_FINISHED;
}

TASK(hold_task, ON_LOOP, sizeof(struct gate *), .step = hold_step);

struct closing {
    struct gate *gate;
    void (*fn)(void *arg);
    void *arg;
};

/* What `fn` posts runs before the task that is started after it. */
static int close_step(task *t, void *frame)
{
    struct closing *c = frame;

    (void)t;
    c->fn(c->arg);
    c->gate->held = task_start(&hold_task, &c->gate);
    return TASK_FINISHED;
}

TASK(close_task, ON_LOOP, sizeof(struct closing), .step = close_step);

static void nothing(void *arg)
{
    (void)arg;
}

void gate_close_after(struct gate *gate, void (*fn)(void *arg), void *arg)
{
    sem_init(&gate->there, 0, 0);
    sem_init(&gate->open, 0, 0);
    future_drop(task_start(&close_task, &(struct closing){gate, fn, arg}));
    sem_wait(&gate->there);
}

void gate_close(struct gate *gate)
{
    gate_close_after(gate, nothing, NULL);
}

void gate_open(struct gate *gate)
{
    sem_post(&gate->open);
    expect_ok(gate->held);
    sem_destroy(&gate->there);
    sem_destroy(&gate->open);
}
