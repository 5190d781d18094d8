/*
 * Turns, on the mock runtime: what is begun when, in virtual time. A test's URLs are letters: the
 * host of "a3" is a.example.
 */
#include "core/async/async.h"
#include "core/async/loop.h"
#include "core/async/mock.h"
#include "core/base/clock.h"
#include "core/base/rotation.h"
#include "core/fetch/fetch_error.h"
#include "core/fetch/schedule.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { URLS = 4000, FLOWS = 3, FLOWS_MOST = 24 };

/* One flow of the test, and what came of its URLs. */
struct party {
    struct flow *flow;
    struct flow_options options;
    struct plan plan;
    char urls[URLS][40];
    size_t count;
    struct ticket turns[URLS];
    bool is_open[URLS]; /* begun, not ended */
    bool seen[URLS];
    size_t open, begun, begun_in_long_turn;
    future *run;
};

/* The turn of the loop that is made to take long; how long it had taken when something was begun.
 */
static uint64_t long_turn_ns, long_turn_took_ns;

static struct schedule *schedule;
static struct party parties[FLOWS_MOST]; /* most tests have FLOWS */
static struct schedule_options options;

/* "a1 b1 ": what was begun, in order, "-" in front of those that have no turn. */
static char diary[URLS * 8];

static struct bytes url_of(void *arg, size_t index)
{
    struct party *p = arg;

    return bytes_cstr(p->urls[index]);
}

/* The short name: "http://a.example/3" is "a3". */
static void note(const struct party *p, size_t index, bool has_turn)
{
    size_t n = strlen(diary);
    const char *url = p->urls[index], *slash = strrchr(url, '/');

    if (n + 16 < sizeof diary)
        snprintf(diary + n, sizeof diary - n, "%s%c%s ", has_turn ? "" : "-",
                 strlen(url) > 7 ? url[7] : '?', slash ? slash + 1 : url);
}

static void begin(void *arg, size_t index, struct ticket *t)
{
    struct party *p = arg;

    ck_assert(!p->seen[index]);
    p->seen[index] = p->is_open[index] = true;
    p->turns[index] = *t;
    p->open++;
    p->begun++;
    if (loop_now_ns() == long_turn_ns) {
        p->begun_in_long_turn++;
        long_turn_took_ns = async_now_ns() - long_turn_ns;
    }
    note(p, index, t->begun_ns != 0);
}

/* -- on the loop ------------------------------------------------------------------------------- */

static void make_schedule(void *arg)
{
    (void)arg;
    schedule = schedule_new(&options);
    ck_assert_ptr_nonnull(schedule);
}

static void run_party(void *arg)
{
    struct party *p = arg;

    p->options.plan = &p->plan;
    p->options.url = url_of;
    p->options.begin = begin;
    p->options.arg = p;
    if (!p->options.window)
        p->options.window = URLS;
    if (!p->options.per_origin)
        p->options.per_origin = UINT_MAX;
    p->flow = flow_new(schedule, &p->options);
    ck_assert_ptr_nonnull(p->flow);
    p->run = flow_run(p->flow);
}

struct ending {
    struct party *party;
    size_t index;
    enum turn_end end;
    uint64_t retry_after_s;
};

static void end_on_loop(void *arg)
{
    struct ending *e = arg;
    struct party *p = e->party;

    ck_assert(p->is_open[e->index]);
    p->is_open[e->index] = false;
    p->open--;
    schedule_leave(&p->turns[e->index], e->end, e->retry_after_s);
    flow_ended(p->flow);
}

static void close_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < FLOWS_MOST; i++) {
        if (parties[i].flow)
            flow_close(parties[i].flow);
    }
}

static void free_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < FLOWS_MOST; i++)
        parties[i].flow = flow_free(parties[i].flow);
    schedule = schedule_free(schedule);
}

/* -- the test's steps -------------------------------------------------------------------------- */

/* `urls`: "a1 a2 b1", or anything else as it is. */
static void plan_party(struct party *p, const char *urls, bool in_order)
{
    char name[36];
    int used;

    while (sscanf(urls, " %35s%n", name, &used) == 1) {
        bool is_short = name[0] >= 'a' && name[0] <= 'z' && name[1] >= '0' && name[1] <= '9';
        char *url = p->urls[p->count++];
        if (is_short)
            snprintf(url, sizeof p->urls[0], "http://%c.example/%.8s", name[0], name + 1);
        else
            snprintf(url, sizeof p->urls[0], "%s", name);
        urls += used;
    }
    ck_assert_int_eq(plan_make(p->count, url_of, p, in_order, NULL, &p->plan), 0);
}

static struct party *party(size_t nth, const char *urls)
{
    plan_party(&parties[nth], urls, false);
    return &parties[nth];
}

static void run(struct party *p)
{
    on_loop(run_party, p);
    mock_turn();
}

/* `count` URLs of host `host`, from 1 on. */
static void add_urls(struct party *p, int host, size_t count)
{
    for (size_t i = 1; i <= count; i++)
        snprintf(p->urls[p->count++], sizeof p->urls[0], "http://%c.example/%zu", host, i);
}

static void made(struct party *p)
{
    ck_assert_int_eq(plan_make(p->count, url_of, p, false, NULL, &p->plan), 0);
}

static void leave(struct party *p, size_t index, enum turn_end end, uint64_t retry_after_s)
{
    on_loop(end_on_loop, &(struct ending){p, index, end, retry_after_s});
    mock_turn();
}

static void end(struct party *p, size_t index)
{
    leave(p, index, TURN_ANSWERED, 0);
}

/* What was begun since the last look. */
static void expect_begun(const char *expected)
{
    ck_assert_str_eq(diary, expected);
    diary[0] = '\0';
}

static void after_ms(uint64_t ms)
{
    mock_advance(ms * NS_PER_MS);
}

static void setup(void)
{
    async_setup();
    ck_assert_int_eq(mock_start(&(struct mock_options){.async = {.threads = 1}}), 0);
    for (size_t i = 0; i < FLOWS_MOST; i++)
        if (parties[i].count > 0)
            memset(&parties[i], 0, sizeof parties[i]);
    diary[0] = '\0';
    options = (struct schedule_options){.concurrency = 100, .per_origin = 2, .hold_bytes = 1000};
}

static void begin_with(struct schedule_options o)
{
    options = o;
    if (!options.hold_bytes)
        options.hold_bytes = 1000;
    on_loop(make_schedule, NULL);
}

static void end_open(struct party *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->is_open[i])
            leave(p, i, TURN_UNUSED, 0);
}

static void teardown(void)
{
    if (schedule) {
        on_loop(close_all, NULL);
        for (size_t i = 0; i < FLOWS_MOST; i++)
            end_open(&parties[i]);
        mock_turn();
        for (size_t i = 0; i < FLOWS_MOST; i++) {
            if (parties[i].run)
                ck_assert(future_settled(parties[i].run));
            future_drop(parties[i].run);
            plan_free(&parties[i].plan);
        }
        ck_assert_uint_eq(schedule_active(schedule), 0);
        ck_assert_uint_eq(schedule_waiting(schedule), 0);
        on_loop(free_all, NULL);
        mock_turn();
    }
    async_teardown();
}

/* -- limits ------------------------------------------------------------------------------------ */

START_TEST(an_origin_gets_as_many_turns_as_it_may_have)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2});
    struct party *p = party(0, "a1 a2 a3 a4");

    run(p);
    expect_begun("a1 a2 ");
    end(p, 1);
    expect_begun("a3 ");
    end(p, 0);
    expect_begun("a4 ");
    end(p, 2);
    ck_assert(!future_settled(p->run));
    end(p, 3);
    ck_assert(future_ok(p->run));
}
END_TEST

START_TEST(concurrency_bounds_all_origins_together)
{
    begin_with((struct schedule_options){.concurrency = 3, .per_origin = 2});
    struct party *p = party(0, "a1 a2 b1 b2 c1 d1");

    run(p);
    ck_assert_uint_eq(p->open, 3);
    ck_assert_uint_eq(schedule_active(schedule), 3);
    diary[0] = '\0';
    while (p->open > 0) {
        for (size_t i = 0; i < p->count; i++)
            if (p->is_open[i])
                end(p, i);
        ck_assert_uint_le(p->open, 3);
    }
    ck_assert_uint_eq(p->begun, 6);
}
END_TEST

START_TEST(a_flow_may_want_less_of_an_origin_than_others_do)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 4});
    struct party *modest = party(0, "a1 a2 a3"), *other = party(1, "a7 a8 a9");

    modest->options.per_origin = 1;
    run(modest);
    run(other);
    expect_begun("a1 a7 a8 a9 ");
    end(other, 0);
    expect_begun("");
    end(modest, 0);
    expect_begun("a2 ");
}
END_TEST

START_TEST(no_more_are_begun_than_the_window_has_room_for)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 100});
    struct party *p = party(0, "a1 a2 a3 b1 b2");

    p->options.window = 2;
    run(p);
    ck_assert_uint_eq(p->open, 2);
    end(p, 0);
    ck_assert_uint_eq(p->open, 2);
    ck_assert_uint_eq(p->begun, 3);
}
END_TEST

struct resizing {
    struct flow *flow;
    size_t window;
};

static void resize_on_loop(void *arg)
{
    struct resizing *r = arg;

    flow_set_window(r->flow, r->window);
}

static void resize(struct party *p, size_t window)
{
    on_loop(resize_on_loop, &(struct resizing){p->flow, window});
    mock_turn();
}

START_TEST(a_window_may_become_smaller_and_larger)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 100});
    struct party *p = party(0, "a1 a2 a3 a4 a5 a6 a7");

    p->options.window = 3;
    run(p);
    expect_begun("a1 a2 a3 ");
    resize(p, 1);
    end(p, 0);
    end(p, 1);
    expect_begun("");
    end(p, 2);
    expect_begun("a4 ");
    resize(p, 3);
    expect_begun("a5 a6 ");
    end(p, 3);
    expect_begun("a7 ");
}
END_TEST

START_TEST(urls_that_wait_for_their_host_keep_no_turn_unused)
{
    enum { HOSTS = 1500 };
    begin_with((struct schedule_options){.concurrency = HOSTS, .per_origin = 1});
    struct party *p = &parties[0];

    for (size_t i = 0; i < 2 * HOSTS; i++)
        snprintf(p->urls[p->count++], sizeof p->urls[0], "http://h%zu.example/", i % HOSTS);
    made(p);
    run(p);
    ck_assert_uint_eq(p->open, HOSTS - HOSTS / 16);
}
END_TEST

static void hold(void *arg)
{
    schedule_hold(schedule, *(ptrdiff_t *)arg);
}

START_TEST(nobody_gets_a_turn_while_too_much_is_held)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1, .hold_bytes = 10});
    struct party *p = party(0, "a1 a2");

    on_loop(hold, &(ptrdiff_t){11});
    run(p);
    expect_begun("");
    on_loop(hold, &(ptrdiff_t){-1});
    mock_turn();
    expect_begun("a1 ");
}
END_TEST

struct holding {
    struct flow *flow;
    ptrdiff_t change;
};

static void hold_on_loop(void *arg)
{
    struct holding *h = arg;

    flow_hold(h->flow, h->change);
}

static void flow_holds(struct party *p, ptrdiff_t change)
{
    on_loop(hold_on_loop, &(struct holding){p->flow, change});
    mock_turn();
}

/* -- room that somebody else decides about ------------------------------------------------------
 */

static size_t room_for; /* turns */

static bool has_room(void *arg, size_t active, size_t held)
{
    ck_assert_ptr_eq(arg, &room_for);
    ck_assert_uint_ge(active, 1);
    return active + held < room_for;
}

static void look_again(void *arg)
{
    (void)arg;
    schedule_look_again(schedule);
}

START_TEST(without_room_one_turn_after_the_other_is_given)
{
    begin_with((struct schedule_options){
        .concurrency = 100, .per_origin = 9, .has_room = has_room, .has_room_arg = &room_for});
    struct party *p = party(0, "a1 a2 b1");

    room_for = 0;
    run(p);
    expect_begun("a1 ");
    end(p, 0);
    ck_assert_uint_eq(p->open, 1);
    end(p, p->is_open[1] ? 1 : 2);
    ck_assert_uint_eq(p->open, 1);
    ck_assert_uint_eq(p->begun, 3);
}
END_TEST

START_TEST(turns_go_on_when_there_is_room_again)
{
    begin_with((struct schedule_options){
        .concurrency = 100, .per_origin = 9, .has_room = has_room, .has_room_arg = &room_for});
    struct party *p = party(0, "a1 a2 a3 a4 a5");

    room_for = 2;
    run(p);
    expect_begun("a1 a2 ");
    room_for = 4;
    mock_turn();
    expect_begun("");
    on_loop(look_again, NULL);
    mock_turn();
    expect_begun("a3 a4 ");
}
END_TEST

START_TEST(what_bodies_and_results_hold_is_told)
{
    begin_with((struct schedule_options){
        .concurrency = 100, .per_origin = 9, .has_room = has_room, .has_room_arg = &room_for});
    struct party *p = party(0, "a1 a2 a3 a4 a5"), *other = party(1, "b1");

    run(other);
    expect_begun("b1 ");
    flow_holds(other, 3);
    on_loop(hold, &(ptrdiff_t){4});
    ck_assert_uint_eq(schedule_held(schedule), 7);
    room_for = 9;
    run(p);
    expect_begun("a1 ");
    flow_holds(other, -3);
    on_loop(hold, &(ptrdiff_t){-4});
    mock_turn();
    expect_begun("a2 a3 a4 a5 ");
}
END_TEST

START_TEST(a_batch_that_holds_too_much_begins_no_more_and_keeps_nobody_else)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1 a2 b1"), *other = party(1, "a7 a8");

    p->options.hold_bytes = 10;
    p->options.window = 1;
    run(p);
    run(other);
    expect_begun("a1 ");
    flow_holds(p, 11);
    end(p, 0);
    expect_begun("a7 ");
    end(other, 0);
    expect_begun("a8 ");
    flow_holds(p, -1);
    expect_begun("b1 ");
    flow_holds(p, -10);
    end(p, 2);
    end(other, 1);
    expect_begun("a2 ");
}
END_TEST

START_TEST(what_holds_nothing_back_may_hold_whatever_it_likes)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1 a2");

    run(p);
    flow_holds(p, PTRDIFF_MAX);
    end(p, 0);
    expect_begun("a1 a2 ");
    flow_holds(p, -PTRDIFF_MAX);
}
END_TEST

/* -- fairness ---------------------------------------------------------------------------------- */

START_TEST(a_host_with_many_urls_keeps_no_other_from_its_turn)
{
    begin_with((struct schedule_options){.concurrency = 3, .per_origin = 2});
    struct party *p = &parties[0];

    add_urls(p, 'a', 1000);
    add_urls(p, 'b', 1);
    made(p);
    run(p);
    ck_assert_ptr_nonnull(strstr(diary, "b1 "));
}
END_TEST

START_TEST(a_host_with_many_urls_keeps_no_other_from_its_turn_at_a_low_concurrency)
{
    begin_with((struct schedule_options){.concurrency = 1, .per_origin = 6});
    struct party *p = &parties[0];

    add_urls(p, 'a', 1000);
    add_urls(p, 'b', 1);
    made(p);
    run(p);
    for (size_t i = 0; i < 3 && !p->seen[1000]; i++)
        end(p, i);
    ck_assert(p->seen[1000]);
}
END_TEST

START_TEST(many_hosts_that_have_to_wait_keep_no_other_from_its_turn)
{
    enum { SLOW = 1500 };
    struct party *p = &parties[0];

    begin_with((struct schedule_options){.concurrency = 4000, .per_origin = 6});
    for (unsigned i = 0; i < 2 * SLOW; i++)
        snprintf(p->urls[p->count++], sizeof p->urls[0], "http://slow%u.example/%u", i / 2, i % 2);
    add_urls(p, 'b', 1);
    made(p);
    p->options.delay_ms = 60000;
    run(p);
    ck_assert_uint_eq(p->begun, SLOW + 1);
}
END_TEST

/* Ends what is open, first come, first served, until `until` have been begun in all. */
static void churn(size_t until)
{
    size_t cursor[FLOWS] = {0}, begun;

    do {
        begun = 0;
        for (size_t i = 0; i < FLOWS; i++) {
            struct party *p = &parties[i];
            for (size_t n = 0; n < p->count && !p->is_open[cursor[i] % (p->count + 1)]; n++)
                cursor[i]++;
            size_t index = p->count ? cursor[i] % (p->count + 1) : 0;
            if (p->count && index < p->count && p->is_open[index])
                end(p, index);
            begun += p->begun;
        }
    } while (begun < until);
}

START_TEST(batches_take_turns_at_an_origin)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2});

    add_urls(&parties[0], 'a', 1000);
    add_urls(&parties[1], 'a', 100);
    made(&parties[0]);
    made(&parties[1]);
    run(&parties[0]);
    run(&parties[1]);
    churn(101);
    ck_assert_uint_ge(parties[0].begun, 48);
    ck_assert_uint_ge(parties[1].begun, 48);
}
END_TEST

START_TEST(a_batch_of_many_hosts_keeps_none_of_one_host_from_its_turns)
{
    begin_with((struct schedule_options){.concurrency = 4, .per_origin = 2});

    for (int host = 'b'; host <= 'z'; host++)
        add_urls(&parties[0], host, 100);
    add_urls(&parties[1], 'a', 200);
    made(&parties[0]);
    made(&parties[1]);
    run(&parties[0]);
    run(&parties[1]);
    churn(204);
    ck_assert_uint_ge(parties[1].begun, 90);
    ck_assert_uint_ge(parties[0].begun, 90);
}
END_TEST

/* The origin that both want is in the long queue of one: the other does not wait for that. */
START_TEST(who_shares_an_origin_with_a_large_batch_waits_for_that_origin_only)
{
    begin_with((struct schedule_options){.concurrency = 4, .per_origin = 1});

    for (int host = 'a'; host <= 'z'; host++)
        add_urls(&parties[0], host, 50);
    add_urls(&parties[1], 'a', 60);
    made(&parties[0]);
    made(&parties[1]);
    run(&parties[0]);
    run(&parties[1]);
    churn(160);
    ck_assert_uint_ge(parties[1].begun, 15);
}
END_TEST

/* -- newcomers --------------------------------------------------------------------------------- */

enum { CROWD = 20 };

/* Batches of ten URLs each, of a host of their own each ('a', 'b'...) or all of 'a': as many that
 * each has had a turn and wants others. */
static void gather_crowd(size_t count, bool one_host)
{
    for (size_t i = 0; i < count; i++) {
        add_urls(&parties[i], one_host ? 'a' : 'a' + (int)i, 10);
        made(&parties[i]);
        run(&parties[i]);
        for (size_t n = 0; parties[i].begun == 0 && n < 10 * i;
             n++) { /* who came before gives a turn back */
            struct party *p = &parties[n % i];
            if (p->is_open[n / i])
                end(p, n / i);
        }
    }
    diary[0] = '\0';
}

/* Ends one of those that are under way, of the crowd. */
static void end_one(size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t n = 0; n < parties[i].count; n++)
            if (parties[i].is_open[n]) {
                end(&parties[i], n);
                return;
            }
}

START_TEST(a_batch_that_comes_last_has_the_next_turn)
{
    begin_with((struct schedule_options){.concurrency = 4, .per_origin = 100});

    gather_crowd(CROWD, false);
    run(party(CROWD, "y1 y2"));
    expect_begun("");
    end_one(CROWD);
    expect_begun("y1 ");
    end_one(CROWD);
    ck_assert_uint_eq(parties[CROWD].begun, 1); /* from now on it is one of them */
}
END_TEST

START_TEST(a_batch_that_comes_last_has_the_next_turn_at_its_host)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 4});

    gather_crowd(CROWD, true);
    run(party(CROWD, "a11 a12"));
    expect_begun("");
    end_one(CROWD);
    expect_begun("a11 ");
    end_one(CROWD);
    ck_assert_uint_eq(parties[CROWD].begun, 1);
}
END_TEST

START_TEST(the_last_turns_are_kept_for_newcomers)
{
    begin_with((struct schedule_options){.concurrency = 64, .per_origin = 100});

    gather_crowd(CROWD, false);
    ck_assert_uint_eq(schedule_active(schedule), 64);
    end_one(CROWD);
    expect_begun("");
    run(party(CROWD, "y1 y2"));
    expect_begun("y1 ");
    run(party(CROWD + 1, "z1 z2"));
    expect_begun("");
    end(&parties[CROWD], 0);
    expect_begun("z1 ");
}
END_TEST

START_TEST(what_others_hold_keeps_newcomers_from_no_turn_until_it_is_a_little_more)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2, .hold_bytes = 640});
    struct party *p = party(0, "a1 a2 a3");

    on_loop(hold, &(ptrdiff_t){641});
    run(p);
    expect_begun("a1 ");
    run(party(1, "b1"));
    expect_begun("b1 ");
    on_loop(hold, &(ptrdiff_t){10});
    run(party(2, "c1"));
    expect_begun("");
    on_loop(hold, &(ptrdiff_t){-651});
    mock_turn();
    expect_begun("c1 a2 ");
}
END_TEST

START_TEST(a_swarm_of_newcomers_keeps_no_batch_from_its_turns)
{
    enum { SWARM = 20 };
    begin_with((struct schedule_options){.concurrency = 1, .per_origin = 1});
    struct party *p = &parties[0];

    add_urls(p, 'a', 100);
    made(p);
    run(p);
    for (size_t i = 1; i <= SWARM; i++)
        run(party(i, "b1"));
    for (size_t i = 0; i < SWARM; i++)
        end_one(SWARM + 1);
    ck_assert_uint_eq(p->begun, 1 + SWARM / (ROTATION_FRESH_IN_A_ROW + 1));
}
END_TEST

/* -- time -------------------------------------------------------------------------------------- */

START_TEST(a_batch_whose_hosts_are_slow_leaves_turns_for_others)
{
    begin_with((struct schedule_options){.concurrency = 32, .per_origin = 100});
    struct party *p = &parties[0], *q = party(1, "b1 b2 b3");

    add_urls(p, 'a', 40);
    made(p);
    run(p);
    ck_assert_uint_eq(p->open, 30);
    run(q);
    ck_assert_uint_eq(q->open, 2);
    ck_assert_uint_eq(schedule_active(schedule), 32);
    end(q, 0);
    ck_assert_uint_eq(p->open, 30);
    ck_assert_uint_eq(q->begun, 3);
    end(q, 1);
    end(q, 2);
    ck_assert_uint_eq(p->open, 30);
    end(p, 0);
    ck_assert_uint_eq(p->open, 30);
    ck_assert_uint_eq(p->begun, 31);
}
END_TEST

START_TEST(the_pause_between_two_turns_is_kept_for_all)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2, .delay_ms = 100});
    struct party *p = party(0, "a1 a2 b1"), *q = party(1, "a7");

    run(p);
    run(q);
    expect_begun("a1 b1 ");
    after_ms(99);
    expect_begun("");
    after_ms(1);
    expect_begun("a2 ");
    end(p, 0);
    after_ms(100);
    expect_begun("a7 ");
}
END_TEST

START_TEST(the_pause_outlives_those_who_caused_it)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2, .delay_ms = 100});
    struct party *p = party(0, "a1"), *q = party(1, "a7");

    run(p);
    end(p, 0);
    run(q);
    expect_begun("a1 ");
    after_ms(100);
    expect_begun("a7 ");
}
END_TEST

START_TEST(the_pause_that_a_batch_wants_is_its_own)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 9});
    struct party *p = party(0, "a1 a2"), *q = party(1, "a7 a8");

    p->options.delay_ms = 50;
    run(p);
    run(q);
    expect_begun("a1 a7 a8 ");
    end(p, 0);
    after_ms(49);
    expect_begun("");
    after_ms(1);
    expect_begun("a2 ");
}
END_TEST

START_TEST(a_refusal_slows_the_host_for_all_batches_and_no_other_host)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2});
    struct party *p = party(0, "a1 a2 a3 a4 a5"), *q = party(1, "a7 b1");

    run(p);
    expect_begun("a1 a2 ");
    leave(p, 0, TURN_REFUSED, 3);
    run(q);
    end(p, 1); /* of before the refusal */
    expect_begun("b1 ");
    after_ms(2999);
    expect_begun("");
    after_ms(1);
    ck_assert_uint_eq(strlen(diary), 3); /* one: it is probed */
    diary[0] = '\0';
    if (p->is_open[2])
        end(p, 2);
    else
        end(q, 0);
    ck_assert_uint_eq(strlen(diary), 6); /* two: it is well */
    diary[0] = '\0';
}
END_TEST

START_TEST(a_host_that_keeps_failing_is_given_up_and_its_urls_fail_at_once)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = &parties[0];

    add_urls(p, 'a', 12);
    add_urls(p, 'b', 1);
    made(p);
    run(p);
    end(p, 12);
    for (size_t i = 0; i < HEALTH_FAILURES; i++) {
        ck_assert(p->turns[i].begun_ns);
        leave(p, i, TURN_FAILED, 0);
    }
    expect_begun("a1 b1 a2 a3 a4 a5 a6 a7 a8 a9 a10 -a11 -a12 ");
    end(p, 10);
    end(p, 11);
    ck_assert(future_ok(p->run));

    struct party *q = party(1, "a1 a2");
    run(q);
    expect_begun("-a1 -a2 ");
    end(q, 0);
    end(q, 1);
    after_ms(HEALTH_GIVE_UP_FIRST_MS * 3 / 2);
    struct party *r = party(2, "a1 a2");
    run(r);
    expect_begun("a1 ");
    end(r, 0);
    expect_begun("a2 ");
}
END_TEST

/* -- tickets ----------------------------------------------------------------------------------- */

struct entering {
    struct flow *flow;
    const char *origin;
    struct ticket ticket;
    future *turn;
};

static void enter_on_loop(void *arg)
{
    struct entering *e = arg;

    e->turn = schedule_enter(e->flow, &e->ticket, e->origin);
}

static void enter(struct entering *e)
{
    on_loop(enter_on_loop, e);
    mock_turn();
}

struct leaving {
    struct ticket *ticket;
    enum turn_end end;
};

static void leave_on_loop(void *arg)
{
    struct leaving *l = arg;

    schedule_leave(l->ticket, l->end, 0);
}

static void leave_ticket(struct entering *e, enum turn_end how)
{
    on_loop(leave_on_loop, &(struct leaving){&e->ticket, how});
    e->turn = future_drop(e->turn);
    mock_turn();
}

static struct entering entering(const char *origin)
{
    return (struct entering){.flow = parties[0].flow, .origin = origin};
}

START_TEST(tickets_go_before_urls_that_are_not_begun)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1 a2");

    run(p);
    expect_begun("a1 ");
    struct entering hop = entering("http://a.example:80");
    enter(&hop);
    ck_assert(!future_settled(hop.turn));
    ck_assert_uint_eq(schedule_waiting(schedule), 1);
    end(p, 0);
    ck_assert(future_ok(hop.turn));
    expect_begun("");
    leave_ticket(&hop, TURN_ANSWERED);
    expect_begun("a2 ");
}
END_TEST

START_TEST(a_ticket_that_is_given_back_unused_holds_nobody_up)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1 a2");

    run(p);
    struct entering first = entering("http://a.example:80"), second = first;
    enter(&first);
    enter(&second);
    future_cancel(first.turn);
    mock_turn();
    leave_ticket(&first, TURN_UNUSED);
    end(p, 0);
    ck_assert(future_ok(second.turn));
    leave_ticket(&second, TURN_UNUSED);
    expect_begun("a1 a2 ");
}
END_TEST

START_TEST(tickets_for_a_host_that_is_given_up_fail_with_a_code_that_says_so)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = &parties[0];

    add_urls(p, 'a', HEALTH_FAILURES);
    made(p);
    run(p);
    struct entering waits = entering("http://a.example:80"), late = waits;
    for (size_t i = 0; i + 1 < HEALTH_FAILURES; i++)
        leave(p, i, TURN_FAILED, 0);
    enter(&waits);
    leave(p, HEALTH_FAILURES - 1, TURN_FAILED, 0);
    ck_assert_int_eq(future_error(waits.turn), FETCH_HOST_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(future_value(waits.turn), "keeps failing"));
    leave_ticket(&waits, TURN_UNUSED);
    enter(&late);
    ck_assert_int_eq(future_error(late.turn), FETCH_HOST_UNAVAILABLE);
    leave_ticket(&late, TURN_UNUSED);
}
END_TEST

START_TEST(an_origin_remembers_the_address_that_answered)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1");

    run(p);
    ck_assert_int_eq(schedule_address(&p->turns[0])->any.sa_family, AF_UNSPEC);
    schedule_address(&p->turns[0])->any.sa_family = AF_INET6;
    end(p, 0);
    struct party *q = party(1, "a2");
    run(q);
    ck_assert_int_eq(schedule_address(&q->turns[0])->any.sa_family, AF_INET6);
    ck_assert(!schedule_has_company(&q->turns[0]));
    ck_assert(schedule_is_at(&q->turns[0], "http://a.example:80"));
    ck_assert(!schedule_is_at(&q->turns[0], "https://a.example:443"));
}
END_TEST

/* -- URLs that wait ------------------------------------------------------------------------------
 */

/* A refusal, after which the URL asks for another turn. */
struct refusal {
    struct party *party;
    size_t index;
    future *turn;
};

static void refuse_on_loop(void *arg)
{
    struct refusal *r = arg;
    struct party *p = r->party;
    char origin[40];

    snprintf(origin, sizeof origin, "%.*s:80", (int)strlen("http://a.example"), p->urls[r->index]);
    schedule_leave(&p->turns[r->index], TURN_REFUSED, 50);
    r->turn = schedule_enter(p->flow, &p->turns[r->index], origin);
}

static future *refuse(struct party *p, size_t index)
{
    struct refusal r = {p, index, NULL};

    on_loop(refuse_on_loop, &r);
    mock_turn();
    return r.turn;
}

START_TEST(urls_that_wait_for_their_host_keep_no_others_from_being_begun)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1 b1 c1 d1 e1");

    p->options.window = 2;
    run(p);
    expect_begun("a1 b1 ");
    future *a = refuse(p, 0), *b = refuse(p, 1);
    expect_begun("c1 d1 ");
    after_ms(50000);
    ck_assert(future_ok(a));
    ck_assert(future_ok(b));
    end(p, 2);
    end(p, 3);
    expect_begun(""); /* two are under way again */
    end(p, 0);
    expect_begun("e1 ");
    future_drop(a);
    future_drop(b);
}
END_TEST

START_TEST(in_order_they_do_since_records_must_not_run_ahead)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = &parties[0];

    plan_party(p, "a1 b1 c1", true);
    p->options.window = 2;
    run(p);
    expect_begun("-a1 -b1 ");
    future *a = refuse(p, 0), *b = refuse(p, 1);
    expect_begun("");
    future_drop(a);
    future_drop(b);
}
END_TEST

static future *entered[URLS];

static void enter_all(void *arg)
{
    struct party *p = arg;

    for (size_t i = 0; i < p->count; i++)
        if (p->is_open[i] && !entered[i])
            entered[i] = schedule_enter(p->flow, &p->turns[i], "http://a.example:80");
}

START_TEST(no_more_than_so_many_wait_for_their_hosts)
{
    enum { WINDOW = 10 };
    struct party *p = &parties[0];

    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    while (p->count < URLS)
        snprintf(p->urls[p->count++], sizeof p->urls[0], "nonsense");
    made(p);
    p->options.window = WINDOW;
    run(p);
    for (size_t begun = 0; begun < p->begun;) {
        begun = p->begun;
        on_loop(enter_all, p);
        mock_turn();
    }
    ck_assert_uint_eq(p->begun, WINDOW + FLOW_WAITING_MOST);
    on_loop(close_all, NULL);
    end_open(p);
    for (size_t i = 0; i < URLS; i++)
        entered[i] = future_drop(entered[i]);
}
END_TEST

/* -- room that nobody takes ---------------------------------------------------------------------
 */

/* The turns come back, the URLs have not ended: they are parsed, or wait to be emitted. */
static void release_two(void *arg)
{
    struct party *p = arg;

    schedule_leave(&p->turns[0], TURN_ANSWERED, 0);
    schedule_leave(&p->turns[1], TURN_ANSWERED, 0);
}

static void release_one(void *arg)
{
    struct party *p = arg;

    schedule_leave(&p->turns[0], TURN_ANSWERED, 0);
}

static void release_one_and_close(void *arg)
{
    struct party *p = arg;

    release_one(p);
    flow_close(p->flow);
}

static void release_one_and_hold(void *arg)
{
    struct party *p = arg;

    release_one(p);
    flow_hold(p->flow, 11);
}

static void release_one_and_give_back(void *arg)
{
    struct entering *e = arg;

    release_one(&parties[0]);
    schedule_leave(&e->ticket, TURN_UNUSED, 0);
}

START_TEST(a_batch_that_can_begin_nothing_leaves_the_room_of_an_origin_to_others)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *stuck = party(0, "a1 b1 a2"), *other = party(1, "a7 a8");

    stuck->options.window = 2;
    run(stuck);
    run(other);
    expect_begun("a1 b1 ");
    on_loop(release_one, stuck);
    mock_turn();
    expect_begun("a7 ");
    end(other, 0);
    expect_begun("a8 ");
    end(other, 1);
    end(stuck, 0);
    expect_begun("a2 ");
}
END_TEST

START_TEST(a_batch_whose_window_another_origin_fills_leaves_the_room_to_others)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1 b1 a2 b2 c1 d1"), *other = party(1, "a7 b7");

    p->options.window = 4;
    run(p);
    run(other);
    expect_begun("a1 b1 c1 d1 ");
    end(p, 5);
    expect_begun("");
    on_loop(release_two, p);
    mock_turn();
    expect_begun("b2 a7 ");
}
END_TEST

START_TEST(the_room_of_an_origin_is_not_lost_with_a_batch_that_ends_before_it_takes_it)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1 a2"), *other = party(1, "a7");

    run(p);
    run(other);
    expect_begun("a1 ");
    on_loop(release_one_and_close, p);
    mock_turn();
    expect_begun("a7 ");
}
END_TEST

START_TEST(the_room_of_an_origin_is_not_lost_with_a_batch_that_holds_too_much_for_it)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1 a2"), *other = party(1, "a7");

    p->options.hold_bytes = 10;
    run(p);
    run(other);
    expect_begun("a1 ");
    on_loop(release_one_and_hold, p);
    mock_turn();
    expect_begun("a7 ");
}
END_TEST

START_TEST(the_room_of_an_origin_is_not_lost_with_a_ticket_that_is_given_back)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1"), *other = party(1, "a7");

    run(p);
    struct entering hop = entering("http://a.example:80");
    enter(&hop);
    run(other);
    expect_begun("a1 ");
    on_loop(release_one_and_give_back, &hop);
    hop.turn = future_drop(hop.turn);
    mock_turn();
    expect_begun("a7 ");
}
END_TEST

/* -- admission --------------------------------------------------------------------------------- */

static struct {
    promise *answers[8];
    char asked[256];
    size_t count;
    bool at_once;
    uint64_t delay_ms;
} gate;

static future *ask(void *arg, const char *origin)
{
    future *f;

    (void)arg;
    ck_assert_uint_lt(gate.count, 8);
    size_t n = strlen(gate.asked);
    snprintf(gate.asked + n, sizeof gate.asked - n, "%s ", origin);
    if (gate.at_once) {
        gate.count++;
        return future_done();
    }
    gate.answers[gate.count++] = new_promise(&f);
    return f;
}

static uint64_t ask_delay_ms(void *arg, const future *admission)
{
    (void)arg;
    ck_assert(future_settled(admission));
    return gate.delay_ms;
}

static void admit(size_t nth)
{
    promise_resolve(gate.answers[nth], NULL, NULL);
    promise_drop(gate.answers[nth]);
    mock_turn();
}

static struct party *gated(size_t nth, const char *urls)
{
    struct party *p = party(nth, urls);

    memset(&gate, 0, sizeof gate);
    p->options.ask = ask;
    p->options.ask_delay_ms = ask_delay_ms;
    return p;
}

START_TEST(no_turn_comes_before_the_admission_is_settled)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2});
    struct party *p = gated(0, "a1 a2 b1"), *q = party(1, "a7");

    run(p);
    run(q);
    expect_begun("a7 ");
    ck_assert_str_eq(gate.asked, "http://a.example:80 http://b.example:80 ");
    admit(1);
    expect_begun("b1 ");
    admit(0);
    expect_begun("a1 ");
    end(p, 0);
    expect_begun("a2 ");
    ck_assert_uint_eq(gate.count, 2);
}
END_TEST

START_TEST(the_delay_that_admission_asks_for_is_kept)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2});
    struct party *p = gated(0, "a1 a2 a3"), *q = party(1, "a7 a8");

    gate.at_once = true;
    gate.delay_ms = 1000;
    run(p);
    expect_begun("a1 ");
    end(p, 0);
    run(q);
    expect_begun("a7 a8 ");
    end(q, 0);
    after_ms(999);
    expect_begun("");
    after_ms(1);
    expect_begun("a2 ");
}
END_TEST

START_TEST(admission_is_asked_for_again_when_it_is_old)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = gated(0, "a1 a2 a3");

    gate.at_once = true;
    run(p);
    end(p, 0);
    ck_assert_uint_eq(gate.count, 1);
    after_ms(ADMISSION_MS);
    end(p, 1);
    ck_assert_uint_eq(gate.count, 2);
    expect_begun("a1 a2 a3 ");
}
END_TEST

/* The turn was given by the old one; its fetch looks at what the origin said when it runs. */
START_TEST(a_turn_keeps_its_admission_while_a_new_one_is_asked_for)
{
    begin_with((struct schedule_options){.concurrency = 2, .per_origin = 2});
    struct party *p = gated(0, "a1 a2 a3"), *q = party(1, "b1");

    run(q);
    run(p);
    admit(0);
    expect_begun("b1 a1 ");
    after_ms(ADMISSION_MS); /* a2 could be begun all the time, if there were room */
    end(q, 0);
    expect_begun("a2 ");
    ck_assert_uint_eq(gate.count, 2);
    ck_assert(future_settled(schedule_admission(&p->turns[1])));
    admit(1);
    end(p, 0);
    expect_begun("a3 ");
}
END_TEST

START_TEST(a_run_that_is_cancelled_ends_when_what_it_has_begun_and_asked_for_has)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = gated(0, "a1 a2 b1");

    run(p);
    admit(0);
    expect_begun("a1 ");
    future_cancel(p->run);
    let_loop_turn();
    ck_assert(!future_settled(p->run));
    end(p, 0);
    ck_assert(future_settled(p->run));
    promise_drop(gate.answers[1]);
    expect_begun("");
}
END_TEST

START_TEST(closing_gives_up_what_waits_for_admission)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = gated(0, "a1 a2");

    run(p);
    on_loop(close_all, NULL);
    mock_turn();
    ck_assert(future_ok(p->run));
    promise_drop(gate.answers[0]);
    expect_begun("");
}
END_TEST

START_TEST(closing_leaves_the_admission_that_tickets_wait_for)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = gated(0, "b1");

    run(p);
    struct entering hop = entering("http://a.example:80");
    enter(&hop);
    on_loop(close_all, NULL);
    mock_turn();
    promise_drop(gate.answers[0]);
    ck_assert(!future_settled(hop.turn));
    admit(1);
    ck_assert(future_ok(hop.turn));
    ck_assert(future_ok(schedule_admission(&hop.ticket)));
    leave_ticket(&hop, TURN_UNUSED);
}
END_TEST

static void leave_and_enter(void *arg)
{
    struct entering *e = arg;

    schedule_leave(&e->ticket, TURN_UNUSED, 0);
    e->turn = future_drop(e->turn);
    e->turn = schedule_enter(e->flow, &e->ticket, e->origin);
}

START_TEST(admission_is_given_up_with_the_last_that_waits_for_it)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = gated(0, "b1");

    run(p);
    struct entering hop = entering("http://a.example:80");
    enter(&hop);
    on_loop(leave_and_enter, &hop); /* it is asked for again */
    mock_turn();
    ck_assert_uint_eq(gate.count, 3);
    ck_assert_int_eq(promise_resolve(gate.answers[1], NULL, NULL), -EALREADY);
    promise_drop(gate.answers[1]);
    admit(2);
    ck_assert(future_ok(hop.turn));
    ck_assert(future_ok(schedule_admission(&hop.ticket)));
    leave_ticket(&hop, TURN_UNUSED);
    promise_drop(gate.answers[0]);
}
END_TEST

/* -- plans ------------------------------------------------------------------------------------- */

START_TEST(what_has_no_origin_is_begun_without_a_turn)
{
    begin_with((struct schedule_options){.concurrency = 1, .per_origin = 1});
    struct party *p = party(0, "x:1 a1 nonsense");

    run(p);
    ck_assert_uint_eq(p->begun, 3);
    ck_assert_ptr_null(p->turns[0].lane);
    ck_assert_ptr_null(p->turns[2].lane);
    ck_assert_uint_eq(schedule_active(schedule), 1);
}
END_TEST

START_TEST(a_url_that_is_none_does_not_take_those_of_its_host_out_of_their_queue)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "http://a.example/%00 a1 a2 http://u:p@b.example?\x01 b1 b2");

    run(p);
    ck_assert_uint_eq(p->begun, 2);
    ck_assert_uint_eq(schedule_active(schedule), 2);
}
END_TEST

START_TEST(in_order_urls_are_begun_in_order_and_find_their_turn_by_themselves)
{
    begin_with((struct schedule_options){.concurrency = 1, .per_origin = 1});
    struct party *p = &parties[0];

    plan_party(p, "a1 b1 a2 c1", true);
    p->options.window = 3;
    run(p);
    expect_begun("-a1 -b1 -a2 ");
    end(p, 1);
    expect_begun("-c1 ");
}
END_TEST

START_TEST(two_groups_of_one_origin_are_one_lane)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    /* Nothing but the parser knows that 0x7f.1 is 127.0.0.1. */
    struct party *p = party(0, "http://127.0.0.1/1 http://0x7f.1/2 http://127.0.0.1/3");

    run(p);
    ck_assert_uint_eq(p->begun, 1);
    end(p, 0);
    ck_assert_uint_eq(p->begun, 2);
    end(p, p->is_open[1] ? 1 : 2);
    ck_assert_uint_eq(p->begun, 3);
}
END_TEST

START_TEST(a_closed_flow_begins_nothing_more)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 1});
    struct party *p = party(0, "a1 a2 b1 b2 nonsense");

    run(p);
    diary[0] = '\0';
    on_loop(close_all, NULL);
    ck_assert(!future_settled(p->run));
    end_open(p);
    ck_assert(future_ok(p->run));
    expect_begun("");
}
END_TEST

/* -- reports ----------------------------------------------------------------------------------- */

static struct origin_report told[4];
static char told_origins[4][64];
static size_t told_count;

static void tell(void *arg, const struct origin_report *report)
{
    (void)arg;
    ck_assert_uint_lt(told_count, 4);
    told[told_count] = *report;
    snprintf(told_origins[told_count++], sizeof told_origins[0], "%s", report->origin);
}

static void report_on_loop(void *arg)
{
    told_count = 0;
    schedule_report(schedule, bytes_cstr(arg), tell, NULL);
}

START_TEST(a_report_tells_why_a_host_waits)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2});
    struct party *p = party(0, "a1 a2 a3 a4 https://a.example/ http://[::1]:8080/ b1");
    char host[] = "A.example", v6[] = "::1", nobody[] = "nobody.example";

    run(p);
    leave(p, 0, TURN_REFUSED, 2);
    on_loop(report_on_loop, host);
    ck_assert_uint_eq(told_count, 2);
    size_t http = strcmp(told_origins[0], "http://a.example:80") == 0 ? 0 : 1;
    ck_assert_int_eq(told[http].state, HEALTH_BACKING_OFF);
    ck_assert_uint_eq(told[http].in_flight, 1);
    ck_assert_uint_eq(told[http].queued, 2);
    ck_assert_uint_eq(told[http].next_start_in_ms, 2000);
    ck_assert_str_eq(told_origins[1 - http], "https://a.example:443");
    ck_assert_int_eq(told[1 - http].state, HEALTH_GOOD);
    on_loop(report_on_loop, v6);
    ck_assert_uint_eq(told_count, 1);
    ck_assert_str_eq(told_origins[0], "http://[::1]:8080");
    on_loop(report_on_loop, nobody);
    ck_assert_uint_eq(told_count, 0);
}
END_TEST

static void stats_on_loop(void *arg)
{
    *(struct schedule_stats *)arg = schedule_stats(schedule);
}

START_TEST(the_stats_count_turns_and_hosts_by_what_they_are_doing)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2});
    struct party *p = party(0, "a1 a2 a3 a4 b1 c1");
    struct schedule_stats s;

    run(p);
    on_loop(stats_on_loop, &s);
    ck_assert_uint_eq(s.active, 4);
    ck_assert_uint_eq(s.origins[HEALTH_GOOD], 3);
    ck_assert_uint_eq(s.origins_waiting, 1);
    leave(p, 0, TURN_REFUSED, 2);
    on_loop(stats_on_loop, &s);
    ck_assert_uint_eq(s.active, 3);
    ck_assert_uint_eq(s.origins[HEALTH_GOOD], 2);
    ck_assert_uint_eq(s.origins[HEALTH_BACKING_OFF], 1);
    ck_assert_uint_eq(s.origins_waiting, 1);
    ck_assert_uint_eq(s.held_bytes, 0);
}
END_TEST

START_TEST(a_report_tells_of_pauses_that_batches_keep)
{
    begin_with((struct schedule_options){.concurrency = 100, .per_origin = 2});
    struct party *p = gated(0, "a1 a2"), *q = party(1, "a7 a8");
    char host[] = "a.example";

    gate.delay_ms = 5000;
    run(p);
    on_loop(report_on_loop, host);
    ck_assert(told[0].waits_for_admission);
    admit(0);
    on_loop(report_on_loop, host);
    ck_assert(!told[0].waits_for_admission);
    ck_assert_uint_eq(told[0].queued, 1);
    ck_assert_uint_eq(told[0].next_start_in_ms, 5000);
    q->options.per_origin = 1;
    run(q);
    on_loop(report_on_loop, host);
    ck_assert_uint_eq(told[0].queued, 2);
    ck_assert_uint_eq(told[0].next_start_in_ms, 0); /* that one keeps no pause */
}
END_TEST

/* -- any order --------------------------------------------------------------------------------- */

static uint32_t dice_state;

static uint32_t dice(uint32_t sides)
{
    dice_state = dice_state * 1664525u + 1013904223u;
    return (dice_state >> 8) % sides;
}

static size_t open_at(int host)
{
    size_t n = 0;

    for (size_t f = 0; f < FLOWS; f++)
        for (size_t i = 0; i < parties[f].count; i++)
            n += parties[f].is_open[i] && parties[f].turns[i].lane && parties[f].urls[i][7] == host;
    return n;
}

/* Limits hold at any moment. `others`: turns that are no URL's. */
static void expect_order(size_t others)
{
    size_t turns = 0;

    for (int host = 'a'; host <= 'e'; host++) {
        size_t n = open_at(host);
        ck_assert_uint_le(n, options.per_origin);
        turns += n;
    }
    ck_assert_uint_eq(turns + others, schedule_active(schedule));
    ck_assert_uint_le(turns + others, options.concurrency);
}

/* Takes some, or gives all back. */
static void hold_at_random(struct party *p, ptrdiff_t *held)
{
    ptrdiff_t change = *held > 0 ? -*held : (ptrdiff_t)dice(20);

    *held += change;
    flow_holds(p, change);
}

static void play_at_random(uint32_t seed)
{
    ptrdiff_t held[FLOWS] = {0};

    dice_state = seed;
    begin_with((struct schedule_options){
        .concurrency = 1 + dice(8), .per_origin = 1 + dice(3), .delay_ms = dice(2) * 20});
    for (size_t f = 0; f < FLOWS; f++) {
        struct party *p = &parties[f];
        for (size_t i = 0; i < 40; i++)
            snprintf(p->urls[p->count++], sizeof p->urls[0], "http://%c.example/%zu",
                     (char)('a' + dice(5)), i);
        p->options.per_origin = 1 + dice(3);
        p->options.window = 1 + dice(20);
        p->options.delay_ms = dice(3) * 10;
        p->options.hold_bytes = 10;
        made(p);
        run(p);
    }
    for (unsigned step = 0; step < 20000; step++) {
        struct party *p = &parties[dice(FLOWS)];
        size_t index = dice((uint32_t)p->count);
        enum turn_end how = dice(8) == 0   ? TURN_REFUSED
                            : dice(8) == 0 ? TURN_FAILED
                                           : TURN_ANSWERED;
        if (p->is_open[index])
            leave(p, index, how, dice(2));
        else if (dice(4) == 0)
            after_ms(dice(100));
        if (dice(4) == 0)
            hold_at_random(p, &held[p - parties]);
        expect_order(0);
        if (future_settled(parties[0].run) && future_settled(parties[1].run) &&
            future_settled(parties[2].run))
            break;
    }
    for (size_t f = 0; f < FLOWS; f++) {
        ck_assert(future_ok(parties[f].run));
        ck_assert_uint_eq(parties[f].begun, parties[f].count);
    }
}

START_TEST(limits_hold_and_nothing_is_lost_in_any_order)
{
    play_at_random((uint32_t)_i + 1);
}
END_TEST

/* What the batch has begun gives its turns back, but never ends: its client does not read. Its
 * tickets come and go until the batch is closed, or goes quiet. */
static void disturb(struct party *p, struct entering *hop, bool is_quiet)
{
    size_t index = dice((uint32_t)p->count);

    if (p->is_open[index])
        on_loop(leave_on_loop, &(struct leaving){&p->turns[index], TURN_ANSWERED});
    if (dice(3) == 0)
        flow_holds(p, (ptrdiff_t)dice(20));
    if (hop->turn && (is_quiet || dice(2) == 0)) {
        leave_ticket(hop, TURN_UNUSED);
    } else if (is_quiet) {
        return;
    } else if (!hop->turn && dice(4) == 0) {
        char origin[] = "http://a.example:80";
        origin[7] = (char)('a' + dice(5));
        hop->origin = origin;
        enter(hop);
        hop->origin = NULL;
    }
}

static void close_first(void *arg)
{
    (void)arg;
    flow_close(parties[0].flow);
}

static void play_beside_one_that_is_stuck(uint32_t seed)
{
    struct party *stuck = &parties[0];
    struct entering hop = {0};

    dice_state = seed;
    begin_with((struct schedule_options){
        .concurrency = 2 + dice(4), .per_origin = 1 + dice(2), .delay_ms = dice(2) * 20});
    uint32_t hosts = 1 + dice(5);
    for (size_t f = 0; f < FLOWS; f++) {
        struct party *p = &parties[f];
        for (size_t i = 0; i < 40; i++)
            snprintf(p->urls[p->count++], sizeof p->urls[0], "http://%c.example/%zu",
                     (char)('a' + dice(hosts)), i);
        p->options.window = 1 + dice(10);
        p->options.delay_ms = dice(3) * 10;
        p->options.hold_bytes = 1 + dice(100);
        made(p);
        run(p);
    }
    hop.flow = stuck->flow;
    unsigned quiet_from = dice(200), closes_at = dice(400), step = 0;
    while (!future_settled(parties[1].run) || !future_settled(parties[2].run)) {
        ck_assert_uint_lt(++step, 20000);
        disturb(stuck, &hop, step > quiet_from);
        struct party *p = &parties[1 + dice(2)];
        size_t index = dice((uint32_t)p->count);
        if (p->is_open[index])
            end(p, index);
        if (step == closes_at)
            on_loop(close_first, NULL);
        after_ms(dice(4) * dice(20));
        expect_order(hop.ticket.begun_ns != 0);
    }
    if (hop.turn)
        leave_ticket(&hop, TURN_UNUSED);
}

START_TEST(a_batch_that_is_stuck_holds_up_no_other)
{
    play_beside_one_that_is_stuck((uint32_t)_i + 1);
}
END_TEST

/* -- the loop's time: on the runtime that users have, as a mock's turns take none ----------------
 */

enum { COMING = 10 };

static void setup_real(void)
{
    async_setup();
    diary[0] = '\0';
}

static void run_in_a_long_turn(void *arg)
{
    (void)arg;
    long_turn_ns = loop_now_ns();
    while (async_now_ns() - long_turn_ns < 2 * NS_PER_MS)
        ;
    for (size_t i = 0; i < COMING; i++)
        run_party(&parties[i]);
}

static void count_begun(void *arg)
{
    size_t *ret_begun = arg;

    *ret_begun = 0;
    for (size_t i = 0; i < COMING; i++)
        *ret_begun += parties[i].begun;
}

START_TEST(a_turn_of_the_loop_begins_few_but_each_newcomer)
{
    size_t begun = 0, together = 0;

    begin_with((struct schedule_options){.concurrency = 1000, .per_origin = 1000});
    for (size_t i = 0; i < COMING; i++) {
        add_urls(&parties[i], 'a' + (int)i, 30);
        made(&parties[i]);
    }
    on_loop(run_in_a_long_turn, NULL);
    while (begun < (size_t)COMING * 30)
        on_loop(count_begun, &begun);
    for (size_t i = 0; i < COMING; i++) {
        ck_assert_uint_ge(parties[i].begun_in_long_turn, 1);
        together += parties[i].begun_in_long_turn;
    }
    ck_assert_uint_le(together, COMING + 16 + long_turn_took_ns / NS_PER_MS);
}
END_TEST

Suite *suite_schedule(void)
{
    Suite *suite = suite_create("schedule");
    TCase *tcase = tcase_create("schedule"), *random = tcase_create("any order");
    TCase *real = tcase_create("the loop's time");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_origin_gets_as_many_turns_as_it_may_have);
    tcase_add_test(tcase, concurrency_bounds_all_origins_together);
    tcase_add_test(tcase, a_flow_may_want_less_of_an_origin_than_others_do);
    tcase_add_test(tcase, no_more_are_begun_than_the_window_has_room_for);
    tcase_add_test(tcase, a_window_may_become_smaller_and_larger);
    tcase_add_test(tcase, urls_that_wait_for_their_host_keep_no_turn_unused);
    tcase_add_test(tcase, nobody_gets_a_turn_while_too_much_is_held);
    tcase_add_test(tcase, without_room_one_turn_after_the_other_is_given);
    tcase_add_test(tcase, turns_go_on_when_there_is_room_again);
    tcase_add_test(tcase, what_bodies_and_results_hold_is_told);
    tcase_add_test(tcase, a_batch_that_holds_too_much_begins_no_more_and_keeps_nobody_else);
    tcase_add_test(tcase, what_holds_nothing_back_may_hold_whatever_it_likes);
    tcase_add_test(tcase, a_host_with_many_urls_keeps_no_other_from_its_turn);
    tcase_add_test(tcase, a_host_with_many_urls_keeps_no_other_from_its_turn_at_a_low_concurrency);
    tcase_add_test(tcase, many_hosts_that_have_to_wait_keep_no_other_from_its_turn);
    tcase_add_test(tcase, batches_take_turns_at_an_origin);
    tcase_add_test(tcase, a_batch_of_many_hosts_keeps_none_of_one_host_from_its_turns);
    tcase_add_test(tcase, who_shares_an_origin_with_a_large_batch_waits_for_that_origin_only);
    tcase_add_test(tcase, a_batch_whose_hosts_are_slow_leaves_turns_for_others);
    tcase_add_test(tcase, a_batch_that_comes_last_has_the_next_turn);
    tcase_add_test(tcase, a_batch_that_comes_last_has_the_next_turn_at_its_host);
    tcase_add_test(tcase, the_last_turns_are_kept_for_newcomers);
    tcase_add_test(tcase, what_others_hold_keeps_newcomers_from_no_turn_until_it_is_a_little_more);
    tcase_add_test(tcase, a_swarm_of_newcomers_keeps_no_batch_from_its_turns);
    tcase_add_test(tcase, the_pause_between_two_turns_is_kept_for_all);
    tcase_add_test(tcase, the_pause_outlives_those_who_caused_it);
    tcase_add_test(tcase, the_pause_that_a_batch_wants_is_its_own);
    tcase_add_test(tcase, a_refusal_slows_the_host_for_all_batches_and_no_other_host);
    tcase_add_test(tcase, a_host_that_keeps_failing_is_given_up_and_its_urls_fail_at_once);
    tcase_add_test(tcase, tickets_go_before_urls_that_are_not_begun);
    tcase_add_test(tcase, a_ticket_that_is_given_back_unused_holds_nobody_up);
    tcase_add_test(tcase, tickets_for_a_host_that_is_given_up_fail_with_a_code_that_says_so);
    tcase_add_test(tcase, an_origin_remembers_the_address_that_answered);
    tcase_add_test(tcase, urls_that_wait_for_their_host_keep_no_others_from_being_begun);
    tcase_add_test(tcase, in_order_they_do_since_records_must_not_run_ahead);
    tcase_add_test(tcase, no_more_than_so_many_wait_for_their_hosts);
    tcase_add_test(tcase, a_batch_that_can_begin_nothing_leaves_the_room_of_an_origin_to_others);
    tcase_add_test(tcase, a_batch_whose_window_another_origin_fills_leaves_the_room_to_others);
    tcase_add_test(tcase,
                   the_room_of_an_origin_is_not_lost_with_a_batch_that_ends_before_it_takes_it);
    tcase_add_test(tcase,
                   the_room_of_an_origin_is_not_lost_with_a_batch_that_holds_too_much_for_it);
    tcase_add_test(tcase, the_room_of_an_origin_is_not_lost_with_a_ticket_that_is_given_back);
    tcase_add_test(tcase, no_turn_comes_before_the_admission_is_settled);
    tcase_add_test(tcase, the_delay_that_admission_asks_for_is_kept);
    tcase_add_test(tcase, admission_is_asked_for_again_when_it_is_old);
    tcase_add_test(tcase, a_turn_keeps_its_admission_while_a_new_one_is_asked_for);
    tcase_add_test(tcase, a_run_that_is_cancelled_ends_when_what_it_has_begun_and_asked_for_has);
    tcase_add_test(tcase, closing_gives_up_what_waits_for_admission);
    tcase_add_test(tcase, closing_leaves_the_admission_that_tickets_wait_for);
    tcase_add_test(tcase, admission_is_given_up_with_the_last_that_waits_for_it);
    tcase_add_test(tcase, what_has_no_origin_is_begun_without_a_turn);
    tcase_add_test(tcase, a_url_that_is_none_does_not_take_those_of_its_host_out_of_their_queue);
    tcase_add_test(tcase, in_order_urls_are_begun_in_order_and_find_their_turn_by_themselves);
    tcase_add_test(tcase, two_groups_of_one_origin_are_one_lane);
    tcase_add_test(tcase, a_closed_flow_begins_nothing_more);
    tcase_add_test(tcase, a_report_tells_why_a_host_waits);
    tcase_add_test(tcase, the_stats_count_turns_and_hosts_by_what_they_are_doing);
    tcase_add_test(tcase, a_report_tells_of_pauses_that_batches_keep);
    suite_add_tcase(suite, tcase);

    tcase_add_checked_fixture(random, setup, teardown);
    tcase_add_loop_test(random, limits_hold_and_nothing_is_lost_in_any_order, 0, 20);
    tcase_add_loop_test(random, a_batch_that_is_stuck_holds_up_no_other, 0, 40);
    suite_add_tcase(suite, random);

    tcase_add_checked_fixture(real, setup_real, teardown);
    tcase_add_test(real, a_turn_of_the_loop_begins_few_but_each_newcomer);
    suite_add_tcase(suite, real);
    return suite;
}
