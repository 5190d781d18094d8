/*
 * The ceiling of --max-memory: what the daemon and its workers may take, who has reserved how much
 * of it, and who may take more. It counts; what it counts with is read elsewhere (memory_watch.h).
 *
 *     ┌ ceiling ─────────────────────────────────────────────────────────────────────────┐
 *     │ measured: what is resident and  │ shares: bodies of   │ pages: held,  │ spare,    │
 *     │ nobody here counts; of workers  │ requests, lists of  │ and what may  │ for new   │
 *     │ no less than their pages need   │ URLs; filled or not │ come of turns │ batches   │
 *     └──────────────────────────────────────────────────────────────────────────────────┘
 *
 * What is certain is reserved before it is taken, so it never waits for a measurement:
 *
 *     a request's body     its Content-Length, and as much again for reading it, once its head is
 *                          in; where it has none, step by step
 *     a batch              from there on what its list takes, until the batch has ended
 *     a fetch under way    what it may receive without asking for a place (large_bodies.h)
 *     large pages          their places, always
 *
 * Where it does not fit, a request is answered 503 and a fetch waits for its turn. A batch that
 * runs goes on: one fetch may always be under way. Bodies of pages and records that wait are
 * counted as they come. All else (connections, items, robots.txt, what malloc keeps, a list of
 * short URLs of many hosts while it is read) is seen by measuring. What is filled of a share is
 * resident, too, so it is taken off what is measured, and nothing counts twice.
 *
 * A sender that is slow does not keep what it has announced: where the next MEMORY_STEP has not
 * come after MEMORY_PATIENCE_MS, its share is what has come and one step more. It asks anew when it
 * needs more.
 *
 * No I/O, no clock, no globals. One thread: the loop's. Without a ceiling everything is allowed,
 * and counted.
 */
#ifndef SKIMD_SERVER_MEMORY_MEMORY_H
#define SKIMD_SERVER_MEMORY_MEMORY_H

#include "core/base/list.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MEMORY_STEP = 1 << 20, /* bytes of a body that are reserved beyond what has come, at least */
    MEMORY_PATIENCE_MS = 2000,
    MEMORY_RECOVERY_MS = 1000, /* there must be room for so long before it is no longer short */
};

/* Bytes throughout. */
struct memory_options {
    uint64_t ceiling; /* memory_floor() or more; 0: none */
    uint64_t workers;
    uint64_t max_page_bytes;
};

struct memory {
    uint64_t ceiling; /* 0: none */
    bool is_short;    /* no new batches now */
    uint64_t refused; /* requests, so far */
    /* private */
    struct list claims;
    uint64_t spare, large_bytes, workers_least;
    uint64_t reserved, filled; /* of all shares */
    uint64_t fetches, held;
    uint64_t beside;  /* measured, and not counted by anything else here */
    uint64_t full_ns; /* when there was last too little room to be no longer short */
};

/* What one request or batch has reserved; zero-initialise. It must not be moved but by
 * memory_move(). */
struct memory_share {
    struct memory *of; /* NULL: nothing is reserved */
    uint64_t reserved, filled;
    /* private */
    struct list claim; /* in of->claims, or alone; NULL: never was */
    uint64_t seen;     /* of `filled`, when last a step had come */
    uint64_t seen_ns;  /* when that was; 0: not looked at yet */
};

/*
 * The smallest ceiling that can hold the daemon, its workers and one page each. Workers may take
 * more for a page than that: see memory_init().
 */
uint64_t memory_least(uint64_t workers, uint64_t max_page_bytes);

/* Where pages of the largest size are hardly to be expected: less would serve nobody. */
uint64_t memory_floor(uint64_t workers, uint64_t max_page_bytes);

/*
 * Begins. Of the ceiling 64 MiB for each worker, and the spare one, are kept for what a page may
 * take there, but no more than a quarter of it; beyond that workers are only measured.
 */
void memory_init(struct memory *m, const struct memory_options *options);

/* What pages that are held may take, at most: for fetcher_options.hold_bytes. */
uint64_t memory_hold_bytes(const struct memory *m);

/* The largest body that could ever be taken with this ceiling, and not more than `most`. */
uint64_t memory_body_limit(const struct memory *m, uint64_t most);

/*
 * How many of its URLs each of so many batches may have under way, so that clients that do not read
 * their records leave room for others. UINT64_MAX without a ceiling.
 */
uint64_t memory_window(const struct memory *m, size_t batches);

/* -- shares ------------------------------------------------------------------------------------ */

/*
 * Has the share be `bytes` large. False, and nothing has changed, when it would have to grow and
 * does not fit. `m` NULL: true, and nothing is counted.
 */
bool memory_reserve(struct memory *m, struct memory_share *s, uint64_t bytes);

/* The same for a body that somebody has announced: see above for who is slow. */
bool memory_reserve_claim(struct memory *m, struct memory_share *s, uint64_t bytes);

/* So much of the share is there by now; it grows where that is more than was reserved. */
void memory_fill(struct memory_share *s, uint64_t filled);

/* Hands everything over to `to`, which has nothing. It is no claim there. */
void memory_move(struct memory_share *from, struct memory_share *to);

/* Gives it back. Nothing for a share that has nothing. */
void memory_release(struct memory_share *s);

/* -- deciding ---------------------------------------------------------------------------------- */

/* Whether a new batch may come; else the 503 in `*ret_problem`, which is counted. */
bool memory_admits(struct memory *m, struct problem *ret_problem);

/* The 503 of a request whose memory was not to be had; counts it. */
void memory_refuse(struct memory *m, struct problem *ret_problem);

/*
 * Whether one more fetch may have its turn, when `fetches` have theirs and pages and records hold
 * `held` bytes. Remembers these numbers. For schedule_options.has_room; `memory`: struct memory.
 */
bool memory_allows_fetch(void *memory, size_t fetches, size_t held);

/* -- measuring --------------------------------------------------------------------------------- */

struct memory_sample {
    uint64_t own;     /* resident, requests to workers included */
    uint64_t workers; /* resident, what they share not included */
    uint64_t fetches, held;
    uint64_t now_ns;
};

/* Takes note of what was measured: sets is_short. */
void memory_measure(struct memory *m, const struct memory_sample *sample);

/* What is taken or reserved in all: what stands beside the ceiling. */
uint64_t memory_total(const struct memory *m);

#endif
