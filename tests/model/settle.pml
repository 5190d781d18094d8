/*
 * core/async/future.c: what may happen to one future F at the same time. Its owner settles or drops
 * the promise, another thread settles too or asks for a cancel, one blocks with or without a
 * deadline, and one has made a continuation, whose result R it may cancel. Everybody drops the
 * reference that it holds.
 *
 * Memory is sequentially consistent here; publish.pml takes that away. The queue of the loop is
 * first in, first out; sleep_wake.pml looks inside. A section under a lock that touches nothing
 * which others look at without the lock is one step.
 *
 * configuration: -DTHEN_ON_THREAD
 */
#include "possible.inc"

mtype = { PENDING, OK, FAILED, CANCELLED, OWNERDEAD }; /* state and error in one */

#define F 0
#define R 1

#define BLOCKED 0 /* waiters: struct thread_waiter, on the stack of block() */
#define THEN    1 /* struct continuation */

#define CANCEL_F 0 /* jobs: cancel_job of F and of R, job of the continuation, and a later settle */
#define CANCEL_R 1
#define CONTINUE 2
#define LATER    3

mtype outcome[2] = PENDING;
byte references[2];
bool freed[2], locked[2], asked[2];
chan waiters = [2] of { byte }; /* F's; R has none */

chan jobs = [4] of { byte };
#ifdef THEN_ON_THREAD
chan pool_jobs = [1] of { byte };
#define CONTINUATIONS pool_jobs
#else
#define CONTINUATIONS jobs
#endif
byte running; /* threads that are not the loop */

bool sem, told, stack_alive, patient; /* the blocking thread's waiter; it has no deadline */
bool c_alive, hook; /* the continuation; `hook`: R's promise_on_cancel points to it */

#define TOUCH(f) assert(!freed[f])

/* The values that are given with OK and with FAILED: each is destroyed once, whoever wins. */
bool destroyed_ok, destroyed_failed;

inline destroy(how)
{
    if
    :: how == OK -> assert(!destroyed_ok); destroyed_ok = true
    :: how == FAILED -> assert(!destroyed_failed); destroyed_failed = true
    :: else
    fi
}

inline release(f)
{
    assert(outcome[f] != PENDING && !locked[f]);
    if
    :: f == F -> destroy(outcome[f])
    :: else
    fi;
    freed[f] = true
}

/* future_drop. The last one frees at once: sooner than it really does, and so hides nothing. */
#ifdef MUTANT_TORN_DROP
inline future_drop(f)
{
    d_step { TOUCH(f); left = references[f] };
    d_step {
        references[f] = left - 1;
        if
        :: left == 1 -> release(f)
        :: else
        fi;
        left = 0
    }
}
#else
inline future_drop(f)
{
    d_step {
        TOUCH(f);
        assert(references[f] > 0);
        references[f]--;
        if
        :: references[f] == 0 -> release(f)
        :: else
        fi
    }
}
#endif

/* loop_post: a job that is queued already would tear the queue. */
inline post(queue, job) { atomic { assert(!(queue??[job])); queue!job } }

/* wake_thread, post_continuation */
inline fire(w)
{
    if
    :: w == BLOCKED ->
        d_step { assert(stack_alive && !told); told = true; sem = true };
        assert(stack_alive) /* sem_post has not come back yet */
    :: else -> atomic { assert(c_alive); post(CONTINUATIONS, CONTINUE) }
    fi
}

inline lock(f) { !locked[f] -> TOUCH(f); locked[f] = true }

inline unlock(f) { TOUCH(f); locked[f] = false }

inline write_outcome(f, how) { assert(outcome[f] == PENDING); outcome[f] = how }

inline future_settle(f, how)
{
#ifdef MUTANT_CHECKS_BEFORE_LOCK
    free_to_settle = (outcome[f] == PENDING);
    d_step { lock(f); };
#else
    d_step { lock(f); free_to_settle = (outcome[f] == PENDING) };
#endif
    if
    :: d_step { free_to_settle -> write_outcome(f, how) };
#ifdef MUTANT_FIRES_AFTER_UNLOCK
        d_step {
            do
            :: f == F && nempty(waiters) -> waiters?waiter; taken[waiter] = true
            :: else -> break
            od;
            unlock(f)
        };
        do
        :: f == F && taken[0] -> fire(BLOCKED); taken[0] = false
        :: f == F && taken[1] -> fire(THEN); taken[1] = false
        :: else -> break
        od
#else
        do
        :: atomic { f == F && nempty(waiters) -> waiters?waiter }; fire(waiter)
        :: d_step { f != F || empty(waiters) -> unlock(f); waiter = 0 }; break
        od
#endif
    :: d_step { !free_to_settle -> unlock(f); if :: f == F -> destroy(how) :: else fi }
    fi
}

#define SETTLER                                                                                    \
    byte waiter, left;                                                                             \
    bool free_to_settle
#ifdef MUTANT_FIRES_AFTER_UNLOCK
bool taken[2];
#endif

/* `pending`: it was entered. */
inline future_add_waiter(w)
{
    if
    :: d_step { outcome[F] != PENDING -> TOUCH(F) }
    :: d_step { outcome[F] == PENDING -> TOUCH(F) };
        atomic {
            !locked[F] -> TOUCH(F);
#ifdef MUTANT_NO_SECOND_LOOK
            pending = true;
#else
            pending = (outcome[F] == PENDING);
#endif
            if
            :: pending -> waiters!w
            :: else
            fi
        }
    fi
}

inline future_cancel(f)
{
    if
    :: d_step { outcome[f] != PENDING -> TOUCH(f) }
    :: d_step { outcome[f] == PENDING -> TOUCH(f) };
#ifdef MUTANT_TESTS_THEN_SETS
        first = !asked[f];
        asked[f] = true;
#else
        d_step { TOUCH(f); first = !asked[f]; asked[f] = true };
#endif
        if
        :: first ->
#ifndef MUTANT_CANCEL_HOLDS_NOTHING
            d_step { TOUCH(f); references[f]++; first = false };
#endif
            post(jobs, f) /* CANCEL_F or CANCEL_R */
        :: else
        fi
    fi
}

inline promise_drop(f)
{
#ifndef MUTANT_DROPS_SILENTLY
    if
    :: d_step { outcome[f] == PENDING -> TOUCH(f) };
        future_settle(f, OWNERDEAD)
    :: d_step { outcome[f] != PENDING -> TOUCH(f) }
    fi;
#endif
    future_drop(f);
#ifdef MUTANT_LOOKS_AFTER_DROP
    TOUCH(f)
#endif
}

/* The promise's owner: promise_resolve and promise_drop, or the latter alone. */
proctype owner()
{
    SETTLER;

    if
    :: future_settle(F, OK)
    :: d_step { destroy(OK) } /* keeps its value */
    fi;
    promise_drop(F);
    running--
}

/* promise_fail from elsewhere, as a timer would, or future_cancel */
proctype other()
{
    SETTLER;
    bool first;

    if
    :: future_settle(F, FAILED)
    :: d_step { destroy(FAILED) }; /* it has no value */
        future_cancel(F)
    fi;
    atomic { future_drop(F); running-- }
}

/* future_wait on a plain thread: block() */
proctype blocker()
{
    byte left;
    bool pending, gave_up;

    future_add_waiter(BLOCKED);
    if
    :: pending ->
#ifdef MUTANT_SEMAPHORE_MADE_LATE
        sem = false;
#endif
        if
        :: d_step { sem -> sem = false } /* sem_wait */
        :: !patient -> gave_up = true    /* sem_clockwait */
        fi;
#ifdef MUTANT_LEAVES_WHEN_TOLD
        if
        :: told
        :: else ->
#endif
        atomic { /* future_remove_waiter */
            !locked[F] -> TOUCH(F);
            if
            :: waiters??[BLOCKED] -> waiters??BLOCKED; assert(gave_up && !told)
            :: else -> assert(told);
                if
                :: gave_up -> POSSIBLE /* both at once */
                :: else -> POSSIBLE
                fi
            fi
        }
#ifdef MUTANT_LEAVES_WHEN_TOLD
        fi
#endif
    :: else -> POSSIBLE
    fi;
    d_step { /* block() comes back */
        stack_alive = false;
        told = false;
        sem = false;
        assert(outcome[F] != PENDING || gave_up)
    };
    atomic { future_drop(F); running-- }
}

/* future_then(F), then perhaps a cancel of what it gave */
proctype chainer()
{
    byte left;
    bool pending, first;

    future_add_waiter(THEN);
    if
    :: pending
    :: else -> post(CONTINUATIONS, CONTINUE)
    fi;
    future_drop(F);
    if
    :: future_cancel(R)
    :: skip
    fi;
    atomic { future_drop(R); running-- }
}

inline run_continuation()
{
    d_step {
        assert(c_alive && outcome[F] != PENDING);
        TOUCH(F);
#ifndef MUTANT_HOOK_OUTLIVES
        hook = false
#endif
    };
    if /* fn(source, next, arg) */
    :: future_settle(R, OK); promise_drop(R)
    :: promise_drop(R)
    :: post(jobs, LATER) /* it keeps the promise */
    fi;
    future_drop(F);
    d_step { assert(c_alive); c_alive = false }
}

proctype loop()
{
    SETTLER;
    bool first;

    do
    :: jobs?CANCEL_F -> /* run_cancel */
        if
        :: d_step { outcome[F] == PENDING -> TOUCH(F) };
            future_settle(F, CANCELLED) /* promise_cancel */
        :: d_step { outcome[F] != PENDING -> TOUCH(F) }
        fi;
        future_drop(F)
    :: jobs?CANCEL_R ->
        if
        :: d_step { outcome[R] == PENDING && hook -> TOUCH(R); assert(c_alive) };
            future_cancel(F) /* cancel_source */
        :: d_step { outcome[R] == PENDING && !hook -> TOUCH(R) };
            future_settle(R, CANCELLED)
        :: d_step { outcome[R] != PENDING -> TOUCH(R) }
        fi;
        future_drop(R)
#ifndef THEN_ON_THREAD
    :: jobs?CONTINUE -> run_continuation()
#endif
    :: jobs?LATER -> future_settle(R, OK); promise_drop(R)
    :: running == 0 && empty(jobs) -> break
    od
}

#ifdef THEN_ON_THREAD
proctype pool()
{
    SETTLER;

    pool_jobs?CONTINUE;
    run_continuation();
    running--
}
#endif

init
{
    atomic {
        run owner();
        run other();
        run chainer();
        references[F] = 4; /* the promise's, the continuation's, and one a thread */
        references[R] = 2;
        c_alive = true;
        running = 4;
#ifdef THEN_ON_THREAD
        run pool();
#else
        run blocker();
        if
        :: patient = false
        :: patient = true
        fi;
        references[F]++;
        stack_alive = true;
        hook = true;
#endif
        run loop()
    }
    _nr_pr == 1; /* all have ended */
    assert(freed[F] && references[F] == 0);
    assert(freed[R] && references[R] == 0 && !c_alive);
    assert(destroyed_ok && destroyed_failed);
    if
    :: outcome[F] == OK -> POSSIBLE
    :: outcome[F] == FAILED -> POSSIBLE
    :: outcome[F] == CANCELLED -> POSSIBLE
    :: outcome[F] == OWNERDEAD -> POSSIBLE
    :: outcome[R] == OK -> POSSIBLE
    :: outcome[R] == CANCELLED -> POSSIBLE
    :: outcome[R] == OWNERDEAD -> POSSIBLE
    fi
}
