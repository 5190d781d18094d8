/*
 * bench_fetch: fetches a list of URLs by fetch(), as a batch does, with nothing behind it: no
 * parser, no record, no client. workload.h tells what all programs of this folder are given and
 * what they print.
 *
 *   run_step    the engine is made, all URLs are fetched, it is freed: that is what is measured
 *   item_step   one URL, as in server/batch/batch.c
 */
#include "bench/fetch/workload.h"
#include "core/async/async.h"
#include "core/base/heap.h"
#include "core/fetch/fetch.h"

#include <stdio.h>
#include <stdlib.h>

#define USAGE                                                                                      \
    "[--per-host N] [--window N] [--ca-file FILE] [--insecure] [--dns-server ADDRESS:PORT]"

enum {
    WINDOW_EXTRA = 64, /* as in server/batch/batch.c */
    HOLD_BYTES = 128 << 20,
    MAX_PAGE_BYTES = 10 << 20,
};

static struct workload work = {.concurrency = 256};
static size_t window; /* fetches that are started and not yet done; 0: concurrency + WINDOW_EXTRA */
static struct fetch_options options = {
    .timeout_ms = 30000,
    .max_page_bytes = MAX_PAGE_BYTES,
    .max_redirects = 10,
    .retries = 2,
    .user_agent = "skimd/0.1.0",
};
static unsigned per_origin;
static const char *ca_file, *dns_servers;
static struct guard *guard;

/* Loop thread. */
static struct fetcher *fetcher;
static struct flow *flow;
static size_t ok;
static uint64_t bytes;

/* -- one URL ----------------------------------------------------------------------------------- */

struct item {
    size_t index;
    struct ticket ticket;
    future *page;
};

static future *get(struct item *s)
{
    return fetch(fetcher, &(struct fetch_request){
                              .url = bytes_cstr(workload_url(&work, s->index)),
                              .options = &options,
                              .flow = flow,
                              .ticket = &s->ticket,
                          });
}

static int item_step(task *t, void *frame)
{
    struct item *s = frame;

    BEGIN(t);
    AWAIT(t, s->page, get(s));
    if (future_ok(s->page)) {
        const struct fetch_page *page = future_value(s->page);
        ok += page->response->http_status == 200;
        bytes += page->response->body.len;
    } else if (future_value(s->page)) {
        const struct fetch_failure *failure = future_value(s->page);
        fprintf(stderr, "%s: %s\n", workload_url(&work, s->index), failure->message);
    }
    END(t);
}

static void item_drop(void *frame)
{
    struct item *s = frame;

    schedule_leave(&s->ticket, TURN_UNUSED, 0);
    future_drop(s->page);
    flow_ended(flow);
}

TASK(item_task, ON_LOOP, sizeof(struct item), .step = item_step, .drop = item_drop);

static void begin_item(void *arg, size_t index, struct ticket *t)
{
    (void)arg;
    future_drop(task_start(&item_task, &(struct item){.index = index, .ticket = *t}));
}

/* -- all of them ------------------------------------------------------------------------------- */

static struct bytes url_at(void *arg, size_t index)
{
    (void)arg;
    return bytes_cstr(workload_url(&work, index));
}

struct run {
    struct plan plan;
    future *ended;
};

static void make(struct run *r)
{
    const char *message;

    fetcher = fetcher_new(
        &(struct fetcher_options){
            .guard = guard,
            .concurrency = work.concurrency,
            .per_origin = per_origin,
            .connect_timeout_ms = 10000,
            .low_speed_bytes = 32,
            .low_speed_ms = 10000,
            .hold_bytes = HOLD_BYTES,
            .max_page_bytes = MAX_PAGE_BYTES,
            .user_agent = options.user_agent,
            .ca_file = ca_file,
            .dns_servers = dns_servers,
        },
        &message);
    if (!fetcher)
        die(message);
    if (plan_make(work.count, url_at, NULL, false, NULL, &r->plan) < 0)
        die("no plan");
    flow = flow_new(fetcher_schedule(fetcher), &(struct flow_options){
                                                   .per_origin = per_origin,
                                                   .plan = &r->plan,
                                                   .window = window,
                                                   .url = url_at,
                                                   .begin = begin_item,
                                               });
    if (!flow)
        die("no flow");
}

static int run_step(task *t, void *frame)
{
    struct run *r = frame;

    BEGIN(t);
    make(r);
    AWAIT(t, r->ended, flow_run(flow));
    flow = flow_free(flow);
    AWAIT(t, r->ended, fetcher_close(fetcher));
    fetcher = fetcher_free(fetcher);
    END(t);
}

static void run_drop(void *frame)
{
    struct run *r = frame;

    future_drop(r->ended);
    plan_free(&r->plan);
}

TASK(run_task, ON_LOOP, sizeof(struct run), .step = run_step, .drop = run_drop);

/* -- the program ------------------------------------------------------------------------------- */

static void read_command_line(int argc, char **argv)
{
    static const struct option names[] = {
        WORKLOAD_OPTIONS,
        {"per-host", required_argument, NULL, 'p'},
        {"window", required_argument, NULL, 'w'},
        {"ca-file", required_argument, NULL, 'f'},
        {"insecure", no_argument, NULL, 'i'},
        {"dns-server", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'p':
            per_origin = (unsigned)parse_number(optarg);
            break;
        case 'w':
            window = parse_number(optarg);
            break;
        case 'f':
            ca_file = optarg;
            break;
        case 'i':
            options.insecure = true;
            break;
        case 'd':
            dns_servers = optarg;
            break;
        default:
            workload_option(&work, option, USAGE);
        }
    }
    workload_read(&work, argc, argv, USAGE);
    if (per_origin == 0)
        per_origin = work.concurrency;
    if (window == 0)
        window = work.concurrency + WINDOW_EXTRA;
}

static void allow_loopback(void)
{
    struct net loopback;

    if (net_parse("127.0.0.0/8", &loopback) < 0 ||
        guard_new(&(struct guard_options){.allow = &loopback, .allow_count = 1}, &guard) < 0)
        die("no guard");
}

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    heap_configure(); /* as server/main.c does */
    read_command_line(argc, argv);
    allow_loopback();
    workload_begin(&work);
    future *done = task_start(&run_task, NULL);
    if (future_wait(done, CLOCK_NEVER) < 0 || !future_ok(done))
        die("the run failed");
    future_drop(done);
    workload_report(&work, ok, bytes);
    async_stop();
    guard_free(guard);
    workload_free(&work);
    return EXIT_SUCCESS;
}
