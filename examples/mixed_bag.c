/*
 * mixed_bag URL...: computes, and downloads each URL twice, all at the same time.
 *
 * Each of the three functions says itself where it runs: `count_primes` computes, in a process of
 * its own; `size_blocking` blocks, on a thread; `size_async` waits on the loop. All give a future,
 * so main() throws them into one list, and need not know which is which.
 *
 *     make examples && build/release/examples/mixed_bag https://example.com/
 */
#include "core/base/clock.h"
#include "examples/download.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void return_number(task *t, uint64_t number)
{
    uint64_t *value = malloc(sizeof *value);

    if (!value) {
        task_fail(t, -ENOMEM, NULL, NULL);
        return;
    }
    *value = number;
    task_return(t, value, free);
}

/* -- compute: in a process --------------------------------------------------------------------- */

static ssize_t count_primes_pack(void *frame, char *request, size_t capacity)
{
    (void)capacity; /* far more than a number needs, here and below */
    memcpy(request, frame, sizeof(uint64_t));
    return sizeof(uint64_t);
}

static ssize_t count_primes_serve(struct bytes request, uint64_t deadline_ns, char *reply,
                                  size_t capacity)
{
    uint64_t below, primes = 0;

    (void)deadline_ns, (void)capacity;
    memcpy(&below, request.ptr, sizeof below);
    for (uint64_t n = 2, divisor; n < below; n++) {
        for (divisor = 2; divisor * divisor <= n && n % divisor != 0; divisor++)
            continue;
        primes += divisor * divisor > n;
    }
    memcpy(reply, &primes, sizeof primes);
    return sizeof primes;
}

static void count_primes_unpack(task *t, void *frame, struct bytes reply)
{
    uint64_t primes = 0;

    (void)frame;
    if (reply.len != sizeof primes) {
        task_fail(t, -EBADMSG, NULL, NULL);
        return;
    }
    memcpy(&primes, reply.ptr, sizeof primes);
    return_number(t, primes);
}

TASK(count_primes_task, ON_PROCESS, sizeof(uint64_t), .pack = count_primes_pack,
     .serve = count_primes_serve, .unpack = count_primes_unpack);

static future *count_primes(uint64_t below)
{
    return task_start(&count_primes_task, &below);
}

/* -- download, blocking: on a thread ----------------------------------------------------------- */

static size_t count_bytes(char *data, size_t one, size_t length, void *total)
{
    (void)data, (void)one;
    *(uint64_t *)total += length;
    return length;
}

static void size_blocking_run(task *t, void *frame)
{
    CURL *easy = curl_easy_init();
    uint64_t size = 0;

    curl_easy_setopt(easy, CURLOPT_URL, *(const char **)frame);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)DOWNLOAD_SECONDS_MAX);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, count_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &size);
    CURLcode result = curl_easy_perform(easy);
    if (result == CURLE_OK)
        return_number(t, size);
    else
        task_fail(t, (int)result, NULL, NULL);
    curl_easy_cleanup(easy);
}

TASK(size_blocking_task, ON_THREAD, sizeof(const char *), .run = size_blocking_run);

static future *size_blocking(const char *url)
{
    return task_start(&size_blocking_task, &url);
}

/* -- download, async: on the loop -------------------------------------------------------------- */

struct size_async {
    const char *url;
    future *page;
};

static int size_async_step(task *t, void *frame)
{
    struct size_async *s = frame;

    BEGIN(t);
    AWAIT(t, s->page, download(s->url));
    if (future_ok(s->page))
        return_number(t, ((const struct page *)future_value(s->page))->length);
    else
        task_fail(t, future_error(s->page), NULL, NULL);
    END(t);
}

static void size_async_drop(void *frame)
{
    future_drop(((struct size_async *)frame)->page);
}

TASK(size_async_task, ON_LOOP, sizeof(struct size_async), .step = size_async_step,
     .drop = size_async_drop);

static future *size_async(const char *url)
{
    return task_start(&size_async_task, &(struct size_async){.url = url});
}

/* -- the bag ----------------------------------------------------------------------------------- */

enum { BAG_MAX = 64 };

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    future *bag[BAG_MAX];
    size_t n = 0;
    int rc = 0;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    for (uint64_t below = 1000; below <= 1000000; below *= 10)
        bag[n++] = count_primes(below);
    for (int i = 1; i < argc && n + 1 < BAG_MAX; i++) {
        bag[n++] = size_blocking(argv[i]);
        bag[n++] = size_async(argv[i]);
    }

    for (size_t i = 0; i < n; i++) {
        future_wait(bag[i], CLOCK_NEVER);
        if (future_ok(bag[i]))
            printf("%" PRIu64 "\n", *(const uint64_t *)future_value(bag[i]));
        else
            printf("FAILED: %s\n", why(bag[i]));
        rc |= !future_ok(bag[i]);
        future_drop(bag[i]);
    }
    rc |= async_stop() < 0;
    curl_global_cleanup();
    return rc;
}
