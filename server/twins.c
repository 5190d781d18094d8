#include "server/twins.h"

#include "core/base/hash.h"
#include "core/fetch/target.h"

#include <errno.h>
#include <stdlib.h>

/* A set of URLs that came first, by the hash of what they are normalised to: open addressing. */
struct firsts {
    struct first {
        uint64_t hash;
        uint32_t index; /* TWINS_NONE: free */
        uint32_t last;  /* of its twins so far */
    } * slots;
    size_t size; /* a power of two */
    plan_url_fn *url;
    void *arg;
};

static bool firsts_make(struct firsts *f, size_t count)
{
    f->size = 64;
    while (f->size < 2 * count)
        f->size *= 2;
    f->slots = malloc(f->size * sizeof *f->slots);
    for (size_t i = 0; f->slots && i < f->size; i++)
        f->slots[i].index = TWINS_NONE;
    return f->slots;
}

/* Whether the URL `index` is normalised to `text`: two texts of one hash are hardly ever two. */
static bool is_same(const struct firsts *f, uint32_t index, const char *text)
{
    struct target target;
    const char *message;

    if (target_parse(f->url(f->arg, index), &target, &message) != 0)
        return false;
    bool same = strcmp(target.url, text) == 0;
    target_free(&target);
    return same;
}

/* The slot of the first URL that is the same as `text`, or a free one. */
static struct first *firsts_find(const struct firsts *f, uint64_t hash, const char *text)
{
    size_t i = hash & (f->size - 1);

    while (f->slots[i].index != TWINS_NONE &&
           (f->slots[i].hash != hash || !is_same(f, f->slots[i].index, text)))
        i = (i + 1) & (f->size - 1);
    return &f->slots[i];
}

static void add(struct firsts *f, struct twins *t, uint32_t index)
{
    struct target target;
    const char *message;

    t->next[index] = TWINS_NONE;
    if (target_parse(f->url(f->arg, index), &target, &message) != 0)
        return;
    uint64_t hash = hash_keyed(target.url, strlen(target.url));
    struct first *first = firsts_find(f, hash, target.url);
    if (first->index == TWINS_NONE) {
        *first = (struct first){hash, index, index};
    } else {
        t->next[first->last] = index;
        t->is_twin[index / 8] |= (unsigned char)(1u << index % 8);
        first->last = index;
    }
    target_free(&target);
}

int twins_find(size_t count, plan_url_fn *url, void *arg, struct twins *ret)
{
    struct firsts f = {.url = url, .arg = arg};
    struct twins t = {
        .next = calloc(count + 1, sizeof *t.next),
        .is_twin = calloc(count / 8 + 1, 1),
    };

    if (!t.next || !t.is_twin || !firsts_make(&f, count)) {
        twins_free(&t);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++)
        add(&f, &t, (uint32_t)i);
    free(f.slots);
    *ret = t;
    return 0;
}

uint32_t twins_next(const struct twins *t, size_t index)
{
    return t->next ? t->next[index] : TWINS_NONE;
}

void twins_free(struct twins *t)
{
    free(t->next);
    free(t->is_twin);
    *t = (struct twins){0};
}
