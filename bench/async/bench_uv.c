/*
 * bench_uv NAME...: the same as bench_async's thread.one and thread.batch, by libuv's
 * uv_queue_work. Prints a line "NAME NANOSECONDS" each.
 */
#include "bench/async/measure.h"

#include <uv.h>

static struct {
    uint64_t left;
    unsigned width, running;
    uv_work_t work[BATCH];
} round_trips;

static void idle(uv_work_t *work)
{
    (void)work;
}

static void ended(uv_work_t *work, int status);

static void start_all(void)
{
    for (unsigned i = 0; i < round_trips.width; i++)
        if (uv_queue_work(uv_default_loop(), &round_trips.work[i], idle, ended) < 0)
            die("uv_queue_work failed");
    round_trips.running = round_trips.width;
}

static void ended(uv_work_t *work, int status)
{
    (void)work;
    (void)status;
    if (--round_trips.running > 0)
        return;
    round_trips.left -= round_trips.width;
    if (round_trips.left > 0)
        start_all();
}

static uint64_t run(uint64_t n, unsigned width)
{
    n = (n + width - 1) / width * width;
    round_trips.left = n;
    round_trips.width = width;
    start_all();
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    return n;
}

static uint64_t one(uint64_t n)
{
    return run(n, 1);
}

static uint64_t batch(uint64_t n)
{
    return run(n, BATCH);
}

int main(int argc, char **argv)
{
    static const struct measurement measurements[] = {{"uv.one", one}, {"uv.batch", batch}};

    for (int i = 1; i < argc; i++) {
        const struct measurement *m = &measurements[0];
        if (strcmp(argv[i], measurements[1].name) == 0)
            m = &measurements[1];
        else if (strcmp(argv[i], measurements[0].name) != 0)
            die(argv[i]);
        measure(m);
    }
    return 0;
}
