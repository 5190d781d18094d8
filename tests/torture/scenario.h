/*
 * A scenario is a short life of the runtime, from its start to its end, in which everything that
 * the layer does is done by one of them, while calls fail below it. So nothing that it starts may
 * be taken for granted; what it does see:
 *   - every future that is kept settles, once;
 *   - every token is given back, once: frames of tasks hold some, and values are such;
 *   - when no call has failed, or none so that it matters, the outcomes are the expected ones.
 */
#ifndef SKIMD_TESTS_TORTURE_SCENARIO_H
#define SKIMD_TESTS_TORTURE_SCENARIO_H

#include "core/async/async.h"
#include "core/async/mock.h"

#include <stdatomic.h>

struct scenario {
    const char *name;
    bool real; /* real workers, the real clock; else the mock */
    void (*run)(void);
};

/* Each ends with one that has no name. */
extern const struct scenario loop_scenarios[], thread_scenarios[], together_scenarios[],
    process_scenarios[], real_scenarios[];

/* Starts the runtime, as a mock, or a real one. False when that failed, as it may. */
bool start_mock(const struct mock_options *options);
bool start_real(const struct async_options *options);

/* Something to give back exactly once, with token_drop(); it fits destroy_fn. */
struct token {
    atomic_int drops;
};
struct token *token_new(void);
void token_drop(void *token);

/* Looked after from now on, and dropped at the end; it must settle. Returns `f`. */
future *keep(future *f);

/* Keeps `f`, and waits for its end: in `state`, unless a call has failed. */
void expect(future *f, enum future_state state);

/* Waits for the end of all that is kept. */
void settle(void);

/* True when a call has failed in this run so that it matters: then things may be otherwise. */
bool tortured(void);

/* Fails the run. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the runtime, and looks whether anything is left, of what is counted here. */
void finish(void);

/* Forgets the former run. */
void begin(void);

/* What the run is blamed for; empty: nothing. */
const char *complaint(void);

#endif
