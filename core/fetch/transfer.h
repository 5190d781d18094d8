/*
 * One HTTP exchange through libcurl. Knows nothing of turns, redirects, retries or names: that is
 * fetch.c's.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_TRANSFER_H
#define SKIMD_FETCH_TRANSFER_H

#include "core/async/future.h"
#include "core/base/buffer.h"
#include "core/fetch/address.h"
#include "core/fetch/engine.h"
#include "core/fetch/fetch_error.h"
#include "core/fetch/header.h"
#include "core/fetch/large_bodies.h"
#include "core/fetch/target.h"

/* Microseconds since the start of the transfer, by libcurl's clock; 0 for what did not happen. */
struct transfer_timing {
    uint64_t dns_us, connect_us, tls_us, first_byte_us, total_us;
};

/* What came back. Text fields are empty where the server sent nothing. */
struct response {
    unsigned http_status;
    struct bytes content_type, content_encoding; /* field values; repeated ones joined by ", " */
    struct bytes cache_control;                  /* the same */
    struct bytes location;                       /* of a 3xx */
    struct bytes http_version;                   /* "1.1", "2" */
    char remote_ip[48];
    bool is_tls;
    bool is_last;            /* as the request said */
    bool has_retry_after;    /* looked for in answers that are no success */
    uint64_t retry_after_s;  /* seconds from now, of either form (RFC 9110 section 10.2.3) */
    struct buffer body;      /* as received: still in its content codings */
    int64_t announced_bytes; /* the body's length; -1: none was announced */
    uint64_t body_bytes;     /* so many came; more than body.len where they were not wanted */
    bool stopped;            /* the transfer was ended before the body was (wants_type, watch) */
    struct transfer_timing timing;
    /* private */
    struct buffer text; /* where the fields above lie */
};

/* The detail of a failed transfer; the future's error is an enum fetch_code. */
struct transfer_failure {
    char message[CURL_ERROR_SIZE];
    enum fetch_phase phase;
    struct transfer_timing timing;
};

/* Whether it leads elsewhere: RFC 9110 section 15.4, where 300 and 304 have no target of their own
 * that a GET should follow. The body of one that does is of no use. */
bool response_is_redirect(const struct response *r);

/* Frees the body, as the end of the response would; all else of it stays. */
void response_drop_body(struct response *r);

/*
 * A look at a body while it comes: embedded by who wants it, zero-initialised but for `at_bytes`
 * and `reached`. It must stay until the transfer's future is settled.
 */
struct transfer_watch {
    size_t at_bytes; /* of the body */
    /*
     * Called once, when so much is there and it is not known that this is all: `so_far` has the
     * head and what came of the body, borrowed for the call. False: that is enough, the transfer
     * ends as by transfer_stop(). It may start tasks; it must not call transfer_stop(), nor start
     * or cancel a transfer: libcurl is at work. Never called for a body that is not wanted.
     */
    bool (*reached)(struct transfer_watch *watch, const struct response *so_far);
    /* Called by fetch() when it will not use the watch any more; NULL: the owner knows by itself.
     */
    void (*release)(struct transfer_watch *watch);
    struct transfer *transfer; /* private; NULL: none under way */
};

/* Borrowed pointers must stay until the transfer's future is settled. */
struct transfer_request {
    const struct target *target;
    const struct address *address; /* to connect to (port set); NULL: the target's host is an
                                      address, or there is a proxy */
    int socket;                    /* connected to `address`, best by a single non-blocking
                                      connect() (see route.h); consumed in any case. -1, or no
                                      `address`: none */
    const char *user_agent;
    const struct header_list *headers; /* NULL: none */
    unsigned timeout_ms;
    size_t max_body_bytes;
    bool identity; /* content codings are not asked for */
    bool insecure; /* whatever the certificate. Connections are not shared with those that care */
    bool last;     /* nothing more waits for this origin: its connection makes room for others */
    /* Whether a body of this Content-Type (empty: none) is of use; NULL: every one is. One that is
     * not is not kept, and not waited for where it is longer than UNWANTED_READ_MAX. */
    bool (*wants_type)(struct bytes content_type);
    struct transfer_watch *watch; /* NULL: none */
};

/* An unwanted body is read to its end, for the sake of the connection, if it says it is so short.
 */
enum { UNWANTED_READ_MAX = 64 << 10 };

/*
 * GETs. The future's value is a `struct response` for any HTTP answer; it fails with an enum
 * fetch_code and a `struct transfer_failure` otherwise. Cancelling removes the transfer from
 * libcurl.
 */
future *transfer_start(struct engine *e, const struct transfer_request *request);

/*
 * Ends the transfer now: its future becomes ok with what has come, and `stopped`. Over HTTP/2 that
 * resets the stream, over HTTP/1.1 it closes the connection. For after `reached`, not inside it;
 * nothing happens when the transfer is over already.
 */
void transfer_stop(struct transfer_watch *watch);

/*
 * What has come of the body is freed, and the rest is counted but not kept: the transfer goes on to
 * its end for its connection, and fails as it would have. For after `reached`, not inside it;
 * nothing happens when the transfer is over already.
 */
void transfer_discard_body(struct transfer_watch *watch);

/* The head and what came of the body, borrowed until the loop goes on; NULL: no transfer is
 * under way. */
const struct response *transfer_so_far(const struct transfer_watch *watch);

/* For `reached`: the URL whose body it is, as struct target has it. Borrowed for the call. */
struct bytes transfer_url(const struct transfer_watch *watch);

#endif
