/*
 * An item: one URL of a batch, from its turn to its record.
 *
 *     fetch ─▶ parse_page ─▶ emit, once for the URL and once for each of its twins
 *
 * Of a large page the beginning is parsed while the rest still comes: see early.h.
 */
#include "core/async/task.h"
#include "parsers/parse_page.h"
#include "server/batch/early.h"
#include "server/batch/internal.h"
#include "server/batch/record.h"
#include "server/watch/metrics.h"

#include <errno.h>

enum { MAX_RATIO = 1000 };

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
    r->redirects = failure ? failure->redirects : 0;
    r->final_url = bytes_cstr(failure ? failure->final_url : NULL);
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

static void describe_page(struct record *r, field_set asked, const struct fetch_page *page,
                          const struct parsed_page *parsed)
{
    const struct response *response = page->response;

    r->status = RECORD_OK;
    r->http_status = response->http_status;
    r->fields = asked;
    r->has_title = parsed->facts.has_title;
    r->title_truncated = parsed->facts.title_truncated;
    r->title = parsed->facts.title;
    r->packed_fields = parsed->facts.fields;
    r->truncated = parsed->facts.truncated;
    r->content_type = response->content_type;
    r->charset = bytes_cstr(charset_name(parsed->facts.charset));
    r->body_bytes = response->body_bytes;
    r->body_stopped = response->stopped;
    r->http_version = response->http_version;
    r->remote_ip = bytes_cstr(response->remote_ip);
    r->timing = (struct record_timing){
        .queued_us = page->queued_us,
        .dns_us = page->timing.dns_us,
        .connect_us = page->timing.connect_us,
        .tls_us = page->timing.tls_us,
        .first_byte_us = page->timing.first_byte_us,
        .total_us = page->total_us,
        .parse_us = parsed->parse_us,
    };
}

/* -- metrics ----------------------------------------------------------------------------------- */

/* A page that was asked for, and what came of it. */
static void count_fetch(const future *page, const future *facts, struct bytes error_code)
{
    metrics_count_fetch(&metrics, error_code);
    if (!future_ok(page)) {
        const struct fetch_failure *failure = future_value(page);

        if (failure && failure->attempts > 0) /* else the URL is none that can be fetched */
            metrics.fetch_retries += failure->attempts - 1;
        if (failure && failure->total_us > 0)
            histogram_add(&metrics.fetch_us, failure->total_us);
        return;
    }
    const struct fetch_page *p = future_value(page);
    metrics_count_response(&metrics, p->response->http_status);
    metrics.fetch_retries += p->attempts - 1;
    metrics.fetch_redirects += p->redirects;
    histogram_add(&metrics.fetch_us, p->total_us);
    if (future_ok(facts)) {
        const struct parsed_page *parsed = future_value(facts);
        histogram_add(&metrics.parse_us, parsed->parse_us);
    }
}

/* -- the task ---------------------------------------------------------------------------------- */

struct item {
    struct batch *batch;
    size_t index;         /* of the URL that is fetched */
    uint32_t twin;        /* whose record is written; `index` first */
    struct ticket ticket; /* until the fetch takes it */
    struct early *early;  /* NULL: pages are read to their end */
    size_t held;          /* bytes that the record takes which was handed over */
    future *page, *look, *facts, *sent;
};

/* The record that was handed over is written. */
static void let_go(struct item *s)
{
    flow_hold(s->batch->flow, -(ptrdiff_t)s->held);
    s->held = 0;
}

/* What is asked of every page of the batch, and how much one may take. */
static struct page_request question(const struct batch *b)
{
    return (struct page_request){
        .fields = b->options.fields,
        .max_decoded_bytes = b->options.max_page_bytes,
        .max_ratio = MAX_RATIO,
    };
}

/* Whether the beginning of a page may tell all that is asked. */
static bool may_stop_early(const struct batch_options *o)
{
    return o->early_stop && !o->any_type && !(o->fields & fields_of_body());
}

static future *get(struct item *s)
{
    struct batch *b = s->batch;
    struct page_request request = question(b);

    if (may_stop_early(&b->options))
        s->early = early_new(b->scope, &request);
    return fetch(b->all->fetcher, &(struct fetch_request){
                                      .url = url_list_url(&b->urls, s->index),
                                      .options = &b->fetch,
                                      .flow = b->flow,
                                      .ticket = &s->ticket,
                                      .watch = s->early ? early_watch(s->early) : NULL,
                                  });
}

/* A beginning that is being parsed may spare the parse of the whole. */
static future *end_of_look(const struct item *s)
{
    future *look = s->early ? early_look(s->early) : NULL;

    return look ? look : future_done();
}

static future *parse(struct item *s)
{
    const struct fetch_page *page = future_value(s->page);
    const struct response *r = page->response;
    struct page_request request = question(s->batch);
    future *facts = s->early ? early_facts(s->early) : NULL;

    s->early = early_drop(s->early);
    if (facts)
        return facts;
    request.body = buffer_bytes(&r->body);
    request.content_encoding = r->content_encoding;
    request.content_type = r->content_type;
    request.url = page->final_url;
    return parse_page(s->page, &request);
}

/* Hands the record over; what it was made from goes, but for what twins need: a slow client holds
 * lines of text, not bodies. */
static future *emit(struct item *s)
{
    struct batch *b = s->batch;
    uint32_t index = s->twin;
    struct buffer line = {0};
    struct record r = {
        .index = index,
        .url = url_list_url(&b->urls, index),
        .id = url_list_id(&b->urls, index),
        .is_duplicate = index != s->index,
        .duplicate_of = s->index,
    };

    if (!future_ok(s->page)) {
        describe_failed_fetch(&r, s->page);
    } else {
        const struct fetch_page *page = future_value(s->page);
        r.attempts = page->attempts;
        r.redirects = page->redirects;
        r.final_url = page->final_url;
        fetch_page_drop_body(page);
        if (future_ok(s->facts))
            describe_page(&r, b->options.fields, page, future_value(s->facts));
        else
            describe_failed_parse(&r, s->facts);
    }
    if (!r.is_duplicate)
        count_fetch(s->page, s->facts, r.error_code);
    record_write(&line, &r);
    s->twin = twins_next(&b->twins, index);
    if (s->twin == TWINS_NONE) {
        s->page = future_drop(s->page);
        s->facts = future_drop(s->facts);
    }
    s->held = line.capacity;
    flow_hold(b->flow, (ptrdiff_t)s->held);
    return stream_emit(b->stream, index, r.status, &line);
}

static int item_step(task *t, void *frame)
{
    struct item *s = frame;

    BEGIN(t);
    AWAIT(t, s->page, get(s));
    if (future_ok(s->page)) {
        AWAIT(t, s->look, end_of_look(s));
        (void)future_error(s->look); /* a look that failed tells nothing */
        AWAIT(t, s->facts, parse(s));
    }
    while (s->twin != TWINS_NONE) {
        AWAIT(t, s->sent, emit(s));
        let_go(s);
        if (!future_ok(
                s->sent)) /* no memory for a record: give the batch back, as far as it came */
            scope_cancel(s->batch->scope, -ENOMEM);
    }
    END(t);
}

static void item_drop(void *frame)
{
    struct item *s = frame;

    schedule_leave(&s->ticket, TURN_UNUSED, 0);
    early_drop(s->early);
    future_drop(s->page);
    future_drop(s->look);
    future_drop(s->facts);
    future_drop(s->sent);
    let_go(s);
    if (s->twin == s->index) /* it has no record: it was cancelled */
        metrics.fetches[s->batch->shut_down ? OUTCOME_SHUTTING_DOWN : OUTCOME_CANCELLED]++;
    flow_ended(s->batch->flow);
}

TASK(item_task, ON_LOOP, sizeof(struct item), .step = item_step, .drop = item_drop);

void item_begin(void *batch, size_t index, struct ticket *t)
{
    struct batch *b = batch;
    struct item item = {.batch = b, .index = index, .twin = (uint32_t)index, .ticket = *t};

    b->begun++;
    future_drop(task_start_in(b->scope, &item_task, &item));
}
