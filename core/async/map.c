#include "core/async/map.h"

#include "core/async/internal.h"

#include <errno.h>
#include <stdlib.h>

/* One of the futures under way. Its end comes as a job, so a map's state is the loop's alone. */
struct slot {
    struct waiter waiter;
    struct job job;
    struct map *map;
    future *future; /* NULL: the slot is free */
    struct slot *next_free;
};

struct map {
    size_t count, limit, next, running;
    map_fn *start;
    void *arg;
    struct slot *slots, *free_slots;
    size_t slots_used;
    promise *room; /* while the task is parked */
    future *roomy;
    bool told;
};

static void slot_ended(struct job *job)
{
    struct slot *slot = CONTAINER_OF(job, struct slot, job);
    struct map *m = slot->map;

    slot->future = future_drop(slot->future);
    slot->next_free = m->free_slots;
    m->free_slots = slot;
    m->running--;
    if (m->room) {
        promise_resolve(m->room, NULL, NULL);
        m->room = promise_drop(m->room);
    }
}

static void slot_fire(struct waiter *w)
{
    loop_post(&CONTAINER_OF(w, struct slot, waiter)->job);
}

static void start_one(struct map *m)
{
    struct slot *slot = m->free_slots;

    if (slot)
        m->free_slots = slot->next_free;
    else
        slot = &m->slots[m->slots_used++];
    slot->waiter.fire = slot_fire;
    slot->job.run = slot_ended;
    slot->map = m;
    m->running++;
    slot->future = m->start(m->arg, m->next++);
    if (!future_add_waiter(slot->future, &slot->waiter))
        loop_post(&slot->job);
}

static future *room(struct map *m)
{
    future *f;

    m->room = promise_new(&f);
    /* Without memory to park on, come back in the next turns: awaiting a settled future yields. */
    return m->room ? f : future_out_of_memory();
}

static int map_step(task *t, void *frame)
{
    struct map *m = frame;

    BEGIN(t);
    m->slots = calloc(m->limit, sizeof *m->slots);
    if (!m->slots) {
        task_fail(t, -ENOMEM, NULL, NULL);
        return TASK_FINISHED;
    }
    for (;;) {
        while (!task_cancelled(t) && m->running < m->limit && m->next < m->count)
            start_one(m);
        if (task_cancelled(t) && !m->told) {
            m->told = true;
            for (size_t i = 0; i < m->slots_used; i++)
                if (m->slots[i].future)
                    future_cancel(m->slots[i].future);
        }
        if (m->running == 0)
            break;
        AWAIT(t, m->roomy, room(m));
        m->room = promise_drop(m->room); /* still there when the wait was cancelled */
    }
    if (task_cancelled(t))
        task_fail(t, -ECANCELED, NULL, NULL);
    END(t);
}

static void map_drop(void *frame)
{
    struct map *m = frame;

    future_drop(m->roomy);
    if (m->room)
        promise_cancel(m->room);
    promise_drop(m->room);
    free(m->slots);
}

TASK(map_task, ON_LOOP, sizeof(struct map), .step = map_step, .drop = map_drop,
     .catches_cancel = true);

future *map_in(struct scope *scope, size_t count, size_t limit, map_fn *start, void *arg)
{
    if (limit > count)
        limit = count;
    if (limit == 0)
        limit = 1;
    return task_start_in(scope, &map_task,
                         &(struct map){.count = count, .limit = limit, .start = start, .arg = arg});
}
