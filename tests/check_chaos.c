/*
 * Random programs, on the mock: tasks of every kind that start, await and cancel each other in
 * nested scopes, with continuations and a channel, over workers that answer, die, hang and lie, and
 * are killed now and then. Whatever happens, each task's frame is dropped once, its future is
 * settled once, its outcome is one that what happened allows, and in the end nothing is left.
 *
 * A program is made of its seed; where one fails, the seed is in the message.
 */
#include "core/async/async.h"
#include "core/async/internal.h"
#include "core/async/mock.h"
#include "core/async/wire.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROGRAMS = SANITIZED_THREAD || SANITIZED_ADDRESS ? 80 : 400,
    LIVES = 150,
    SCOPES = 64,
    ROUNDS = 30,
    NOTHING = INT_MIN, /* a task has not given its outcome */
    SOON_MS = 100,
};

/* Until then every program must have come to its end. */
#define LAST_NS (MOCK_EPOCH_NS + 60 * NS_PER_SEC)

enum kind { ACTOR, CAREFUL, THREADED, ABANDONABLE, CALL, CALL_AGAIN, CALL_SOON, KINDS };

/* What is known of one task. */
struct life {
    enum kind kind;
    future *f;           /* a reference, until the end */
    struct scope *scope; /* as well */
    atomic_uint begun, drops, ends;
    atomic_int gave; /* its outcome: an error, or 0 */
    /* of a call */
    unsigned calls, serves;
    unsigned allowed; /* enum outcome, of the last one */
    char lie[64];
};

enum outcome {
    MAY_BE_OK = 1,
    MAY_BE_LOST = 2,
    MAY_BE_BAD = 4,
    MAY_BE_LATE = 8,
    MAY_BE_WRONG = 16,
    MAY_FAIL = 32
};

static struct {
    uint64_t seed;
    uint64_t random; /* of what the test itself does */
    bool threads;    /* are used */
    pthread_mutex_t lock;
    struct life lives[LIVES];
    size_t count;
    struct scope *scopes[SCOPES];
    size_t scope_count;
    struct channel *channel;
    atomic_int items;
    atomic_uint thens, thens_run;
    bool badly_born, meddled;
    uint64_t history; /* a hash of what has ended, when and how */
} chaos = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define CHECK_CHAOS(condition)                                                                     \
    ck_assert_msg((condition), "program %lu: not so: %s", (unsigned long)chaos.seed, #condition)

/* -- chance ------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static unsigned chance(uint64_t *random, unsigned n)
{
    *random += 0x9e3779b97f4a7c15;
    return (unsigned)(mix(*random) % n);
}

/* Often at once or nearly so, that things meet. */
static uint64_t some_time(uint64_t *random)
{
    switch (chance(random, 4)) {
    case 0:
        return 0;
    case 1:
        return (1 + chance(random, 400)) * NS_PER_MS;
    default:
        return 1 + chance(random, 4);
    }
}

/* -- what there is ----------------------------------------------------------------------------- */

/*
 * A reference to the future of some task from number `first` on, a settled one when there is none.
 * Who awaits one that was started after itself awaits nobody who awaits it.
 */
static future *some_life_from(size_t first, uint64_t *random)
{
    pthread_mutex_lock(&chaos.lock);
    size_t n = chaos.count > first ? chaos.count - first : 0;
    future *f = n ? chaos.lives[first + chance(random, (unsigned)n)].f : future_done();
    future_ref(f);
    pthread_mutex_unlock(&chaos.lock);
    return f;
}

static future *some_life(uint64_t *random)
{
    return some_life_from(0, random);
}

static void cancel_some_life(uint64_t *random)
{
    future *f = some_life(random);

    future_cancel(f);
    future_drop(f);
}

static void cancel_some_scope(uint64_t *random)
{
    pthread_mutex_lock(&chaos.lock);
    struct scope *s =
        chaos.scope_count ? chaos.scopes[chance(random, (unsigned)chaos.scope_count)] : NULL;
    pthread_mutex_unlock(&chaos.lock);
    if (s)
        scope_cancel(s, -EINTR);
}

static void remember_scope(struct scope *s)
{
    pthread_mutex_lock(&chaos.lock);
    if (chaos.scope_count < SCOPES)
        chaos.scopes[chaos.scope_count++] = scope_ref(s);
    pthread_mutex_unlock(&chaos.lock);
}

static void item_destroyed(void *item)
{
    free(item);
    atomic_fetch_sub(&chaos.items, 1);
}

static void *item_new(void)
{
    void *item = malloc(1);

    ck_assert_ptr_nonnull(item);
    atomic_fetch_add(&chaos.items, 1);
    return item;
}

static void then_run(future *done, promise *next, void *arg)
{
    (void)arg;
    CHECK_CHAOS(future_settled(done));
    atomic_fetch_add(&chaos.thens_run, 1);
    promise_resolve(next, NULL, NULL);
    promise_drop(next);
}

static future *then_of(future *f, uint64_t *random)
{
    bool thread = chaos.threads && chance(random, 2);

    atomic_fetch_add(&chaos.thens, 1);
    return future_then(f, thread ? EXECUTOR_THREAD : EXECUTOR_LOOP, then_run, NULL);
}

/* -- calls ------------------------------------------------------------------------------------- */

struct call_frame {
    struct life *life;
};

static uint32_t index_of(const struct life *life)
{
    return (uint32_t)(life - chaos.lives);
}

static ssize_t call_pack(void *frame, char *request, size_t capacity)
{
    uint32_t index = index_of(((struct call_frame *)frame)->life);

    CHECK_CHAOS(capacity >= sizeof index);
    memcpy(request, &index, sizeof index);
    return sizeof index;
}

static ssize_t call_serve(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity)
{
    uint32_t index;

    (void)deadline_ns;
    CHECK_CHAOS(request.len == sizeof index && capacity >= sizeof index);
    memcpy(&index, request.ptr, sizeof index);
    chaos.lives[index].serves++;
    index = ~index;
    memcpy(reply, &index, sizeof index);
    return sizeof index;
}

static void call_unpack(task *t, void *frame, struct bytes reply)
{
    struct life *life = ((struct call_frame *)frame)->life;
    uint32_t right = ~index_of(life);
    bool fine = reply.len == sizeof right && memcmp(reply.ptr, &right, sizeof right) == 0;

    if (fine)
        task_return(t, life, NULL);
    else
        task_fail(t, -EPROTO, NULL, NULL);
}

static void life_drop(void *frame)
{
    atomic_fetch_add(&((struct call_frame *)frame)->life->drops, 1);
}

static size_t call_size(const void *frame)
{
    return 10 + index_of(((const struct call_frame *)frame)->life) % 90;
}

#define CALL_FIELDS                                                                                \
    .pack = call_pack, .serve = call_serve, .unpack = call_unpack, .drop = life_drop,              \
    .size = call_size

TASK(chaos_call, ON_PROCESS, sizeof(struct call_frame), CALL_FIELDS);
TASK(chaos_call_again, ON_PROCESS, sizeof(struct call_frame), CALL_FIELDS, .idempotent = true);
TASK(chaos_call_soon, ON_PROCESS, sizeof(struct call_frame), CALL_FIELDS, .timeout_ms = SOON_MS);

/* A message that a worker should not send, or should; what may come of it. */
static struct bytes make_lie(struct life *life, uint64_t id, uint64_t *random)
{
    struct wire_reply head = {.id = id};
    size_t length = sizeof head;
    uint32_t right = ~index_of(life);

    life->allowed = MAY_BE_BAD;
    switch (chance(random, 10)) {
    case 0:
        length = chance(random, sizeof head);
        break;
    case 1:
        head.id = id + 1;
        break;
    case 2:
        head.error = 7;
        break;
    case 3:
        head.error = -ECANCELED;
        break;
    case 4:
        head.error = -5000;
        break;
    case 5:
        head.error = -EILSEQ;
        life->allowed = MAY_FAIL;
        break;
    case 6:
        length += 9;
        life->allowed = MAY_BE_WRONG;
        break;
    case 7:
        life->allowed = MAY_BE_WRONG;
        break;
    case 8: /* as if an earlier call had had it say this: not the fault of this one */
        head.id = id - 1;
        life->allowed = MAY_BE_LOST;
        break;
    default:
        length += sizeof right;
        life->allowed = MAY_BE_OK;
    }
    memcpy(life->lie, &head, sizeof head);
    memcpy(life->lie + sizeof head, &right, sizeof right);
    return bytes_of(life->lie, length);
}

static struct mock_act play_call(const struct mock_call *call, void *arg)
{
    uint32_t index;

    (void)arg;
    CHECK_CHAOS(call->request.len == sizeof index);
    memcpy(&index, call->request.ptr, sizeof index);
    CHECK_CHAOS(index < LIVES);
    struct life *life = &chaos.lives[index];
    uint64_t random = mix(chaos.seed) + index * 16 + life->calls++;
    struct mock_act act = {.after_ns = some_time(&random)};
    switch (chance(&random, 16)) {
    case 0:
        act.deed = MOCK_CRASH;
        life->allowed = MAY_BE_LOST;
        break;
    case 1:
        act.deed = MOCK_CRASH_UNREAD;
        life->allowed = MAY_BE_LOST;
        break;
    case 2:
        act.deed = MOCK_KILLED;
        life->allowed = MAY_BE_LOST;
        break;
    case 3:
        act.deed = MOCK_HANG;
        life->allowed = 0;
        break;
    case 4:
    case 5:
        act.deed = MOCK_LIE;
        act.lie = make_lie(life, call->id, &random);
        break;
    case 6:
    case 7:
        act.deed = MOCK_ANSWER_AND_CRASH;
        life->allowed = MAY_BE_OK;
        break;
    default:
        act.deed = MOCK_ANSWER;
        life->allowed = MAY_BE_OK;
    }
    if (life->kind == CALL_SOON && (act.deed == MOCK_HANG || act.after_ns >= SOON_MS * NS_PER_MS))
        life->allowed |= MAY_BE_LATE;
    return act;
}

static enum mock_birth play_birth(unsigned worker, void *arg)
{
    uint64_t random = mix(chaos.seed + 1) + worker;
    unsigned how = chance(&random, 40);

    (void)arg;
    if (how >= 4)
        return MOCK_BORN;
    chaos.badly_born = true;
    return how == 0 ? MOCK_MUTE : how == 1 ? MOCK_UNBORN : MOCK_STILLBORN;
}

/* -- on threads -------------------------------------------------------------------------------- */

static future *start_life(struct scope *scope, enum kind kind, uint64_t *random);

static enum kind some_kind(uint64_t *random)
{
    enum kind kind = (enum kind)chance(random, KINDS);

    return (kind == THREADED || kind == ABANDONABLE) && !chaos.threads ? ACTOR : kind;
}

struct doer {
    struct life *life; /* first: for life_drop() */
    uint64_t random;
    unsigned left;
    future *awaited;
    struct channel *told; /* by as_completed() */
};

static void give(task *t, struct doer *d)
{
    int error = chance(&d->random, 4) == 0 ? 1000 + (int)index_of(d->life) : 0;

    atomic_store(&d->life->gave, error);
    if (error)
        task_fail(t, error, NULL, NULL);
    else
        task_return(t, d->life, NULL);
}

static void threaded_run(task *t, void *frame)
{
    struct doer *d = frame;

    atomic_fetch_add(&d->life->begun, 1);
    while (d->left-- > 0 && !task_cancelled(t)) {
        uint64_t until = async_now_ns() + some_time(&d->random);
        future *f = NULL;
        switch (chance(&d->random, 4)) {
        case 0:
            f = some_life(&d->random);
            break;
        case 1:
            f = start_life(NULL, some_kind(&d->random), &d->random);
            break;
        case 2:
            f = future_at(until);
            break;
        default:
            cancel_some_life(&d->random);
        }
        if (f) {
            int rc = future_wait(f, until);
            CHECK_CHAOS(rc == 0 || rc == -ETIMEDOUT || rc == -EDEADLK);
            CHECK_CHAOS(rc != 0 || future_settled(f));
        }
        if (f && chance(&d->random, 2))
            future_cancel(f);
        future_drop(f);
    }
    give(t, d);
}

TASK(chaos_threaded, ON_THREAD, sizeof(struct doer), .run = threaded_run, .drop = life_drop);
TASK(chaos_abandonable, ON_THREAD, sizeof(struct doer), .run = threaded_run, .drop = life_drop,
     .abandonable = true);

/* -- on the loop ------------------------------------------------------------------------------- */

/* What a nested scope does is what its members do; it may be cancelled, dropped, or waited for. */
static future *open_scope(uint64_t *random)
{
    unsigned flags = chance(random, 4);
    bool timed = flags & SCOPE_SHIELD || chance(random, 2); /* nothing else would end a shield */
    struct scope *s = scope_new(timed ? async_now_ns() + some_time(random) : CLOCK_NEVER, flags);

    if (!s)
        return future_cancelled();
    remember_scope(s);
    for (unsigned n = chance(random, 4); n > 0; n--)
        future_drop(start_life(s, some_kind(random), random));
    if (chance(random, 8) == 0)
        scope_cancel(s, -EINTR);
    future *f = chance(random, 8) ? scope_close(s) : future_done();
    scope_drop(s);
    return f;
}

static future *start_background(uint64_t *random)
{
    future_drop(start_life(NULL, some_kind(random), random));
    return future_done();
}

static future *do_then(size_t first, uint64_t *random)
{
    future *f = some_life_from(first, random), *then = then_of(f, random);

    if (chance(random, 4) == 0)
        future_cancel(then);
    future_drop(f);
    return then;
}

/* Of tasks that were started later; the losers of some of them are cancelled. */
static future *combine(struct doer *d)
{
    static future *(*const ways[])(future *const *fs, size_t n) = {future_all, future_any,
                                                                   future_race};
    future *inputs[3];
    size_t n = 1 + chance(&d->random, 3);
    unsigned way = chance(&d->random, 5);
    future *f;

    for (size_t i = 0; i < n; i++)
        inputs[i] = some_life_from(index_of(d->life) + 1, &d->random);
    if (way < 3) {
        f = ways[way](inputs, n);
    } else if (way == 3) {
        f = future_shield(inputs[0]);
    } else {
        channel_drop(d->told);
        d->told = as_completed(inputs, n, 1);
        f = channel_ready(d->told);
    }
    for (size_t i = 0; i < n; i++)
        future_drop(inputs[i]);
    return f;
}

static future *take_item(void)
{
    void *item;

    if (channel_try_get(chaos.channel, &item))
        item_destroyed(item);
    return future_done();
}

static future *next_action(struct doer *d)
{
    uint64_t *random = &d->random;
    size_t later = index_of(d->life) + 1;

    switch (chance(random, 21)) {
    case 0:
    case 1:
    case 2:
    case 3:
        return start_life(NULL, some_kind(random), random);
    case 4:
    case 5:
        return start_background(random);
    case 6:
    case 7:
    case 8:
        return open_scope(random);
    case 9:
        return channel_put(chaos.channel, item_new());
    case 10:
        return take_item();
    case 11:
        return do_then(later, random);
    case 12:
        return some_life_from(later, random);
    case 13:
        cancel_some_life(random);
        return future_done();
    case 14:
        cancel_some_scope(random);
        return future_done();
    case 15:
        return process_room(chance(random, 300));
    case 16:
        return async_dump(3);
    case 17:
    case 18:
    case 19:
        return combine(d);
    default:
        return future_at(async_now_ns() + some_time(random));
    }
}

static int actor_step(task *t, void *frame)
{
    struct doer *d = frame;

    BEGIN(t);
    atomic_fetch_add(&d->life->begun, 1);
    while (d->left-- > 0 && !task_cancelled(t))
        AWAIT(t, d->awaited, next_action(d));
    while (task_cancelled(t) && chance(&d->random, 2)) /* one that is careful cleans up */
        AWAIT(t, d->awaited, future_at(async_now_ns() + some_time(&d->random)));
    give(t, d);
    END(t);
}

static void actor_drop(void *frame)
{
    struct doer *d = frame;

    future_drop(d->awaited);
    channel_drop(d->told);
    life_drop(frame);
}

TASK(chaos_actor, ON_LOOP, sizeof(struct doer), .step = actor_step, .drop = actor_drop);
TASK(chaos_careful, ON_LOOP, sizeof(struct doer), .step = actor_step, .drop = actor_drop,
     .catches_cancel = true);

/* The one consumer of the channel that waits; no life, as it ends with the channel. */
static int consumer_step(task *t, void *frame)
{
    future **ready = frame;

    BEGIN(t);
    for (;;) {
        AWAIT(t, *ready, channel_ready(chaos.channel));
        if (!future_ok(*ready))
            break;
        take_item();
        AWAIT(t, *ready, future_at(async_now_ns() + 2));
    }
    END(t);
}

static void consumer_drop(void *frame)
{
    future_drop(*(future **)frame);
}

TASK(chaos_consumer, ON_LOOP, sizeof(future *), .step = consumer_step, .drop = consumer_drop);

/* -- lives ------------------------------------------------------------------------------------- */

static const struct task_def *const defs[KINDS] = {
    [ACTOR] = &chaos_actor,         [CAREFUL] = &chaos_careful,
    [THREADED] = &chaos_threaded,   [ABANDONABLE] = &chaos_abandonable,
    [CALL] = &chaos_call,           [CALL_AGAIN] = &chaos_call_again,
    [CALL_SOON] = &chaos_call_soon,
};

static void life_ended(future *done, promise *next, void *arg)
{
    struct life *life = arg;

    CHECK_CHAOS(future_settled(done));
    /* The frame is dropped before the future settles, but for what still runs, left to itself. */
    CHECK_CHAOS(atomic_load(&life->drops) == 1 || life->kind == ABANDONABLE);
    atomic_fetch_add(&life->ends, 1);
    chaos.history = mix(chaos.history ^ async_now_ns() ^ ((uint64_t)index_of(life) << 40) ^
                        ((uint64_t)future_state(done) << 60));
    promise_drop(next);
}

/* Starts a task, in `scope` or where this runs; its future, or a settled one when no more may be.
 */
static future *start_life(struct scope *scope, enum kind kind, uint64_t *random)
{
    struct scope *where = scope ? scope : task_current() ? task_current()->scope : runtime_root();

    pthread_mutex_lock(&chaos.lock);
    if (chaos.count == LIVES) {
        pthread_mutex_unlock(&chaos.lock);
        return future_done();
    }
    struct life *life = &chaos.lives[chaos.count];
    *life = (struct life){.kind = kind, .scope = scope_ref(where), .gave = NOTHING};
    struct doer frame = {.life = life,
                         .random = mix(chaos.seed ^ (chaos.count << 32)),
                         .left = 1 + chance(random, 5)};
    life->f = task_start_in(scope, defs[kind], &frame);
    chaos.count++;
    future *f = future_ref(life->f);
    pthread_mutex_unlock(&chaos.lock);
    future_drop(future_then(f, EXECUTOR_LOOP, life_ended, life));
    return f;
}

/* -- what may have come of it ------------------------------------------------------------------ */

static bool may_be_cancelled(const struct life *life)
{
    return life->f == future_cancelled() || life->f->cancel_asked ||
           scope_cancelled(life->scope) != 0 || async_now_ns() >= scope_deadline_ns(life->scope);
}

static bool is_allowed(const struct life *life, int error)
{
    switch (error) {
    case 0:
        return life->allowed & MAY_BE_OK;
    case -EOWNERDEAD:
        return life->allowed & MAY_BE_LOST || chaos.meddled;
    case -EBADMSG:
        return life->allowed & MAY_BE_BAD || chaos.meddled;
    case -ETIMEDOUT:
        return life->allowed & MAY_BE_LATE;
    case -EPROTO:
        return life->allowed & MAY_BE_WRONG;
    case -EILSEQ:
        return life->allowed & MAY_FAIL;
    case -ECHILD:
        return chaos.badly_born;
    default:
        return false;
    }
}

static void check_call(const struct life *life)
{
    int error = future_error(life->f);

    CHECK_CHAOS(life->calls <= 2);
    CHECK_CHAOS(life->serves <= life->calls);
    ck_assert_msg(future_state(life->f) == FUTURE_CANCELLED || is_allowed(life, error),
                  "program %lu: a call ended with %d, may have 0x%x", (unsigned long)chaos.seed,
                  error, life->allowed);
    CHECK_CHAOS(error != 0 || future_value(life->f) == life);
    CHECK_CHAOS(life->kind == CALL_AGAIN || life->serves <= 1);
}

/* Whether a task that gave that may be cancelled: it was not run, or it was left to itself. */
static bool may_be_left(const struct life *life, int gave)
{
    return gave == NOTHING || life->kind == ABANDONABLE;
}

static void check_doer(const struct life *life)
{
    int gave = atomic_load(&life->gave), error = future_error(life->f);

    CHECK_CHAOS(atomic_load(&life->begun) <= 1);
    CHECK_CHAOS(error == gave || (error == -ECANCELED && may_be_left(life, gave)));
    /* One that catches its cancel, and a thread task, end as they like once they have begun. */
    CHECK_CHAOS(life->kind == ACTOR || gave != NOTHING || atomic_load(&life->begun) == 0);
    CHECK_CHAOS(error != 0 || future_value(life->f) == life);
}

static void check_life(const struct life *life, bool stopped_early)
{
    CHECK_CHAOS(future_settled(life->f));
    CHECK_CHAOS(atomic_load(&life->drops) == 1);
    CHECK_CHAOS(atomic_load(&life->ends) == 1);
    CHECK_CHAOS(future_state(life->f) != FUTURE_CANCELLED || stopped_early ||
                may_be_cancelled(life));
    if (life->kind >= CALL)
        check_call(life);
    else
        check_doer(life);
}

/* -- programs ---------------------------------------------------------------------------------- */

static void begin(uint64_t seed, bool threads)
{
    uint64_t random = mix(seed + 2);
    struct mock_options options = {
        .seed = seed,
        .birth = play_birth,
        .worker = play_call,
        .kill_ns = chance(&random, 2) ? 0 : some_time(&random),
        .async = {.threads = 1 + chance(&random, 3),
                  .workers = 1 + chance(&random, 3),
                  .request_bytes = 4096,
                  .worker_tasks = chance(&random, 2) * (1 + chance(&random, 4)),
                  .queue_bytes = chance(&random, 2) * 200},
    };

    memset(chaos.lives, 0, sizeof chaos.lives);
    chaos.seed = seed;
    chaos.random = mix(seed + 3);
    chaos.threads = threads;
    chaos.count = chaos.scope_count = 0;
    chaos.items = 0;
    chaos.thens = chaos.thens_run = 0;
    chaos.badly_born = chaos.meddled = false;
    chaos.history = 0;
    ck_assert_int_eq(mock_start(&options), 0);
    chaos.channel = channel_new(1 + chance(&random, 3), item_destroyed);
    ck_assert_ptr_nonnull(chaos.channel);
}

/* Does something to a worker that is none of a program's business. */
static void meddle(uint64_t *random)
{
    unsigned worker = chance(random, mock_workers_started() + 1);

    chaos.meddled = true;
    switch (chance(random, 4)) {
    case 0:
        mock_worker_die(worker, SIGKILL);
        break;
    case 1:
        mock_worker_die(worker, SIGSEGV);
        break;
    case 2:
        mock_worker_say(worker, BYTES("what nobody asked"));
        break;
    default:
        mock_worker_hello(worker);
    }
}

/* One round of what happens from outside; false: now the runtime is to be stopped. */
static bool disturb(struct scope *top)
{
    uint64_t *random = &chaos.random;
    future *f;

    switch (chance(random, 14)) {
    case 0:
        cancel_some_life(random);
        break;
    case 1:
        if (chance(random, 4) == 0)
            cancel_some_scope(random);
        break;
    case 2:
        if (chance(random, 2))
            meddle(random);
        break;
    case 3:
        if (chance(random, 4) == 0)
            channel_close(chaos.channel);
        break;
    case 4:
    case 5:
    case 6:
        future_drop(start_life(top, some_kind(random), random));
        break;
    case 7:
        f = some_life(random);
        future_wait(f, async_now_ns() + some_time(random));
        future_drop(f);
        break;
    case 8:
        return chance(random, 12) != 0;
    default:
        ck_assert_int_eq(mock_advance(some_time(random)), 0);
    }
    return true;
}

/* The history of program `seed`; with threads it differs from run to run. */
static uint64_t run_program(uint64_t seed, bool threads)
{
    begin(seed, threads);
    struct scope *top = scope_new(LAST_NS, chance(&chaos.random, 4) == 0);
    ck_assert_ptr_nonnull(top);
    future_drop(task_start_in(top, &chaos_consumer, &(future *){NULL}));
    for (int i = 0; i < 4; i++)
        future_drop(start_life(top, some_kind(&chaos.random), &chaos.random));

    bool goes_on = true;
    for (int i = 0; i < ROUNDS && goes_on; i++)
        goes_on = disturb(top);
    if (goes_on) {
        future *closed = scope_close(top);
        CHECK_CHAOS(future_wait(closed, LAST_NS + 10 * NS_PER_SEC) == 0);
        future_drop(closed);
    }
    scope_drop(top);
    ck_assert_int_eq(async_stop(), 0);
    CHECK_CHAOS(thread_pool_active() == 0);

    for (size_t i = 0; i < chaos.count; i++) {
        check_life(&chaos.lives[i], !goes_on);
        future_drop(chaos.lives[i].f);
        scope_unref(chaos.lives[i].scope);
    }
    for (size_t i = 0; i < chaos.scope_count; i++)
        scope_unref(chaos.scopes[i]);
    channel_drop(chaos.channel);
    CHECK_CHAOS(atomic_load(&chaos.items) == 0);
    CHECK_CHAOS(atomic_load(&chaos.thens) == atomic_load(&chaos.thens_run));
    struct async_counts left = async_counts();
    CHECK_CHAOS(left.futures == 0 && left.tasks == 0 && left.scopes == 0 && left.workers == 0);
    return chaos.history;
}

START_TEST(whatever_a_program_does_each_task_ends_once_and_as_it_may)
{
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++)
        run_program(seed + PROGRAMS * (uint64_t)_i, _i);
}
END_TEST

START_TEST(a_program_without_threads_repeats_itself)
{
    for (uint64_t seed = 1; seed <= PROGRAMS / 4; seed++) {
        uint64_t first = run_program(seed, false), second = run_program(seed, false);
        CHECK_CHAOS(first == second);
    }
}
END_TEST

Suite *suite_chaos(void)
{
    Suite *suite = suite_create("chaos");
    TCase *programs = tcase_create("programs");

    tcase_add_checked_fixture(programs, async_setup, async_teardown);
    tcase_set_timeout(programs, 120);
    suite_add_tcase(suite, programs);
    tcase_add_loop_test(programs, whatever_a_program_does_each_task_ends_once_and_as_it_may, 0, 2);
    tcase_add_test(programs, a_program_without_threads_repeats_itself);
    return suite;
}
