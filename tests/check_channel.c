#include "core/async/channel.h"

#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Items count their own end: each must be got or destroyed, once. */
struct item {
    int value;
    int *ended;
};

static void item_destroy(void *arg)
{
    ++*((struct item *)arg)->ended;
}

static struct channel *new_channel(size_t capacity)
{
    struct channel *c = channel_new(capacity, item_destroy);

    ck_assert_ptr_nonnull(c);
    return c;
}

static int get(struct channel *c)
{
    void *item = NULL;

    return channel_try_get(c, &item) ? ((struct item *)item)->value : -1;
}

enum { ITEMS = 6 };

struct items {
    struct item item[ITEMS];
    int ended[ITEMS];
};

static void items_init(struct items *items)
{
    *items = (struct items){0};
    for (int i = 0; i < ITEMS; i++)
        items->item[i] = (struct item){.value = i, .ended = &items->ended[i]};
}

/* -- order and bounds -------------------------------------------------------------------------- */

START_TEST(items_come_out_in_the_order_in_which_they_were_put)
{
    struct channel *c = new_channel(3);
    struct items items;

    items_init(&items);
    ck_assert_int_eq(get(c), -1);
    for (int round = 0; round < 5; round++) { /* the ring goes round */
        for (int i = 0; i < 3; i++)
            expect_ok(channel_put(c, &items.item[i]));
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(get(c), i);
    }
    ck_assert_int_eq(get(c), -1);
    channel_drop(c);
    ck_assert_int_eq(items.ended[0], 0); /* who got it owns it */
}
END_TEST

START_TEST(a_channel_that_no_memory_could_hold_is_not_made)
{
    ck_assert_ptr_null(channel_new(SIZE_MAX, NULL));
    ck_assert_ptr_null(channel_new(SIZE_MAX / sizeof(void *), NULL));
}
END_TEST

START_TEST(a_full_channel_parks_its_putters_in_order)
{
    struct channel *c = new_channel(2);
    struct items items;
    future *put[ITEMS];

    items_init(&items);
    for (int i = 0; i < ITEMS; i++)
        put[i] = channel_put(c, &items.item[i]);
    let_loop_turn();
    for (int i = 0; i < ITEMS; i++)
        ck_assert_int_eq(future_settled(put[i]), i < 2);
    for (int i = 0; i < ITEMS; i++) {
        ck_assert_int_eq(get(c), i);
        if (i + 2 < ITEMS)
            ck_assert_int_eq(future_wait(put[i + 2], CLOCK_NEVER), 0);
        if (i + 3 < ITEMS)
            ck_assert(!future_settled(put[i + 3]));
    }
    for (int i = 0; i < ITEMS; i++)
        expect_ok(put[i]);
    channel_drop(c);
}
END_TEST

START_TEST(an_empty_channel_parks_who_wants_to_get)
{
    struct channel *c = new_channel(1);
    struct items items;

    items_init(&items);
    future *ready = channel_ready(c);
    let_loop_turn();
    ck_assert(!future_settled(ready));
    expect_ok(channel_put(c, &items.item[4]));
    expect_ok(ready);
    expect_ok(channel_ready(c)); /* it is still there */
    ck_assert_int_eq(get(c), 4);
    channel_drop(c);
}
END_TEST

/* -- closing ----------------------------------------------------------------------------------- */

START_TEST(a_close_fails_parked_and_later_puts_but_keeps_what_is_inside)
{
    struct channel *c = new_channel(1);
    struct items items;

    items_init(&items);
    expect_ok(channel_put(c, &items.item[0]));
    future *parked = channel_put(c, &items.item[1]);
    channel_close(c);
    expect(parked, FUTURE_FAILED, -EPIPE);
    expect(channel_put(c, &items.item[2]), FUTURE_FAILED, -EPIPE);
    ck_assert_int_eq(items.ended[1], 1);
    ck_assert_int_eq(items.ended[2], 1);
    expect_ok(channel_ready(c));
    ck_assert_int_eq(get(c), 0);
    expect(channel_ready(c), FUTURE_FAILED, -EPIPE);
    ck_assert_int_eq(items.ended[0], 0);
    channel_close(c);
    channel_drop(c);
}
END_TEST

START_TEST(a_close_tells_who_waits_for_an_item)
{
    struct channel *c = new_channel(1);
    future *ready = channel_ready(c);

    channel_close(c);
    expect(ready, FUTURE_FAILED, -EPIPE);
    channel_drop(c);
}
END_TEST

/* _i: 0 it is closed; 1 it is dropped; 2 it was closed before. */
START_TEST(who_wants_to_hear_of_the_close_does)
{
    struct channel *c = new_channel(1);
    struct items items;

    items_init(&items);
    expect_ok(channel_put(c, &items.item[0]));
    if (_i == 2)
        channel_close(c);
    future *closed = channel_closed(c), *given_up = channel_closed(c);
    if (_i < 2) {
        future_cancel(given_up);
        ck_assert_int_eq(get(c), 0);
        let_loop_turn();
        ck_assert(!future_settled(closed));
        expect(given_up, FUTURE_CANCELLED, -ECANCELED);
        given_up = NULL;
    }
    if (_i == 0)
        channel_close(c);
    else if (_i == 1)
        c = channel_drop(c);
    expect_ok(closed);
    future_drop(given_up);
    channel_drop(c);
}
END_TEST

START_TEST(dropping_a_channel_destroys_what_nobody_got)
{
    struct channel *c = new_channel(3);
    struct items items;

    items_init(&items);
    for (int i = 0; i < 3; i++)
        expect_ok(channel_put(c, &items.item[i]));
    ck_assert_int_eq(get(c), 0);
    ck_assert_ptr_eq(channel_ref(c), c);
    ck_assert_ptr_null(channel_drop(c));
    ck_assert_int_eq(items.ended[1], 0);
    ck_assert_ptr_null(channel_drop(c));
    ck_assert_int_eq(items.ended[0], 0);
    ck_assert_int_eq(items.ended[1], 1);
    ck_assert_int_eq(items.ended[2], 1);
    ck_assert_ptr_null(channel_drop(NULL));
}
END_TEST

START_TEST(dropping_a_channel_ends_those_who_still_wait_in_it)
{
    struct channel *full = new_channel(1), *empty = new_channel(1);
    struct items items;

    items_init(&items);
    expect_ok(channel_put(full, &items.item[0]));
    future *put = channel_put(full, &items.item[1]), *ready = channel_ready(empty);
    channel_drop(full);
    channel_drop(empty);
    expect(put, FUTURE_FAILED, -EPIPE);
    expect(ready, FUTURE_FAILED, -EPIPE);
    let_loop_turn();
    ck_assert_int_eq(items.ended[0], 1);
    ck_assert_int_eq(items.ended[1], 1);
}
END_TEST

/* -- cancelling -------------------------------------------------------------------------------- */

START_TEST(cancel_of_a_parked_put_destroys_its_item_once)
{
    struct channel *c = new_channel(1);
    struct items items;

    items_init(&items);
    expect_ok(channel_put(c, &items.item[0]));
    future *cancelled = channel_put(c, &items.item[1]), *other = channel_put(c, &items.item[2]);
    ck_assert_int_eq(future_cancel(cancelled), 0);
    expect(cancelled, FUTURE_CANCELLED, -ECANCELED);
    let_loop_turn();
    ck_assert_int_eq(items.ended[1], 1);
    ck_assert_int_eq(get(c), 0);
    expect_ok(other);
    ck_assert_int_eq(get(c), 2);
    channel_drop(c);
    ck_assert_int_eq(items.ended[1], 1);
}
END_TEST

START_TEST(cancel_of_a_wait_for_an_item_leaves_the_item_there)
{
    struct channel *c = new_channel(1);
    struct items items;

    items_init(&items);
    future *ready = channel_ready(c);
    ck_assert_int_eq(future_cancel(ready), 0);
    expect(ready, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(channel_put(c, &items.item[3]));
    expect_ok(channel_ready(c));
    ck_assert_int_eq(get(c), 3);
    channel_drop(c);
}
END_TEST

/* _i: what races with the cancel of a parked put: 0 a get, 1 a close, 2 the drop of the channel. */
START_TEST(a_parked_put_that_is_cancelled_and_served_at_once_ends_once)
{
    enum { ROUNDS = 2000 };

    for (int round = 0; round < ROUNDS; round++) {
        struct channel *c = new_channel(1);
        struct items items;

        items_init(&items);
        expect_ok(channel_put(c, &items.item[0]));
        future *put = channel_put(c, &items.item[1]);
        future_cancel(put);
        if (_i == 0)
            ck_assert_int_eq(get(c), 0);
        else if (_i == 1)
            channel_close(c);
        else
            c = channel_drop(c);
        ck_assert_int_eq(future_wait(put, CLOCK_NEVER), 0);
        if (future_ok(put)) {
            ck_assert_int_eq(_i, 0);
            ck_assert_int_eq(get(c), 1);
        } else {
            ck_assert_int_eq(items.ended[1], 1);
        }
        bool got = future_ok(put);
        future_drop(put);
        channel_drop(c);
        let_loop_turn();
        ck_assert_int_eq(items.ended[1], !got);
        ck_assert_int_eq(items.ended[0], _i != 0); /* got, or destroyed with the channel */
    }
}
END_TEST

/* -- many -------------------------------------------------------------------------------------- */

enum { PRODUCERS = 4, EACH = 2000 };

struct producer {
    struct channel *channel;
    int *numbers; /* EACH of them */
};

static void *produce(void *arg)
{
    struct producer *p = arg;

    for (int i = 0; i < EACH; i++) {
        future *put = channel_put(p->channel, &p->numbers[i]);
        future_wait(put, CLOCK_NEVER);
        future_drop(put);
    }
    return NULL;
}

/* Gets until the channel is closed and empty. */
struct consumer {
    struct channel *channel;
    future *ready;
    int *last, *count;
};

static int consume_step(task *t, void *frame)
{
    struct consumer *c = frame;
    void *item;

    BEGIN(t);
    for (;;) {
        AWAIT(t, c->ready, channel_ready(c->channel));
        if (!future_ok(c->ready))
            break;
        while (channel_try_get(c->channel, &item)) {
            int number = *(int *)item, producer = number / EACH;
            if (number % EACH != c->last[producer] + 1)
                task_fail(t, -EBADMSG, NULL, NULL); /* out of its producer's order */
            c->last[producer] = number % EACH;
            ++*c->count;
        }
    }
    END(t);
}

static void consume_drop(void *frame)
{
    struct consumer *c = frame;

    future_drop(c->ready);
    channel_drop(c->channel);
}

TASK(consume_task, ON_LOOP, sizeof(struct consumer), .step = consume_step, .drop = consume_drop);

START_TEST(many_threads_put_and_a_task_gets_everything_in_each_ones_order)
{
    struct channel *c = channel_new(8, NULL);
    static int numbers[PRODUCERS][EACH];
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    int last[PRODUCERS], count = 0;

    for (int p = 0; p < PRODUCERS; p++) {
        last[p] = -1;
        for (int i = 0; i < EACH; i++)
            numbers[p][i] = p * EACH + i;
        producers[p] = (struct producer){c, numbers[p]};
        ck_assert_int_eq(pthread_create(&threads[p], NULL, produce, &producers[p]), 0);
    }
    future *f =
        task_start(&consume_task,
                   &(struct consumer){.channel = channel_ref(c), .last = last, .count = &count});
    for (int p = 0; p < PRODUCERS; p++)
        pthread_join(threads[p], NULL);
    channel_close(c);
    expect_ok(f);
    ck_assert_int_eq(count, PRODUCERS * EACH);
    channel_drop(c);
}
END_TEST

Suite *suite_channel(void)
{
    Suite *suite = suite_create("channel");
    TCase *order = tcase_create("order and bounds"), *closing = tcase_create("closing"),
          *cancelling = tcase_create("cancelling");
    TCase *cases[] = {order, closing, cancelling};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], async_setup, async_teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(order, items_come_out_in_the_order_in_which_they_were_put);
    tcase_add_test(order, a_channel_that_no_memory_could_hold_is_not_made);
    tcase_add_test(order, a_full_channel_parks_its_putters_in_order);
    tcase_add_test(order, an_empty_channel_parks_who_wants_to_get);
    tcase_add_test(order, many_threads_put_and_a_task_gets_everything_in_each_ones_order);
    tcase_add_test(closing, a_close_fails_parked_and_later_puts_but_keeps_what_is_inside);
    tcase_add_test(closing, a_close_tells_who_waits_for_an_item);
    tcase_add_loop_test(closing, who_wants_to_hear_of_the_close_does, 0, 3);
    tcase_add_test(closing, dropping_a_channel_destroys_what_nobody_got);
    tcase_add_test(closing, dropping_a_channel_ends_those_who_still_wait_in_it);
    tcase_add_test(cancelling, cancel_of_a_parked_put_destroys_its_item_once);
    tcase_add_test(cancelling, cancel_of_a_wait_for_an_item_leaves_the_item_there);
    tcase_add_loop_test(cancelling, a_parked_put_that_is_cancelled_and_served_at_once_ends_once, 0,
                        3);
    return suite;
}
