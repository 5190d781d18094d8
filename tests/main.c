/*
 * Runs every suite, or the one that CK_RUN_SUITE names. The runtime spawns its worker processes
 * from this binary too, so the first question is which of the two this process is.
 */
#include "core/async/runtime.h"
#include "tests/check.h"

#include <signal.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    /* The origin server of the tests writes to sockets that their peers have closed. */
    signal(SIGPIPE, SIG_IGN);

    SRunner *runner = srunner_create(NULL);
#define ADD_SUITE(name) srunner_add_suite(runner, suite_##name());
    SUITES(ADD_SUITE)
#undef ADD_SUITE
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
