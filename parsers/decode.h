/*
 * Content-Encoding, undone as a stream: gzip, deflate, br, zstd, and several of them in one header
 * (RFC 9110 section 8.4; br RFC 7932, zstd RFC 8878 with the 8 MiB window of RFC 9659).
 *
 * Pull model: the caller reads decoded bytes as it needs them and may stop at any time, so a page
 * is inflated only as far as its parser looks. What cannot be read is handled as browsers do:
 *
 *   not the named coding at all      damage in the first 32 KiB of output: -EILSEQ
 *   damaged further on               what came out before is kept, decoder_cut() says so
 *   truncated                        likewise; also when nothing came out
 *   bytes behind a complete stream   ignored, unless they are a further gzip member or zstd frame
 *   wrong checksum or length trailer not looked at
 *   deflate without a zlib header    accepted (raw deflate)
 *
 * A decoder lives as long as its worker and is used for one body after the other: decoder_begin()
 * may be called at any time, also after a reader was left by longjmp, and leaks nothing. One
 * thread.
 */
#ifndef SKIMD_PARSERS_DECODE_H
#define SKIMD_PARSERS_DECODE_H

#include "core/base/bytes.h"

#include <stdint.h>

enum {
    DECODE_CHUNK = 32 << 10,         /* a good size for decoder_read()'s buffer */
    DECODE_CODINGS_MAX = 4,          /* in one header */
    DECODE_RATIO_FREE = 1 << 20,     /* decoded bytes below which no ratio is too high */
    DECODE_ZSTD_WINDOW_LOG_MAX = 23, /* 8 MiB, RFC 9659 section 3 */
};

struct decode_limits {
    uint64_t max_bytes;   /* decoded, of every coding in the chain */
    uint32_t max_ratio;   /* decoded / received, once over DECODE_RATIO_FREE; 0 for none */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, absolute; looked at once per chunk */
};

struct decoder;

/* A decoder with no body. NULL when memory is exhausted. */
struct decoder *decoder_create(void);

/* Frees a decoder. NULL is fine. */
void decoder_destroy(struct decoder *d);

/*
 * Starts on `body` (borrowed until the next begin or destroy), which came with the field value
 * `content_encoding`: codings in the order in which they were applied, case-insensitive, `x-gzip`
 * and `x-deflate` as their plain names; `identity`, empty elements, and what servers say who mean
 * none (`none`, `utf-8`, `binary`) do nothing.
 * -EPROTONOSUPPORT: a coding that is not known, or more than DECODE_CODINGS_MAX (decoder_coding()
 * names the one at fault); -ENOMEM. After an error the decoder has an empty body.
 */
int decoder_begin(struct decoder *d, struct bytes body, struct bytes content_encoding,
                  const struct decode_limits *limits);

/*
 * Writes the next 1..cap decoded bytes to `buf` (cap > 0) and their number to *ret_len; 0 is the
 * end of the body. Errors, which stay until the next begin:
 *   -EILSEQ     the body is not in the coding that decoder_coding() names
 *   -EFBIG      more than limits.max_bytes decoded bytes
 *   -EOVERFLOW  decoded bytes over limits.max_ratio times those received
 *   -ETIMEDOUT  past limits.deadline_ns
 *   -ENOMEM
 */
int decoder_read(struct decoder *d, char *buf, size_t cap, size_t *ret_len);

/*
 * The decoded length of the body, by its own account, where decoder_read_whole() may be tried: a
 * single gzip, of no unusual size, within the limits. 0 elsewhere.
 */
size_t decoder_whole_len(const struct decoder *d);

/*
 * Decodes all of the body, also what was read before, to `buf` of `len` bytes, in a third of the
 * time. True: these are what reads would have given, and the body has ended. False: it is not what
 * it says it is, or damaged; only reads tell, which begin anew at its start. `buf` is lost then.
 */
bool decoder_read_whole(struct decoder *d, char *buf, size_t len);

/* True when the body ended, or broke, before its coding did. Settled once a read gave 0. */
bool decoder_cut(const struct decoder *d);

/* True when the body came without a coding, so that reading it would only copy it. */
bool decoder_is_identity(const struct decoder *d);

/* The coding at fault after an error, as it stands in the header (borrowed from it); else empty. */
struct bytes decoder_coding(const struct decoder *d);

#endif
