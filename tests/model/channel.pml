/*
 * core/async/channel.c: two tasks put, one gets, one closes; what they wait for may be cancelled,
 * and the owners leave in any order. In the other configuration the second task does not put, but
 * waits for the channel to be closed. What is done under the channel's mutex is one step. Promises
 * settle once here; settle.pml is about that.
 *
 * configuration: -DWATCHED
 */
#include "possible.inc"

#define CAPACITY 1
#define ITEMS    3 /* 0 and 1 are put by one task, 2 by the other */

/* Waiters: a putter has the number of its item; only the first wait of the getter is cancelled. */
#define GETTER       3
#define GETTER_AGAIN 4
#define WATCHER      5
#define WAITERS      6
#define NOBODY       255

#define IS_PUTTER(w) (w < ITEMS)

mtype = { NO_FUTURE, PENDING, OK, BROKEN_PIPE, CANCELLED };
mtype:job = { CANCEL, SERVE };

chan items = [CAPACITY] of { byte };
chan putters = [ITEMS] of { byte };
chan getters = [1] of { byte };
chan closers = [1] of { byte };
byte owners = 4, references = 1;
bool closed, freed;
mtype:closing = { SOON, WHEN_ALL_IS_PUT, BY_LEAVING };
mtype:closing closing; /* by the last owner that leaves */

bool parked[WAITERS], failed[WAITERS];
mtype future[WAITERS] = NO_FUTURE;

chan jobs = [4] of { mtype:job, byte };
byte running = 5; /* threads that are not the loop */

bool got[ITEMS], destroyed[ITEMS];

inline destroy(i) { assert(!got[i] && !destroyed[i]); destroyed[i] = true }

inline get(i)
{
    assert(!got[i] && !destroyed[i]);
    assert(i != 0 || !got[1]); /* in the order in which they were put */
    got[i] = true
}

/* The last one destroys what nobody got. */
inline unref()
{
    assert(!freed && references > 0);
    references--;
    if
    :: references == 0 ->
        freed = true;
        do
        :: len(items) > 0 -> items?item; destroy(item)
        :: else -> break
        od;
        item = 0
    :: else
    fi
}

/* run_serve, and cancel_parked for a waiter that was taken off: the end of `w` */
inline end_parked(w, how)
{
    d_step {
        assert(parked[w] && future[w] == PENDING);
        if
#ifdef MUTANT_CANCEL_KEEPS_ITEM
        :: IS_PUTTER(w) && how == BROKEN_PIPE -> destroy(w)
#else
        :: IS_PUTTER(w) && how != OK -> destroy(w)
#endif
        :: else
        fi;
        future[w] = how;
        parked[w] = false;
        failed[w] = false;
        unref()
    }
}

/* serve_parked */
#ifdef MUTANT_SERVES_AT_ONCE
inline serve(w, error) { end_parked(w, (error -> BROKEN_PIPE : OK)) }
#else
inline serve(w, error) { atomic { assert(parked[w]); failed[w] = error; jobs!SERVE, w } }
#endif

inline park(queue, w)
{
    parked[w] = true;
    future[w] = PENDING;
#ifndef MUTANT_PARKS_WITHOUT_REFERENCE
    references++;
#endif
    queue!w
}

inline channel_put(i)
{
    atomic {
        assert(!freed);
        if
        :: closed -> refused = true
        :: !closed && len(items) < CAPACITY ->
            items!i;
            future[i] = OK;
#ifndef MUTANT_PUT_TELLS_NOBODY
            if
            :: len(getters) > 0 -> getters?told
            :: else
            fi
#endif
        :: !closed && len(items) == CAPACITY -> park(putters, i)
        fi
    };
    if
    :: refused -> d_step { destroy(i); future[i] = BROKEN_PIPE; refused = false }
    :: told != NOBODY -> serve(told, false); told = NOBODY
    :: else
    fi
}

/* `any`: there was one. */
inline channel_try_get()
{
    atomic {
        assert(!freed);
        any = len(items) > 0;
        if
        :: any ->
            items?item;
            get(item);
            item = 0;
#ifndef MUTANT_GET_LEAVES_PUTTERS_PARKED
            if
            :: len(putters) > 0 -> putters?told; items!told
            :: else
            fi
#endif
        :: else
        fi
    };
    if
    :: told != NOBODY -> serve(told, false); told = NOBODY
    :: else
    fi
}

inline channel_ready()
{
    atomic {
        assert(!freed);
        if
        :: len(items) > 0 -> future[waiter] = OK
        :: len(items) == 0 && closed -> future[waiter] = BROKEN_PIPE
        :: len(items) == 0 && !closed -> park(getters, waiter)
        fi
    }
}

inline channel_closed(w)
{
    atomic {
        assert(!freed);
        if
        :: closed -> future[w] = OK
        :: !closed -> park(closers, w)
        fi
    }
}

inline channel_close()
{
    atomic {
        assert(!freed);
        closed = true;
#ifndef MUTANT_CLOSE_FORGETS_PUTTERS
        do
        :: len(putters) > 0 -> putters?told; serve(told, true)
        :: else -> break
        od;
#endif
#ifndef MUTANT_CLOSE_FORGETS_GETTERS
        do
        :: len(getters) > 0 -> getters?told; serve(told, len(items) == 0)
        :: else -> break
        od;
#endif
#ifndef MUTANT_CLOSE_FORGETS_CLOSERS
        do
        :: len(closers) > 0 -> closers?told; serve(told, false)
        :: else -> break
        od;
#endif
        told = NOBODY
    }
}

inline channel_drop()
{
    d_step { owners--; last = (owners == 0) };
    if
    :: last ->
#ifndef MUTANT_LAST_OWNER_DOES_NOT_CLOSE
        channel_close();
#endif
        d_step { unref() }
    :: else
    fi
}

#define HAS_ENDED(w)  (future[w] != PENDING && future[w] != NO_FUTURE)
#define IS_SETTLED(w) (future[w] != PENDING)

proctype putter(byte first, last_one)
{
    byte told = NOBODY, item;
    bool last, refused;

    channel_put(first);
    if
    :: last_one > first -> channel_put(last_one)
    :: else
    fi;
    channel_drop();
    d_step { IS_SETTLED(first) && IS_SETTLED(last_one) -> running-- }
}

proctype watcher()
{
    byte told = NOBODY, item;
    bool last;

    channel_closed(WATCHER);
    if
    :: channel_drop();
        IS_SETTLED(WATCHER)
    :: IS_SETTLED(WATCHER);
        if
        :: future[WATCHER] == OK -> POSSIBLE; assert(closed)
        :: future[WATCHER] == CANCELLED -> POSSIBLE
        fi;
        channel_drop()
    fi;
    running--
}

proctype getter()
{
    byte waiter = GETTER, told = NOBODY, item;
    bool any, last, left;

    do
    :: channel_try_get();
        if
        :: any /* goes on */
        :: any && closing != WHEN_ALL_IS_PUT -> break /* has enough */
        :: !any ->
            channel_ready();
            if
            :: future[waiter] == PENDING ->
                if
                :: closing != BY_LEAVING -> POSSIBLE
                :: closing != WHEN_ALL_IS_PUT -> POSSIBLE; channel_drop(); left = true
                fi;
                IS_SETTLED(waiter)
            :: else
            fi;
            if
            :: future[waiter] == BROKEN_PIPE -> POSSIBLE;
                assert(left || closed && empty(items));
                break
            :: future[waiter] == OK && left -> POSSIBLE; break
            :: future[waiter] == OK && !left -> POSSIBLE
            :: future[waiter] == CANCELLED && closing != WHEN_ALL_IS_PUT -> POSSIBLE; break
            :: future[waiter] == CANCELLED && !left -> POSSIBLE
            fi;
            waiter = GETTER_AGAIN
        fi
    od;
    if
    :: !left -> channel_drop()
    :: left
    fi;
    running--
}

proctype closer()
{
    byte told = NOBODY, item;
    bool last;

    if
    :: closing == SOON -> channel_close()
    :: closing == WHEN_ALL_IS_PUT && HAS_ENDED(0) && HAS_ENDED(1) && HAS_ENDED(2) -> channel_close()
    :: closing == BY_LEAVING
    fi;
    channel_drop();
    running--
}

/* future_cancel() of what is pending, or of nothing */
proctype canceller()
{
    if
    :: atomic { future[0] == PENDING -> jobs!CANCEL, 0; running-- }
#ifdef WATCHED
    :: atomic { future[WATCHER] == PENDING -> jobs!CANCEL, WATCHER; running-- }
#else
    :: atomic { future[2] == PENDING -> jobs!CANCEL, 2; running-- }
#endif
    :: atomic { future[GETTER] == PENDING -> jobs!CANCEL, GETTER; running-- }
    :: running--
    fi
}

/* Loop thread; the request may come when the waiter has just been served. */
inline cancel_parked(w)
{
    atomic {
        assert(parked[w] && !freed);
        if
        :: putters??[eval(w)] -> putters??eval(w); waiting = true
        :: getters??[eval(w)] -> getters??eval(w); waiting = true
        :: closers??[eval(w)] -> closers??eval(w); waiting = true
#ifdef MUTANT_CANCELS_THE_SERVED
        :: else -> waiting = true
#else
        :: else
#endif
        fi
    };
    if
    :: waiting -> waiting = false; end_parked(w, CANCELLED)
    :: else
    fi
}

proctype loop()
{
    byte w, item;
    bool waiting;

    do
    :: jobs?CANCEL, w ->
        if
        :: future[w] == PENDING -> cancel_parked(w)
        :: else
        fi;
        w = 0
    :: jobs?SERVE, w ->
        end_parked(w, (failed[w] -> BROKEN_PIPE : OK)); /* run_serve */
        w = 0
    :: running == 0 && empty(jobs) -> break
    od
}

init
{
    byte i;

    atomic {
        if
        :: closing = SOON
        :: closing = WHEN_ALL_IS_PUT
        :: closing = BY_LEAVING
        fi;
        run putter(0, 1);
#ifdef WATCHED
        run watcher();
        got[2] = true; /* it is no item */
        future[2] = OK;
#else
        run putter(2, 2);
#endif
        run getter();
        run closer();
        run canceller();
        run loop()
    }
    _nr_pr == 1; /* all have ended */
    assert(freed && closed && owners == 0 && empty(putters) && empty(getters) && empty(closers));
    do
    :: i < ITEMS ->
        assert(!parked[i] && HAS_ENDED(i) && !parked[WATCHER]);
        assert(got[i] != destroyed[i]); /* nothing lost, nothing doubled */
        assert(future[i] == OK || destroyed[i]);
        i++
    :: else -> break
    od;
    if
    :: got[0] && got[1] && got[2] -> POSSIBLE
    :: future[1] == OK && destroyed[1] -> POSSIBLE /* nobody came for it */
    :: future[0] == CANCELLED -> POSSIBLE
    :: future[1] == BROKEN_PIPE -> POSSIBLE
    :: else
    fi
}
