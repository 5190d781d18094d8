/* Process tasks that wait for a worker: the queue's bound, those parked in front of it, room. */
#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/worker_watch.h"

#include <errno.h>

enum { QUEUE_BYTES = 1000 };

static future *plug; /* keeps the only worker busy, until it is pulled */
static struct workers workers;

static void setup(void)
{
    struct async_options options = {.threads = 2, .workers = 1, .queue_bytes = QUEUE_BYTES};

    async_setup();
    ck_assert_int_eq(async_configure(&options), 0);
    plug = start_serving(plain_order, GROW, &workers);
}

static void pull_plug(void)
{
    future_cancel(plug);
    expect(plug, FUTURE_CANCELLED, -ECANCELED);
    plug = NULL;
}

static void teardown(void)
{
    if (plug)
        pull_plug();
    struct async_stats now = async_stats();
    ck_assert_int_eq(now.queued, 0);
    ck_assert_int_eq(now.queued_bytes, 0);
    ck_assert_int_eq(now.parked, 0);
    async_teardown();
}

/* What a task packs; the packs of all that point to it are counted. */
static char payload[4 * QUEUE_BYTES];
static atomic_int packs, drops;

static future *start_sized_in(struct scope *s, size_t size)
{
    struct call call = {.payload = payload, .payload_len = size, .packs = &packs, .drops = &drops};

    return task_start_in(s, plain_order, &call);
}

static future *start_sized(size_t size)
{
    return start_sized_in(NULL, size);
}

static void expect_stats(long queued, long bytes, long parked)
{
    let_loop_turn();
    struct async_stats now = async_stats();
    ck_assert_int_eq(now.queued, queued);
    ck_assert_int_eq(now.queued_bytes, bytes);
    ck_assert_int_eq(now.parked, parked);
}

/* -- the bound --------------------------------------------------------------------------------- */

START_TEST(a_full_queue_parks_and_never_drops)
{
    enum { TASKS = 20 };
    future *f[TASKS];

    packs = drops = 0;
    for (int i = 0; i < TASKS; i++)
        f[i] = start_sized(400);
    expect_stats(2, 800, TASKS - 2);
    ck_assert_int_eq(packs, 0);
    pull_plug();
    for (int i = 0; i < TASKS; i++)
        expect_ok(f[i]);
    ck_assert_int_eq(packs, TASKS);
    ck_assert_int_eq(drops, TASKS);
}
END_TEST

START_TEST(a_small_task_does_not_overtake_a_parked_one)
{
    future *first = start_sized(600), *large = start_sized(500), *small = start_sized(1);

    expect_stats(1, 600, 2);
    pull_plug();
    expect_ok(first);
    expect_ok(large);
    expect_ok(small);
}
END_TEST

START_TEST(an_empty_queue_takes_a_task_of_any_size)
{
    future *huge = start_sized(4 * QUEUE_BYTES), *next = start_sized(0);

    expect_stats(1, 4 * QUEUE_BYTES, 1);
    pull_plug();
    expect_ok(huge);
    expect_ok(next);
}
END_TEST

START_TEST(a_queued_task_that_is_cancelled_makes_room)
{
    future *first = start_sized(900), *second = start_sized(800);

    expect_stats(1, 900, 1);
    future_cancel(first);
    expect(first, FUTURE_CANCELLED, -ECANCELED);
    expect_stats(1, 800, 0);
    pull_plug();
    expect_ok(second);
}
END_TEST

START_TEST(cancel_of_a_parked_task_never_starts_it)
{
    packs = drops = 0;
    future *queued = start_sized(QUEUE_BYTES), *parked = start_sized(600), *last = start_sized(600);

    expect_stats(1, QUEUE_BYTES, 2);
    future_cancel(parked);
    expect(parked, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(drops, 1);
    expect_stats(1, QUEUE_BYTES, 1);
    pull_plug();
    expect_ok(queued);
    expect_ok(last);
    ck_assert_int_eq(packs, 2);
    ck_assert_int_eq(drops, 3);
}
END_TEST

START_TEST(cancelling_a_scope_takes_all_of_it_from_both_places)
{
    enum { TASKS = 10 };
    future *f[TASKS];
    struct scope *s = scope_new(CLOCK_NEVER, 0);

    packs = 0;
    for (int i = 0; i < TASKS; i++)
        f[i] = start_sized_in(s, 300);
    future *other = start_sized(300);
    expect_stats(3, 900, TASKS - 2);
    scope_cancel(s, -ECANCELED);
    for (int i = 0; i < TASKS; i++)
        expect(f[i], FUTURE_CANCELLED, -ECANCELED);
    expect_stats(1, 300, 0);
    pull_plug();
    expect_ok(other);
    ck_assert_int_eq(packs, 1);
    expect_ok(scope_close(s));
    scope_drop(s);
}
END_TEST

START_TEST(scopes_take_turns_at_the_door)
{
    enum { CROWD = 20 };
    future *f[CROWD];
    struct scope *crowd = scope_new(CLOCK_NEVER, 0), *other = scope_new(CLOCK_NEVER, 0);

    for (int i = 0; i < CROWD; i++) {
        struct call call = {.order = {SPIN_UNTIL_DEADLINE, 0},
                            .payload = payload,
                            .payload_len = QUEUE_BYTES - 100};
        f[i] = task_start_in(crowd, hasty_order, &call);
    }
    future *single = start_sized_in(other, QUEUE_BYTES - 100);
    expect_stats(1, QUEUE_BYTES - 100, CROWD);
    pull_plug();
    expect_ok(single);
    ck_assert(!future_settled(f[4])); /* three went before it, and one may have come after */
    for (int i = 0; i < CROWD; i++)
        expect(f[i], FUTURE_FAILED, -ETIME);
    expect_ok(scope_close(crowd));
    expect_ok(scope_close(other));
    scope_drop(crowd);
    scope_drop(other);
}
END_TEST

/* Two calls of each of many scopes wait, and then comes one of another. */
START_TEST(a_scope_that_comes_last_is_served_next_at_both_places)
{
    enum { SCOPES = 8, EACH = 2 };
    size_t sizes[] = {10, QUEUE_BYTES - 100}; /* all are queued; all but one are parked */

    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        struct scope *scopes[SCOPES], *late = scope_new(CLOCK_NEVER, 0);
        future *f[SCOPES * EACH];
        struct call call = {
            .order = {SPIN_UNTIL_DEADLINE, 0}, .payload = payload, .payload_len = sizes[n]};

        if (!plug)
            plug = start_serving(plain_order, GROW, &workers);
        for (int i = 0; i < SCOPES; i++)
            scopes[i] = scope_new(CLOCK_NEVER, 0);
        for (int i = 0; i < SCOPES * EACH; i++)
            f[i] = task_start_in(scopes[i % SCOPES], hasty_order, &call);
        let_loop_turn();
        pull_plug();
        /* Of the last scope the first is done: none of them is a newcomer any more. */
        expect(f[SCOPES - 1], FUTURE_FAILED, -ETIME);
        future *newcomer = start_sized_in(late, sizes[n]);
        expect_ok(newcomer);
        ck_assert(!future_settled(f[SCOPES * EACH - 1]));
        for (int i = 0; i < SCOPES * EACH; i++) {
            if (i != SCOPES - 1)
                expect(f[i], FUTURE_FAILED, -ETIME);
        }
        for (int i = 0; i < SCOPES; i++) {
            expect_ok(scope_close(scopes[i]));
            scope_drop(scopes[i]);
        }
        expect_ok(scope_close(late));
        scope_drop(late);
    }
}
END_TEST

START_TEST(a_task_that_is_made_again_comes_first_though_the_queue_is_full)
{
    enum { TASKS = 5 };
    future *f[TASKS];

    pull_plug();
    future *again = start_serving(retried_order, GROW_ONCE, &workers);
    for (int i = 0; i < TASKS; i++) {
        struct call call = {
            .order = {SPIN_UNTIL_DEADLINE, 0}, .payload = payload, .payload_len = 300};
        f[i] = task_start(hasty_order, &call);
    }
    expect_stats(3, 900, TASKS - 3);
    workers_kill_in_one_turn(&workers);
    expect_ok(again);
    ck_assert(!future_settled(f[2])); /* the last of those that were queued */
    for (int i = 0; i < TASKS; i++)
        expect(f[i], FUTURE_FAILED, -ETIME);
    ck_assert_int_eq(async_stats().tasks_retried, 1);
}
END_TEST

START_TEST(stopping_the_runtime_ends_what_is_parked)
{
    enum { TASKS = 10 };
    future *f[TASKS];

    for (int i = 0; i < TASKS; i++)
        f[i] = start_sized(600);
    expect_stats(1, 600, TASKS - 1);
    ck_assert_int_eq(async_stop(), 0);
    for (int i = 0; i < TASKS; i++)
        expect(f[i], FUTURE_CANCELLED, -ECANCELED);
    expect(plug, FUTURE_CANCELLED, -ECANCELED);
    plug = NULL;
}
END_TEST

START_TEST(when_no_worker_can_start_the_parked_fail_too)
{
    enum { TASKS = 10 };
    future *f[TASKS];

    for (int i = 0; i < TASKS; i++)
        f[i] = start_sized(600);
    expect_stats(1, 600, TASKS - 1);
    let_workers_start("fail");
    workers_kill_in_one_turn(&workers);
    expect(plug, FUTURE_FAILED, -EOWNERDEAD);
    plug = NULL;
    for (int i = 0; i < TASKS; i++)
        expect(f[i], FUTURE_FAILED, -ECHILD);
    let_workers_start(NULL);
}
END_TEST

/* -- room -------------------------------------------------------------------------------------- */

START_TEST(there_is_room_when_it_fits_or_nothing_waits)
{
    future *f = start_sized(400);

    let_loop_turn();
    expect_ok(process_room(600));
    future *large = process_room(10 * QUEUE_BYTES);
    let_loop_turn();
    ck_assert(!future_settled(large));
    pull_plug();
    expect_ok(large);
    expect_ok(f);
    expect_ok(process_room(10 * QUEUE_BYTES));
}
END_TEST

START_TEST(room_is_given_in_the_order_of_asking)
{
    future *f = start_sized(400), *first = process_room(700), *second = process_room(1);

    let_loop_turn();
    ck_assert(!future_settled(first) && !future_settled(second));
    future_cancel(first);
    expect(first, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(second);
    pull_plug();
    expect_ok(f);
}
END_TEST

START_TEST(not_all_who_wait_are_told_of_the_same_room)
{
    enum { ASKING = 10 };
    future *room[ASKING];
    future *first = start_sized(500), *second = start_sized(500);
    int told = 0;

    for (int i = 0; i < ASKING; i++)
        room[i] = process_room(200);
    let_loop_turn();
    for (int i = 0; i < ASKING; i++)
        ck_assert(!future_settled(room[i]));
    future_cancel(second);
    expect(second, FUTURE_CANCELLED, -ECANCELED);
    let_loop_turn();
    for (int i = 0; i < ASKING; i++)
        told += future_settled(room[i]);
    ck_assert_int_eq(told, 2);
    pull_plug();
    for (int i = 0; i < ASKING; i++)
        expect_ok(room[i]);
    expect_ok(first);
}
END_TEST

START_TEST(who_comes_after_it_was_told_of_room_stands_for_it)
{
    future *first = start_sized(400);

    expect_ok(process_room(600));
    future *second = start_sized(600);
    expect_stats(2, 1000, 0);
    future_cancel(second);
    expect(second, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(process_room(600));
    pull_plug();
    expect_ok(first);
}
END_TEST

START_TEST(room_that_nobody_came_for_is_given_again_once_the_queue_was_empty)
{
    future *first = start_sized(400);

    expect_ok(process_room(600));
    future_cancel(first);
    expect(first, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(process_room(300));
    future *second = start_sized(500);
    expect_ok(process_room(450));
    pull_plug();
    expect_ok(second);
}
END_TEST

START_TEST(the_parked_come_before_those_who_ask_for_room)
{
    future *queued = start_sized(900), *parked = start_sized(500), *room = process_room(1);

    expect_stats(1, 900, 1);
    ck_assert(!future_settled(room)); /* though one byte more would fit */
    future_cancel(queued);
    expect(queued, FUTURE_CANCELLED, -ECANCELED);
    expect_ok(room);
    pull_plug();
    expect_ok(parked);
}
END_TEST

START_TEST(stopping_the_runtime_cancels_those_who_wait_for_room)
{
    future *f = start_sized(QUEUE_BYTES), *room = process_room(QUEUE_BYTES);

    let_loop_turn();
    ck_assert(!future_settled(room));
    ck_assert_int_eq(async_stop(), 0);
    expect(room, FUTURE_CANCELLED, -ECANCELED);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    expect(plug, FUTURE_CANCELLED, -ECANCELED);
    plug = NULL;
}
END_TEST

Suite *suite_process_queue(void)
{
    Suite *suite = suite_create("process_queue");
    TCase *bound = tcase_create("bound"), *room = tcase_create("room");
    TCase *cases[] = {bound, room};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_add_checked_fixture(cases[i], setup, teardown);
        tcase_set_timeout(cases[i], 60);
        suite_add_tcase(suite, cases[i]);
    }
    tcase_add_test(bound, a_full_queue_parks_and_never_drops);
    tcase_add_test(bound, a_small_task_does_not_overtake_a_parked_one);
    tcase_add_test(bound, an_empty_queue_takes_a_task_of_any_size);
    tcase_add_test(bound, a_queued_task_that_is_cancelled_makes_room);
    tcase_add_test(bound, cancel_of_a_parked_task_never_starts_it);
    tcase_add_test(bound, cancelling_a_scope_takes_all_of_it_from_both_places);
    tcase_add_test(bound, scopes_take_turns_at_the_door);
    tcase_add_test(bound, a_scope_that_comes_last_is_served_next_at_both_places);
    tcase_add_test(bound, a_task_that_is_made_again_comes_first_though_the_queue_is_full);
    tcase_add_test(bound, stopping_the_runtime_ends_what_is_parked);
    tcase_add_test(bound, when_no_worker_can_start_the_parked_fail_too);
    tcase_add_test(room, there_is_room_when_it_fits_or_nothing_waits);
    tcase_add_test(room, room_is_given_in_the_order_of_asking);
    tcase_add_test(room, not_all_who_wait_are_told_of_the_same_room);
    tcase_add_test(room, who_comes_after_it_was_told_of_room_stands_for_it);
    tcase_add_test(room, room_that_nobody_came_for_is_given_again_once_the_queue_was_empty);
    tcase_add_test(room, the_parked_come_before_those_who_ask_for_room);
    tcase_add_test(room, stopping_the_runtime_cancels_those_who_wait_for_room);
    return suite;
}
