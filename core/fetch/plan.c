#include "core/fetch/plan.h"

#include "core/base/hash.h"

#include <errno.h>
#include <stdlib.h>

/* By hash: which group; open addressing, a power of two of slots, at most half of them taken. */
struct slot {
    uint64_t hash;
    uint32_t group; /* PLAN_NONE: free */
};

struct table {
    struct slot *slots;
    size_t size;
};

/* -- the origin of a text ---------------------------------------------------------------------- */

/* Long enough for every origin that can be fetched: others may share a group. */
enum { ORIGIN_TEXT_MAX = 300 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool ends_with(struct bytes text, struct bytes end)
{
    return text.len >= end.len && memcmp(text.ptr + text.len - end.len, end.ptr, end.len) == 0;
}

/* Scheme and host in lower case, the port unless it is the scheme's; empty for what has no host. */
static struct bytes origin_text(struct bytes url, char buffer[static ORIGIN_TEXT_MAX])
{
    const char *colon = url.len ? memmem(url.ptr, url.len, "://", 3) : NULL;
    size_t n = 0;

    if (!colon)
        return bytes_of(buffer, 0);
    struct bytes scheme = bytes_of(url.ptr, (size_t)(colon - url.ptr));
    struct bytes host = bytes_of(colon + 3, url.len - scheme.len - 3);
    for (size_t i = 0; i < host.len; i++)
        if (strchr("/?#\\", host.ptr[i])) /* or a NUL, which is no URL's */
            host.len = i;
    const char *at = host.len ? memrchr(host.ptr, '@', host.len) : NULL;
    if (at)
        host = bytes_of(at + 1, (size_t)(host.ptr + host.len - at - 1));
    if (bytes_equal_nocase(scheme, BYTES("https")) && ends_with(host, BYTES(":443")))
        host.len -= 4;
    else if (bytes_equal_nocase(scheme, BYTES("http")) && ends_with(host, BYTES(":80")))
        host.len -= 3;

    for (size_t i = 0; i < scheme.len && n < ORIGIN_TEXT_MAX; i++)
        buffer[n++] = lower(scheme.ptr[i]);
    if (n < ORIGIN_TEXT_MAX)
        buffer[n++] = ':';
    for (size_t i = 0; i < host.len && n < ORIGIN_TEXT_MAX; i++)
        buffer[n++] = lower(host.ptr[i]);
    return bytes_of(buffer, n);
}

/* -- the table --------------------------------------------------------------------------------- */

static bool table_make(struct table *t, size_t size)
{
    t->slots = malloc(size * sizeof *t->slots);
    t->size = size;
    for (size_t i = 0; t->slots && i < size; i++)
        t->slots[i].group = PLAN_NONE;
    return t->slots != NULL;
}

static struct slot *table_find(const struct table *t, uint64_t hash)
{
    size_t i = hash & (t->size - 1);

    while (t->slots[i].group != PLAN_NONE && t->slots[i].hash != hash)
        i = (i + 1) & (t->size - 1);
    return &t->slots[i];
}

static bool table_grow(struct table *t)
{
    struct table larger;

    if (!table_make(&larger, 2 * t->size))
        return false;
    for (size_t i = 0; i < t->size; i++)
        if (t->slots[i].group != PLAN_NONE)
            *table_find(&larger, t->slots[i].hash) = t->slots[i];
    free(t->slots);
    *t = larger;
    return true;
}

/* -- the plan ---------------------------------------------------------------------------------- */

struct making {
    struct plan plan;
    size_t capacity; /* of plan.groups */
    struct table table;
};

static bool new_group(struct making *m, struct slot *slot, uint64_t hash)
{
    if (m->plan.group_count == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 16;
        struct plan_group *grown = reallocarray(m->plan.groups, capacity, sizeof *m->plan.groups);
        if (!grown)
            return false;
        m->plan.groups = grown;
        m->capacity = capacity;
    }
    *slot = (struct slot){.hash = hash, .group = (uint32_t)m->plan.group_count};
    m->plan.groups[m->plan.group_count++] = (struct plan_group){PLAN_NONE, PLAN_NONE, 0};
    return 2 * m->plan.group_count < m->table.size || table_grow(&m->table);
}

static bool add(struct making *m, uint32_t index, struct bytes origin)
{
    uint64_t hash = hash_keyed(origin.ptr, origin.len);
    struct slot *slot = table_find(&m->table, hash);
    uint32_t group = slot->group;

    if (group == PLAN_NONE) {
        group = (uint32_t)m->plan.group_count;
        if (!new_group(m, slot, hash))
            return false;
    }
    struct plan_group *g = &m->plan.groups[group];
    if (g->count++ == 0)
        g->first = index;
    else
        m->plan.next[g->last] = index;
    g->last = index;
    m->plan.next[index] = PLAN_NONE;
    return true;
}

int plan_make(size_t count, plan_url_fn *url, void *arg, bool in_order, const unsigned char *skip,
              struct plan *ret_plan)
{
    struct making m = {.plan.in_order = in_order};
    char buffer[ORIGIN_TEXT_MAX];
    m.plan.next = calloc(count ? count : 1, sizeof *m.plan.next);
    bool complete = m.plan.next && table_make(&m.table, 64);

    for (size_t i = 0; i < count && complete; i++) {
        if (skip && skip[i / 8] >> i % 8 & 1)
            continue;
        struct bytes origin = in_order ? bytes_of(buffer, 0) : origin_text(url(arg, i), buffer);
        complete = add(&m, (uint32_t)i, origin);
    }
    free(m.table.slots);
    if (!complete) {
        plan_free(&m.plan);
        return -ENOMEM;
    }
    *ret_plan = m.plan;
    return 0;
}

void plan_free(struct plan *plan)
{
    free(plan->next);
    free(plan->groups);
    *plan = (struct plan){0};
}
