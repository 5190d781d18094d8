#include "server/serve.h"

#include "core/async/async.h"
#include "core/async/loop.h"
#include "core/base/clock.h"
#include "core/fetch/fetch.h"
#include "parsers/parse_page.h"
#include "server/api.h"
#include "server/batch/batch.h"
#include "server/config/endpoint.h"
#include "server/http/http.h"
#include "server/log.h"
#include "server/memory/memory_watch.h"
#include "server/renewal.h"
#include "server/version.h"
#include "server/watch/report.h"
#include "server/watch/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    BODY_TIMEOUT_MS = 30000,
    BODY_MIN_RATE = 500,     /* bytes a second, as Apache's mod_reqtimeout has it */
    SEND_TIMEOUT_MS = 60000, /* without a byte taken of an answer whose end is known */
    IDLE_TIMEOUT_MS = 60000,
    STREAM_HIGH_WATER = 64 * 1024,
    DESCRIPTORS_BESIDE = 64, /* of what is neither a client nor a fetch nor a worker */
    END_MS = 5000,           /* for what comes behind the grace: workers and connections closed */
    FLUSH_MS = 2000, /* the last part of the grace: for clients to read what is given back */
};

struct daemon {
    const struct config *config;
    const struct tls_identity *identity;
    int listen_fd; /* handed over; 0: none */
    struct notifier *notifier;
    struct guard *guard;
    struct memory memory;
    const char *ceiling_source;
    struct memory_watch memory_watch;
    struct batches batches;
    struct api api;
    struct http_server *http;
    struct renewal *renewal; /* NULL: no TLS */
    struct watch watch;
    int signals; /* signalfd; -1: none */
    promise *stop;
    struct timer grace;
    bool given_back;

    future *probe, *stopped, *noticed, *idle, *ended;
};

/* -- ending ------------------------------------------------------------------------------------ */

/* Of the grace, what is kept for clients to read what is given back. */
static uint64_t flush_ms(const struct daemon *d)
{
    return d->config->grace_ms < 2 * FLUSH_MS ? d->config->grace_ms / 2 : FLUSH_MS;
}

/* First everything that is not done is given back, then, a little later, clients are cut off. */
static void out_of_patience(struct timer *timer)
{
    struct daemon *d = CONTAINER_OF(timer, struct daemon, grace);

    if (d->given_back) {
        future_cancel(d->idle);
        return;
    }
    d->given_back = true;
    batches_shut_down(&d->batches);
    timer_set(&d->grace, clock_after_ms(loop_now_ns(), flush_ms(d)));
}

static void on_signal(void *arg, int fd, uint32_t events)
{
    struct daemon *d = arg;
    struct signalfd_siginfo info;

    (void)events;
    if (read(fd, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGUSR1) {
        report_tasks();
        return;
    }
    if (info.ssi_signo == SIGHUP) {
        access_reload(d->api.access);
        renewal_start(d->renewal);
        return;
    }
    d->api.leaving = true; /* before anybody reads that we do */
    log_info("stopping", log_text("signal", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM"),
             log_unsigned("exchanges", http_exchanges(d->http)));
    if (d->stop) {
        promise_resolve(d->stop, NULL, NULL);
        d->stop = promise_drop(d->stop);
    } else if (d->noticed && !future_settled(d->noticed)) {
        future_cancel(d->noticed); /* the second signal: now */
    } else if (!d->given_back) {
        out_of_patience(&d->grace); /* and so here */
    }
}

static future *stop_asked(struct daemon *d)
{
    future *f;

    d->stop = promise_new(&f);
    return d->stop ? f : future_out_of_memory();
}

/*
 * Gives load balancers the time to learn that we go. The manager's patience is stretched over that
 * and the grace, whatever its unit says.
 */
static future *noticed(struct daemon *d)
{
    uint64_t delay_ms = d->config->drain_delay_ms;

    notify_send(d->notifier, "STOPPING=1\nSTATUS=draining, %zu exchanges\nEXTEND_TIMEOUT_USEC=%llu",
                http_exchanges(d->http),
                (unsigned long long)(delay_ms + d->config->grace_ms + END_MS) * 1000);
    return delay_ms > 0 ? future_after_ms(delay_ms) : future_done();
}

static future *drained(struct daemon *d)
{
    d->api.draining = true;
    http_drain(d->http);
    timer_set(&d->grace, clock_after_ms(loop_now_ns(), d->config->grace_ms - flush_ms(d)));
    return http_idle(d->http);
}

/* -- starting ---------------------------------------------------------------------------------- */

/* A page for the first worker: a daemon whose workers cannot start should not start either. */
static future *probe_worker(void)
{
    return parse_page(future_done(), &(struct page_request){
                                         .body = BYTES("<title>probe</title>"),
                                         .content_type = BYTES("text/html"),
                                         .max_decoded_bytes = 1024,
                                     });
}

static bool watch_signals(struct daemon *d)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return d->signals >= 0 && loop_watch(d->signals, EPOLLIN, on_signal, d) == 0;
}

static struct fetcher *new_fetcher(struct daemon *d)
{
    const struct config *c = d->config;
    const char *message;
    struct fetcher *f = fetcher_new(
        &(struct fetcher_options){
            .guard = d->guard,
            .concurrency = (unsigned)c->concurrency,
            .per_origin = (unsigned)c->per_host,
            .delay_ms = c->host_delay_ms,
            .connect_timeout_ms = (unsigned)c->connect_timeout_ms,
            .low_speed_bytes = (unsigned)c->low_speed_bytes,
            .low_speed_ms = (unsigned)c->low_speed_ms,
            .hold_bytes = memory_hold_bytes(&d->memory),
            .has_room = d->memory.ceiling > 0 ? memory_allows_fetch : NULL,
            .has_room_arg = &d->memory,
            .max_page_bytes = c->max_page_bytes,
            .user_agent = c->user_agent,
            .ca_file = c->ca_file,
            .proxy = c->proxy,
            .dns_servers = c->dns_servers,
        },
        &message);

    if (!f)
        log_error("cannot fetch", log_text("what", message),
                  log_text("ca_file", c->ca_file ? c->ca_file : ""), log_errno(errno));
    return f;
}

static void tell_cannot_serve(const struct config *c, const char *what, int error)
{
    struct buffer address = {0};

    endpoint_write(&address, &c->listen);
    log_error("cannot serve", log_text("what", what), log_bytes("address", buffer_bytes(&address)),
              log_errno(error));
    buffer_free(&address);
}

/* Without enough of them, fetches fail as if it were their hosts' fault. */
static void tell_few_descriptors(const struct config *c)
{
    uint64_t wanted = c->max_connections + fetcher_descriptors(c->concurrency) + 2 * c->workers +
                      DESCRIPTORS_BESIDE;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted)
        log_warn(
            "the limit of open files is low: raise it, or lower --concurrency or --max-connections",
            log_unsigned("limit", limit.rlim_cur), log_unsigned("may_be_needed", wanted));
}

static void set_ceiling(struct daemon *d)
{
    const struct config *c = d->config;
    uint64_t ceiling =
        memory_ceiling(c->max_memory, c->workers, c->max_page_bytes, &d->ceiling_source);

    memory_init(&d->memory, &(struct memory_options){
                                .ceiling = ceiling,
                                .workers = c->workers,
                                .max_page_bytes = c->max_page_bytes,
                            });
}

static void tell_ceiling(const struct daemon *d)
{
    uint64_t least = memory_least(d->config->workers, d->config->max_page_bytes);

    if (d->memory.ceiling > 0 && d->memory.ceiling < least)
        log_warn("the control group has little memory for these --workers",
                 log_unsigned("workers", d->config->workers), log_unsigned("needed", least));
    if (d->memory.ceiling > 0)
        log_info(
            "memory has a ceiling", log_unsigned("bytes", d->memory.ceiling),
            log_text("from", d->ceiling_source),
            log_unsigned("largest_body", memory_body_limit(&d->memory, d->config->max_body_bytes)));
}

static void tell_ready(struct daemon *d)
{
    char status[NOTIFY_SIZE / 2];

    snprintf(status, sizeof status, "listening on %s", http_address(d->http));
    notify_ready(d->notifier, status);
}

/* Builds the house; false, and the reason logged, when something is not to be had. */
static bool build(struct daemon *d)
{
    const struct config *c = d->config;
    const char *message = NULL;

    if (!future_ok(d->probe)) {
        log_error("the parser workers do not start", log_errno(future_error(d->probe)));
        return false;
    }
    int rc = guard_new(
        &(struct guard_options){
            .allow = c->allow_net,
            .deny = c->deny_net,
            .allow_count = c->allow_net_count,
            .deny_count = c->deny_net_count,
            .ports = c->allow_port,
            .port_count = c->allow_port_count,
        },
        &d->guard);
    if (rc < 0) {
        log_error("the address guard cannot be made", log_errno(rc));
        return false;
    }
    set_ceiling(d);
    d->batches.fetcher = new_fetcher(d);
    if (!d->batches.fetcher)
        return false;
    d->batches.scope = scope_new(CLOCK_NEVER, 0);
    if (!d->batches.scope || !watch_signals(d)) {
        log_error("the daemon cannot be set up", log_errno(errno ? errno : ENOMEM));
        return false;
    }

    struct http_options http = {
        .listen = c->listen,
        .tls_certificate = d->identity->certificate.ptr,
        .tls_key = d->identity->key.ptr,
        .listen_fd = d->listen_fd,
        .max_connections = (unsigned)c->max_connections,
        .header_timeout_ms = (unsigned)c->header_timeout_ms,
        .body_timeout_ms = BODY_TIMEOUT_MS,
        .body_min_rate = BODY_MIN_RATE,
        .send_timeout_ms = SEND_TIMEOUT_MS,
        .idle_timeout_ms = IDLE_TIMEOUT_MS,
        .max_body_bytes = memory_body_limit(&d->memory, c->max_body_bytes),
        .stream_high_water = STREAM_HIGH_WATER,
        .memory = &d->memory,
        .memory_beside = 1,
    };
    struct http_application application = api_application(&d->api);
    rc = http_start(&http, &application, &d->http, &message);
    if (rc < 0) {
        tell_cannot_serve(c, message, rc);
        return false;
    }
    log_info("listening", log_text("address", http_address(d->http)),
             log_text("version", SKIMD_VERSION), log_unsigned("workers", c->workers),
             log_bool("tls", d->identity->certificate.ptr != NULL));
    if (c->tls_cert) {
        d->renewal = renewal_new(c->tls_cert, c->tls_key, d->http);
        if (!d->renewal) {
            tell_cannot_serve(c, "out of memory", ENOMEM);
            return false;
        }
    }
    d->watch.http = d->http;
    watch_start(&d->watch);
    memory_watch_start(&d->memory_watch);
    tell_ceiling(d);
    tell_ready(d);
    tell_few_descriptors(c);
    report_slow_callbacks();
    return true;
}

/* -- the task ---------------------------------------------------------------------------------- */

static int serve_step(task *t, void *frame)
{
    struct daemon *d = *(struct daemon **)frame;

    BEGIN(t);
    AWAIT(t, d->probe, probe_worker());
    if (!build(d)) {
        task_fail(t, -EIO, NULL, NULL);
        return TASK_FINISHED;
    }
    AWAIT(t, d->stopped, stop_asked(d));
    AWAIT(t, d->noticed, noticed(d));
    AWAIT(t, d->idle, drained(d));
    timer_clear(&d->grace);
    watch_stop(&d->watch);
    memory_watch_stop(&d->memory_watch);
    d->renewal = renewal_close(d->renewal);
    d->http = http_stop(d->http);
    AWAIT(t, d->ended, scope_close(d->batches.scope));
    AWAIT(t, d->ended, fetcher_close(d->batches.fetcher));
    log_info("stopped");
    END(t);
}

static void serve_drop(void *frame)
{
    struct daemon *d = *(struct daemon **)frame;

    timer_clear(&d->grace);
    watch_stop(&d->watch);
    memory_watch_stop(&d->memory_watch);
    notify_close(d->notifier);
    renewal_close(d->renewal);
    http_stop(d->http);
    if (d->signals >= 0) {
        loop_forget(d->signals);
        close(d->signals);
    }
    scope_drop(d->batches.scope);
    fetcher_free(d->batches.fetcher);
    guard_free(d->guard);
    promise_drop(d->stop);
    future_drop(d->probe);
    future_drop(d->stopped);
    future_drop(d->noticed);
    future_drop(d->idle);
    future_drop(d->ended);
    free(d);
}

TASK(serve_task, ON_LOOP, sizeof(struct daemon *), .step = serve_step, .drop = serve_drop);

future *serve(const struct config *config, struct access *access,
              const struct tls_identity *identity, int listen_fd, struct notifier *notifier)
{
    struct daemon *d = calloc(1, sizeof *d);

    if (!d)
        return future_out_of_memory();
    d->config = config;
    d->identity = identity;
    d->listen_fd = listen_fd;
    d->notifier = notifier;
    d->signals = -1;
    d->grace.fire = out_of_patience;
    d->memory_watch = (struct memory_watch){.memory = &d->memory, .batches = &d->batches};
    d->batches.config = config;
    d->batches.memory = &d->memory;
    list_init(&d->batches.running);
    d->api.batches = &d->batches;
    d->api.access = access;
    d->api.cors = (struct cors){config->cors_origin, config->cors_origin_count};
    d->api.cross_origin = (struct cross_origin){
        .cors = d->api.cors,
        .hosts = config->allow_host,
        .host_count = config->allow_host_count,
        .any_host = !config_listens_on_loopback(config),
    };
    d->api.watch = &d->watch;
    d->api.access_log = config->access_log;
    d->watch.batches = &d->batches;
    d->watch.memory = &d->memory_watch;
    d->watch.leaving = &d->api.leaving;
    return task_start(&serve_task, &d);
}
