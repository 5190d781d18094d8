/* Worker processes: played by the mock, and real ones. */
#include "core/async/internal.h"
#include "core/base/clock.h"
#include "tests/torture/faults.h"
#include "tests/torture/scenario.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

CONTEXT_KEY(call_key);

/* -- calls that do as they are told ------------------------------------------------------------ */

/* What a worker does. A mock's fakes do it instead of `serve`. */
struct wish {
    enum mock_deed deed;
    unsigned after_ms;  /* from the call to the deed, of a mock */
    unsigned good_from; /* the call that is the task's so-many-th is answered; 0: none is */
};

struct call_frame {
    struct token *token;
    struct wish wish;
    unsigned calls, size;
};

static ssize_t call_pack(void *frame, char *request, size_t capacity)
{
    struct call_frame *c = frame;
    struct wish wish = c->wish;

    if (capacity < sizeof wish)
        return -EMSGSIZE;
    if (++c->calls >= c->wish.good_from && c->wish.good_from > 0)
        wish.deed = MOCK_ANSWER;
    memcpy(request, &wish, sizeof wish);
    return sizeof wish;
}

static ssize_t call_serve(struct bytes request, uint64_t deadline_ns, char *reply, size_t capacity)
{
    struct wish wish;
    volatile bool forever = true;

    faults_serve();
    if (request.len != sizeof wish || capacity < sizeof wish)
        return -EINVAL;
    memcpy(&wish, request.ptr, sizeof wish);
    switch (wish.deed) {
    case MOCK_ANSWER:
    case MOCK_ANSWER_AND_CRASH: /* the mock asks for the answer */
        memcpy(reply, &wish, sizeof wish);
        break;
    case MOCK_LIE:
        return -ECANCELED; /* which only the parent may say */
    case MOCK_HANG:
        while (forever && clock_now_ns() < deadline_ns + NS_PER_SEC)
            ;
        break;
    case MOCK_CRASH:
    case MOCK_CRASH_UNREAD:
    case MOCK_KILLED:
        __builtin_trap();
    }
    return sizeof wish;
}

static void call_unpack(task *t, void *frame, struct bytes reply)
{
    (void)frame;
    if (reply.len == sizeof(struct wish))
        task_return(t, token_new(), token_drop);
    else
        task_fail(t, -EBADMSG, token_new(), token_drop);
}

static void call_drop(void *frame)
{
    token_drop(((struct call_frame *)frame)->token);
}

static size_t call_size(const void *frame)
{
    return ((const struct call_frame *)frame)->size;
}

static int call_prepare(void)
{
    return 0;
}

#define CALL                                                                                       \
    .pack = call_pack, .serve = call_serve, .unpack = call_unpack, .drop = call_drop,              \
    .size = call_size

enum { HASTY_MS = 20, SIZE = 100 };

TASK(plain_call, ON_PROCESS, sizeof(struct call_frame), CALL, .prepare = call_prepare);
TASK(idempotent_call, ON_PROCESS, sizeof(struct call_frame), CALL, .idempotent = true);
TASK(hasty_call, ON_PROCESS, sizeof(struct call_frame), CALL, .timeout_ms = HASTY_MS);

static future *call(const struct task_def *def, struct wish wish)
{
    return task_start(def, &(struct call_frame){.token = token_new(), .wish = wish, .size = SIZE});
}

/* -- fakes ------------------------------------------------------------------------------------- */

static struct mock_act obey(const struct mock_call *told, void *arg)
{
    static const char lie[] = "no reply, and too short for one";
    struct wish wish = {.deed = MOCK_ANSWER};

    (void)arg;
    if (told->request.len == sizeof wish)
        memcpy(&wish, told->request.ptr, sizeof wish);
    return (struct mock_act){.deed = wish.deed,
                             .after_ns = wish.after_ms * NS_PER_MS,
                             .lie = bytes_of(lie, wish.after_ms ? sizeof lie : 3)};
}

static bool start(struct mock_options options)
{
    options.worker = obey;
    options.async.request_bytes = 256;
    return start_mock(&options);
}

static void answers(void)
{
    if (!start((struct mock_options){.seed = 41}))
        return;
    context_set(&call_key, BYTES("a value"));
    for (int i = 0; i < 6; i++)
        keep(call(i % 2 ? &plain_call : &hasty_call,
                  (struct wish){.deed = MOCK_ANSWER, .after_ms = i % 3}));
    context_drop(context_swap(NULL)); /* as context_set() with nothing, which might fail */
    struct scope *s = scope_new(clock_after_ms(async_now_ns(), 5), SCOPE_COLLECT_ALL);
    if (s) {
        struct call_frame late = {.token = token_new(),
                                  .wish = {.deed = MOCK_ANSWER, .after_ms = 50}};
        keep(task_start_in(s, &plain_call, &late));
        keep(scope_close(s));
    }
    scope_drop(s);
    settle();
}

static void losses(void)
{
    if (!start((struct mock_options){.seed = 43, .kill_ns = NS_PER_MS}))
        return;
    static const enum mock_deed deeds[] = {MOCK_CRASH,  MOCK_CRASH_UNREAD, MOCK_ANSWER_AND_CRASH,
                                           MOCK_KILLED, MOCK_LIE,          MOCK_HANG};
    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
        keep(call(&hasty_call, (struct wish){.deed = deeds[i], .after_ms = 1}));
        keep(call(&idempotent_call,
                  (struct wish){.deed = deeds[i], .after_ms = i % 2, .good_from = 2}));
        keep(call(&plain_call, (struct wish){.deed = MOCK_ANSWER}));
        if (deeds[i] == MOCK_HANG)
            future_cancel(keep(call(&plain_call, (struct wish){.deed = MOCK_HANG})));
    }
    /* One of the idempotent ones hangs for ever: it has no deadline. */
    mock_advance(NS_PER_SEC);
    future_cancel(keep(call(&idempotent_call, (struct wish){.deed = MOCK_ANSWER})));
    struct scope *s = scope_new(clock_after_ms(async_now_ns(), 50), SCOPE_COLLECT_ALL);
    if (s) {
        struct call_frame hang = {.token = token_new(), .wish = {.deed = MOCK_HANG}};
        keep(task_start_in(s, &plain_call, &hang));
        keep(scope_close(s));
    }
    scope_drop(s);
    mock_advance(NS_PER_SEC);
}

static void quarantined(void)
{
    if (!start((struct mock_options){.seed = 0}))
        return;
    for (int i = 0; i < 4; i++)
        expect(call(&idempotent_call, (struct wish){.deed = MOCK_CRASH}), FUTURE_FAILED);
    if (!tortured() && async_stats().tasks_quarantined == 0)
        complain("a request that kills is called again and again");
    expect(call(&plain_call, (struct wish){.deed = MOCK_ANSWER}), FUTURE_OK);
}

static void recycled(void)
{
    if (!start((struct mock_options){.async.worker_tasks = 2, .async.workers = 1}))
        return;
    for (int i = 0; i < 12; i++) {
        expect(call(&plain_call, (struct wish){.deed = MOCK_ANSWER, .after_ms = 1}), FUTURE_OK);
        mock_advance(NS_PER_MS);
    }
    if (!tortured() && async_stats().workers_recycled == 0)
        complain("no worker was recycled");
}

static void full_queue(void)
{
    future *called[8];

    if (!start((struct mock_options){
            .seed = 47, .async.workers = 1, .async.queue_bytes = 2 * SIZE + 50}))
        return;
    for (int i = 0; i < 8; i++)
        called[i] = keep(call(&plain_call, (struct wish){.deed = MOCK_ANSWER, .after_ms = 1}));
    for (int i = 0; i < 3; i++) {
        future *f = keep(process_room(SIZE));
        if (i == 1)
            future_cancel(f);
    }
    mock_turn();
    future_cancel(called[4]);
    future_cancel(called[7]);
    settle();
}

static enum mock_birth bad_births(unsigned worker, void *arg)
{
    (void)arg;
    return worker >= 6 ? MOCK_BORN : worker % 2 ? MOCK_UNBORN : MOCK_STILLBORN;
}

static void stillborn(void)
{
    if (!start((struct mock_options){.birth = bad_births}))
        return;
    for (int i = 0; i < 3; i++)
        keep(call(&plain_call, (struct wish){.deed = MOCK_ANSWER}));
    settle();
    mock_advance(10 * NS_PER_SEC);
    expect(call(&plain_call, (struct wish){.deed = MOCK_ANSWER}), FUTURE_OK);
}

static enum mock_birth mute_birth(unsigned worker, void *arg)
{
    (void)worker;
    (void)arg;
    return MOCK_MUTE;
}

/* They say hello too late, or never; one says so twice, one dies instead. */
static void mute(void)
{
    if (!start((struct mock_options){.birth = mute_birth}))
        return;
    for (int i = 0; i < 3; i++)
        future_cancel(keep(call(&plain_call, (struct wish){.deed = MOCK_ANSWER})));
    keep(call(&plain_call, (struct wish){.deed = MOCK_ANSWER, .after_ms = 1}));
    future *other = keep(call(&plain_call, (struct wish){.deed = MOCK_ANSWER, .after_ms = 1}));
    mock_turn();
    mock_worker_hello(0);
    mock_worker_hello(0);
    mock_worker_die(1, SIGSEGV);
    mock_turn();
    mock_worker_say(2, BYTES("what?"));
    mock_turn();
    future_cancel(other);
    mock_advance(20 * NS_PER_SEC);
    for (unsigned i = 3; i < 30; i++)
        mock_worker_hello(i);
    mock_turn();
    for (unsigned i = 3; i < 30; i++)
        mock_worker_hello(i);
}

static void stop_amid_calls(void)
{
    if (!start((struct mock_options){.seed = 53, .async.queue_bytes = 2 * SIZE}))
        return;
    for (unsigned i = 0; i < 9; i++)
        keep(call(i % 2 ? &idempotent_call : &plain_call,
                  (struct wish){.deed = i % 3 ? MOCK_HANG : MOCK_CRASH, .after_ms = 1 + i % 2}));
    keep(process_room(SIZE));
    mock_advance(NS_PER_MS);
}

const struct scenario process_scenarios[] = {
    {"answers", false, answers},
    {"losses", false, losses},
    {"quarantined", false, quarantined},
    {"recycled", false, recycled},
    {"full queue", false, full_queue},
    {"stillborn", false, stillborn},
    {"mute", false, mute},
    {"stop amid calls", false, stop_amid_calls},
    {0},
};

/* -- real ones --------------------------------------------------------------------------------- */

static bool start_workers(size_t worker_rss)
{
    return start_real(&(struct async_options){.threads = 1,
                                              .workers = 1,
                                              .request_bytes = 4096,
                                              .worker_memory = 64 << 20,
                                              .worker_rss = worker_rss});
}

static void blocking_run(task *t, void *frame)
{
    future *f = call(&plain_call, (struct wish){.deed = MOCK_ANSWER});

    (void)frame;
    (void)t;
    future_wait(f, CLOCK_NEVER);
    future_drop(f);
}

TASK(blocking_task, ON_THREAD, 0, .run = blocking_run);

static void real_loop_and_thread(void)
{
    future *f = NULL;

    if (!start_real(&(struct async_options){.threads = 2}))
        return;
    promise *p = promise_new(&f);
    keep(p ? f : future_out_of_memory());
    keep(future_at(clock_after_ms(async_now_ns(), 2)));
    if (p)
        future_wait(f, clock_after_ms(async_now_ns(), 1)); /* gives up */
    promise_drop(p);
    keep(async_dump(1));
    settle();
}

static void real_answers(void)
{
    if (!start_workers(1)) /* whoever is measured is too large */
        return;
    keep(task_start(&blocking_task, NULL));
    expect(call(&plain_call, (struct wish){.deed = MOCK_ANSWER}), FUTURE_OK);
    expect(call(&idempotent_call, (struct wish){.deed = MOCK_ANSWER}), FUTURE_OK);
    settle();
    if (!tortured() && async_stats().workers_lost > 0)
        complain("a worker was lost");
}

static void real_losses(void)
{
    if (!start_workers(0))
        return;
    keep(call(&plain_call, (struct wish){.deed = MOCK_CRASH}));
    keep(call(&idempotent_call, (struct wish){.deed = MOCK_CRASH, .good_from = 2}));
    keep(call(&plain_call, (struct wish){.deed = MOCK_ANSWER}));
    settle();
    future_cancel(keep(call(&plain_call, (struct wish){.deed = MOCK_HANG})));
    settle();
}

const struct scenario real_scenarios[] = {
    {"real loop and thread", true, real_loop_and_thread},
    {"real answers", true, real_answers},
    {"real losses", true, real_losses},
    {0},
};
