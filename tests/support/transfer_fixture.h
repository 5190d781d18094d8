/*
 * One exchange at a time, or several, through an engine of the test's own: what the tests of
 * core/fetch/transfer.h share. The test thread waits for outcomes; what a response says is copied
 * out on the loop, where responses live.
 */
#ifndef SKIMD_TESTS_TRANSFER_FIXTURE_H
#define SKIMD_TESTS_TRANSFER_FIXTURE_H

#include "core/fetch/transfer.h"
#include "tests/support/async_fixture.h"

struct outcome {
    int code; /* 0 or enum fetch_code */
    enum fetch_phase phase;
    char message[CURL_ERROR_SIZE];
    unsigned status;
    size_t body_len;
    uint64_t body_bytes;
    bool stopped, has_retry_after;
    uint64_t retry_after_s;
    char body[2048]; /* its beginning */
    char content_type[128], cache_control[128], location[128], remote_ip[48];
    struct transfer_timing timing;
};

/* Around each test: a runtime, and the options below as they are at first. The teardown frees the
 * engine, and asserts that nothing is held any more. */
void transfer_setup(void);
void transfer_teardown(void);

/* What the next engine is made with: 127.0.0.0/8 and ::1 are allowed, nothing is slow. */
extern struct engine_options engine_options;

/* Makes the engine that exchanges go through, in place of the one before. */
void engine_make(void);
struct engine *engine_made(void);

/* Whether engine_new() refuses `engine_options` with EINVAL. */
bool engine_refused(void);

/* Bytes of bodies that are held now, as the engine told. */
ptrdiff_t bytes_held(void);

/* The places for large bodies: 8 at first. */
extern struct large_bodies large_bodies;

/* Where pinned exchanges lead. */
struct address loopback(uint16_t port);
int connect_to(const struct address *address);

/* A request for everything, within 10 s; fields to be changed. `pin` may be NULL. */
struct transfer_request request_to(const struct address *pin);

/* Starts an exchange with `url` (copied); `request` but for its target is borrowed until its end.
 */
future *get_begin(struct scope *scope, const char *url, const struct transfer_request *request);

/* Waits for it. The outcome lasts until the next call. */
const struct outcome *get_end(future *f);

/* Both. */
const struct outcome *get(const char *url, const struct transfer_request *request);

#endif
