/*
 * A libcurl easy handle that is used for one transfer after the other. What is the same for all is
 * set once; of what a transfer may ask for, only what differs from the one before.
 *
 * Internal to transfer.c.
 */
#ifndef SKIMD_FETCH_HANDLE_H
#define SKIMD_FETCH_HANDLE_H

#include "core/fetch/engine_internal.h"
#include "core/fetch/transfer.h"

struct handle {
    CURL *easy;
    /* what it was told last */
    struct curl_slist agent,
        codings; /* the first entries of CURLOPT_HTTPHEADER; agent.data is ours */
    unsigned timeout_ms;
    size_t receive_bytes;
    bool is_pinned, insecure, last, watches_speed;
    struct curl_slist pin; /* the one entry of CURLOPT_CONNECT_TO, which libcurl only borrows */
    char pin_text[sizeof "::[]:65535" + INET6_ADDRSTRLEN];
};

/* Makes the handle; the transfer's callbacks are its own to set. False when memory is exhausted. */
bool handle_open(struct handle *h, const struct engine *e);

/* Makes it ready for `request`. False when memory is exhausted; then it can only be closed. */
bool handle_prepare(struct handle *h, const struct engine *e,
                    const struct transfer_request *request);

/*
 * From now on the transfer has to be as fast as the engine's options want. For the body: a host may
 * think as long as the timeout allows. libcurl does not count the time that it is paused. Fit for
 * a callback of libcurl.
 */
void handle_watch_speed(struct handle *h, const struct engine_options *options);

/* Also half-made. */
void handle_close(struct handle *h);

#endif
