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
enum { WORKERS = 2, STRENGTH = WORKERS + 1, HASTY_MS = 30, GROWN_BYTES = 16 << 20 };

enum deed {
    ECHO, /* a checksum of the payload, then `number` bytes of a pattern */
    GIVE_ERROR,
    CRASH,
    CRASH_ONCE, /* the first call crashes, the next one echoes */
    EXIT,       /* with status `number` */
    SPIN,
    SPIN_ONCE,
    GROW, /* by GROWN_BYTES, and hangs */
    GROW_ONCE,
    SPIN_UNTIL_DEADLINE,
    CALL_KERNEL, /* the forbidden call `number` */
    EAT_MEMORY,
    LEAK,          /* `number` bytes */
    WRITE_REQUEST, /* gives the error number of trying to */
    SORT,          /* gives the largest of 0 to 4095 */
    USE_RUNTIME,
    TELL_CONTEXT, /* gives the checksum of what order_context is there */
    CLAIM_MORE,   /* returns a length over the capacity */
    SAY_TOO_MUCH,
    SAY_NONSENSE,
    SAY_NOTHING, /* sends an empty message, and goes on */
    ANSWER_ANOTHER_CALL,
    /* with an empty answer to call `number`; 0: to the first */
    ANSWER_TWICE,
    ANSWER_AND_CRASH,
    ANSWER_AND_GROW,
    /* not sent: what `pack` does */
    PACK_ERROR,
    PACK_TOO_MUCH,
};

/* What CALL_KERNEL may be told instead of the number of a call, as there are two ways to make it.
 */
enum { MAP_A_FILE = -1, MAP_SHARED_MEMORY = -2 };

struct order {
    uint32_t deed;
    int32_t number;
};

/* The frame of these tasks; waiting, it counts for `payload_len` bytes. */
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

/* A context that TELL_CONTEXT looks at. */
extern const struct context_key *const order_context;

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

/*
 * How workers start from now on: NULL: as they should; "fail": they end before they say hello;
 * "hang": they wait before that, until they are killed; "narrow": their sockets hold little;
 * "wide": they end where their socket might not hold the longest reply.
 */
void let_workers_start(const char *how);

/* Calls until `workers` and the spare one are there again. */
void await_strength(unsigned workers);

/* Asserts that there are as many workers as there should be, and no other child. */
void check_strength(void);

/* The value of a call that went well; the future's own. */
const struct answer *answer_of(const future *f);

#endif
