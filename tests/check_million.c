/* Very many tasks at once. */
#include "core/async/async.h"
#include "core/base/clock.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Fewer where each costs ten times as much. */
enum { TASKS = SANITIZED_ADDRESS || SANITIZED_THREAD ? 100000 : 1000000 };

static long stepped, dropped; /* loop thread */

struct parked {
    future *never;
};

static int parked_step(task *t, void *frame)
{
    struct parked *p = frame;

    BEGIN(t);
    stepped++;
    AWAIT(t, p->never, future_at(CLOCK_NEVER));
    END(t);
}

static void parked_drop(void *frame)
{
    future_drop(((struct parked *)frame)->never);
    dropped++;
}

TASK(parked_task, ON_LOOP, sizeof(struct parked), .step = parked_step, .drop = parked_drop);

START_TEST(a_million_parked_tasks_are_cancelled_by_one_scope)
{
    struct scope *s = scope_new(CLOCK_NEVER, 0);
    future **f = malloc(TASKS * sizeof(future *));

    ck_assert(s && f);
    stepped = dropped = 0;
    for (int i = 0; i < TASKS; i++)
        f[i] = task_start_in(s, &parked_task, &(struct parked){0});
    let_loop_turn();
    while (stepped < TASKS) /* the loop's turns are shorter than that */
        let_loop_turn();
    ck_assert_int_eq(async_counts().tasks, TASKS);

    scope_cancel(s, -ECANCELED);
    expect_ok(scope_close(s));
    scope_drop(s);
    ck_assert_int_eq(dropped, TASKS);
    for (int i = 0; i < TASKS; i++) {
        ck_assert_int_eq(future_state(f[i]), FUTURE_CANCELLED);
        future_drop(f[i]);
    }
    free(f);
}
END_TEST

Suite *suite_million(void)
{
    Suite *suite = suite_create("million");
    TCase *all = tcase_create("million");

    tcase_add_checked_fixture(all, async_setup, async_teardown);
    tcase_set_timeout(all, 240);
    tcase_add_test(all, a_million_parked_tasks_are_cancelled_by_one_scope);
    suite_add_tcase(suite, all);
    return suite;
}
