/*
 * A player of fake workers (core/async/mock.h) that follows a script, and calls for them: what the
 * tests of the mock and of races share. For tests within async_setup and async_teardown.
 */
#ifndef SKIMD_TESTS_PLAYER_H
#define SKIMD_TESTS_PLAYER_H

#include "core/async/async.h"
#include "core/async/mock.h"

#include <stddef.h>
#include <stdint.h>

/* The workers that play_options asks for; those and the spare one. */
enum { PLAY_WORKERS = 2, PLAY_STRENGTH = PLAY_WORKERS + 1, PLAY_ACTS = 8, PLAY_STARTS = 64 };

/* The script, and what has happened. All of it is used on the test's thread only. */
struct play {
    /* What becomes of the calls, in their order; the last one again and again; none: answers. */
    struct mock_act acts[PLAY_ACTS];
    size_t act_count;
    enum mock_birth births[PLAY_STARTS]; /* of the first workers; later ones are born well */

    uint64_t born_ns[PLAY_STARTS]; /* since the epoch */
    unsigned starts;
    unsigned calls;        /* that workers were told of */
    struct mock_call told; /* the last of them, with a copy of the request */
    char request[8];
    unsigned serves, unpacks, drops;
    uint64_t served_deadline_ns;
    struct bytes served_context; /* of play_key, in a copy */
    char context[8];
};
extern struct play play;

extern const struct context_key *const play_key;

/* 2 threads, 2 workers, requests of up to 4096 bytes. */
extern const struct async_options play_options;

/*
 * Starts the mock with these options (async: play_options, where it asks for no workers) and these
 * acts. The births are as they were set; of what has happened nothing is left.
 */
void play_with(const struct mock_options *options, const struct mock_act *acts, size_t count);

/* A checked fixture, before async_teardown: as async_setup, with a mock that shuffles nothing. */
void mock_setup(void);

/* `ns` after the epoch. */
uint64_t at(uint64_t ns);

/* Asserts that it is so much after the epoch. */
void expect_now(uint64_t ns);

/* A call that doubles a number: plain, idempotent, and with 100 ms of time. */
extern const struct task_def *const double_plain;
extern const struct task_def *const double_again;
extern const struct task_def *const double_soon;

struct doubling {
    uint32_t number;
};

future *start_double(const struct task_def *def, uint32_t number);

/* Waits for it; asserts that it is right; drops it. */
void expect_double(future *f, uint32_t number);

/* As `expect`: failed with `error`, or ok where that is 0. */
void expect_error(future *f, int error);

/* Asserts that as many workers are there as should be, that no call waits, and nothing is parked.*/
void expect_strength(void);

#endif
