/*
 * One attempt after another is begun and none is given up until there is a winner, or nothing is
 * left that could be one:
 *
 *     begin the next ─▶ wait: connected ─▶ won
 *           ▲                 failed, or 250 ms ─┐
 *           └────────────────────────────────────┘
 */
#include "core/fetch/dial.h"

#include "core/async/loop.h"
#include "core/async/runtime.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/fetch/fetch_error.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct attempt {
    struct dial *dial;
    struct address address;
    int socket; /* -1: not begun, or over */
};

struct dial {
    promise *promise;
    const struct guard *guard;
    struct dialled *won;       /* made before anything is begun, so that no winner gets lost */
    struct timer stagger, end; /* for the next attempt; at the deadline */
    unsigned count, next, under_way;
    const char *refused; /* by the guard: why, the last time; NULL: it refused nothing */
    int error;           /* an errno: why the last attempt failed; 0: none has failed */
    int no_socket;       /* an errno: why there was none for an attempt; 0: there always was */
    struct attempt attempts[];
};

/* -- ends -------------------------------------------------------------------------------------- */

static void close_attempt(struct attempt *a)
{
    if (a->socket < 0)
        return;
    loop_forget(a->socket);
    close(a->socket);
    a->socket = -1;
    a->dial->under_way--;
}

/* Frees all but the promise, which it returns. */
static promise *release(struct dial *d)
{
    promise *p = d->promise;

    for (unsigned i = 0; i < d->next; i++)
        close_attempt(&d->attempts[i]);
    timer_clear(&d->stagger);
    timer_clear(&d->end);
    free(d->won);
    free(d);
    return p;
}

static void on_cancel(promise *p, void *arg)
{
    release(arg);
    promise_cancel(p);
    promise_drop(p);
}

/* The last reference may be dropped on any thread: the loop knows nothing of this socket. */
static void dialled_free(void *value)
{
    struct dialled *won = value;

    if (won->socket >= 0)
        close(won->socket);
    free(won);
}

static void win(struct attempt *a)
{
    struct dial *d = a->dial;
    struct dialled *won = d->won;

    loop_forget(a->socket);
    *won = (struct dialled){a->address, a->socket};
    a->socket = -1;
    d->won = NULL;
    promise *p = release(d);
    promise_resolve(p, won, dialled_free);
    promise_drop(p);
}

static enum fetch_code code_of(const struct dial *d)
{
    if (d->error)
        return FETCH_CONNECT_FAILURE;
    return d->no_socket ? FETCH_INTERNAL : FETCH_BLOCKED_ADDRESS;
}

static void describe(const struct dial *d, enum fetch_code code, char *text, size_t size)
{
    const char *reason = code == FETCH_TIMEOUT ? "no answer in time" : strerrordesc_np(d->error);

    if (code == FETCH_BLOCKED_ADDRESS)
        snprintf(text, size, "%s: %s", fetch_code_message((int)code), d->refused);
    else if (code == FETCH_INTERNAL)
        snprintf(text, size, "No socket to connect with: %s", strerrordesc_np(d->no_socket));
    else if (d->count == 1)
        snprintf(text, size, "Could not connect: %s", reason);
    else
        snprintf(text, size, "Could not connect to any of %u addresses: %s", d->count, reason);
}

static void fail(struct dial *d, enum fetch_code code)
{
    struct dial_failure *failure = malloc(sizeof *failure);

    if (failure)
        describe(d, code, failure->message, sizeof failure->message);
    promise *p = release(d);
    promise_fail(p, (int)code, failure, free);
    promise_drop(p);
}

static void deadline_passed(struct timer *timer)
{
    fail(CONTAINER_OF(timer, struct dial, end), FETCH_TIMEOUT);
}

/* -- attempts ---------------------------------------------------------------------------------- */

static void go_on(struct dial *d);

/* 0 when it is connected; -EINPROGRESS; other errors when it is over. */
static int look_at(int fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer, error_len = sizeof(int);
    int error = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) < 0)
        return -errno;
    if (error)
        return -error;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
        return 0;
    return errno == ENOTCONN ? -EINPROGRESS : -errno; /* a stray wake-up */
}

static void on_ready(void *arg, int fd, uint32_t events)
{
    struct attempt *a = arg;
    struct dial *d = a->dial;
    int rc = look_at(fd);

    (void)events;
    if (rc == -EINPROGRESS)
        return;
    if (rc == 0) {
        win(a);
        return;
    }
    d->error = -rc;
    close_attempt(a);
    go_on(d);
}

static socklen_t length_of(const struct address *a)
{
    return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

/* False when there is none; the dial remembers why. */
static bool open_socket(struct attempt *a)
{
    struct dial *d = a->dial;
    int family = a->address.any.sa_family, on = 1;

    a->socket = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (a->socket < 0 && errno == EAFNOSUPPORT) {
        d->error = errno; /* a kernel without IPv6 is like a network without it */
        return false;
    }
    if (a->socket < 0) {
        d->no_socket = errno;
        return false;
    }
    d->under_way++;
    setsockopt(a->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return true;
}

enum begun { CONNECTED, UNDER_WAY, FAILED };

static enum begun begin(struct attempt *a)
{
    struct dial *d = a->dial;

    if (!guard_allows(d->guard, &a->address.any, &d->refused) || !open_socket(a))
        return FAILED;
    if (connect(a->socket, &a->address.any, length_of(&a->address)) == 0)
        return CONNECTED;
    if (errno == EINPROGRESS) {
        int rc = loop_watch(a->socket, EPOLLOUT, on_ready, a);
        if (rc == 0)
            return UNDER_WAY;
        d->no_socket = -rc;
    } else {
        d->error = errno; /* ENETUNREACH: there is no route for this family, say */
    }
    close_attempt(a);
    return FAILED;
}

/* Afterwards the dial may be gone. */
static void go_on(struct dial *d)
{
    timer_clear(&d->stagger);
    while (d->next < d->count) {
        struct attempt *a = &d->attempts[d->next++];
        switch (begin(a)) {
        case CONNECTED:
            win(a);
            return;
        case UNDER_WAY:
            /* Where there is no memory for the timer, the next one begins when this one fails. */
            if (d->next < d->count)
                timer_set(&d->stagger, clock_after_ms(loop_now_ns(), DIAL_STAGGER_MS));
            return;
        case FAILED:
            break;
        }
    }
    if (d->under_way == 0)
        fail(d, code_of(d));
}

static void stagger_is_over(struct timer *timer)
{
    go_on(CONTAINER_OF(timer, struct dial, stagger));
}

/* -- start ------------------------------------------------------------------------------------- */

static void set_port(struct address *a, uint16_t port)
{
    if (a->any.sa_family == AF_INET6)
        a->v6.sin6_port = htons(port);
    else
        a->v4.sin_port = htons(port);
}

/* NULL when memory is exhausted. */
static struct dial *dial_new(const struct guard *guard, const struct address *addresses,
                             unsigned count, uint16_t port)
{
    struct dial *d = calloc(1, sizeof *d + count * sizeof d->attempts[0]);

    if (!d)
        return NULL;
    d->won = malloc(sizeof *d->won);
    d->guard = guard;
    d->count = count;
    d->stagger.fire = stagger_is_over;
    d->end.fire = deadline_passed;
    for (unsigned i = 0; i < count; i++) {
        d->attempts[i] = (struct attempt){d, addresses[i], -1};
        set_port(&d->attempts[i].address, port);
    }
    if (d->won)
        return d;
    free(d);
    return NULL;
}

future *dial(const struct guard *guard, const struct address *addresses, unsigned count,
             uint16_t port, uint64_t deadline_ns)
{
    struct dial *d = dial_new(guard, addresses, count, port);
    future *f = NULL;

    assert(count > 0);
    if (!d)
        return future_out_of_memory();
    d->promise = promise_new(&f);
    if (!d->promise) {
        release(d);
        return future_out_of_memory();
    }
    promise_on_cancel(d->promise, on_cancel, d);
    if (deadline_ns != CLOCK_NEVER && timer_set(&d->end, deadline_ns) < 0) {
        promise *p = release(d);
        promise_fail(p, -ENOMEM, NULL, NULL);
        promise_drop(p);
        return f;
    }
    go_on(d);
    return f;
}

int dial_take_socket(future *dialled)
{
    /* The value is nobody's but the taker's, and is not looked at by two threads. */
    struct dialled *won = (struct dialled *)(uintptr_t)future_value(dialled);
    int fd = won->socket;

    won->socket = -1;
    return fd;
}
