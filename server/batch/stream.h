/*
 * The stream of one batch's records to its client: in completion or input order, as fast as the
 * client reads, every index exactly once, and the end record last, as NDJSON or as server-sent
 * events. A loop task behind a channel.
 *
 * An item's emit settles when its record is handed over to the connection, so a client that reads
 * slowly holds the items, and held items start no fetches.
 *
 * Loop thread only.
 */
#ifndef SKIMD_SERVER_BATCH_STREAM_H
#define SKIMD_SERVER_BATCH_STREAM_H

#include "core/async/future.h"
#include "core/base/buffer.h"
#include "server/batch/options.h"
#include "server/batch/record.h"
#include "server/http/http.h"

#include <stddef.h>
#include <stdint.h>

struct stream;

struct stream_options {
    size_t total;  /* records, besides the end */
    size_t window; /* at most so many emits are pending, and their indices span less */
    enum batch_order order;
    uint64_t started_ns;
    bool as_events; /* as server-sent events (sse.h); else as NDJSON */
    unsigned
        heartbeat_ms; /* events: after so long a silence a comment tells that we live; 0: never */
    /* Writes the record of an index that was never emitted. */
    void (*write_missing)(void *arg, size_t index, struct buffer *out);
    /* Once, when the client has left before the end. */
    void (*gone)(void *arg);
    void *arg;
};

/* Begins the answer on `x`, which is the stream's from here on, and has ended in any case once
 * stream_finish() has settled. NULL (and `x` still the caller's) when memory is exhausted. */
struct stream *stream_new(struct exchange *x, const struct stream_options *options);

/*
 * Hands over the record of `index`: `line` is consumed. Ok once it was written to the connection,
 * or the client has left; cancelling gives up the wait only, the record is written nevertheless.
 * It fails with -ENOMEM when there is no memory for it: with ORDER_INPUT the records behind it then
 * wait for stream_finish().
 */
future *stream_emit(struct stream *s, size_t index, enum record_status status, struct buffer *line);

/*
 * No emit follows. Writes the records that are missing as `write_missing` has them, then the end.
 * Ok when all is on its way or the client has left. Once; must not be cancelled.
 */
future *stream_finish(struct stream *s);

/* What was written so far. */
const struct record_end *stream_counts(const struct stream *s);

/* When stream_finish() has settled. NULL is fine. Returns NULL. */
struct stream *stream_free(struct stream *s);

#endif
