/*
 * core/async/process_pool.c, process_call.c, worker.c, and the signals of task.c: calls of worker
 * processes that may die at any step, hang, lie or close their socket, while tasks are cancelled or
 * run out of time, and workers grow old.
 *
 * The loop takes one event after another, each in one step: what it does with one worker commutes
 * with what the others do, and a worker that dies in the middle of it might as well have died before
 * or after. The queue gives any task that waits. Room in it and quarantine are not here.
 *
 * configuration: -DTASKS=2 -DCRASHES=1 -DLIES=0 -DRECYCLED_WORKERS=0
 * configuration: -DTASKS=2 -DCRASHES=0 -DLIES=1 -DNEVER_CANCELLED
 */
#include "possible.inc"

#ifndef TASKS
#define TASKS 1 /* the first is idempotent, and may be cancelled */
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef LIES
#define LIES 1 /* a lie, a hang, a closed socket */
#endif
#ifndef RECYCLED_WORKERS
#define RECYCLED_WORKERS 1
#endif
#ifndef WORKERS
#define WORKERS 1
#endif
#ifndef SPARE
#define SPARE 1
#endif
#define SLOTS    2 /* WORKERS + SPARE */
#define HOPELESS 2

#define NO_TASK TASKS
#define GO      1 /* signals */
#define CANCEL  2
#define IDEMPOTENT(t) (t == 0)

#define ANY(condition)  (condition(0) || condition(1))
#define EACH(condition) (condition(0) && condition(1))

/* Of a worker, of what it says, why a call ends, and what the loop does next. */
mtype:worker_state = { NOBODY, STARTING, IDLE, BUSY, ENDING };
mtype:message = { HELLO, ANSWER, JUNK };
mtype:verdict = { NONE, OK, OWNERDEAD, LATE, CANCELLED, BADMSG, RECYCLED, NO_WORKERS };
mtype:event = { NOTHING, SIGNAL, MESSAGE, EXIT, TIMER, RESPAWN, STOP };

/* The parent's side of each worker. */
mtype:worker_state state[SLOTS] = NOBODY;
mtype:verdict verdict[SLOTS] = NONE;
byte task[SLOTS] = NO_TASK;
byte call_id[SLOTS]; /* 1 and 2 in turn: no older one can be heard when it is compared */
bool unheard[SLOTS], stray[SLOTS], has_served[SLOTS];
bool end_seen[SLOTS], timer[SLOTS], watched[SLOTS], worn[SLOTS];
byte alive, busy, failed_starts, useless, recycled;
bool started, respawn, stopped;

/* The kernel's side. */
byte unread[SLOTS] = NO_TASK; /* the call that lies in the worker's socket */
chan says[SLOTS] = [3] of { mtype:message, byte, byte }; /* what, id, task */
bool runs[SLOTS], killed[SLOTS], exited[SLOTS], closed[SLOTS], reset[SLOTS];

/* Tasks. */
chan jobs = [TASKS] of { byte };
byte signals[TASKS];
bool asked[TASKS], queued[TASKS], retried[TASKS], freed[TASKS];
byte worker_of[TASKS] = SLOTS;
byte references[TASKS] = 2; /* the client's and the task's own */
mtype:verdict outcome[TASKS] = NONE;
byte clients = TASKS;

/* What happened, for the assertions. */
byte computing[SLOTS] = NO_TASK;
bool lied[SLOTS], hangs[SLOTS];
bool answered[TASKS]; /* by a worker that had told no lie before */
byte reads[TASKS], deaths[TASKS];
bool late[TASKS]; /* its worker was killed for the deadline */
byte crashes = CRASHES, lies = LIES; /* how many more there may be */

#define HUNG_UP(w)  (exited[w] || closed[w])
#define IS_IDLE(w)  (state[w] == IDLE)
#define IS_WELL(w)  ((state[w] == IDLE || state[w] == BUSY) && verdict[w] == NONE && !end_seen[w])
#define COMPUTES(w) (computing[w] == t)
#define HOLDS(w)    (computing[w] == t || unread[w] == t)
#define READABLE(w) (watched[w] && (len(says[w]) > 0 || reset[w] || HUNG_UP(w)))
#define GONE(w)     (exited[w] && state[w] != NOBODY)
#define IS_LATE(w)  (timer[w] && (state[w] == BUSY || hangs[w]))

/* -- tasks ------------------------------------------------------------------------------------- */

inline drop_task(t)
{
    assert(references[t] > 0);
    references[t]--;
    freed[t] = (references[t] == 0)
}

inline task_end(how)
{
    assert(outcome[t] == NONE && !queued[t]);
    assert(how == OK || !answered[t]);
    assert(how != CANCELLED || asked[t]);
    assert(how != RECYCLED);
    assert(!ANY(HOLDS)); /* nothing of it runs any more */
    outcome[t] = how;
    drop_task(t)
}

/* signal_task */
inline signal(which, t)
{
    atomic {
        assert(!freed[t]);
        if
#ifdef MUTANT_POSTS_EVERY_SIGNAL
        :: true -> assert(!(jobs??[eval(t)])); jobs!t
#else
        :: signals[t] == 0 -> assert(!(jobs??[eval(t)])); jobs!t
        :: signals[t] != 0
#endif
        fi;
        signals[t] = signals[t] | which
    }
}

inline future_cancel(t)
{
#ifdef MUTANT_CANCEL_HOLDS_NOTHING
    d_step { assert(!freed[t]); asked[t] = true };
#else
    d_step { assert(!freed[t]); asked[t] = true; references[t]++ };
#endif
    signal(CANCEL, t)
}

/* task_start, and perhaps a cancel, which a scope may ask for before the task has been queued. */
proctype client(byte t)
{
#ifdef NEVER_CANCELLED
    signal(GO, t);
#else
    if
    :: signal(GO, t);
        if
        :: t == 0 && outcome[0] == NONE -> future_cancel(t)
        :: true
        fi
    :: t == 0 -> future_cancel(t);
        signal(GO, t)
    fi;
#endif
    d_step { drop_task(t) };

    outcome[t] != NONE;
    if
    :: t == 0 && outcome[0] == OK && deaths[0] == 0 -> POSSIBLE
    :: t == 0 && outcome[0] == OK && deaths[0] == 1 -> POSSIBLE /* retried */
    :: t == 0 && outcome[0] == OK && asked[0] -> POSSIBLE /* the answer was faster */
    :: t == 0 && outcome[0] == OWNERDEAD && deaths[0] == 2 -> POSSIBLE /* retried once */
    :: t == 0 && outcome[0] == OWNERDEAD && reads[0] == 0 -> POSSIBLE /* died twice unheard */
    :: t == 0 && outcome[0] == LATE -> POSSIBLE
    :: t == 0 && outcome[0] == CANCELLED && reads[0] == 0 -> POSSIBLE
    :: t == 0 && outcome[0] == CANCELLED && reads[0] == 1 -> POSSIBLE /* killed for it */
    :: t == 0 && outcome[0] == BADMSG -> POSSIBLE
    :: t == 0 && outcome[0] == NO_WORKERS -> POSSIBLE
    :: !IDEMPOTENT(t) && outcome[t] == OWNERDEAD && deaths[t] == 1 -> POSSIBLE /* not retried */
    :: !IDEMPOTENT(t) && outcome[t] == OK && retried[t] -> POSSIBLE /* the first had not read it */
    :: else
    fi;
    d_step { /* forget */
        outcome[t] = OK;
        reads[t] = 0;
        deaths[t] = 0;
        asked[t] = false;
        answered[t] = false;
        retried[t] = false;
        late[t] = false;
        clients--
    }
}

/* -- a worker process -------------------------------------------------------------------------- */

#define CRASH crashes > 0 -> crashes--
#define LIE   lies > 0 -> lies--

inline read_call()
{
    d_step {
        t = unread[w];
        unread[w] = NO_TASK;
        id = call_id[w];
        assert(outcome[t] == NONE && !ANY(COMPUTES));
        computing[w] = t;
        reads[t]++;
        assert(reads[t] <= 1 + IDEMPOTENT(t))
    }
}

inline answer()
{
    d_step {
        says[w]!ANSWER, id, t;
        answered[t] = !lied[w];
        computing[w] = NO_TASK;
        if
        :: lies == 0 -> id = 0; t = 0
        :: else
        fi
    }
}

proctype worker(byte w)
{
    byte t, id;

    do
    :: stopped && !runs[w] -> break
    :: runs[w] ->
        if
        :: says[w]!HELLO, 0, NO_TASK
        :: d_step { CRASH } goto dies
        :: d_step { LIE; hangs[w] = true } killed[w] -> goto dies
        :: killed[w] -> goto dies
        fi;
        do
        :: killed[w] -> break
        :: d_step { CRASH } break
        :: d_step { LIE; says[w]!JUNK, 0, NO_TASK; lied[w] = true }
        :: d_step { id > 0 && LIE; says[w]!ANSWER, id, t; lied[w] = true } /* once more */
        :: d_step { LIE; closed[w] = true; reset[w] = (unread[w] != NO_TASK); unread[w] = NO_TASK };
            killed[w] -> break
        :: unread[w] != NO_TASK -> read_call();
            do
            :: answer(); break
            :: killed[w] -> goto dies
            :: d_step { CRASH; deaths[t]++; assert(deaths[t] <= 1 + IDEMPOTENT(t)) } goto dies
            :: d_step { LIE } killed[w] -> goto dies /* hangs */
            :: d_step { LIE; says[w]!JUNK, 0, NO_TASK; lied[w] = true }
            :: d_step { LIE; closed[w] = true } killed[w] -> goto dies
            od
        od;
dies:
        atomic {
            reset[w] = (reset[w] || unread[w] != NO_TASK);
            unread[w] = NO_TASK;
            computing[w] = NO_TASK;
            id = 0;
            t = 0;
            killed[w] = false;
            hangs[w] = false;
            runs[w] = false;
            exited[w] = true
        }
    od
}

/* -- the pool ---------------------------------------------------------------------------------- */

inline kill_worker(w, why)
{
    if
#ifdef MUTANT_LAST_VERDICT_COUNTS
    :: verdict[w] != NONE -> verdict[w] = why
#endif
    :: verdict[w] == NONE ->
        verdict[w] = why;
        timer[w] = false;
        if
        :: state[w] == IDLE -> state[w] = ENDING
        :: else
        fi;
        killed[w] = runs[w]
    :: else
    fi
}

/* `more`: it did */
inline spawn_worker()
{
    if
    :: more = true
    :: CRASH; POSSIBLE; more = false /* no memory, no more processes */
    fi;
    if
    :: more ->
        s = 0;
        do
        :: state[s] != NOBODY -> s++
        :: else -> break
        od;
        state[s] = STARTING;
        timer[s] = true;
        watched[s] = true;
        runs[s] = true;
        alive++;
        s = 0
    :: else
    fi
}

#define SETBACKS    (failed_starts + useless / SLOTS)
#define IS_HOPELESS (alive == 0 && (failed_starts >= HOPELESS || !respawn))

inline fail_waiting()
{
    t = 0;
    do
    :: t < TASKS && queued[t] -> queued[t] = false; task_end(NO_WORKERS); t++
    :: t < TASKS && !queued[t] -> t++
    :: else -> break
    od;
    t = 0
}

inline spawn_missing()
{
    do
    :: !respawn && alive < SLOTS ->
        more = false;
        if
        :: SETBACKS == 0 -> spawn_worker()
        :: else
        fi;
        if
        :: more
        :: else ->
            respawn = true;
            if
            :: IS_HOPELESS -> fail_waiting()
            :: else
            fi;
            break
        fi
    :: else -> break
    od
}

#ifdef MUTANT_RECYCLES_THE_BUSY
#define MAY_RECYCLE(w) (worn[w] && state[w] != STARTING)
#else
#define MAY_RECYCLE(w) (worn[w] && state[w] == IDLE)
#endif

inline recycle()
{
    if
    :: EACH(IS_WELL) -> /* at_full_strength */
        s = 0;
        do
        :: s < SLOTS && !MAY_RECYCLE(s) -> s++
        :: else -> break
        od;
        if
        :: s < SLOTS -> kill_worker(s, RECYCLED)
        :: else
        fi;
        s = 0
    :: else
    fi
}

/* call and call_send */
inline call()
{
    queued[t] = false;
    timer[c] = true;
    if
    :: HUNG_UP(c) -> kill_worker(c, OWNERDEAD); queued[t] = true
    :: else ->
        call_id[c] = 1 + call_id[c] % 2;
        unread[c] = t;
        task[c] = t;
        worker_of[t] = c;
        state[c] = BUSY;
        busy++
    fi
}

#define QUEUE_IS_EMPTY (!queued[0] && !queued[TASKS - 1])

inline dispatch()
{
    do
    :: !QUEUE_IS_EMPTY && busy < WORKERS && ANY(IS_IDLE) ->
        if
        :: queued[0] -> t = 0
        :: queued[TASKS - 1] -> t = TASKS - 1
        fi;
        if
        :: IS_IDLE(0) -> c = 0
        :: IS_IDLE(1) -> c = 1
        fi;
        call();
        c = 0
    :: else -> break
    od
}

inline become_idle(w) { state[w] = IDLE; timer[w] = false }

inline take_answer(w)
{
    assert(t == task[w]);
    task[w] = NO_TASK;
    worker_of[t] = SLOTS;
    busy--;
    has_served[w] = true;
    useless = 0;
    if
    :: verdict[w] != NONE || end_seen[w] -> state[w] = ENDING
    :: else ->
        become_idle(w);
        if /* wears_out */
        :: recycled < RECYCLED_WORKERS && !worn[w] -> worn[w] = true; recycled++
        :: true
        fi;
        if
        :: worn[w] -> recycle()
        :: else
        fi
    fi;
    task_end(OK) /* call_finish */
}

#ifdef MUTANT_ID_NOT_COMPARED
#define ANSWERS(w) (what == ANSWER)
#else
#define ANSWERS(w) (what == ANSWER && id == call_id[w])
#endif

/* hear and call_hear; `more`: there may be */
inline hear(w)
{
    more = false;
    if
    :: reset[w] -> reset[w] = false; unheard[w] = true; more = true
    :: verdict[w] == BADMSG && !reset[w]
    :: verdict[w] != BADMSG && !reset[w] && len(says[w]) > 0 ->
        says[w]?what, id, t;
        if
        :: state[w] == STARTING && what == HELLO && verdict[w] == NONE -> /* take_hello */
            failed_starts = 0;
            become_idle(w);
            spawn_missing();
            recycle();
            more = true
        :: state[w] == BUSY && ANSWERS(w) -> take_answer(w); more = true
        :: else ->
            if
            :: state[w] == BUSY && what == ANSWER && id != call_id[w] -> stray[w] = true; POSSIBLE
            :: else
            fi;
            kill_worker(w, BADMSG)
        fi
    :: verdict[w] != BADMSG && !reset[w] && len(says[w]) == 0 && HUNG_UP(w) ->
        kill_worker(w, OWNERDEAD);
#ifdef MUTANT_LOST_AT_HANG_UP
        t = task[w];
        if
        :: t != NO_TASK ->
            task[w] = NO_TASK;
            state[w] = ENDING;
            busy--;
            call_lost(OWNERDEAD, unheard[w])
        :: else
        fi
#endif
    :: else
    fi
}

inline on_message(w)
{
    hear(w);
    watched[w] = !(HUNG_UP(w) || verdict[w] == BADMSG);
    dispatch()
}

inline overran(w)
{
    if
    :: task[w] != NO_TASK && verdict[w] == NONE -> late[task[w]] = true
    :: else
    fi;
    kill_worker(w, LATE)
}

#if defined(MUTANT_RETRIES_WHAT_WAS_READ)
#define MAY_RETRY(why, never_read) (why == OWNERDEAD && !retried[t])
#elif defined(MUTANT_RETRIES_FOR_EVER)
#define MAY_RETRY(why, never_read) (why == OWNERDEAD && (IDEMPOTENT(t) || never_read))
#else
#define MAY_RETRY(why, never_read)                                                                 \
    (why == OWNERDEAD && (IDEMPOTENT(t) || never_read) && !retried[t])
#endif

inline call_lost(why, never_read)
{
    worker_of[t] = SLOTS;
    if
    :: why == CANCELLED || asked[t] -> task_end(CANCELLED)
    :: why != CANCELLED && !asked[t] && MAY_RETRY(why, never_read) ->
        assert(!answered[t] && !late[t]);
        retried[t] = true;
        queued[t] = true
    :: else -> task_end(why)
    fi
}

inline worker_free(w)
{
    do
    :: len(says[w]) > 0 -> says[w]?_, _, _
    :: else -> break
    od;
    state[w] = NOBODY;
    verdict[w] = NONE;
    task[w] = NO_TASK;
    call_id[w] = 0;
    unheard[w] = false;
    stray[w] = false;
    has_served[w] = false;
    end_seen[w] = false;
    timer[w] = false;
    watched[w] = false;
    worn[w] = false;
    exited[w] = false;
    closed[w] = false;
    reset[w] = false;
    lied[w] = false
}

inline on_exit_seen(w)
{
    end_seen[w] = true;
#ifndef MUTANT_DOES_NOT_DRAIN
    do
    :: hear(w);
        if
        :: more
        :: else -> break
        fi
    od;
#endif
    t = task[w]; /* the process has been reaped now */
    why = verdict[w];
    more = unheard[w];
    if /* judge_start */
    :: state[w] == STARTING -> failed_starts++
    :: state[w] != STARTING && why == OWNERDEAD && !has_served[w] &&
        (state[w] == ENDING || unheard[w]) -> useless++; POSSIBLE
    :: else
    fi;
    if
    :: why == NONE || why == BADMSG && (unheard[w] || stray[w]) -> why = OWNERDEAD
    :: else
    fi;
    alive--;
    if
#ifndef MUTANT_STAYS_BUSY
    :: state[w] == BUSY -> busy--
#endif
    :: else
    fi;
    worker_free(w);
    if
    :: t != NO_TASK -> call_lost(why, more)
    :: else
    fi;
    spawn_missing();
    dispatch()
}

inline submit()
{
    started = true;
    spawn_missing();
    t = id;
    if
    :: IS_HOPELESS -> task_end(NO_WORKERS)
    :: else -> queued[t] = true; dispatch()
    fi
}

inline process_pool_cancel()
{
    c = worker_of[t];
    if
    :: c != SLOTS ->
        kill_worker(c, CANCELLED);
#ifdef MUTANT_CANCELLED_AT_ONCE
        task[c] = NO_TASK;
        worker_of[t] = SLOTS;
        task_end(CANCELLED)
#endif
    :: c == SLOTS && queued[t] -> queued[t] = false; task_end(CANCELLED)
    :: else
    fi;
    c = 0
}

inline run_signals()
{
    jobs?t;
    assert(!freed[t]);
    id = t;
    present = signals[t];
    signals[t] = 0;
    if
    :: present & GO && asked[t] -> task_end(CANCELLED)
    :: present & GO && !asked[t] -> submit()
    :: !(present & GO) && outcome[t] == NONE -> process_pool_cancel()
    :: else
    fi;
    if
    :: present & CANCEL -> drop_task(id)
    :: else
    fi;
    present = 0
}

inline respawn_due()
{
    respawn = false;
    assert(alive < SLOTS);
    spawn_worker();
    if
    :: !more -> failed_starts++
    :: else
    fi;
    if
#ifndef MUTANT_FAILED_SPAWN_FORGOTTEN
    :: !more || failed_starts == 0 -> spawn_missing()
#endif
    :: else
    fi
}

/* The work is done, and the pool is at full strength. */
#define ALL_IS_DONE (clients == 0 && empty(jobs) && (!started || EACH(IS_IDLE)))

proctype loop()
{
    byte t, id, c, s, w, present;
    bool more;
    mtype:message what;
    mtype:verdict why = NONE;
    mtype:event event = NOTHING;

    do
    :: atomic {
            if
            :: nempty(jobs) -> event = SIGNAL
            :: READABLE(0) -> event = MESSAGE; w = 0
            :: READABLE(1) -> event = MESSAGE; w = 1
            :: GONE(0) -> event = EXIT; w = 0
            :: GONE(1) -> event = EXIT; w = 1
            :: IS_LATE(0) -> event = TIMER; w = 0
            :: IS_LATE(1) -> event = TIMER; w = 1
            :: respawn -> event = RESPAWN
            :: ALL_IS_DONE -> event = STOP
            fi;
            if
            :: event == SIGNAL -> run_signals()
            :: event == MESSAGE -> on_message(w)
            :: event == EXIT -> on_exit_seen(w)
            :: event == TIMER -> overran(w)
            :: event == RESPAWN -> respawn_due()
            :: event == STOP -> break
            fi;
            t = 0;
            id = 0;
            w = 0;
            more = false;
            what = JUNK;
            why = NONE;
            event = NOTHING
        }
    od;
    atomic { /* process_pool_stop */
        killed[0] = runs[0];
        killed[1] = runs[1];
        stopped = true
    }
}

init
{
    atomic {
        run loop();
        run worker(0);
        run worker(1);
#if TASKS > 1
        run client(1);
#endif
        run client(0)
    }
    _nr_pr == 1; /* all have ended */
    assert(freed[0] && freed[TASKS - 1])
}
