/*
 * One connection of the test origin: a small state machine that the loop drives.
 *
 *            complete head               body swallowed, gate open
 *  READ_HEAD ─────────────▶ SWALLOW_BODY ───────┬──────▶ SEND ─────▶ READ_HEAD (keep-alive)
 *                                               │         ▲  │
 *                                               ▼  gate   │  ├─────▶ closed by FIN or RST
 *                                              HELD ──────┘  └─────▶ DRAIN ──▶ closed by the peer
 *
 * SEND waits for room in the socket, or for the moment when the next byte may go.
 */
#include "tests/support/origin_loop.h"

#include "core/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEAD_MAX = 64 * 1024,    /* the longest request head */
    READ_BYTES = 16 * 1024,  /* asked for in one recv() */
    TURN_BYTES = 256 * 1024, /* sent to one connection before the others have their turn */
};

/* What a step of a connection came to. */
enum outcome {
    GO_ON,   /* do the phase's next step at once */
    BLOCKED, /* wait for epoll, the timer or the gate */
    ENDED,   /* close the connection */
};

static void leave_flight(struct origin *o, struct connection *c)
{
    if (c->in_flight)
        origin_add(o, ORIGIN_IN_FLIGHT, -1);
    c->in_flight = false;
}

void connection_end(struct origin *o, struct connection *c)
{
    if (c->phase == HELD)
        origin_add(o, ORIGIN_HELD, -1);
    leave_flight(o, c);
    list_remove(&c->link);
    list_remove(&c->waiting);
    close(c->fd);
    answer_free(&c->answer);
    buffer_free(&c->in);
    free(c);
    origin_add(o, ORIGIN_OPEN, -1);
    origin_accept_again(o);
}

/* Receives into `c->in`: GO_ON when there is more than before. */
static enum outcome receive(struct connection *c)
{
    if (!buffer_reserve(&c->in, READ_BYTES))
        return ENDED;
    ssize_t got = recv(c->fd, c->in.ptr + c->in.len, READ_BYTES, 0);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR) ? BLOCKED : ENDED;
    c->in.len += (size_t)got;
    return GO_ON;
}

/* Makes the answer to the head that is complete in the first `len` bytes of `c->in`. */
static int begin_answer(struct origin *o, struct connection *c, size_t len)
{
    struct request request = {0};
    struct bytes head = bytes_of(c->in.ptr, len);

    if (c->site)
        return script_begin(o, c, head);

    int error = request_parse(head, &request);
    c->body_left = error ? 0 : request.body_bytes;
    if (error == -ENOTSUP)
        return answer_refuse(501, &c->answer);
    if (error)
        return answer_refuse(400, &c->answer);
    return answer_make(&o->source, &request, &c->answer);
}

static enum outcome read_head(struct origin *o, struct connection *c)
{
    static const char empty_line[] = "\r\n\r\n";
    const char *end = c->in.len ? memmem(c->in.ptr, c->in.len, empty_line, 4) : NULL;
    int error;

    if (!end && c->in.len <= HEAD_MAX)
        return receive(c);
    pthread_mutex_lock(&o->mutex);
    origin_add_locked(o, ORIGIN_REQUESTS, 1);
    origin_add_locked(o, ORIGIN_IN_FLIGHT, 1);
    pthread_mutex_unlock(&o->mutex);
    c->in_flight = true;
    if (end) {
        size_t len = (size_t)(end - c->in.ptr) + 4;
        error = begin_answer(o, c, len);
        buffer_consume(&c->in, len);
    } else {
        error = answer_refuse(431, &c->answer);
        c->in.len = 0;
        c->body_left = 0;
    }
    c->phase = SWALLOW_BODY;
    return error ? ENDED : GO_ON;
}

/* Goes on to send `c->answer`, through the gate if it has to. */
static enum outcome begin_sending(struct origin *o, struct connection *c)
{
    c->sent = 0;
    c->due_ns = c->answer.delay_ms ? clock_after_ms(clock_now_ns(), c->answer.delay_ms) : 0;
    c->phase = SEND;
    if (!c->answer.hold)
        return GO_ON;

    pthread_mutex_lock(&o->mutex);
    if (!o->gate_open) {
        c->phase = HELD;
        list_push_back(&o->held, &c->waiting);
        origin_add_locked(o, ORIGIN_HELD, 1);
    }
    pthread_mutex_unlock(&o->mutex);
    return c->phase == HELD ? BLOCKED : GO_ON;
}

static enum outcome swallow_body(struct origin *o, struct connection *c)
{
    uint64_t here = c->in.len < c->body_left ? c->in.len : c->body_left;

    if (here > 0)
        buffer_consume(&c->in, (size_t)here);
    c->body_left -= here;
    return c->body_left > 0 ? receive(c) : begin_sending(o, c);
}

/* What follows the last byte of an answer. */
static enum outcome finish_answer(struct origin *o, struct connection *c)
{
    static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    switch (c->answer.end) {
    case END_RESET:
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        return ENDED;
    case END_CLOSE:
        return ENDED;
    case END_HALF_CLOSE:
        shutdown(c->fd, SHUT_WR);
        c->phase = DRAIN;
        break;
    case END_KEEP:
        c->phase = READ_HEAD;
        break;
    case END_STEP:
        answer_free(&c->answer);
        return script_continue(c) ? ENDED : begin_sending(o, c);
    }
    answer_free(&c->answer);
    leave_flight(o, c);
    return GO_ON;
}

/* The answer's next bytes, as many as may go now. */
static struct bytes next_bytes(const struct connection *c)
{
    struct bytes piece = answer_at(&c->answer, c->sent);

    if (c->answer.drip && piece.len > 0) {
        uint64_t before = c->sent < c->answer.drip_from ? c->answer.drip_from - c->sent : 1;
        if (piece.len > before)
            piece.len = (size_t)before;
    }
    return piece;
}

static enum outcome send_answer(struct origin *o, struct connection *c)
{
    for (size_t turn = 0; turn < TURN_BYTES;) {
        if (c->due_ns != 0 && c->due_ns > clock_now_ns())
            return BLOCKED;
        struct bytes piece = next_bytes(c);
        if (piece.len == 0)
            return finish_answer(o, c);

        /* MSG_MORE: the head and a short body leave in one segment, unless bytes are to drip. */
        bool more = !c->answer.drip && answer_at(&c->answer, c->sent + piece.len).len > 0;
        ssize_t put = send(c->fd, piece.ptr, piece.len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (put < 0) {
            c->due_ns = 0;
            return errno == EAGAIN || errno == EINTR ? BLOCKED : ENDED;
        }
        c->sent += (uint64_t)put;
        turn += (size_t)put;
        c->due_ns = 0;
        if (c->answer.drip && c->sent >= c->answer.drip_from)
            c->due_ns = clock_after_ms(clock_now_ns(), c->answer.drip_ms);
    }
    return BLOCKED;
}

static enum outcome drain(struct connection *c)
{
    c->in.len = 0;
    return receive(c);
}

static enum outcome step(struct origin *o, struct connection *c)
{
    switch (c->phase) {
    case READ_HEAD:
        return read_head(o, c);
    case SWALLOW_BODY:
        return swallow_body(o, c);
    case HELD:
        return BLOCKED;
    case SEND:
        return send_answer(o, c);
    case DRAIN:
        return drain(c);
    }
    return ENDED;
}

/*
 * What a blocked connection waits for. While an answer is under way its further input stays in the
 * socket, but that the peer is gone must be seen: EPOLLRDHUP.
 */
static uint32_t wanted(const struct connection *c)
{
    switch (c->phase) {
    case READ_HEAD:
    case SWALLOW_BODY:
    case DRAIN:
        return EPOLLIN;
    case HELD:
        return EPOLLRDHUP;
    case SEND:
        return c->due_ns ? EPOLLRDHUP : EPOLLRDHUP | EPOLLOUT;
    }
    return 0;
}

void connection_run(struct origin *o, struct connection *c)
{
    enum outcome outcome;

    do
        outcome = step(o, c);
    while (outcome == GO_ON);
    if (outcome == ENDED) {
        connection_end(o, c);
        return;
    }
    if (c->phase == SEND && c->due_ns != 0) {
        list_remove(&c->waiting);
        list_push_back(&o->timed, &c->waiting);
        if (c->due_ns < o->next_due_ns)
            o->next_due_ns = c->due_ns;
    }
    if (c->interest != wanted(c)) {
        c->interest = wanted(c);
        origin_watch(o, c->fd, c, c->interest);
    }
}

void connection_event(struct origin *o, struct connection *c, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
        connection_end(o, c);
    else
        connection_run(o, c);
}

int connection_start(struct origin *o, int fd, struct site *site)
{
    struct connection *c = calloc(1, sizeof *c);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    if (!c)
        return -ENOMEM;
    if (epoll_ctl(o->epoll, EPOLL_CTL_ADD, fd, &event)) {
        int error = -errno;
        free(c);
        return error;
    }
    c->fd = fd;
    c->site = site;
    c->interest = EPOLLIN;
    list_push_back(&o->connections, &c->link);
    list_init(&c->waiting);
    pthread_mutex_lock(&o->mutex);
    origin_add_locked(o, ORIGIN_ACCEPTED, 1);
    origin_add_locked(o, ORIGIN_OPEN, 1);
    pthread_mutex_unlock(&o->mutex);
    if (site && script_speaks_first(o, site)) {
        c->phase = SWALLOW_BODY;
        if (script_begin(o, c, bytes_of(NULL, 0)))
            connection_end(o, c);
        else
            connection_run(o, c);
    }
    return 0;
}
