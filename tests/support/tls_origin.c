/*
 * One thread with an epoll set. OpenSSL does the reading and writing; what it wants to wait for is
 * the interest of the connection.
 */
#include "tests/support/tls_origin.h"

#include "core/base/list.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.1 200 OK\r\n"
                             "Content-Type: text/html\r\n"
                             "Content-Length: 28\r\n"
                             "\r\n"
                             "<title>A secret page</title>";

struct tls_origin {
    pthread_t thread;
    int epoll, listener, wake;
    uint16_t port;
    SSL_CTX *context;
    struct list connections;
    atomic_uint_least64_t counters[TLS_COUNTERS];
    pthread_mutex_t mutex;
    char asked_name[256];
};

struct connection {
    struct list link;
    int fd;
    SSL *ssl;
    char head[4096]; /* what came of a request's head */
    size_t head_len;
    size_t to_send; /* bytes of `answer`, its last ones */
};

static void count(struct tls_origin *o, enum tls_counter counter)
{
    atomic_fetch_add(&o->counters[counter], 1);
}

/* -- connections ------------------------------------------------------------------------------- */

static void connection_close(struct connection *c)
{
    list_remove(&c->link);
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
}

static void watch(struct tls_origin *o, int op, int fd, uint32_t events, void *who)
{
    struct epoll_event event = {.events = events, .data.ptr = who};

    ck_assert_int_eq(epoll_ctl(o->epoll, op, fd, &event), 0);
}

static void accept_one(struct tls_origin *o)
{
    int fd = accept4(o->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *c = fd >= 0 ? calloc(1, sizeof *c) : NULL;

    if (fd < 0)
        return; /* the client has left */
    ck_assert_ptr_nonnull(c);
    c->fd = fd;
    c->ssl = SSL_new(o->context);
    ck_assert_ptr_nonnull(c->ssl);
    SSL_set_fd(c->ssl, fd);
    SSL_set_accept_state(c->ssl);
    list_push_back(&o->connections, &c->link);
    count(o, TLS_CONNECTIONS);
    watch(o, EPOLL_CTL_ADD, fd, EPOLLIN, c);
}

static void after_handshake(struct tls_origin *o, struct connection *c)
{
    const char *name = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);

    pthread_mutex_lock(&o->mutex);
    snprintf(o->asked_name, sizeof o->asked_name, "%s", name ? name : "");
    pthread_mutex_unlock(&o->mutex);
    if (SSL_session_reused(c->ssl))
        count(o, TLS_RESUMED);
    count(o, TLS_HANDSHAKES);
}

/* One step: shakes hands, reads some of a request or writes some of the answer. As OpenSSL has it:
 * <= 0 when it cannot go on now, or at all. */
static int step(struct tls_origin *o, struct connection *c)
{
    int rc;

    if (!SSL_is_init_finished(c->ssl)) {
        rc = SSL_do_handshake(c->ssl);
        if (rc == 1)
            after_handshake(o, c);
        return rc;
    }
    if (c->to_send > 0) {
        rc = SSL_write(c->ssl, answer + sizeof answer - 1 - c->to_send, (int)c->to_send);
        if (rc > 0)
            c->to_send -= (size_t)rc;
        return rc;
    }
    rc = SSL_read(c->ssl, c->head + c->head_len, (int)(sizeof c->head - c->head_len));
    if (rc <= 0)
        return rc;
    c->head_len += (size_t)rc;
    if (memmem(c->head, c->head_len, "\r\n\r\n", 4)) { /* nobody sends the next one already */
        count(o, TLS_REQUESTS);
        c->head_len = 0;
        c->to_send = sizeof answer - 1;
    }
    return rc;
}

static void serve(struct tls_origin *o, struct connection *c)
{
    int rc;

    do {
        ERR_clear_error();
        rc = step(o, c);
    } while (rc > 0);
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        watch(o, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
        break;
    case SSL_ERROR_WANT_WRITE:
        watch(o, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
        break;
    default:
        connection_close(c);
    }
}

static void *run(void *arg)
{
    struct tls_origin *o = arg;
    struct epoll_event events[64];

    for (;;) {
        int n = epoll_wait(o->epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &o->wake)
                return NULL;
            if (events[i].data.ptr == o)
                accept_one(o);
            else
                serve(o, events[i].data.ptr);
        }
    }
}

/* -- life -------------------------------------------------------------------------------------- */

static void listen_on_loopback(struct tls_origin *o)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;

    o->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(o->listener, 0);
    ck_assert_int_eq(bind(o->listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(o->listener, SOMAXCONN), 0);
    ck_assert_int_eq(getsockname(o->listener, (struct sockaddr *)&address, &length), 0);
    o->port = ntohs(address.sin_port);
}

struct tls_origin *tls_origin_start(const struct tls_authority *authority,
                                    enum tls_certificate kind, const char *names)
{
    struct tls_origin *o = calloc(1, sizeof *o);

    ck_assert_ptr_nonnull(o);
    list_init(&o->connections);
    pthread_mutex_init(&o->mutex, NULL);
    o->context = tls_server_context(authority, kind, names);
    o->epoll = epoll_create1(EPOLL_CLOEXEC);
    o->wake = eventfd(0, EFD_CLOEXEC);
    ck_assert(o->epoll >= 0 && o->wake >= 0);
    listen_on_loopback(o);
    watch(o, EPOLL_CTL_ADD, o->listener, EPOLLIN, o);
    watch(o, EPOLL_CTL_ADD, o->wake, EPOLLIN, &o->wake);
    ck_assert_int_eq(pthread_create(&o->thread, NULL, run, o), 0);
    return o;
}

struct tls_origin *tls_origin_stop(struct tls_origin *o)
{
    if (!o)
        return NULL;
    ck_assert_int_eq(eventfd_write(o->wake, 1), 0);
    pthread_join(o->thread, NULL);
    LIST_FOR (link, &o->connections) {
        connection_close(CONTAINER_OF(link, struct connection, link));
    }
    close(o->listener);
    close(o->epoll);
    close(o->wake);
    SSL_CTX_free(o->context);
    pthread_mutex_destroy(&o->mutex);
    free(o);
    return NULL;
}

uint16_t tls_origin_port(const struct tls_origin *o)
{
    return o->port;
}

uint64_t tls_origin_count(struct tls_origin *o, enum tls_counter counter)
{
    return atomic_load(&o->counters[counter]);
}

void tls_origin_asked_name(struct tls_origin *o, char *name, size_t size)
{
    pthread_mutex_lock(&o->mutex);
    snprintf(name, size, "%s", o->asked_name);
    pthread_mutex_unlock(&o->mutex);
}
