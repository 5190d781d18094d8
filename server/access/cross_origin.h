/*
 * Which requests of web browsers are refused where callers need no token. A browser sends them for
 * any page that somebody on this machine has open: the page may not read the answers (see cors.h),
 * but its batches would run.
 *
 *     Sec-Fetch-Site   none, same-origin   goes on: a person, or the daemon's own page
 *                      anything else       refused, but for origins that CORS allows, preflights,
 *                                          and GETs that put the answer in the place of the page
 *     only Origin      as Host             goes on: an older browser, or no TLS and no loopback
 *                      another             refused, but for origins that CORS allows
 *     neither                              goes on: no browser (W3C Fetch Metadata)
 *
 * A page whose name its owner leads to this machine once it is loaded (DNS rebinding) is of the
 * same origin. So Host must be a name that only this machine can have: localhost, an address, which
 * nobody leads elsewhere, or one that the operator gave.
 *
 * Pure; any thread.
 */
#ifndef SKIMD_SERVER_ACCESS_CROSS_ORIGIN_H
#define SKIMD_SERVER_ACCESS_CROSS_ORIGIN_H

#include "server/access/cors.h"
#include "server/problem.h"

struct cross_origin {
    struct cors cors;   /* whose requests go on */
    char *const *hosts; /* as host_name_valid() has them; borrowed */
    size_t host_count;
    bool any_host; /* Host is not looked at, unless there are `hosts` */
};

/* What a request says; {NULL, 0}: it does not. */
struct cross_origin_request {
    struct bytes method, host, origin;
    struct bytes site, mode, destination; /* Sec-Fetch-Site, -Mode and -Dest */
};

/* True when the request may go on; else a 403 that says what the operator can do. */
bool cross_origin_check(const struct cross_origin *rules, const struct cross_origin_request *r,
                        struct problem *ret_problem);

/* True for a host's name as it may stand in Host, without the port; letters in any case. */
bool host_name_valid(struct bytes text);

#endif
