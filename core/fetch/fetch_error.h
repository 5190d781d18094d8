/*
 * How a fetch can fail: one closed list of codes, and the way there from libcurl's results.
 *
 * The list is the part of the API's error codes that a fetch can have. A code goes to the client as
 * its name; it is positive, so that it shares an `int` with 0 (no error) and negative errno.
 */
#ifndef SKIMD_FETCH_FETCH_ERROR_H
#define SKIMD_FETCH_FETCH_ERROR_H

#include <curl/curl.h>
#include <stdbool.h>

/* Whether the same fetch may be tried again after a failure. */
enum fetch_retry {
    FETCH_RETRY_NEVER,        /* it would fail again, or it must not be repeated */
    FETCH_RETRY_ALWAYS,       /* nothing of an answer can have come */
    FETCH_RETRY_BEFORE_BYTES, /* only while no byte of the answer had come */
};

/* X(constant, name in the API, default message, when to retry) */
#define FETCH_CODES(X)                                                                             \
    X(INVALID_URL, "invalid_url", "The URL is not valid", NEVER)                                   \
    X(UNSUPPORTED_SCHEME, "unsupported_scheme", "Only http and https URLs are fetched", NEVER)     \
    X(BLOCKED_ADDRESS, "blocked_address", "The address is not open to fetches", NEVER)             \
    X(ROBOTS_DISALLOWED, "robots_disallowed", "The robots.txt of the host does not allow it",      \
      NEVER)                                                                                       \
    X(DNS_FAILURE, "dns_failure", "The host name could not be resolved", ALWAYS)                   \
    X(CONNECT_FAILURE, "connect_failure", "No usable connection to the host", ALWAYS)              \
    X(TLS_FAILURE, "tls_failure", "No secure connection to the host", NEVER)                       \
    X(TIMEOUT, "timeout", "The fetch took too long", BEFORE_BYTES)                                 \
    X(HOST_UNAVAILABLE, "host_unavailable", "The host keeps failing and is left alone for now",    \
      ALWAYS)                                                                                      \
    X(TOO_MANY_REDIRECTS, "too_many_redirects", "There are more redirects than the limit", NEVER)  \
    X(BODY_TOO_LARGE, "body_too_large", "The body is larger than allowed", NEVER)                  \
    X(PROTOCOL_ERROR, "protocol_error", "The server's answer is no valid HTTP", NEVER)             \
    X(INTERNAL, "internal", "Internal error", NEVER)

enum fetch_code {
    FETCH_OK, /* not in the list: no error */
#define X(constant, name, message, retry) FETCH_##constant,
    FETCH_CODES(X)
#undef X
};

/* How far a transfer had come when it failed: what libcurl's code alone does not tell. */
enum fetch_phase {
    FETCH_CONNECTING, /* looking up, connecting, shaking hands */
    FETCH_WAITING,    /* connection ready (new or reused), no byte of the answer yet */
    FETCH_RECEIVING,  /* at least one byte of the answer came */
};

/*
 * The name that the API uses ("dns_failure"), and a sentence for a failure that has no better one.
 * A number that is no code gives those of FETCH_INTERNAL. Static, never NULL. Any thread.
 */
const char *fetch_code_name(int code);
const char *fetch_code_message(int code);

/*
 * Whether a fetch that failed with `code` in `phase` may be tried again: connect, DNS, reset and
 * timeout, before the first byte of the answer. It says that a retry is proper (RFC 9110 section
 * 9.2.2: GET is idempotent), not that one is due: host_unavailable is for the caller of the service
 * to retry later, not for the engine at once. False for FETCH_OK. Any thread.
 */
bool fetch_code_retryable(int code, enum fetch_phase phase);

/*
 * The code for a transfer that ended with `result` in `phase`. FETCH_OK for CURLE_OK;
 * FETCH_INTERNAL for what no transfer of ours ends with, and for results that are newer than this
 * table. Any thread.
 *
 * A connection that breaks is a connect_failure (retryable) until the first byte of the answer and
 * a protocol_error (the answer is cut short) from then on.
 *
 * A transfer that one of our own callbacks stopped has to be told before it comes here, because
 * libcurl knows no cause: a refused address (CURLE_COULDNT_CONNECT from the open-socket callback,
 * CURLE_ABORTED_BY_CALLBACK from the one before the request), a body over its limit
 * (CURLE_WRITE_ERROR), a cancel (CURLE_ABORTED_BY_CALLBACK).
 */
enum fetch_code fetch_code_of_curl(CURLcode result, enum fetch_phase phase);

/*
 * The phase that a transfer is in or ended in, by libcurl's own clocks. libcurl 8 starts the clock
 * of the first byte with the first whole line: before that, a server that stalls is still waited
 * for. Call it on the thread that drives `easy`, before the handle is reset or used again.
 */
enum fetch_phase fetch_phase_of_curl(CURL *easy);

#endif
