/*
 * pipeline: which number up to 1000 takes the most steps to reach 1, by Collatz's rule?
 *
 *     map, 4 at a time                         channel of 8        consumer
 *     search: count_steps (thread), then put ──▶ │ │ │ │ ──────────▶ choose
 *
 * Nothing piles up: a full channel parks whoever puts, and the map starts no more while its 4 are
 * under way.
 *
 *     make examples && build/release/examples/pipeline
 */
#include "core/async/async.h"
#include "core/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBERS = 1000, AT_A_TIME = 4, CAPACITY = 8 };

static struct channel *found; /* of futures, whose values are counts */

struct count {
    unsigned number, steps;
};

/* -- count_steps: on a thread ------------------------------------------------------------------ */

static void count_steps_run(task *t, void *frame)
{
    struct count *count = calloc(1, sizeof *count);

    if (!count) {
        task_fail(t, -ENOMEM, NULL, NULL);
        return;
    }
    count->number = *(unsigned *)frame;
    for (unsigned long n = count->number; n > 1; n = n % 2 ? 3 * n + 1 : n / 2)
        count->steps++;
    task_return(t, count, free);
}

TASK(count_steps_task, ON_THREAD, sizeof(unsigned), .run = count_steps_run);

/* -- search: one number, on the loop ----------------------------------------------------------- */

struct search {
    unsigned number;
    future *count, *put;
};

static unsigned under_way, most_under_way;

static int search_step(task *t, void *frame)
{
    struct search *s = frame;

    BEGIN(t);
    AWAIT(t, s->count, task_start(&count_steps_task, &s->number));
    AWAIT(t, s->put, channel_put(found, future_ref(s->count)));
    END(t);
}

static void search_drop(void *frame)
{
    struct search *s = frame;

    future_drop(s->count);
    future_drop(s->put);
    under_way--;
}

TASK(search_task, ON_LOOP, sizeof(struct search), .step = search_step, .drop = search_drop);

static future *search(void *arg, size_t i)
{
    (void)arg;
    if (++under_way > most_under_way)
        most_under_way = under_way;
    return task_start(&search_task, &(struct search){.number = 1 + (unsigned)i});
}

/* -- choose: the consumer, on the loop --------------------------------------------------------- */

struct choose {
    future *ready;
    struct count best;
};

static int choose_step(task *t, void *frame)
{
    struct choose *s = frame;
    void *item;

    BEGIN(t);
    do {
        AWAIT(t, s->ready, channel_ready(found));
        while (channel_try_get(found, &item)) {
            const struct count *count = future_ok(item) ? future_value(item) : NULL;
            if (count && count->steps > s->best.steps)
                s->best = *count;
            future_drop(item);
        }
    } while (future_ok(s->ready)); /* else it is closed, and empty */
    printf("%u takes %u steps\n", s->best.number, s->best.steps);
    END(t);
}

static void choose_drop(void *frame)
{
    future_drop(((struct choose *)frame)->ready);
}

TASK(choose_task, ON_LOOP, sizeof(struct choose), .step = choose_step, .drop = choose_drop);

static void drop_item(void *item)
{
    future_drop(item);
}

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    found = channel_new(CAPACITY, drop_item);
    if (!found)
        return EXIT_FAILURE;
    future *chosen = task_start(&choose_task, &(struct choose){0});
    future *searched = map_in(NULL, NUMBERS, AT_A_TIME, search, NULL);

    future_wait(searched, CLOCK_NEVER);
    channel_close(found);
    future_wait(chosen, CLOCK_NEVER);
    printf("at most %u under way\n", most_under_way);

    future_drop(searched);
    future_drop(chosen);
    channel_drop(found);
    return async_stop() < 0;
}
