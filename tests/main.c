/*
 * Runs every suite, or the one that CK_RUN_SUITE names, or of all the K-th in N that
 * CHECK_SHARD=K/N asks for, so that several can run side by side. The runtime spawns its worker
 * processes from this binary too, so the first question is which of the two this process is.
 */
#include "core/async/runtime.h"
#include "tests/check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* False where CHECK_SHARD is no K/N. */
static bool read_shard(unsigned long *ret_mine, unsigned long *ret_count)
{
    const char *text = getenv("CHECK_SHARD");
    char *end;

    *ret_mine = *ret_count = 1;
    if (!text || text[0] == '\0')
        return true;
    *ret_mine = strtoul(text, &end, 10);
    if (*end != '/')
        return false;
    *ret_count = strtoul(end + 1, &end, 10);
    return *end == '\0' && *ret_mine >= 1 && *ret_mine <= *ret_count;
}

int main(int argc, char **argv)
{
    unsigned long mine, count, i = 0;

    if (async_is_worker(argc, argv))
        return async_worker_main();

    /* The origin server of the tests writes to sockets that their peers have closed. */
    signal(SIGPIPE, SIG_IGN);
    /* Check's own 4 seconds are few under a sanitizer on a busy machine. */
    setenv("CK_DEFAULT_TIMEOUT", "60", 0);

    if (!read_shard(&mine, &count)) {
        fputs("check_skimd: CHECK_SHARD is K/N, such as 1/2 and 2/2\n", stderr);
        return EXIT_FAILURE;
    }

    SRunner *runner = srunner_create(NULL);
#define ADD_SUITE(name)                                                                            \
    if (i++ % count + 1 == mine)                                                                   \
        srunner_add_suite(runner, suite_##name());
    SUITES(ADD_SUITE)
#undef ADD_SUITE
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
