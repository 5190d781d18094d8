#include "core/fetch/large_bodies.h"

static void hand_out(struct job *job)
{
    struct large_bodies *all = CONTAINER_OF(job, struct large_bodies, hand_out);

    all->handing_out = false;
    while (all->free > 0 && !list_empty(&all->waiting)) {
        struct list *link = list_pop_front(&all->waiting);
        struct large_body *body = CONTAINER_OF(link, struct large_body, link);
        all->free--;
        body->has_place = true;
        body->go_on(body);
    }
}

void large_bodies_init(struct large_bodies *all, unsigned places)
{
    *all = (struct large_bodies){.free = places, .hand_out = {.run = hand_out}};
    list_init(&all->waiting);
}

static bool is_waiting(const struct large_body *body)
{
    return body->link.next && !list_empty(&body->link);
}

bool large_body_enter(struct large_bodies *all, struct large_body *body)
{
    if (body->has_place)
        return true;
    if (is_waiting(body))
        return false;
    if (all->free > 0 && list_empty(&all->waiting)) {
        all->free--;
        body->has_place = true;
        return true;
    }
    list_push_back(&all->waiting, &body->link);
    return false;
}

void large_body_wait_no_more(struct large_body *body)
{
    if (is_waiting(body))
        list_remove(&body->link);
}

void large_body_leave(struct large_bodies *all, struct large_body *body)
{
    large_body_wait_no_more(body);
    if (!body->has_place)
        return;
    body->has_place = false;
    all->free++;
    if (!list_empty(&all->waiting) && !all->handing_out) {
        all->handing_out = true;
        loop_post(&all->hand_out);
    }
}
