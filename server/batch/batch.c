#include "core/async/combine.h"
#include "core/async/task.h"
#include "core/base/clock.h"
#include "core/fetch/robots.h"
#include "parsers/page.h"
#include "server/batch/internal.h"
#include "server/batch/quota.h"
#include "server/batch/record.h"
#include "server/batch/sse.h"
#include "server/log.h"
#include "server/problem.h"
#include "server/watch/metrics.h"

#include <errno.h>
#include <stdlib.h>

/* Items under way beyond the fetches that can be: those that parse and those that wait to emit. */
enum { WINDOW_EXTRA = 64 };

/* Records that wait for their client: while they are more, nothing further of the batch is begun.
 * With titles alone a full window of them is hardly ever; other fields take up to FIELDS_MAX. */
enum { HELD_RECORDS_BYTES = 8 << 20 };

/* Proxies give a silent connection up after a minute, some after 30 s. */
enum { HEARTBEAT_MS = 15000 };

/* -- intake: reading the body and planning ----------------------------------------------------- */

/* More than this takes its time, and is done on a thread. This much takes less than the way there
 * and back, and would wait behind every large one. */
enum { INTAKE_AT_ONCE_BYTES = 4096 };

struct intake {
    struct batch *batch; /* nobody else touches it until this has ended */
    struct buffer body;
    struct buffer content_type; /* a copy: the connection may end meanwhile */
};

static void problem_free(void *value)
{
    free(value);
}

static struct bytes url_at(void *arg, size_t index)
{
    struct batch *b = arg;

    return url_list_url(&b->urls, index);
}

/* In what order the URLs are begun, and which of them are fetched at all. */
static int plan(struct batch *b, struct problem *problem)
{
    int error = 0;

    if (b->options.dedupe)
        error = twins_find(b->urls.count, url_at, b, &b->twins);
    if (error == 0)
        error = plan_make(b->urls.count, url_at, b, b->options.order == ORDER_INPUT,
                          b->twins.is_twin, &b->plan);
    for (size_t i = 0; error == 0 && i < b->plan.group_count; i++)
        b->planned += b->plan.groups[i].count;
    if (error < 0)
        problem_set(problem, PROBLEM_OUT_OF_MEMORY, NULL, "The batch was not begun.");
    return error;
}

/* False: `ret_problem` (free()) says why; NULL there when memory is exhausted. */
static bool take_in(struct intake *in, struct problem **ret_problem)
{
    struct batch *b = in->batch;
    struct problem problem;

    if (intake_parse(&in->body, buffer_bytes(&in->content_type), b->all->config, &b->options,
                     &b->urls, &problem) == 0 &&
        options_check(&b->options, &problem) == 0 && plan(b, &problem) == 0)
        return true;
    *ret_problem = malloc(sizeof problem);
    if (*ret_problem)
        **ret_problem = problem;
    return false;
}

static void intake_run(task *t, void *frame)
{
    struct problem *problem;

    if (!take_in(frame, &problem))
        task_fail(t, -EINVAL, problem, problem_free);
}

static void intake_drop(void *frame)
{
    struct intake *in = frame;

    buffer_free(&in->body);
    buffer_free(&in->content_type);
}

TASK(intake_task, ON_THREAD, sizeof(struct intake), .run = intake_run, .drop = intake_drop);

static future *intake_now(struct intake *in)
{
    struct problem *problem;
    future *done;
    promise *p = promise_new(&done);

    if (!p)
        done = future_out_of_memory();
    else if (take_in(in, &problem))
        promise_resolve(p, NULL, NULL);
    else
        promise_fail(p, -EINVAL, problem, problem_free);
    promise_drop(p);
    intake_drop(in);
    return done;
}

static future *intake(struct batch *b)
{
    struct intake in = {.batch = b, .body = exchange_take_body(b->x)};
    struct bytes type = exchange_header(b->x, "Content-Type");

    buffer_append(&in.content_type, type.ptr, type.len);
    return in.body.len <= INTAKE_AT_ONCE_BYTES ? intake_now(&in) : task_start(&intake_task, &in);
}

/* -- batch ------------------------------------------------------------------------------------- */

/* The flow is closed at once: until the scope's tasks are cancelled, which comes later, it would
 * begin one URL after the other in vain. */
static void cancel(struct batch *b)
{
    if (b->flow)
        flow_close(b->flow);
    if (b->scope)
        scope_cancel(b->scope, -ECANCELED);
}

static void client_gone(void *arg)
{
    struct batch *b = arg;

    b->client_gone = true;
    cancel(b);
}

/* What is said of a URL whose item was cancelled before it had a record. */
static void write_missing(void *arg, size_t index, struct buffer *out)
{
    struct batch *b = arg;
    bool deadline = scope_cancelled(b->scope) == -ETIMEDOUT;

    record_write(out,
                 &(struct record){
                     .index = index,
                     .url = url_list_url(&b->urls, index),
                     .id = url_list_id(&b->urls, index),
                     .status = RECORD_CANCELLED,
                     .error_code = b->shut_down ? BYTES("shutting_down") : BYTES("cancelled"),
                     .error_message = b->shut_down ? BYTES("The daemon is shutting down")
                                      : deadline   ? BYTES("The deadline of the batch has passed")
                                                   : BYTES("The batch was cancelled"),
                     .retryable = true,
                 });
}

/* Without a `problem`: for want of memory. */
static void refuse(struct exchange *x, const struct problem *problem)
{
    struct problem out_of_memory;

    if (!problem) {
        problem_set(&out_of_memory, PROBLEM_OUT_OF_MEMORY, NULL, "The batch was not begun.");
        problem = &out_of_memory;
    }
    exchange_refuse(x, problem);
}

static size_t window_of(const struct batch *b)
{
    size_t window = b->all->config->concurrency + WINDOW_EXTRA;

    return window < b->urls.count ? window : b->urls.count;
}

/* Its part of what all may have under way. */
static size_t shared_window(const struct batch *b, uint64_t most)
{
    size_t window = window_of(b);

    return window < most ? window : (size_t)most;
}

void batches_share(struct batches *all)
{
    size_t count = 0;

    LIST_FOR (link, &all->running)
        count++;
    uint64_t window = memory_window(all->memory, count);
    if (window == all->window)
        return;
    all->window = window;
    LIST_FOR (link, &all->running) {
        const struct batch *b = CONTAINER_OF(link, struct batch, link);
        if (b->flow)
            flow_set_window(b->flow, shared_window(b, window));
    }
}

/* URLs that wait at their hosts do not count for the window. */
static size_t most_under_way(const struct batch *b)
{
    return window_of(b) + (b->options.order == ORDER_INPUT ? 0 : FLOW_WAITING_MOST);
}

static struct fetch_options fetch_options(const struct batch *b)
{
    const struct batch_options *o = &b->options;

    return (struct fetch_options){
        .timeout_ms = (unsigned)o->timeout_ms,
        .max_page_bytes = o->max_page_bytes,
        .max_redirects = (unsigned)o->max_redirects,
        .retries = (unsigned)o->retries,
        .user_agent = o->user_agent,
        .headers = &o->headers,
        .insecure = o->insecure,
        .wants_type = o->any_type ? NULL : page_wants_type,
    };
}

static struct flow *new_flow(struct batch *b)
{
    struct flow_options options = {
        .per_origin = (unsigned)b->options.per_host,
        .delay_ms = b->options.host_delay_ms,
        .plan = &b->plan,
        .window = shared_window(b, b->all->window),
        .hold_bytes = HELD_RECORDS_BYTES,
        .url = url_at,
        .begin = item_begin,
        .arg = b,
    };

    if (b->options.robots) {
        b->robots = (struct robots_policy){
            .fetcher = b->all->fetcher,
            .product = robots_product(bytes_cstr(b->options.user_agent)),
        };
        fetch_obey_robots(&options, &b->robots);
    }
    return flow_new(fetcher_schedule(b->all->fetcher), &options);
}

static bool wants_events(const struct exchange *x)
{
    return sse_is_wanted(exchange_header(x, "Accept"));
}

/* Makes what the batch runs on. False, and the client has its answer, when memory is exhausted. */
static bool begin(struct batch *b)
{
    uint64_t deadline = b->options.deadline_ms
                            ? clock_after_ms(b->started_ns, b->options.deadline_ms)
                            : CLOCK_NEVER;

    b->fetch = fetch_options(b);
    b->scope = scope_new(deadline, 0);
    b->flow = new_flow(b);
    if (b->scope && b->flow)
        b->stream = stream_new(b->x, &(struct stream_options){
                                         .total = b->urls.count,
                                         .window = most_under_way(b),
                                         .order = b->options.order,
                                         .started_ns = b->started_ns,
                                         .as_events = wants_events(b->x),
                                         .heartbeat_ms = HEARTBEAT_MS,
                                         .write_missing = write_missing,
                                         .gone = client_gone,
                                         .arg = b,
                                     });
    if (!b->stream) {
        refuse(b->x, NULL);
        return false;
    }
    b->x = NULL;
    if (b->shut_down)
        scope_cancel(b->scope, -ECANCELED);
    return true;
}

/* -- feed: begins items until the flow has ended, or the scope is cancelled ---------------------
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

/* Ok when every item that was begun has ended. */
static future *feed(struct batch *b)
{
    future *run = flow_run(b->flow);

    future_drop(
        task_start_in(b->scope, &feed_task, &(struct feed){.batch = b, .run = future_ref(run)}));
    return run;
}

/* -- telling of it ----------------------------------------------------------------------------- */

struct batch_progress batch_progress(const struct batch *b)
{
    if (!b->stream)
        return (struct batch_progress){0};

    const struct record_end *counts = stream_counts(b->stream);
    return (struct batch_progress){
        .total = b->urls.count,
        .ok = counts->ok,
        .failed = counts->failed,
        .cancelled = counts->cancelled,
        .waiting = scope_cancelled(b->scope) ? 0 : b->planned - b->begun,
    };
}

static enum metric_batch_end end_of(const struct batch *b)
{
    int cancelled = b->scope ? scope_cancelled(b->scope) : 0;

    if (!b->stream)
        return BATCH_REFUSED;
    if (b->client_gone)
        return BATCH_CLIENT_GONE;
    if (b->shut_down)
        return BATCH_SHUT_DOWN;
    if (cancelled == -ETIMEDOUT)
        return BATCH_DEADLINE;
    return cancelled == -ENOMEM ? BATCH_OUT_OF_MEMORY : BATCH_COMPLETE;
}

static void count_end(const struct batch *b)
{
    metrics.batches_ended[end_of(b)]++;
    if (b->stream)
        histogram_add(&metrics.batch_us, (clock_now_ns() - b->started_ns) / 1000);
}

static void log_end(const struct batch *b)
{
    const struct record_end *counts = stream_counts(b->stream);

    log_info("batch", log_text("end", b->client_gone ? "client gone" : "complete"),
             log_unsigned("urls", b->urls.count), log_unsigned("ok", counts->ok),
             log_unsigned("failed", counts->failed),
             log_unsigned("cancelled", b->urls.count - counts->ok - counts->failed),
             log_ms("elapsed_ms", (clock_now_ns() - b->started_ns) / 1000));
}

/* -- memory ------------------------------------------------------------------------------------ */

/* What each batch takes beside its list: what waits to be sent, the connection. URLs under way are
 * measured. */
enum { BATCH_BYTES = 128 << 10 };

/*
 * Before the body is read: it may be copied (JSON), and its list is mostly shorter than that. Else
 * the client has its answer.
 */
static bool reserve_reading(struct batch *b)
{
    struct problem problem;

    exchange_take_share(b->x, &b->share);
    if (memory_reserve(b->all->memory, &b->share, 2 * b->share.filled + BATCH_BYTES))
        return true;
    memory_refuse(b->all->memory, &problem);
    refuse(b->x, &problem);
    return false;
}

/* What the list has come to, with what was made of it. */
static uint64_t list_bytes(const struct batch *b)
{
    size_t count = b->urls.count;
    size_t each = sizeof *b->urls.entries + sizeof *b->plan.next +
                  (b->twins.next ? sizeof *b->twins.next : 0);

    return b->urls.storage.len + count * each + count / 4 +
           b->plan.group_count * sizeof *b->plan.groups;
}

/* Behind that. False, and the client has its answer, when it has become too much. */
static bool reserve_list(struct batch *b)
{
    uint64_t list = list_bytes(b);
    struct problem problem;

    if (memory_reserve(b->all->memory, &b->share, list + BATCH_BYTES)) {
        memory_fill(&b->share, list);
        return true;
    }
    memory_refuse(b->all->memory, &problem);
    refuse(b->x, &problem);
    return false;
}

/* -- the task ---------------------------------------------------------------------------------- */

static void batch_free(struct batch *b)
{
    memory_release(&b->share);
    account_unref(b->account);
    twins_free(&b->twins);
    plan_free(&b->plan);
    url_list_free(&b->urls);
    options_free(&b->options);
    free(b);
}

/* False, and the client has its answer, when its token has too many URLs under way. */
static bool is_within_quota(struct batch *b)
{
    struct problem problem;

    if (quota_allows_urls(b, &problem))
        return true;
    refuse(b->x, &problem);
    return false;
}

struct batch_frame {
    struct batch *batch;
    future *read, *fed, *ended, *streamed;
};

static int batch_step(task *t, void *frame)
{
    struct batch_frame *s = frame;
    struct batch *b = s->batch;

    BEGIN(t);
    log_tag_batch(b->number);
    log_tag_trace(b->trace_id);
    AWAIT(t, s->read, intake(b));
    if (!future_ok(s->read)) {
        refuse(b->x, future_value(s->read));
        return TASK_FINISHED;
    }
    if (!is_within_quota(b) || !reserve_list(b) || !begin(b))
        return TASK_FINISHED;
    AWAIT(t, s->fed, feed(b));
    AWAIT(t, s->ended, scope_close(b->scope));
    AWAIT(t, s->streamed, stream_finish(b->stream));
    log_end(b);
    END(t);
}

static void batch_drop(void *frame)
{
    struct batch_frame *s = frame;
    struct batch *b = s->batch;

    future_drop(s->read);
    future_drop(s->fed);
    future_drop(s->ended);
    future_drop(s->streamed);
    list_remove(&b->link);
    count_end(b);
    stream_free(b->stream);
    scope_drop(b->scope);
    flow_free(b->flow);
    batch_free(b);
}

/* Its scope is what is cancelled; the batch itself sees every record through. */
TASK(batch_task, ON_LOOP, sizeof(struct batch_frame), .step = batch_step, .drop = batch_drop,
     .catches_cancel = true);

void batch_start(struct batches *all, struct exchange *x, struct account *account)
{
    struct batch *b = calloc(1, sizeof *b);
    struct problem problem;

    if (!b) {
        refuse(x, NULL);
        return;
    }
    b->all = all;
    b->account = account_ref(account);
    b->number = ++all->started;
    b->x = x;
    b->started_ns = clock_now_ns();
    options_init(&b->options, all->config);
    if (!quota_allows_batch(all, account, &problem) ||
        options_from_query(&b->options, all->config, exchange_query(x), &problem) < 0) {
        refuse(x, &problem);
        batch_free(b);
        return;
    }
    if (!reserve_reading(b)) {
        batch_free(b);
        return;
    }
    memcpy(b->trace_id, exchange_trace_id(x), sizeof b->trace_id);
    exchange_set_tag(x, b->number);
    metrics.batches_started++;
    list_push_back(&all->running, &b->link);
    future *started = task_start_in(all->scope, &batch_task, &(struct batch_frame){.batch = b});
    if (future_settled(started)) /* then the batch is freed already */
        refuse(x, NULL);
    future_drop(started);
}

void batches_shut_down(struct batches *all)
{
    LIST_FOR (link, &all->running) {
        struct batch *b = CONTAINER_OF(link, struct batch, link);
        b->shut_down = true;
        cancel(b);
    }
}
