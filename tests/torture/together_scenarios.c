/* What puts futures together: channels, the bounded map, the combinators. */
#include "core/base/clock.h"
#include "tests/torture/scenario.h"

#include <errno.h>

static uint64_t in_ms(unsigned ms)
{
    return clock_after_ms(async_now_ns(), ms);
}

/* -- channels ---------------------------------------------------------------------------------- */

struct end_frame {
    struct token *token;
    struct channel *channel; /* owned */
    unsigned left;
    bool closes;
    future *f;
};

/* Nobody may wait for an end that is not there any more. */
static void end_drop(void *frame)
{
    struct end_frame *e = frame;

    if (e->closes)
        channel_close(e->channel);
    channel_drop(e->channel);
    future_drop(e->f);
    token_drop(e->token);
}

static int put_step(task *t, void *frame)
{
    struct end_frame *e = frame;

    BEGIN(t);
    for (; e->left > 0; e->left--)
        AWAIT(t, e->f, channel_put(e->channel, token_new()));
    END(t);
}

static int get_step(task *t, void *frame)
{
    struct end_frame *e = frame;
    void *item;

    BEGIN(t);
    for (;;) {
        AWAIT(t, e->f, channel_ready(e->channel));
        if (!future_ok(e->f))
            break;
        while (channel_try_get(e->channel, &item))
            token_drop(item);
        AWAIT(t, e->f, future_at(in_ms(1)));
    }
    END(t);
}

TASK(put_task, ON_LOOP, sizeof(struct end_frame), .step = put_step, .drop = end_drop);
TASK(get_task, ON_LOOP, sizeof(struct end_frame), .step = get_step, .drop = end_drop);

static future *start_end(const struct task_def *def, struct channel *c, unsigned n, bool closes)
{
    struct end_frame frame = {
        .token = token_new(), .channel = channel_ref(c), .left = n, .closes = closes};

    return keep(task_start(def, &frame));
}

static void put_and_get(void)
{
    if (!start_mock(&(struct mock_options){.seed = 19}))
        return;
    struct channel *c = channel_new(2, token_drop);
    if (!c)
        return;
    start_end(&get_task, c, 0, true);
    start_end(&put_task, c, 7, false);
    mock_turn();
    start_end(&put_task, c, 3, true);
    settle();
    channel_drop(c);
}

static void parked_in_vain(void)
{
    if (!start_mock(&(struct mock_options){.seed = 23}))
        return;
    struct channel *c = channel_new(1, token_drop), *empty = channel_new(1, token_drop);
    for (int i = 0; c && i < 6; i++) {
        future *f = keep(channel_put(c, token_new()));
        if (i % 2)
            future_cancel(f);
    }
    if (empty) {
        future_cancel(keep(channel_ready(empty)));
        keep(channel_ready(empty));
    }
    mock_turn();
    if (c) {
        channel_close(c);
        keep(channel_put(c, token_new()));
    }
    channel_drop(c);
    channel_drop(empty);
    settle();
}

/* -- map --------------------------------------------------------------------------------------- */

struct item_frame {
    struct token *token;
    size_t index;
    future *slept;
};

static int item_step(task *t, void *frame)
{
    struct item_frame *i = frame;

    BEGIN(t);
    AWAIT(t, i->slept, future_at(in_ms(i->index % 3)));
    if (i->index % 4 == 3)
        task_fail(t, -EPROTO, NULL, NULL);
    else
        task_return(t, token_new(), token_drop);
    END(t);
}

static void item_drop(void *frame)
{
    struct item_frame *i = frame;

    future_drop(i->slept);
    token_drop(i->token);
}

TASK(item_task, ON_LOOP, sizeof(struct item_frame), .step = item_step, .drop = item_drop);

static future *start_item(void *arg, size_t index)
{
    (void)arg;
    return task_start(&item_task, &(struct item_frame){.token = token_new(), .index = index});
}

static future *start_settled(void *arg, size_t index)
{
    return index % 2 ? future_done() : start_item(arg, index);
}

static void maps(void)
{
    if (!start_mock(&(struct mock_options){.seed = 29}))
        return;
    struct scope *s = scope_new(CLOCK_NEVER, SCOPE_FAIL_FAST);
    keep(map_in(NULL, 9, 2, start_item, NULL));
    keep(map_in(NULL, 5, 50, start_settled, NULL));
    keep(map_in(NULL, 0, 1, start_item, NULL));
    keep(map_in(s, 20, 3, start_item, NULL));
    future *cancelled = keep(map_in(NULL, 20, 3, start_item, NULL));
    future_cancel(keep(map_in(NULL, 20, 3, start_item, NULL)));
    mock_advance(3 * NS_PER_MS);
    future_cancel(cancelled);
    if (s)
        keep(scope_close(s));
    scope_drop(s);
    settle();
}

/* -- combinators ------------------------------------------------------------------------------- */

enum { INPUTS = 4 };

/* Four that end at different times; the third one, index 3, fails. */
static void start_inputs(future *inputs[INPUTS])
{
    static const size_t order[INPUTS] = {2, 4, 3, 1};

    for (int i = 0; i < INPUTS; i++)
        inputs[i] = start_item(NULL, order[i]);
}

static void drop_inputs(future *inputs[INPUTS])
{
    for (int i = 0; i < INPUTS; i++)
        keep(inputs[i]);
}

static void combined(void)
{
    future *(*const combinators[])(future *const *fs, size_t n) = {future_all, future_any,
                                                                   future_race};
    future *inputs[INPUTS];

    if (!start_mock(&(struct mock_options){.seed = 31}))
        return;
    for (size_t i = 0; i < sizeof combinators / sizeof combinators[0]; i++) {
        start_inputs(inputs);
        keep(combinators[i](inputs, INPUTS));
        keep(combinators[i](inputs, 2)); /* overlapping; what decides one cancels for the other */
        future *cancelled = keep(combinators[i](inputs + 1, 2));
        keep(combinators[i](inputs, 0));
        drop_inputs(inputs);
        mock_turn();
        future_cancel(cancelled);
    }
    start_inputs(inputs);
    keep(future_shield(inputs[0]));
    future_cancel(keep(future_shield(inputs[1])));
    settle();
    drop_inputs(inputs);
    keep(future_all(inputs, INPUTS)); /* of settled ones */
    keep(future_race(inputs, INPUTS));
    settle();
}

/* Takes all that comes; counts it. */
struct taker_frame {
    struct token *token;
    struct channel *channel; /* owned */
    unsigned *taken;
    future *f;
};

static int taker_step(task *t, void *frame)
{
    struct taker_frame *e = frame;
    void *item;

    BEGIN(t);
    for (;;) {
        AWAIT(t, e->f, channel_ready(e->channel));
        if (future_error(e->f) == -ENOMEM)
            continue;
        if (!future_ok(e->f))
            break;
        while (channel_try_get(e->channel, &item)) {
            if (!future_settled(item))
                complain("a future was told before it was settled");
            future_drop(item);
            ++*e->taken;
        }
    }
    END(t);
}

static void taker_drop(void *frame)
{
    struct taker_frame *e = frame;

    channel_drop(e->channel);
    future_drop(e->f);
    token_drop(e->token);
}

TASK(taker_task, ON_LOOP, sizeof(struct taker_frame), .step = taker_step, .drop = taker_drop);

static void completed(void)
{
    future *inputs[INPUTS];
    unsigned taken = 0;

    if (!start_mock(&(struct mock_options){.seed = 37}))
        return;
    start_inputs(inputs);
    struct channel *c = as_completed(inputs, INPUTS, 1);
    struct channel *dropped = as_completed(inputs, INPUTS, 1);
    struct channel *none = as_completed(inputs, 0, 1);
    drop_inputs(inputs);
    mock_advance(NS_PER_MS);
    channel_drop(dropped);
    channel_drop(none);
    if (c) {
        struct taker_frame frame = {.token = token_new(), .channel = c, .taken = &taken};
        future *f = keep(task_start(&taker_task, &frame));
        settle();
        if (future_ok(f) && taken != INPUTS)
            complain("%u of %d futures were told as completed", taken, INPUTS);
    }
    settle();
}

const struct scenario together_scenarios[] = {
    {"put and get", false, put_and_get},
    {"parked in vain", false, parked_in_vain},
    {"maps", false, maps},
    {"combined", false, combined},
    {"as completed", false, completed},
    {0},
};
