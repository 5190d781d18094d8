/*
 * The health of an origin: what its answers, refusals and failures so far say about when to ask it
 * again. Pure: times (ns) and chance are the caller's.
 *
 *     healthy ──429, 503──▶ backing off ──its time──▶ probing ──an answer──▶ healthy
 *        │                       ▲  (longer each time)    │
 *        └─many in a row of either, or long Retry-After──┴──▶ given up ──its time──▶ probing
 *
 * What was begun before a change tells nothing new: six requests that are refused at once are one
 * refusal.
 */
#ifndef SKIMD_FETCH_HEALTH_H
#define SKIMD_FETCH_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HEALTH_BACKOFF_FIRST_MS = 250,  /* after a refusal; doubles */
    HEALTH_BACKOFF_MOST_MS = 60000, /* an origin that asks for more is given up */
    HEALTH_REFUSALS = 10,           /* in a row, 4 minutes of waiting: given up */
    HEALTH_FAILURES = 10,           /* in a row: given up; after that one is enough */
    HEALTH_GIVE_UP_FIRST_MS = 30000,
    HEALTH_GIVE_UP_MOST_MS = 600000,
    HEALTH_RETRY_AFTER_MOST_MS = 3600000, /* nobody is believed that more is needed */
};

/* X(constant, name in the API) */
#define HEALTH_STATES(X)                                                                           \
    X(HEALTH_GOOD, "healthy")                                                                      \
    X(HEALTH_BACKING_OFF, "backing_off") /* it refused: nothing is begun until `until_ns` */       \
    X(HEALTH_GIVEN_UP, "given_up")       /* what is asked of it fails at once until then */        \
    X(HEALTH_PROBING, "probing")         /* one request at a time, until there is an answer */

enum health_state {
#define X(constant, name) constant,
    HEALTH_STATES(X)
#undef X
};

enum {
#define X(constant, name) +1
    HEALTH_STATE_COUNT = 0 HEALTH_STATES(X)
#undef X
};

/* All zero: healthy. */
struct health {
    enum health_state state; /* as of the last event: ask health_at() */
    uint64_t until_ns;       /* HEALTH_BACKING_OFF, HEALTH_GIVEN_UP */
    uint64_t changed_ns;     /* of the state: what was begun before counts no more */
    unsigned refusals;       /* each doubles the back-off; an answer takes one away */
    unsigned refused;        /* in a row, each time after the wait for the one before */
    unsigned failures;       /* in a row */
    unsigned surrenders;     /* in a row: each doubles the time for which it is given up */
};

/* The name of a state: "backing_off". Static. */
const char *health_state_name(enum health_state state);

/* The state at `now_ns`: time turns backing off and given up into probing. */
enum health_state health_at(const struct health *h, uint64_t now_ns);

/* True when there is nothing to remember. */
bool health_is_blank(const struct health *h);

/* A request that was begun at `begun_ns` was answered, neither with 429 nor 503. */
void health_answered(struct health *h, uint64_t begun_ns, uint64_t now_ns);

/* It was answered with 429 or 503, and Retry-After (0: without). `chance` is any number. */
void health_refused(struct health *h, uint64_t begun_ns, uint64_t now_ns, uint64_t retry_after_s,
                    uint32_t chance);

/* It failed in a way that is the host's (no connection, nothing answered). */
void health_failed(struct health *h, uint64_t begun_ns, uint64_t now_ns, uint32_t chance);

#endif
