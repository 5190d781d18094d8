#include "core/base/clock.h"
#include "server/http/internal.h"
#include "server/problem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* -- life -------------------------------------------------------------------------------------- */

static void fail_room(struct exchange *x)
{
    if (x->room) {
        promise_fail(x->room, -EPIPE, NULL, NULL);
        x->room = promise_drop(x->room);
    }
}

/* Frees the exchange unless one of the two sides, or the posted job, still needs it. */
static void release(struct exchange *x)
{
    if (x->mhd || x->held || x->gone_posted)
        return;

    list_remove(&x->link);
    if (x->server && x->begun && --x->server->exchange_count == 0)
        http_settle_idle(x->server);
    fail_room(x);
    http_outbox_free(&x->outbox);
    buffer_free(&x->body);
    memory_release(&x->share);
    free(x);
}

static void gone_job(struct job *job)
{
    struct exchange *x = CONTAINER_OF(job, struct exchange, gone_job);

    x->gone_posted = false;
    if (x->held) { /* else exchange_end() came in between */
        x->held = false;
        x->gone(x->gone_arg);
    }
    release(x);
}

void exchange_leave(struct exchange *x)
{
    if (x->left)
        return;
    x->left = true;
    http_outbox_free(&x->outbox);
    fail_room(x);
    if (x->held) {
        x->gone_posted = true;
        loop_post(&x->gone_job);
    }
}

struct exchange *exchange_new(struct connection *c, struct MHD_Connection *mhd, struct bytes target)
{
    struct exchange *x = calloc(1, sizeof *x + target.len);

    if (!x)
        return NULL;
    x->server = c->server;
    x->connection = c;
    x->mhd = mhd;
    x->gone_job.run = gone_job;
    x->began_ns = clock_now_ns();
    list_init(&x->link);
    list_init(&x->wake);
    x->target_len = target.len;
    if (target.len > 0)
        memcpy(x->target, target.ptr, target.len);
    return x;
}

/* What the client was answered. */
static int seen_status(const struct exchange *x)
{
    if (x->connection->refused)
        return x->connection->refused;
    return x->status ? x->status : HTTP_CLIENT_GONE;
}

/* Tells the application, as long as all is there that it may want to know. */
static void tell_end(const struct exchange *x, bool sent)
{
    const struct http_application *a = &x->server->application;

    if (!x->begun || !a->ended)
        return;
    a->ended(x,
             &(struct http_end){
                 .status = seen_status(x),
                 .body_bytes = x->status ? x->sent_bytes : 0,
                 .duration_us = (clock_now_ns() - x->began_ns) / 1000,
                 .is_complete = sent || x->connection->refused,
                 .remote = x->connection->remote,
             },
             a->arg);
}

void exchange_completed(struct exchange *x, bool sent)
{
    tell_end(x, sent);
    list_remove(&x->wake);
    connection_watch_end(x->connection); /* for the next request */
    x->mhd = NULL;
    x->connection = NULL;
    x->suspended = false;
    if (x->streaming && !x->ended)
        exchange_leave(x);
    release(x);
}

/* -- the request ------------------------------------------------------------------------------- */

enum {
    /* A body that means nothing: small, as everyone may send one, and it waits in memory. */
    UNREAD_BODY_MOST = 64 << 10,
    /*
     * So much is allocated at once for a body of known length. What of it does not come takes
     * address space alone, and what is larger grows without being copied (mremap).
     */
    BODY_AT_ONCE = 4 << 20,
};

/* How large the body may be. Only those of POST are read by anybody. */
static size_t body_limit(const struct exchange *x)
{
    size_t most = x->server->options.max_body_bytes;

    return strcmp(x->method, "POST") == 0 || most < UNREAD_BODY_MOST ? most : UNREAD_BODY_MOST;
}

/* What a body of so many bytes needs. */
static uint64_t memory_for(const struct exchange *x, uint64_t bytes)
{
    return bytes * (1 + x->server->options.memory_beside);
}

/* Reserves what was announced. False: there is no memory for that now. */
static bool announce_body(struct exchange *x, const struct http_head *head,
                          struct problem *ret_problem)
{
    struct memory *memory = x->server->options.memory;

    x->announced_bytes = head->content_length;
    if (!http_head_has_body(head) ||
        memory_reserve_claim(memory, &x->share, memory_for(x, head->content_length)))
        return true;
    memory_refuse(memory, ret_problem);
    return false;
}

/* Asks the rules of HTTP, the application and the limits, in this order. */
static bool is_acceptable(struct exchange *x, struct bytes method, const struct http_head *head,
                          bool *ret_sound, struct problem *ret_problem)
{
    const struct http_server *s = x->server;

    *ret_sound = http_head_check(head, method, bytes_of(x->target, x->target_len), ret_problem);
    if (!*ret_sound)
        return false;
    if (method.len >= sizeof x->method) {
        problem_set(ret_problem, PROBLEM_NOT_IMPLEMENTED, NULL, "There is no such method.");
        return false;
    }
    memcpy(x->method, method.ptr, method.len);
    if (!s->application.accepts(x, s->application.arg, ret_problem))
        return false;
    if (head->content_length > body_limit(x)) {
        problem_set(ret_problem, PROBLEM_BODY_TOO_LARGE, NULL, "The body is larger than %zu bytes.",
                    body_limit(x));
        return false;
    }
    return announce_body(x, head, ret_problem);
}

bool exchange_begin(struct exchange *x, struct bytes method, const struct http_head *head,
                    bool *ret_close)
{
    bool body_follows = http_head_has_body(head), sound;
    struct problem problem;

    x->begun = true;
    x->http_1_0 = head->http_1_0;
    trace_id_parse(exchange_header(x, "traceparent"), x->trace_id);
    list_push_back(&x->server->exchanges, &x->link);
    x->server->exchange_count++;
    http_target_split(bytes_of(x->target, x->target_len), &x->path, &x->query);
    connection_enter(x->connection, body_follows ? HTTP_BODY : HTTP_WORK);

    if (is_acceptable(x, method, head, &sound, &problem))
        return true;
    *ret_close = body_follows || !sound;
    if (*ret_close)
        x->connection->lingers = true;
    exchange_refuse(x, &problem);
    return false;
}

/* Whether the body may be `bytes` large: the rest of what was announced, or of the next step. */
static bool may_take(struct exchange *x, size_t bytes, struct problem *ret_problem)
{
    struct memory *memory = x->server->options.memory;

    if (bytes <= x->share.reserved ||
        memory_reserve_claim(memory, &x->share, memory_for(x, bytes + MEMORY_STEP)))
        return true;
    memory_refuse(memory, ret_problem);
    return false;
}

static bool take(struct exchange *x, struct bytes piece, struct problem *ret_problem)
{
    if (x->body.capacity == 0 && x->announced_bytes > piece.len)
        buffer_reserve(&x->body,
                       x->announced_bytes < BODY_AT_ONCE ? x->announced_bytes : BODY_AT_ONCE);
    buffer_append(&x->body, piece.ptr, piece.len);
    memory_fill(&x->share, x->body.len);
    if (!x->body.failed)
        return true;
    problem_set(ret_problem, PROBLEM_OUT_OF_MEMORY, NULL, "There is no memory for the body.");
    return false;
}

bool exchange_body(struct exchange *x, struct bytes piece)
{
    struct problem problem;
    size_t limit = body_limit(x);

    http_deadline_progress(&x->connection->deadline, piece.len);
    if (piece.len > limit - x->body.len)
        problem_set(&problem, PROBLEM_BODY_TOO_LARGE, NULL, "The body is larger than %zu bytes.",
                    limit);
    else if (may_take(x, x->body.len + piece.len, &problem) && take(x, piece, &problem))
        return true;
    connection_refuse(x->connection, &problem);
    x->connection->lingers = true;
    return false;
}

void exchange_hand_over(struct exchange *x)
{
    if (x->handed || x->response || x->cut)
        return;
    x->handed = x->held = true;
    connection_enter(x->connection, HTTP_WORK);
    x->server->application.handle(x, x->server->application.arg);
}

struct bytes exchange_method(const struct exchange *x)
{
    return bytes_cstr(x->method);
}

struct bytes exchange_path(const struct exchange *x)
{
    return x->path;
}

struct bytes exchange_query(const struct exchange *x)
{
    return x->query;
}

const char *exchange_trace_id(const struct exchange *x)
{
    return x->trace_id;
}

void exchange_set_tag(struct exchange *x, uint64_t tag)
{
    x->tag = tag;
}

uint64_t exchange_tag(const struct exchange *x)
{
    return x->tag;
}

struct buffer exchange_take_body(struct exchange *x)
{
    struct buffer body = x->body;

    x->body = (struct buffer){0};
    return body;
}

void exchange_take_share(struct exchange *x, struct memory_share *ret)
{
    memory_move(&x->share, ret);
}

/* -- whole answers ----------------------------------------------------------------------------- */

void exchange_respond(struct exchange *x, int status, const char *content_type,
                      const struct http_field *fields, struct buffer *body)
{
    x->held = false;
    if (!x->mhd) {
        buffer_free(body);
        release(x);
    } else if (http_make_whole(x, status, content_type, fields, body) < 0) {
        http_cut(x);
    } else {
        http_wake(x);
    }
}

void exchange_refuse(struct exchange *x, const struct problem *problem)
{
    char retry_after[12];
    struct http_field fields[4] = {{0}};
    size_t count = 0;
    struct buffer body = {0};

    if (problem->allow)
        fields[count++] = (struct http_field){"Allow", problem->allow};
    if (problem->retry_after_s > 0) {
        snprintf(retry_after, sizeof retry_after, "%u", problem->retry_after_s);
        fields[count++] = (struct http_field){"Retry-After", retry_after};
    }
    if (problem->challenge) /* RFC 9110 section 15.5.2 demands it of a 401 */
        fields[count++] = (struct http_field){"WWW-Authenticate", problem->challenge};
    problem_write(&body, problem);
    exchange_respond(x, problem->status, PROBLEM_CONTENT_TYPE, fields, &body);
}

/* -- streams ----------------------------------------------------------------------------------- */

static void break_off(struct exchange *x)
{
    exchange_leave(x);
    http_cut(x);
}

static void on_client_left(void *arg, int fd, uint32_t events)
{
    (void)events;
    loop_unwatch(fd); /* it would be reported again and again */
    break_off(arg);
}

void exchange_stream(struct exchange *x, int status, const char *content_type,
                     void (*gone)(void *arg), void *arg)
{
    x->streaming = true;
    x->gone = gone;
    x->gone_arg = arg;
    if (!x->mhd)
        exchange_leave(x);
    else if (loop_watch(x->connection->fd, EPOLLRDHUP, on_client_left, x) < 0 ||
             http_make_stream(x, status, content_type) < 0)
        break_off(x);
    else
        http_wake(x);
}

void exchange_write(struct exchange *x, struct bytes bytes)
{
    if (x->left)
        return;
    if (http_outbox_put(&x->outbox, bytes))
        http_wake(x);
    else
        break_off(x);
}

static bool has_room(const struct exchange *x)
{
    return http_outbox_waiting(&x->outbox) < x->server->options.stream_high_water;
}

ssize_t exchange_read(struct exchange *x, char *to, size_t max)
{
    size_t n = http_outbox_take(&x->outbox, to, max);

    x->sent_bytes += n;
    if (x->room && has_room(x)) {
        promise_resolve(x->room, NULL, NULL);
        x->room = promise_drop(x->room);
    }
    if (n > 0)
        return (ssize_t)n;
    return x->ended ? -ENODATA : -EAGAIN;
}

future *exchange_room(struct exchange *x)
{
    future *room;

    if (!x->left && has_room(x))
        return future_done();

    promise *p = promise_new(&room);
    if (!p)
        return future_out_of_memory();
    if (x->left) {
        promise_fail(p, -EPIPE, NULL, NULL);
        promise_drop(p);
    } else {
        promise_drop(x->room); /* one that was cancelled */
        x->room = p;
    }
    return room;
}

void exchange_ending(struct exchange *x)
{
    if (x->mhd && !x->left)
        connection_enter(x->connection, HTTP_SEND);
}

void exchange_end(struct exchange *x)
{
    x->ended = true;
    x->held = false;
    if (x->mhd && !x->left) {
        loop_unwatch(x->connection->fd); /* a client may half-close while it reads the rest */
        exchange_ending(x);
        http_wake(x);
    }
    release(x);
}
