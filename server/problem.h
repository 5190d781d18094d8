/*
 * What a caller did wrong, as RFC 9457 problem details (application/problem+json).
 *
 * `type` is a URN of ours, stable for ever, where a program may want to tell the case from others
 * of the same status; it is "about:blank" (RFC 9457 section 4.2.1), and `title` the status phrase,
 * where the status says it all. A relative reference would be resolved against whatever address
 * the daemon has today, and so would not be stable.
 *
 * Pure; any thread.
 */
#ifndef SKIMD_SERVER_PROBLEM_H
#define SKIMD_SERVER_PROBLEM_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"
#define PROBLEM_URN          "urn:skimd:problem:"

/* kind, status, type, title */
#define PROBLEMS(X)                                                                                \
    X(BAD_REQUEST, 400, "about:blank", "Bad Request")                                              \
    X(MALFORMED_BODY, 400, PROBLEM_URN "malformed-body", "The body cannot be read")                \
    X(INVALID_ITEM, 400, PROBLEM_URN "invalid-item", "An item of the batch is not as it must be")  \
    X(NO_URLS, 400, PROBLEM_URN "no-urls", "The batch has no URLs")                                \
    X(UNKNOWN_OPTION, 400, PROBLEM_URN "unknown-option", "There is no such option")                \
    X(INVALID_OPTION, 400, PROBLEM_URN "invalid-option", "An option has a wrong value")            \
    X(ABOVE_LIMIT, 400, PROBLEM_URN "above-limit", "An option is beyond the daemon's limit")       \
    X(UNAUTHORIZED, 401, "about:blank", "Unauthorized")                                            \
    X(FORBIDDEN, 403, "about:blank", "Forbidden")                                                  \
    X(NOT_FOUND, 404, "about:blank", "Not Found")                                                  \
    X(METHOD_NOT_ALLOWED, 405, "about:blank", "Method Not Allowed")                                \
    X(NOT_ACCEPTABLE, 406, "about:blank", "Not Acceptable")                                        \
    X(REQUEST_TIMEOUT, 408, "about:blank", "Request Timeout")                                      \
    X(BODY_TOO_LARGE, 413, PROBLEM_URN "body-too-large", "The body is too large")                  \
    X(TOO_MANY_URLS, 413, PROBLEM_URN "too-many-urls", "The batch has too many URLs")              \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "about:blank", "Unsupported Media Type")                        \
    X(TOO_MANY_REQUESTS, 429, "about:blank", "Too Many Requests")                                  \
    X(INTERNAL, 500, "about:blank", "Internal Server Error")                                       \
    X(NOT_IMPLEMENTED, 501, "about:blank", "Not Implemented")                                      \
    X(OUT_OF_MEMORY, 503, PROBLEM_URN "out-of-memory", "Not enough memory for this batch now")     \
    X(SHUTTING_DOWN, 503, PROBLEM_URN "shutting-down", "The daemon is shutting down")              \
    X(UNAVAILABLE, 503, "about:blank", "Service Unavailable")

enum problem_kind {
#define PROBLEM_KIND(kind, status, type, title) PROBLEM_##kind,
    PROBLEMS(PROBLEM_KIND)
#undef PROBLEM_KIND
};

struct problem {
    enum problem_kind kind;
    int status;        /* HTTP status */
    const char *type;  /* static */
    const char *title; /* static */
    char detail[512];  /* one sentence for people; "" when the title says it all */
    char param[64];    /* extension member "param": the option at fault; "" when there is none */
    const char *allow; /* static: the Allow field of a 405; NULL: none */
    const char *challenge;  /* static: the WWW-Authenticate field of a 401 */
    unsigned retry_after_s; /* the Retry-After field; 0: none */
};

/*
 * Fills `*ret` in; `param` may be NULL. Too long a detail is cut at a character's end. What came
 * from outside goes into `format`'s arguments by problem_quote only. Returns -ENOMEM for
 * PROBLEM_OUT_OF_MEMORY and -EINVAL for the others, so that who finds one can return it.
 */
int problem_set(struct problem *ret, enum problem_kind kind, const char *param, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

/* Appends the problem+json document (one line, newline included). */
void problem_write(struct buffer *out, const struct problem *problem);

/* How much problem_quote writes at most, NUL included. */
enum { PROBLEM_QUOTE_SIZE = 256 };

/*
 * Bytes from outside, fit for a line of text that people read: in double quotes, shortened to some
 * 60 bytes with "..." behind the closing quote, and with everything that could disturb a terminal
 * or a reader (controls, quotes, bidirectional overrides, ill-formed UTF-8) escaped. Returns `ret`.
 */
const char *problem_quote(char ret[static PROBLEM_QUOTE_SIZE], struct bytes text);

#endif
