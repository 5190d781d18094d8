#include "core/base/rotation.h"

void rotation_init(struct rotation *r)
{
    *r = (struct rotation){0};
    list_init(&r->fresh);
    list_init(&r->old);
    list_init(&r->aside);
}

void rotation_member_init(struct rotation_member *m)
{
    *m = (struct rotation_member){0};
    list_init(&m->link);
}

bool rotation_is_wanted(const struct rotation *r)
{
    return r->wanting > 0;
}

static void set_wants(struct rotation *r, struct rotation_member *m, bool wants)
{
    if (m->wants == wants)
        return;
    m->wants = wants;
    if (wants)
        r->wanting++;
    else
        r->wanting--;
}

void rotation_enter(struct rotation *r, struct rotation_member *m)
{
    set_wants(r, m, true);
    if (list_empty(&m->link)) {
        m->is_fresh = true;
        list_push_back(&r->fresh, &m->link);
    }
}

void rotation_enter_first(struct rotation *r, struct rotation_member *m)
{
    set_wants(r, m, true);
    list_remove(&m->link);
    m->is_fresh = true;
    list_push_front(&r->fresh, &m->link);
    r->row = 0;
}

void rotation_rest(struct rotation *r, struct rotation_member *m)
{
    set_wants(r, m, false);
}

void rotation_remove(struct rotation *r, struct rotation_member *m)
{
    set_wants(r, m, false);
    list_remove(&m->link);
}

/* The first that wants a turn; those before it have had it, and go. */
static struct rotation_member *first(struct list *members)
{
    while (!list_empty(members)) {
        struct rotation_member *m = CONTAINER_OF(members->next, struct rotation_member, link);
        if (m->wants)
            return m;
        list_remove(&m->link);
    }
    return NULL;
}

struct rotation_member *rotation_next_fresh(struct rotation *r)
{
    return first(&r->fresh);
}

struct rotation_member *rotation_next(struct rotation *r)
{
    struct rotation_member *fresh = first(&r->fresh), *old = first(&r->old);

    if (fresh && (!old || r->row < ROTATION_FRESH_IN_A_ROW))
        return fresh;
    return old;
}

void rotation_served(struct rotation *r, struct rotation_member *m)
{
    r->row = m->is_fresh ? r->row + 1 : 0;
    m->is_fresh = false;
    list_remove(&m->link);
    list_push_back(&r->old, &m->link);
}

void rotation_set_aside(struct rotation *r, struct rotation_member *m)
{
    list_remove(&m->link);
    list_push_back(&r->aside, &m->link);
}

void rotation_put_back(struct rotation *r)
{
    while (!list_empty(&r->aside)) {
        struct rotation_member *m = CONTAINER_OF(r->aside.prev, struct rotation_member, link);

        m->is_fresh = false;
        list_remove(&m->link);
        list_push_front(&r->old, &m->link);
    }
}
