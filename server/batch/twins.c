#include "server/batch/twins.h"

#include "core/base/buffer.h"
#include "core/base/hash.h"
#include "core/fetch/target.h"

#include <errno.h>
#include <stdlib.h>

/* A set of URLs that came first, by the hash of what they ask for: open addressing. */
struct firsts {
    struct first {
        uint64_t hash;
        uint32_t index; /* TWINS_NONE: free */
        uint32_t last;  /* of its twins so far */
    } * slots;
    size_t size; /* a power of two */
    plan_url_fn *url;
    void *arg;
    struct buffer asked, known; /* identities that are compared */
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

static void firsts_free(struct firsts *f)
{
    free(f->slots);
    buffer_free(&f->asked);
    buffer_free(&f->known);
}

/* False: it is no URL. */
static bool identify(const struct firsts *f, uint32_t index, struct buffer *ret)
{
    struct target target;
    const char *message;

    ret->len = 0;
    if (target_parse(f->url(f->arg, index), &target, &message) != 0)
        return false;
    target_identity(&target, ret);
    target_free(&target);
    return true;
}

/* Whether the URL `index` asks for the same: two texts of one hash are hardly ever two. */
static bool is_same(struct firsts *f, uint32_t index)
{
    return identify(f, index, &f->known) &&
           bytes_equal(buffer_bytes(&f->known), buffer_bytes(&f->asked));
}

/* The slot of the first URL that asks for the same, or a free one. */
static struct first *firsts_find(struct firsts *f, uint64_t hash)
{
    size_t i = hash & (f->size - 1);

    while (f->slots[i].index != TWINS_NONE &&
           (f->slots[i].hash != hash || !is_same(f, f->slots[i].index)))
        i = (i + 1) & (f->size - 1);
    return &f->slots[i];
}

static void add(struct firsts *f, struct twins *t, uint32_t index)
{
    t->next[index] = TWINS_NONE;
    if (!identify(f, index, &f->asked))
        return;
    uint64_t hash = hash_keyed(f->asked.ptr, f->asked.len);
    struct first *first = firsts_find(f, hash);
    if (first->index == TWINS_NONE) {
        *first = (struct first){hash, index, index};
    } else {
        t->next[first->last] = index;
        t->is_twin[index / 8] |= (unsigned char)(1u << index % 8);
        first->last = index;
    }
}

int twins_find(size_t count, plan_url_fn *url, void *arg, struct twins *ret)
{
    struct firsts f = {.url = url, .arg = arg};
    struct twins t = {
        .next = calloc(count + 1, sizeof *t.next),
        .is_twin = calloc(count / 8 + 1, 1),
    };
    bool made = t.next && t.is_twin && firsts_make(&f, count);

    for (size_t i = 0; made && i < count; i++)
        add(&f, &t, (uint32_t)i);
    made = made && !f.asked.failed && !f.known.failed;
    firsts_free(&f);
    if (!made) {
        twins_free(&t);
        return -ENOMEM;
    }
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
