/*
 * The test origin as a program: origin [--listen 127.A.B.C:PORT] [--site DIR]
 *
 * Prints its URL as its first line, serves until SIGTERM or SIGINT, and exits 0.
 */
#include "tests/support/origin.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cuts "ADDR:PORT" in two; 0, or -EINVAL. `text` is changed and kept. */
static int parse_listen(char *text, struct origin_options *options)
{
    char *colon = strrchr(text, ':');
    char *end;

    if (!colon || colon[1] < '0' || colon[1] > '9')
        return -EINVAL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > UINT16_MAX)
        return -EINVAL;
    *colon = '\0';
    options->address = text;
    options->port = (uint16_t)port;
    return 0;
}

static int parse_arguments(int argc, char **argv, struct origin_options *options)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return -EINVAL;
        if (strcmp(argv[i], "--listen") == 0) {
            if (parse_listen(argv[i + 1], options))
                return -EINVAL;
        } else if (strcmp(argv[i], "--site") == 0) {
            options->site = argv[i + 1];
        } else {
            return -EINVAL;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct origin_options options = {0};
    sigset_t ends;
    int signal_number;

    if (parse_arguments(argc, argv, &options)) {
        fprintf(stderr, "usage: origin [--listen 127.A.B.C:PORT] [--site DIR]\n");
        return 2;
    }
    /* Blocked before the URL is out: whoever has read it may send the signal at once. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);

    struct origin *origin = origin_start(&options);
    if (!origin) {
        fprintf(stderr, "origin: cannot start: %s\n", strerror(errno));
        return 1;
    }
    puts(origin_url(origin));
    fflush(stdout);
    while (sigwait(&ends, &signal_number) != 0)
        ;
    origin_stop(origin);
    return 0;
}
