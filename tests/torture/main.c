/*
 * The torture run of the future layer: in short scenarios, which together do all that it does,
 * every call that may fail fails in turn, and then several of them.
 *
 *     torture [--quick] [--sites FILE] [SCENARIO...]
 *
 * Each scenario is run in a process of its own, again and again:
 *   - by site: the 1st, 2nd, 3rd and last call of each call site fails, with each of its errors; a
 *     site that is only come to after a failure is failed after that one;
 *   - what is called in the first run only (as by pthread_once) fails in the first run of a
 * process;
 *   - by number: the n-th call of all fails, for every n;
 *   - for long: from the n-th call on, memory and descriptors are exhausted for a while.
 * Quickly: only the 1st call of each site. After each run nothing may be left, see scenario.h. A
 * run that takes too long has failed.
 *
 * FILE gets a line for each site: its address, its function, how often it failed.
 */
#include "core/async/runtime.h"
#include "tests/torture/faults.h"
#include "tests/torture/scenario.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PATIENCE_S = 20, /* for a run, which takes some ms */
    REAL_STEPS = 12, /* of the real scenarios, which are slow, not every n is tried */
    BURSTS = 2,
};

static const unsigned burst_lengths[BURSTS] = {4, 100};

static const struct scenario *const all_scenarios[] = {
    loop_scenarios, thread_scenarios, together_scenarios, process_scenarios, real_scenarios,
};

static bool quick;

/* What a child says, in memory that it shares with its parent. */
struct report {
    unsigned runs;
    unsigned order_count; /* of the run under way */
    struct order orders[ORDERS_MAX];
    unsigned first_calls[SITES_MAX]; /* of the first run of a process */
    char complaint[512];
};

/* -- in the child: one run --------------------------------------------------------------------- */

static const struct scenario *scenario;
static struct report *report;
static long blocks_before;
static size_t descriptors_before;

static size_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

/* What is still there the second time was not there to stay. */
static void look_for_leaks(void)
{
    if (blocks_before >= 0 && blocks_allocated() != blocks_before)
        complain("%ld blocks of memory are left", blocks_allocated() - blocks_before);
    if (descriptors_before > 0 && open_descriptors() != descriptors_before)
        complain("%zu descriptors are open, %zu were before", open_descriptors(),
                 descriptors_before);
}

static void run(const struct order *orders, unsigned count)
{
    report->runs++;
    report->order_count = count;
    if (count > 0)
        memcpy(report->orders, orders, count * sizeof *orders);
    alarm(PATIENCE_S);
    begin();
    faults_arm(orders, count);
    scenario->run();
    async_stop();
    faults_disarm();
    finish();
    look_for_leaks();
    alarm(0);
    if (complaint()[0]) {
        snprintf(report->complaint, sizeof report->complaint, "%s", complaint());
        _exit(EXIT_FAILURE);
    }
}

/* -- in the child: all runs -------------------------------------------------------------------- */

static bool known[SITES_MAX];

static void run_by_site(struct order orders[ORDERS_MAX], unsigned count);

/* Sites that were called now, and never before. */
static void run_new_sites(struct order orders[ORDERS_MAX], unsigned count)
{
    for (int site = 0; count < ORDERS_MAX && site < SITES_MAX; site++) {
        if (known[site] || atomic_load(&faults->sites[site].calls) == 0)
            continue;
        known[site] = true;
        orders[count] = (struct order){.site = site, .from = 1, .to = 1};
        run_by_site(orders, count + 1);
    }
}

/* With each error of the last of these orders. */
static void run_by_site(struct order orders[ORDERS_MAX], unsigned count)
{
    struct order *last = &orders[count - 1];
    unsigned errors = function_errors(site_function(&faults->sites[last->site]));

    for (last->error = 0; last->error < errors; last->error++) {
        run(orders, count);
        run_new_sites(orders, count);
    }
}

static void run_by_sites(void)
{
    unsigned calls[SITES_MAX];

    for (int site = 0; site < SITES_MAX; site++) {
        calls[site] = atomic_load(&faults->sites[site].calls);
        known[site] = calls[site] > 0;
    }
    for (int site = 0; site < SITES_MAX; site++) {
        for (unsigned nth = 1; nth <= calls[site]; nth = nth == 3 ? calls[site] : nth + 1) {
            struct order orders[ORDERS_MAX] = {{.site = site, .from = nth, .to = nth}};
            run_by_site(orders, 1);
            if (nth == calls[site] || quick)
                break;
        }
    }
}

/* From the n-th on, `length` calls fail. Returns the number of errors that the n-th may have. */
static unsigned run_by_number(unsigned nth, unsigned length, unsigned error)
{
    struct order order = {.site = ANY_SITE,
                          .from = nth,
                          .to = nth + length - 1,
                          .error = error,
                          .only_lasting = length > 1};

    run(&order, 1);
    return atomic_load(&faults->errors);
}

static void run_by_numbers(unsigned calls)
{
    unsigned step = scenario->real ? 1 + calls / REAL_STEPS : 1;

    for (unsigned nth = 1, errors = 1; errors > 0; nth += step) {
        errors = run_by_number(nth, 1, 0);
        for (unsigned error = 1; error < errors; error++)
            run_by_number(nth, 1, error);
    }
    for (int i = 0; i < BURSTS; i++)
        for (unsigned nth = 1; run_by_number(nth, burst_lengths[i], 0) > 0;)
            nth += step;
}

/* The first run of a process, without the second time to compare with. */
static void run_first(struct order *order)
{
    fflush(NULL);
    pid_t child = fork();
    int status;

    if (child == 0) {
        run(order, order != NULL);
        for (int site = 0; !order && site < SITES_MAX; site++)
            report->first_calls[site] = atomic_load(&faults->sites[site].calls);
        if (!order)
            run(NULL, 0);
        exit(EXIT_SUCCESS);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        abort();
    if (WIFSIGNALED(status))
        raise(WTERMSIG(status));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
        _exit(EXIT_FAILURE);
}

static void run_first_calls(void)
{
    run_first(NULL);
    for (int site = 0; site < SITES_MAX; site++)
        if (atomic_load(&faults->sites[site].calls) > 0) /* in the second run */
            report->first_calls[site] = 0;
    for (int site = 0; site < SITES_MAX; site++) {
        struct order order = {.site = site, .from = 1, .to = 1};
        unsigned errors = function_errors(site_function(&faults->sites[site]));
        for (; report->first_calls[site] > 0 && order.error < errors; order.error++)
            run_first(&order);
    }
}

static void run_all(void)
{
    blocks_before = -1;
    run_first_calls();
    run(NULL, 0); /* what is allocated once, and kept */
    blocks_before = blocks_allocated();
    descriptors_before = open_descriptors();
    run(NULL, 0);
    unsigned calls = atomic_load(&faults->calls);
    run_by_sites();
    if (!quick)
        run_by_numbers(calls);
    exit(EXIT_SUCCESS); /* here a sanitizer looks for leaks */
}

/* -- in the parent ----------------------------------------------------------------------------- */

static struct {
    bool failed;
    unsigned scenarios, runs, failures;
    struct site sites[SITES_MAX];
} total;

static void add_up(void)
{
    total.runs += report->runs;
    total.failures += (unsigned)atomic_load(&faults->failures_of_all);
    for (int i = 0; i < SITES_MAX; i++) {
        struct site *from = &faults->sites[i], *to = total.sites;
        while (atomic_load(&to->key) && atomic_load(&to->key) != atomic_load(&from->key))
            to++;
        if (atomic_load(&from->key)) {
            atomic_store(&to->key, atomic_load(&from->key));
            atomic_fetch_add(&to->failures, atomic_load(&from->failures));
        }
    }
}

static void print_failure(int status)
{
    int end = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    printf("torture: '%s' fails in run %u: ", scenario->name, report->runs);
    if (end == SIGALRM)
        printf("it hangs\n");
    else if (end)
        printf("it is killed by signal %d (%s)\n", end, strsignal(end));
    else
        printf("%s\n", report->complaint[0] ? report->complaint : "it exits");
    for (unsigned i = 0; i < report->order_count; i++) {
        const struct order *o = &report->orders[i];
        const struct site *s = &faults->sites[o->site == ANY_SITE ? 0 : o->site];
        printf("   call %u", o->from);
        if (o->to != o->from)
            printf(" to %u", o->to);
        if (o->site == ANY_SITE) {
            printf(" of all, with error %u\n", o->error);
        } else {
            enum function f = site_function(s);
            printf(" of %s fails with %s\n", function_name(f),
                   strerror(function_errno(f, o->error)));
            printf("      at 0x%lx\n", (unsigned long)site_address(s) - 1); /* `run` says where */
        }
    }
    total.failed = true;
}

static void torture(const struct scenario *s)
{
    int status = 0;

    scenario = s;
    faults_share();
    memset(report, 0, sizeof *report);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        run_all();
    if (child < 0 || waitpid(child, &status, 0) < 0)
        abort();
    total.scenarios++;
    add_up();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
        print_failure(status);
}

static bool chosen(const char *name, char **names)
{
    if (!*names)
        return true;
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names;
}

static int write_sites(const char *path)
{
    FILE *file = fopen(path, "we");

    if (!file)
        return -errno;
    for (const struct site *s = total.sites; atomic_load(&s->key); s++)
        fprintf(file, "%lx %s %u\n", (unsigned long)site_address(s),
                function_name(site_function(s)), atomic_load(&s->failures));
    return fclose(file) == 0 ? 0 : -errno;
}

static int take_options(char **argv, const char **ret_sites)
{
    int n = 1;

    quick = argv[n] && strcmp(argv[n], "--quick") == 0;
    n += quick;
    if (argv[n] && argv[n + 1] && strcmp(argv[n], "--sites") == 0) {
        *ret_sites = argv[n + 1];
        n += 2;
    }
    return n;
}

int main(int argc, char **argv)
{
    const char *sites = NULL;

    if (async_is_worker(argc, argv)) {
        faults_join();
        return async_worker_main();
    }
    char **names = argv + take_options(argv, &sites);
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return EXIT_FAILURE;
    for (size_t i = 0; i < sizeof all_scenarios / sizeof all_scenarios[0]; i++)
        for (const struct scenario *s = all_scenarios[i]; s->name; s++)
            if (chosen(s->name, names))
                torture(s);
    if (sites && write_sites(sites) < 0)
        return EXIT_FAILURE;
    if (total.scenarios == 0)
        total.failed = true; /* a name that is none */

    unsigned count = 0;
    while (atomic_load(&total.sites[count].key))
        count++;
    printf("%u scenarios, %u runs, %u sites, %u failures injected, %s\n", total.scenarios,
           total.runs, count, total.failures, total.failed ? "not all survived" : "all survived");
    return total.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
