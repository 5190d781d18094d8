#include "bench/fetch/workload.h"

#include "core/base/bytes.h"
#include "core/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(EXIT_FAILURE);
}

static _Noreturn void die_of_usage(const char *usage)
{
    fprintf(stderr, "usage: %s " WORKLOAD_USAGE " %s URLS_FILE\n", program_invocation_short_name,
            usage);
    exit(2);
}

/* -- the command line -------------------------------------------------------------------------- */

size_t parse_number(const char *text)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n > UINT32_MAX)
        die("a number is expected");
    return n;
}

void workload_option(struct workload *w, int option, const char *usage)
{
    switch (option) {
    case 'c':
        w->concurrency = (unsigned)parse_number(optarg);
        break;
    case 'n':
        w->count = parse_number(optarg);
        break;
    case 'r':
        w->random = true;
        break;
    default:
        die_of_usage(usage);
    }
}

static void add_url(struct workload *w, struct bytes url)
{
    if ((w->url_count & (w->url_count - 1)) == 0) { /* a power of two: full */
        size_t capacity = w->url_count ? 2 * w->url_count : 1;
        char **grown = realloc(w->urls, capacity * sizeof *grown);
        if (!grown)
            die("no memory");
        w->urls = grown;
    }
    w->urls[w->url_count] = strndup(url.ptr, url.len);
    if (!w->urls[w->url_count++])
        die("no memory");
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void workload_read(struct workload *w, int argc, char **argv, const char *usage)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    if (optind + 1 != argc)
        die_of_usage(usage);
    FILE *file = fopen(argv[optind], "re");
    if (!file)
        die(argv[optind]);
    while ((len = getline(&line, &size, file)) >= 0) {
        struct bytes url = bytes_trim(bytes_of(line, (size_t)len));
        if (url.len > 0)
            add_url(w, url);
    }
    free(line);
    fclose(file);
    if (w->url_count == 0 || w->concurrency == 0)
        die("nothing to do");
    if (w->count == 0)
        w->count = w->url_count;
    raise_descriptor_limit();
}

void workload_free(struct workload *w)
{
    for (size_t i = 0; i < w->url_count; i++)
        free(w->urls[i]);
    free(w->urls);
}

/* -- the URLs ---------------------------------------------------------------------------------- */

/* SplitMix64's way to make any number of its index. */
static uint64_t mix(uint64_t n)
{
    n += 0x9e3779b97f4a7c15;
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9;
    n = (n ^ n >> 27) * 0x94d049bb133111eb;
    return n ^ n >> 31;
}

const char *workload_url(const struct workload *w, size_t index)
{
    return w->urls[(w->random ? mix(index) : index) % w->url_count];
}

/* -- the measurement --------------------------------------------------------------------------- */

static uint64_t microseconds(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static uint64_t cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

/* Not ru_maxrss, which begins with what the shell had that started us. */
static unsigned long peak_kib(void)
{
    char line[128];
    unsigned long kib = 0;
    FILE *status = fopen("/proc/self/status", "re");

    if (!status)
        die("/proc/self/status");
    while (kib == 0 && fgets(line, sizeof line, status)) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtoul(line + 6, NULL, 10);
    }
    fclose(status);
    return kib;
}

void workload_begin(struct workload *w)
{
    w->began_ns = clock_now_ns();
    w->began_cpu_us = cpu_us();
}

void workload_report(const struct workload *w, size_t ok, uint64_t bytes)
{
    double cpu_ms = (double)(cpu_us() - w->began_cpu_us) / 1e3;
    double wall_ms = (double)(clock_now_ns() - w->began_ns) / NS_PER_MS;

    if (ok != w->count) {
        fprintf(stderr, "%s: only %zu of %zu fetches were answered by 200\n",
                program_invocation_short_name, ok, w->count);
        exit(EXIT_FAILURE);
    }
    printf("%zu %.1f %.1f %lu %llu\n", w->count, cpu_ms, wall_ms, peak_kib(),
           (unsigned long long)bytes);
}
