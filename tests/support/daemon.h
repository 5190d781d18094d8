/*
 * The skimd binary as a user has it: spawned, listening on a free loopback port, talked to over
 * HTTP. The binary's path is in the environment (SKIMD_BINARY).
 */
#ifndef SKIMD_TESTS_DAEMON_H
#define SKIMD_TESTS_DAEMON_H

#include "core/base/buffer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct daemon {
    pid_t pid;
    int log; /* its standard error */
    uint16_t port;
    char url[64]; /* "http://127.0.0.1:PORT" */
};

/*
 * Starts skimd with `arguments` (NULL-terminated) added to "--listen 127.0.0.1:0 --log json
 * --access-log off" and waits until it listens. Fails the test when it does not.
 */
void daemon_start(struct daemon *ret, const char *const *arguments);

/*
 * The same below a service manager: with `variables` ("NAME=VALUE", NULL-terminated) in the
 * environment, LISTEN_PID and WATCHDOG_PID its own, and `listen_fd` (-1: none) as descriptor 3.
 * `arguments` stand alone: there must be a --listen, unless the socket was handed over.
 */
void daemon_start_under(struct daemon *ret, const char *const *arguments,
                        const char *const *variables, int listen_fd);

/*
 * Sends SIGTERM and waits: the exit status, or minus the signal that ended it. Fails the test when
 * the log tells of a failure that nobody handled.
 */
int daemon_stop(struct daemon *d);
int daemon_wait(struct daemon *d);

/* Runs skimd to its end; its exit status, and what it wrote to standard error (NUL-terminated). */
int daemon_run(const char *const *arguments, char *ret_stderr, size_t size);

/* The same as daemon_start_under() has it. */
int daemon_run_under(const char *const *arguments, const char *const *variables, int listen_fd,
                     char *ret_stderr, size_t size);

/* Process IDs of its children, the workers; at most `capacity`. */
size_t daemon_workers(const struct daemon *d, pid_t *ret_pids, size_t capacity);

/* Resident memory of the process, in KiB. */
long daemon_rss_kib(const struct daemon *d);

/* -- HTTP -------------------------------------------------------------------------------------- */

struct reply {
    long status;
    char content_type[128], allow[64];
    struct buffer body;
};

/* One request (`content_type` NULL: none); fails the test when no complete answer comes. */
void daemon_request(const struct daemon *d, const char *method, const char *path,
                    const char *content_type, struct bytes body, struct reply *ret);
void reply_free(struct reply *a);

/*
 * The records of a stream, parsed: an array (json_decref) of "result" objects by index, and the end
 * (borrowed from `*ret_end_owner`). Fails the test when a line is no JSON object, an index comes
 * twice or is missing, or the counts of the end do not add up.
 */
struct records {
    json_t **by_index; /* total of them */
    size_t *arrival;   /* the place in the stream of each index */
    size_t total, ok, failed, cancelled;
};
void records_parse(struct bytes body, struct records *ret);
void records_free(struct records *r);

/* POST /v1/scrape with `query` ("" or "?..."), 200 expected, into records. */
void daemon_scrape(const struct daemon *d, const char *query, const char *content_type,
                   struct bytes body, struct records *ret);

/* A field of a record: text ("" when it is null or absent), error.code, number. */
const char *record_text(const struct records *r, size_t index, const char *field);
const char *record_error(const struct records *r, size_t index);
long record_number(const struct records *r, size_t index, const char *field);

/* -- a connection by hand, for clients that misbehave ------------------------------------------ */

/* Connects, sends a POST /v1/scrape as HTTP/1.0 (so that the answer has no chunks). The socket. */
int daemon_open_scrape(const struct daemon *d, const char *query, struct bytes body);

/* Reads until `needle` stands in what has come; appends to `in`. False at the end of the stream. */
bool read_until(int fd, struct buffer *in, const char *needle);

#endif
