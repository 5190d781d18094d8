/*
 * The mock runtime: the same futures, tasks and scopes, for tests of what depends on time and
 * order. It has no loop thread: the loop turns on the thread that called mock_start(), while that
 * waits in future_wait(), mock_turn(), mock_advance() or async_stop(), and only then. So what a
 * test does in between happens in one piece.
 *
 * Time stands still until nothing else can happen, and then jumps to the next timer, or to the end
 * of the wait; it never moves while a task or continuation is on a pool thread, unless that is
 * blocked in future_wait(). (Pool threads are real threads. Those that a test makes itself are not
 * waited for.) A timer that is set for now or for the past is due 1 ns later.
 *
 * What is ready at the same time (tasks to resume, continuations, timers of the same ns,
 * descriptors) comes in an order that the seed shuffles, and now and then descriptors and timers
 * come before jobs that are ready: the same seed, the same order; another seed, another
 * interleaving. Where threads take part, the order in which they end is the kernel's.
 *
 * Worker processes are played by functions in this process. They are told of each call and say what
 * becomes of it: an answer, a crash, silence, a lie, at once or after some time.
 *
 * A future_wait() that nothing can ever end, as no timer and no thread is left, gives -EDEADLK
 * instead of hanging.
 */
#ifndef SKIMD_ASYNC_MOCK_H
#define SKIMD_ASYNC_MOCK_H

#include "core/async/runtime.h"
#include "core/base/bytes.h"

#include <stdint.h>

/* How a fake worker begins. */
enum mock_birth {
    MOCK_BORN,      /* says hello at once */
    MOCK_MUTE,      /* waits to be made to say something, right or wrong: mock_worker_hello() */
    MOCK_STILLBORN, /* exits before it says hello */
    MOCK_UNBORN,    /* cannot be started at all: -EAGAIN */
};

/* What a fake worker does with a call. */
enum mock_deed {
    MOCK_ANSWER,           /* runs the task's `serve`, here, and sends what it gave */
    MOCK_LIE,              /* sends the message `lie`, whatever it is; then waits for a next call */
    MOCK_HANG,             /* never answers, and has to be killed */
    MOCK_CRASH,            /* dies with SIGSEGV, having read the call */
    MOCK_CRASH_UNREAD,     /* dies before it reads the call */
    MOCK_ANSWER_AND_CRASH, /* the answer is on its way when it dies */
    MOCK_KILLED,           /* dies as by SIGKILL from outside: not the call's fault */
};

struct mock_act {
    enum mock_deed deed;
    uint64_t after_ns; /* virtual time from the call's arrival until the deed; 0: at once */
    struct bytes lie;  /* MOCK_LIE: borrowed until the deed is done */
};

/* A call as it reaches a fake worker. */
struct mock_call {
    const char *task;     /* the name of its definition */
    unsigned worker;      /* counts the starts of workers, from 0 */
    unsigned nth;         /* counts the calls of all workers, from 0 */
    uint64_t id;          /* what an answer must repeat */
    uint64_t deadline_ns; /* what `serve` is told */
    struct bytes request;
};

/* Decide about one start, or one call, on the loop. */
typedef enum mock_birth mock_birth_fn(unsigned worker, void *arg);
typedef struct mock_act mock_worker_fn(const struct mock_call *call, void *arg);

struct mock_options {
    uint64_t seed;              /* 0: nothing is shuffled, all comes as in a real runtime */
    struct async_options async; /* as for async_configure(); workers 0: 2 */
    mock_birth_fn *birth;       /* NULL: each says hello */
    mock_worker_fn *worker;     /* NULL: each call is answered at once */
    void *arg;                  /* for these two */
    uint64_t kill_ns; /* from the kill of a worker until it is dead; it goes on meanwhile */
    size_t grown;     /* resident bytes that a worker seems to have more after each call */
};

/* Where the mock's time begins. */
#define MOCK_EPOCH_NS ((uint64_t)1000 * 1000000000)

/*
 * Starts the runtime as a mock; async_stop(), on the same thread, ends it. The tasks' `prepare`
 * functions are called once, here. -EBUSY when a runtime runs; negative errno.
 */
int mock_start(const struct mock_options *options);

/*
 * Turns the loop until nothing is left to do at this time; moves the time on by `ns`, stopping at
 * each timer on the way and turning the loop there (CLOCK_NEVER: until no timer is left). 0, or
 * -EDEADLK: not on mock_start()'s thread, or on it but inside the loop.
 */
int mock_turn(void);
int mock_advance(uint64_t ns);

/*
 * A fake worker out of turn: says hello, sends any message, dies by `signal` (0: exits); a call
 * that it has was read. False when there is no such worker, or it has died. On mock_start()'s
 * thread, inside the loop or not.
 */
bool mock_worker_hello(unsigned worker);
bool mock_worker_say(unsigned worker, struct bytes message);
bool mock_worker_die(unsigned worker, int signal);

/* Starts of workers so far, also in vain; workers that the runtime has killed so far. */
unsigned mock_workers_started(void);
unsigned mock_workers_killed(void);

#endif
