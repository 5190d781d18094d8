/*
 * Twins: URLs of a batch that are the same once they are normalised, so that one fetch does for all
 * of them (the option `dedupe`).
 */
#ifndef SKIMD_SERVER_BATCH_TWINS_H
#define SKIMD_SERVER_BATCH_TWINS_H

#include "core/fetch/plan.h"

#include <stdint.h>

enum { TWINS_NONE = UINT32_MAX };

/* All zero: nobody has twins. Read only once it is made. */
struct twins {
    uint32_t *next;         /* by URL: the next that is the same, TWINS_NONE */
    unsigned char *is_twin; /* a bit for each URL that an earlier one stands for */
};

/*
 * Finds those among `count` URLs. What is no URL has no twin, and what has another user or password
 * is another. Parses each, so it takes some seconds for a million: made for a pool thread. 0 or
 * -ENOMEM. Any thread.
 */
int twins_find(size_t count, plan_url_fn *url, void *arg, struct twins *ret);

/* The next URL that is the same as `index`, TWINS_NONE behind the last. */
uint32_t twins_next(const struct twins *t, size_t index);

/* Frees what it holds, and makes it empty. */
void twins_free(struct twins *t);

#endif
