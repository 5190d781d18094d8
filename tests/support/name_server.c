#include "tests/support/name_server.h"

#include "core/base/clock.h"
#include "core/base/list.h"
#include "tests/support/name_message.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uthash.h>

enum {
    QUERY_MAX = 512,
    RECEIVE_BUFFER = 4 << 20,
    PORT_TRIES = 20,
};

struct scripted {
    UT_hash_handle hh;
    struct name_turns turns[2]; /* by enum name_type */
    size_t queries;             /* since the start of the server */
    bool released;
    char name[]; /* in lower case */
};

/* A reply that waits. */
struct pending {
    struct list link;
    const struct scripted *held_by; /* NULL: it waits for its time */
    uint64_t due_ns;
    struct sockaddr_in peer;
    size_t len;
    unsigned char bytes[];
};

/* A connection. */
struct client {
    struct list link;
    int fd;
    size_t len;
    unsigned char bytes[2 + QUERY_MAX];
};

struct name_server {
    int udp, listener, wake, epoll;
    pthread_t thread;
    char address[32];

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct scripted *names; /* hash table; a name stays until the end */
    size_t queries, tcp_queries;
    bool stopping;

    struct list pending, clients; /* the thread's own */
};

/* -- names ------------------------------------------------------------------------------------- */

static void lower_name(char to[NS_MAXDNAME], const char *name)
{
    size_t length = strlen(name);

    assert(length < NS_MAXDNAME);
    for (size_t i = 0; i <= length; i++)
        to[i] = (char)tolower((unsigned char)name[i]);
    if (length > 1 && to[length - 1] == '.')
        to[length - 1] = '\0';
}

static struct scripted *find(struct name_server *ns, const char *name)
{
    struct scripted *s;

    HASH_FIND_STR(ns->names, name, s);
    return s;
}

/* Makes it where there is none: a name may be counted before it is set, and without that. */
static struct scripted *find_or_make(struct name_server *ns, const char *name)
{
    struct scripted *s = find(ns, name);
    size_t length = strlen(name);

    if (s)
        return s;
    s = calloc(1, sizeof *s + length + 1);
    assert(s);
    memcpy(s->name, name, length);
    HASH_ADD_STR(ns->names, name, s);
    return s;
}

static void set_type(struct name_server *ns, const char *name, enum name_type type,
                     const struct name_answer *answers, size_t count)
{
    struct name_turns turns = name_turns_parse(answers, count);
    char lower[NS_MAXDNAME];

    lower_name(lower, name);
    pthread_mutex_lock(&ns->mutex);
    struct scripted *s = find_or_make(ns, lower);
    struct name_turns before = s->turns[type];
    s->turns[type] = turns;
    s->released = false;
    pthread_mutex_unlock(&ns->mutex);
    name_turns_free(&before);
}

void name_server_set_type(struct name_server *ns, const char *name, enum name_type type,
                          const struct name_answer *answer)
{
    set_type(ns, name, type, answer, 1);
}

void name_server_set_turns(struct name_server *ns, const char *name,
                           const struct name_answer *answers, size_t count)
{
    set_type(ns, name, NAME_A, answers, count);
    set_type(ns, name, NAME_AAAA, answers, count);
}

void name_server_set(struct name_server *ns, const char *name, const struct name_answer *answer)
{
    name_server_set_turns(ns, name, answer, 1);
}

void name_server_release(struct name_server *ns, const char *name)
{
    char lower[NS_MAXDNAME];

    lower_name(lower, name);
    pthread_mutex_lock(&ns->mutex);
    find_or_make(ns, lower)->released = true;
    pthread_mutex_unlock(&ns->mutex);
    eventfd_write(ns->wake, 1);
}

/* -- counters ---------------------------------------------------------------------------------- */

static size_t count_locked(struct name_server *ns, const char *lower)
{
    const struct scripted *s = lower ? find(ns, lower) : NULL;

    return !lower ? ns->queries : s ? s->queries : 0;
}

bool name_server_wait_queries(struct name_server *ns, const char *name, size_t count,
                              unsigned timeout_ms)
{
    uint64_t due_ns = clock_after_ms(clock_now_ns(), timeout_ms);
    struct timespec due = {(time_t)(due_ns / NS_PER_SEC), (long)(due_ns % NS_PER_SEC)};
    char lower[NS_MAXDNAME];
    int error = 0;

    if (name)
        lower_name(lower, name);
    pthread_mutex_lock(&ns->mutex);
    while (count_locked(ns, name ? lower : NULL) < count && error == 0)
        error = pthread_cond_timedwait(&ns->changed, &ns->mutex, &due);
    bool reached = count_locked(ns, name ? lower : NULL) >= count;
    pthread_mutex_unlock(&ns->mutex);
    return reached;
}

size_t name_server_queries(struct name_server *ns, const char *name)
{
    char lower[NS_MAXDNAME];

    if (name)
        lower_name(lower, name);
    pthread_mutex_lock(&ns->mutex);
    size_t n = count_locked(ns, name ? lower : NULL);
    pthread_mutex_unlock(&ns->mutex);
    return n;
}

size_t name_server_tcp_queries(struct name_server *ns)
{
    pthread_mutex_lock(&ns->mutex);
    size_t n = ns->tcp_queries;
    pthread_mutex_unlock(&ns->mutex);
    return n;
}

/* -- questions --------------------------------------------------------------------------------- */

/* Counts the question; what it is answered, or NULL: there is no such name. */
static const struct name_script *next_script(struct name_server *ns, const struct name_question *q,
                                             bool by_tcp, struct scripted **ret_by)
{
    enum name_type type = q->type == ns_t_aaaa ? NAME_AAAA : NAME_A;
    struct scripted *counted = find_or_make(ns, q->name);
    struct scripted *by = counted->turns[type].count > 0 ? counted : find(ns, "*");
    struct name_turns *turns = by ? &by->turns[type] : NULL;

    counted->queries++;
    ns->queries++;
    ns->tcp_queries += by_tcp;
    pthread_cond_broadcast(&ns->changed);
    if (!turns || turns->count == 0)
        return NULL;
    *ret_by = by;
    return &turns->scripts[turns->asked++ % turns->count];
}

static void keep(struct name_server *ns, const unsigned char *reply, size_t len,
                 const struct sockaddr_in *peer, const struct scripted *held_by, unsigned delay_ms)
{
    struct pending *p = malloc(sizeof *p + len);

    assert(p);
    *p = (struct pending){.held_by = held_by,
                          .due_ns = clock_after_ms(clock_now_ns(), delay_ms),
                          .peer = *peer,
                          .len = len};
    memcpy(p->bytes, reply, len);
    list_push_back(&ns->pending, &p->link);
}

static void send_reply(const struct name_server *ns, const void *reply, size_t len,
                       const struct sockaddr_in *peer)
{
    sendto(ns->udp, reply, len, 0, (const struct sockaddr *)peer, sizeof *peer);
}

static void answer_udp(struct name_server *ns, const unsigned char *query, size_t query_len,
                       const struct sockaddr_in *peer)
{
    unsigned char reply[NAME_REPLY_MAX];
    struct scripted *by = NULL;
    struct name_question q;

    if (!name_question_parse(&q, query, query_len))
        return;
    pthread_mutex_lock(&ns->mutex);
    const struct name_script *s = next_script(ns, &q, false, &by);
    struct name_answer how = s ? s->how : (struct name_answer){0};
    size_t len = name_reply(reply, &q, s, false);
    bool held = how.hold && !by->released;
    pthread_mutex_unlock(&ns->mutex);

    if (held || (how.delay_ms > 0 && !how.drop))
        keep(ns, reply, len, peer, held ? by : NULL, how.delay_ms);
    else if (!how.drop)
        send_reply(ns, reply, len, peer);
}

static void read_udp(struct name_server *ns)
{
    unsigned char query[QUERY_MAX];
    struct sockaddr_in peer;
    socklen_t peer_len = sizeof peer;
    ssize_t n;

    while ((n = recvfrom(ns->udp, query, sizeof query, 0, (struct sockaddr *)&peer, &peer_len)) >=
           0)
        answer_udp(ns, query, (size_t)n, &peer);
}

/* -- connections ------------------------------------------------------------------------------- */

static void answer_tcp(struct name_server *ns, int fd, const unsigned char *query, size_t query_len)
{
    unsigned char reply[2 + NAME_REPLY_MAX];
    struct scripted *by;
    struct name_question q;

    if (!name_question_parse(&q, query, query_len))
        return;
    pthread_mutex_lock(&ns->mutex);
    size_t len = name_reply(reply + 2, &q, next_script(ns, &q, true, &by), true);
    pthread_mutex_unlock(&ns->mutex);
    name_put16((unsigned)len, reply);
    send(fd, reply, len + 2, MSG_NOSIGNAL); /* what does not fit, the client asks for again */
}

static void client_end(struct client *c)
{
    list_remove(&c->link);
    close(c->fd);
    free(c);
}

static void read_client(struct name_server *ns, struct client *c)
{
    ssize_t n = recv(c->fd, c->bytes + c->len, sizeof c->bytes - c->len, 0);

    if (n <= 0) {
        client_end(c);
        return;
    }
    c->len += (size_t)n;
    while (c->len >= 2 && c->len >= 2u + name_get16(c->bytes)) {
        size_t query = name_get16(c->bytes);
        answer_tcp(ns, c->fd, c->bytes + 2, query);
        c->len -= 2 + query;
        memmove(c->bytes, c->bytes + 2 + query, c->len);
    }
    if (c->len == sizeof c->bytes) /* a longer query than anybody has */
        client_end(c);
}

static void accept_client(struct name_server *ns)
{
    int fd = accept4(ns->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *c = fd >= 0 ? calloc(1, sizeof *c) : NULL;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    if (fd < 0)
        return;
    assert(c);
    c->fd = fd;
    list_push_back(&ns->clients, &c->link);
    int rc = epoll_ctl(ns->epoll, EPOLL_CTL_ADD, fd, &event);
    assert(rc == 0);
}

/* -- the thread -------------------------------------------------------------------------------- */

/* Sends what is due or released. Returns how long the next one still waits; -1: there is none. */
static int send_pending(struct name_server *ns)
{
    uint64_t now = clock_now_ns(), next = CLOCK_NEVER;

    pthread_mutex_lock(&ns->mutex);
    LIST_FOR (link, &ns->pending) {
        struct pending *p = CONTAINER_OF(link, struct pending, link);
        bool due = p->held_by ? p->held_by->released : p->due_ns <= now;
        if (due) {
            send_reply(ns, p->bytes, p->len, &p->peer);
            list_remove(link);
            free(p);
        } else if (!p->held_by && p->due_ns < next) {
            next = p->due_ns;
        }
    }
    pthread_mutex_unlock(&ns->mutex);
    return next == CLOCK_NEVER ? -1 : (int)((next - now + NS_PER_MS - 1) / NS_PER_MS);
}

static bool is_stopping(struct name_server *ns)
{
    eventfd_t wakes;

    eventfd_read(ns->wake, &wakes);
    pthread_mutex_lock(&ns->mutex);
    bool stopping = ns->stopping;
    pthread_mutex_unlock(&ns->mutex);
    return stopping;
}

static void *serve(void *arg)
{
    struct name_server *ns = arg;
    bool stopping = false;

    while (!stopping) {
        struct epoll_event events[64];
        int n = epoll_wait(ns->epoll, events, 64, send_pending(ns));
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &ns->udp)
                read_udp(ns);
            else if (events[i].data.ptr == &ns->listener)
                accept_client(ns);
            else if (events[i].data.ptr == &ns->wake)
                stopping = is_stopping(ns);
            else
                read_client(ns, events[i].data.ptr);
        }
    }
    return NULL;
}

/* -- start and stop ---------------------------------------------------------------------------- */

static int bound_socket(int type, struct sockaddr_in *address)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *address;

    if (fd >= 0 && bind(fd, (struct sockaddr *)address, len) == 0 &&
        getsockname(fd, (struct sockaddr *)address, &len) == 0)
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}

/* One port for both: the kernel chooses it for UDP, and where TCP finds it taken, another one. */
static bool open_sockets(struct name_server *ns)
{
    for (int i = 0; i < PORT_TRIES; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        ns->udp = bound_socket(SOCK_DGRAM, &address);
        if (ns->udp < 0)
            return false;
        ns->listener = bound_socket(SOCK_STREAM, &address);
        if (ns->listener >= 0) {
            snprintf(ns->address, sizeof ns->address, "127.0.0.1:%u", ntohs(address.sin_port));
            return listen(ns->listener, SOMAXCONN) == 0;
        }
        int error = errno;
        close(ns->udp);
        ns->udp = -1;
        errno = error;
        if (error != EADDRINUSE)
            break;
    }
    return false;
}

static bool watch(struct name_server *ns, int *fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};

    return *fd >= 0 && epoll_ctl(ns->epoll, EPOLL_CTL_ADD, *fd, &event) == 0;
}

static bool open_all(struct name_server *ns)
{
    int size = RECEIVE_BUFFER;

    ns->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ns->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (ns->epoll < 0 || !open_sockets(ns))
        return false;
    /* For a thousand questions at once; who may not go beyond the limit gets what there is. */
    if (setsockopt(ns->udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(ns->udp, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return watch(ns, &ns->wake) && watch(ns, &ns->udp) && watch(ns, &ns->listener);
}

static void release(struct name_server *ns)
{
    const int descriptors[] = {ns->udp, ns->listener, ns->wake, ns->epoll};
    struct scripted *s = ns->names;

    HASH_CLEAR(hh, ns->names);
    while (s) {
        struct scripted *next = s->hh.next;
        name_turns_free(&s->turns[NAME_A]);
        name_turns_free(&s->turns[NAME_AAAA]);
        free(s);
        s = next;
    }
    for (struct list *link; (link = list_pop_front(&ns->pending));)
        free(CONTAINER_OF(link, struct pending, link));
    for (struct list *link; (link = list_pop_front(&ns->clients));)
        client_end(CONTAINER_OF(link, struct client, link));
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    pthread_cond_destroy(&ns->changed);
    pthread_mutex_destroy(&ns->mutex);
    free(ns);
}

struct name_server *name_server_start(void)
{
    struct name_server *ns = calloc(1, sizeof *ns);
    pthread_condattr_t monotonic;

    if (!ns)
        return NULL;
    ns->udp = ns->listener = -1;
    list_init(&ns->pending);
    list_init(&ns->clients);
    pthread_mutex_init(&ns->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ns->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int error = open_all(ns) ? pthread_create(&ns->thread, NULL, serve, ns) : errno;
    if (error) {
        release(ns);
        errno = error;
        return NULL;
    }
    return ns;
}

struct name_server *name_server_stop(struct name_server *ns)
{
    if (!ns)
        return NULL;
    pthread_mutex_lock(&ns->mutex);
    ns->stopping = true;
    pthread_mutex_unlock(&ns->mutex);
    eventfd_write(ns->wake, 1);
    pthread_join(ns->thread, NULL);
    release(ns);
    return NULL;
}

const char *name_server_address(const struct name_server *ns)
{
    return ns->address;
}
