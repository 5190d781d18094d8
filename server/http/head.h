/*
 * The rules of RFC 9110 and 9112 for the head of a request that libmicrohttpd does not enforce.
 * What two readers of the same bytes may understand differently is refused: that is what request
 * smuggling is made of.
 *
 * Pure; any thread.
 */
#ifndef SKIMD_SERVER_HTTP_HEAD_H
#define SKIMD_SERVER_HTTP_HEAD_H

#include "core/base/bytes.h"
#include "server/problem.h"

#include <stdint.h>

/* What the fields of one head say. Zero-initialise, then give it every field. */
struct http_head {
    bool http_1_0;
    unsigned hosts, content_lengths, transfer_encodings;
    const char *fault; /* the first thing wrong with a field; static */
    bool chunked;
    uint64_t content_length; /* UINT64_MAX when it is larger than can be said */
};

/* Takes one field into account. */
void http_head_field(struct http_head *head, struct bytes name, struct bytes value);

/*
 * Judges the head whose method and target are given, as sent. False and the answer (400, or 501 for
 * a transfer coding other than chunked, RFC 9112 section 6.1) in `*ret_problem` when it must be
 * refused; the connection must then be closed, since nobody knows where the next request begins.
 */
bool http_head_check(const struct http_head *head, struct bytes method, struct bytes target,
                     struct problem *ret_problem);

/* True when a body follows the head. */
bool http_head_has_body(const struct http_head *head);

/*
 * Path and query of a target in origin form ("/a?b"), absolute form ("http://h/a?b") or asterisk
 * form (RFC 9112 section 3.2), as sent. Borrowed from `target`.
 */
void http_target_split(struct bytes target, struct bytes *ret_path, struct bytes *ret_query);

#endif
