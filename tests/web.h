/*
 * The scenarios of suite web: how servers misbehave, and what the record says then. check_web.c
 * runs them; what a row is made of is in support/scenario.h.
 */
#ifndef SKIMD_TESTS_WEB_H
#define SKIMD_TESTS_WEB_H

#include "tests/support/scenario.h"

/* web_answers.c: status lines, header fields, framing (RFC 9112) */
extern const struct scenario_group web_status_lines, web_fields, web_framing;
/* web_connections.c: how connections end, and how long answers take */
extern const struct scenario_group web_connections, web_retries, web_slow, web_patient, web_late,
    web_deadline, web_sizes;
/* web_pages.c: codings, types, and pages that are hard on the parser */
extern const struct scenario_group web_codings, web_types, web_parsing;
/* web_redirects.c */
extern const struct scenario_group web_redirects, web_redirect_limit;
/* web_urls.c: URLs as callers write them, and addresses that must not be connected to */
extern const struct scenario_group web_urls, web_urls_in_json, web_allowed_spellings, web_names;
extern const struct scenario_group web_refused_addresses, web_refused_redirects;

/* -- what most scripts are made of ------------------------------------------------------------- */

#define PAGE    "<!doctype html><title>Page</title>" /* 34 bytes, 0x22 */
#define OK      "HTTP/1.1 200 OK\r\n"
#define HTML    "Content-Type: text/html\r\n"
#define LENGTH  "Content-Length: 34\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define CHUNKS  "22\r\n" PAGE "\r\n0\r\n\r\n"

#define ANSWER       OK HTML LENGTH "\r\n" PAGE
#define STATUS(line) "HTTP/1.1 " line "\r\n" HTML LENGTH "\r\n" PAGE
#define REDIRECT(location)                                                                         \
    "HTTP/1.1 302 Found\r\nLocation: " location "\r\nContent-Length: 0\r\n\r\n"

/* -- what most records say --------------------------------------------------------------------- */

#define HAS_TITLE(status, title) "'status':'ok','http_status':" #status ",'title':'" title "'"
#define IS_PAGE                  HAS_TITLE(200, "Page")
#define HAS_NO_TITLE(status)     "'status':'ok','http_status':" #status ",'title':null"
#define FAILS(code)              "'status':'failed','error':{'code':'" code "'}"
/* Which of the two the daemon may have tried again, had it been let. */
#define FAILS_FOR_NOW(code)  "'status':'failed','error':{'code':'" code "','retryable':true}"
#define FAILS_FOR_GOOD(code) "'status':'failed','error':{'code':'" code "','retryable':false}"

#endif
