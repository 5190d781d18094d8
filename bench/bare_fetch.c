/*
 * bare_fetch: the least that a libcurl program can do to fetch a list of URLs, as a yardstick.
 *
 * One thread, one multi handle driven by curl_multi_socket_action over epoll, easy handles reused,
 * bodies thrown away: no parsing, no guard, no records. Whatever skimd costs above this is skimd's.
 *
 *   main              options, one line of JSON at the end
 *   read_urls         the list
 *   run               the loop: start what may start, wait, act, collect
 *   on_socket, watch  lazy epoll: system calls only where the kernel has to learn something new
 */
#include "core/base/bytes.h"
#include "core/base/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EVENTS_PER_WAIT = 256 };

struct options {
    unsigned concurrency, per_host; /* per_host 0: as many as there are */
    bool gzip;
    const char *urls_path;
};

/* What the kernel knows and libcurl wants of one descriptor. */
struct watch {
    uint32_t registered; /* the epoll mask; 0: not in the epoll set */
    uint32_t wanted;     /* 0: libcurl has no interest now, the registration is left as it is */
};

struct bench {
    const struct options *options;
    char **urls;
    size_t url_count, next; /* urls[next] has not been started */
    CURLM *multi;
    CURL **idle; /* easy handles without a transfer */
    size_t idle_count;
    int epoll_fd;
    struct watch *watches; /* by descriptor */
    size_t watch_count;
    uint64_t timer_ns; /* when libcurl wants to be called, CLOCK_NEVER for not at all */
    uint64_t bytes;
    size_t done, ok;
    bool failed; /* in a callback, which has no better way to say it */
};

/* -- lazy epoll -------------------------------------------------------------------------------- */

static struct watch *watch_at(struct bench *b, int fd)
{
    if ((size_t)fd >= b->watch_count) {
        size_t count = b->watch_count ? b->watch_count : 256;
        struct watch *grown;

        while (count <= (size_t)fd)
            count *= 2;
        grown = realloc(b->watches, count * sizeof *grown);
        if (!grown)
            return NULL;
        memset(grown + b->watch_count, 0, (count - b->watch_count) * sizeof *grown);
        b->watches = grown;
        b->watch_count = count;
    }
    return &b->watches[fd];
}

static int register_mask(struct bench *b, int fd, struct watch *watch, uint32_t mask)
{
    struct epoll_event event = {.events = mask, .data.fd = fd};
    int op = !mask ? EPOLL_CTL_DEL : watch->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (epoll_ctl(b->epoll_fd, op, fd, &event) < 0)
        return -errno;
    watch->registered = mask;
    return 0;
}

/*
 * A socket between two transfers is removed and added again with the same mask. So removing only
 * forgets the wish; the kernel is told when an event comes that nobody wants (see `run`).
 */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    struct bench *b = user;
    struct watch *watch = watch_at(b, fd);

    (void)easy;
    (void)socket_user;
    if (!watch) {
        b->failed = true;
        return -1;
    }
    watch->wanted = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        watch->wanted |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        watch->wanted |= EPOLLOUT;
    if (watch->wanted && watch->wanted != watch->registered &&
        register_mask(b, fd, watch, watch->wanted) < 0) {
        b->failed = true;
        return -1;
    }
    return 0;
}

/* Closing takes the descriptor out of the epoll set; its number may come back as another socket. */
static int on_close(void *user, curl_socket_t fd)
{
    struct bench *b = user;

    if ((size_t)fd < b->watch_count)
        b->watches[fd] = (struct watch){0};
    return close(fd);
}

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct bench *b = user;

    (void)multi;
    b->timer_ns =
        timeout_ms < 0 ? CLOCK_NEVER : clock_after_ms(clock_now_ns(), (uint64_t)timeout_ms);
    return 0;
}

/* -- transfers --------------------------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct bench *b = user;

    (void)data;
    b->bytes += size * count;
    return size * count;
}

static CURL *new_easy(struct bench *b)
{
    CURL *easy = curl_easy_init();

    if (!easy)
        return NULL;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, b);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, b);
    if (b->options->gzip)
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    return easy;
}

/* Starts as many transfers as there are idle handles and URLs. */
static int start_transfers(struct bench *b)
{
    while (b->idle_count > 0 && b->next < b->url_count) {
        CURL *easy = b->idle[b->idle_count - 1];

        if (curl_easy_setopt(easy, CURLOPT_URL, b->urls[b->next]) != CURLE_OK ||
            curl_multi_add_handle(b->multi, easy) != CURLM_OK)
            return -ENOMEM;
        b->idle_count--;
        b->next++;
    }
    return 0;
}

static void collect_transfers(struct bench *b)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(b->multi, &left))) {
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;
        long status = 0;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        b->done++;
        b->ok += result == CURLE_OK && status == 200;
        curl_multi_remove_handle(b->multi, easy); /* `message` is gone from here on */
        b->idle[b->idle_count++] = easy;
    }
}

/* How long epoll may wait for libcurl's timer, rounded up so that it has come when we wake. */
static int wait_ms(const struct bench *b)
{
    uint64_t now = clock_now_ns(), ms;

    if (b->timer_ns == CLOCK_NEVER)
        return -1;
    if (b->timer_ns <= now)
        return 0;
    ms = (b->timer_ns - now + NS_PER_MS - 1) / NS_PER_MS;
    return ms > 60000 ? 60000 : (int)ms;
}

static int act_on(struct bench *b, const struct epoll_event *event)
{
    int fd = event->data.fd, running, what = 0;
    struct watch *watch = &b->watches[fd];

    if (!watch->wanted) /* an idle connection: nobody reads it, so it would wake us for ever */
        return watch->registered ? register_mask(b, fd, watch, 0) : 0;
    if (event->events & EPOLLIN)
        what |= CURL_CSELECT_IN;
    if (event->events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (event->events & (EPOLLERR | EPOLLHUP))
        what |= CURL_CSELECT_ERR;
    return curl_multi_socket_action(b->multi, fd, what, &running) == CURLM_OK ? 0 : -EIO;
}

/* Fetches all URLs. Returns 0 when each had its turn, whatever came of it. */
static int run(struct bench *b)
{
    struct epoll_event events[EVENTS_PER_WAIT];
    int running;

    while (b->done < b->url_count && !b->failed) {
        int r = start_transfers(b), n;

        if (r < 0)
            return r;
        n = epoll_wait(b->epoll_fd, events, EVENTS_PER_WAIT, wait_ms(b));
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++) {
            if ((r = act_on(b, &events[i])) < 0)
                return r;
        }
        if (b->timer_ns <= clock_now_ns()) {
            b->timer_ns = CLOCK_NEVER; /* libcurl sets it anew where it wants to */
            if (curl_multi_socket_action(b->multi, CURL_SOCKET_TIMEOUT, 0, &running) != CURLM_OK)
                return -EIO;
        }
        collect_transfers(b);
    }
    return b->failed ? -EIO : 0;
}

static int bench_open(struct bench *b)
{
    size_t handles = b->options->concurrency;

    b->timer_ns = CLOCK_NEVER;
    b->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (b->epoll_fd < 0)
        return -errno;
    b->multi = curl_multi_init();
    b->idle = calloc(handles, sizeof *b->idle);
    if (!b->multi || !b->idle)
        return -ENOMEM;
    curl_multi_setopt(b->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(b->multi, CURLMOPT_SOCKETDATA, b);
    curl_multi_setopt(b->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(b->multi, CURLMOPT_TIMERDATA, b);
    curl_multi_setopt(b->multi, CURLMOPT_MAXCONNECTS, (long)handles);
    curl_multi_setopt(b->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)b->options->per_host);
    for (; b->idle_count < handles; b->idle_count++) {
        if (!(b->idle[b->idle_count] = new_easy(b)))
            return -ENOMEM;
    }
    return 0;
}

static void bench_close(struct bench *b)
{
    for (size_t i = 0; i < b->idle_count; i++)
        curl_easy_cleanup(b->idle[i]);
    curl_multi_cleanup(b->multi); /* calls on_close */
    free(b->idle);
    free(b->watches);
    if (b->epoll_fd >= 0)
        close(b->epoll_fd);
    for (size_t i = 0; i < b->url_count; i++)
        free(b->urls[i]);
    free(b->urls);
}

/* -- the program ------------------------------------------------------------------------------- */

/* One URL a line; blank lines and those that start with # are skipped. */
static int read_urls(FILE *file, struct bench *b)
{
    size_t capacity = 0, line_size = 0;
    char *line = NULL;
    ssize_t len;
    int r = 0;

    while ((len = getline(&line, &line_size, file)) >= 0) {
        struct bytes url = bytes_trim(bytes_of(line, (size_t)len));

        if (url.len == 0 || url.ptr[0] == '#')
            continue;
        if (b->url_count == capacity) {
            char **grown = realloc(b->urls, (capacity * 2 + 1024) * sizeof *grown);

            if (!grown) {
                r = -ENOMEM;
                break;
            }
            b->urls = grown;
            capacity = capacity * 2 + 1024;
        }
        b->urls[b->url_count] = strndup(url.ptr, url.len);
        if (!b->urls[b->url_count]) {
            r = -ENOMEM;
            break;
        }
        b->url_count++;
    }
    if (r == 0 && ferror(file))
        r = -EIO;
    free(line);
    return r;
}

/* A whole number of 1..100000, or 0 for anything else. */
static unsigned parse_count(const char *text)
{
    char *end;
    unsigned long n;

    if (*text < '0' || *text > '9')
        return 0;
    errno = 0;
    n = strtoul(text, &end, 10);
    return errno || *end || n > 100000 ? 0 : (unsigned)n;
}

static int parse_options(int argc, char **argv, struct options *ret_options)
{
    static const struct option names[] = {
        {"concurrency", required_argument, NULL, 'c'},
        {"per-host", required_argument, NULL, 'p'},
        {"gzip", no_argument, NULL, 'g'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.concurrency = 100};
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'c':
            if ((options.concurrency = parse_count(optarg)) == 0)
                return -EINVAL;
            break;
        case 'p':
            if ((options.per_host = parse_count(optarg)) == 0)
                return -EINVAL;
            break;
        case 'g':
            options.gzip = true;
            break;
        default:
            return -EINVAL;
        }
    }
    if (optind + 1 != argc)
        return -EINVAL;
    options.urls_path = argv[optind];
    *ret_options = options;
    return 0;
}

static double timeval_ms(struct timeval t)
{
    return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

static void report(const struct bench *b, uint64_t start_ns)
{
    double wall_ms = (double)(clock_now_ns() - start_ns) / NS_PER_MS;
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    printf("{\"pages\":%zu,\"ok\":%zu,\"bytes\":%llu,\"wall_ms\":%.1f,\"cpu_ms\":%.1f,"
           "\"max_rss_kib\":%ld}\n",
           b->done, b->ok, (unsigned long long)b->bytes, wall_ms,
           timeval_ms(usage.ru_utime) + timeval_ms(usage.ru_stime), usage.ru_maxrss);
}

int main(int argc, char **argv)
{
    uint64_t start_ns = clock_now_ns();
    struct options options = {0};
    struct bench b = {.options = &options, .epoll_fd = -1};
    FILE *file;
    int r;

    if (parse_options(argc, argv, &options) < 0) {
        fputs("usage: bare_fetch [--concurrency N] [--per-host N] [--gzip] URLS_FILE|-\n", stderr);
        return 2;
    }
    file = strcmp(options.urls_path, "-") == 0 ? stdin : fopen(options.urls_path, "re");
    if (!file) {
        fprintf(stderr, "bare_fetch: %s: %s\n", options.urls_path, strerror(errno));
        return 1;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 1;
    r = read_urls(file, &b);
    if (r == 0)
        r = bench_open(&b);
    if (r == 0)
        r = run(&b);
    if (r == 0)
        report(&b, start_ns);
    else
        fprintf(stderr, "bare_fetch: %s\n", strerror(-r));
    if (file != stdin)
        fclose(file);
    bench_close(&b);
    curl_global_cleanup();
    return r == 0 ? 0 : 1;
}
