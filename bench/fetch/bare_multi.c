/*
 * bare_multi: fetches a list of URLs as a plain libcurl program does: one thread, one multi handle
 * driven by curl_multi_socket_action over epoll, easy handles used again, bodies thrown away. It is
 * what stands beside bench_fetch; workload.h tells what all programs of this folder are given and
 * what they print.
 *
 * Without options it does what libcurl's own example for epoll (docs/examples/ephiperfifo.c) does,
 * in its cheaper ways: EPOLL_CTL_MOD where the example removes and adds, libcurl's timer as the
 * limit of epoll_wait where it has a timerfd, finished transfers collected once a wake-up.
 *
 *   main, read_command_line   the options
 *   run                       the loop: start what may start, wait, act, collect
 *   set_options, set_tls      what the easy handles are told
 *   on_socket, watch          epoll, plain or lazy
 */
#include "bench/fetch/workload.h"
#include "core/base/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define USAGE                                                                                      \
    "[--lazy] [--keep] [--connect-to HOST:PORT] [--ca-file FILE [--system-store] [--share]] "      \
    "[--insecure]"

enum { EVENTS_PER_WAIT = 256, DESCRIPTORS_MAX = 1 << 16 };

/* What the kernel knows and libcurl wants of a descriptor. */
struct watch {
    uint32_t registered; /* the epoll mask; 0: not in the epoll set */
    uint32_t wanted;     /* 0: libcurl has no interest now */
};

static struct workload work = {.concurrency = 256};
static struct {
    bool lazy;              /* see on_socket */
    bool keep;              /* each body in memory, until it is complete */
    const char *connect_to; /* whatever the URL's host; NULL: that */
    const char *ca_file;
    bool system_store; /* leave CURLOPT_CAPATH as libcurl was built, beside ca_file */
    bool share;        /* TLS sessions and certificates, as a multi handle alone does not */
    bool insecure;
} options;

static CURLM *multi;
static CURLSH *share;
static struct curl_slist *connect_to;
static CURL **idle; /* easy handles without a transfer */
static size_t idle_count;
static int epoll_fd;
static struct watch watches[DESCRIPTORS_MAX]; /* by descriptor */
static uint64_t timer_ns = CLOCK_NEVER;       /* when libcurl wants to be called */

static size_t started, done, ok;
static uint64_t bytes;

/* -- epoll ------------------------------------------------------------------------------------- */

static void register_mask(int fd, struct watch *watch, uint32_t mask)
{
    struct epoll_event event = {.events = mask, .data.fd = fd};
    int op = !mask ? EPOLL_CTL_DEL : watch->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (mask != watch->registered && epoll_ctl(epoll_fd, op, fd, &event) < 0)
        die("epoll_ctl");
    watch->registered = mask;
}

/*
 * Plain: the kernel is told what libcurl says. Lazy: a socket between two transfers is removed and
 * added again with the same mask, so that removing only forgets the wish, and the kernel is told
 * when an event comes that nobody wants.
 */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *unused, void *unused_too)
{
    (void)easy, (void)unused, (void)unused_too;
    if (fd >= DESCRIPTORS_MAX)
        die("too many descriptors");

    struct watch *watch = &watches[fd];
    watch->wanted = (what == CURL_POLL_IN || what == CURL_POLL_INOUT ? EPOLLIN : 0) |
                    (what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? EPOLLOUT : 0);
    if (watch->wanted || !options.lazy)
        register_mask(fd, watch, watch->wanted);
    return 0;
}

/* Closing takes the descriptor out of the epoll set; its number may come back as another socket. */
static int on_close(void *unused, curl_socket_t fd)
{
    (void)unused;
    watches[fd] = (struct watch){0};
    return close(fd);
}

static int on_timer(CURLM *unused, long timeout_ms, void *unused_too)
{
    (void)unused, (void)unused_too;
    timer_ns = timeout_ms < 0 ? CLOCK_NEVER : clock_after_ms(clock_now_ns(), (uint64_t)timeout_ms);
    return 0;
}

/* -- easy handles ------------------------------------------------------------------------------ */

/* A body that is kept, as libcurl's example for that (docs/examples/getinmemory.c) does it. */
struct body {
    char *ptr;
    size_t len;
};

static size_t on_body(char *data, size_t one, size_t length, void *arg)
{
    struct body *body = arg;

    (void)one;
    bytes += length;
    if (!options.keep)
        return length;
    char *grown = realloc(body->ptr, body->len + length);
    if (!grown)
        die("no memory");
    body->ptr = grown;
    memcpy(body->ptr + body->len, data, length);
    body->len += length;
    return length;
}

static void drop_body(CURL *easy)
{
    struct body *body = NULL;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&body);
    free(body->ptr);
    *body = (struct body){0};
}

static void set_tls(CURL *easy)
{
    if (options.insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (options.ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file);
    /* A path as well, and libcurl reads the file for each new connection: it keeps no store then.
     */
    if (options.ca_file && !options.system_store)
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (options.share)
        curl_easy_setopt(easy, CURLOPT_SHARE, share);
}

static CURL *set_options(CURL *easy)
{
    struct body *body = calloc(1, sizeof *body);

    if (!easy || !body)
        die("no memory");
    curl_easy_setopt(easy, CURLOPT_PRIVATE, body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    if (options.lazy)
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    if (connect_to)
        curl_easy_setopt(easy, CURLOPT_CONNECT_TO, connect_to);
    set_tls(easy);
    return easy;
}

/* -- the loop ---------------------------------------------------------------------------------- */

static void start_transfers(void)
{
    while (idle_count > 0 && started < work.count) {
        CURL *easy = idle[--idle_count];
        if (curl_easy_setopt(easy, CURLOPT_URL, workload_url(&work, started++)) != CURLE_OK ||
            curl_multi_add_handle(multi, easy) != CURLM_OK)
            die("a transfer does not start");
    }
}

static void collect_transfers(void)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(multi, &left))) {
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result; /* removing the handle ends the message's life */
        long status = 0;

        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_multi_remove_handle(multi, easy);
        if (options.keep)
            drop_body(easy);
        if (result != CURLE_OK)
            fprintf(stderr, "%s\n", curl_easy_strerror(result));
        ok += result == CURLE_OK && status == 200;
        done++;
        idle[idle_count++] = easy;
    }
}

/* Rounded up, so that libcurl's timer has come when we wake. */
static int wait_ms(void)
{
    uint64_t now = clock_now_ns();

    if (timer_ns == CLOCK_NEVER)
        return -1;
    return timer_ns <= now ? 0 : (int)((timer_ns - now + NS_PER_MS - 1) / NS_PER_MS);
}

static void act_on(const struct epoll_event *event)
{
    int fd = event->data.fd, running, what = 0;
    struct watch *watch = &watches[fd];

    if (!watch->wanted) { /* an idle connection, lazily watched, or removed in this same round */
        register_mask(fd, watch, 0);
        return;
    }
    if (event->events & EPOLLIN)
        what |= CURL_CSELECT_IN;
    if (event->events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (event->events & (EPOLLERR | EPOLLHUP))
        what |= CURL_CSELECT_ERR;
    curl_multi_socket_action(multi, fd, what, &running);
}

static void run(void)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    int running;

    while (done < work.count) {
        start_transfers();
        int n = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, wait_ms());
        for (int i = 0; i < n; i++)
            act_on(&events[i]);
        if (timer_ns <= clock_now_ns()) {
            timer_ns = CLOCK_NEVER; /* libcurl sets it anew where it wants to */
            curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        collect_transfers();
    }
}

static void make_share(void)
{
    share = curl_share_init();
    if (!share || curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != 0)
        die("no share");
}

static void open_multi(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        die("no libcurl");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    multi = curl_multi_init();
    idle = calloc(work.concurrency, sizeof *idle);
    if (epoll_fd < 0 || !multi || !idle)
        die("no memory");
    if (options.connect_to) {
        char rule[128];
        snprintf(rule, sizeof rule, "::%s", options.connect_to);
        connect_to = curl_slist_append(NULL, rule);
    }
    if (options.share)
        make_share();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    for (; idle_count < work.concurrency; idle_count++)
        idle[idle_count] = set_options(curl_easy_init());
}

static void close_multi(void)
{
    for (size_t i = 0; i < idle_count; i++) {
        struct body *body = NULL;
        curl_easy_getinfo(idle[i], CURLINFO_PRIVATE, (char **)&body);
        free(body);
        curl_easy_cleanup(idle[i]);
    }
    curl_multi_cleanup(multi);
    curl_share_cleanup(share);
    curl_slist_free_all(connect_to);
    curl_global_cleanup();
    free(idle);
    close(epoll_fd);
}

/* -- the program ------------------------------------------------------------------------------- */

static void read_command_line(int argc, char **argv)
{
    static const struct option names[] = {
        WORKLOAD_OPTIONS,
        {"lazy", no_argument, NULL, 'l'},
        {"keep", no_argument, NULL, 'k'},
        {"connect-to", required_argument, NULL, 't'},
        {"ca-file", required_argument, NULL, 'f'},
        {"system-store", no_argument, NULL, 's'},
        {"share", no_argument, NULL, 'h'},
        {"insecure", no_argument, NULL, 'i'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'l':
            options.lazy = true;
            break;
        case 'k':
            options.keep = true;
            break;
        case 't':
            options.connect_to = optarg;
            break;
        case 'f':
            options.ca_file = optarg;
            break;
        case 's':
            options.system_store = true;
            break;
        case 'h':
            options.share = true;
            break;
        case 'i':
            options.insecure = true;
            break;
        default:
            workload_option(&work, option, USAGE);
        }
    }
    workload_read(&work, argc, argv, USAGE);
}

int main(int argc, char **argv)
{
    read_command_line(argc, argv);
    workload_begin(&work);
    open_multi();
    run();
    close_multi();
    workload_report(&work, ok, bytes);
    workload_free(&work);
    return EXIT_SUCCESS;
}
