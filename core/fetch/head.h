/*
 * The head of an answer, line by line as libcurl gets it: what libcurl lets through and must not,
 * in one way for all its versions (RFC 9112).
 *
 * Pure; for one answer at a time, interim ones (1xx) before it included.
 */
#ifndef SKIMD_FETCH_HEAD_H
#define SKIMD_FETCH_HEAD_H

#include "core/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of all heads and of the trailers together. libcurl 8 has the same bound, 7 has none. */
enum { HEAD_BYTES_MAX = 300 << 10 };

/* Zero-initialise for each answer. */
struct head {
    size_t bytes;
    unsigned status;
    bool is_complete; /* the head of the answer itself, up to its empty line */
    bool has_length, has_bad_length, has_coding, has_bad_coding;
    uint64_t length; /* Content-Length; UINT64_MAX: at least that */
};

/*
 * Takes a line, its end included: status line, field, empty line or trailer. NULL, or what is wrong
 * with the answer, as a static text.
 */
const char *head_take_line(struct head *h, struct bytes line);

/* The length of the body that the complete head announces; -1: none. */
int64_t head_body_length(const struct head *h);

#endif
