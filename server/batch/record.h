/*
 * The lines of an answer: one JSON object per result, one at the end (api.md, "Streaming a batch").
 *
 * Written by hand, without a JSON tree in between: this runs once per URL on the loop thread.
 * All functions are pure and may be called from any thread; memory errors are sticky in the buffer.
 */
#ifndef SKIMD_SERVER_BATCH_RECORD_H
#define SKIMD_SERVER_BATCH_RECORD_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"
#include "parsers/fields.h"

#include <stdint.h>

enum record_status { RECORD_OK, RECORD_FAILED, RECORD_CANCELLED };

/* Microseconds, as libcurl counts them; shown as milliseconds. */
struct record_timing {
    uint64_t queued_us;
    uint64_t dns_us;
    uint64_t connect_us;
    uint64_t tls_us;
    uint64_t first_byte_us;
    uint64_t total_us;
    uint64_t parse_us;
};

/* What is known of one URL. Everything is borrowed. An empty `struct bytes` means "not known". */
struct record {
    uint64_t index; /* the URL's place in the batch, from 0 */
    struct bytes url;
    struct bytes id; /* the caller's id as serialized JSON, written as it is; empty: none given */
    struct bytes final_url; /* where it ended; of RECORD_OK always, else only with `redirects` */
    enum record_status status;
    unsigned attempts;
    unsigned redirects;
    bool is_duplicate;     /* it was not fetched itself, but: */
    uint64_t duplicate_of; /* the index of the same URL that was */

    /* RECORD_OK */
    unsigned http_status;
    field_set fields; /* that were asked for; of the others nothing is said */
    bool has_title;   /* false: "title":null, while true with no bytes is "title":"" */
    bool title_truncated;
    struct bytes title;
    struct bytes packed_fields; /* but for the title: as in struct page_facts */
    bool truncated;             /* there are more of them than are here */
    struct bytes content_type;
    struct bytes charset;
    uint64_t body_bytes;       /* as received, still compressed */
    bool body_stopped;         /* more of it would have come, had it been wanted */
    struct bytes http_version; /* "1.1", "2" */
    struct bytes remote_ip;
    struct record_timing timing;

    /* RECORD_FAILED and RECORD_CANCELLED */
    struct bytes error_code; /* of api.md's closed list */
    struct bytes error_message;
    bool retryable;
};

/* The last line of a complete answer; total = ok + failed + cancelled. */
struct record_end {
    uint64_t total;
    uint64_t ok;
    uint64_t failed;
    uint64_t cancelled;
    uint64_t elapsed_us;
};

/* Appends one line, newline included. */
void record_write(struct buffer *out, const struct record *record);
void record_write_end(struct buffer *out, const struct record_end *end);

#endif
