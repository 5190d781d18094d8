/*
 * The test origin's server: its counters, its loop, its start and its end. One thread, one epoll
 * loop; what a connection does is in origin_connection.c, what is answered in origin_scenarios.c.
 */
#include "tests/support/origin.h"

#include "core/base/clock.h"
#include "tests/support/origin_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS = 128, /* taken from epoll in one turn */
};

/* -- counters ---------------------------------------------------------------------------------- */

void origin_add_locked(struct origin *o, enum origin_counter counter, int by)
{
    o->counters[counter] += (uint64_t)by;
    if (o->counters[ORIGIN_IN_FLIGHT] > o->counters[ORIGIN_MAX_IN_FLIGHT])
        o->counters[ORIGIN_MAX_IN_FLIGHT] = o->counters[ORIGIN_IN_FLIGHT];
    pthread_cond_broadcast(&o->changed);
}

void origin_add(struct origin *o, enum origin_counter counter, int by)
{
    pthread_mutex_lock(&o->mutex);
    origin_add_locked(o, counter, by);
    pthread_mutex_unlock(&o->mutex);
}

uint64_t origin_count(struct origin *o, enum origin_counter counter)
{
    pthread_mutex_lock(&o->mutex);
    uint64_t value = o->counters[counter];
    pthread_mutex_unlock(&o->mutex);
    return value;
}

static bool wait_within(struct origin *o, enum origin_counter counter, uint64_t least,
                        uint64_t most, unsigned timeout_ms)
{
    uint64_t due_ns = clock_after_ms(clock_now_ns(), timeout_ms);
    struct timespec due = {(time_t)(due_ns / NS_PER_SEC), (long)(due_ns % NS_PER_SEC)};
    const uint64_t *value = &o->counters[counter];
    int error = 0;

    pthread_mutex_lock(&o->mutex);
    while ((*value < least || *value > most) && error == 0)
        error = pthread_cond_timedwait(&o->changed, &o->mutex, &due);
    bool reached = *value >= least && *value <= most;
    pthread_mutex_unlock(&o->mutex);
    return reached;
}

bool origin_wait_at_least(struct origin *o, enum origin_counter counter, uint64_t value,
                          unsigned timeout_ms)
{
    return wait_within(o, counter, value, UINT64_MAX, timeout_ms);
}

bool origin_wait_at_most(struct origin *o, enum origin_counter counter, uint64_t value,
                         unsigned timeout_ms)
{
    return wait_within(o, counter, 0, value, timeout_ms);
}

/* -- the loop ---------------------------------------------------------------------------------- */

void origin_watch(struct origin *o, int fd, void *who, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = who};

    epoll_ctl(o->epoll, EPOLL_CTL_MOD, fd, &event);
}

void origin_accept_again(struct origin *o)
{
    if (!o->accept_paused)
        return;
    o->accept_paused = false;
    origin_watch(o, o->listener, &o->listener, EPOLLIN);
}

static void accept_all(struct origin *o)
{
    for (;;) {
        int fd = accept4(o->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            /* Level-triggered: without the pause the loop would spin until a descriptor is free. */
            if (errno == EMFILE || errno == ENFILE) {
                o->accept_paused = true;
                origin_watch(o, o->listener, &o->listener, 0);
            }
            return;
        }
        if (connection_start(o, fd, NULL))
            close(fd);
    }
}

static void fire_timers(struct origin *o)
{
    if (o->next_due_ns == CLOCK_NEVER)
        return;
    uint64_t now_ns = clock_now_ns();
    if (o->next_due_ns > now_ns)
        return;
    /* A test has few slow connections at a time: a list to walk is enough, no heap. */
    o->next_due_ns = CLOCK_NEVER;
    LIST_FOR (link, &o->timed) {
        struct connection *c = CONTAINER_OF(link, struct connection, waiting);
        if (c->due_ns <= now_ns) {
            list_remove(link);
            connection_run(o, c);
        } else if (c->due_ns < o->next_due_ns) {
            o->next_due_ns = c->due_ns;
        }
    }
}

static void release_held(struct origin *o)
{
    struct list *link;

    while ((link = list_pop_front(&o->held))) {
        struct connection *c = CONTAINER_OF(link, struct connection, waiting);
        origin_add(o, ORIGIN_HELD, -1);
        c->phase = SEND;
        connection_run(o, c);
    }
}

/* Milliseconds until the next timer, rounded up; -1 when there is none. */
static int patience_ms(const struct origin *o)
{
    if (o->next_due_ns == CLOCK_NEVER)
        return -1;
    uint64_t now_ns = clock_now_ns();
    if (o->next_due_ns <= now_ns)
        return 0;
    uint64_t ms = (o->next_due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms < 60000 ? (int)ms : 60000;
}

static void *serve(void *arg)
{
    struct origin *o = arg;
    struct epoll_event events[EVENTS];
    bool stopping = false;

    while (!stopping) {
        int n = epoll_wait(o->epoll, events, EVENTS, patience_ms(o));
        bool woken = false;

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &o->listener)
                accept_all(o);
            else if (events[i].data.ptr == &o->wake)
                woken = true;
            else if (events[i].data.ptr == &o->sites)
                sites_accept(o);
            else
                connection_event(o, events[i].data.ptr, events[i].events);
        }
        if (woken) {
            eventfd_t wakes;
            eventfd_read(o->wake, &wakes);
            pthread_mutex_lock(&o->mutex);
            bool gate_open = o->gate_open;
            stopping = o->stopping;
            pthread_mutex_unlock(&o->mutex);
            if (gate_open)
                release_held(o);
        }
        fire_timers(o);
    }
    while (!list_empty(&o->connections))
        connection_end(o, CONTAINER_OF(o->connections.next, struct connection, link));
    return NULL;
}

/* -- start and stop ---------------------------------------------------------------------------- */

static int listen_on(struct origin *o, const char *literal, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof address;
    int on = 1;

    if (inet_pton(AF_INET, literal, &address.sin_addr) != 1 ||
        ntohl(address.sin_addr.s_addr) >> IN_CLASSA_NSHIFT != IN_LOOPBACKNET)
        return -EINVAL;
    o->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Accepted sockets inherit TCP_NODELAY: a byte that drips must not wait for an ACK. */
    if (o->listener < 0 || setsockopt(o->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        setsockopt(o->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
        bind(o->listener, (struct sockaddr *)&address, sizeof address) ||
        listen(o->listener, SOMAXCONN) ||
        getsockname(o->listener, (struct sockaddr *)&address, &len))
        return -errno;
    o->port = ntohs(address.sin_port);
    snprintf(o->url, sizeof o->url, "http://%s:%u", literal, o->port);
    return 0;
}

static int open_loop(struct origin *o)
{
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = &o->listener};
    struct epoll_event waking = {.events = EPOLLIN, .data.ptr = &o->wake};
    struct epoll_event sites = {.events = EPOLLIN, .data.ptr = &o->sites};

    o->epoll = epoll_create1(EPOLL_CLOEXEC);
    o->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    o->sites_epoll = epoll_create1(EPOLL_CLOEXEC);
    if (o->epoll < 0 || o->wake < 0 || o->sites_epoll < 0 ||
        epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->listener, &listening) ||
        epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->wake, &waking) ||
        epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->sites_epoll, &sites))
        return -errno;
    return 0;
}

/* The thread takes no signals: they are for whoever started the origin. */
static int start_thread(struct origin *o)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&o->thread, NULL, serve, o);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static void close_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Frees an origin whose thread does not run. */
static void origin_free(struct origin *o)
{
    close_open(o->epoll);
    close_open(o->listener);
    close_open(o->wake);
    sites_free(o);
    close_open(o->sites_epoll);
    close_open(o->source.site);
    buffer_free(&o->source.bombs[0]);
    buffer_free(&o->source.bombs[1]);
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->mutex);
    free(o);
}

static struct origin *origin_new(void)
{
    struct origin *o = calloc(1, sizeof *o);
    pthread_condattr_t attributes;

    if (!o)
        return NULL;
    o->epoll = o->listener = o->wake = o->sites_epoll = o->source.site = -1;
    o->next_due_ns = CLOCK_NEVER;
    list_init(&o->connections);
    list_init(&o->held);
    list_init(&o->timed);
    list_init(&o->sites);
    pthread_mutex_init(&o->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&o->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return o;
}

struct origin *origin_start(const struct origin_options *options)
{
    static const struct origin_options defaults;
    struct origin *o = origin_new();
    int error = 0;

    if (!o)
        return NULL;
    if (!options)
        options = &defaults;
    if (options->site) {
        o->source.site = open(options->site, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        error = o->source.site < 0 ? -errno : 0;
    }
    if (!error)
        error = listen_on(o, options->address ? options->address : "127.0.0.1", options->port);
    if (!error)
        error = open_loop(o);
    if (!error)
        error = start_thread(o);
    if (error) {
        origin_free(o);
        errno = -error;
        return NULL;
    }
    return o;
}

struct origin *origin_stop(struct origin *o)
{
    if (!o)
        return NULL;
    pthread_mutex_lock(&o->mutex);
    o->stopping = true;
    pthread_mutex_unlock(&o->mutex);
    eventfd_write(o->wake, 1);
    pthread_join(o->thread, NULL);
    origin_free(o);
    return NULL;
}

static void set_gate(struct origin *o, bool open)
{
    pthread_mutex_lock(&o->mutex);
    o->gate_open = open;
    pthread_mutex_unlock(&o->mutex);
    eventfd_write(o->wake, 1);
}

void origin_release(struct origin *o)
{
    set_gate(o, true);
}

void origin_hold(struct origin *o)
{
    set_gate(o, false);
}

const char *origin_url(const struct origin *o)
{
    return o->url;
}

uint16_t origin_port(const struct origin *o)
{
    return o->port;
}
