/*
 * What the daemon answered in the tests, for tests/openapi/run to hold against
 * server/web/openapi.json: where the environment variable SKIMD_ANSWERS names a file, a line of
 * JSON is added to it for each answer. Bytes stand in its strings as the characters of the same
 * number.
 */
#ifndef SKIMD_TESTS_TRANSCRIPT_H
#define SKIMD_TESTS_TRANSCRIPT_H

#include "core/base/bytes.h"

#include <stdbool.h>

struct transcript_request {
    const char *method; /* NULL: GET */
    const char *target;
    const char *fields; /* lines of its head; NULL: none */
    struct bytes body;
};

/* A complete answer: its head as it came, and its body without transfer coding. */
void transcript_add(const struct transcript_request *request, struct bytes head, struct bytes body);

/*
 * The same for clients that speak by hand. The request that was sent on the socket `fd` is a POST
 * to `path`, without Content-Type.
 */
void transcript_expect(int fd, const char *path);

/*
 * What has come on a socket since it was opened, which is passed over unless it is an answer. Where
 * nobody said what the request was, nothing is known of that. `ended`: no more will come.
 */
void transcript_heard(int fd, struct bytes so_far, bool ended);

/* An answer to a request of which nothing is known. */
void transcript_add_raw(struct bytes answer);

#endif
