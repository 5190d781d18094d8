/*
 * Addresses of the test origin that play scripts. Their listeners are watched by an epoll of their
 * own, which the origin's loop watches as one descriptor.
 */
#include "tests/support/origin_script.h"

#include "tests/support/origin_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UNIT_BYTES = 16 * 1024 }; /* a repeated text is copied up to about this size */

struct site {
    struct list link; /* in origin.sites */
    int listener;

    /* Under the origin's mutex. */
    const struct step *next_answer;
    uint64_t connections, requests;
    struct buffer heads;
};

/* -- listening --------------------------------------------------------------------------------- */

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int read_address(const char *literal, uint16_t port, union any_address *ret, socklen_t *len)
{
    *ret = (union any_address){.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
    *len = sizeof ret->v4;
    if (inet_pton(AF_INET, literal, &ret->v4.sin_addr) == 1)
        return ntohl(ret->v4.sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET ? 0 : -EINVAL;

    *ret = (union any_address){.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
    *len = sizeof ret->v6;
    if (inet_pton(AF_INET6, literal, &ret->v6.sin6_addr) == 1)
        return IN6_IS_ADDR_LOOPBACK(&ret->v6.sin6_addr) ? 0 : -EINVAL;
    return -EINVAL;
}

static int listen_on(struct site *s, const char *literal, uint16_t port)
{
    union any_address address;
    socklen_t len;
    int on = 1;
    int error = read_address(literal, port, &address, &len);

    if (error)
        return error;
    s->listener = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        setsockopt(s->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
        bind(s->listener, &address.any, len) || listen(s->listener, SOMAXCONN))
        return -errno;
    return 0;
}

static void site_free(struct site *s)
{
    if (s->listener >= 0)
        close(s->listener);
    buffer_free(&s->heads);
    free(s);
}

struct site *origin_script(struct origin *o, const char *address, const struct step *steps)
{
    struct site *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->listener = -1;
    s->next_answer = steps;
    int error = listen_on(s, address, o->port);
    if (!error) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
        pthread_mutex_lock(&o->mutex);
        if (epoll_ctl(o->sites_epoll, EPOLL_CTL_ADD, s->listener, &event))
            error = -errno;
        else
            list_push_back(&o->sites, &s->link);
        pthread_mutex_unlock(&o->mutex);
    }
    if (error) {
        site_free(s);
        errno = -error;
        return NULL;
    }
    return s;
}

static void accept_at(struct origin *o, struct site *s)
{
    int fd;

    while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        pthread_mutex_lock(&o->mutex);
        s->connections++;
        pthread_mutex_unlock(&o->mutex);
        if (connection_start(o, fd, s))
            close(fd);
    }
}

void sites_accept(struct origin *o)
{
    struct epoll_event event;

    /* One at a time: the loop comes back while there is more. */
    if (epoll_wait(o->sites_epoll, &event, 1, 0) == 1)
        accept_at(o, event.data.ptr);
}

void sites_free(struct origin *o)
{
    struct list *link;

    while ((link = list_pop_front(&o->sites)))
        site_free(CONTAINER_OF(link, struct site, link));
}

void site_log(struct origin *o, struct site *s, struct site_log *ret)
{
    *ret = (struct site_log){0};
    pthread_mutex_lock(&o->mutex);
    ret->connections = s->connections;
    ret->requests = s->requests;
    buffer_append(&ret->heads, s->heads.ptr, s->heads.len);
    ret->heads.failed |= s->heads.failed;
    pthread_mutex_unlock(&o->mutex);
}

/* -- playing ----------------------------------------------------------------------------------- */

/* An answer's last step, or what would have been. */
static const struct step *last_step(const struct step *step)
{
    while (step->kind != STEP_END && step->kind < STEP_NEXT)
        step++;
    return step;
}

/* Gives out the site's next answer. The last one stays. */
static const struct step *take_answer(struct origin *o, struct site *s, struct bytes head)
{
    pthread_mutex_lock(&o->mutex);
    const struct step *answer = s->next_answer;
    const struct step *last = last_step(answer);
    if (last->kind != STEP_END && last[1].kind != STEP_END)
        s->next_answer = last + 1;
    if (head.len > 0) {
        s->requests++;
        buffer_append(&s->heads, head.ptr, head.len);
    }
    pthread_mutex_unlock(&o->mutex);
    return answer;
}

bool script_speaks_first(struct origin *o, struct site *s)
{
    pthread_mutex_lock(&o->mutex);
    bool unasked = s->next_answer->kind == STEP_UNASKED;
    pthread_mutex_unlock(&o->mutex);
    return unasked;
}

/* A step that has bytes becomes the answer's. */
static void add_bytes(struct answer *a, const struct step *step)
{
    if (step->kind == STEP_REPEAT) {
        do
            buffer_append(&a->unit, step->bytes.ptr, step->bytes.len);
        while (a->unit.len < UNIT_BYTES && !a->unit.failed);
        a->repeat_bytes = step->number * step->bytes.len;
        return;
    }
    a->borrowed = step->bytes;
    if (step->kind == STEP_DRIP) {
        a->drip = true;
        a->drip_ms = step->number;
    }
}

static enum answer_end end_of(const struct step *step)
{
    switch (step->kind) {
    case STEP_END:
    case STEP_NEXT:
        return END_KEEP;
    case STEP_CLOSE:
        return END_CLOSE;
    case STEP_RESET:
        return END_RESET;
    case STEP_HALF_CLOSE:
        return END_HALF_CLOSE;
    case STEP_SAY:
    case STEP_REPEAT:
    case STEP_DRIP:
    case STEP_PAUSE:
    case STEP_HOLD:
    case STEP_UNASKED:
        break;
    }
    return END_STEP;
}

int script_continue(struct connection *c)
{
    struct answer a = {0};
    bool has_bytes = false;

    /* Waits come first in an answer, so one step with bytes is as much as it can take. */
    for (; end_of(c->step) == END_STEP && !has_bytes; c->step++) {
        if (c->step->kind == STEP_PAUSE) {
            a.delay_ms += c->step->number;
        } else if (c->step->kind == STEP_HOLD) {
            a.hold = true;
        } else if (c->step->kind != STEP_UNASKED) {
            add_bytes(&a, c->step);
            has_bytes = true;
        }
    }
    a.end = end_of(c->step);
    if (a.unit.failed) {
        answer_free(&a);
        return -ENOMEM;
    }
    c->answer = a;
    return 0;
}

int script_begin(struct origin *o, struct connection *c, struct bytes head)
{
    c->step = take_answer(o, c->site, head);
    return script_continue(c);
}
