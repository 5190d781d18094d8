/*
 * libmicrohttpd on our loop. Its epoll descriptor is watched by the loop; whenever that is ready,
 * or a connection has something new to say, MHD_run() does what can be done without waiting.
 *
 *     socket ready ──▶ epoll of MHD ──▶ on_ready ──┐
 *     respond, write, end ──▶ http_wake ──▶ run_job ──▶ resume ──▶ MHD_run ──▶ callbacks
 *
 * MHD_run() is never entered from one of its own callbacks: http_wake() only queues the exchange
 * and posts one job, which also makes all writes of a turn one resumption. A connection whose
 * answer is not there yet, or whose stream has nothing to send, is suspended: libmicrohttpd then
 * neither times it out nor notices that its client has left, so exchange.c watches the socket of a
 * stream.
 */
#include "server/http/internal.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/*
 * Memory of a connection: bounds the head of a request, and a chunk of a stream. Up to 32 KiB
 * libmicrohttpd takes it from malloc, above from mmap for each connection.
 */
enum { CONNECTION_MEMORY = 32 << 10 };

/* Buffer of a stream to an HTTP/1.0 client; chunks are made in the connection's memory. */
enum { STREAM_BLOCK_1_0 = 16 << 10, STREAM_BLOCK = 512 };

/* What TLS may be: GnuTLS' choice of ciphers, no version of which RFC 8996 says that it is over. */
#define TLS_VERSIONS "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* Parts of a query, at most. */
enum { QUERY_PARTS_MAX = 256 };

/* A resumed stream needs two rounds to send: one makes the chunk, one writes it. */
enum { ROUNDS_PER_TURN = 3 };

/*
 * Bytes of large bodies that are read in one turn of the loop, from as many connections as give
 * that much: 1,000 clients that post at once would keep everybody else for a quarter of a second.
 */
enum { READ_BYTES_PER_TURN = 256 << 10, READ_IN_A_ROW = 1 << 20, SMALL_BODY = 4 << 10 };

/* -- running libmicrohttpd --------------------------------------------------------------------- */

static void post_run(struct http_server *s)
{
    if (!s->run_posted) {
        s->run_posted = true;
        loop_post(&s->run_job);
    }
}

/* Connections have no timeouts inside MHD, so that this says "at once" or "never". */
static bool has_more_to_do(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG timeout;

    return MHD_get_timeout(s->daemon, &timeout) == MHD_YES && timeout == 0;
}

static void run_daemon(struct http_server *s)
{
    bool more = true;

    s->read_bytes = 0;
    s->running = true;
    for (int i = 0; more && i < ROUNDS_PER_TURN; i++) {
        MHD_run(s->daemon);
        connections_await_handshakes(s);
        more = has_more_to_do(s);
    }
    s->running = false;
    http_identities_sweep(&s->identities);
    if (more)
        post_run(s);
    if (!list_empty(&s->reading))
        timer_set(&s->read_timer, loop_now_ns());
}

static void on_ready(void *arg, int fd, uint32_t events)
{
    (void)fd;
    (void)events;
    run_daemon(arg);
}

static void resume(struct exchange *x)
{
    list_remove(&x->wake);
    if (x->suspended) {
        x->suspended = false;
        MHD_resume_connection(x->mhd);
    }
}

/* As many bodies as may be read in this turn go on. */
static void read_on(struct timer *timer)
{
    struct http_server *s = CONTAINER_OF(timer, struct http_server, read_timer);

    for (size_t n = 0; n < READ_BYTES_PER_TURN / CONNECTION_MEMORY && !list_empty(&s->reading); n++)
        resume(CONTAINER_OF(s->reading.next, struct exchange, wake));
    run_daemon(s);
}

static void run_job(struct job *job)
{
    struct http_server *s = CONTAINER_OF(job, struct http_server, run_job);

    s->run_posted = false;
    if (s->stopped) {
        free(s);
        return;
    }
    while (!list_empty(&s->woken))
        resume(CONTAINER_OF(s->woken.next, struct exchange, wake));
    run_daemon(s);
}

void http_wake(struct exchange *x)
{
    if (x->suspended && list_empty(&x->wake)) {
        list_push_back(&x->server->woken, &x->wake);
        post_run(x->server);
    }
}

void http_suspend(struct connection *c)
{
    MHD_suspend_connection(c->mhd);
}

void http_resume(struct connection *c)
{
    MHD_resume_connection(c->mhd);
    post_run(c->server);
}

void http_cut(struct exchange *x)
{
    x->cut = true;
    shutdown(x->connection->fd, SHUT_RDWR);
    http_wake(x);
}

/* -- requests ---------------------------------------------------------------------------------- */

/*
 * libmicrohttpd takes the query apart for itself, and waits for ever when its memory does not
 * suffice for all the parts.
 */
static bool has_too_many_parts(const char *target)
{
    unsigned parts = 0;

    for (; *target && parts <= QUERY_PARTS_MAX; target++)
        parts += *target == '&';
    return parts > QUERY_PARTS_MAX;
}

/* What this returns for a request line is MHD's context for the rest of the exchange. */
static void *on_target(void *arg, const char *target, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct connection *c = info ? info->socket_context : NULL;
    struct problem problem;

    (void)arg;
    if (!c)
        return NULL;
    connection_open(c);
    if (has_too_many_parts(target)) {
        problem_set(&problem, PROBLEM_BAD_REQUEST, NULL, "The query has more than %d parts.",
                    QUERY_PARTS_MAX);
        connection_refuse(c, &problem);
        shutdown(c->fd, SHUT_RDWR);
        return NULL;
    }
    return exchange_new(c, mhd, bytes_cstr(target));
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **context,
                         enum MHD_RequestTerminationCode why)
{
    struct http_server *s = arg;
    struct exchange *x = *context;

    (void)mhd;
    *context = NULL;
    if (!x)
        return;

    struct connection *c = x->connection;
    if (x->response) {
        MHD_destroy_response(x->response);
        x->response = NULL;
        x->status = 0; /* nobody saw it */
    }
    exchange_completed(x, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        connection_enter(c, HTTP_IDLE);
    if (s->draining)
        shutdown(c->fd, SHUT_RDWR); /* the kernel still sends what it has */
}

/* Gives the answer to MHD. It goes out as soon as the socket takes it. */
static enum MHD_Result send_response(struct exchange *x)
{
    struct MHD_Response *response = x->response;

    x->response = NULL;
    if (!x->streaming || x->ended)
        connection_enter(x->connection, HTTP_SEND);
    enum MHD_Result result = MHD_queue_response(x->mhd, (unsigned)x->status, response);
    MHD_destroy_response(response); /* our reference */
    return result;
}

static enum MHD_Result read_field(void *arg, enum MHD_ValueKind kind, const char *name,
                                  size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    http_head_field(arg, bytes_of(name, name_len), bytes_of(value, value_len));
    return MHD_YES;
}

/*
 * A refusal goes out at once only where the connection must be closed, for that is what MHD does
 * when it is answered here; else it waits for the call that ends the request.
 */
static enum MHD_Result begin(struct exchange *x, const char *method, const char *version)
{
    struct http_head head = {.http_1_0 = strcmp(version, "HTTP/1.0") == 0};
    bool close_it = false;

    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, read_field, &head);
    if (exchange_begin(x, bytes_cstr(method), &head, &close_it) || !close_it)
        return MHD_YES;
    return x->response ? send_response(x) : MHD_NO;
}

/* The request is in; called again when the connection was resumed. */
static enum MHD_Result answer(struct exchange *x)
{
    exchange_hand_over(x);
    if (x->cut)
        return MHD_NO;
    if (x->response)
        return send_response(x);
    x->suspended = true;
    MHD_suspend_connection(x->mhd);
    return MHD_YES;
}

/*
 * It waits until it may be read. A body that was begun goes on before others begin, or all of a
 * crowd would be in memory by halves; but no more than a megabyte of it, as it may be a large one.
 */
static void wait_to_read(struct exchange *x)
{
    struct http_server *s = x->server;
    size_t in_a_row = x->body.len - x->round_start;

    x->suspended = true;
    MHD_suspend_connection(x->mhd);
    if (in_a_row > 0 && in_a_row < READ_IN_A_ROW) {
        list_push_front(&s->reading, &x->wake);
    } else {
        x->round_start = x->body.len;
        list_push_back(&s->reading, &x->wake);
    }
}

/* False: not in this turn of the loop. MHD keeps what has come, and reads no more until then. */
static bool may_read(struct exchange *x, size_t bytes)
{
    struct http_server *s = x->server;

    if (s->read_bytes >= READ_BYTES_PER_TURN && x->body.len + bytes > SMALL_BODY && !x->cut) {
        wait_to_read(x);
        return false;
    }
    s->read_bytes += bytes;
    return true;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_len, void **context)
{
    struct exchange *x = *context;

    (void)arg;
    (void)mhd;
    (void)url; /* decoded; on_target() had it as sent */
    if (!x)
        return MHD_NO;          /* there was no memory for it */
    if (x->connection->refused) /* its time was up, though the rest had come */
        return MHD_NO;
    if (!x->begun)
        return begin(x, method, version);
    if (*body_len == 0)
        return answer(x);
    if (!may_read(x, *body_len))
        return MHD_YES;
    if (!exchange_body(x, bytes_of(body, *body_len)))
        return MHD_NO;
    connection_look_again(x->connection);
    *body_len = 0;
    return MHD_YES;
}

struct bytes exchange_header(const struct exchange *x, const char *name)
{
    const char *value = NULL;
    size_t length = 0;

    if (!x->mhd || MHD_lookup_connection_value_n(x->mhd, MHD_HEADER_KIND, name, strlen(name),
                                                 &value, &length) != MHD_YES)
        return (struct bytes){0};
    return bytes_of(value ? value : "", length);
}

/* -- answers ----------------------------------------------------------------------------------- */

static bool add_field(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/*
 * Whether another request may be read from the connection behind this one. libmicrohttpd before 1.0
 * hides from us header lines that change where a body ends (a folded Content-Length, a line without
 * a name), so there nothing is read behind what may have a body: it could be part of that.
 */
static bool may_keep_alive(const struct exchange *x)
{
    if (x->server->draining)
        return false;
    return MHD_VERSION >= 0x01000000 || strcmp(x->method, "GET") == 0 ||
           strcmp(x->method, "HEAD") == 0;
}

/* Adds what the application wants every answer to have. */
static bool add_fields(const struct exchange *x, struct MHD_Response *response)
{
    const struct http_application *application = &x->server->application;
    struct http_field fields[HTTP_FIELDS_MOST];
    size_t count = application->fields ? application->fields(x, application->arg, fields) : 0;

    for (size_t i = 0; i < count; i++)
        if (!add_field(response, fields[i].name, fields[i].value))
            return false;
    return true;
}

/* Adds what every answer has. `complete`: so far nothing has failed. */
static int set_response(struct exchange *x, int status, const char *content_type,
                        struct MHD_Response *response, bool complete)
{
    if (complete && (!content_type || add_field(response, "Content-Type", content_type)) &&
        add_field(response, "X-Content-Type-Options", "nosniff") && add_fields(x, response) &&
        (may_keep_alive(x) || add_field(response, "Connection", "close"))) {
        x->response = response;
        x->status = status;
        return 0;
    }
    if (response)
        MHD_destroy_response(response);
    return -ENOMEM;
}

int http_make_whole(struct exchange *x, int status, const char *content_type,
                    const struct http_field *fields, struct buffer *body)
{
    bool complete = !body->failed;
    size_t length;
    char *bytes = buffer_take(body, &length);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, bytes, MHD_RESPMEM_MUST_FREE);

    if (!response) {
        free(bytes);
        return -ENOMEM;
    }
    x->sent_bytes = strcmp(x->method, "HEAD") == 0 ? 0 : length;
    for (; complete && fields && fields->name; fields++)
        complete = add_field(response, fields->name, fields->value);
    return set_response(x, status, content_type, response, complete);
}

static ssize_t read_stream(void *arg, uint64_t position, char *bytes, size_t max)
{
    struct exchange *x = arg;

    (void)position;
    if (x->cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;

    ssize_t n = exchange_read(x, bytes, max);
    if (n == -ENODATA)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == -EAGAIN) {
        x->suspended = true;
        MHD_suspend_connection(x->mhd);
        return 0;
    }
    return n;
}

int http_make_stream(struct exchange *x, int status, const char *content_type)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, x->http_1_0 ? STREAM_BLOCK_1_0 : STREAM_BLOCK, read_stream, x, NULL);
    bool complete = response && add_field(response, "Cache-Control", "no-store") &&
                    add_field(response, "X-Accel-Buffering", "no");

    return set_response(x, status, content_type, response, complete);
}

/* -- the server -------------------------------------------------------------------------------- */

static void on_connection(void *arg, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = arg;
    struct connection *c = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        /* What is told lies in one place for all of them, from libmicrohttpd 1.0 on. */
        int fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        void *tls = info ? info->tls_session : NULL;

        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        c = connection_new(s, mhd, fd, tls, info ? info->client_addr : NULL);
        *context = c;
        if (!c)
            shutdown(fd, SHUT_RDWR);
        else if (c->tls)
            c->identity = http_identity_show(&s->identities, c->tls);
    } else {
        if (c)
            http_identity_leave(c->identity);
        *context = connection_free(c);
        post_run(s); /* where no more could be accepted, MHD only looks at its next run */
    }
}

/* libmicrohttpd takes options as pointers to what it does not write. */
static void *text_option(const char *text)
{
    return (void *)(uintptr_t)text;
}

static struct MHD_Daemon *start_daemon(struct http_server *s, int listen_fd)
{
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, listen_fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)s->options.max_connections, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, 0, NULL}, /* see deadline.h */
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL}, /* the loop thread has signals blocked */
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, text_option(s->options.tls_certificate)},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, text_option(s->options.tls_key)},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, text_option(TLS_VERSIONS)},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    bool encrypted = s->options.tls_certificate != NULL;

    /* Not MHD_USE_ERROR_LOG, which writes to standard error. */
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (encrypted ? MHD_USE_TLS : 0), 0, NULL, NULL,
        on_request, s, MHD_OPTION_ARRAY, options, MHD_OPTION_ARRAY, encrypted ? tls : none,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
}

/* Starts `s`, whose options are set. 0, or a negative errno; nothing is left open then. */
static int start(struct http_server *s, const char **ret_message)
{
    int fd = s->options.listen_fd > 0 ? http_adopt(s->options.listen_fd, s->address, ret_message)
                                      : http_listen(&s->options.listen, s->address, ret_message);

    if (fd < 0)
        return fd;
    if (s->options.tls_certificate && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        *ret_message = "libmicrohttpd was built without TLS";
        close(fd);
        return -ENOTSUP;
    }
    s->daemon = start_daemon(s, fd);
    if (!s->daemon) {
        *ret_message = "cannot start the HTTP server";
        close(fd);
        return -ENOMEM;
    }
    s->epoll = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    int rc = loop_watch(s->epoll, EPOLLIN, on_ready, s);
    if (rc < 0) {
        *ret_message = "cannot watch the listening socket";
        MHD_stop_daemon(s->daemon);
        return rc;
    }
    post_run(s); /* the first run puts the listening socket into MHD's epoll set */
    return 0;
}

int http_start(const struct http_options *options, const struct http_application *application,
               struct http_server **ret_server, const char **ret_message)
{
    struct http_server *s = calloc(1, sizeof *s);

    if (!s) {
        *ret_message = "out of memory";
        return -ENOMEM;
    }
    s->options = *options;
    s->application = *application;
    s->run_job.run = run_job;
    list_init(&s->connections);
    list_init(&s->waiting);
    list_init(&s->shaking);
    list_init(&s->exchanges);
    list_init(&s->woken);
    list_init(&s->reading);
    s->read_timer.fire = read_on;
    s->room_timer.fire = connections_make_room;
    http_linger_init(&s->lingering);
    http_identities_init(&s->identities);

    int rc = start(s, ret_message);
    if (rc < 0)
        free(s);
    else
        *ret_server = s;
    return rc;
}

const char *http_address(const struct http_server *s)
{
    return s->address;
}

void http_drain(struct http_server *s)
{
    if (s->draining)
        return;
    s->draining = true;

    if (s->options.listen_fd > 0)
        close(MHD_quiesce_daemon(s->daemon));
    LIST_FOR (link, &s->connections) {
        struct connection *c = CONTAINER_OF(link, struct connection, link);

        if (c->deadline.phase == HTTP_IDLE)
            shutdown(c->fd, SHUT_RDWR);
    }
}

int http_renew(struct http_server *s, const struct tls_identity *identity)
{
    return http_identities_renew(&s->identities, identity);
}

size_t http_exchanges(const struct http_server *s)
{
    return s->exchange_count;
}

size_t http_connections(const struct http_server *s)
{
    return s->connection_count;
}

uint64_t http_evictions(const struct http_server *s)
{
    return s->evictions;
}

void http_settle_idle(struct http_server *s)
{
    if (s->idle) {
        promise_resolve(s->idle, NULL, NULL);
        s->idle = promise_drop(s->idle);
    }
}

future *http_idle(struct http_server *s)
{
    future *idle;

    if (s->exchange_count == 0)
        return future_done();

    promise *p = promise_new(&idle);
    if (!p)
        return future_out_of_memory();
    promise_drop(s->idle); /* one that was cancelled */
    s->idle = p;
    return idle;
}

struct http_server *http_stop(struct http_server *s)
{
    if (!s)
        return NULL;
    assert(!s->running);

    s->stopped = true;
    LIST_FOR (link, &s->exchanges) {
        struct exchange *x = CONTAINER_OF(link, struct exchange, link);

        x->cut = true;
        resume(x); /* MHD takes no end while connections are suspended */
    }
    LIST_FOR (link, &s->connections)
        connection_resume(CONTAINER_OF(link, struct connection, link));
    timer_clear(&s->read_timer);
    timer_clear(&s->room_timer);
    loop_forget(s->epoll);
    MHD_stop_daemon(s->daemon); /* ends every exchange and connection, by the callbacks above */
    http_identities_end(&s->identities);
    http_linger_end(&s->lingering);
    LIST_FOR (link, &s->exchanges) {
        CONTAINER_OF(link, struct exchange, link)->server = NULL;
        list_remove(link);
    }
    http_settle_idle(s);
    if (!s->run_posted)
        free(s);
    return NULL;
}
