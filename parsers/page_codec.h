/*
 * Requests and facts as bytes, between the daemon and a worker process of the same binary.
 * Little-endian, fixed header first:
 *
 *   request   u8 version | u8 flags | u64 max_decoded_bytes | u32 max_ratio | u32 fields
 *             | u32 content_encoding length | u32 content_type length | u32 url length
 *             | u64 body length | content_encoding | content_type | url | body
 *   reply     u8 version | u8 error | u8 flags | u8 charset | u64 decoded_bytes
 *             | u16 title length | u16 message length | u32 fields length
 *             | title | message | fields
 *
 * A reply comes from a process that may have been taken over by the page it parsed: unpacking takes
 * nothing on trust, and what it accepts is safe to print. Pure functions, any thread.
 */
#ifndef SKIMD_PARSERS_PAGE_CODEC_H
#define SKIMD_PARSERS_PAGE_CODEC_H

#include "parsers/page.h"

enum {
    PAGE_CODEC_VERSION = 3,
    PAGE_REQUEST_HEADER = 38,
    PAGE_REPLY_HEADER = 20,
    PAGE_FIELD_MAX = 8 << 10, /* bytes of a header field in a request; a longer one is cut */
    PAGE_URL_MAX = 8 << 10,   /* and of its URL; instead of a longer one none is sent */
    PAGE_REPLY_MAX = 160 << 10,
};

/* Bytes that page_request_pack() will write. */
size_t page_request_size(const struct page_request *request);

/*
 * Writes a request to `slot`; the body is copied once, to where the worker reads it. Returns the
 * bytes written, or 0 when they are more than `cap`.
 */
size_t page_request_pack(const struct page_request *request, char *slot, size_t cap);

/* Reads a request; its bytes are borrowed from `message`. -EBADMSG when it is not one, in full and
 * with nothing left over, which asks for something, and for nothing but FIELDS. */
int page_request_unpack(struct bytes message, struct page_request *ret);

/* Writes facts to `buf`. Returns the bytes written (<= PAGE_REPLY_MAX), or 0 when they are more
 * than `cap`. Title, message and fields are within their limits, as page_parse() gives them. */
size_t page_reply_pack(const struct page_facts *facts, char *buf, size_t cap);

/*
 * Reads facts; their bytes are borrowed from `message`, which must be memory that the worker cannot
 * write to any more. -EBADMSG unless all of this holds: the version and the lengths fit and nothing
 * is left over; enums and flags are known; title and message are well-formed UTF-8 within their
 * limits, the title with ASCII white space only as single spaces inside and without NUL; the
 * fields_are_valid(), whichever they are; the message is printable ASCII, and there exactly when
 * there is an error; an error comes settled and without facts, what is not settled without
 * anything; what a page was read for, or out of a prefix of, has a charset; a page without title
 * has no title bytes.
 */
int page_reply_unpack(struct bytes message, struct page_facts *ret);

/*
 * Whether facts that page_reply_unpack() gave are an answer to the request: nothing that was not
 * asked for, settled unless it was for a prefix, and not from a prefix of a page that was to be
 * parsed whole.
 */
bool page_reply_answers(const struct page_facts *facts, const struct page_request *request);

#endif
