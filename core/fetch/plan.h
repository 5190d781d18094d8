/*
 * The plan of a batch: its URLs in groups of the same origin, so that each origin's can be begun at
 * its own pace, whatever order they were given in.
 *
 * An origin is read off the text of a URL here, without parsing it: good enough to sort by. What
 * a URL's origin really is, the fetch finds out. Costs 4 bytes a URL and 16 an origin.
 */
#ifndef SKIMD_FETCH_PLAN_H
#define SKIMD_FETCH_PLAN_H

#include "core/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_NONE = UINT32_MAX };

/* Those of one origin, in the order given: first, next[first], ... PLAN_NONE. */
struct plan_group {
    uint32_t first, last, count;
};

/* Read only once it is made; groups in the order of their first URLs. */
struct plan {
    uint32_t *next; /* by URL */
    struct plan_group *groups;
    size_t group_count;
    bool in_order; /* all are one group, whatever their origin */
};

typedef struct bytes plan_url_fn(void *arg, size_t index);

/*
 * Plans `count` (< PLAN_NONE) URLs; the caller owns what *ret_plan gets. `in_order`: all are one
 * group. `skip` (NULL: none) has a bit for each URL that is left out. 0 or -ENOMEM. Takes about
 * 0.1 s for a million URLs: made for a pool thread. Any thread.
 */
int plan_make(size_t count, plan_url_fn *url, void *arg, bool in_order, const unsigned char *skip,
              struct plan *ret_plan);

/* Frees what it holds, and makes it empty. */
void plan_free(struct plan *plan);

#endif
