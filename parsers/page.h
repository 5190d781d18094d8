/*
 * A page as it was received, in; what is wanted of it, out: Content-Encoding undone, charset
 * settled, parsed, within limits of memory, time and size, and only as far as needed (prefix.h).
 * Runs in a worker's sandbox.
 *
 *     body ──▶ decode ──▶ charset ──▶ gumbo ──▶ title ──▶ facts
 *              └───────── in one arena, left by longjmp ─────┘
 */
#ifndef SKIMD_PARSERS_PAGE_H
#define SKIMD_PARSERS_PAGE_H

#include "core/base/bytes.h"
#include "parsers/charset.h"
#include "parsers/fields.h"
#include "parsers/title.h"

#include <stdint.h>

enum { PAGE_MESSAGE_MAX = 192 }; /* bytes of an error message */

/* How a parse ends: the enum, the code in a record, and the message that goes with it. */
#define PAGE_ERRORS(X)                                                                             \
    X(PAGE_OK, "ok", "")                                                                           \
    X(PAGE_BAD_ENCODING, "bad_encoding", "The body is not in the Content-Encoding it came with")   \
    X(PAGE_BODY_TOO_LARGE, "body_too_large", "The decoded body is larger than allowed")            \
    X(PAGE_PARSE_TIMEOUT, "parse_timeout", "Parsing the page took longer than allowed")            \
    X(PAGE_OUT_OF_MEMORY, "parse_crashed", "Parsing the page took more memory than allowed")       \
    X(PAGE_INTERNAL, "internal", "The parser failed")

enum page_error {
#define PAGE_ERROR_ENUM(id, code, message) id,
    PAGE_ERRORS(PAGE_ERROR_ENUM)
#undef PAGE_ERROR_ENUM
        PAGE_ERROR_COUNT
};

/* The error's code in a record (api.md), and its message without particulars. Any thread. */
const char *page_error_code(enum page_error error);
const char *page_error_message(enum page_error error);

/* What is to be parsed. All bytes are borrowed. */
struct page_request {
    struct bytes body;             /* as received */
    struct bytes content_encoding; /* field values; empty without the field, joined by ", " where */
    struct bytes content_type;     /* it came more than once */
    struct bytes url; /* where it came from, absolute, for its relative URLs; empty: those
                         are left out */
    field_set fields; /* what is asked of it; none: the title */
    uint64_t max_decoded_bytes;
    uint32_t max_ratio; /* decoded bytes / received bytes, once over 1 MiB; 0 for no limit */
    bool is_prefix;     /* `body` is the beginning of the body, the rest is still to come */
    bool parse_all;     /* parse the whole page even when its beginning tells the answer */
    /* Not part of the message to a worker: */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, absolute */
    uint32_t max_cpu_ms;  /* of the thread, from the call on; 0 for no limit */
};

/* What is asked of the page: the title, where a request names nothing. */
static inline field_set page_request_fields(const struct page_request *request)
{
    return request->fields ? request->fields : FIELD_BIT(FIELD_TITLE);
}

/* What came of it. Bytes are borrowed from the parser, or from the message they were read from. */
struct page_facts {
    enum page_error error;

    /* Set only when error is PAGE_OK: */
    enum charset charset; /* CHARSET_NONE where the page was not looked at as a text */
    bool from_prefix;     /* a beginning of the page told it, the rest was not parsed */
    bool truncated;       /* the page goes over a limit, or what was read of it is body_truncated:
                             `fields` are right, but not all */
    bool has_title;       /* false: no title element, no HTML, or not asked for */
    bool title_truncated;
    bool body_truncated; /* the body ended before its Content-Encoding did, or was damaged, and so
                            far was it decoded */

    /* What follows changes nothing of this. False only when an is_prefix told too little: nothing
     * else is set then, and the whole body is to be parsed. */
    bool settled;

    struct bytes message; /* for a person, UTF-8; empty when error is PAGE_OK */

    /* Set only when error is PAGE_OK: */
    struct bytes title;     /* well-formed UTF-8, <= TITLE_MAX */
    struct bytes fields;    /* the others, packed (fields.h) */
    uint64_t decoded_bytes; /* as far as it was decoded: all of it, without a coding */
};

/*
 * Whether a body of this Content-Type (a field value, empty without one) would be looked at: HTML,
 * or a type that says nothing. Any thread.
 */
bool page_wants_type(struct bytes content_type);

struct page_parser;

/*
 * A parser with an arena of `arena_bytes` (0: BUMP_LIMIT_DEFAULT), which is the memory a page may
 * take besides the decoders'. Create it before the sandbox closes; one per worker, one thread.
 * -ENOMEM, -EINVAL.
 */
int page_parser_create(size_t arena_bytes, struct page_parser **ret);

/* Frees a parser and what the latest facts point to. NULL is fine. */
void page_parser_destroy(struct page_parser *pp);

/*
 * Parses one page and returns ret->error. *ret is filled in either case and stays valid until the
 * next call or the destroy. A body that is not HTML (by its Content-Type; without a useful one by
 * its first bytes, MIME Sniffing standard section 7.1) gives PAGE_OK without a title, and is not
 * decoded where its type says so, else no further than that takes. What is wrong with a body
 * behind what is needed of it is not found.
 *
 * Bounded by deadline_ns and max_cpu_ms as far as gumbo allocates memory. A page can keep it busy
 * without (long text below thousands of open elements), so the parent still kills a worker that is
 * overdue.
 */
enum page_error page_parse(struct page_parser *pp, const struct page_request *in,
                           struct page_facts *ret);

#endif
