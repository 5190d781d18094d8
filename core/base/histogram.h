/*
 * A histogram: how many values fell into each of some ranges, and what they add up to.
 * Not thread-safe; one owner.
 */
#ifndef SKIMD_BASE_HISTOGRAM_H
#define SKIMD_BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BOUNDS_MAX = 16 };

/* Upper bounds, themselves included, in ascending order; above the last there is one range more. */
struct histogram_bounds {
    size_t count;
    uint64_t at[HISTOGRAM_BOUNDS_MAX];
};

/* Initialise `bounds`, the rest is zero. */
struct histogram {
    const struct histogram_bounds *bounds;
    uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1]; /* of each range by itself */
    uint64_t sum;
};

static inline void histogram_add(struct histogram *h, uint64_t value)
{
    size_t range = 0;

    while (range < h->bounds->count && value > h->bounds->at[range])
        range++;
    h->counts[range]++;
    h->sum += value;
}

#endif
