/*
 * Closes connections that wait for their next transfer and were closed by their hosts. libcurl
 * looks at those only when a transfer begins, and then once a second at most; until then each is a
 * descriptor, a socket in CLOSE_WAIT, and what TLS needs. No function has it look, so where a
 * second passes after one was closed it is given a transfer, which is refused its socket.
 *
 * libcurl 7.88 takes a connection for a living one as long as there is something to read from it,
 * be it TLS' farewell or an error. So that is read first.
 *
 * Costs nothing while no host closes anything. Loop thread.
 */
#ifndef SKIMD_FETCH_REAPER_H
#define SKIMD_FETCH_REAPER_H

#include "core/async/loop.h"

#include <curl/curl.h>
#include <stdbool.h>

struct engine;

struct reaper {
    CURL *caller; /* the transfer that makes libcurl look; NULL: none is under way */
    struct timer timer;
    bool again; /* more were closed since the timer was set */
};

void reaper_init(struct engine *e);

/* Before the multi handle goes. */
void reaper_end(struct engine *e);

/* A connection was closed by its host, and became SOCKET_ENDED. */
void reaper_note(struct engine *e);

/* Whether the transfer that libcurl is done with was the reaper's; then it has ended. */
bool reaper_took(struct engine *e, const CURL *easy);

#endif
