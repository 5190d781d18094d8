/*
 * Walks the tree of scopes twice, on the loop thread: once to count the tasks by kind and place and
 * to find those that have been longest where they are, once to find the names of these ones'
 * parents.
 */
#include "core/async/debug.h"

#include "core/async/internal.h"
#include "core/base/buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum state { QUEUED, RUNNING, PARKED, IN_WORKER, STATES };

/* The ways of a task to be somewhere; how many are there. */
struct kind {
    const struct task_def *def;
    enum state state;
    int line; /* where it is parked; else 0 */
    size_t count;
    uint32_t longest_ticks;
};

/* One of those that are listed. */
struct entry {
    const struct task_def *def;
    enum state state;
    int line;
    uint32_t id, parent, ticks;
    const char *parent_name; /* NULL: it has ended */
    const char *awaited_name;
    uint32_t awaited_id;
};

struct dump {
    struct job job;
    promise *promise;
    uint32_t now_ticks;
    size_t counts[STATES], all;
    struct kind *kinds;
    size_t kind_count, kind_capacity;
    struct entry *entries; /* the longest there first */
    size_t entry_count, limit;
    bool failed; /* memory is exhausted */
};

/* -- what a task does -------------------------------------------------------------------------- */

static struct entry describe(const task *t, uint32_t now_ticks)
{
    struct entry e = {.def = t->def, .state = QUEUED, .id = t->id, .parent = t->parent};
    uint32_t since = 0;

    switch (t->def->where) {
    case ON_LOOP:
        since = t->since_ticks;
        if (t->awaited) {
            const task *awaited = task_of(t->awaited);
            e.state = PARKED;
            e.line = t->resume_line;
            e.awaited_name = awaited ? awaited->def->name : NULL;
            e.awaited_id = awaited ? awaited->id : 0;
        }
        break;
    case ON_THREAD:
        if (thread_pool_describe(t, &since))
            e.state = RUNNING;
        break;
    case ON_PROCESS:
        since = t->since_ticks;
        if (t->worker)
            e.state = IN_WORKER;
        break;
    }
    e.ticks = now_ticks - since;
    return e;
}

/* -- counting ---------------------------------------------------------------------------------- */

static void count_kind(struct dump *d, const struct entry *e)
{
    struct kind *k = d->kinds, *end = d->kinds + d->kind_count;

    while (k < end && (k->def != e->def || k->state != e->state || k->line != e->line))
        k++;
    if (k == end) {
        if (d->kind_count == d->kind_capacity) {
            size_t capacity = d->kind_capacity ? 2 * d->kind_capacity : 16;
            struct kind *kinds = realloc(d->kinds, capacity * sizeof *kinds);
            if (!kinds) {
                d->failed = true;
                return;
            }
            d->kinds = kinds;
            d->kind_capacity = capacity;
        }
        k = &d->kinds[d->kind_count++];
        *k = (struct kind){.def = e->def, .state = e->state, .line = e->line};
    }
    k->count++;
    if (e->ticks > k->longest_ticks)
        k->longest_ticks = e->ticks;
}

static void list_longest(struct dump *d, const struct entry *e)
{
    size_t at = d->entry_count;

    while (at > 0 && d->entries[at - 1].ticks < e->ticks)
        at--;
    if (at == d->limit)
        return;
    d->entry_count += d->entry_count < d->limit;
    memmove(&d->entries[at + 1], &d->entries[at], (d->entry_count - 1 - at) * sizeof *e);
    d->entries[at] = *e;
}

static void take_task(task *t, void *arg)
{
    struct dump *d = arg;
    struct entry e = describe(t, d->now_ticks);

    d->all++;
    d->counts[e.state]++;
    count_kind(d, &e);
    list_longest(d, &e);
}

static void name_parent(task *t, void *arg)
{
    const struct dump *d = arg;

    for (size_t i = 0; i < d->entry_count; i++)
        if (d->entries[i].parent == t->id)
            d->entries[i].parent_name = t->def->name;
}

/* -- writing ----------------------------------------------------------------------------------- */

static const char *const state_names[] = {
    [QUEUED] = "queued", [RUNNING] = "running", [PARKED] = "parked", [IN_WORKER] = "in a worker"};

static double seconds(uint32_t ticks)
{
    return (double)((uint64_t)ticks << 20) / 1e9;
}

static void write_place(struct buffer *b, const struct task_def *def, enum state state, int line)
{
    buffer_printf(b, "%s", state_names[state]);
    if (line)
        buffer_printf(b, " at %s:%d", def->file, line);
}

static void write_entry(struct buffer *b, const struct entry *e)
{
    buffer_printf(b, "#%u %s", e->id, e->def->name);
    if (e->parent)
        buffer_printf(b, " (of #%u %s)", e->parent, e->parent_name ? e->parent_name : "ended");
    buffer_byte(b, ' ');
    write_place(b, e->def, e->state, e->line);
    buffer_printf(b, " for %.3f s", seconds(e->ticks));
    if (e->awaited_name)
        buffer_printf(b, ", awaits #%u %s", e->awaited_id, e->awaited_name);
    buffer_byte(b, '\n');
}

static int by_count(const void *a, const void *b)
{
    const struct kind *left = a, *right = b;

    return (left->count < right->count) - (left->count > right->count);
}

static void write_all(struct buffer *b, struct dump *d)
{
    buffer_printf(b, "%zu tasks: %zu running, %zu queued, %zu parked, %zu in workers\n", d->all,
                  d->counts[RUNNING], d->counts[QUEUED], d->counts[PARKED], d->counts[IN_WORKER]);
    if (d->kind_count > 0)
        qsort(d->kinds, d->kind_count, sizeof *d->kinds, by_count);
    for (const struct kind *k = d->kinds; k < d->kinds + d->kind_count; k++) {
        buffer_printf(b, "%zu %s ", k->count, k->def->name);
        write_place(b, k->def, k->state, k->line);
        buffer_printf(b, ", up to %.3f s\n", seconds(k->longest_ticks));
    }
    for (size_t i = 0; i < d->entry_count; i++)
        write_entry(b, &d->entries[i]);
    buffer_byte(b, '\0');
}

/* -- the whole --------------------------------------------------------------------------------- */

static void run_dump(struct job *job)
{
    struct dump *d = CONTAINER_OF(job, struct dump, job);
    struct buffer text = {0};

    size_t alive = (size_t)async_counts().tasks;

    if (d->limit > alive)
        d->limit = alive;
    d->now_ticks = task_ticks(async_now_ns());
    d->entries = malloc((d->limit + 1) * sizeof *d->entries);
    if (d->entries)
        scope_for_each_task(runtime_root(), take_task, d);
    if (d->entries && !d->failed) {
        scope_for_each_task(runtime_root(), name_parent, d);
        write_all(&text, d);
    }
    if (!d->entries || d->failed || text.failed) {
        buffer_free(&text);
        promise_fail(d->promise, -ENOMEM, NULL, NULL);
    } else {
        promise_resolve(d->promise, buffer_take(&text, &(size_t){0}), free);
    }
    promise_drop(d->promise);
    free(d->kinds);
    free(d->entries);
    free(d);
}

static void not_cancelled(promise *p, void *arg)
{
    (void)p;
    (void)arg;
}

future *async_dump(size_t limit)
{
    struct dump *d = malloc(sizeof *d);
    future *f = NULL;
    promise *p = d ? promise_new(&f) : NULL;

    if (!p) {
        free(d);
        return future_out_of_memory();
    }
    *d = (struct dump){.job.run = run_dump, .promise = p, .limit = limit};
    promise_on_cancel(p, not_cancelled, NULL);
    loop_post(&d->job);
    return f;
}
