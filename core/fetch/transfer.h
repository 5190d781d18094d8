/*
 * One HTTP exchange through libcurl's multi interface, driven by the runtime's loop. Knows nothing
 * of turns, redirects or retries: that is fetch.c's.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_TRANSFER_H
#define SKIMD_FETCH_TRANSFER_H

#include "core/async/future.h"
#include "core/async/loop.h"
#include "core/base/buffer.h"
#include "core/base/list.h"
#include "core/fetch/fetch_error.h"
#include "core/fetch/guard.h"
#include "core/fetch/target.h"

struct engine;

/* A body above this needs one of the places for large bodies to go on; without one it pauses. */
enum { LARGE_BODY_BYTES = 512 << 10 };

/* The places, shared by engines. A place is given back with the response that has it. */
struct large_bodies {
    unsigned free;
    struct list paused; /* transfers */
    struct job resume;
    bool resuming; /* `resume` is queued */
};

void large_bodies_init(struct large_bodies *large, unsigned places);

struct engine_options {
    const struct guard *guard;                 /* borrowed; outlives the engine */
    unsigned connect_timeout_ms;               /* look-up, connect and TLS handshake */
    unsigned max_connections;                  /* kept open, idle ones included */
    void (*hold)(void *arg, ptrdiff_t change); /* told of the bytes that bodies take */
    void *hold_arg;
    struct large_bodies *large; /* borrowed; outlives engine and responses */
};

struct transfer_request {
    const struct target *target; /* borrowed until the transfer's future is settled */
    const char *user_agent;      /* the same */
    unsigned timeout_ms;
    size_t max_body_bytes;
};

/* Microseconds since the start of the transfer, by libcurl's clock; 0 for what did not happen. */
struct transfer_timing {
    uint64_t dns_us, connect_us, tls_us, first_byte_us, total_us;
};

/* What came back. Text fields are empty where the server sent nothing. */
struct response {
    unsigned http_status;
    struct bytes content_type, content_encoding; /* field values; repeated ones joined by ", " */
    struct bytes location;
    struct bytes http_version; /* "1.1", "2" */
    char remote_ip[48];
    unsigned retry_after_s; /* 0: not sent */
    struct buffer body;     /* as received: still in its content codings */
    struct transfer_timing timing;
    /* private */
    struct buffer text; /* where the fields above lie */
    const struct engine_options *options;
    bool is_large; /* has a place */
};

/* The detail of a failed transfer; the future's error is an enum fetch_code. */
struct transfer_failure {
    char message[CURL_ERROR_SIZE];
    enum fetch_phase phase;
};

/* Copies `options`. NULL when memory is exhausted. */
struct engine *engine_new(const struct engine_options *options);

/* Closes every connection. No transfer may be under way. NULL is fine. Returns NULL. */
struct engine *engine_free(struct engine *e);

/*
 * GETs. The future's value is a `struct response` for any HTTP answer; it fails with an enum
 * fetch_code and a `struct transfer_failure` otherwise. Cancelling removes the transfer from
 * libcurl.
 */
future *transfer_start(struct engine *e, const struct transfer_request *request);

#endif
