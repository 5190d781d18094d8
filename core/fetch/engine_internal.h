/*
 * What engine.c and transfer.c know of each other.
 */
#ifndef SKIMD_FETCH_ENGINE_INTERNAL_H
#define SKIMD_FETCH_ENGINE_INTERNAL_H

#include "core/async/loop.h"
#include "core/base/list.h"
#include "core/fetch/engine.h"
#include "core/fetch/reaper.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine {
    struct engine_options options;
    const char *ca_file; /* what is trusted; NULL: what libcurl takes by itself */
    CURLM *multi;
    CURLSH *share;          /* NULL: not needed */
    struct list idle, busy; /* transfers */
    size_t idle_count;
    size_t idle_least;  /* since `trim` was set */
    struct timer trim;  /* of idle ones */
    struct timer timer; /* libcurl's */
    struct reaper reaper;
    struct job collect;
    bool collecting; /* `collect` is queued */
    bool broken;     /* libcurl gave the handle up: it will not end its transfers by itself */
    bool closed;     /* engine_free came first: `collect` frees what is left */
    unsigned char *sockets; /* by descriptor: an enum engine_socket */
    size_t sockets_size;
    size_t connections;      /* that are open */
    uint64_t received_bytes; /* of bodies, so far */
    int64_t usual_body;      /* bytes: a moving average */
    long http_version;       /* for CURLOPT_HTTP_VERSION */
    bool handles_serve_again;
    bool buffers_may_change; /* those of handles that have served */
};

enum engine_socket {
    SOCKET_UNKNOWN,   /* none of those that were adopted */
    SOCKET_ADOPTED,   /* not seen connected yet: may be closed without a word */
    SOCKET_CONNECTED, /* will be closed by engine_close_socket */
    SOCKET_ENDED,     /* so will this; its host closed it while libcurl did not ask for it */
};

/* -- engine.c ---------------------------------------------------------------------------------- */

/* Ends the transfers that libcurl is done with; not inside a callback of libcurl. */
void engine_collect(struct engine *e);

/* So many more (or fewer) transfers are idle. */
void engine_counts_idle(struct engine *e, int change);

/* Whether so many connections are open that one of no further use should not be kept: what libcurl
 * does about its connections costs the more, the more there are. */
bool engine_is_crowded(const struct engine *e);

/* A transfer has received so many bytes of a body. */
void engine_note_body(struct engine *e, uint64_t bytes);

/* How much the next transfer should take from its socket at once. */
size_t engine_receive_buffer(const struct engine *e);

/* Takes over a descriptor for a connection, to be closed by engine_close_socket, which is libcurl's
 * callback, or by libcurl. Returns it; or -ENOMEM, and has closed it. */
int engine_adopt_socket(struct engine *e, int fd);
int engine_close_socket(void *engine, curl_socket_t fd);

/* -- transfer.c -------------------------------------------------------------------------------- */

/* libcurl is done with it, and says how it ended. */
void transfer_ended(CURL *easy, CURLcode result);

/* Fails all that are under way. */
void transfer_abort_all(struct engine *e);

/* Frees idle ones until only `keep` are left. */
void transfer_free_idle(struct engine *e, size_t keep);

#endif
