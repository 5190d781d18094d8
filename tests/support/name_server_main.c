/*
 * The test name server as a program: every name is 127.0.0.1, and has no IPv6 address.
 *
 * Prints its address ("127.0.0.1:PORT") as its first line, serves until SIGTERM or SIGINT, and
 * exits 0.
 */
#include "tests/support/name_server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { TTL_S = 300 };

int main(void)
{
    sigset_t ends;
    int signal_number;

    /* Blocked before the address is out: whoever has read it may send the signal at once. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);

    struct name_server *ns = name_server_start();
    if (!ns) {
        fprintf(stderr, "name_server: cannot start: %s\n", strerror(errno));
        return 1;
    }
    name_server_set(ns, "*", &(struct name_answer){.addresses = "127.0.0.1", .ttl = TTL_S});
    puts(name_server_address(ns));
    fflush(stdout);
    while (sigwait(&ends, &signal_number) != 0)
        ;
    name_server_stop(ns);
    return 0;
}
