/*
 * What the service manager is told: that the daemon is ready, that it stops, that its loop turns
 * (sd_notify(3), sd_watchdog_enabled(3)). Spoken without libsystemd: the protocol is a datagram and
 * promised to stay, and the library brings packages that nothing else here uses.
 *
 * notify_open() before there are threads, the rest on the loop thread. Without a service manager
 * that asked, everything does nothing.
 */
#ifndef SKIMD_SERVER_NOTIFY_H
#define SKIMD_SERVER_NOTIFY_H

#include "core/async/loop.h"

enum { NOTIFY_SIZE = 512 };

struct notifier {
    int fd;               /* -1: nobody asked */
    uint64_t watchdog_ns; /* from one sign of life to the next; 0: none is wanted */
    struct timer timer;
    size_t unsent_len;
    char unsent[NOTIFY_SIZE]; /* what the socket did not take yet */
};

/*
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them from the environment. 0, also
 * where nobody asked; a negative errno when the socket cannot be used, after which nothing is sent.
 */
int notify_open(struct notifier *ret);

/*
 * Sends assignments, a line each ("READY=1\nSTATUS=..."), now or as soon as the socket takes them.
 * What is longer than NOTIFY_SIZE together with what waits is left out.
 */
void notify_send(struct notifier *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ready, with a line for people; from now on the watchdog is fed. */
void notify_ready(struct notifier *n, const char *status);

/* Nothing is sent any more. */
void notify_close(struct notifier *n);

#endif
