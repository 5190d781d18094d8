/*
 * core/async/loop.c: posting to a loop that falls asleep. Threads push jobs on the stack and write
 * to the eventfd when `asleep` says so; the loop takes the stack, runs, and sleeps in epoll_wait.
 *
 * Stores are not seen at once: each goes into its thread's buffer, from which `memory` takes it
 * whenever it likes. A sequentially consistent store is one whose thread goes on when it has been
 * taken; a compare-and-exchange acts on memory, and finds the buffer of its thread empty.
 *
 * every run ends
 */
#define POSTERS 2

/* Jobs: 0 and 1 are of one poster, 2 of the other. */
#define OWN  3 /* posted on the loop, by job 0 */
#define STOP 4 /* set_stopping: posted by the main thread when all others have run */
#define JOBS 5
#define BIT(job) (1 << job)

#define NIL   255
#define UNSET 254 /* job->next, before the store to it has been taken */

byte next[JOBS] = UNSET;
byte posted = NIL;
bool asleep;
byte eventfd;
chan queue = [JOBS] of { byte }; /* loop.first: loop thread only */
bool stopping;

chan buffer[POSTERS + 1] = [1] of { byte, byte }; /* stores to a job's next; the last is main's */
chan loop_buffer = [1] of { bool };               /* stores to `asleep` */

byte pushed, ran, before_own; /* sets of jobs */

proctype memory()
{
    byte job, older;
    bool flag;

end:
    do
    :: atomic { buffer[0]?job, older; next[job] = older; job = 0; older = 0 }
    :: atomic { buffer[1]?job, older; next[job] = older; job = 0; older = 0 }
    :: atomic { buffer[2]?job, older; next[job] = older; job = 0; older = 0 }
    :: atomic { loop_buffer?flag; asleep = flag; flag = false }
    od
}

/* loop_post() by another thread */
inline post(who, job)
{
#ifdef MUTANT_LOOKS_BEFORE_PUSH
    saw_asleep = asleep;
#endif
    seen = posted;
    do
    :: buffer[who]!job, seen;
#ifndef MUTANT_PUSH_RELAXED
        empty(buffer[who]);
#endif
        if
        :: atomic { posted == seen -> posted = job; pushed = pushed | BIT(job); seen = 0 };
            break
        :: atomic { posted != seen -> seen = posted }
        fi
    od;
#ifndef MUTANT_LOOKS_BEFORE_PUSH
    saw_asleep = asleep;
#endif
    if
    :: saw_asleep ->
        atomic { saw_asleep = asleep; asleep = false };
        if
        :: saw_asleep -> eventfd++
        :: else
        fi
    :: else
    fi
}

proctype poster(byte who)
{
    byte seen;
    bool saw_asleep;

    post(who, 2 * who);
    if
    :: who == 0 -> post(who, 1)
    :: else
    fi
}

/* take_posted: the exchange, and then a list that no other thread sees */
inline take_posted()
{
    if
    :: posted == NIL
    :: atomic {
            posted != NIL -> newest = posted; posted = NIL;
            oldest = NIL;
            do
            :: newest != NIL ->
                assert(next[newest] != UNSET);
                following = next[newest];
#ifdef MUTANT_NEWEST_FIRST
                queue!newest;
#else
                next[newest] = oldest;
                oldest = newest;
#endif
                newest = following
            :: else -> break
            od;
            do
            :: oldest != NIL -> queue!oldest; oldest = next[oldest]
            :: else -> break
            od;
            following = 0;
            newest = 0;
            oldest = 0
        }
    fi
}

/* What a job does; `before_own` is what was posted before it posts OWN. */
inline run_job(job)
{
    d_step {
        assert(!(ran & BIT(job)));
        ran = ran | BIT(job);
        assert(job != 1 || ran & BIT(0));
        assert(job != OWN || (before_own & ran) == before_own)
    };
    if
    :: job == 0 -> /* loop_post() by the loop */
        before_own = pushed;
#ifndef MUTANT_OWN_POSTS_OVERTAKE
        take_posted();
#endif
        queue!OWN
    :: job == STOP -> stopping = true
    :: else
    fi
}

inline run_jobs()
{
    take_posted();
    count = len(queue);
    do
    :: count > 0 -> queue?job; count--; run_job(job)
    :: else -> break
    od;
    job = 0
}

inline store_asleep(value)
{
    loop_buffer!value;
#ifndef MUTANT_ASLEEP_RELAXED
    empty(loop_buffer)
#endif
}

/* `told`: epoll_wait reports the eventfd. */
inline poll_events()
{
    at_once = nempty(queue) || stopping;
    if
    :: !at_once ->
#if defined(MUTANT_LOOKS_BEFORE_ASLEEP)
        at_once = posted != NIL;
        store_asleep(true)
#elif defined(MUTANT_NO_SECOND_LOOK)
        store_asleep(true)
#else
        store_asleep(true);
        at_once = posted != NIL
#endif
    :: at_once
    fi;
    if
    :: at_once -> told = eventfd > 0
    :: !at_once && eventfd > 0 -> told = true
    :: !at_once && others > 0 -> others--; told = eventfd > 0 /* a timer, another descriptor */
    fi;
    at_once = false;
    store_asleep(false);
    if
    :: told -> told = false;
#ifndef MUTANT_EVENTFD_NOT_READ
        eventfd = 0 /* on_wake */
#endif
    :: else
    fi
}

proctype loop()
{
    byte newest, oldest, following, count, job, others = 1;
    bool told, at_once;

    do
    :: !stopping -> run_jobs(); poll_events()
    :: else -> break
    od;
    assert(posted == NIL && empty(queue))
}

init
{
    byte seen;
    bool saw_asleep;

    atomic {
        run memory();
        run loop();
        run poster(0);
        run poster(1)
    }
    ran == BIT(STOP) - 1;
    post(POSTERS, STOP);
    ran == BIT(JOBS) - 1
}
