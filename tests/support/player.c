#include "tests/support/player.h"

#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct play play;

CONTEXT_KEY(mood);
const struct context_key *const play_key = &mood;

const struct async_options play_options = {
    .threads = 2, .workers = PLAY_WORKERS, .request_bytes = 4096};

/* -- the player -------------------------------------------------------------------------------- */

static struct mock_act act(const struct mock_call *call, void *arg)
{
    (void)arg;
    ck_assert_uint_le(call->request.len, sizeof play.request);
    memcpy(play.request, call->request.ptr, call->request.len);
    play.told = *call;
    play.told.request.ptr = play.request;
    size_t which = play.calls++;
    if (play.act_count == 0)
        return (struct mock_act){.deed = MOCK_ANSWER};
    return play.acts[which < play.act_count ? which : play.act_count - 1];
}

static enum mock_birth give_birth(unsigned worker, void *arg)
{
    (void)arg;
    ck_assert_uint_eq(worker, play.starts);
    play.starts++;
    if (worker >= PLAY_STARTS)
        return MOCK_BORN;
    play.born_ns[worker] = async_now_ns() - MOCK_EPOCH_NS;
    return play.births[worker];
}

void play_with(const struct mock_options *options, const struct mock_act *acts, size_t count)
{
    struct mock_options mine = *options;
    struct play script = play;

    ck_assert_uint_le(count, PLAY_ACTS);
    memset(&play, 0, sizeof play);
    memcpy(play.births, script.births, sizeof play.births);
    if (count > 0)
        memcpy(play.acts, acts, count * sizeof *acts);
    play.act_count = count;
    if (mine.async.workers == 0)
        mine.async = play_options;
    mine.birth = give_birth;
    mine.worker = act;
    ck_assert_int_eq(mock_start(&mine), 0);
}

void mock_setup(void)
{
    async_setup();
    ck_assert_int_eq(mock_start(&(struct mock_options){.async = play_options}), 0);
}

uint64_t at(uint64_t ns)
{
    return MOCK_EPOCH_NS + ns;
}

void expect_now(uint64_t ns)
{
    ck_assert_uint_eq(async_now_ns() - MOCK_EPOCH_NS, ns);
}

/* -- calls ------------------------------------------------------------------------------------- */

static ssize_t double_pack(void *frame, char *request, size_t capacity)
{
    ck_assert_uint_ge(capacity, sizeof(uint32_t));
    memcpy(request, &((struct doubling *)frame)->number, sizeof(uint32_t));
    return sizeof(uint32_t);
}

static ssize_t double_serve(struct bytes request, uint64_t deadline_ns, char *reply,
                            size_t capacity)
{
    struct bytes here = context_get(play_key);
    uint32_t number;

    ck_assert_uint_eq(request.len, sizeof number);
    ck_assert_uint_le(sizeof number, capacity);
    ck_assert_uint_le(here.len, sizeof play.context);
    play.serves++;
    play.served_deadline_ns = deadline_ns;
    memcpy(play.context, here.ptr, here.len);
    play.served_context = bytes_of(play.context, here.len);
    memcpy(&number, request.ptr, sizeof number);
    number *= 2;
    memcpy(reply, &number, sizeof number);
    return sizeof number;
}

static void double_unpack(task *t, void *frame, struct bytes reply)
{
    uint32_t *number = reply.len == sizeof *number ? malloc(sizeof *number) : NULL;

    (void)frame;
    play.unpacks++;
    if (number)
        task_return(t, memcpy(number, reply.ptr, sizeof *number), free);
    else
        task_fail(t, -EPROTO, NULL, NULL);
}

static void double_drop(void *frame)
{
    (void)frame;
    play.drops++;
}

#define DOUBLE                                                                                     \
    .pack = double_pack, .serve = double_serve, .unpack = double_unpack, .drop = double_drop

TASK(double_task, ON_PROCESS, sizeof(struct doubling), DOUBLE);
TASK(double_again_task, ON_PROCESS, sizeof(struct doubling), DOUBLE, .idempotent = true);
TASK(double_soon_task, ON_PROCESS, sizeof(struct doubling), DOUBLE, .timeout_ms = 100);

const struct task_def *const double_plain = &double_task;
const struct task_def *const double_again = &double_again_task;
const struct task_def *const double_soon = &double_soon_task;

future *start_double(const struct task_def *def, uint32_t number)
{
    return task_start(def, &(struct doubling){number});
}

void expect_double(future *f, uint32_t number)
{
    expect_ok(future_ref(f));
    ck_assert_uint_eq(*(const uint32_t *)future_value(f), 2 * number);
    future_drop(f);
}

void expect_error(future *f, int error)
{
    expect(f, error ? FUTURE_FAILED : FUTURE_OK, error);
}

void expect_strength(void)
{
    mock_turn();
    ck_assert_int_eq(async_counts().workers, PLAY_STRENGTH);
    ck_assert_int_eq(async_stats().queued, 0);
    ck_assert_int_eq(async_stats().parked, 0);
}
