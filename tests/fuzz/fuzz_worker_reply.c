/*
 * What workers do and say, as their parent meets it. An input is a script: calls of several kinds
 * are started and cancelled while fake workers (core/async/mock.h) answer, send any bytes at any
 * time, hang, die, and are born badly. Whatever they do, each call ends once and in bounded time,
 * and in the end nothing is left.
 *
 * The first bytes say how the runtime is; each other step is a byte for what is done (enum step),
 * followed by what that takes. Missing bytes are 0.
 */
#include "core/async/async.h"
#include "core/async/mock.h"
#include "core/async/wire.h"
#include "core/base/clock.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS = 48, ACTS = 64, STEPS = 400, KINDS = 4 };

enum step { START, ACT, BIRTH, ADVANCE, CANCEL, CANCEL_SCOPE, SAY, REPLY, HELLO, DIE, STEP_KINDS };

/* One call, from its start until its end is checked. */
struct call {
    future *f;
    unsigned drops, ends;
};

static struct {
    struct bytes script;
    struct call calls[CALLS];
    size_t call_count;
    struct mock_act acts[ACTS]; /* for the next calls that workers get; then: answers */
    size_t act_count, acts_done;
    enum mock_birth births[ACTS];
    size_t birth_count, births_done;
    uint64_t last_id;     /* that a worker was told */
    size_t heard, served; /* calls by workers */
    bool hangs;           /* a worker does */
    bool tame; /* nothing happened that could keep an answer from being what becomes of its call */
    struct scope *scope;
    unsigned workers;
} run;

/* -- the script -------------------------------------------------------------------------------- */

static unsigned next_byte(void)
{
    if (run.script.len == 0)
        return 0;
    unsigned byte = (unsigned char)*run.script.ptr++;
    run.script.len--;
    return byte;
}

/* As many as the next byte says, as far as they are there. */
static struct bytes next_bytes(void)
{
    size_t n = next_byte();
    struct bytes b = bytes_of(run.script.ptr, n < run.script.len ? n : run.script.len);

    run.script = bytes_of(b.ptr + b.len, run.script.len - b.len);
    return b;
}

/* From nothing to more than any time limit of the layer. */
static uint64_t next_time(void)
{
    static const uint64_t units[] = {1, 10 * NS_PER_MS, 500 * NS_PER_MS, 3 * NS_PER_SEC};
    unsigned byte = next_byte();

    return (byte >> 2) % 16 * units[byte % 4];
}

/* -- calls ------------------------------------------------------------------------------------- */

struct frame {
    struct call *call;
};

static ssize_t fuzz_pack(void *frame, char *request, size_t capacity)
{
    size_t number = (size_t)(((struct frame *)frame)->call - run.calls);

    FUZZ_CHECK(capacity >= 1);
    *request = (char)(number % 4); /* some have the same request, and may be quarantined */
    return 1;
}

static ssize_t fuzz_serve(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity)
{
    FUZZ_CHECK(request.len == 1 && capacity == WIRE_REPLY_MAX);
    (void)deadline_ns;
    run.served++;
    *reply = *request.ptr;
    return 1;
}

/* All that came can be read, and is no more than can come. */
static void fuzz_unpack(task *t, void *frame, struct bytes reply)
{
    char *copy = malloc(reply.len + 1);

    (void)frame;
    FUZZ_CHECK(copy && reply.len <= WIRE_REPLY_MAX);
    memcpy(copy, reply.ptr, reply.len);
    if (reply.len == 3)
        task_fail(t, -EPROTO, copy, free);
    else
        task_return(t, copy, free);
}

static void fuzz_drop(void *frame)
{
    ((struct frame *)frame)->call->drops++;
}

static size_t fuzz_size(const void *frame)
{
    return 40 + (size_t)(((const struct frame *)frame)->call - run.calls);
}

#define FUZZ_CALL                                                                                  \
    .pack = fuzz_pack, .serve = fuzz_serve, .unpack = fuzz_unpack, .drop = fuzz_drop,              \
    .size = fuzz_size

TASK(fuzz_plain, ON_PROCESS, sizeof(struct frame), FUZZ_CALL);
TASK(fuzz_again, ON_PROCESS, sizeof(struct frame), FUZZ_CALL, .idempotent = true);
TASK(fuzz_soon, ON_PROCESS, sizeof(struct frame), FUZZ_CALL, .timeout_ms = 100);
TASK(fuzz_soon_again, ON_PROCESS, sizeof(struct frame), FUZZ_CALL, .timeout_ms = 1000,
     .idempotent = true);

static const struct task_def *const defs[KINDS] = {&fuzz_plain, &fuzz_again, &fuzz_soon,
                                                   &fuzz_soon_again};

static void count_end(future *done, promise *next, void *arg)
{
    struct call *call = arg;

    FUZZ_CHECK(future_settled(done) && call->drops == 1);
    call->ends++;
    promise_drop(next);
}

static void start_call(void)
{
    unsigned how = next_byte();

    if (run.call_count == CALLS)
        return;
    struct call *call = &run.calls[run.call_count++];
    *call = (struct call){0};
    call->f = task_start_in(how & 4 ? run.scope : NULL, defs[how % KINDS], &(struct frame){call});
    future_drop(future_then(call->f, EXECUTOR_LOOP, count_end, call));
}

/* -- workers ----------------------------------------------------------------------------------- */

static struct mock_act act(const struct mock_call *call, void *arg)
{
    (void)arg;
    FUZZ_CHECK(call->request.len == 1 && call->id != run.last_id);
    run.last_id = call->id;
    run.heard++;
    if (run.acts_done == run.act_count)
        return (struct mock_act){.deed = MOCK_ANSWER};
    struct mock_act next = run.acts[run.acts_done++];
    run.hangs |= next.deed == MOCK_HANG;
    run.tame &= next.deed != MOCK_LIE && next.after_ns < 100 * NS_PER_MS;
    return next;
}

static enum mock_birth birth(unsigned worker, void *arg)
{
    (void)worker;
    (void)arg;
    return run.births_done < run.birth_count ? run.births[run.births_done++] : MOCK_BORN;
}

static void plan_act(void)
{
    struct mock_act plan = {.deed = (enum mock_deed)(next_byte() % (MOCK_KILLED + 1))};

    plan.after_ns = next_time();
    if (plan.deed == MOCK_LIE)
        plan.lie = next_bytes();
    if (run.act_count < ACTS)
        run.acts[run.act_count++] = plan;
}

static void plan_birth(void)
{
    enum mock_birth how = (enum mock_birth)(next_byte() % (MOCK_UNBORN + 1));

    if (run.birth_count < ACTS)
        run.births[run.birth_count++] = how;
}

static unsigned next_worker(void)
{
    unsigned started = mock_workers_started();

    return started ? next_byte() % started : 0;
}

/* A reply that may well be taken for one: of the last call, or of one near it. */
static void say_reply(void)
{
    static struct {
        struct wire_reply head;
        char body[WIRE_REPLY_MAX + 16];
    } reply;
    unsigned worker = next_worker(), how = next_byte();

    reply.head.id = run.last_id + (how & 3) - 1;
    reply.head.error = how & 4 ? -(int)next_byte() : how & 8 ? (int)next_byte() - 4096 : 0;
    size_t length = how & 16 ? WIRE_REPLY_MAX - 8 + next_byte() % 20 : next_byte();
    mock_worker_say(worker, bytes_of((const char *)&reply, sizeof reply.head + length));
}

static void do_step(void)
{
    enum step step = (enum step)(next_byte() % STEP_KINDS);
    unsigned worker;

    run.tame &= step <= ADVANCE;
    switch (step) {
    case START:
        start_call();
        break;
    case ACT:
        plan_act();
        break;
    case BIRTH:
        plan_birth();
        break;
    case ADVANCE:
        FUZZ_CHECK(mock_advance(next_time()) == 0);
        break;
    case CANCEL:
        if (run.call_count > 0)
            future_cancel(run.calls[next_byte() % run.call_count].f);
        break;
    case CANCEL_SCOPE:
        if (next_byte() == 'x')
            scope_cancel(run.scope, -ECANCELED);
        break;
    case SAY:
        worker = next_worker();
        mock_worker_say(worker, next_bytes());
        break;
    case REPLY:
        say_reply();
        break;
    case HELLO:
        mock_worker_hello(next_worker());
        break;
    case DIE:
        worker = next_worker();
        mock_worker_die(worker, (const int[]){SIGKILL, SIGSEGV, SIGTERM, 0}[next_byte() % 4]);
        break;
    case STEP_KINDS:
        break;
    }
    FUZZ_CHECK(async_counts().workers <= (long)run.workers + 1);
}

/* -- the whole --------------------------------------------------------------------------------- */

static void worker_lost(const struct worker_loss *loss)
{
    FUZZ_CHECK(loss->verdict <= 0 && loss->verdict > -4096);
    FUZZ_CHECK(loss->signal ? loss->status == 0 : loss->status >= 0);
    FUZZ_CHECK(!loss->task || strncmp(loss->task, "fuzz_", 5) == 0);
}

static void begin(void)
{
    unsigned how = next_byte();
    struct mock_options options = {
        .seed = next_byte(),
        .birth = birth,
        .worker = act,
        .kill_ns = next_time(),
        .async = {.threads = 1,
                  .workers = 1 + (how & 1),
                  .request_bytes = 256,
                  .worker_tasks = how & 2 ? 1 + (how >> 6) : 0,
                  .worker_rss = how & 32 ? 8 : 0,
                  .queue_bytes = how & 4 ? 100 : 0,
                  .hooks.worker_lost = worker_lost},
        .grown = how >> 6,
    };

    run.call_count = run.act_count = run.acts_done = run.birth_count = run.births_done = 0;
    run.last_id = run.heard = run.served = 0;
    run.hangs = false;
    run.tame = !(how & 24); /* no scope's end */
    run.workers = options.async.workers;
    FUZZ_CHECK(mock_start(&options) == 0);
    run.scope = scope_new(how & 8 ? MOCK_EPOCH_NS + next_time() : CLOCK_NEVER, how >> 4 & 1);
    FUZZ_CHECK(run.scope);
}

static size_t pending(void)
{
    size_t n = 0;

    for (size_t i = 0; i < run.call_count; i++)
        n += !future_settled(run.calls[i].f);
    return n;
}

static size_t fine(void)
{
    size_t n = 0;

    for (size_t i = 0; i < run.call_count; i++)
        n += future_ok(run.calls[i].f);
    return n;
}

/* What hangs without a deadline waits for a cancel; nothing waits for more than that. */
static void await_ends(void)
{
    mock_advance(10000 * NS_PER_SEC);
    FUZZ_CHECK(run.hangs || pending() == 0);
    FUZZ_CHECK(run.hangs || !run.tame || fine() == run.served);
    for (size_t i = 0; i < run.call_count; i++)
        future_cancel(run.calls[i].f);
    mock_advance(100 * NS_PER_SEC);
    FUZZ_CHECK(pending() == 0);
    FUZZ_CHECK(async_stats().queued == 0 && async_stats().queued_bytes == 0);
    FUZZ_CHECK(async_stats().parked == 0);
}

static void check_ends(void)
{
    FUZZ_CHECK(run.heard <= 2 * run.call_count);
    for (size_t i = 0; i < run.call_count; i++) {
        struct call *call = &run.calls[i];

        FUZZ_CHECK(call->drops == 1 && call->ends == 1);
        FUZZ_CHECK(future_error(call->f) <= 0);
        FUZZ_CHECK(!future_ok(call->f) || future_value(call->f));
        future_drop(call->f);
    }
    struct async_counts left = async_counts();
    FUZZ_CHECK(left.futures == 0 && left.tasks == 0 && left.scopes == 0 && left.workers == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run.script = bytes_of((const char *)data, size);
    begin();
    bool to_the_end = next_byte() % 4;
    for (int i = 0; i < STEPS && run.script.len > 0; i++)
        do_step();
    if (to_the_end)
        await_ends();
    future *closed = scope_close(run.scope);
    scope_cancel(run.scope, -ECANCELED);
    FUZZ_CHECK(async_stop() == 0 && future_settled(closed));
    future_drop(closed);
    scope_drop(run.scope);
    FUZZ_CHECK(pending() == 0);
    check_ends();
    return 0;
}
