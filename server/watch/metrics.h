/*
 * What the daemon counts of itself, and how that is told to Prometheus.
 *
 * One table says everything about a metric. Where something happens, its member is counted up, by a
 * plain increment; gauges are set when somebody asks (watch.c):
 *
 *     metrics.batches_started++;
 *     histogram_add(&metrics.parse_us, parsed->parse_us);
 *
 * What has "_seconds" in its name is held in microseconds. No label has a value from outside: each
 * is from a list that stands here, so there are never more time series than that. Hosts and URLs
 * are for records and logs.
 *
 * As with the log there is one for the process. Loop thread only.
 */
#ifndef SKIMD_SERVER_WATCH_METRICS_H
#define SKIMD_SERVER_WATCH_METRICS_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"
#include "core/base/histogram.h"

#include <stdint.h>

/* -- values of labels: X(constant, value) ------------------------------------------------------ */

/* The error codes of records, all of them, and that there was none. */
#define METRIC_OUTCOMES(X)                                                                         \
    X(OUTCOME_OK, "ok")                                                                            \
    X(OUTCOME_INVALID_URL, "invalid_url")                                                          \
    X(OUTCOME_UNSUPPORTED_SCHEME, "unsupported_scheme")                                            \
    X(OUTCOME_BLOCKED_ADDRESS, "blocked_address")                                                  \
    X(OUTCOME_ROBOTS_DISALLOWED, "robots_disallowed")                                              \
    X(OUTCOME_DNS_FAILURE, "dns_failure")                                                          \
    X(OUTCOME_CONNECT_FAILURE, "connect_failure")                                                  \
    X(OUTCOME_TLS_FAILURE, "tls_failure")                                                          \
    X(OUTCOME_TIMEOUT, "timeout")                                                                  \
    X(OUTCOME_HOST_UNAVAILABLE, "host_unavailable")                                                \
    X(OUTCOME_TOO_MANY_REDIRECTS, "too_many_redirects")                                            \
    X(OUTCOME_BODY_TOO_LARGE, "body_too_large")                                                    \
    X(OUTCOME_PROTOCOL_ERROR, "protocol_error")                                                    \
    X(OUTCOME_BAD_ENCODING, "bad_encoding")                                                        \
    X(OUTCOME_PARSE_CRASHED, "parse_crashed")                                                      \
    X(OUTCOME_PARSE_TIMEOUT, "parse_timeout")                                                      \
    X(OUTCOME_CANCELLED, "cancelled")                                                              \
    X(OUTCOME_SHUTTING_DOWN, "shutting_down")                                                      \
    X(OUTCOME_INTERNAL, "internal")

#define METRIC_BATCH_ENDS(X)                                                                       \
    X(BATCH_COMPLETE, "complete")                                                                  \
    X(BATCH_REFUSED, "refused") /* its body or its options */                                      \
    X(BATCH_CLIENT_GONE, "client_gone")                                                            \
    X(BATCH_DEADLINE, "deadline")                                                                  \
    X(BATCH_SHUT_DOWN, "shut_down")                                                                \
    X(BATCH_OUT_OF_MEMORY, "out_of_memory")

/* In the order of enum record_status. */
#define METRIC_RECORD_STATUSES(X)                                                                  \
    X(METRIC_RECORD_OK, "ok")                                                                      \
    X(METRIC_RECORD_FAILED, "failed")                                                              \
    X(METRIC_RECORD_CANCELLED, "cancelled")

#define METRIC_STATUS_CLASSES(X)                                                                   \
    X(STATUS_2XX, "2xx")                                                                           \
    X(STATUS_3XX, "3xx")                                                                           \
    X(STATUS_4XX, "4xx")                                                                           \
    X(STATUS_5XX, "5xx")                                                                           \
    X(STATUS_OTHER, "other")

/* In the order of enum health_state. */
#define METRIC_ORIGIN_STATES(X)                                                                    \
    X(ORIGIN_HEALTHY, "healthy")                                                                   \
    X(ORIGIN_BACKING_OFF, "backing_off")                                                           \
    X(ORIGIN_GIVEN_UP, "given_up")                                                                 \
    X(ORIGIN_PROBING, "probing")

#define METRIC_WORKER_STATES(X)                                                                    \
    X(WORKER_BUSY, "busy")                                                                         \
    X(WORKER_IDLE, "idle") /* or starting */

#define METRIC_WORKER_LOSSES(X)                                                                    \
    X(WORKER_CRASHED, "crashed")                                                                   \
    X(WORKER_TIMED_OUT, "timed_out")                                                               \
    X(WORKER_CANCELLED, "cancelled") /* killed, as nobody wanted its answer any more */

#define METRIC_VERSIONS(X) X(VERSION_THIS, SKIMD_VERSION)

#define METRIC_METHODS(X)                                                                          \
    X(METHOD_GET, "GET")                                                                           \
    X(METHOD_HEAD, "HEAD")                                                                         \
    X(METHOD_POST, "POST")                                                                         \
    X(METHOD_PUT, "PUT")                                                                           \
    X(METHOD_PATCH, "PATCH")                                                                       \
    X(METHOD_DELETE, "DELETE")                                                                     \
    X(METHOD_OPTIONS, "OPTIONS")                                                                   \
    X(METHOD_OTHER, "other")

/* Statuses that are answered with; 499: the client left before there was an answer. */
/* clang-format off */
#define METRIC_STATUSES(X)                                                                         \
    X(200) X(201) X(202) X(204) X(206) X(304) X(400) X(401) X(403) X(404) X(405) X(406) X(408)     \
    X(409) X(410) X(413) X(415) X(422) X(429) X(431) X(499) X(500) X(501) X(503)
/* clang-format on */

/* -- the metrics ------------------------------------------------------------------------------- */

/*
 * X(COUNTER or GAUGE, member, name, help), with a label X(COUNTERS or GAUGES, member, values,
 * label, name, help), X(HISTOGRAM, member, bounds, name, help); REQUESTS has three labels.
 */
#define METRICS(X)                                                                                 \
    X(GAUGES, build, METRIC_VERSIONS, "version", "skimd_build_info",                               \
      "Always 1; the label tells what runs.")                                                      \
    X(REQUESTS, requests, "skimd_http_requests_total",                                             \
      "Requests that have ended, by template of the path, method and status.")                     \
    X(COUNTER, http_sent_bytes, "skimd_http_sent_bytes_total", "Bytes of the bodies of answers.")  \
    X(GAUGE, http_requests_in_flight, "skimd_http_requests_in_flight",                             \
      "Requests that have not ended, streams among them.")                                         \
    X(GAUGE, http_connections, "skimd_http_connections", "Connections of clients.")                \
    X(COUNTER, http_evictions, "skimd_http_connections_evicted_total",                             \
      "Connections without a request that were closed to make room for others.")                   \
    X(COUNTER, batches_started, "skimd_batches_started_total", "Batches that were begun.")         \
    X(COUNTERS, batches_ended, METRIC_BATCH_ENDS, "end", "skimd_batches_ended_total",              \
      "Batches that have ended, by how they did.")                                                 \
    X(GAUGE, batches_running, "skimd_batches_running", "Batches that have not ended.")             \
    X(HISTOGRAM, batch_us, METRIC_BATCH_BOUNDS, "skimd_batch_duration_seconds",                    \
      "Time from a batch's request to the end of its stream.")                                     \
    X(COUNTERS, records, METRIC_RECORD_STATUSES, "status", "skimd_records_total",                  \
      "Records written to clients.")                                                               \
    X(GAUGE, streams_stalled, "skimd_streams_stalled",                                             \
      "Batches that wait for their clients to read, now.")                                         \
    X(COUNTER, stream_stalls, "skimd_stream_stalls_total",                                         \
      "Times that a batch had to wait for its client to read.")                                    \
    X(COUNTER, stream_stall_us, "skimd_stream_stall_seconds_total",                                \
      "Time that batches have waited for their clients to read.")                                  \
    X(COUNTERS, fetches, METRIC_OUTCOMES, "outcome", "skimd_fetches_total",                        \
      "URLs that were begun and have ended, parsing included, by error code.")                     \
    X(COUNTERS, fetch_responses, METRIC_STATUS_CLASSES, "code", "skimd_fetch_responses_total",     \
      "Final answers of hosts, by class of their status.")                                         \
    X(COUNTER, fetch_retries, "skimd_fetch_retries_total", "Attempts after the first of a fetch.") \
    X(COUNTER, fetch_redirects, "skimd_fetch_redirects_total",                                     \
      "Redirects that fetches followed to an answer.")                                             \
    X(COUNTER, fetch_received_bytes, "skimd_fetch_received_bytes_total",                           \
      "Bytes of bodies as hosts sent them, still compressed.")                                     \
    X(HISTOGRAM, fetch_us, METRIC_FETCH_BOUNDS, "skimd_fetch_duration_seconds",                    \
      "Look-ups and transfers of a fetch, redirects included; of its last attempt, answered or "   \
      "not.")                                                                                      \
    X(GAUGE, fetches_in_flight, "skimd_fetches_in_flight", "Fetches that have their turn.")        \
    X(GAUGE, fetches_limit, "skimd_fetches_limit", "Fetches that may be in flight.")               \
    X(GAUGE, urls_waiting, "skimd_urls_waiting", "URLs of running batches, not begun yet.")        \
    X(GAUGE, turns_waiting, "skimd_fetch_turns_waiting",                                           \
      "Fetches that were begun and wait for a turn: redirects, retries, order=input.")             \
    X(GAUGE, origins_waiting, "skimd_origins_waiting",                                             \
      "Hosts (scheme, host, port) that fetches wait for.")                                         \
    X(GAUGES, origins, METRIC_ORIGIN_STATES, "state", "skimd_origins",                             \
      "Hosts (scheme, host, port) that are in use or remembered, by state.")                       \
    X(GAUGE, fetch_connections, "skimd_fetch_connections",                                         \
      "Connections to hosts, idle ones included.")                                                 \
    X(GAUGE, held_bytes, "skimd_held_body_bytes", "Memory that bodies of pages take.")             \
    X(HISTOGRAM, parse_us, METRIC_PARSE_BOUNDS, "skimd_parse_duration_seconds",                    \
      "Time from handing a page to a worker to what it found.")                                    \
    X(GAUGE, parses_waiting, "skimd_parses_waiting", "Pages that wait for a worker.")              \
    X(GAUGE, parses_waiting_bytes, "skimd_parses_waiting_bytes",                                   \
      "Bodies of pages that wait for a worker.")                                                   \
    X(COUNTER, parses_retried, "skimd_parses_retried_total",                                       \
      "Pages given to another worker after theirs was lost.")                                      \
    X(COUNTER, pages_quarantined, "skimd_pages_quarantined_total",                                 \
      "Pages that no worker was given, as they had killed two.")                                   \
    X(GAUGES, workers, METRIC_WORKER_STATES, "state", "skimd_workers", "Parser processes.")        \
    X(COUNTER, workers_started, "skimd_workers_started_total", "Parser processes started.")        \
    X(COUNTERS, workers_lost, METRIC_WORKER_LOSSES, "reason", "skimd_workers_lost_total",          \
      "Parser processes that died or had to be killed.")                                           \
    X(COUNTER, workers_recycled, "skimd_workers_recycled_total",                                   \
      "Parser processes replaced for their age or size.")                                          \
    X(HISTOGRAM, loop_lag_us, METRIC_LAG_BOUNDS, "skimd_event_loop_lag_seconds",                   \
      "How late a timer comes that is set ten times a second.")                                    \
    X(COUNTER, loop_stalls, "skimd_event_loop_stalls_total",                                       \
      "Times that something kept the event loop for longer than --slow-callback-ms.")              \
    X(GAUGE, memory_limit_bytes, "skimd_memory_limit_bytes",                                       \
      "Ceiling of daemon and parser processes (--max-memory); 0: none.")                           \
    X(GAUGE, memory_taken_bytes, "skimd_memory_taken_bytes",                                       \
      "What is held against the ceiling: resident, reserved, kept for pages under way.")           \
    X(GAUGE, memory_reserved_bytes, "skimd_memory_reserved_bytes",                                 \
      "Of it what requests and batches have reserved.")                                            \
    X(COUNTER, memory_refusals, "skimd_memory_refused_requests_total",                             \
      "Requests answered 503 as memory was short.")                                                \
    X(GAUGE, worker_resident_bytes, "skimd_workers_resident_memory_bytes",                         \
      "Resident memory of the parser processes, without what they share.")                         \
    X(COUNTER, cpu_us, "process_cpu_seconds_total",                                                \
      "User and system CPU time, that of parser processes not included.")                          \
    X(GAUGE, open_fds, "process_open_fds", "Open file descriptors.")                               \
    X(GAUGE, max_fds, "process_max_fds", "Limit of open file descriptors.")                        \
    X(GAUGE, virtual_bytes, "process_virtual_memory_bytes", "Virtual memory.")                     \
    X(GAUGE, resident_bytes, "process_resident_memory_bytes",                                      \
      "Resident memory, that of parser processes not included.")                                   \
    X(GAUGE, start_us, "process_start_time_seconds", "Start of the process, in Unix time.")

/* -- what the tables make ---------------------------------------------------------------------- */

#define METRIC_CONSTANT(constant, value) constant,
#define METRIC_ONE(...)                  +1
#define METRIC_COUNT(values)             (0 values(METRIC_ONE))

enum metric_outcome { METRIC_OUTCOMES(METRIC_CONSTANT) };
enum metric_batch_end { METRIC_BATCH_ENDS(METRIC_CONSTANT) };
enum metric_record_status { METRIC_RECORD_STATUSES(METRIC_CONSTANT) };
enum metric_status_class { METRIC_STATUS_CLASSES(METRIC_CONSTANT) };
enum metric_origin_state { METRIC_ORIGIN_STATES(METRIC_CONSTANT) };
enum metric_worker_state { METRIC_WORKER_STATES(METRIC_CONSTANT) };
enum metric_worker_loss { METRIC_WORKER_LOSSES(METRIC_CONSTANT) };
enum metric_version { METRIC_VERSIONS(METRIC_CONSTANT) };
enum metric_method { METRIC_METHODS(METRIC_CONSTANT) };

/* Paths have numbers: 0 is any that there is nothing at, the others are api.c's. */
enum { METRIC_PATHS = 24 };

/* One place more: statuses that are not in the list. */
enum { METRIC_STATUS_PLACES = METRIC_COUNT(METRIC_STATUSES) + 1 };

#define METRIC_MEMBER_COUNTER(member, name, help) uint64_t member;
#define METRIC_MEMBER_GAUGE(member, name, help)   uint64_t member;
#define METRIC_MEMBER_COUNTERS(member, values, label, name, help)                                  \
    uint64_t member[METRIC_COUNT(values)];
#define METRIC_MEMBER_GAUGES(member, values, label, name, help)                                    \
    uint64_t member[METRIC_COUNT(values)];
#define METRIC_MEMBER_HISTOGRAM(member, bounds, name, help) struct histogram member;
#define METRIC_MEMBER_REQUESTS(member, name, help)                                                 \
    uint64_t member[METRIC_PATHS][METRIC_COUNT(METRIC_METHODS)][METRIC_STATUS_PLACES];
#define METRIC_MEMBER(kind, ...) METRIC_MEMBER_##kind(__VA_ARGS__)

struct metrics {
    METRICS(METRIC_MEMBER)
};

extern struct metrics metrics;

/* All zero. */
void metrics_init(struct metrics *m);

/* A fetch has ended, with the error code that its record has; "": with none. */
void metrics_count_fetch(struct metrics *m, struct bytes code);

/* A host has answered with this status. */
void metrics_count_response(struct metrics *m, unsigned status);

/* A request for the path of this number (< METRIC_PATHS) has ended. */
void metrics_count_request(struct metrics *m, size_t path, struct bytes method, int status);

/*
 * Appends all metrics in Prometheus' text format, version 0.0.4. `paths` are the templates of the
 * paths by number; NULL where there is none. Counters of requests are there once they have counted.
 */
void metrics_write(struct buffer *out, const struct metrics *m,
                   const char *const paths[METRIC_PATHS]);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
