/*
 * libcurl asks for sockets and one timer to be watched and is told what happened; finished
 * transfers are collected once per wake, in a job of their own, never inside a libcurl callback.
 * The loop's watches are lazy, so a connection that is reused costs no epoll_ctl.
 */
#include "core/fetch/engine.h"

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/fetch/engine_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IDLE_ALWAYS = 32, /* so many idle transfers are kept, though their handles take memory */
    IDLE_MS = 1000,   /* the others are freed when they were idle for so long */
    BODIES_REMEMBERED = 16,
    LARGE_FOR_BUFFER = 4, /* times the small receive buffer */
};

/* -- collecting -------------------------------------------------------------------------------- */

void engine_collect(struct engine *e)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(e->multi, &left))) {
        CURLcode result = message->data.result; /* the message's life ends with the transfer */
        if (!reaper_took(e, message->easy_handle))
            transfer_ended(message->easy_handle, result);
    }
}

static void collect(struct job *job)
{
    struct engine *e = CONTAINER_OF(job, struct engine, collect);

    e->collecting = false;
    if (e->closed) {
        free(e);
        return;
    }
    engine_collect(e);
    if (e->broken) { /* it can be used again once it has no transfers */
        e->broken = false;
        transfer_abort_all(e);
    }
}

/* -- idle transfers ---------------------------------------------------------------------------- */

static void watch_idle(struct engine *e)
{
    e->idle_least = e->idle_count;
    if (e->idle_count > IDLE_ALWAYS)
        timer_set(&e->trim, clock_after_ms(loop_now_ns(), IDLE_MS)); /* if not: with the next one */
}

/*
 * As many as were idle all the time are not needed. (As many as are idle at one moment may be: when
 * many transfers end in one turn of the loop, as many may start in the next.)
 */
static void trim(struct timer *timer)
{
    struct engine *e = CONTAINER_OF(timer, struct engine, trim);
    size_t spare = e->idle_least > IDLE_ALWAYS ? e->idle_least - IDLE_ALWAYS : 0;

    transfer_free_idle(e, e->idle_count - spare);
    watch_idle(e);
}

void engine_counts_idle(struct engine *e, int change)
{
    e->idle_count += (size_t)change; /* modulo 2^N: a negative change subtracts */
    if (e->idle_count < e->idle_least)
        e->idle_least = e->idle_count;
    if (e->idle_count > IDLE_ALWAYS && e->trim.slot == 0)
        watch_idle(e);
}

/* -- libcurl on the loop ----------------------------------------------------------------------- */

static void act(struct engine *e, curl_socket_t fd, int events)
{
    int running;

    if (curl_multi_socket_action(e->multi, fd, events, &running) != CURLM_OK)
        e->broken = true;
    if (!e->collecting) {
        e->collecting = true;
        loop_post(&e->collect);
    }
}

static void on_ready(void *arg, int fd, uint32_t events)
{
    int mask = (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
               (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

    act(arg, fd, mask);
}

static void on_timer(struct timer *timer)
{
    act(CONTAINER_OF(timer, struct engine, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int timer_wanted(CURLM *multi, long ms, void *arg)
{
    struct engine *e = arg;

    (void)multi;
    if (ms < 0) {
        timer_clear(&e->timer);
        return 0;
    }
    /* What is due is not put off: each transfer that begins asks for now. */
    if (ms == 0 && e->timer.slot != 0 && e->timer.at_ns <= clock_now_ns())
        return 0;
    return timer_set(&e->timer, clock_after_ms(clock_now_ns(), (uint64_t)ms)) < 0 ? -1 : 0;
}

static enum engine_socket socket_state(const struct engine *e, int fd)
{
    return (size_t)fd < e->sockets_size ? e->sockets[fd] : SOCKET_UNKNOWN;
}

static bool is_connected(enum engine_socket state)
{
    return state == SOCKET_CONNECTED || state == SOCKET_ENDED;
}

/* Of a connection that waits for its next transfer, or whose transfer is paused. */
static void on_unused(void *arg, int fd, uint32_t events)
{
    struct engine *e = arg;
    bool ended = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

    /* What was said is not read here, and would be reported again and again. */
    if (loop_watch(fd, ended ? 0 : EPOLLRDHUP, on_unused, e) < 0)
        loop_unwatch(fd);
    if (ended && socket_state(e, fd) == SOCKET_CONNECTED) {
        e->sockets[fd] = SOCKET_ENDED;
        reaper_note(e);
    }
}

/* Who is connected has something to read, sooner or later; who connects, never. */
static void note_connected(struct engine *e, int fd)
{
    enum engine_socket state = socket_state(e, fd);

    if (state == SOCKET_ADOPTED)
        e->connections++;
    if (state == SOCKET_ADOPTED || state == SOCKET_ENDED)
        e->sockets[fd] = SOCKET_CONNECTED;
}

static void note_closed(struct engine *e, int fd)
{
    enum engine_socket state = socket_state(e, fd);

    if (state != SOCKET_UNKNOWN)
        e->sockets[fd] = SOCKET_UNKNOWN;
    if (is_connected(state))
        e->connections--;
}

/*
 * Whether a socket that may be closed already is a connection. Where the answer was there when it
 * was first read for, libcurl 8 never has it watched for that. Only this thread makes sockets of
 * these families, so it is nobody else's.
 */
static bool has_peer(int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;

    return getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
           (peer.ss_family == AF_INET || peer.ss_family == AF_INET6);
}

/*
 * A connection that waits for its next transfer is watched as before, which costs nothing, as
 * engine_close_socket will tell of its end. Others are closed without a word: libcurl's own (the
 * resolver's), and by libcurl 7.88 those that never were connected. When it says that they need not
 * be watched, they are closed already: a watch that was left would be taken for one of the next
 * descriptor of that number, whoever that is.
 */
static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    uint32_t events =
        (what & CURL_POLL_IN ? EPOLLIN | EPOLLRDHUP : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    struct engine *e = arg;

    (void)easy;
    (void)unused;
    if (events & EPOLLIN)
        note_connected(e, fd);
    if (what != CURL_POLL_REMOVE)
        return loop_watch(fd, events, on_ready, e) < 0 ? -1 : 0; /* -1: see engine.broken */
    if (socket_state(e, fd) == SOCKET_ADOPTED && has_peer(fd))
        note_connected(e, fd);
    if (is_connected(socket_state(e, fd))) {
        if (loop_watch(fd, EPOLLIN | EPOLLRDHUP, on_unused, e) < 0)
            loop_unwatch(fd);
        return 0;
    }
    note_closed(e, fd);
    loop_forget(fd);
    return 0;
}

bool engine_is_crowded(const struct engine *e)
{
    return e->connections >= e->options.max_connections / 4;
}

void engine_note_body(struct engine *e, uint64_t bytes)
{
    e->usual_body += ((int64_t)bytes - e->usual_body) / BODIES_REMEMBERED;
}

size_t engine_receive_buffer(const struct engine *e)
{
    size_t least = e->options.receive_buffer_bytes, most = e->options.receive_buffer_most;

    return most > 0 && e->usual_body > (int64_t)(LARGE_FOR_BUFFER * least) ? most : least;
}

int engine_adopt_socket(struct engine *e, int fd)
{
    if ((size_t)fd >= e->sockets_size) {
        size_t size = 2 * (size_t)fd + 64;
        unsigned char *grown = realloc(e->sockets, size * sizeof *grown);
        if (!grown) {
            close(fd);
            return -ENOMEM;
        }
        memset(grown + e->sockets_size, 0, (size - e->sockets_size) * sizeof *grown);
        e->sockets = grown;
        e->sockets_size = size;
    }
    note_closed(e, fd); /* what had the number before */
    e->sockets[fd] = SOCKET_ADOPTED;
    return fd;
}

int engine_close_socket(void *engine, curl_socket_t fd)
{
    struct engine *e = engine;

    note_closed(e, fd);
    loop_forget(fd);
    return close(fd);
}

size_t engine_connections(const struct engine *e)
{
    return e->connections;
}

uint64_t engine_received_bytes(const struct engine *e)
{
    return e->received_bytes;
}

/* -- what the options are worth ---------------------------------------------------------------- */

/* Whether a line is the beginning of one (RFC 7468 section 5; "TRUSTED" is OpenSSL's own form). */
static bool begins_certificate(struct bytes line)
{
    struct bytes begin = BYTES("-----BEGIN "), end = BYTES("CERTIFICATE-----");

    line = bytes_trim(line);
    return line.len >= begin.len + end.len && memcmp(line.ptr, begin.ptr, begin.len) == 0 &&
           memcmp(line.ptr + line.len - end.len, end.ptr, end.len) == 0;
}

int engine_try_ca_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[256];
    bool found = false;

    if (!file)
        return -errno;
    while (!found && fgets(line, sizeof line, file))
        found = begins_certificate(bytes_cstr(line));
    int rc = found ? 0 : ferror(file) ? -errno : -ENODATA;
    fclose(file);
    return rc;
}

/* The same parser, and the same guess where there is no scheme, as libcurl has for proxies. */
static bool is_proxy_url(const char *url)
{
    static const char *const schemes[] = {"http", "https", "socks4a", "socks5h"};
    CURLU *parsed = curl_url();
    char *scheme = NULL;
    bool known = false;

    if (parsed &&
        curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) ==
            CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK) {
        for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
            known = known || strcmp(scheme, schemes[i]) == 0;
    }
    curl_free(scheme);
    curl_url_cleanup(parsed);
    return known;
}

/*
 * The system's certificates as one file, if there is one: see set_tls_options in handle.c. It is
 * not known to work; without any certificate there are http pages still.
 */
static const char *system_ca_file(void)
{
    const char *path = curl_version_info(CURLVERSION_NOW)->cainfo;

    return path && engine_try_ca_file(path) == 0 ? path : NULL;
}

static bool take_options(struct engine *e, const struct engine_options *options)
{
    e->options = *options;
    if (options->ca_file && engine_try_ca_file(options->ca_file) < 0)
        return false;
    e->ca_file = options->ca_file ? options->ca_file : system_ca_file();
    if (options->proxy && !*options->proxy)
        e->options.proxy = NULL; /* the guard would not be asked, and there is no proxy */
    return !e->options.proxy || is_proxy_url(e->options.proxy);
}

/* -- life -------------------------------------------------------------------------------------- */

static bool set_multi_options(struct engine *e)
{
    CURLM *m = e->multi;

    return curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, socket_wanted) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_SOCKETDATA, e) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, timer_wanted) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_TIMERDATA, e) == CURLM_OK &&
           /* The default, four times the transfers of the moment, closes what would be used again.
            */
           curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)e->options.max_connections) == CURLM_OK;
}

/*
 * Before 8.12 each easy handle keeps the TLS sessions of the last five hosts it happened to come
 * to, about 3 KiB each: shared, there are eight in all. Newer ones share them within the multi
 * handle.
 */
static bool share_sessions(struct engine *e)
{
    if (curl_version_info(CURLVERSION_NOW)->version_num >= 0x080c00)
        return true;
    e->share = curl_share_init();
    return e->share &&
           curl_share_setopt(e->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK;
}

/* What depends on the libcurl that runs. */
static void judge_version(struct engine *e)
{
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;

    /* 7.88 pays twice for HTTP/2 what it pays for HTTP/1.1; the 8.x series does not. */
    e->http_version = version >= 0x080000 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
    /*
     * Before 8.1.1 (curl's pull request 11103) a handle that is used again still knows the last
     * field of its last answer, whose memory is gone: an answer that begins with a folded field
     * reads and writes there.
     */
    e->handles_serve_again = version >= 0x080101;
    /* From 8.8 on the buffer is the multi handle's, and grows. Before, each handle has its own, and
     * whether it has one yet depends on how its last transfer ended. */
    e->buffers_may_change = version >= 0x080800;
}

struct engine *engine_new(const struct engine_options *options)
{
    struct engine *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    list_init(&e->idle);
    list_init(&e->busy);
    e->timer.fire = on_timer;
    e->trim.fire = trim;
    reaper_init(e);
    e->collect.run = collect;
    judge_version(e);
    if (!take_options(e, options)) {
        engine_free(e);
        errno = EINVAL;
        return NULL;
    }
    e->multi = curl_multi_init();
    if (!e->multi || !set_multi_options(e) || !share_sessions(e)) {
        engine_free(e);
        errno = ENOMEM;
        return NULL;
    }
    return e;
}

struct engine *engine_free(struct engine *e)
{
    if (!e)
        return NULL;
    transfer_free_idle(e, 0);
    reaper_end(e);
    curl_multi_cleanup(e->multi);
    curl_share_cleanup(e->share);
    free(e->sockets);
    timer_clear(&e->timer);
    timer_clear(&e->trim);
    e->closed = true;
    if (!e->collecting)
        free(e);
    return NULL;
}
