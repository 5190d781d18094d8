/*
 * core/async/thread_pool.c: jobs that are posted while threads fall asleep, an abandoned task that
 * comes back and makes one thread too many, and the end of the pool. One thread at a time is woken,
 * and wakes the next. One job waits for all others in future_wait(), unless that is refused. What
 * comes when the pool has ended is the loop's.
 *
 * What is done under the lock is one step where nobody looks without it. pthread_cond_wait gives
 * the lock back and waits in one step; pthread_cond_signal wakes any one that waits; some wake up
 * for nothing.
 *
 * configuration: -DSIZE=1
 */
#include "possible.inc"

#define JOBS    3
#ifndef SIZE
#define SIZE    2
#endif
#define THREADS 3 /* the last runs the abandoned task; the second is not there if SIZE is 1 */

byte queued, taken, ran; /* jobs; queued: in pool.first... */
byte patient;            /* which one waits, in the order in which they are taken; JOBS: none */
byte idle, count = SIZE + 1, abandoned = 1;
bool waking, stopping, locked;

bool waits[THREADS]; /* inside pthread_cond_wait(&pool.work) */
byte spurious = 1;   /* how often one may still wake up for nothing */
bool ended_one;

bool alive[THREADS] = true, blocked[THREADS];

#define IS_FREE(t)      (alive[t] && !blocked[t] && (t < THREADS - 1 || abandoned == 0))
#define ANOTHER_IS_FREE (me != 0 && IS_FREE(0) || me != 1 && IS_FREE(1) || me != 2 && IS_FREE(2))
#define IS_NEEDED       ((blocked[0] || blocked[1] || blocked[2]) && !ANOTHER_IS_FREE)
#ifdef MUTANT_SURPLUS_LEAVES_THE_BLOCKED
#define IS_SURPLUS (count - abandoned > SIZE)
#else
#define IS_SURPLUS (count - abandoned > SIZE && !IS_NEEDED)
#endif
#ifdef MUTANT_STOP_LEAVES_THE_BLOCKED
#define MAY_END stopping
#else
#define MAY_END (stopping && !IS_NEEDED)
#endif

inline lock() { atomic { !locked -> locked = true } }

inline signal_work()
{
    atomic {
        if
        :: waits[0] -> waits[0] = false
        :: waits[1] -> waits[1] = false
        :: waits[2] -> waits[2] = false
        :: !waits[0] && !waits[1] && !waits[2] /* it has woken up for nothing meanwhile */
        fi
    }
}

inline broadcast_work() { waits[0] = false; waits[1] = false; waits[2] = false }

inline unlock_and_wake()
{
    d_step {
#ifdef MUTANT_WAKING_IGNORES_IDLE
        wake = (!waking && queued > 0);
#else
        wake = (!waking && idle > 0 && queued > 0);
#endif
        waking = (waking || wake);
        locked = false
    };
    if
    :: wake -> POSSIBLE; wake = false; signal_work()
    :: else
    fi
}

inline sleep_until_woken(me)
{
#ifdef MUTANT_LOOKS_WITHOUT_LOCK
    locked = false;
    lock();
#endif
    d_step { idle++; waits[me] = true; locked = false };
    if
    :: !waits[me]
    :: d_step { waits[me] && spurious > 0 -> spurious--; waits[me] = false }; POSSIBLE
    fi;
    atomic {
        !locked ->
        locked = true;
        idle--;
#ifndef MUTANT_WAKING_STAYS
        waking = false
#endif
    }
}

/* thread_pool_wait */
inline wait_for_others()
{
    lock();
    if
    :: ANOTHER_IS_FREE ->
        d_step { blocked[me] = true; locked = false };
        ran == JOBS - 1; /* future_block */
        POSSIBLE;
        lock();
        d_step { blocked[me] = false; locked = false }
    :: else -> POSSIBLE; locked = false /* -EDEADLK */
    fi
}

inline run_job()
{
    d_step { queued--; mine = taken; taken++ };
#ifdef MUTANT_WAKES_NO_OTHER
    locked = false;
#else
    unlock_and_wake();
#endif
    if
    :: mine == patient -> wait_for_others()
    :: else
    fi;
    ran++;
    mine = 0;
    lock()
}

proctype pool_main(byte me)
{
    bool wake;
    byte mine;

    if
    :: me == THREADS - 1 -> lock(); d_step { abandoned--; locked = false } /* stops_running */
    :: else
    fi;
    lock();
    do
    :: IS_SURPLUS -> POSSIBLE; break
    :: !IS_SURPLUS && queued > 0 -> run_job()
    :: !IS_SURPLUS && queued == 0 && MAY_END -> break
    :: !IS_SURPLUS && queued == 0 && !MAY_END -> sleep_until_woken(me)
    od;
    atomic {
        count--;
        alive[me] = false;
#ifndef MUTANT_END_TOLD_TO_NOBODY
        ended_one = true;
#endif
#ifndef MUTANT_END_WAKES_NO_OTHER
        if
        :: stopping -> broadcast_work()
        :: else
        fi
#endif
    };
    unlock_and_wake()
}

/* thread_pool_post */
proctype starter(byte jobs)
{
    bool wake;

    do
    :: jobs > 0 ->
        lock();
        if
        :: count > 0 -> queued++
        :: count == 0 -> POSSIBLE; taken++; ran++ /* on the loop */
        fi;
#ifdef MUTANT_POSTS_WITHOUT_LOOK
        locked = false;
#else
        unlock_and_wake();
#endif
        jobs--
    :: else -> break
    od
}

/* thread_pool_stop */
inline stop()
{
    lock();
    d_step {
        stopping = true;
#ifndef MUTANT_STOP_WAKES_NOBODY
        broadcast_work()
#endif
    };
    do
    :: count > 0 -> POSSIBLE;
        d_step { ended_one = false; locked = false };
        ended_one;
        lock()
    :: count == 0 -> break
    od;
    locked = false
}

init
{
    atomic {
        if
        :: patient = 0
        :: patient = 1
        :: patient = 2
        :: patient = JOBS
        fi;
        run pool_main(0);
#if SIZE > 1
        run pool_main(1);
#else
        alive[1] = false;
#endif
        run pool_main(2);
        run starter(1);
        run starter(JOBS - 1)
    }
    if
    :: true
    :: true -> ran == JOBS /* stop helps nobody who has been forgotten */
    fi;
    stop();
    ran == JOBS;
    assert(queued == 0 && count == 0 && idle == 0)
}
