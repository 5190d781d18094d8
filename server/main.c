/*
 * skimd: POST a batch of URLs, get one record per URL streamed back.
 *
 * This file reads the command line, starts the runtime and waits. Where to read on:
 *
 *     server/serve.c             the daemon's life: start, serve, drain
 *     server/http/http.h         requests in, answers out (libmicrohttpd)
 *     server/api.c               which path does what
 *     server/access/access.h     and who may call it
 *     server/batch/batch.c       the main job
 *     server/batch/item.c        one URL of it: fetch, parse_page, emit
 *     server/batch/stream.h      records to a client, as fast as it reads
 *     server/batch/sse.h         records as events
 *     server/batch/intake.h      request bodies to lists of URLs
 *     server/batch/options.h     a batch's own options
 *     server/batch/record.h      records out (server/json.h)
 *     server/config/config.h     command line, environment, file
 *     server/problem.h           errors out
 *     server/activation.h        what systemd hands us
 *     server/notify.h            what it is told
 *     server/log.h               standard error
 *     server/watch/report.h      what the runtime does
 *     server/watch/metrics.h     what is counted
 *     server/watch/watch.h       what is read when asked
 *     server/web/web_page.h      the page at / (server/web)
 *     core/async/                futures, tasks on loop, thread and process: all above runs on it
 *     core/fetch/                URLs to pages: queues, guard, libcurl
 *     parsers/                   pages to titles, in sandboxed worker processes
 *     core/base/                 bytes, buffers, lists, hashes, the clock
 *
 * The worker processes are this same program: the runtime spawns it with a flag of its own.
 */
#include "core/async/runtime.h"
#include "core/base/clock.h"
#include "core/base/heap.h"
#include "core/fetch/engine.h"
#include "parsers/parse_page.h"
#include "server/access/access.h"
#include "server/activation.h"
#include "server/config/config.h"
#include "server/healthcheck.h"
#include "server/log.h"
#include "server/notify.h"
#include "server/problem.h"
#include "server/serve.h"
#include "server/version.h"
#include "server/watch/report.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

static int show(struct buffer *text)
{
    bool written = !text->failed && fwrite(text->ptr, 1, text->len, stdout) == text->len;

    buffer_free(text);
    return written && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The loop reads these from a descriptor; threads that start later inherit the mask. */
static void take_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* A fetch and a client each take a descriptor; the usual soft limit is only for select(2)'s sake.
 */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/*
 * The tokens that callers need; NULL, and a line on standard error, when they are not to be had.
 * That of the environment is wiped out there, too: /proc/PID/environ shows what it holds today.
 */
static struct access *read_tokens(struct config *config)
{
    char message[ACCESS_MESSAGE_SIZE];
    struct access *access = NULL;

    if (access_new(
            &(struct access_options){.token_file = config->token_file, .token = config->token},
            &access, message) < 0)
        fprintf(stderr, "skimd: %s\n", message);
    if (config->token) {
        char *text = getenv("SKIMD_TOKEN");
        if (text)
            explicit_bzero(text, strlen(text));
        config->token = NULL;
    }
    return access;
}

/* False, and a line on standard error, when there should be TLS and cannot. */
static bool read_identity(const struct config *config, struct tls_identity *ret)
{
    char message[TLS_MESSAGE_SIZE];

    if (!config->tls_cert ||
        tls_identity_read(config->tls_cert, config->tls_key, ret, message) == 0)
        return true;
    fprintf(stderr, "skimd: %s\n", message);
    return false;
}

/* False, and a line on standard error, when there is nothing to trust where it should be. */
static bool can_trust(const struct config *config)
{
    char quoted[PROBLEM_QUOTE_SIZE];
    int rc = config->ca_file ? engine_try_ca_file(config->ca_file) : 0;

    if (rc < 0)
        fprintf(stderr, "skimd: --ca-file: %s: %s\n",
                problem_quote(quoted, bytes_cstr(config->ca_file)),
                rc == -ENODATA ? "No certificate (PEM) was found." : strerror(-rc));
    return rc == 0;
}

static int run(struct config *config)
{
    char message[CONFIG_MESSAGE_SIZE];
    struct tls_identity identity = {0};
    struct notifier notifier;
    int listen_fd = activation_take(config, message);

    if (listen_fd < 0) {
        fprintf(stderr, "%s\n", message);
        return EXIT_USAGE;
    }
    struct access *access = read_tokens(config); /* behind what asks whether there are any */
    if (!access || !can_trust(config) || !read_identity(config, &identity)) {
        access_free(access);
        return EXIT_USAGE;
    }
    log_open(STDERR_FILENO, config->log_format, config->log_level);
    int rc = notify_open(&notifier);
    if (rc < 0)
        log_warn("the service manager cannot be told anything", log_errno(rc));
    take_signals();
    heap_configure();
    raise_descriptor_limit();
    async_configure(&(struct async_options){
        .workers = (unsigned)config->workers,
        .request_bytes = config->max_page_bytes + PARSE_REQUEST_OVERHEAD,
        .slow_callback_ns = config->slow_callback_ms * NS_PER_MS,
        .hooks = report_hooks(),
    });

    future *served = serve(config, access, &identity, listen_fd, &notifier);
    future_wait(served, CLOCK_NEVER);
    int status = future_ok(served) ? EXIT_SUCCESS : EXIT_FAILURE;
    future_drop(served);
    async_stop();
    access_free(access);
    tls_identity_forget(&identity);
    return status;
}

static int check(struct config *config)
{
    struct tls_identity identity = {0};
    char message[CONFIG_MESSAGE_SIZE];
    struct buffer text = {0};

    if (config_check(config, message) < 0) {
        fprintf(stderr, "%s\n", message);
        return EXIT_USAGE;
    }
    struct access *access = read_tokens(config);
    bool usable = access && can_trust(config) && read_identity(config, &identity);
    access_free(access);
    tls_identity_forget(&identity);
    if (!usable)
        return EXIT_USAGE;
    config_write(&text, config);
    return show(&text);
}

static int ask_health(const struct config *config)
{
    struct buffer what = {0};
    int rc = healthcheck(config, &what);

    if (rc < 0)
        fprintf(stderr, "skimd: %.*s\n", (int)what.len, what.ptr);
    buffer_free(&what);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    struct config config;
    char message[CONFIG_MESSAGE_SIZE];
    struct buffer text = {0};

    if (config_parse(&config, argc, argv, environ, message) < 0) {
        fprintf(stderr, "%s\n", message);
        return EXIT_USAGE;
    }
    int status = EXIT_SUCCESS;
    switch (config.action) {
    case CONFIG_SHOW_HELP:
        config_help(&text);
        status = show(&text);
        break;
    case CONFIG_SHOW_VERSION:
        buffer_text(&text, "skimd " SKIMD_VERSION "\n");
        status = show(&text);
        break;
    case CONFIG_CHECK:
        status = check(&config);
        break;
    case CONFIG_ASK_HEALTH:
        status = ask_health(&config);
        break;
    case CONFIG_RUN:
        status = run(&config);
        break;
    }
    config_free(&config);
    return status;
}
