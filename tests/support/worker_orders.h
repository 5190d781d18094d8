/*
 * Tasks for worker processes that do as they are told, well or badly, and what the tests of the
 * process pool do with them. For tests within async_setup and async_teardown.
 */
#ifndef SKIMD_TESTS_WORKER_ORDERS_H
#define SKIMD_TESTS_WORKER_ORDERS_H

#include "core/async/async.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* The workers that async_setup asks for; those and the spare one; the deadline of hasty_order. */
enum { WORKERS = 2, STRENGTH = WORKERS + 1, HASTY_MS = 30 };

enum deed {
    ECHO, /* a checksum of the payload, then `number` bytes of a pattern */
    GIVE_ERROR,
    CRASH,
    CRASH_ONCE, /* the first call crashes, the next one echoes */
    SPIN,
    SPIN_UNTIL_DEADLINE,
    CALL_KERNEL, /* the forbidden call `number` */
    EAT_MEMORY,
    USE_RUNTIME,
    CLAIM_MORE, /* returns a length over the capacity */
    SAY_TOO_MUCH,
    SAY_NONSENSE,
    SAY_NOTHING, /* sends an empty message, and goes on */
    ANSWER_ANOTHER_CALL,
    ANSWER_TWICE,
    ANSWER_AND_CRASH,
    /* not sent: what `pack` does */
    PACK_ERROR,
    PACK_TOO_MUCH,
};

struct order {
    uint32_t deed;
    int32_t number;
};

/* The frame of these tasks. */
struct call {
    struct order order;
    const char *payload;
    size_t payload_len;
    atomic_int *packs, *drops;
};

/* Their value. */
struct answer {
    size_t length;
    uint64_t checksum;
    int64_t number;
};

/*
 * What runs a struct call. Plain; idempotent, thus retried; with a deadline of HASTY_MS; and one
 * without a frame, whose request and reply are empty.
 */
extern const struct task_def *const plain_order;
extern const struct task_def *const retried_order;
extern const struct task_def *const hasty_order;
extern const struct task_def *const empty_order;

/* What ECHO answers for a payload, as `struct answer` has it. */
uint64_t checksum(const char *bytes, size_t n);

/* Starts a call of `def` without a payload. */
future *start_order(const struct task_def *def, enum deed deed, int number);

/* Calls a worker that does as it should, and waits for its answer. */
void expect_echo(void);

/* After this, at least one worker waits for calls: the next one goes to it without delay. */
void warm_up(void);

/* Starts a call, and comes back when a worker has it; it must not be settled by then. */
future *start_running(const struct task_def *def, enum deed deed, int number);

/* Asserts that there are as many workers as there should be, and no other child. */
void check_strength(void);

/* The value of a call that went well; the future's own. */
const struct answer *answer_of(const future *f);

#endif
