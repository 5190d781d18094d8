/*
 * libcurl asks for sockets and one timer to be watched, and is told what happened to them. It is
 * called from three places, all of them jobs of the loop, none inside another call of libcurl:
 *
 *     transfer   ──▶ curl_multi_add_handle       the task begins
 *     act        ──▶ curl_multi_socket_action    a socket or the timer is due
 *     close_easy ──▶ curl_multi_remove_handle    the task has ended, or was cancelled
 *
 * The multi handle is there while downloads are, so that nobody has to open or close it.
 */
#include "examples/download.h"

#include "core/async/loop.h"
#include "core/base/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct download {
    char *url;
    CURL *easy;
    struct page *page;
    promise *end; /* of the transfer: settled with libcurl's result */
    future *transfer;
    char message[CURL_ERROR_SIZE];
};

static CURLM *multi;
static size_t users; /* easy handles */
static struct timer timer;

/* -- libcurl on the loop ----------------------------------------------------------------------- */

static void act(curl_socket_t fd, int events)
{
    CURLMsg *message;
    struct download *d;
    int n;

    curl_multi_socket_action(multi, fd, events, &n);
    while ((message = curl_multi_info_read(multi, &n))) {
        CURLcode result = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&d);
        if (result == CURLE_OK)
            promise_resolve(d->end, NULL, NULL);
        else
            promise_fail(d->end, (int)result, NULL, NULL);
    }
}

static void on_ready(void *arg, int fd, uint32_t events)
{
    (void)arg;
    act(fd, (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
}

static void on_timer(struct timer *due)
{
    (void)due;
    act(CURL_SOCKET_TIMEOUT, 0);
}

/* A socket that cannot be watched is no reason to stop: the transfer ends by its timeout. */
static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    (void)easy, (void)arg, (void)unused;
    if (what == CURL_POLL_REMOVE)
        loop_forget(fd);
    else
        loop_watch(fd, (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0),
                   on_ready, NULL);
    return 0;
}

static int timer_wanted(CURLM *m, long ms, void *arg)
{
    (void)m, (void)arg;
    if (ms >= 0)
        return timer_set(&timer, clock_after_ms(async_now_ns(), (uint64_t)ms)) < 0 ? -1 : 0;
    timer_clear(&timer);
    return 0;
}

static CURLM *open_multi(void)
{
    CURLM *m = curl_multi_init();

    timer.fire = on_timer;
    if (m) {
        curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, socket_wanted);
        curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, timer_wanted);
    }
    return m;
}

static CURL *open_easy(void)
{
    CURL *easy = multi || (multi = open_multi()) ? curl_easy_init() : NULL;

    users += easy != NULL;
    return easy;
}

static void close_easy(CURL *easy)
{
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
    if (--users > 0)
        return;
    curl_multi_cleanup(multi);
    timer_clear(&timer);
    multi = NULL;
}

/* -- a download -------------------------------------------------------------------------------- */

static size_t on_body(char *data, size_t one, size_t length, void *arg)
{
    struct download *d = arg;
    struct page *grown = NULL;

    (void)one;
    if (length <= DOWNLOAD_BYTES_MAX - d->page->length)
        grown = realloc(d->page, sizeof *grown + d->page->length + length);
    if (!grown)
        return CURL_WRITEFUNC_ERROR;
    memcpy(grown->body + grown->length, data, length);
    grown->length += length;
    d->page = grown;
    return length;
}

static void configure(struct download *d)
{
    curl_easy_setopt(d->easy, CURLOPT_URL, d->url);
    curl_easy_setopt(d->easy, CURLOPT_PRIVATE, d);
    curl_easy_setopt(d->easy, CURLOPT_ERRORBUFFER, d->message);
    curl_easy_setopt(d->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(d->easy, CURLOPT_WRITEDATA, d);
    curl_easy_setopt(d->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(d->easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(d->easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(d->easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(d->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(d->easy, CURLOPT_QUICK_EXIT, 1L); /* do not join a look-up that hangs */
    curl_easy_setopt(d->easy, CURLOPT_TIMEOUT, (long)DOWNLOAD_SECONDS_MAX);
}

static future *transfer(struct download *d)
{
    future *f;

    d->page = calloc(1, sizeof *d->page);
    d->easy = d->page ? open_easy() : NULL;
    d->end = d->easy ? promise_new(&f) : NULL;
    if (!d->end)
        return future_out_of_memory();
    configure(d);
    if (curl_multi_add_handle(multi, d->easy) != CURLM_OK)
        promise_fail(d->end, CURLE_FAILED_INIT, NULL, NULL);
    return f;
}

static int download_step(task *t, void *frame)
{
    struct download *d = frame;

    BEGIN(t);
    AWAIT(t, d->transfer, transfer(d));
    if (future_ok(d->transfer)) {
        task_return(t, d->page, free);
        d->page = NULL;
    } else {
        task_fail(t, future_error(d->transfer), d->message[0] ? strdup(d->message) : NULL, free);
    }
    END(t);
}

/* On the loop, by then, whether the task ended or was cancelled while it waited. */
static void download_drop(void *frame)
{
    struct download *d = frame;

    if (d->easy)
        close_easy(d->easy);
    promise_drop(d->end);
    future_drop(d->transfer);
    free(d->page);
    free(d->url);
}

TASK(download_task, ON_LOOP, sizeof(struct download), .step = download_step, .drop = download_drop);

future *download(const char *url)
{
    struct download d = {.url = strdup(url)};

    return d.url ? task_start(&download_task, &d) : future_out_of_memory();
}

const char *why(const future *failed)
{
    int error = future_error(failed);

    if (future_value(failed))
        return future_value(failed);
    return error > 0 ? curl_easy_strerror((CURLcode)error) : strerrordesc_np(-error);
}
