/*
 * An HTTP client for tests that look at header fields, or speak TLS: libcurl, one connection a
 * request.
 */
#ifndef SKIMD_TESTS_CLIENT_H
#define SKIMD_TESTS_CLIENT_H

#include "core/base/buffer.h"

struct client_request {
    const char *method;  /* NULL: GET */
    const char *url;     /* "http://127.0.0.1:PORT" */
    const char *path;    /* with the query */
    struct bytes body;   /* {NULL, 0}: none */
    const char *fields;  /* "Name: value", many with '\n' between them; NULL: none */
    const char *ca_file; /* certificates to trust, for https; the name is "localhost" */
};

struct client_answer {
    long status;
    struct buffer head; /* NUL-terminated, the status line included */
    struct buffer body; /* NUL-terminated; len does not count that */
};

/* Sends the request; fails the test when no complete answer comes. */
void client_ask(const struct client_request *request, struct client_answer *ret);

/* The same, but tells libcurl's code (CURLcode; 0: all is well) rather than to fail. */
int client_try(const struct client_request *request, struct client_answer *ret);

void client_free(struct client_answer *a);

/* The value of a field of the head, in a buffer that the next call overwrites; "" when missing. */
const char *client_field(const struct client_answer *a, const char *name);

#endif
