#include "core/fetch/origin.h"

#include <stdlib.h>
#include <string.h>

void origins_init(struct origins *all)
{
    *all = (struct origins){0};
    list_init(&all->idle);
}

static void origin_free(struct origins *all, struct origin *o)
{
    timer_clear(&o->timer);
    HASH_DEL(all->table, o);
    free(o);
}

static void stop_remembering(struct origins *all, struct origin *o)
{
    list_remove(&o->idle);
    all->idle_count--;
}

static void forget_oldest(struct origins *all)
{
    struct list *link = list_pop_front(&all->idle);

    all->idle_count--;
    origin_free(all, CONTAINER_OF(link, struct origin, idle));
}

void origins_free(struct origins *all)
{
    while (!list_empty(&all->idle))
        forget_oldest(all);
}

struct origin *origin_get(struct origins *all, const char *key)
{
    size_t length = strlen(key);
    struct origin *o;

    HASH_FIND(hh, all->table, key, length, o);
    if (o) {
        if (o->users++ == 0)
            stop_remembering(all, o);
        return o;
    }
    o = calloc(1, sizeof *o + length + 1);
    if (!o)
        return NULL;
    memcpy(o->key, key, length);
    o->users = 1;
    list_init(&o->idle);
    rotation_init(&o->parked);
    HASH_ADD(hh, all->table, key[0], length, o);
    if (!o->hh.tbl) {
        free(o);
        return NULL;
    }
    return o;
}

static bool is_worth_remembering(const struct origin *o)
{
    return !health_is_blank(&o->health) || o->next_start_ns > loop_now_ns() ||
           o->address.any.sa_family != AF_UNSPEC;
}

void origin_put(struct origins *all, struct origin *o)
{
    if (--o->users > 0)
        return;
    if (!is_worth_remembering(o)) {
        origin_free(all, o);
        return;
    }
    timer_clear(&o->timer); /* nobody waits */
    list_push_back(&all->idle, &o->idle);
    if (++all->idle_count > ORIGINS_REMEMBERED)
        forget_oldest(all);
}
