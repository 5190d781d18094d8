/*
 * libcurl asks for sockets and one timer to be watched and is told what happened; finished
 * transfers are collected once per wake, in a job of their own, never inside a libcurl callback.
 * The loop's watches are lazy, so a connection that is reused costs no epoll_ctl.
 *
 * Easy handles are kept and used again. What is the same for every transfer is set once.
 */
#include "core/fetch/transfer.h"

#include "core/async/loop.h"
#include "core/base/clock.h"
#include "core/base/list.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* We undo these in the workers, not here. */
#define CONTENT_CODINGS "gzip, deflate, br, zstd"

enum { RECEIVE_BUFFER_BYTES = 64 * 1024 };

struct transfer {
    struct list link;   /* in engine.idle or engine.busy */
    struct list paused; /* in large_bodies.paused, while its body waits for a place */
    struct engine *engine;
    CURL *easy;
    promise *promise;
    struct response *response;
    size_t max_body_bytes;
    bool too_large;
    const char *refused; /* by the guard: why */
    int socket_error;    /* an errno: why there was no socket; 0: there was */
    char message[CURL_ERROR_SIZE];
};

struct engine {
    struct engine_options options;
    CURLM *multi;
    struct list idle, busy;
    struct timer timer;
    struct job collect;
    bool collecting; /* `collect` is queued */
    bool broken;     /* libcurl gave the handle up: it will not end its transfers by itself */
    bool closed;     /* engine_free came first: `collect` frees what is left */
    bool *ours;      /* by descriptor: open_socket made it, so close_socket will close it */
    size_t ours_size;
};

/* -- response ---------------------------------------------------------------------------------- */

static void give_place_back(struct large_bodies *large)
{
    large->free++;
    if (!list_empty(&large->paused) && !large->resuming) {
        large->resuming = true;
        loop_post(&large->resume);
    }
}

static void response_free(void *value)
{
    struct response *r = value;

    r->options->hold(r->options->hold_arg, -(ptrdiff_t)r->body.len);
    if (r->is_large)
        give_place_back(r->options->large);
    buffer_free(&r->body);
    buffer_free(&r->text);
    free(r);
}

static bool is_redirect(CURL *easy)
{
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 300 && status < 400;
}

static size_t on_body(char *data, size_t one, size_t length, void *arg)
{
    struct transfer *t = arg;
    struct response *r = t->response;

    (void)one;
    if (length > t->max_body_bytes - r->body.len) {
        t->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (!r->is_large && r->body.len + length > LARGE_BODY_BYTES) {
        struct large_bodies *large = r->options->large;
        if (large->free == 0) {
            list_push_back(&large->paused, &t->paused);
            return CURL_WRITEFUNC_PAUSE; /* these bytes come again */
        }
        large->free--;
        r->is_large = true;
    }
    if (r->body.len == 0) {
        curl_off_t announced = -1;
        curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
        if (announced > 0 && (uint64_t)announced <= t->max_body_bytes)
            buffer_reserve(&r->body, (size_t)announced);
    }
    buffer_append(&r->body, data, length);
    if (r->body.failed)
        return CURL_WRITEFUNC_ERROR;
    r->options->hold(r->options->hold_arg, (ptrdiff_t)length);
    return length;
}

/* Appends the first `most` values of a field, joined by ", " (RFC 9110 section 5.3). */
static size_t append_field(struct buffer *text, CURL *easy, const char *name, size_t most)
{
    struct curl_header *field;
    size_t start = text->len;

    for (size_t i = 0;
         i < most && curl_easy_header(easy, name, i, CURLH_HEADER, -1, &field) == CURLHE_OK; i++) {
        if (i > 0)
            buffer_text(text, ", ");
        buffer_text(text, field->value);
        if (field->amount == i + 1)
            break;
    }
    return text->len - start;
}

static uint64_t microseconds(CURL *easy, CURLINFO what)
{
    curl_off_t us = 0;

    curl_easy_getinfo(easy, what, &us);
    return us > 0 ? (uint64_t)us : 0;
}

static struct bytes version_name(CURL *easy)
{
    long version = 0;

    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    switch (version) {
    case CURL_HTTP_VERSION_1_0:
        return BYTES("1.0");
    case CURL_HTTP_VERSION_1_1:
        return BYTES("1.1");
    case CURL_HTTP_VERSION_2_0:
        return BYTES("2");
    case CURL_HTTP_VERSION_3:
        return BYTES("3");
    }
    return bytes_of(NULL, 0);
}

/* Takes everything over that lives in the handle. False when memory is exhausted. */
static bool complete_response(struct response *r, CURL *easy)
{
    long status = 0;
    const char *ip = NULL;
    curl_off_t retry_after = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &ip);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    r->http_status = (unsigned)status;
    r->http_version = version_name(easy);
    r->retry_after_s = retry_after > 0 && retry_after < INT32_MAX ? (unsigned)retry_after : 0;
    snprintf(r->remote_ip, sizeof r->remote_ip, "%s", ip ? ip : "");
    r->timing = (struct transfer_timing){
        .dns_us = microseconds(easy, CURLINFO_NAMELOOKUP_TIME_T),
        .connect_us = microseconds(easy, CURLINFO_CONNECT_TIME_T),
        .tls_us = microseconds(easy, CURLINFO_APPCONNECT_TIME_T),
        .first_byte_us = microseconds(easy, CURLINFO_STARTTRANSFER_TIME_T),
        .total_us = microseconds(easy, CURLINFO_TOTAL_TIME_T),
    };

    size_t type = append_field(&r->text, easy, "content-type", SIZE_MAX);
    size_t encoding = append_field(&r->text, easy, "content-encoding", SIZE_MAX);
    size_t location = is_redirect(easy) ? append_field(&r->text, easy, "location", 1) : 0;
    if (r->text.failed)
        return false;
    const char *at = r->text.ptr;
    r->content_type = bytes_of(at, type);
    r->content_encoding = bytes_of(at ? at + type : at, encoding);
    r->location = bytes_of(at ? at + type + encoding : at, location);
    return true;
}

/* -- ending ------------------------------------------------------------------------------------ */

/* Makes the transfer idle and gives its promise, the caller's to settle and drop. */
static promise *release(struct transfer *t)
{
    promise *p = t->promise;

    curl_multi_remove_handle(t->engine->multi, t->easy);
    t->promise = NULL;
    if (t->response)
        response_free(t->response);
    t->response = NULL;
    list_remove(&t->paused);
    list_remove(&t->link);
    list_push_front(&t->engine->idle, &t->link);
    return p;
}

/* What libcurl's result does not tell: that a callback of ours was the cause. */
static enum fetch_code code_of(const struct transfer *t, CURLcode result, enum fetch_phase phase)
{
    if (t->too_large)
        return FETCH_BODY_TOO_LARGE;
    if (t->response->body.failed)
        return FETCH_INTERNAL;
    if (result == CURLE_COULDNT_CONNECT && t->socket_error)
        return FETCH_INTERNAL;
    if (result == CURLE_COULDNT_CONNECT && t->refused)
        return FETCH_BLOCKED_ADDRESS;
    return fetch_code_of_curl(result, phase);
}

static struct transfer_failure *describe(const struct transfer *t, enum fetch_code code,
                                         enum fetch_phase phase)
{
    struct transfer_failure *failure = malloc(sizeof *failure);

    if (!failure)
        return NULL;
    failure->phase = phase;
    if (code == FETCH_BLOCKED_ADDRESS)
        snprintf(failure->message, sizeof failure->message, "%s: %s", fetch_code_message((int)code),
                 t->refused);
    else if (code == FETCH_BODY_TOO_LARGE)
        snprintf(failure->message, sizeof failure->message,
                 "The body is larger than the limit of %zu bytes", t->max_body_bytes);
    else if (code == FETCH_INTERNAL && t->socket_error)
        snprintf(failure->message, sizeof failure->message, "No socket to connect with: %s",
                 strerrordesc_np(t->socket_error));
    else
        snprintf(failure->message, sizeof failure->message, "%s",
                 t->message[0] ? t->message : fetch_code_message((int)code));
    return failure;
}

static void finish(struct transfer *t, CURLcode result)
{
    enum fetch_phase phase = fetch_phase_of_curl(t->easy);
    enum fetch_code code = code_of(t, result, phase);
    struct response *r = NULL;
    struct transfer_failure *failure = NULL;

    if (code == FETCH_OK && !complete_response(t->response, t->easy))
        code = FETCH_INTERNAL;
    if (code == FETCH_OK) {
        r = t->response;
        t->response = NULL;
    } else {
        failure = describe(t, code, phase);
    }

    promise *p = release(t);
    if (r)
        promise_resolve(p, r, response_free);
    else
        promise_fail(p, (int)code, failure, free);
    promise_drop(p);
}

/* Ends the transfers that libcurl is done with. */
static void end_finished(struct engine *e)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(e->multi, &left))) {
        struct transfer *t = NULL;
        CURLcode result = message->data.result; /* finish() ends the message's life */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        finish(t, result);
    }
}

static void collect(struct job *job)
{
    struct engine *e = CONTAINER_OF(job, struct engine, collect);

    e->collecting = false;
    if (e->closed) {
        free(e);
        return;
    }
    end_finished(e);
    if (e->broken) { /* it can be used again once it has no transfers */
        e->broken = false;
        LIST_FOR (link, &e->busy) {
            finish(CONTAINER_OF(link, struct transfer, link), CURLE_ABORTED_BY_CALLBACK);
        }
    }
}

static void resume_paused(struct job *job)
{
    struct large_bodies *large = CONTAINER_OF(job, struct large_bodies, resume);

    large->resuming = false;
    while (large->free > 0 && !list_empty(&large->paused)) {
        struct list *link = large->paused.next;
        struct transfer *t = CONTAINER_OF(link, struct transfer, paused);
        end_finished(t->engine); /* it may have timed out while it waited */
        if (large->paused.next != link)
            continue;
        assert(t->response); /* what is paused is under way */
        list_remove(link);
        large->free--;
        t->response->is_large = true;
        /* Hands what was held back to on_body before it returns, and fails as that does. */
        CURLcode result = curl_easy_pause(t->easy, CURLPAUSE_CONT);
        if (result != CURLE_OK)
            finish(t, result);
    }
}

void large_bodies_init(struct large_bodies *large, unsigned places)
{
    *large = (struct large_bodies){.free = places, .resume.run = resume_paused};
    list_init(&large->paused);
}

static void on_cancel(promise *p, void *arg)
{
    struct transfer *t = arg;

    release(t);
    promise_cancel(p);
    promise_drop(p);
}

/* -- libcurl on the loop ----------------------------------------------------------------------- */

static void act(struct engine *e, curl_socket_t fd, int events)
{
    int running;

    if (curl_multi_socket_action(e->multi, fd, events, &running) != CURLM_OK)
        e->broken = true;
    if (!e->collecting) {
        e->collecting = true;
        loop_post(&e->collect);
    }
}

static void on_ready(void *arg, int fd, uint32_t events)
{
    int mask = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
               (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

    act(arg, fd, mask);
}

static void on_timer(struct timer *timer)
{
    act(CONTAINER_OF(timer, struct engine, timer), CURL_SOCKET_TIMEOUT, 0);
}

static bool is_ours(const struct engine *e, int fd)
{
    return (size_t)fd < e->ours_size && e->ours[fd];
}

/* False when memory is exhausted. */
static bool set_ours(struct engine *e, int fd)
{
    if ((size_t)fd >= e->ours_size) {
        size_t size = 2 * (size_t)fd + 64;
        bool *grown = realloc(e->ours, size * sizeof *grown);
        if (!grown)
            return false;
        memset(grown + e->ours_size, 0, (size - e->ours_size) * sizeof *grown);
        e->ours = grown;
        e->ours_size = size;
    }
    e->ours[fd] = true;
    return true;
}

/*
 * The watch of a connection that waits for its next transfer is left in place, as close_socket
 * will tell of its end. libcurl's own descriptors (the resolver's) are closed without a word.
 */
static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    struct engine *e = arg;

    (void)easy;
    (void)unused;
    if (what != CURL_POLL_REMOVE)
        return loop_watch(fd, events, on_ready, e) < 0 ? -1 : 0; /* -1: see engine.broken */
    if (is_ours(e, fd))
        loop_unwatch(fd);
    else
        loop_forget(fd);
    return 0;
}

static int timer_wanted(CURLM *multi, long ms, void *arg)
{
    struct engine *e = arg;

    (void)multi;
    if (ms < 0) {
        timer_clear(&e->timer);
        return 0;
    }
    return timer_set(&e->timer, clock_after_ms(clock_now_ns(), (uint64_t)ms)) < 0 ? -1 : 0;
}

/* Called for every connect, after the look-up, at redirects too; not for a connection used again.
 */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = arg;

    (void)purpose;
    if (!guard_allows(t->engine->options.guard, &address->addr, &t->refused))
        return CURL_SOCKET_BAD;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
        t->socket_error = errno;
        return CURL_SOCKET_BAD;
    }
    if (!set_ours(t->engine, fd)) {
        t->socket_error = ENOMEM;
        close(fd);
        return CURL_SOCKET_BAD;
    }
    return fd;
}

static int close_socket(void *arg, curl_socket_t fd)
{
    struct engine *e = arg;

    e->ours[fd] = false;
    loop_forget(fd);
    return close(fd);
}

/* -- starting ---------------------------------------------------------------------------------- */

static long http_version(void)
{
    /* libcurl 7.88 pays twice for HTTP/2 what it pays for HTTP/1.1; the 8.x series does not. */
    return curl_version_info(CURLVERSION_NOW)->version_num >= 0x080000 ? CURL_HTTP_VERSION_2TLS
                                                                       : CURL_HTTP_VERSION_1_1;
}

static CURLcode set_constant_options(struct transfer *t)
{
    CURLcode rc = CURLE_OK;
    CURL *c = t->easy;
    struct engine *e = t->engine;

#define SET(option, value)                                                                         \
    if (rc == CURLE_OK)                                                                            \
    rc = curl_easy_setopt(c, option, value)
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->message);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION,
        0L);                /* a redirect is a fetch of its own: its origin has limits too */
    SET(CURLOPT_PROXY, ""); /* none from the environment */
    SET(CURLOPT_HTTP_VERSION, http_version());
    SET(CURLOPT_ACCEPT_ENCODING, CONTENT_CODINGS);
    SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)e->options.connect_timeout_ms);
    SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER_BYTES);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a look-up that hangs must not hold the loop up at the end */
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, e); /* outlives the handle, as the connection may */
#undef SET
    return rc;
}

static void transfer_free(struct transfer *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    free(t);
}

static struct transfer *transfer_new(struct engine *e)
{
    struct transfer *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    list_init(&t->link);
    list_init(&t->paused);
    t->engine = e;
    t->easy = curl_easy_init();
    if (!t->easy || set_constant_options(t) != CURLE_OK) {
        transfer_free(t);
        return NULL;
    }
    return t;
}

static bool prepare(struct transfer *t, const struct transfer_request *request)
{
    t->max_body_bytes = request->max_body_bytes;
    t->too_large = false;
    t->refused = NULL;
    t->socket_error = 0;
    t->message[0] = '\0';
    return curl_easy_setopt(t->easy, CURLOPT_CURLU, request->target->handle) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_USERAGENT, request->user_agent) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms) == CURLE_OK &&
           curl_easy_setopt(t->easy, CURLOPT_MAXFILESIZE_LARGE,
                            (curl_off_t)request->max_body_bytes) == CURLE_OK;
}

future *transfer_start(struct engine *e, const struct transfer_request *request)
{
    struct list *link = list_pop_front(&e->idle);
    struct transfer *t = link ? CONTAINER_OF(link, struct transfer, link) : transfer_new(e);
    future *f;

    if (!t)
        return future_out_of_memory();
    list_push_front(&e->idle, &t->link);
    struct response *r = calloc(1, sizeof *r);
    promise *p = r && prepare(t, request) ? promise_new(&f) : NULL;
    if (!p) {
        free(r);
        return future_out_of_memory();
    }
    r->options = &e->options;
    t->response = r;
    t->promise = p;
    promise_on_cancel(p, on_cancel, t);
    list_remove(&t->link);
    list_push_front(&e->busy, &t->link);
    if (curl_multi_add_handle(e->multi, t->easy) != CURLM_OK) {
        p = release(t);
        promise_fail(p, FETCH_INTERNAL, NULL, NULL);
        promise_drop(p);
    }
    return f;
}

/* -- life -------------------------------------------------------------------------------------- */

struct engine *engine_new(const struct engine_options *options)
{
    struct engine *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->multi = curl_multi_init();
    if (!e->multi) {
        free(e);
        return NULL;
    }
    e->options = *options;
    list_init(&e->idle);
    list_init(&e->busy);
    e->timer.fire = on_timer;
    e->collect.run = collect;
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
    /* The default, four times the transfers of the moment, closes what would be used again. */
    curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)options->max_connections);
    return e;
}

struct engine *engine_free(struct engine *e)
{
    if (!e)
        return NULL;
    for (struct list *link; (link = list_pop_front(&e->idle));)
        transfer_free(CONTAINER_OF(link, struct transfer, link));
    curl_multi_cleanup(e->multi);
    free(e->ours);
    timer_clear(&e->timer);
    e->closed = true;
    if (!e->collecting)
        free(e);
    return NULL;
}
