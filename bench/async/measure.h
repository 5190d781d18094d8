/*
 * How the programs of this folder measure: the number of operations grows until one run of them
 * takes long enough; what ran before that was the warm-up.
 */
#ifndef SKIMD_BENCH_ASYNC_MEASURE_H
#define SKIMD_BENCH_ASYNC_MEASURE_H

#include "core/base/bytes.h"
#include "core/base/clock.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEASURE_MS = 250, /* what one measurement takes at least */
    BATCH = 1000,     /* how many are "at once" */
    IN_FLIGHT = 64,   /* calls to processes that are under way together */
    REPLY_BYTES = 64,
    LARGE_BYTES = 100 * 1024,
};

/* Does at least `n` operations, and returns how many it did. */
typedef uint64_t work_fn(uint64_t n);

static inline double measure_ns(work_fn *work)
{
    const uint64_t enough = MEASURE_MS * NS_PER_MS;

    for (uint64_t n = 1;;) {
        uint64_t start = clock_now_ns();
        uint64_t done = work(n);
        uint64_t took = clock_now_ns() - start;
        if (took >= enough)
            return (double)took / (double)done;
        /* Eightfold at most: the first runs, which start threads and processes, tell little. */
        uint64_t fits = took ? done * (enough + enough / 4) / took + 1 : 8 * n;
        n = fits < 8 * n ? fits : 8 * n;
    }
}

struct measurement {
    const char *name;
    work_fn *work;
};

/* Prints "NAME NANOSECONDS" for one measurement. */
static inline void measure(const struct measurement *m)
{
    printf("%s %.1f\n", m->name, measure_ns(m->work));
    fflush(stdout);
}

/* A benchmark that can't do its work has nothing to say. */
_Noreturn static inline void die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(EXIT_FAILURE);
}

/* What a worker does with its request: it reads all of it. */
static inline uint64_t touch(struct bytes request)
{
    uint64_t sum = 0, word;

    for (size_t i = 0; i + sizeof word <= request.len; i += sizeof word) {
        memcpy(&word, request.ptr + i, sizeof word);
        sum += word;
    }
    return sum;
}

#endif
