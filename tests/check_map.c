#include "core/async/map.h"

#include "core/async/async.h"
#include "core/async/loop.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum { COUNT = 300 };

struct work {
    int running, most, started, last;
    bool out_of_order;
    int calls[COUNT];
    atomic_int settled;
    promise *gates[COUNT]; /* for those who settle by hand */
};

/* -- kinds of work, one future per index ------------------------------------------------------- */

struct piece {
    struct work *work;
    future *pause;
};

static int piece_step(task *t, void *frame)
{
    struct piece *p = frame;

    BEGIN(t);
    AWAIT(t, p->pause, future_at(loop_now_ns() + NS_PER_MS / 10));
    END(t);
}

static void piece_drop(void *frame)
{
    struct piece *p = frame;

    p->work->running--;
    p->work->settled++;
    future_drop(p->pause);
}

TASK(piece_task, ON_LOOP, sizeof(struct piece), .step = piece_step, .drop = piece_drop);

static void note_start(struct work *w, size_t index)
{
    w->calls[index]++;
    w->out_of_order |= (int)index != w->started;
    w->started++;
    if (++w->running > w->most)
        w->most = w->running;
}

static future *start_piece(void *arg, size_t index)
{
    note_start(arg, index);
    return task_start(&piece_task, &(struct piece){.work = arg});
}

static future *start_settled(void *arg, size_t index)
{
    struct work *w = arg;

    note_start(w, index);
    w->running--;
    return index % 3 == 0 ? future_out_of_memory() : future_done();
}

static future *start_gate(void *arg, size_t index)
{
    struct work *w = arg;
    future *f;

    note_start(w, index);
    w->gates[index] = promise_new(&f);
    return f;
}

static void check_all_once(const struct work *w, size_t count)
{
    ck_assert_int_eq(w->started, count);
    ck_assert(!w->out_of_order);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(w->calls[i], 1);
}

static struct work work; /* too large for a stack; each test is a process of its own */

static void map_setup(void)
{
    async_setup();
    memset(&work, 0, sizeof work);
}

/* -- tests ------------------------------------------------------------------------------------- */

START_TEST(every_index_is_started_once_in_order_and_never_more_than_the_limit)
{
    int limit = (const int[]){1, 2, 7, 100, COUNT, 10 * COUNT}[_i];

    expect_ok(map_in(NULL, COUNT, (size_t)limit, start_piece, &work));
    check_all_once(&work, COUNT);
    ck_assert_int_eq(work.settled, COUNT);
    ck_assert_int_le(work.most, limit);
    ck_assert_int_eq(work.most, limit < COUNT ? limit : COUNT); /* and the limit is used */
}
END_TEST

START_TEST(work_that_is_settled_at_once_and_work_that_fails_are_counted_like_any)
{
    expect_ok(map_in(NULL, COUNT, 10, start_settled, &work));
    check_all_once(&work, COUNT);
}
END_TEST

START_TEST(a_map_over_nothing_is_done)
{
    expect_ok(map_in(NULL, 0, 5, start_piece, &work));
    ck_assert_int_eq(work.started, 0);
}
END_TEST

static void settle_and_look(struct work *w, int index, int started_then)
{
    w->gates[index] = promise_drop(w->gates[index]);
    let_loop_turn();
    ck_assert_int_eq(w->started, started_then);
}

START_TEST(the_next_index_is_started_when_any_of_those_under_way_ends)
{
    future *f = map_in(NULL, 5, 3, start_gate, &work);

    let_loop_turn();
    ck_assert_int_eq(work.started, 3);
    settle_and_look(&work, 1, 4);
    settle_and_look(&work, 3, 5);
    settle_and_look(&work, 0, 5);
    settle_and_look(&work, 4, 5);
    ck_assert(!future_settled(f));
    settle_and_look(&work, 2, 5);
    expect_ok(f);
}
END_TEST

static void decline(promise *p, void *arg)
{
    (void)p;
    atomic_fetch_add((atomic_int *)arg, 1);
}

static future *start_stubborn(void *arg, size_t index)
{
    struct work *w = arg;
    future *f = start_gate(arg, index);

    promise_on_cancel(w->gates[index], decline, &w->settled);
    return f;
}

START_TEST(a_cancelled_map_starts_no_more_and_ends_when_what_it_started_has)
{
    future *f = map_in(NULL, COUNT, 3, start_stubborn, &work);

    let_loop_turn();
    ck_assert_int_eq(future_cancel(f), 0);
    let_loop_turn();
    let_loop_turn();
    ck_assert_int_eq(work.settled, 3); /* each was asked */
    for (int i = 0; i < 3; i++) {
        ck_assert(!future_settled(f));
        settle_and_look(&work, i, 3);
    }
    expect(f, FUTURE_CANCELLED, -ECANCELED);
}
END_TEST

START_TEST(cancelling_a_map_cancels_what_is_under_way)
{
    enum { LIMIT = 10 };
    future *f = map_in(NULL, COUNT, LIMIT, start_gate, &work);

    let_loop_turn();
    ck_assert_int_eq(future_cancel(f), 0);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    ck_assert_int_eq(work.started, LIMIT);
    for (int i = 0; i < LIMIT; i++) {
        ck_assert_int_eq(promise_resolve(work.gates[i], NULL, NULL), -EALREADY);
        promise_drop(work.gates[i]);
    }
}
END_TEST

START_TEST(a_map_ends_with_the_scope_that_it_was_started_in)
{
    struct scope *s = scope_new(CLOCK_NEVER, 0);
    future *f = map_in(s, COUNT, 10, start_piece, &work);

    let_loop_turn();
    scope_cancel(s, -ECANCELED);
    expect_ok(scope_close(s));
    ck_assert_int_eq(work.settled, work.started);
    expect(f, FUTURE_CANCELLED, -ECANCELED);
    scope_drop(s);
}
END_TEST

Suite *suite_map(void)
{
    Suite *suite = suite_create("map");
    TCase *map = tcase_create("map");

    tcase_add_checked_fixture(map, map_setup, async_teardown);
    tcase_set_timeout(map, 60);
    tcase_add_loop_test(map, every_index_is_started_once_in_order_and_never_more_than_the_limit, 0,
                        6);
    tcase_add_test(map, work_that_is_settled_at_once_and_work_that_fails_are_counted_like_any);
    tcase_add_test(map, a_map_over_nothing_is_done);
    tcase_add_test(map, the_next_index_is_started_when_any_of_those_under_way_ends);
    tcase_add_test(map, a_cancelled_map_starts_no_more_and_ends_when_what_it_started_has);
    tcase_add_test(map, cancelling_a_map_cancels_what_is_under_way);
    tcase_add_test(map, a_map_ends_with_the_scope_that_it_was_started_in);
    suite_add_tcase(suite, map);
    return suite;
}
