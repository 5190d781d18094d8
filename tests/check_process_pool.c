#include "core/async/async.h"
#include "core/async/internal.h"
#include "core/async/wire.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 2, STRENGTH = WORKERS + 1, HASTY_MS = 30, KILL_GRACE_MS = 250 };

/* -- what a worker is told to do --------------------------------------------------------------- */

enum deed {
    ECHO, /* a checksum of the payload, then `number` bytes of a pattern */
    GIVE_ERROR,
    CRASH,
    CRASH_ONCE, /* the first call crashes, the next one echoes */
    SPIN,
    SPIN_UNTIL_DEADLINE,
    CALL_KERNEL, /* the forbidden call `number` */
    EAT_MEMORY,
    USE_RUNTIME,
    CLAIM_MORE, /* returns a length over the capacity */
    SAY_TOO_MUCH,
    SAY_NONSENSE,
    SAY_NOTHING, /* sends an empty message, and goes on */
    ANSWER_ANOTHER_CALL,
    ANSWER_TWICE,
    ANSWER_AND_CRASH,
    /* not sent: what `pack` does */
    PACK_ERROR,
    PACK_TOO_MUCH,
};

struct order {
    uint32_t deed;
    int32_t number;
};

struct call {
    struct order order;
    const char *payload;
    size_t payload_len;
    atomic_int *packs, *drops;
};

struct answer {
    size_t length;
    uint64_t checksum;
    int64_t number;
};

static uint64_t checksum(const char *bytes, size_t n)
{
    uint64_t sum = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < n; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * 1099511628211u;
    return sum;
}

static ssize_t call_pack(void *frame, char *request, size_t capacity)
{
    struct call *c = frame;
    struct order order = c->order;
    int packs = c->packs ? ++*c->packs : 1;

    if (order.deed == PACK_ERROR)
        return order.number;
    if (order.deed == PACK_TOO_MUCH)
        return (ssize_t)capacity + 1;
    if (sizeof order + c->payload_len > capacity)
        return -EMSGSIZE;
    if (order.deed == CRASH_ONCE)
        order.deed = packs == 1 ? CRASH : ECHO;
    memcpy(request, &order, sizeof order);
    if (c->payload_len > 0)
        memcpy(request + sizeof order, c->payload, c->payload_len);
    return (ssize_t)(sizeof order + c->payload_len);
}

static void call_unpack(task *t, void *frame, struct bytes reply)
{
    struct answer *a = calloc(1, sizeof *a);

    (void)frame;
    if (!a) {
        task_fail(t, -ENOMEM, NULL, NULL);
        return;
    }
    a->length = reply.len;
    if (reply.len >= sizeof a->checksum)
        memcpy(&a->checksum, reply.ptr, sizeof a->checksum);
    a->number = (int64_t)a->checksum;
    task_return(t, a, free);
    for (size_t i = sizeof a->checksum; i < reply.len; i++)
        if (reply.ptr[i] != (char)(i * 7))
            task_fail(t, -EPROTO, NULL, NULL);
}

static void call_drop(void *frame)
{
    struct call *c = frame;

    if (c->drops)
        ++*c->drops;
}

/* -- in the worker ----------------------------------------------------------------------------- */

static ssize_t reply_number(char *reply, int64_t number)
{
    memcpy(reply, &number, sizeof number);
    return sizeof number;
}

static void crash(void)
{
    signal(SIGABRT, SIG_DFL); /* forbidden, so this is the end already */
    abort();
}

/* Half of the limit must be there to have, and all of it and more must not. */
static ssize_t eat_memory(char *reply)
{
    enum { PIECE = 4 << 20 };
    static char *volatile piece; /* or the compiler sees that nobody uses the memory */
    int64_t pieces = 0;

    for (; pieces < 1000 && (piece = malloc(PIECE)); pieces++)
        memset(piece, 1, PIECE);
    return reply_number(reply, pieces);
}

static ssize_t use_runtime(char *reply)
{
    future *f = NULL;
    promise *p = promise_make(&f);
    bool refused = async_start() == -ENOTSUP && promise_new(&f) == NULL && p &&
                   future_wait(f, CLOCK_NEVER) == -ENOTSUP;

    return reply_number(reply, refused);
}

static void say(const void *message, size_t length)
{
    send(WORKER_SOCKET, message, length, MSG_NOSIGNAL);
}

static ssize_t call_kernel(int number)
{
    static char page[4096];

    switch (number) {
    case SYS_mmap:
        return syscall(SYS_mmap, NULL, sizeof page, PROT_READ | PROT_EXEC,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    case SYS_mprotect:
        return syscall(SYS_mprotect, (uintptr_t)page & ~(sizeof page - 1), sizeof page, PROT_EXEC);
    case SYS_openat:
        return syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY);
    case SYS_clone:
        return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    case SYS_execve:
        return syscall(SYS_execve, "/bin/true", (char *[]){NULL}, (char *[]){NULL});
    case SYS_socket:
        return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    default:
        return syscall(number, 0, 0, 0, 0, 0, 0);
    }
}

static struct {
    struct wire_reply head;
    char body[WIRE_REPLY_MAX + 1];
} huge;

static ssize_t call_serve(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity)
{
    /* The runtime is new in each test, so the first call has the number 1. */
    struct wire_reply first = {.id = 1};
    volatile bool forever = true;
    struct order order;

    if (request.len == 0)
        return 0;
    memcpy(&order, request.ptr, sizeof order);
    switch ((enum deed)order.deed) {
    case ECHO: {
        uint64_t sum = checksum(request.ptr + sizeof order, request.len - sizeof order);
        size_t length = sizeof sum + (size_t)order.number;
        if (length > capacity)
            return -ENOSPC;
        memcpy(reply, &sum, sizeof sum);
        for (size_t i = sizeof sum; i < length; i++)
            reply[i] = (char)(i * 7);
        return (ssize_t)length;
    }
    case GIVE_ERROR:
        return order.number;
    case CRASH:
    case CRASH_ONCE:
        crash();
        break;
    case SPIN:
        while (forever)
            ;
        break;
    case SPIN_UNTIL_DEADLINE:
        while (clock_now_ns() < deadline_ns)
            ;
        return -ETIME;
    case CALL_KERNEL:
        return reply_number(reply, call_kernel(order.number));
    case EAT_MEMORY:
        return eat_memory(reply);
    case USE_RUNTIME:
        return use_runtime(reply);
    case CLAIM_MORE:
        return (ssize_t)capacity + 1;
    case SAY_TOO_MUCH:
        huge.head.id = 1;
        say(&huge, sizeof huge.head + WIRE_REPLY_MAX + 1);
        break;
    case SAY_NONSENSE:
        say("nonsense", 8);
        break;
    case SAY_NOTHING:
        say("", 0);
        while (forever)
            ;
        break;
    case ANSWER_ANOTHER_CALL:
        first.id = 2;
        say(&first, sizeof first);
        break;
    case ANSWER_TWICE:
        say(&first, sizeof first);
        break;
    case ANSWER_AND_CRASH:
        say(&first, sizeof first);
        crash();
        break;
    case PACK_ERROR:
    case PACK_TOO_MUCH:
        break;
    }
    return 0;
}

/* Lets workers fail to start: the one variable of this kind that reaches them is not a sanitizer's.
 */
static int call_prepare(void)
{
    return getenv("NO_SUCH_SAN_OPTIONS") ? -EIO : 0;
}

#define CALL .pack = call_pack, .serve = call_serve, .unpack = call_unpack, .drop = call_drop

TASK(call_task, ON_PROCESS, sizeof(struct call), CALL, .prepare = call_prepare);
TASK(retried_task, ON_PROCESS, sizeof(struct call), CALL, .idempotent = true);
TASK(hasty_task, ON_PROCESS, sizeof(struct call), CALL, .timeout_ms = HASTY_MS);

/* -- in the test ------------------------------------------------------------------------------- */

static future *start_order(const struct task_def *def, enum deed deed, int number)
{
    return task_start(def, &(struct call){.order = {deed, number}});
}

static void expect_echo(void)
{
    expect_ok(start_order(&call_task, ECHO, 0));
}

/* After this, at least one worker waits for calls: the next one goes to it without delay. */
static void warm_up(void)
{
    expect_echo();
    let_loop_turn();
}

static future *start_running(const struct task_def *def, enum deed deed, int number)
{
    warm_up();
    future *f = start_order(def, deed, number);
    let_loop_turn();
    ck_assert(!future_settled(f));
    return f;
}

static void check_strength(void)
{
    pid_t pids[16];

    let_loop_turn();
    ck_assert_int_eq(async_counts().workers, STRENGTH);
    ck_assert_uint_eq(children(pids, 16), STRENGTH);
}

static const struct answer *answer_of(const future *f)
{
    return future_value(f);
}

/* -- calls ------------------------------------------------------------------------------------- */

START_TEST(a_request_reaches_the_worker_and_its_reply_comes_back)
{
    static const size_t sizes[] = {0, 1, 64, 100 << 10, 1 << 20};
    size_t length = sizes[_i];
    char *payload = malloc(length + 1);

    ck_assert_ptr_nonnull(payload);
    for (size_t i = 0; i < length; i++)
        payload[i] = (char)(i * i);
    future *f = task_start(
        &call_task, &(struct call){.order = {ECHO, 56}, .payload = payload, .payload_len = length});
    expect_ok(future_ref(f));
    ck_assert_uint_eq(answer_of(f)->length, 64);
    ck_assert_uint_eq(answer_of(f)->checksum, checksum(payload, length));
    future_drop(f);
    free(payload);
}
END_TEST

static ssize_t nothing_pack(void *frame, char *request, size_t capacity)
{
    (void)frame;
    (void)request;
    (void)capacity;
    return 0;
}

TASK(nothing_task, ON_PROCESS, 0, .pack = nothing_pack, .serve = call_serve, .unpack = call_unpack);

START_TEST(an_empty_request_gets_an_empty_reply)
{
    future *f = task_start(&nothing_task, NULL);

    expect_ok(future_ref(f));
    ck_assert_uint_eq(answer_of(f)->length, 0);
    future_drop(f);
}
END_TEST

START_TEST(a_reply_may_be_as_long_as_the_wire_allows)
{
    future *f = start_order(&call_task, ECHO, WIRE_REPLY_MAX - 8);

    expect_ok(future_ref(f));
    ck_assert_uint_eq(answer_of(f)->length, WIRE_REPLY_MAX);
    future_drop(f);
    expect(start_order(&call_task, ECHO, WIRE_REPLY_MAX - 7), FUTURE_FAILED, -ENOSPC);
    expect(start_order(&call_task, CLAIM_MORE, 0), FUTURE_FAILED, -EMSGSIZE);
    ck_assert_int_eq(async_workers_lost(), 0);
}
END_TEST

START_TEST(an_error_of_serve_fails_the_task_and_leaves_the_worker)
{
    expect(start_order(&call_task, GIVE_ERROR, -EILSEQ), FUTURE_FAILED, -EILSEQ);
    expect_echo();
    ck_assert_int_eq(async_workers_lost(), 0);
}
END_TEST

START_TEST(an_error_of_pack_fails_the_task_and_no_worker_hears_of_it)
{
    expect(start_order(&call_task, PACK_ERROR, -E2BIG), FUTURE_FAILED, -E2BIG);
    expect(start_order(&call_task, PACK_TOO_MUCH, 0), FUTURE_FAILED, -EMSGSIZE);
    expect(task_start(&call_task, &(struct call){.payload = NULL, .payload_len = 8 << 20}),
           FUTURE_FAILED, -EMSGSIZE);
    expect_echo();
    ck_assert_int_eq(async_workers_lost(), 0);
}
END_TEST

START_TEST(more_calls_than_workers_are_all_answered)
{
    enum { CALLS = 500 };
    future *f[CALLS];
    uint64_t i;

    for (i = 0; i < CALLS; i++) /* the payload lives until it is packed: until the end */
        f[i] = task_start(
            &call_task, &(struct call){.payload = (const char *)&f[i], .payload_len = sizeof f[i]});
    for (i = 0; i < CALLS; i++) {
        uint64_t sum = 0;
        ck_assert_int_eq(future_wait(f[i], CLOCK_NEVER), 0);
        ck_assert(future_ok(f[i]));
        sum = answer_of(f[i])->checksum;
        ck_assert_uint_eq(sum, checksum((const char *)&f[i], sizeof f[i]));
    }
    for (i = 0; i < CALLS; i++)
        future_drop(f[i]);
    ck_assert_int_eq(async_workers_lost(), 0);
    check_strength();
}
END_TEST

START_TEST(scopes_take_turns_at_the_workers)
{
    enum { LONG = 20 };
    future *slow[LONG];

    async_reconfigure(4, 1, 0);
    struct scope *crowd = scope_new(CLOCK_NEVER), *other = scope_new(CLOCK_NEVER);
    for (int i = 0; i < LONG; i++)
        slow[i] =
            task_start_in(crowd, &hasty_task, &(struct call){.order = {SPIN_UNTIL_DEADLINE, 0}});
    expect_ok(task_start_in(other, &call_task, &(struct call){.order = {ECHO, 0}}));
    ck_assert(!future_settled(slow[2])); /* one that ran, and perhaps one that was next */
    for (int i = 0; i < LONG; i++)
        expect(slow[i], FUTURE_FAILED, -ETIME);
    expect_ok(scope_close(crowd));
    expect_ok(scope_close(other));
    scope_drop(crowd);
    scope_drop(other);
}
END_TEST

START_TEST(in_a_worker_there_is_no_runtime)
{
    future *f = start_order(&call_task, USE_RUNTIME, 0);

    expect_ok(future_ref(f));
    ck_assert_int_eq(answer_of(f)->number, true);
    future_drop(f);
}
END_TEST

/* -- workers that die, hang or lie ------------------------------------------------------------- */

START_TEST(a_crash_fails_its_own_task_only)
{
    atomic_int packs = 0;
    future *f = task_start(&call_task, &(struct call){.order = {CRASH, 0}, .packs = &packs});

    for (int i = 0; i < 10; i++)
        expect_echo();
    expect(f, FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_eq(packs, 1);
    ck_assert_int_eq(async_workers_lost(), 1);
    check_strength();
}
END_TEST

START_TEST(an_idempotent_task_is_retried_once_on_a_fresh_worker)
{
    atomic_int once = 0, always = 0;

    expect_ok(task_start(&retried_task, &(struct call){.order = {CRASH_ONCE, 0}, .packs = &once}));
    ck_assert_int_eq(once, 2);
    expect(task_start(&retried_task, &(struct call){.order = {CRASH, 0}, .packs = &always}),
           FUTURE_FAILED, -EOWNERDEAD);
    ck_assert_int_eq(always, 2);
    ck_assert_int_eq(async_workers_lost(), 3);
    check_strength();
}
END_TEST

START_TEST(an_answer_sent_before_the_crash_counts_and_the_next_call_is_not_lost)
{
    expect_ok(start_order(&call_task, ANSWER_AND_CRASH, 0));
    expect_echo(); /* sent to the dying worker it may be, but not read by it */
}
END_TEST

START_TEST(a_worker_that_hangs_is_killed_soon_after_its_deadline)
{
    uint64_t start = now_ms();

    expect(start_order(&hasty_task, SPIN, 0), FUTURE_FAILED, -ETIMEDOUT);
    ck_assert_uint_ge(now_ms() - start, HASTY_MS + KILL_GRACE_MS);
    ck_assert_uint_lt(now_ms() - start, HASTY_MS + KILL_GRACE_MS + 5000);
    ck_assert_int_eq(async_workers_lost(), 1);
    check_strength();
}
END_TEST

START_TEST(serve_is_told_the_deadline_and_may_give_up_itself)
{
    expect(start_order(&hasty_task, SPIN_UNTIL_DEADLINE, 0), FUTURE_FAILED, -ETIME);
    ck_assert_int_eq(async_workers_lost(), 0);
}
END_TEST

/* _i: nonsense of some kind, all of it from a worker that has a task. */
START_TEST(a_worker_that_talks_nonsense_is_killed)
{
    static const enum deed deeds[] = {SAY_NONSENSE, SAY_TOO_MUCH, ANSWER_ANOTHER_CALL};

    expect(start_order(&call_task, deeds[_i], 0), FUTURE_FAILED, -EBADMSG);
    ck_assert_int_eq(async_workers_lost(), 1);
    check_strength();
}
END_TEST

/* No errno at all, or the one that only the parent gives. */
START_TEST(a_worker_that_gives_an_impossible_error_is_killed)
{
    static const int errors[] = {INT32_MIN, -4096, -ECANCELED};

    expect(start_order(&call_task, GIVE_ERROR, errors[_i]), FUTURE_FAILED, -EBADMSG);
    check_strength();
}
END_TEST

START_TEST(a_worker_that_sends_an_empty_message_is_lost)
{
    expect(start_order(&call_task, SAY_NOTHING, 0), FUTURE_FAILED, -EOWNERDEAD);
    check_strength();
}
END_TEST

START_TEST(a_worker_that_talks_out_of_turn_is_killed_and_its_task_stands)
{
    async_reconfigure(4, 1, 0);
    expect_ok(start_order(&call_task, ANSWER_TWICE, 0));
    uint64_t give_up = now_ms() + PATIENCE_MS;
    while (async_workers_lost() == 0 && now_ms() < give_up)
        let_loop_turn();
    ck_assert_int_eq(async_workers_lost(), 1);
    expect_echo();
}
END_TEST

struct gate {
    sem_t there, open;
};

static void hold_loop(void *arg)
{
    struct gate *gate = arg;

    sem_post(&gate->there);
    sem_wait(&gate->open);
}

static void *hold_loop_main(void *gate)
{
    on_loop(hold_loop, gate);
    return NULL;
}

struct kill_all_frame {
    pid_t pids[16];
    size_t count;
};

static int kill_all_step(task *t, void *frame)
{
    struct kill_all_frame *k = frame;

    (void)t;
    for (size_t i = 0; i < k->count; i++)
        kill_and_see_it_end(k->pids[i]);
    return TASK_FINISHED;
}

TASK(kill_all_task, ON_LOOP, sizeof(struct kill_all_frame), .step = kill_all_step);

START_TEST(a_call_to_workers_that_died_idle_goes_to_their_successors)
{
    struct kill_all_frame victims;
    struct gate gate;
    pthread_t holder;

    sem_init(&gate.there, 0, 0);
    sem_init(&gate.open, 0, 0);
    warm_up();
    victims.count = children(victims.pids, 16);
    ck_assert_uint_eq(victims.count, STRENGTH);
    ck_assert_int_eq(pthread_create(&holder, NULL, hold_loop_main, &gate), 0);
    sem_wait(&gate.there);
    /* In one turn of the loop: they die, and are called before that has been noticed. */
    future *killed = task_start(&kill_all_task, &victims);
    future *f = start_order(&call_task, ECHO, 0);
    sem_post(&gate.open);
    pthread_join(holder, NULL);
    expect_ok(killed);
    expect_ok(f); /* though it must not be run twice: it was never run once */
    sem_destroy(&gate.there);
    sem_destroy(&gate.open);
}
END_TEST

START_TEST(workers_killed_at_random_under_load_lose_no_task)
{
    enum { ROUNDS = SANITIZED_THREAD ? 40 : 200, TASKS = 8 };
    atomic_int drops = 0;
    uint32_t random = 12345;
    int lost = 0;

    warm_up();
    for (int round = 0; round < ROUNDS; round++) {
        future *f[TASKS];
        pid_t pids[16];
        for (int i = 0; i < TASKS; i++)
            f[i] = task_start(i % 2 ? &retried_task : &call_task,
                              &(struct call){.order = {ECHO, i * 1000}, .drops = &drops});
        size_t n = children(pids, 16);
        random = random * 1664525u + 1013904223u;
        if (n > 0)
            kill_and_see_it_end(pids[(random >> 16) % n]);
        for (int i = 0; i < TASKS; i++) {
            ck_assert_int_eq(future_wait(f[i], clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
            if (future_ok(f[i]))
                ck_assert_uint_eq(answer_of(f[i])->length, 8 + (size_t)i * 1000);
            else
                ck_assert_int_eq(future_error(f[i]), -EOWNERDEAD);
            lost += !future_ok(f[i]);
            future_drop(f[i]);
        }
        ck_assert_int_eq(drops, (round + 1) * TASKS);
    }
    ck_assert_int_le(lost, ROUNDS); /* a kill costs one task at most */
    uint64_t give_up = now_ms() + PATIENCE_MS;
    while (async_counts().workers < STRENGTH && now_ms() < give_up)
        expect_echo();
    check_strength();
}
END_TEST

/* -- cancelling -------------------------------------------------------------------------------- */

static bool is_among(pid_t pid, const pid_t *pids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

START_TEST(cancel_of_a_running_process_task_kills_reaps_and_replaces_its_worker)
{
    pid_t before[16], after[16];
    future *f = start_running(&call_task, SPIN, 0);
    size_t count = children(before, 16), gone = 0;

    ck_assert_uint_eq(count, STRENGTH);
    ck_assert_int_eq(future_cancel(f), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    for (size_t i = 0; i < count; i++) /* no zombie is left when the outcome is seen */
        gone += kill(before[i], 0) < 0 && errno == ESRCH;
    ck_assert_uint_eq(gone, 1);
    check_strength();
    count = children(after, 16);
    for (size_t i = 0; i < count; i++)
        gone += !is_among(after[i], before, STRENGTH);
    ck_assert_uint_eq(gone, 2); /* one went, one came */
    ck_assert_int_eq(async_workers_lost(), 1);
}
END_TEST

START_TEST(cancel_of_a_queued_process_task_never_starts_it)
{
    atomic_int packs = 0, drops = 0;

    async_reconfigure(4, 1, 0);
    future *running = start_running(&call_task, SPIN, 0);
    future *queued = task_start(
        &call_task, &(struct call){.order = {ECHO, 0}, .packs = &packs, .drops = &drops});
    let_loop_turn();
    ck_assert_int_eq(future_cancel(queued), 0);
    expect(queued, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(drops, 1);
    ck_assert_int_eq(async_workers_lost(), 0);
    future_cancel(running);
    expect(running, FUTURE_CANCELLED, -ECANCELED);
    expect_echo();
    ck_assert_int_eq(packs, 0);
}
END_TEST

START_TEST(cancel_of_an_idempotent_task_does_not_retry_it)
{
    future *f = start_running(&retried_task, SPIN, 0);

    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(async_workers_lost(), 1);
    check_strength();
}
END_TEST

START_TEST(a_scopes_deadline_ends_a_call_that_hangs)
{
    warm_up();
    struct scope *s = scope_new(clock_after_ms(clock_now_ns(), 20));
    future *f = task_start_in(s, &call_task, &(struct call){.order = {SPIN, 0}});

    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(scope_cancelled(s), -ETIMEDOUT);
    expect_ok(scope_close(s));
    scope_drop(s);
    check_strength();
}
END_TEST

START_TEST(of_a_cancel_and_an_answer_exactly_one_wins)
{
    enum { ROUNDS = SANITIZED_THREAD ? 20 : 150 };
    atomic_int drops = 0;

    warm_up();
    for (int i = 0; i < ROUNDS; i++) {
        future *f = task_start(&call_task, &(struct call){.order = {ECHO, 8}, .drops = &drops});
        for (volatile int spin = 0; spin < i * 300; spin++)
            ;
        future_cancel(f);
        ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
        ck_assert(future_ok(f) ? answer_of(f)->length == 16 : future_error(f) == -ECANCELED);
        ck_assert_int_eq(drops, i + 1);
        future_drop(f);
    }
    expect_echo();
}
END_TEST

START_TEST(stopping_the_runtime_ends_calls_that_run_and_calls_that_wait)
{
    enum { TASKS = 10 };
    future *f[TASKS];

    warm_up();
    for (int i = 0; i < TASKS; i++)
        f[i] = start_order(&call_task, SPIN, 0);
    let_loop_turn();
    ck_assert_int_eq(async_stop(), 0);
    for (int i = 0; i < TASKS; i++)
        expect(f[i], FUTURE_CANCELLED, -ECANCELED);
}
END_TEST

/* -- workers that do not start ----------------------------------------------------------------- */

START_TEST(when_no_worker_can_start_calls_fail_after_a_few_tries)
{
    setenv("NO_SUCH_SAN_OPTIONS", "1", 1);
    expect(start_order(&call_task, ECHO, 0), FUTURE_FAILED, -ECHILD);
    expect(start_order(&retried_task, ECHO, 0), FUTURE_FAILED, -ECHILD);
    unsetenv("NO_SUCH_SAN_OPTIONS");
}
END_TEST

START_TEST(when_no_worker_can_be_replaced_the_others_go_on)
{
    struct rlimit before, none;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    future *f = start_running(&call_task, SPIN, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    future_cancel(f);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    uint64_t until = now_ms() + 500; /* far beyond the failed starts that make a pool hopeless */
    while (now_ms() < until)
        expect_echo();
    ck_assert_int_lt(async_counts().workers, STRENGTH);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    uint64_t give_up = now_ms() + PATIENCE_MS;
    while (async_counts().workers < STRENGTH && now_ms() < give_up)
        expect_echo();
    check_strength();
}
END_TEST

/* -- the sandbox ------------------------------------------------------------------------------- */

START_TEST(a_worker_that_asks_the_kernel_for_more_dies)
{
    static const struct {
        int call;
        bool sanitizers_need_it;
    } calls[] = {
        {SYS_socket, false},  {SYS_clone, false},      {SYS_execve, false},  {SYS_kill, false},
        {SYS_ptrace, false},  {SYS_connect, false},    {SYS_sendmsg, false}, {SYS_recvmsg, false},
        {SYS_unlink, false},  {SYS_pidfd_open, false}, {SYS_openat, true},   {SYS_mmap, true},
        {SYS_mprotect, true}, {SYS_prctl, true},
    };
    long lost = 0;

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (calls[i].sanitizers_need_it && (SANITIZED_ADDRESS || SANITIZED_THREAD))
            continue;
        future *f = start_order(&call_task, CALL_KERNEL, calls[i].call);
        ck_assert_int_eq(future_wait(f, CLOCK_NEVER), 0);
        ck_assert_msg(future_error(f) == -EOWNERDEAD, "call %d was allowed", calls[i].call);
        ck_assert_int_eq(async_workers_lost(), ++lost);
        future_drop(f);
    }
    check_strength();
}
END_TEST

START_TEST(a_worker_that_eats_memory_meets_its_limit)
{
    if (SANITIZED_ADDRESS || SANITIZED_THREAD)
        return; /* their shadow memory leaves no room for a limit */
    future *f = start_order(&call_task, EAT_MEMORY, 0);

    expect_ok(future_ref(f));
    ck_assert_int_ge(answer_of(f)->number, 8);  /* of 4 MiB: half of the 64 MiB, at least */
    ck_assert_int_le(answer_of(f)->number, 16); /* and no more than all */
    future_drop(f);
}
END_TEST

static int highest_descriptor_of(pid_t pid)
{
    char path[64];
    long highest = -1;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        long fd = entry->d_name[0] == '.' ? -1 : strtol(entry->d_name, NULL, 10);
        highest = fd > highest ? fd : highest;
    }
    closedir(dir);
    return (int)highest;
}

START_TEST(a_worker_has_no_descriptor_of_its_parent)
{
    enum { FIRST = 10 };
    pid_t pids[16];
    int inheritable[3];

    for (int i = 0; i < 3; i++) /* without FD_CLOEXEC, as a careless library would */
        ck_assert_int_ge(inheritable[i] = fcntl(STDERR_FILENO, F_DUPFD, FIRST + 20 * i), FIRST);
    warm_up();
    size_t count = children(pids, 16);
    ck_assert_uint_eq(count, STRENGTH);
    for (size_t i = 0; i < count; i++)
        /* Its own end with WORKER_MEMORY; but one that is starting reads files, libraries for one.
         */
        ck_assert_int_lt(highest_descriptor_of(pids[i]), FIRST);
    for (int i = 0; i < 3; i++)
        close(inheritable[i]);
}
END_TEST

static bool file_contains(pid_t pid, const char *name, const char *text)
{
    char path[64];
    static char content[64 << 10];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ssize_t n = read(fd, content, sizeof content);
    close(fd);
    ck_assert_int_ge(n, 0);
    return memmem(content, (size_t)n, text, strlen(text)) != NULL;
}

START_TEST(a_worker_does_not_know_its_parents_environment)
{
    pid_t pids[16];

    setenv("SECRET_TOKEN", "hush-hush", 1);
    warm_up();
    size_t count = children(pids, 16);
    ck_assert_uint_eq(count, STRENGTH);
    for (size_t i = 0; i < count; i++)
        ck_assert(!file_contains(pids[i], "environ", "hush-hush"));
    unsetenv("SECRET_TOKEN");
}
END_TEST

START_TEST(a_worker_is_confined_before_it_serves)
{
    pid_t pids[16];
    size_t confined = 0;

    warm_up();
    size_t count = children(pids, 16);
    for (size_t i = 0; i < count; i++)
        confined += file_contains(pids[i], "status", "Seccomp:\t2") &&
                    file_contains(pids[i], "status", "NoNewPrivs:\t1");
    ck_assert_uint_ge(confined, 1); /* the one that served; others may still be starting */
}
END_TEST

/* A process with a runtime of its own, which tells its workers' pids and then only waits. */
static void live_until_killed(int tell)
{
    pid_t pids[STRENGTH];

    expect_echo();
    size_t count = children(pids, STRENGTH);
    if (write(tell, pids, count * sizeof *pids) > 0)
        for (;;)
            pause();
    _exit(EXIT_FAILURE);
}

START_TEST(workers_die_with_their_parent)
{
    struct pollfd exits[STRENGTH];
    pid_t pids[STRENGTH];
    int told[2];

    ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
    pid_t parent = fork(); /* this process has no other thread yet */
    if (parent == 0)
        live_until_killed(told[1]);
    ck_assert_int_eq(read(told[0], pids, sizeof pids), (ssize_t)sizeof pids);
    for (int i = 0; i < STRENGTH; i++) {
        exits[i] = (struct pollfd){.fd = pidfd_open(pids[i], 0), .events = POLLIN};
        ck_assert_int_ge(exits[i].fd, 0);
        ck_assert_int_eq(poll(&exits[i], 1, 0), 0); /* alive */
    }
    kill(parent, SIGKILL);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    for (int i = 0; i < STRENGTH; i++) {
        ck_assert_int_eq(poll(&exits[i], 1, PATIENCE_MS), 1);
        close(exits[i].fd);
    }
    close(told[0]);
    close(told[1]);
}
END_TEST

Suite *suite_process_pool(void)
{
    Suite *suite = suite_create("process_pool");
    TCase *calls = tcase_create("calls"), *hostile = tcase_create("hostile workers"),
          *cancelling = tcase_create("cancelling"), *starting = tcase_create("starting"),
          *sandbox = tcase_create("sandbox");
    TCase *cases[] = {calls, hostile, cancelling, starting, sandbox};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_loop_test(calls, a_request_reaches_the_worker_and_its_reply_comes_back, 0, 5);
    tcase_add_test(calls, scopes_take_turns_at_the_workers);
    tcase_add_test(calls, an_empty_request_gets_an_empty_reply);
    tcase_add_test(calls, a_reply_may_be_as_long_as_the_wire_allows);
    tcase_add_test(calls, an_error_of_serve_fails_the_task_and_leaves_the_worker);
    tcase_add_test(calls, an_error_of_pack_fails_the_task_and_no_worker_hears_of_it);
    tcase_add_test(calls, more_calls_than_workers_are_all_answered);
    tcase_add_test(calls, in_a_worker_there_is_no_runtime);
    tcase_add_test(hostile, a_crash_fails_its_own_task_only);
    tcase_add_test(hostile, an_idempotent_task_is_retried_once_on_a_fresh_worker);
    tcase_add_test(hostile, an_answer_sent_before_the_crash_counts_and_the_next_call_is_not_lost);
    tcase_add_test(hostile, a_worker_that_hangs_is_killed_soon_after_its_deadline);
    tcase_add_test(hostile, serve_is_told_the_deadline_and_may_give_up_itself);
    tcase_add_loop_test(hostile, a_worker_that_talks_nonsense_is_killed, 0, 3);
    tcase_add_loop_test(hostile, a_worker_that_gives_an_impossible_error_is_killed, 0, 3);
    tcase_add_test(hostile, a_worker_that_sends_an_empty_message_is_lost);
    tcase_add_test(hostile, a_worker_that_talks_out_of_turn_is_killed_and_its_task_stands);
    tcase_add_test(hostile, a_call_to_workers_that_died_idle_goes_to_their_successors);
    tcase_add_test(hostile, workers_killed_at_random_under_load_lose_no_task);
    tcase_add_test(cancelling,
                   cancel_of_a_running_process_task_kills_reaps_and_replaces_its_worker);
    tcase_add_test(cancelling, cancel_of_a_queued_process_task_never_starts_it);
    tcase_add_test(cancelling, cancel_of_an_idempotent_task_does_not_retry_it);
    tcase_add_test(cancelling, a_scopes_deadline_ends_a_call_that_hangs);
    tcase_add_test(cancelling, of_a_cancel_and_an_answer_exactly_one_wins);
    tcase_add_test(cancelling, stopping_the_runtime_ends_calls_that_run_and_calls_that_wait);
    tcase_add_test(starting, when_no_worker_can_start_calls_fail_after_a_few_tries);
    tcase_add_test(starting, when_no_worker_can_be_replaced_the_others_go_on);
    tcase_add_test(sandbox, a_worker_that_asks_the_kernel_for_more_dies);
    tcase_add_test(sandbox, a_worker_that_eats_memory_meets_its_limit);
    tcase_add_test(sandbox, a_worker_has_no_descriptor_of_its_parent);
    tcase_add_test(sandbox, a_worker_does_not_know_its_parents_environment);
    tcase_add_test(sandbox, a_worker_is_confined_before_it_serves);
    tcase_add_test(sandbox, workers_die_with_their_parent);
    return suite;
}
