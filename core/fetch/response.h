/*
 * From what libcurl knows of an answer to our `struct response`. Between transfer.c and response.c.
 */
#ifndef SKIMD_FETCH_RESPONSE_H
#define SKIMD_FETCH_RESPONSE_H

#include "core/fetch/transfer.h"

/* A response with what it owes others. It may outlive its engine. */
struct held_response {
    struct response response;
    struct large_body place;
    struct large_bodies *large;
    void (*hold)(void *arg, ptrdiff_t change);
    void *hold_arg;
    struct transfer *transfer; /* while it is under way */
};

/* An empty one; `go_on` is for its place. NULL when memory is exhausted. */
struct held_response *response_new(const struct engine_options *options,
                                   void (*go_on)(struct large_body *place),
                                   struct transfer *transfer);

/* Frees the `struct response` that lies in a held_response, and gives back what that holds. */
void response_free(void *response);

/*
 * Takes over what stands in the head, once the head is complete: all but the length, the body and
 * the timing.
 * False when memory is exhausted.
 */
bool response_read_head(struct response *r, CURL *easy);

/* The clocks of a transfer so far. */
struct transfer_timing transfer_timing_of(CURL *easy);

#endif
