/*
 * The answers of the test origin: what tests/support/origin.c plays, and what makes them.
 */
#ifndef SKIMD_TESTS_ORIGIN_ANSWER_H
#define SKIMD_TESTS_ORIGIN_ANSWER_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

/* What happens to the connection behind an answer's last byte. */
enum answer_end {
    END_KEEP,       /* it waits for the next request */
    END_CLOSE,      /* FIN */
    END_RESET,      /* RST */
    END_HALF_CLOSE, /* FIN, but it goes on reading until the peer closes too */
    END_STEP,       /* the next step of its script follows */
};

/*
 * One answer, as a script. The bytes on the wire are, one behind the other:
 *
 *     head | body | unit unit unit ... cut after `repeat_bytes` | tail
 *
 * where `borrowed` stands in for `body` if it is set. A zeroed struct is an empty answer.
 */
struct answer {
    struct buffer head;
    struct buffer body;
    struct bytes borrowed;
    struct buffer unit;
    uint64_t repeat_bytes;
    struct buffer tail;

    bool hold;          /* wait at the gate before the first byte */
    uint64_t delay_ms;  /* wait this long before the first byte */
    bool drip;          /* from position `drip_from` on, a byte every `drip_ms` */
    uint64_t drip_ms;   /* >= 1 */
    uint64_t drip_from; /* counted from the head's first byte */
    enum answer_end end;
};

/* One request. All of it is borrowed from the connection's input. */
struct request {
    struct bytes head; /* from the request line to the empty line, both included */
    struct bytes method;
    struct bytes path; /* without the query */
    struct bytes query;
    uint64_t body_bytes; /* Content-Length; 0 without one */
    bool close;          /* the connection ends behind the answer */
};

/* What outlives a request: made by the origin, used by the scenarios on its thread only. */
struct answer_source {
    int site;               /* directory descriptor, or -1 */
    struct buffer bombs[2]; /* /gzip-bomb of one and two layers, made when first asked for */
};

/*
 * Reads a request's head, which must end with an empty line. Returns 0, -EBADMSG when it is not
 * HTTP/1.x, or -ENOTSUP when its body is chunked.
 */
int request_parse(struct bytes head, struct request *ret_request);

/* Reads a decimal number. Returns 0, or -EBADMSG when it is none or above 64 bits. */
int parse_decimal(struct bytes text, uint64_t *ret_number);

/*
 * Makes the answer for a request, by the table in origin.h. Returns 0 or -ENOMEM; `*ret_answer` is
 * the caller's to free with answer_free().
 */
int answer_make(struct answer_source *source, const struct request *request,
                struct answer *ret_answer);

/* Makes the answer for what is no request: `status` with a small page, then FIN. As above. */
int answer_refuse(int refusal, struct answer *ret_answer);

/* The bytes to send at `position`: as many as lie in one piece; none at the answer's end. */
struct bytes answer_at(const struct answer *answer, uint64_t position);

/* Frees what the answer owns and zeroes it. */
void answer_free(struct answer *answer);

/* What an encoded body looks like on the wire; the values are zlib's windowBits. */
enum encoding {
    ENCODING_GZIP = 15 + 16,
    ENCODING_ZLIB = 15, /* what HTTP calls "deflate": RFC 9110 8.4.1.2 */
    ENCODING_RAW_DEFLATE = -15,
};

/* Appends `plain`, compressed, to `out`. Failure of any kind is `out->failed`. */
void encode(struct buffer *out, struct bytes plain, enum encoding encoding);

/* Appends a gzip member to `out` that inflates to 256 MiB of zeros. Failure is `out->failed`. */
void encode_bomb(struct buffer *out);

#endif
