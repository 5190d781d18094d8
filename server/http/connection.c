#include "core/base/clock.h"
#include "server/http/internal.h"
#include "server/problem.h"
#include "server/tls.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    SPARE_PART = 16, /* of the connections, for those that come while others are closed */
    /* A head may be on its way for so long, or wait for the loop. */
    HEAD_PATIENCE_MS = 250,
};

void connection_refuse(struct connection *c, const struct problem *problem)
{
    struct buffer head = {0}, retry_after = {0}, body = {0};

    problem_write(&body, problem);
    if (problem->retry_after_s > 0)
        buffer_printf(&retry_after, "Retry-After: %u\r\n", problem->retry_after_s);
    buffer_printf(&head,
                  "HTTP/1.1 %d %s\r\nContent-Type: " PROBLEM_CONTENT_TYPE "\r\n"
                  "X-Content-Type-Options: nosniff\r\nConnection: close\r\n"
                  "%.*sContent-Length: %zu\r\n\r\n",
                  problem->status, problem->title, (int)retry_after.len, retry_after.ptr, body.len);
    buffer_append(&head, body.ptr, body.len);
    if (!head.failed && !body.failed && c->tls)
        tls_send(c->tls, buffer_bytes(&head));
    else if (!head.failed && !body.failed)
        (void)!send(c->fd, head.ptr, head.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    c->refused = problem->status;
    buffer_free(&head);
    buffer_free(&retry_after);
    buffer_free(&body);
}

static void expire(struct connection *c)
{
    bool asked = c->deadline.phase == HTTP_BODY ||
                 (c->deadline.phase == HTTP_HEAD && http_deadline_heard(&c->deadline));
    struct problem problem;

    if (asked) {
        problem_set(&problem, PROBLEM_REQUEST_TIMEOUT, NULL, "The request took too long to come.");
        connection_refuse(c, &problem);
    }
    shutdown(c->fd, SHUT_RDWR); /* which wakes MHD, which closes */
}

static void on_deadline(struct http_deadline *deadline)
{
    expire(CONTAINER_OF(deadline, struct connection, deadline));
}

/* Those that are closed already are gone in a moment. */
static size_t count_of(const struct http_server *s)
{
    return s->connection_count - s->leaving;
}

static size_t most_of(const struct http_server *s)
{
    return s->options.max_connections - s->options.max_connections / SPARE_PART;
}

static void evict(struct connection *c)
{
    list_remove(&c->waiting);
    c->leaves = true;
    c->server->leaving++;
    c->server->evictions++;
    expire(c);
}

/*
 * Whoever opens connections and says nothing on them, or next to nothing, would keep everybody else
 * out until their deadlines. Those who mean it have sent their head long before it is their turn.
 */
static void make_room(struct http_server *s)
{
    while (count_of(s) > most_of(s) && !list_empty(&s->waiting)) {
        struct connection *c = CONTAINER_OF(s->waiting.next, struct connection, waiting);
        uint64_t patience_ms = c->deadline.phase == HTTP_IDLE ? 0 : HEAD_PATIENCE_MS;
        uint64_t until = clock_after_ms(c->deadline.since_ns, patience_ms);

        if (until > clock_now_ns()) {
            timer_set(&s->room_timer, until); /* without memory: when the next comes */
            return;
        }
        evict(c);
    }
}

void connections_make_room(struct timer *timer)
{
    make_room(CONTAINER_OF(timer, struct http_server, room_timer));
}

/*
 * When all connections have requests nobody is accepted, who would make room for himself. So the
 * first that has its answer does; but not the one that has come just now.
 */
static void make_room_behind(struct connection *c)
{
    struct http_server *s = c->server;
    struct connection *longest = CONTAINER_OF(s->waiting.next, struct connection, waiting);

    if (c->leaves || most_of(s) == s->options.max_connections ||
        count_of(s) < s->options.max_connections)
        return;
    evict(longest->deadline.phase == HTTP_IDLE ? longest : c);
}

void connection_enter(struct connection *c, enum http_phase phase)
{
    list_remove(&c->waiting);
    if ((phase == HTTP_HEAD || phase == HTTP_IDLE) && !c->leaves)
        list_push_back(&c->server->waiting, &c->waiting);
    http_deadline_enter(&c->deadline, phase);
    if (phase == HTTP_IDLE)
        make_room_behind(c);
}

/* -- the client's end -------------------------------------------------------------------------- */

static void on_half_closed(void *arg, int fd, uint32_t events)
{
    struct connection *c = arg;

    (void)events;
    c->has_ended = true;
    loop_unwatch(fd);      /* it would be reported again and again */
    shutdown(fd, SHUT_RD); /* what has come can still be read */
}

void connection_look_again(struct connection *c)
{
    if (c->has_ended)
        shutdown(c->fd, SHUT_RD);
}

/*
 * libmicrohttpd's sockets are edge-triggered, and it takes a short read for all there is. So it
 * never sees an end that came together with the last bytes, and would keep who left until the
 * deadline. Where nobody else watches the socket we do, and wake it. What fails here is the
 * deadline's again.
 */
void connection_watch_end(struct connection *c)
{
    (void)loop_watch(c->fd, EPOLLRDHUP, on_half_closed, c);
}

/* -- the handshake of TLS ---------------------------------------------------------------------- */

void connection_open(struct connection *c)
{
    list_remove(&c->shaking);
}

void connection_resume(struct connection *c)
{
    if (!c->awaits)
        return;
    c->awaits = false;
    connection_watch_end(c);
    list_push_back(&c->server->shaking, &c->shaking);
    http_resume(c);
}

static void on_more(void *arg, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    connection_resume(arg);
}

static void await_handshake(struct connection *c)
{
    bool write;

    connection_open(c);
    if (tls_is_open(c->tls, &write))
        return;
    if (loop_watch(c->fd, write ? EPOLLOUT : EPOLLIN, on_more, c) < 0) {
        shutdown(c->fd, SHUT_RDWR);
        return;
    }
    c->awaits = true;
    http_suspend(c);
}

void connections_await_handshakes(struct http_server *s)
{
    LIST_FOR (link, &s->shaking)
        await_handshake(CONTAINER_OF(link, struct connection, shaking));
}

/* -- life -------------------------------------------------------------------------------------- */

struct connection *connection_new(struct http_server *s, struct MHD_Connection *mhd, int fd,
                                  void *tls, const struct sockaddr *remote)
{
    struct connection *c = calloc(1, sizeof *c);
    int on = 1;

    if (!c)
        return NULL;
    c->server = s;
    c->fd = fd;
    c->mhd = mhd;
    c->tls = tls;
    c->remote = remote;
    list_init(&c->shaking);
    list_init(&c->waiting);
    if (tls)
        list_push_back(&s->shaking, &c->shaking);
    c->deadline = (struct http_deadline){
        .options = &s->options,
        .fd = fd,
        .expired = on_deadline,
    };
    list_push_back(&s->connections, &c->link);
    s->connection_count++;
    /* The only way to learn that the client of a silent stream has lost power or network. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    connection_watch_end(c);
    make_room(s);
    connection_enter(c, HTTP_HEAD);
    return c;
}

struct connection *connection_free(struct connection *c)
{
    if (!c)
        return NULL;
    http_deadline_clear(&c->deadline);
    loop_forget(c->fd);
    if (c->lingers && !c->server->stopped)
        http_linger(&c->server->lingering, c->fd);
    list_remove(&c->shaking);
    list_remove(&c->waiting);
    list_remove(&c->link);
    c->server->connection_count--;
    c->server->leaving -= c->leaves;
    free(c);
    return NULL;
}
