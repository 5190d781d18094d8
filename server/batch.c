#include "server/batch.h"

#include "core/async/map.h"
#include "core/async/task.h"
#include "core/base/clock.h"
#include "parsers/parse_page.h"
#include "server/intake.h"
#include "server/log.h"
#include "server/options.h"
#include "server/problem.h"
#include "server/record.h"
#include "server/stream.h"

#include <errno.h>
#include <stdlib.h>

/* Items under way beyond the fetches that can be: those that parse and those that wait to emit. */
enum { WINDOW_EXTRA = 64, MAX_RATIO = 1000 };

struct batch {
    struct batches *all;
    struct list link;   /* in all->running */
    struct exchange *x; /* until the answer begins */
    struct batch_options options;
    struct fetch_options fetch;
    struct url_list urls;
    struct scope *scope;
    struct stream *stream;
    uint64_t number; /* counts the batches of this daemon; on its log lines */
    uint64_t started_ns;
    bool client_gone, shut_down;
};

/* -- intake: reading the body blocks, so it is done on a thread -------------------------------- */

struct intake {
    struct batch *batch; /* nobody else touches it until this has ended */
    struct buffer body;
    struct buffer content_type; /* a copy: the connection may end meanwhile */
};

static void problem_free(void *value)
{
    free(value);
}

static void intake_run(task *t, void *frame)
{
    struct intake *in = frame;
    struct batch *b = in->batch;
    struct problem problem;

    if (intake_parse(&in->body, buffer_bytes(&in->content_type), b->all->config, &b->options,
                     &b->urls, &problem) == 0)
        return;
    struct problem *detail = malloc(sizeof *detail);
    if (detail)
        *detail = problem;
    task_fail(t, -EINVAL, detail, problem_free);
}

static void intake_drop(void *frame)
{
    struct intake *in = frame;

    buffer_free(&in->body);
    buffer_free(&in->content_type);
}

TASK(intake_task, ON_THREAD, sizeof(struct intake), .run = intake_run, .drop = intake_drop);

static future *intake(struct batch *b)
{
    struct intake in = {.batch = b, .body = exchange_take_body(b->x)};
    struct bytes type = exchange_header(b->x, "Content-Type");

    buffer_append(&in.content_type, type.ptr, type.len);
    return task_start(&intake_task, &in);
}

/* -- records ----------------------------------------------------------------------------------- */

static void describe_failure(struct record *r, const char *code, const char *message,
                             bool retryable)
{
    r->status = RECORD_FAILED;
    r->error_code = bytes_cstr(code);
    r->error_message = bytes_cstr(message);
    r->retryable = retryable;
}

static void describe_failed_fetch(struct record *r, const future *page)
{
    const struct fetch_failure *failure = future_value(page);
    int code = future_error(page);

    r->attempts = failure ? failure->attempts : 1;
    describe_failure(r, fetch_code_name(code),
                     failure ? failure->message : fetch_code_message(code),
                     failure && failure->retryable);
}

static void describe_failed_parse(struct record *r, const future *facts)
{
    const char *code, *message;

    parse_page_failure(facts, &code, &message);
    describe_failure(r, code, message, false);
}

static void describe_page(struct record *r, const struct fetch_page *page,
                          const struct parsed_page *parsed)
{
    const struct response *response = page->response;
    const struct transfer_timing *timing = &response->timing;

    r->status = RECORD_OK;
    r->http_status = response->http_status;
    r->final_url = page->final_url;
    r->has_title = parsed->facts.has_title;
    r->title_truncated = parsed->facts.title_truncated;
    r->title = parsed->facts.title;
    r->content_type = response->content_type;
    r->charset = bytes_cstr(charset_name(parsed->facts.charset));
    r->body_bytes = response->body.len;
    r->redirects = page->redirects;
    r->http_version = response->http_version;
    r->remote_ip = bytes_cstr(response->remote_ip);
    r->timing = (struct record_timing){
        .queued_us = page->queued_us,
        .dns_us = timing->dns_us,
        .connect_us = timing->connect_us,
        .tls_us = timing->tls_us,
        .first_byte_us = timing->first_byte_us,
        .total_us = page->total_us,
        .parse_us = parsed->parse_us,
    };
}

/* -- item: one URL ----------------------------------------------------------------------------- */

struct item {
    struct batch *batch;
    size_t index;
    future *page, *facts, *sent;
};

static future *parse(struct item *s)
{
    const struct fetch_page *page = future_value(s->page);
    const struct response *r = page->response;

    return parse_page(s->page, &(struct page_request){
                                   .body = buffer_bytes(&r->body),
                                   .content_encoding = r->content_encoding,
                                   .content_type = r->content_type,
                                   .max_decoded_bytes = s->batch->options.max_page_bytes,
                                   .max_ratio = MAX_RATIO,
                               });
}

/* Hands the record over, and gives back what it was made from: a slow client holds no bodies. */
static future *emit(struct item *s)
{
    struct batch *b = s->batch;
    struct buffer line = {0};
    struct record r = {
        .index = s->index,
        .url = url_list_url(&b->urls, s->index),
        .id = url_list_id(&b->urls, s->index),
    };

    if (!future_ok(s->page)) {
        describe_failed_fetch(&r, s->page);
    } else {
        const struct fetch_page *page = future_value(s->page);
        r.attempts = page->attempts;
        if (future_ok(s->facts))
            describe_page(&r, page, future_value(s->facts));
        else
            describe_failed_parse(&r, s->facts);
    }
    record_write(&line, &r);
    s->page = future_drop(s->page);
    s->facts = future_drop(s->facts);
    return stream_emit(b->stream, s->index, r.status, &line);
}

static int item_step(task *t, void *frame)
{
    struct item *s = frame;
    struct batch *b = s->batch;

    BEGIN(t);
    AWAIT(t, s->page, fetch(b->all->fetcher, url_list_url(&b->urls, s->index), &b->fetch));
    if (future_ok(s->page))
        AWAIT(t, s->facts, parse(s));
    AWAIT(t, s->sent, emit(s));
    if (!future_ok(s->sent)) /* no memory for a record: give the batch back, as far as it came */
        scope_cancel(b->scope, -ENOMEM);
    END(t);
}

static void item_drop(void *frame)
{
    struct item *s = frame;

    future_drop(s->page);
    future_drop(s->facts);
    future_drop(s->sent);
}

TASK(item_task, ON_LOOP, sizeof(struct item), .step = item_step, .drop = item_drop);

static future *item_start(void *arg, size_t index)
{
    return task_start(&item_task, &(struct item){.batch = arg, .index = index});
}

/* -- batch ------------------------------------------------------------------------------------- */

static void client_gone(void *arg)
{
    struct batch *b = arg;

    b->client_gone = true;
    scope_cancel(b->scope, -ECANCELED);
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

/* Makes the scope and the stream. False, and the client has its answer, when memory is exhausted.
 */
static bool begin(struct batch *b)
{
    size_t window = window_of(b);
    uint64_t deadline = b->options.deadline_ms
                            ? clock_after_ms(b->started_ns, b->options.deadline_ms)
                            : CLOCK_NEVER;

    b->fetch = (struct fetch_options){
        .timeout_ms = (unsigned)b->options.timeout_ms,
        .max_page_bytes = b->options.max_page_bytes,
        .max_redirects = (unsigned)b->options.max_redirects,
        .retries = (unsigned)b->options.retries,
        .per_origin = (unsigned)b->options.per_host,
        .user_agent = b->options.user_agent,
    };
    b->scope = scope_new(deadline, 0);
    if (b->scope)
        b->stream = stream_new(b->x, &(struct stream_options){
                                         .total = b->urls.count,
                                         .window = window,
                                         .order = b->options.order,
                                         .started_ns = b->started_ns,
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

static void log_end(const struct batch *b)
{
    const struct record_end *counts = stream_counts(b->stream);

    log_info("batch", log_text("end", b->client_gone ? "client gone" : "complete"),
             log_unsigned("urls", b->urls.count), log_unsigned("ok", counts->ok),
             log_unsigned("failed", counts->failed),
             log_unsigned("cancelled", b->urls.count - counts->ok - counts->failed),
             log_ms("elapsed_ms", (clock_now_ns() - b->started_ns) / 1000));
}

struct batch_frame {
    struct batch *batch;
    future *read, *mapped, *ended, *streamed;
};

static int batch_step(task *t, void *frame)
{
    struct batch_frame *s = frame;
    struct batch *b = s->batch;

    BEGIN(t);
    log_tag_batch(b->number);
    AWAIT(t, s->read, intake(b));
    if (!future_ok(s->read)) {
        refuse(b->x, future_value(s->read));
        return TASK_FINISHED;
    }
    if (!begin(b))
        return TASK_FINISHED;
    AWAIT(t, s->mapped, map_in(b->scope, b->urls.count, window_of(b), item_start, b));
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
    future_drop(s->mapped);
    future_drop(s->ended);
    future_drop(s->streamed);
    list_remove(&b->link);
    stream_free(b->stream);
    scope_drop(b->scope);
    url_list_free(&b->urls);
    options_free(&b->options);
    free(b);
}

/* Its scope is what is cancelled; the batch itself sees every record through. */
TASK(batch_task, ON_LOOP, sizeof(struct batch_frame), .step = batch_step, .drop = batch_drop,
     .catches_cancel = true);

void batch_start(struct batches *all, struct exchange *x)
{
    struct batch *b = calloc(1, sizeof *b);
    struct problem problem;

    if (!b) {
        refuse(x, NULL);
        return;
    }
    b->all = all;
    b->number = ++all->started;
    b->x = x;
    b->started_ns = clock_now_ns();
    options_init(&b->options, all->config);
    if (options_from_query(&b->options, all->config, exchange_query(x), &problem) < 0) {
        refuse(x, &problem);
        options_free(&b->options);
        free(b);
        return;
    }
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
        if (b->scope)
            scope_cancel(b->scope, -ECANCELED);
    }
}
