/*
 * crash: a process task that dereferences NULL fails alone; the others never notice.
 *
 *     make examples && build/release/examples/crash
 */
#include "core/async/async.h"
#include "core/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ssize_t width_pack(void *frame, char *request, size_t capacity)
{
    struct bytes setting = bytes_cstr(*(const char **)frame);

    if (setting.len > capacity)
        return -EMSGSIZE;
    memcpy(request, setting.ptr, setting.len);
    return (ssize_t)setting.len;
}

/* In the worker: the number in "width=80". The bug: nobody asks whether there is a '='. */
static ssize_t width_serve(struct bytes setting, uint64_t deadline_ns, char *reply, size_t capacity)
{
    const char *equals = memchr(setting.ptr, '=', setting.len), *end = setting.ptr + setting.len;
    int width = 0;

    (void)deadline_ns, (void)capacity;
    for (const char *p = equals + 1; p < end; p++)
        width = 10 * width + *p - '0';
    memcpy(reply, &width, sizeof width);
    return sizeof width;
}

static void width_unpack(task *t, void *frame, struct bytes reply)
{
    int *width = reply.len == sizeof *width ? malloc(sizeof *width) : NULL;

    (void)frame;
    if (width)
        task_return(t, memcpy(width, reply.ptr, sizeof *width), free);
    else
        task_fail(t, -EBADMSG, NULL, NULL);
}

TASK(width_task, ON_PROCESS, sizeof(const char *), .pack = width_pack, .serve = width_serve,
     .unpack = width_unpack, .timeout_ms = 1000);

enum { SETTINGS = 4 };

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    const char *settings[SETTINGS] = {"width=80", "width", "width=132", "width=40"};
    future *widths[SETTINGS];

    for (int i = 0; i < SETTINGS; i++)
        widths[i] = task_start(&width_task, &settings[i]);
    for (int i = 0; i < SETTINGS; i++) {
        future_wait(widths[i], CLOCK_NEVER);
        if (future_ok(widths[i]))
            printf("%s: %d\n", settings[i], *(const int *)future_value(widths[i]));
        else
            printf("%s: %s\n", settings[i], strerrorname_np(-future_error(widths[i])));
        future_drop(widths[i]);
    }
    printf("workers lost: %ld\n", async_stats().workers_lost);
    return async_stop() < 0;
}
