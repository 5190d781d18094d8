#include "core/fetch/transfer.h"

#include "core/fetch/engine_internal.h"
#include "core/fetch/handle.h"
#include "core/fetch/head.h"
#include "core/fetch/response.h"
#include "core/fetch/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct transfer {
    struct list link; /* in engine.idle or engine.busy */
    struct engine *engine;
    struct handle handle;
    struct route route;
    promise *promise; /* NULL: idle */
    struct held_response *held;
    struct transfer_request request;
    struct head head;
    const char *head_fault; /* what is wrong with it; NULL: nothing */
    bool body_begun, unwanted, too_large, reached, stopped;
    bool discarded; /* the body is of no more use, but its end is waited for */
    bool paused;    /* until a large body has its place */
    char message[CURL_ERROR_SIZE];
};

/* -- head and body ----------------------------------------------------------------------------- */

/* The head is complete. False: the transfer ends here. */
static bool read_head(struct transfer *t)
{
    const struct transfer_request *q = &t->request;
    struct response *r = &t->held->response;

    if (!response_read_head(r, t->handle.easy))
        return false;
    r->is_tls = q->target->is_tls;
    r->is_last = q->last;
    r->announced_bytes = head_body_length(&t->head);
    t->unwanted = response_is_redirect(r) || (q->wants_type && !q->wants_type(r->content_type));
    /* CURLOPT_MAXFILESIZE would not wait for the type. */
    t->too_large =
        !t->unwanted && r->announced_bytes > 0 && (uint64_t)r->announced_bytes > q->max_body_bytes;
    return !t->too_large;
}

/* For each line of a head, the empty one too, and for each trailer. */
static size_t on_head_line(char *line, size_t one, size_t length, void *arg)
{
    struct transfer *t = arg;
    bool was_complete = t->head.is_complete;

    (void)one;
    t->head_fault = head_take_line(&t->head, bytes_of(line, length));
    if (t->head_fault || (t->head.is_complete && !was_complete && !read_head(t)))
        return CURL_WRITEFUNC_ERROR;
    return length;
}

/* There is a body. False: it is not waited for. */
static bool begin_body(struct transfer *t, size_t length)
{
    struct response *r = &t->held->response;

    t->body_begun = true;
    if (t->unwanted)
        t->stopped = r->announced_bytes < 0 || r->announced_bytes > UNWANTED_READ_MAX;
    else if (r->announced_bytes > 0)
        buffer_reserve(&r->body, (size_t)r->announced_bytes);
    if (r->announced_bytes < 0 || (uint64_t)r->announced_bytes > length)
        handle_watch_speed(&t->handle, &t->engine->options);
    return !t->stopped;
}

/* False: the transfer ends here, as more is not wanted. */
static bool look_at_body(struct transfer *t)
{
    struct transfer_watch *watch = t->request.watch;
    const struct response *r = &t->held->response;

    if (!watch || t->reached || r->body.len < watch->at_bytes)
        return true;
    if (r->announced_bytes >= 0 && r->body.len >= (uint64_t)r->announced_bytes)
        return true;
    t->reached = true;
    t->stopped = !watch->reached(watch, r);
    return !t->stopped;
}

static void count_received(struct transfer *t, size_t length)
{
    t->held->response.body_bytes += length;
    t->engine->received_bytes += length;
}

static size_t on_body(char *data, size_t one, size_t length, void *arg)
{
    struct transfer *t = arg;
    struct held_response *held = t->held;
    struct response *r = &held->response;

    (void)one;
    if (!t->body_begun && !begin_body(t, length)) {
        count_received(t, length);
        return CURL_WRITEFUNC_ERROR;
    }
    if (t->unwanted) {
        count_received(t, length);
        return length;
    }
    if (length > t->request.max_body_bytes - r->body_bytes) {
        t->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (t->discarded) {
        count_received(t, length);
        return length;
    }
    t->paused =
        r->body.len + length > LARGE_BODY_BYTES && !large_body_enter(held->large, &held->place);
    if (t->paused)
        return CURL_WRITEFUNC_PAUSE; /* these bytes come again */
    buffer_append(&r->body, data, length);
    if (r->body.failed)
        return CURL_WRITEFUNC_ERROR;
    count_received(t, length);
    held->hold(held->hold_arg, (ptrdiff_t)length);
    return look_at_body(t) ? length : CURL_WRITEFUNC_ERROR;
}

/* -- ending ------------------------------------------------------------------------------------ */

/* Makes the transfer idle and gives its promise, the caller's to settle and drop. */
static promise *release(struct transfer *t)
{
    struct engine *e = t->engine;
    promise *p = t->promise;

    curl_multi_remove_handle(e->multi, t->handle.easy);
    route_end(&t->route);
    t->promise = NULL;
    if (t->request.watch)
        t->request.watch->transfer = NULL;
    if (t->held)
        response_free(&t->held->response);
    t->held = NULL;
    if (!e->handles_serve_again)
        handle_close(&t->handle);
    list_remove(&t->link);
    list_push_front(&e->idle, &t->link);
    engine_counts_idle(e, 1);
    return p;
}

/* What libcurl's result does not tell: that a callback of ours was the cause. */
static enum fetch_code code_of(const struct transfer *t, CURLcode result, enum fetch_phase phase)
{
    if (t->held->response.body.failed || t->held->response.text.failed)
        return FETCH_INTERNAL;
    if (t->stopped)
        return FETCH_OK;
    if (t->too_large)
        return FETCH_BODY_TOO_LARGE;
    /* RFC 9112 section 8: a head that the end of the connection ends is not complete. */
    if (t->head_fault || (result == CURLE_OK && !t->head.is_complete))
        return FETCH_PROTOCOL_ERROR;
    if (result == CURLE_COULDNT_CONNECT && (t->route.error || t->route.refused))
        return t->route.error ? FETCH_INTERNAL : FETCH_BLOCKED_ADDRESS;
    return fetch_code_of_curl(result, phase);
}

static struct transfer_failure *describe(const struct transfer *t, enum fetch_code code,
                                         enum fetch_phase phase)
{
    struct transfer_failure *failure = malloc(sizeof *failure);

    if (!failure)
        return NULL;
    failure->phase = phase;
    failure->timing = transfer_timing_of(t->handle.easy);
    if (code == FETCH_BLOCKED_ADDRESS)
        snprintf(failure->message, sizeof failure->message, "%s: %s", fetch_code_message((int)code),
                 t->route.refused);
    else if (code == FETCH_BODY_TOO_LARGE)
        snprintf(failure->message, sizeof failure->message,
                 "The body is larger than the limit of %zu bytes", t->request.max_body_bytes);
    else if (t->head_fault)
        snprintf(failure->message, sizeof failure->message, "%s", t->head_fault);
    else if (code == FETCH_INTERNAL && t->route.error)
        snprintf(failure->message, sizeof failure->message, "No socket to connect with: %s",
                 strerrordesc_np(t->route.error));
    else
        snprintf(failure->message, sizeof failure->message, "%s",
                 t->message[0] ? t->message : fetch_code_message((int)code));
    return failure;
}

/* Takes the response out, complete. */
static struct response *take_response(struct transfer *t)
{
    struct held_response *held = t->held;
    struct response *r = &held->response;

    r->timing = transfer_timing_of(t->handle.easy);
    r->stopped = t->stopped;
    engine_note_body(t->engine, r->body_bytes);
    large_body_wait_no_more(&held->place); /* one that was stopped may have waited to go on */
    held->transfer = NULL;
    t->held = NULL;
    return r;
}

static void finish(struct transfer *t, CURLcode result)
{
    if (t->unwanted && result != CURLE_OK) /* what is cut off is of no use */
        t->stopped = true;
    enum fetch_phase phase = fetch_phase_of_curl(t->handle.easy);
    enum fetch_code code = code_of(t, result, phase);
    struct response *r = code == FETCH_OK ? take_response(t) : NULL;
    struct transfer_failure *failure = NULL;

    if (code == FETCH_OK && !r)
        code = FETCH_INTERNAL;
    if (!r)
        failure = describe(t, code, phase);

    promise *p = release(t);
    if (r)
        promise_resolve(p, r, response_free);
    else
        promise_fail(p, (int)code, failure, free);
    promise_drop(p);
}

static bool connect_again(struct transfer *t, CURLcode result)
{
    if (!route_try_again(&t->route, result, t->handle.easy))
        return false;
    t->message[0] = '\0';
    curl_multi_remove_handle(t->engine->multi, t->handle.easy);
    return curl_multi_add_handle(t->engine->multi, t->handle.easy) == CURLM_OK;
}

void transfer_ended(CURL *easy, CURLcode result)
{
    struct transfer *t = NULL;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&t);
    if (!connect_again(t, result))
        finish(t, result);
}

/* Hands what was held back to on_body before it returns, and fails as that does. */
static void resume(struct transfer *t)
{
    CURLcode result = curl_easy_pause(t->handle.easy, CURLPAUSE_CONT);

    if (result != CURLE_OK)
        finish(t, result);
}

/* The body has a place, so what was held back may come. */
static void go_on(struct large_body *body)
{
    struct transfer *t = CONTAINER_OF(body, struct held_response, place)->transfer;

    engine_collect(t->engine); /* it may have timed out while it waited */
    if (t->promise)
        resume(t);
}

void transfer_abort_all(struct engine *e)
{
    LIST_FOR (link, &e->busy) {
        finish(CONTAINER_OF(link, struct transfer, link), CURLE_ABORTED_BY_CALLBACK);
    }
}

/* What is under way; NULL: nothing any more. */
static struct transfer *watched(const struct transfer_watch *watch)
{
    if (watch->transfer)
        engine_collect(watch->transfer->engine); /* it may be complete */
    return watch->transfer;
}

void transfer_stop(struct transfer_watch *watch)
{
    struct transfer *t = watched(watch);

    if (t) {
        t->stopped = true;
        finish(t, CURLE_OK);
    }
}

void transfer_discard_body(struct transfer_watch *watch)
{
    struct transfer *t = watched(watch);

    if (!t || t->discarded)
        return;
    t->discarded = true;
    response_drop_body(&t->held->response);
    if (t->paused)
        resume(t);
}

const struct response *transfer_so_far(const struct transfer_watch *watch)
{
    const struct transfer *t = watched(watch);

    return t ? &t->held->response : NULL;
}

struct bytes transfer_url(const struct transfer_watch *watch)
{
    return bytes_cstr(watch->transfer->request.target->url);
}

static void on_cancel(promise *p, void *arg)
{
    struct transfer *t = arg;

    release(t);
    promise_cancel(p);
    promise_drop(p);
}

/* -- starting ---------------------------------------------------------------------------------- */

static void transfer_free(struct transfer *t)
{
    handle_close(&t->handle);
    free(t);
}

void transfer_free_idle(struct engine *e, size_t keep)
{
    for (; e->idle_count > keep; e->idle_count--)
        transfer_free(CONTAINER_OF(list_pop_front(&e->idle), struct transfer, link));
}

static bool set_callbacks(struct transfer *t)
{
    CURL *c = t->handle.easy;

    return curl_easy_setopt(c, CURLOPT_PRIVATE, t) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->message) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_head_line) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_HEADERDATA, t) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK &&
           route_serve(&t->route, t->engine, c) == CURLE_OK;
}

static struct transfer *transfer_new(struct engine *e)
{
    struct transfer *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    list_init(&t->link);
    t->engine = e;
    return t;
}

/* An idle transfer, or a new one, in no list. NULL when memory is exhausted. */
static struct transfer *transfer_take(struct engine *e)
{
    struct list *link = list_pop_front(&e->idle);
    struct transfer *t = link ? CONTAINER_OF(link, struct transfer, link) : transfer_new(e);

    if (link)
        engine_counts_idle(e, -1);
    if (!t || t->handle.easy || (handle_open(&t->handle, e) && set_callbacks(t)))
        return t;
    transfer_free(t);
    return NULL;
}

static bool prepare(struct transfer *t, const struct transfer_request *request)
{
    t->request = *request;
    route_begin(&t->route, request->address, request->socket);
    t->head = (struct head){0};
    t->head_fault = NULL;
    t->body_begun = t->unwanted = t->too_large = t->reached = t->stopped = false;
    t->discarded = t->paused = false;
    t->message[0] = '\0';
    t->held = response_new(&t->engine->options, go_on, t);
    return t->held && handle_prepare(&t->handle, t->engine, request);
}

future *transfer_start(struct engine *e, const struct transfer_request *request)
{
    struct transfer *t = transfer_take(e);
    future *f;

    if (!t) {
        if (request->address && request->socket >= 0)
            close(request->socket);
        return future_out_of_memory();
    }
    t->promise = prepare(t, request) ? promise_new(&f) : NULL;
    if (!t->promise) {
        route_end(&t->route);
        if (t->held)
            response_free(&t->held->response);
        transfer_free(t);
        return future_out_of_memory();
    }
    promise_on_cancel(t->promise, on_cancel, t);
    if (request->watch)
        request->watch->transfer = t;
    list_push_front(&e->busy, &t->link);
    if (curl_multi_add_handle(e->multi, t->handle.easy) != CURLM_OK)
        finish(t, CURLE_FAILED_INIT);
    return f;
}
