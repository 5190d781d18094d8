/*
 * parse_page: what a page says, found out in a sandboxed worker process.
 *
 * The body goes there as it was received; inflating it, settling its charset and parsing it all
 * happen where a crash, a bomb or a page that never ends costs one worker and one record.
 */
#ifndef SKIMD_PARSERS_PARSE_PAGE_H
#define SKIMD_PARSERS_PARSE_PAGE_H

#include "core/async/future.h"
#include "parsers/page.h"

/* What a page may take: CPU time, and time at all, where other work keeps its worker waiting. */
enum { PARSE_CPU_MS = 500, PARSE_TIMEOUT_MS = 1250 };

/* The value: facts with bytes of their own, and the time that they took. */
struct parsed_page {
    struct page_facts facts;
    uint64_t parse_us; /* from handing the body over to having the facts */
    char text[];
};

/*
 * Parses `request`, whose bytes belong to `source`: a reference to it is kept until the end. The
 * request's deadline is ignored: it is PARSE_TIMEOUT_MS, or the scope's. Where no fields are named
 * it is asked for the title. The future's value is a `struct parsed_page`, with nothing but what
 * was asked for; it fails with a positive enum page_error (the detail is its message, text) or with
 * a negative errno of the future layer. Any thread.
 */
future *parse_page(future *source, const struct page_request *request);

/* The record code and message for a parse_page() future that failed. Borrowed from it, or static.
 */
void parse_page_failure(const future *f, const char **ret_code, const char **ret_message);

/* Bytes a request takes in a worker's memory beside the body: for async_options.request_bytes. */
enum { PARSE_REQUEST_OVERHEAD = 64 * 1024 };

#endif
