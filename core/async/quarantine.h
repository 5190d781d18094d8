/*
 * Requests that kill workers, known by the hash of their content: one that two workers died of is
 * refused from then on, whatever task carries it. The memory is bounded; the oldest is forgotten
 * first. The hash is keyed with random bytes, but no cryptographic one: a collision costs the other
 * request its answer, no more.
 *
 * Not thread-safe; pure but for the random key.
 */
#ifndef SKIMD_ASYNC_QUARANTINE_H
#define SKIMD_ASYNC_QUARANTINE_H

#include "core/base/bytes.h"

#include <stdint.h>

enum { QUARANTINE_SUSPECTS = 256, QUARANTINE_DEATHS = 2 };

struct suspect {
    uint64_t hash[2];
    size_t length;
    uint32_t task;
    uint32_t deaths;
};

/* All zero: nothing is suspected. */
struct quarantine {
    bool keyed;
    unsigned char key[192];
    size_t count, next; /* how many suspects, and where the next one goes: over the oldest */
    struct suspect suspects[QUARANTINE_SUSPECTS];
};

/* A worker has died of `request` to the task of that index. */
void quarantine_accuse(struct quarantine *q, uint32_t task, struct bytes request);

/*
 * Whether `request` has had its workers. It is hashed only when one of the same task and length is
 * suspected.
 */
bool quarantine_refuses(const struct quarantine *q, uint32_t task, struct bytes request);

#endif
