/*
 * core/async/task.c: the one job of a loop task, which resumes it and cancels it, and the bits that
 * say what for. The task awaits two futures, which other threads settle, or leave to the cancel.
 * Two ask for that: the scope, perhaps before the task has been queued, and the client, who holds
 * the future, perhaps when it has ended. Where the task runs makes no difference to the job;
 * worker.pml has it with process tasks.
 */
#include "possible.inc"

#define AWAITS 2

#define GO     1 /* enum signal */
#define CANCEL 2

#define NOT_YET 9 /* awaited: nothing */

mtype = { PENDING, OK, CANCELLED };
mtype:job = { TASK, FUTURE };

/* The task; `signals` and `asked` are for any thread, what follows for the loop thread. */
byte signals;
bool asked;
byte references = 2; /* its own, and the client's */
bool freed;
mtype outcome = PENDING;
byte resume_line, awaited = NOT_YET;
bool catches, told, runs; /* told: cancel_told */

/* What it awaits. */
mtype state[AWAITS] = PENDING;
bool locked[AWAITS], waiter[AWAITS], cancel_posted[AWAITS];

chan jobs = [4] of { mtype:job, byte };
byte running = 4; /* threads that are not the loop */

#define TOUCH assert(!freed)

inline future_drop()
{
    d_step {
        TOUCH;
        assert(references > 0);
        references--;
        if
        :: references == 0 -> assert(outcome != PENDING); freed = true
        :: else
        fi
    }
}

/* loop_post(&t->job) */
inline post() { atomic { TOUCH; assert(!(jobs??[TASK, 0])); jobs!TASK, 0 } }

inline signal_task(which)
{
#if defined(MUTANT_POSTS_EVERY_SIGNAL)
    d_step { TOUCH; signals = signals | which };
    post()
#elif defined(MUTANT_TESTS_THEN_SETS)
    first = (signals == 0);
    d_step { TOUCH; signals = signals | which };
    if
    :: first -> first = false; post()
    :: else
    fi
#else
    d_step { TOUCH; first = (signals == 0); signals = signals | which };
    if
    :: first -> first = false; post()
    :: else
    fi
#endif
}

/* future_cancel, task_ask_cancel */
inline cancel_task()
{
    if
    :: d_step { outcome != PENDING -> TOUCH }; POSSIBLE
    :: d_step { outcome == PENDING -> TOUCH };
        d_step { TOUCH; first = !asked; asked = true };
        if
        :: first ->
            first = false;
#ifndef MUTANT_CANCEL_HOLDS_NOTHING
            d_step { TOUCH; references++ };
#endif
            signal_task(CANCEL)
        :: else -> POSSIBLE
        fi
    fi
}

/* future_settle of what the task awaits: under its lock it fires, loop_task_fire */
inline settle_awaited(i, how)
{
    atomic { !locked[i] -> locked[i] = true };
    if
    :: state[i] == PENDING ->
        state[i] = how;
        if
        :: waiter[i] -> waiter[i] = false; signal_task(GO)
        :: else -> POSSIBLE
        fi
    :: else -> POSSIBLE
    fi;
    locked[i] = false
}

/* future_cancel of it: on the loop */
inline cancel_awaited(i)
{
    if
    :: state[i] == PENDING && !cancel_posted[i] -> cancel_posted[i] = true; jobs!FUTURE, i
    :: else
    fi
}

/* The owner of a promise. One that is slow leaves its future to the cancel, if that reaches it. */
proctype settler(byte i)
{
    bool first;

    if
    :: true
    :: asked ->
        if
        :: state[i] != PENDING -> POSSIBLE
        :: outcome != PENDING -> POSSIBLE
        :: told && state[i] == PENDING -> POSSIBLE /* it is not interrupted any more */
        fi
    fi;
    settle_awaited(i, OK);
    running--
}

/* task_start and, perhaps, future_cancel */
proctype client()
{
    bool first;

    signal_task(GO);
    if
    :: cancel_task()
    :: true
    fi;
    atomic { future_drop(); running-- }
}

/* The scope finds the task in its list, under the lock that the task takes to leave it. */
proctype scope()
{
    bool first;

    if
    :: cancel_task()
    :: outcome != PENDING /* nobody cancels it */
    fi;
    atomic { future_drop(); running-- }
}

inline task_end(how)
{
    d_step {
        TOUCH;
        assert(outcome == PENDING);
        assert(!waiter[0] && !waiter[1]); /* or it would fire at freed memory */
        outcome = how
    };
    future_drop()
}

/* The step function, from its resume_line on, and task_await; `parks`: it has. */
inline step()
{
    parks = false;
    do
    :: resume_line < AWAITS && !parks ->
        i = resume_line;
        resume_line++;
        interrupted = (asked && !told);
        if
        :: state[i] != PENDING && !interrupted /* goes on at once */
        :: state[i] == PENDING || interrupted ->
            awaited = i;
            parks = true;
            /* future_add_waiter */
            atomic {
                !locked[i] ->
                pending = (state[i] == PENDING);
                waiter[i] = pending
            };
            if
            :: !pending -> POSSIBLE; signal_task(GO)
            :: pending && interrupted -> POSSIBLE; cancel_awaited(i)
            :: pending && !interrupted
            fi
        fi;
        interrupted = false;
        pending = false;
        i = 0
    :: else -> break
    od;
    if
    :: !parks -> task_end(OK)
    :: else -> parks = false
    fi
}

inline resume()
{
    awaited = NOT_YET;
    assert(outcome == PENDING && !runs);
    runs = true;
    if
    :: asked && !catches -> POSSIBLE; task_end(CANCELLED)
    :: asked && catches -> POSSIBLE; told = true; step()
    :: !asked -> step()
    fi;
    runs = false
}

inline interrupt()
{
    if
#ifdef MUTANT_CANCEL_RESUMES
    :: awaited != NOT_YET && !told -> resume()
#elif !defined(MUTANT_CANCEL_TELLS_NOBODY)
    :: awaited != NOT_YET && !told -> POSSIBLE; cancel_awaited(awaited)
#endif
    :: else -> POSSIBLE /* it has not begun, or is told already */
    fi
}

inline run_signals()
{
#if defined(MUTANT_READS_THEN_CLEARS)
    d_step { TOUCH; present = signals };
    d_step { TOUCH; signals = 0 };
#elif defined(MUTANT_CLEARS_AFTER_RUN)
    d_step { TOUCH; present = signals };
#else
    d_step { TOUCH; present = signals; signals = 0 };
#endif
#ifdef MUTANT_DROPS_BEFORE_RUN
    if
    :: present & CANCEL -> future_drop()
    :: else
    fi;
#endif
    TOUCH;
    if
    :: present & GO -> resume()
    :: !(present & GO) && outcome == PENDING -> POSSIBLE; interrupt()
    :: !(present & GO) && outcome != PENDING -> POSSIBLE /* it ended before */
    fi;
#ifdef MUTANT_CLEARS_AFTER_RUN
    signals = 0;
#endif
#ifndef MUTANT_DROPS_BEFORE_RUN
    if
    :: present & CANCEL -> POSSIBLE; future_drop()
    :: else
    fi;
#endif
    present = 0
}

proctype loop()
{
    byte i, present;
    bool first, parks, pending, interrupted;

    do
    :: jobs?TASK, _ -> run_signals()
    :: jobs?FUTURE, i ->
        if
        :: i == 0 -> settle_awaited(0, CANCELLED)
        :: i == 1 -> settle_awaited(1, CANCELLED)
        fi;
        i = 0
    :: running == 0 && empty(jobs) -> break
    od
}

init
{
    atomic {
        if
        :: catches = false
        :: catches = true
        fi;
        references = 3; /* the scope's stands for its lock */
        run settler(0);
        run settler(1);
        run client();
        run scope();
        run loop()
    }
    _nr_pr == 1; /* all have ended */
    assert(outcome != PENDING && freed && references == 0 && signals == 0);
    assert(outcome != CANCELLED || asked);
    if
    :: outcome == OK && asked && catches -> POSSIBLE
    :: outcome == OK && asked && !catches -> POSSIBLE /* it was faster */
    :: outcome == OK && !asked -> POSSIBLE
    :: outcome == CANCELLED -> POSSIBLE
    fi
}
