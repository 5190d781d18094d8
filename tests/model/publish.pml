/*
 * core/async/future.c: what the memory orders of the settle path are for. Stores are seen by others
 * late and in any order, except that
 *
 *     a store-release is seen after all earlier stores of its thread (state, tiny_unlock,
 *     sem_post),
 *     a read-modify-write acts on memory, after earlier ones where it releases (tiny_lock, the
 *     drop),
 *     nothing that follows a load-acquire is done before it (future_state, tiny_lock, sem_wait).
 *
 * That is weaker than x86 and than ARMv8. Where a mutant takes an acquire away, the load that
 * follows it may be done first.
 *
 * every run ends
 */
#include "possible.inc"

#define SETTLER 0 /* threads that store; the reader stores nothing */
#define BLOCKER 1

#define VALUE  0 /* what is stored: future.value and what it points to */
#define STATE  1
#define LINKED 2 /* the blocker's waiter is on the list */
#define HELD   3 /* the tiny_lock */
#define TOLD   4 /* the blocker's semaphore */
#define LOCATIONS 5

#define NOT_YET   0 /* of VALUE */
#define WRITTEN   1
#define DESTROYED 2

#define BIT(location) (1 << location)
#define AT(thread, location) (LOCATIONS * thread + location)

byte memory[LOCATIONS];
byte waiting[2]; /* by thread: the locations to which a store has not been seen yet */
byte stored[2 * LOCATIONS], after[2 * LOCATIONS]; /* what, and which stores must be seen before */
byte references = 3;
byte running = 3;

inline store(thread, location, what)
{
    d_step {
        !(waiting[thread] & BIT(location)) ->
        stored[AT(thread, location)] = what;
        waiting[thread] = waiting[thread] | BIT(location)
    }
}

inline store_release(thread, location, what)
{
    d_step {
        !(waiting[thread] & BIT(location)) ->
        stored[AT(thread, location)] = what;
        after[AT(thread, location)] = waiting[thread];
        waiting[thread] = waiting[thread] | BIT(location)
    }
}

/* One store of `thread` is seen. */
inline see(thread, location)
{
    d_step {
        waiting[thread] & BIT(location) && !(after[AT(thread, location)] & waiting[thread]) ->
        memory[location] = stored[AT(thread, location)];
        stored[AT(thread, location)] = 0;
        waiting[thread] = waiting[thread] & ~BIT(location);
        /* A later store to the same place is not the one that others come after. */
        do
        :: other < LOCATIONS ->
            after[AT(thread, other)] = after[AT(thread, other)] & ~BIT(location);
            other++
        :: else -> break
        od;
        other = 0
    }
}

proctype store_buffers()
{
    byte other;

end:
    do
    :: see(SETTLER, VALUE)
    :: see(SETTLER, STATE)
    :: see(SETTLER, LINKED)
    :: see(SETTLER, HELD)
    :: see(SETTLER, TOLD)
    :: see(BLOCKER, LINKED)
    :: see(BLOCKER, HELD)
    od
}

inline tiny_lock(thread)
{
    d_step { !(waiting[thread] & BIT(HELD)) && !memory[HELD] -> memory[HELD] = true }
}

#ifdef MUTANT_UNLOCK_RELAXED
#define tiny_unlock(thread) store(thread, HELD, false)
#else
#define tiny_unlock(thread) store_release(thread, HELD, false)
#endif

inline destroy()
{
    assert(memory[VALUE] == WRITTEN);
    memory[VALUE] = DESTROYED
}

/* future_drop, acquire and release */
inline future_drop(thread)
{
    d_step {
        waiting[thread] == 0 -> references--;
        if
        :: references == 0 -> destroy()
        :: else
        fi
    }
}

proctype settler()
{
    tiny_lock(SETTLER);
    assert(!memory[STATE]);
#ifdef MUTANT_STATE_BEFORE_VALUE
    store_release(SETTLER, STATE, true);
    store(SETTLER, VALUE, WRITTEN);
#else
    store(SETTLER, VALUE, WRITTEN);
#ifdef MUTANT_STATE_RELAXED
    store(SETTLER, STATE, true);
#else
    store_release(SETTLER, STATE, true);
#endif
#endif
    if
    :: memory[LINKED] ->
        store(SETTLER, LINKED, false);
        store_release(SETTLER, TOLD, true) /* sem_post */
    :: else
    fi;
    tiny_unlock(SETTLER);
    future_drop(SETTLER);
    running--
}

/* block(), patient */
proctype blocker()
{
    bool settled;

    settled = memory[STATE];
    if
    :: settled
    :: !settled ->
#ifdef MUTANT_LOCK_RELAXED
        settled = memory[STATE];
        tiny_lock(BLOCKER);
#else
        tiny_lock(BLOCKER);
        settled = memory[STATE];
#endif
        if
        :: !settled -> store(BLOCKER, LINKED, true)
        :: settled
        fi;
        tiny_unlock(BLOCKER);
        if
        :: !settled ->
            memory[TOLD]; /* sem_wait */
            tiny_lock(BLOCKER);
            assert(!memory[LINKED]);
            tiny_unlock(BLOCKER)
        :: settled -> POSSIBLE /* settled between the two looks */
        fi;
        assert(memory[STATE])
    fi;
    assert(memory[VALUE] == WRITTEN); /* future_value */
    future_drop(BLOCKER);
    running--
}

/* future_state and future_value without a lock */
proctype reader()
{
    bool settled;
    byte early = WRITTEN;

#ifdef MUTANT_LOOK_RELAXED
    early = memory[VALUE];
#endif
    settled = memory[STATE];
#ifdef MUTANT_DROP_RELAXED
    d_step {
        references--;
        if
        :: references == 0 -> destroy()
        :: else
        fi
    };
#endif
    if
    :: settled -> POSSIBLE;
        d_step { assert(early == WRITTEN && memory[VALUE] == WRITTEN) }
    :: !settled -> POSSIBLE
    fi;
#ifndef MUTANT_DROP_RELAXED
    d_step {
        references--;
        if
        :: references == 0 -> destroy()
        :: else
        fi
    };
#endif
    running--
}

init
{
    atomic {
        run store_buffers();
        run settler();
        run blocker();
        run reader()
    }
    running == 0 && waiting[SETTLER] == 0 && waiting[BLOCKER] == 0;
    assert(memory[VALUE] == DESTROYED && memory[STATE] && !memory[HELD] && !memory[LINKED])
}
