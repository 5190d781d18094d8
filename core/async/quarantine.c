#include "core/async/quarantine.h"

#include <assert.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static_assert(sizeof((struct quarantine *)0)->key >= XXH3_SECRET_SIZE_MIN, "it is as long");

static void hash(const struct quarantine *q, struct bytes request, uint64_t ret_hash[2])
{
    XXH128_hash_t h = XXH3_128bits_withSecret(request.ptr, request.len, q->key, sizeof q->key);

    ret_hash[0] = h.low64;
    ret_hash[1] = h.high64;
}

static bool may_be(const struct suspect *s, uint32_t task, struct bytes request)
{
    return s->task == task && s->length == request.len;
}

/* The suspect that `request` is, or NULL. */
static const struct suspect *find(const struct quarantine *q, uint32_t task, struct bytes request)
{
    uint64_t its[2];
    bool hashed = false;

    for (size_t i = 0; i < q->count; i++) {
        const struct suspect *s = &q->suspects[i];
        if (!may_be(s, task, request))
            continue;
        if (!hashed)
            hash(q, request, its);
        hashed = true;
        if (s->hash[0] == its[0] && s->hash[1] == its[1])
            return s;
    }
    return NULL;
}

void quarantine_accuse(struct quarantine *q, uint32_t task, struct bytes request)
{
    /* Without a key of its own it would be better to remember nothing. */
    if (!q->keyed && getrandom(q->key, sizeof q->key, GRND_NONBLOCK) != (ssize_t)sizeof q->key)
        return;
    q->keyed = true;

    const struct suspect *known = find(q, task, request);
    if (known) {
        q->suspects[known - q->suspects].deaths++;
        return;
    }
    struct suspect *s = &q->suspects[q->next];
    *s = (struct suspect){.length = request.len, .task = task, .deaths = 1};
    hash(q, request, s->hash);
    q->next = (q->next + 1) % QUARANTINE_SUSPECTS;
    if (q->count < QUARANTINE_SUSPECTS)
        q->count++;
}

bool quarantine_refuses(const struct quarantine *q, uint32_t task, struct bytes request)
{
    const struct suspect *s = find(q, task, request);

    return s && s->deaths >= QUARANTINE_DEATHS;
}
