/*
 * core/async/thread_pool.c: tasks that are queued while threads fall asleep, an abandoned task that
 * comes back and makes one thread too many, and the end of the pool. One thread at a time is woken,
 * and wakes the next. One task takes until all others are done: they must not wait for its thread.
 *
 * What is done under the lock is one step where nobody looks without it. pthread_cond_wait gives
 * the lock back and waits in one step; pthread_cond_signal wakes any one that waits; some wake up
 * for nothing.
 */
#include "possible.inc"

#define TASKS   3
#define SIZE    2
#define THREADS 3 /* the last one runs the abandoned task */

byte queued, taken, ran; /* tasks; queued: in pool.tasks */
byte patient;            /* which one takes so long, in the order in which they are taken */
byte idle, count = THREADS, abandoned = 1;
bool waking, stopping, locked;

bool waits[THREADS]; /* inside pthread_cond_wait(&pool.work) */
byte spurious = 1;   /* how often one may still wake up for nothing */
bool ended_one;

#define IS_SURPLUS (count - abandoned > SIZE)

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

inline run_task()
{
    d_step { queued--; mine = taken; taken++ };
#ifdef MUTANT_WAKES_NO_OTHER
    locked = false;
#else
    unlock_and_wake();
#endif
    if
    :: mine != patient -> ran++
    :: mine == patient && ran == TASKS - 1 -> ran++
    fi;
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
    :: !IS_SURPLUS && queued > 0 -> run_task()
    :: !IS_SURPLUS && queued == 0 && stopping -> break
    :: !IS_SURPLUS && queued == 0 && !stopping -> sleep_until_woken(me)
    od;
    atomic {
        count--;
#ifndef MUTANT_END_TOLD_TO_NOBODY
        ended_one = true
#endif
    };
    unlock_and_wake()
}

/* thread_pool_submit */
proctype starter(byte tasks)
{
    bool wake;

    do
    :: tasks > 0 ->
#ifdef MUTANT_QUEUES_WITHOUT_LOOK
        d_step { !locked -> queued++ };
#else
        atomic { !locked -> locked = true; queued++ };
        unlock_and_wake();
#endif
        tasks--
    :: else -> break
    od
}

/* thread_pool_stop, when all tasks have been queued */
inline stop()
{
    lock();
    d_step {
        stopping = true;
#ifdef MUTANT_STOP_WAKES_ONE
        if
        :: waits[0] -> waits[0] = false
        :: waits[1] && !waits[0] -> waits[1] = false
        :: waits[2] && !waits[0] && !waits[1] -> waits[2] = false
        :: else
        fi
#else
        waits[0] = false;
        waits[1] = false;
        waits[2] = false
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
        fi;
        run pool_main(0);
        run pool_main(1);
        run pool_main(2);
        run starter(1);
        run starter(TASKS - 1)
    }
    if
    :: queued + taken == TASKS /* stopped while tasks are queued, perhaps */
    :: true -> ran == TASKS    /* stop helps nobody who has been forgotten */
    fi;
    stop();
    assert(ran == TASKS && queued == 0 && count == 0 && idle == 0)
}
