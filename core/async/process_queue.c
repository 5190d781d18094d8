#include "core/async/process_queue.h"

#include "core/async/internal.h"

#include <stdlib.h>

static struct {
    struct rotation queued, parked; /* scope_line.turn */
    size_t limit, bytes;            /* what it may hold, and what it holds */
    struct list rooms;              /* those who wait for room, in order of their coming */
    size_t promised;                /* bytes that were told of room, and have not come yet */
} queue;

/* -- lines in rotation ------------------------------------------------------------------------- */

static void line_init(struct scope_line *line)
{
    list_init(&line->tasks);
    rotation_member_init(&line->turn);
}

void scope_queue_init(struct scope_queue *s)
{
    line_init(&s->queued);
    line_init(&s->parked);
}

void scope_queue_end(struct scope_queue *s)
{
    rotation_remove(&queue.queued, &s->queued.turn);
    rotation_remove(&queue.parked, &s->parked.turn);
}

static struct scope_line *line_of(const task *t)
{
    struct scope_queue *s = scope_queue_of(t->scope);

    return t->parked ? &s->parked : &s->queued;
}

static void append(struct rotation *turns, task *t)
{
    struct scope_line *line = line_of(t);

    list_push_back(&line->tasks, &t->waiting);
    rotation_enter(turns, &line->turn);
}

static task *first(struct rotation *turns)
{
    struct rotation_member *turn = rotation_next(turns);

    if (!turn)
        return NULL;
    const struct scope_line *line = CONTAINER_OF(turn, struct scope_line, turn);
    return CONTAINER_OF(line->tasks.next, task, waiting);
}

/* Takes `t` out of its line, which was its turn, or not. */
static void take(struct rotation *turns, task *t, bool its_turn)
{
    struct scope_line *line = line_of(t);

    list_remove(&t->waiting);
    if (its_turn)
        rotation_served(turns, &line->turn);
    if (list_empty(&line->tasks))
        rotation_rest(turns, &line->turn);
}

/* -- what is in the queue ---------------------------------------------------------------------- */

static void enter(task *t)
{
    queue.bytes += t->queued_bytes;
    queue.promised -= t->queued_bytes < queue.promised ? t->queued_bytes : queue.promised;
    t->since_ticks = task_ticks(loop_now_ns());
    count(COUNT_QUEUED, 1);
    count(COUNT_QUEUED_BYTES, (long)t->queued_bytes);
}

static void leave(task *t, bool its_turn)
{
    take(&queue.queued, t, its_turn);
    queue.bytes -= t->queued_bytes;
    count(COUNT_QUEUED, -1);
    count(COUNT_QUEUED_BYTES, -(long)t->queued_bytes);
}

static void park(task *t)
{
    t->parked = true;
    t->since_ticks = task_ticks(loop_now_ns());
    append(&queue.parked, t);
    count(COUNT_PARKED, 1);
}

static void unpark(task *t, bool its_turn)
{
    take(&queue.parked, t, its_turn);
    t->parked = false;
    count(COUNT_PARKED, -1);
}

/* Whether `bytes` more may come, when `others` are on their way. */
static bool fits(size_t bytes, size_t others)
{
    return process_queue_empty() || (bytes <= queue.limit && others <= queue.limit - bytes &&
                                     queue.bytes <= queue.limit - bytes - others);
}

/* -- room -------------------------------------------------------------------------------------- */

struct room {
    struct list link;
    struct job ask;
    promise *promise;
    size_t bytes;
};

static void room_end(struct room *r)
{
    list_remove(&r->link);
    promise_drop(r->promise);
    free(r);
}

/*
 * What was told of room is on its way, and counts; so not all who wait come for the same bytes. It
 * may be less, or never come: a task that enters stands for it, and so does the empty queue.
 */
static void grant_room(void)
{
    if (process_queue_empty())
        queue.promised = 0;
    while (!rotation_is_wanted(&queue.parked) && !list_empty(&queue.rooms)) {
        struct room *r = CONTAINER_OF(queue.rooms.next, struct room, link);
        if (!fits(r->bytes, queue.promised))
            break;
        queue.promised += r->bytes < queue.limit ? r->bytes : queue.limit;
        if (scope_cancelled(runtime_root())) /* the runtime ends */
            promise_cancel(r->promise);
        else
            promise_resolve(r->promise, NULL, NULL);
        room_end(r);
    }
}

static void room_asked(struct job *job)
{
    struct room *r = CONTAINER_OF(job, struct room, ask);

    list_push_back(&queue.rooms, &r->link);
    grant_room();
}

/* The request is carried out after room_asked(), which was posted before. */
static void room_cancelled(promise *p, void *arg)
{
    promise_cancel(p);
    room_end(arg);
    grant_room(); /* it may have stood in the way of others */
}

future *process_room(size_t bytes)
{
    struct room *r = malloc(sizeof *r);
    future *f = NULL;
    promise *p = r ? promise_new(&f) : NULL;

    if (!p) {
        free(r);
        return future_out_of_memory();
    }
    *r = (struct room){.ask.run = room_asked, .promise = p, .bytes = bytes};
    list_init(&r->link);
    promise_on_cancel(p, room_cancelled, r);
    loop_post(&r->ask);
    return f;
}

/* -- the door ---------------------------------------------------------------------------------- */

/* Lets in whom there is room for now: those who are parked, then those who ask before they come. */
static void admit(void)
{
    for (task *t; (t = first(&queue.parked)) && fits(t->queued_bytes, 0);) {
        unpark(t, true);
        append(&queue.queued, t);
        enter(t);
    }
    grant_room();
}

static uint32_t size_of(const task *t)
{
    size_t size = t->def->size ? t->def->size(t->frame) : t->def->frame_size;

    return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

bool process_queue_empty(void)
{
    return !rotation_is_wanted(&queue.queued);
}

void process_queue_push(task *t)
{
    t->queued_bytes = size_of(t);
    if (!rotation_is_wanted(&queue.parked) && fits(t->queued_bytes, 0)) {
        append(&queue.queued, t);
        enter(t);
    } else {
        park(t);
    }
}

void process_queue_push_again(task *t)
{
    struct scope_line *line = line_of(t);

    t->queued_bytes = size_of(t);
    list_push_front(&line->tasks, &t->waiting);
    rotation_enter_first(&queue.queued, &line->turn);
    enter(t);
}

task *process_queue_pop(void)
{
    task *t = first(&queue.queued);

    if (t) {
        leave(t, true);
        admit();
    }
    return t;
}

bool process_queue_withdraw(task *t)
{
    if (list_empty(&t->waiting))
        return false;
    if (t->parked)
        unpark(t, false);
    else
        leave(t, false);
    admit();
    return true;
}

/* -- life -------------------------------------------------------------------------------------- */

void process_queue_configure(size_t limit)
{
    queue.limit = limit;
    queue.bytes = queue.promised = 0;
    rotation_init(&queue.queued);
    rotation_init(&queue.parked);
    list_init(&queue.rooms);
}
