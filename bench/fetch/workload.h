/*
 * What the programs of this folder have in common: the same URLs in the same order, and how a run
 * is measured.
 *
 *     NAME [--concurrency N] [--count N] [--random] ... URLS_FILE
 *
 * The file has a URL a line. Its lines are fetched over and over, `--count` fetches in all (each
 * once without it), in order or, with `--random`, each time one by chance: the same at every call.
 */
#ifndef SKIMD_BENCH_FETCH_WORKLOAD_H
#define SKIMD_BENCH_FETCH_WORKLOAD_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct workload {
    unsigned concurrency;
    size_t count;
    bool random;
    char **urls;
    size_t url_count;
    uint64_t began_ns, began_cpu_us; /* workload_begin */
};

/* For the table of getopt_long; what they set is set by workload_option. */
#define WORKLOAD_OPTIONS                                                                           \
    {"concurrency", required_argument, NULL, 'c'}, {"count", required_argument, NULL, 'n'},        \
    {                                                                                              \
        "random", no_argument, NULL, 'r'                                                           \
    }
#define WORKLOAD_USAGE "[--concurrency N] [--count N] [--random]"

/* What is unknown or has a bad argument ends the program, with `usage`. */
void workload_option(struct workload *w, int option, const char *usage);

/* Reads the file that argv names behind the options, and raises the limit of descriptors. */
void workload_read(struct workload *w, int argc, char **argv, const char *usage);

/* The URL of fetch number `index`, NUL-terminated; it lives as long as the workload. */
const char *workload_url(const struct workload *w, size_t index);

/* From here on time counts. */
void workload_begin(struct workload *w);

/*
 * Prints "FETCHES CPU_MS WALL_MS PEAK_KIB BYTES": CPU (user and system, all threads) and wall time
 * since workload_begin, the peak of resident memory since the start of the program. Ends the
 * program unless `ok`, the fetches that were answered by 200, is all of them.
 */
void workload_report(const struct workload *w, size_t ok, uint64_t bytes);

void workload_free(struct workload *w);

/* A whole number from 0 on; anything else ends the program. */
size_t parse_number(const char *text);

/* A benchmark that can't do its work has nothing to say. */
_Noreturn void die(const char *what);

#endif
