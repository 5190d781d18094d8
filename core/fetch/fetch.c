#include "core/fetch/fetch.h"

#include "core/async/loop.h"
#include "core/async/task.h"
#include "core/base/clock.h"
#include "core/fetch/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    /* libcurl's cost of a transfer grows with the connections of its multi handle, so there are
     * several, and an origin keeps to one of them. */
    ENGINES = 4,
    BACKOFF_FIRST_MS = 250,
    RETRY_AFTER_LONGEST_S = 30, /* a host that wants more is answered for as it is */
};

struct fetcher {
    struct fetcher_options options;
    struct schedule *schedule;
    struct large_bodies large;
    struct engine *engines[ENGINES];
};

/* -- life -------------------------------------------------------------------------------------- */

static void hold(void *arg, ptrdiff_t change)
{
    struct fetcher *f = arg;

    schedule_hold(f->schedule, change);
}

struct fetcher *fetcher_new(const struct fetcher_options *options)
{
    struct fetcher *f = calloc(1, sizeof *f);

    if (!f || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(f);
        return NULL;
    }
    f->options = *options;
    f->schedule = schedule_new(options->concurrency, options->hold_bytes);
    size_t places = options->hold_bytes / options->max_page_bytes;
    large_bodies_init(&f->large, places > 0 ? (unsigned)places : 1);
    bool complete = f->schedule != NULL;
    for (size_t i = 0; i < ENGINES && complete; i++) {
        f->engines[i] = engine_new(&(struct engine_options){
            .guard = options->guard,
            .connect_timeout_ms = options->connect_timeout_ms,
            .max_connections = options->concurrency,
            .receive_buffer_bytes = 64 * 1024,
            .hold = hold,
            .hold_arg = f,
            .large = &f->large,
        });
        complete = f->engines[i] != NULL;
    }
    return complete ? f : fetcher_free(f);
}

struct fetcher *fetcher_free(struct fetcher *f)
{
    if (!f)
        return NULL;
    for (size_t i = 0; i < ENGINES; i++)
        engine_free(f->engines[i]);
    schedule_free(f->schedule);
    free(f);
    curl_global_cleanup();
    return NULL;
}

size_t fetcher_active(const struct fetcher *f)
{
    return schedule_active(f->schedule);
}

size_t fetcher_waiting(const struct fetcher *f)
{
    return schedule_waiting(f->schedule);
}

/* FNV-1a. */
static struct engine *engine_for(struct fetcher *f, const char *origin)
{
    uint32_t hash = 2166136261u;

    for (; *origin; origin++)
        hash = (hash ^ (unsigned char)*origin) * 16777619u;
    return f->engines[hash % ENGINES];
}

/* -- the task ---------------------------------------------------------------------------------- */

struct fetch_frame {
    struct fetcher *fetcher;
    struct bytes given; /* until it is parsed */
    const struct fetch_options *options;

    struct target target; /* of this hop */
    struct ticket ticket;
    future *turn, *transfer, *pause;
    uint64_t asked_ns; /* when this hop asked for its turn */
    unsigned redirects, attempts;
    uint64_t queued_us, spent_us; /* spent: in earlier hops of this attempt */
};

static void fail(task *t, const struct fetch_frame *s, int code, enum fetch_phase phase,
                 const char *message)
{
    struct fetch_failure *failure = malloc(sizeof *failure);

    if (failure) {
        *failure = (struct fetch_failure){
            .retryable = fetch_code_retryable(code, phase),
            .attempts = s->attempts,
        };
        snprintf(failure->message, sizeof failure->message, "%s",
                 message ? message : fetch_code_message(code));
    }
    task_fail(t, code, failure, free);
}

static void page_free(void *value)
{
    struct fetch_page *page = value;

    future_drop(page->source);
    free(page->url);
    free(page);
}

static void succeed(task *t, struct fetch_frame *s)
{
    const struct response *r = future_value(s->transfer);
    struct fetch_page *page = malloc(sizeof *page);

    if (!page) {
        task_fail(t, -ENOMEM, NULL, NULL);
        return;
    }
    *page = (struct fetch_page){
        .response = r,
        .final_url = bytes_cstr(s->target.url),
        .redirects = s->redirects,
        .attempts = s->attempts,
        .queued_us = s->queued_us,
        .total_us = s->spent_us + r->timing.total_us,
        .source = s->transfer,
        .url = s->target.url,
    };
    s->transfer = NULL;
    s->target.url = NULL;
    task_return(t, page, page_free);
}

/* RFC 9110 section 15.4; 300 and 304 have no target of their own that a GET should follow. */
static bool is_redirect(const struct response *r)
{
    switch (r->http_status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return r->location.len > 0;
    }
    return false;
}

/* Statuses that say "not now". */
static bool is_temporary(const struct response *r)
{
    switch (r->http_status) {
    case 429:
    case 502:
    case 503:
    case 504:
        return r->retry_after_s <= RETRY_AFTER_LONGEST_S;
    }
    return false;
}

/* Goes on to where the answer points. False: the task has failed. */
static bool follow(task *t, struct fetch_frame *s)
{
    const struct response *r = future_value(s->transfer);
    const char *message = NULL;
    struct target next;

    if (s->redirects == s->options->max_redirects) {
        fail(t, s, FETCH_TOO_MANY_REDIRECTS, FETCH_RECEIVING, NULL);
        return false;
    }
    int code = target_redirect(&s->target, r->location, &next, &message);
    if (code) {
        fail(t, s, code, FETCH_RECEIVING, message);
        return false;
    }
    s->redirects++;
    s->spent_us += r->timing.total_us;
    target_free(&s->target);
    s->target = next;
    s->transfer = future_drop(s->transfer); /* its body must not wait for a turn */
    return true;
}

static bool worth_a_retry(const struct fetch_frame *s)
{
    if (s->attempts > s->options->retries)
        return false;
    if (future_ok(s->transfer))
        return is_temporary(future_value(s->transfer));

    const struct transfer_failure *failure = future_value(s->transfer);
    return failure && fetch_code_retryable(future_error(s->transfer), failure->phase);
}

/* Exponential, between half and one and a half of its nominal length; never before the host asks.
 */
static future *back_off(struct fetch_frame *s)
{
    uint64_t nominal = (uint64_t)BACKOFF_FIRST_MS << (s->attempts < 8 ? s->attempts - 1 : 7);
    uint64_t ms = nominal / 2 + arc4random_uniform((uint32_t)nominal + 1);

    if (future_ok(s->transfer)) {
        const struct response *r = future_value(s->transfer);
        if (ms < 1000ull * r->retry_after_s)
            ms = 1000ull * r->retry_after_s;
    }
    s->spent_us = 0;
    s->transfer = future_drop(s->transfer); /* its body need not wait as well */
    return future_at(clock_after_ms(loop_now_ns(), ms));
}

static future *begin_transfer(struct fetch_frame *s)
{
    uint64_t limit_us = 1000ull * s->options->timeout_ms;
    uint64_t left_us = s->spent_us < limit_us ? limit_us - s->spent_us : 0;

    s->queued_us += (loop_now_ns() - s->asked_ns) / 1000;
    return transfer_start(engine_for(s->fetcher, s->target.origin),
                          &(struct transfer_request){
                              .target = &s->target,
                              .socket = -1,
                              .user_agent = s->options->user_agent,
                              .timeout_ms = left_us < 1000 ? 1 : (unsigned)(left_us / 1000),
                              .max_body_bytes = s->options->max_page_bytes,
                          });
}

static future *ask_for_turn(struct fetch_frame *s)
{
    s->asked_ns = loop_now_ns();
    return schedule_enter(s->fetcher->schedule, &s->ticket, s->target.origin,
                          s->options->per_origin);
}

/* Fails the task for a URL that cannot be fetched. */
static bool accept_url(task *t, struct fetch_frame *s)
{
    const char *message = NULL;
    int code = target_parse(s->given, &s->target, &message);

    if (code)
        fail(t, s, code, FETCH_CONNECTING, message);
    return code == 0;
}

static int fetch_step(task *t, void *frame)
{
    struct fetch_frame *s = frame;
    const struct transfer_failure *failure;

    BEGIN(t);
    if (!accept_url(t, s))
        return TASK_FINISHED;
    s->attempts = 1;
    for (;;) {
        AWAIT(t, s->turn, ask_for_turn(s));
        if (!future_ok(s->turn))
            break;
        AWAIT(t, s->transfer, begin_transfer(s));
        schedule_leave(s->fetcher->schedule, &s->ticket);

        if (worth_a_retry(s)) {
            AWAIT(t, s->pause, back_off(s));
            s->attempts++;
        } else if (!future_ok(s->transfer)) {
            break;
        } else if (!is_redirect(future_value(s->transfer))) {
            succeed(t, s);
            return TASK_FINISHED;
        } else if (!follow(t, s)) {
            return TASK_FINISHED;
        }
    }
    failure = s->transfer ? future_value(s->transfer) : NULL;
    if (failure)
        fail(t, s, future_error(s->transfer), failure->phase, failure->message);
    else
        fail(t, s, FETCH_INTERNAL, FETCH_CONNECTING, NULL);
    END(t);
}

static void fetch_drop(void *frame)
{
    struct fetch_frame *s = frame;

    schedule_leave(s->fetcher->schedule, &s->ticket);
    future_drop(s->turn);
    future_drop(s->transfer);
    future_drop(s->pause);
    target_free(&s->target);
}

TASK(fetch_task, ON_LOOP, sizeof(struct fetch_frame), .step = fetch_step, .drop = fetch_drop);

future *fetch(struct fetcher *f, struct bytes url, const struct fetch_options *options)
{
    return task_start(&fetch_task, &(struct fetch_frame){
                                       .fetcher = f,
                                       .given = url,
                                       .options = options,
                                   });
}
