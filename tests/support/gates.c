#include "tests/support/gates.h"

#include "core/async/internal.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>

atomic_int gates_asked, gates_destroyed, failures_unseen;

static void count_unseen(const char *name, int error)
{
    (void)name, (void)error;
    failures_unseen++;
}

void gates_setup(void)
{
    async_setup();
    struct async_options options = {.threads = 4, .hooks.unseen_failure = count_unseen};
    ck_assert_int_eq(async_configure(&options), 0);
    failures_unseen = 0;
}

static void decline(promise *p, void *arg)
{
    (void)p;
    atomic_fetch_add((atomic_int *)arg, 1);
}

void gates_open(struct gates *g)
{
    gates_asked = gates_destroyed = 0;
    for (int i = 0; i < GATES; i++)
        g->p[i] = new_promise(&g->f[i]);
}

void gates_open_stubborn(struct gates *g)
{
    gates_open(g);
    for (int i = 0; i < GATES; i++)
        promise_on_cancel(g->p[i], decline, &gates_asked);
}

int gates_error(int i, enum future_state state)
{
    return state == FUTURE_OK ? 0 : state == FUTURE_FAILED ? 100 + i : -ECANCELED;
}

static void count_destroyed(void *value)
{
    atomic_fetch_add((atomic_int *)value, 1);
}

void gates_settle(struct gates *g, int i, enum future_state state)
{
    if (state == FUTURE_OK)
        promise_resolve(g->p[i], &gates_destroyed, count_destroyed);
    else if (state == FUTURE_FAILED)
        promise_fail(g->p[i], gates_error(i, state), NULL, NULL);
    else
        promise_cancel(g->p[i]);
    g->p[i] = promise_drop(g->p[i]);
}

void gates_close(struct gates *g)
{
    for (int i = 0; i < GATES; i++) {
        if (g->p[i])
            gates_settle(g, i, FUTURE_CANCELLED);
        future_drop(g->f[i]);
    }
}

bool is_watched(future *f)
{
    tiny_lock(&f->lock);
    bool watched = !list_empty(&f->waiters);
    tiny_unlock(&f->lock);
    return watched;
}

void expect_pending(future *f)
{
    let_loop_turn();
    ck_assert(!future_settled(f));
}

void gates_expect_left_alone(struct gates *g)
{
    let_loop_turn();
    ck_assert_int_eq(async_counts().tasks, 0);
    ck_assert_int_eq(gates_asked, 0);
    for (int i = 0; i < GATES; i++)
        ck_assert(!is_watched(g->f[i]));
}

/* -- settlers ---------------------------------------------------------------------------------- */

/* Settles every second of the gates, as often as it is told. */
static void *settle_share(void *arg)
{
    struct settlers *s = arg;
    int number = atomic_fetch_add(&s->ready, 1);

    for (;;) {
        pthread_barrier_wait(&s->line);
        if (!s->gates)
            return NULL;
        for (int i = number; i < GATES; i += SETTLERS)
            gates_settle(s->gates, i, s->state);
        pthread_barrier_wait(&s->line);
    }
}

void settlers_start(struct settlers *s)
{
    *s = (struct settlers){.gates = NULL};
    pthread_barrier_init(&s->line, NULL, SETTLERS + 1);
    for (int i = 0; i < SETTLERS; i++)
        ck_assert_int_eq(pthread_create(&s->threads[i], NULL, settle_share, s), 0);
}

void settlers_go(struct settlers *s, struct gates *g, enum future_state state)
{
    s->gates = g;
    s->state = state;
    pthread_barrier_wait(&s->line);
}

void settlers_wait(struct settlers *s)
{
    pthread_barrier_wait(&s->line);
}

void settlers_end(struct settlers *s)
{
    settlers_go(s, NULL, FUTURE_PENDING);
    for (int i = 0; i < SETTLERS; i++)
        pthread_join(s->threads[i], NULL);
    pthread_barrier_destroy(&s->line);
}
