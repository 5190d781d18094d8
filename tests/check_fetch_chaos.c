/*
 * The whole fetch engine at random: batches over hosts that answer, refuse,
 * break off, are slow or dead, which are closed, cancelled or overtaken by
 * their deadlines at any moment. Whatever happens: everything settles, a URL is
 * begun once at most, no host gets more turns than it may have, and nothing is
 * left over.
 */
#include "core/async/async.h"
#include "core/async/loop.h"
#include "core/base/clock.h"
#include "core/fetch/fetch.h"
#include "tests/check.h"
#include "tests/support/async_fixture.h"
#include "tests/support/name_server.h"
#include "tests/support/origin.h"
#include "tests/support/origin_script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCHES = 8, URLS = 60, PER_ORIGIN = 3, CONCURRENCY = 24, SEEDS = 6 };

static struct name_server *names;
static struct origin *origin, *other; /* 127.0.0.1 and 127.0.0.2, the same port */
static struct guard *guard;
static struct fetcher *fetcher;

static _Thread_local uint32_t dice_state; /* the test's, and the loop's */

static uint32_t dice(uint32_t sides)
{
    dice_state = dice_state * 1664525u + 1013904223u;
    return (dice_state >> 8) % sides;
}

/* -- hosts
 * -------------------------------------------------------------------------------------
 */

static const char *const hosts[] = {
    "good.example", "second.example", "many.example", "late.example", "strict.example",
    "dead.example", "breaks.example", "mute.example", "gone.example",
};
enum { WELL_HOSTS = 5, WELL_PATHS = 6 }; /* the first; every other URL is of those */

static const char *const paths[] = {
    "/page/1",
    "/page/2?ms=10",
    "/page/3?size=60000",
    "/redirect/3",
    "/redirect-to?url=http://second.example:%u/page/1",
    "/huge?bytes=700000",
    "/redirect-to?url=http://strict.example:%u/1",
    "/redirect-to?url=http://good.example:%u/redirect-to?url=//second.example/",
    "/loop",
    "/status/503",
    "/status/429?after=1",
    "/status/404",
    "/reset",
    "/close",
    "/short",
    "/garbage",
    "/slow?ms=2",
    "/hold/x",
    "/endless",
    "/huge?bytes=2000000",
};

static const char *const nonsense[] = {"nonsense", "http://", "ftp://good.example/",
                                       "http://good.example/\x01"};

#define SAYS(status, text) SAY("HTTP/1.1 " status "\r\nContent-Length: 4\r\n\r\n" text)

static const struct step strict[] = {
    SAYS("429 Slow", "slow"), NEXT,  SAYS("200 OK", "well"), NEXT,
    SAYS("503 No", "slow"),   CLOSE, SAYS("200 OK", "well"), CLOSE,
    SAYS("429 Slow", "slow"), NEXT,  SAYS("200 OK", "well"), {STEP_END, 0, {NULL, 0}},
};

static const struct step breaks[] = {
    RESET, SAYS("200 OK", "well"), NEXT, CLOSE, RESET, {STEP_END, 0, {NULL, 0}},
};

static void make_hosts(void)
{
    static const struct name_answer here = {.addresses = "127.0.0.1", .ttl = 60},
                                    late = {.addresses = "127.0.0.1", .ttl = 1, .delay_ms = 20},
                                    mute = {.drop = true};

    name_server_set(names, "good.example", &here);
    name_server_set(names, "fresh.example", &here);
    name_server_set(names, "late.example", &late);
    name_server_set(names, "mute.example", &mute);
    name_server_set(names, "second.example",
                    &(struct name_answer){.addresses = "127.0.0.2", .ttl = 60});
    name_server_set(names, "many.example",
                    &(struct name_answer){.addresses = "127.0.1.1 127.0.0.1", .ttl = 60});
    name_server_set(names, "dead.example",
                    &(struct name_answer){.addresses = "127.0.1.1", .ttl = 60});
    name_server_set(names, "strict.example",
                    &(struct name_answer){.addresses = "127.0.1.2", .ttl = 60});
    name_server_set(names, "breaks.example",
                    &(struct name_answer){.addresses = "127.0.1.3", .ttl = 60});
    ck_assert_ptr_nonnull(origin_script(origin, "127.0.1.2", strict));
    ck_assert_ptr_nonnull(origin_script(origin, "127.0.1.3", breaks));
}

static void make_url(char *url, size_t size)
{
    unsigned port = origin_port(origin);
    bool is_well = dice(2);
    const char *host = hosts[dice(is_well ? WELL_HOSTS : sizeof hosts / sizeof *hosts)];
    const char *form = paths[dice(is_well ? WELL_PATHS : sizeof paths / sizeof *paths)];
    char path[128];

    if (dice(20) == 0) {
        snprintf(url, size, "%s", nonsense[dice(sizeof nonsense / sizeof *nonsense)]);
        return;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(path, sizeof path, form, port);
#pragma GCC diagnostic pop
    snprintf(url, size, "http://%s:%u%s", host, port, path);
}

/* -- looks at bodies, some of which stop them
 * ---------------------------------------------------
 */

/* Held by its item, by the fetch, and by the task that stops the transfer. */
struct look {
    struct transfer_watch watch;
    struct scope *scope;
    unsigned references;
};

struct stop_frame {
    struct look *look;
    future *pause;
};

static void look_drop(struct look *look)
{
    if (look && --look->references == 0)
        free(look);
}

static void look_release(struct transfer_watch *watch)
{
    look_drop(CONTAINER_OF(watch, struct look, watch));
}

static int stop_step(task *t, void *frame)
{
    struct stop_frame *s = frame;

    BEGIN(t);
    AWAIT(t, s->pause, future_after_ms(dice(6)));
    if (dice(2))
        transfer_stop(&s->look->watch);
    else
        transfer_discard_body(&s->look->watch);
    END(t);
}

static void stop_drop(void *frame)
{
    struct stop_frame *s = frame;

    future_drop(s->pause);
    look_drop(s->look);
}

TASK(stop_task, ON_LOOP, sizeof(struct stop_frame), .step = stop_step, .drop = stop_drop);

static bool reached(struct transfer_watch *watch, const struct response *so_far)
{
    struct look *look = CONTAINER_OF(watch, struct look, watch);

    ck_assert_uint_ge(so_far->body.len, watch->at_bytes);
    if (dice(3) == 0)
        return false;
    look->references++;
    future_drop(task_start_in(look->scope, &stop_task, &(struct stop_frame){.look = look}));
    return true;
}

/* -- batches
 * -----------------------------------------------------------------------------------
 */

struct batch {
    uint32_t seed;
    char urls[URLS][200];
    struct plan plan;
    struct flow *flow;
    struct flow_options flow_options;
    struct fetch_options options;
    struct robots_policy robots;
    struct scope *scope;
    struct timer fate; /* closes or cancels it */
    bool is_cut;       /* by that or its deadline */
    bool begun[URLS];
    size_t begun_count, under_way;
    future *run, *ended;
};

struct item {
    struct batch *batch;
    size_t index;
    struct ticket ticket;
    struct look *look;
    future *page;
};

static struct bytes url_of(void *arg, size_t index)
{
    struct batch *b = arg;

    return bytes_cstr(b->urls[index]);
}

static struct look *look_new(struct batch *b)
{
    struct look *look = calloc(1, sizeof *look);

    ck_assert_ptr_nonnull(look);
    look->references = 2;
    look->scope = b->scope;
    look->watch = (struct transfer_watch){
        .at_bytes = 1 + dice(80000), .reached = reached, .release = look_release};
    return look;
}

static future *get(struct item *s)
{
    struct batch *b = s->batch;

    s->look = dice(2) ? look_new(b) : NULL;
    return fetch(fetcher, &(struct fetch_request){
                              .url = url_of(b, s->index),
                              .options = &b->options,
                              .flow = b->flow,
                              .ticket = &s->ticket,
                              .watch = s->look ? &s->look->watch : NULL,
                          });
}

/* Whatever a host does, it is not an internal error. */
static void expect_own_failure(const future *page, const char *url)
{
    const struct fetch_failure *failure = future_ok(page) ? NULL : future_value(page);
    int code = future_error(page);

    ck_assert_msg(code >= 0 && code != FETCH_INTERNAL, "%s: %d, %s", url, code,
                  failure ? failure->message : "");
}

static int item_step(task *t, void *frame)
{
    struct item *s = frame;

    BEGIN(t);
    AWAIT(t, s->page, get(s));
    expect_own_failure(s->page, url_of(s->batch, s->index).ptr);
    END(t);
}

static void item_drop(void *frame)
{
    struct item *s = frame;

    schedule_leave(&s->ticket, TURN_UNUSED, 0);
    look_drop(s->look);
    future_drop(s->page);
    s->batch->under_way--;
    flow_ended(s->batch->flow);
}

TASK(item_task, ON_LOOP, sizeof(struct item), .step = item_step, .drop = item_drop);

static void expect_limit(void *arg, const struct origin_report *report)
{
    (void)arg;
    ck_assert_uint_le(report->in_flight, PER_ORIGIN);
}

static void begin(void *arg, size_t index, struct ticket *t)
{
    struct batch *b = arg;

    ck_assert(!b->begun[index]);
    b->begun[index] = true;
    b->begun_count++;
    b->under_way++;
    ck_assert_uint_le(b->under_way, b->flow_options.window + FLOW_WAITING_MOST);
    ck_assert_uint_le(schedule_active(fetcher_schedule(fetcher)), CONCURRENCY);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        schedule_report(fetcher_schedule(fetcher), bytes_cstr(hosts[i]), expect_limit, NULL);
    future_drop(task_start_in(b->scope, &item_task,
                              &(struct item){.batch = b, .index = index, .ticket = *t}));
}

/* As server/batch/batch.c has it: what closes the flow when the scope is cancelled.
 */
struct feed {
    struct batch *batch;
    future *run, *ended;
};

static int feed_step(task *t, void *frame)
{
    struct feed *s = frame;

    BEGIN(t);
    AWAIT(t, s->ended, future_shield(s->run));
    END(t);
}

static void feed_drop(void *frame)
{
    struct feed *s = frame;

    flow_close(s->batch->flow);
    future_drop(s->run);
    future_drop(s->ended);
}

TASK(feed_task, ON_LOOP, sizeof(struct feed), .step = feed_step, .drop = feed_drop);

static void fate_comes(struct timer *timer)
{
    struct batch *b = CONTAINER_OF(timer, struct batch, fate);

    b->is_cut = true;
    if (dice(2))
        flow_close(b->flow);
    else
        scope_cancel(b->scope, -ECANCELED);
}

static void choose_options(struct batch *b)
{
    b->options = (struct fetch_options){
        .timeout_ms = 20 + dice(400),
        .max_page_bytes = 1 << 20,
        .max_redirects = dice(5),
        .retries = dice(3),
        .user_agent = "skimd-chaos/1",
        .identity = dice(2),
        .insecure = dice(2),
    };
    b->flow_options = (struct flow_options){
        .per_origin = 1 + dice(4),
        .delay_ms = dice(3) ? 0 : dice(10),
        .plan = &b->plan,
        .window = 1 + dice(URLS),
        .url = url_of,
        .begin = begin,
        .arg = b,
    };
    b->robots = (struct robots_policy){fetcher, BYTES("skimd-chaos")};
    if (dice(3) == 0)
        fetch_obey_robots(&b->flow_options, &b->robots);
}

static future *begin_batch(struct batch *b)
{
    dice_state = b->seed;
    for (size_t i = 0; i < URLS; i++)
        make_url(b->urls[i], sizeof b->urls[i]);
    ck_assert_int_eq(plan_make(URLS, url_of, b, dice(5) == 0, NULL, &b->plan), 0);
    choose_options(b);
    b->scope = scope_new(clock_after_ms(async_now_ns(), 50 + dice(600)), 0);
    b->flow = flow_new(fetcher_schedule(fetcher), &b->flow_options);
    ck_assert(b->scope && b->flow);
    b->fate.fire = fate_comes;
    if (dice(2))
        timer_set(&b->fate, clock_after_ms(loop_now_ns(), dice(300)));
    future *run = flow_run(b->flow);
    future_drop(task_start_in(b->scope, &feed_task, &(struct feed){b, future_ref(run), NULL}));
    return run;
}

static int batch_step(task *t, void *frame)
{
    struct batch *b = *(struct batch **)frame;

    BEGIN(t);
    AWAIT(t, b->run, begin_batch(b));
    timer_clear(&b->fate);
    b->is_cut = b->is_cut || scope_cancelled(b->scope);
    AWAIT(t, b->ended, scope_close(b->scope));
    ck_assert_uint_eq(b->under_way, 0);
    ck_assert(b->is_cut || b->begun_count == URLS);
    END(t);
}

static void batch_drop(void *frame)
{
    struct batch *b = *(struct batch **)frame;

    timer_clear(&b->fate);
    scope_drop(b->scope);
    flow_free(b->flow);
    plan_free(&b->plan);
    future_drop(b->run);
    future_drop(b->ended);
}

TASK(batch_task, ON_LOOP, sizeof(struct batch *), .step = batch_step, .drop = batch_drop,
     .catches_cancel = true);

/* -- fixture
 * -----------------------------------------------------------------------------------
 */

static void make_fetcher(void *arg)
{
    const char *message = NULL;

    (void)arg;
    fetcher = fetcher_new(
        &(struct fetcher_options){
            .guard = guard,
            .concurrency = CONCURRENCY,
            .per_origin = PER_ORIGIN,
            .connect_timeout_ms = 200,
            .hold_bytes = 1 << 20,
            .max_page_bytes = 1 << 20,
            .user_agent = "skimd-chaos/1",
            .dns_servers = name_server_address(names),
        },
        &message);
    ck_assert_msg(fetcher != NULL, "%s", message);
}

static void close_fetcher(void *arg)
{
    *(future **)arg = fetcher_close(fetcher);
}

static void free_fetcher(void *arg)
{
    (void)arg;
    ck_assert_uint_eq(schedule_active(fetcher_schedule(fetcher)), 0);
    ck_assert_uint_eq(schedule_waiting(fetcher_schedule(fetcher)), 0);
    fetcher = fetcher_free(fetcher);
}

static void setup(void)
{
    struct net net;

    async_setup();
    names = name_server_start();
    origin = origin_start(NULL);
    ck_assert(names && origin);
    other =
        origin_start(&(struct origin_options){.address = "127.0.0.2", .port = origin_port(origin)});
    ck_assert_ptr_nonnull(other);
    make_hosts();
    ck_assert_int_eq(net_parse("127.0.0.0/8", &net), 0);
    ck_assert_int_eq(guard_new(&(struct guard_options){.allow = &net, .allow_count = 1}, &guard),
                     0);
    on_loop(make_fetcher, NULL);
}

static void teardown(void)
{
    future *closed;

    on_loop(close_fetcher, &closed);
    expect_ok(closed);
    on_loop(free_fetcher, NULL);
    guard_free(guard);
    other = origin_stop(other);
    origin = origin_stop(origin);
    names = name_server_stop(names);
    async_teardown();
}

static void drop_page(void *page)
{
    future_drop(page);
}

START_TEST(whatever_happens_to_batches_they_end_and_leave_nothing)
{
    static struct batch batches[BATCHES];
    static const struct fetch_options plain = {
        .timeout_ms = 10000, .max_page_bytes = 1 << 20, .user_agent = "skimd-chaos/1"};
    future *ended[BATCHES];
    char url[64];

    memset(batches, 0, sizeof batches);
    for (uint32_t i = 0; i < BATCHES; i++) {
        struct batch *b = &batches[i];
        b->seed = (uint32_t)_i * BATCHES + i + 1;
        ended[i] = task_start(&batch_task, &b);
    }
    for (size_t i = 0; i < BATCHES; i++)
        expect_ok(ended[i]);

    /* And others go on. */
    snprintf(url, sizeof url, "http://fresh.example:%u/page/1", (unsigned)origin_port(origin));
    future *page =
        fetch(fetcher, &(struct fetch_request){.url = bytes_cstr(url), .options = &plain});
    ck_assert_int_eq(future_wait(page, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    ck_assert_int_eq(future_error(page), 0);
    on_loop(drop_page, page);
}
END_TEST

Suite *suite_fetch_chaos(void)
{
    Suite *s = suite_create("fetch_chaos");
    TCase *tc = tcase_create("fetch_chaos");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, whatever_happens_to_batches_they_end_and_leave_nothing, 0, SEEDS);
    suite_add_tcase(s, tc);
    return s;
}
