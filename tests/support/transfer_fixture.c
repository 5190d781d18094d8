#include "tests/support/transfer_fixture.h"

#include "core/base/clock.h"
#include "tests/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct engine_options engine_options;
struct large_bodies large_bodies;
static struct engine *engine;
static struct guard *guard;
static atomic_ptrdiff_t held;

/* -- engine ------------------------------------------------------------------------------------ */

static void hold(void *arg, ptrdiff_t change)
{
    (void)arg;
    atomic_fetch_add(&held, change);
}

ptrdiff_t bytes_held(void)
{
    return atomic_load(&held);
}

static void engine_make_here(void *arg)
{
    int *error = arg;

    engine = engine_free(engine);
    errno = 0;
    engine = engine_new(&engine_options);
    *error = engine ? 0 : errno;
}

void engine_make(void)
{
    int error;

    on_loop(engine_make_here, &error);
    ck_assert_ptr_nonnull(engine);
}

struct engine *engine_made(void)
{
    return engine;
}

bool engine_refused(void)
{
    int error;

    on_loop(engine_make_here, &error);
    ck_assert(!engine || error == 0);
    return error == EINVAL;
}

static void engine_free_here(void *arg)
{
    (void)arg;
    engine = engine_free(engine);
}

void transfer_setup(void)
{
    struct net nets[2];

    async_setup();
    ck_assert_int_eq(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
    ck_assert_int_eq(net_parse("127.0.0.0/8", &nets[0]), 0);
    ck_assert_int_eq(net_parse("::1", &nets[1]), 0);
    ck_assert_int_eq(guard_new(&(struct guard_options){.allow = nets, .allow_count = 2}, &guard),
                     0);
    large_bodies_init(&large_bodies, 8);
    engine_options = (struct engine_options){
        .guard = guard,
        .connect_timeout_ms = 5000,
        .max_connections = 100,
        .receive_buffer_bytes = 64 << 10,
        .hold = hold,
        .large = &large_bodies,
    };
}

void transfer_teardown(void)
{
    on_loop(engine_free_here, NULL);
    guard_free(guard);
    ck_assert_int_eq(bytes_held(), 0);
    ck_assert(list_empty(&large_bodies.waiting));
    curl_global_cleanup();
    async_teardown();
}

/* -- addresses --------------------------------------------------------------------------------- */

struct address loopback(uint16_t port)
{
    struct address a = {.v4 = {.sin_family = AF_INET}};

    a.v4.sin_port = htons(port);
    a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

int connect_to(const struct address *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, &address->any, sizeof address->v4), 0);
    return fd;
}

struct transfer_request request_to(const struct address *pin)
{
    return (struct transfer_request){
        .address = pin,
        .socket = -1,
        .user_agent = "skimd-test/1",
        .timeout_ms = 10000,
        .max_body_bytes = 4 << 20,
    };
}

/* -- exchanges --------------------------------------------------------------------------------- */

struct get {
    char url[512];
    const struct transfer_request *request;
    struct target target;
    future *transfer;
};

static void copy_text(char *to, size_t size, struct bytes from)
{
    snprintf(to, size, "%.*s", (int)from.len, from.ptr ? from.ptr : "");
}

static void copy_response(struct outcome *o, const struct response *r)
{
    o->status = r->http_status;
    o->body_len = r->body.len;
    o->body_bytes = r->body_bytes;
    o->stopped = r->stopped;
    o->has_retry_after = r->has_retry_after;
    o->retry_after_s = r->retry_after_s;
    o->timing = r->timing;
    copy_text(o->body, sizeof o->body, buffer_bytes(&r->body));
    copy_text(o->content_type, sizeof o->content_type, r->content_type);
    copy_text(o->cache_control, sizeof o->cache_control, r->cache_control);
    copy_text(o->location, sizeof o->location, r->location);
    copy_text(o->remote_ip, sizeof o->remote_ip, bytes_cstr(r->remote_ip));
}

static void copy_failure(struct outcome *o, const struct transfer_failure *failure)
{
    o->phase = failure->phase;
    o->timing = failure->timing;
    copy_text(o->message, sizeof o->message, bytes_cstr(failure->message));
}

static future *transfer_of(struct get *g)
{
    struct transfer_request request = *g->request;

    request.target = &g->target;
    return transfer_start(engine, &request);
}

static int get_step(task *t, void *frame)
{
    struct get *g = frame;
    const char *message;
    struct outcome *o;

    BEGIN(t);
    if (target_parse(bytes_cstr(g->url), &g->target, &message)) {
        task_fail(t, -EINVAL, NULL, NULL);
        return TASK_FINISHED;
    }
    AWAIT(t, g->transfer, transfer_of(g));
    o = calloc(1, sizeof *o);
    o->code = future_error(g->transfer);
    if (future_ok(g->transfer))
        copy_response(o, future_value(g->transfer));
    else if (future_value(g->transfer))
        copy_failure(o, future_value(g->transfer));
    task_return(t, o, free);
    END(t);
}

static void get_drop(void *frame)
{
    struct get *g = frame;

    future_drop(g->transfer);
    target_free(&g->target);
}

TASK(get_task, ON_LOOP, sizeof(struct get), .step = get_step, .drop = get_drop);

future *get_begin(struct scope *scope, const char *url, const struct transfer_request *request)
{
    struct get g = {.request = request};

    snprintf(g.url, sizeof g.url, "%s", url);
    return task_start_in(scope, &get_task, &g);
}

const struct outcome *get_end(future *f)
{
    static struct outcome last;

    ck_assert_int_eq(future_wait(f, clock_after_ms(clock_now_ns(), PATIENCE_MS)), 0);
    ck_assert_msg(future_ok(f), "the test's own task failed with %d", future_error(f));
    last = *(const struct outcome *)future_value(f);
    future_drop(f);
    return &last;
}

const struct outcome *get(const char *url, const struct transfer_request *request)
{
    return get_end(get_begin(NULL, url, request));
}
