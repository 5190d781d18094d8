/*
 * What a caller may choose for one batch, from the query string or from "options" of a JSON body.
 *
 * One table in options.c drives both. The daemon's configuration is the limit: a batch may be more
 * modest, politer and more careful than the daemon, never less. Pure; any thread.
 */
#ifndef SKIMD_SERVER_BATCH_OPTIONS_H
#define SKIMD_SERVER_BATCH_OPTIONS_H

#include "core/base/bytes.h"
#include "core/fetch/header.h"
#include "parsers/fields.h"
#include "server/config/config.h"
#include "server/problem.h"

#include <jansson.h>
#include <stdint.h>

enum batch_order { ORDER_COMPLETION, ORDER_INPUT };

/* Times in milliseconds, sizes in bytes. Owns its headers: do not copy it, options_free() it. */
struct batch_options {
    field_set fields; /* asked of each page */
    uint64_t timeout_ms;
    uint64_t max_page_bytes;
    uint64_t max_redirects;
    uint64_t retries;
    uint64_t per_host;
    uint64_t host_delay_ms;
    uint64_t deadline_ms; /* for the whole batch; 0: none */
    bool robots;          /* robots.txt is obeyed */
    bool insecure;        /* certificates are not verified */
    bool dedupe;          /* what is the same URL is fetched once */
    bool any_type;        /* bodies of every content type are downloaded */
    bool early_stop;
    enum batch_order order;
    char user_agent[CONFIG_USER_AGENT_MAX + 1]; /* NUL-terminated */
    struct header_list headers;                 /* to be sent with every request */
    unsigned given; /* a bit for each option that the caller gave: each may be given once */
};

/* The options of a batch that chooses nothing. Nothing is allocated yet. */
void options_init(struct batch_options *ret, const struct config *limits);

/* Frees what the options own, also those that are half applied. */
void options_free(struct batch_options *options);

/*
 * Applies a query string ("timeout_ms=500&order=input"; without the question mark) as HTML forms
 * write it: percent-encoded, "+" for a space, empty parts ignored. Switches are true or false, 1 or
 * 0, on or off; "headers" is the text of a JSON object. Returns 0, or a negative errno with
 * *problem filled in; *options is then half applied and of no use but to be freed.
 */
int options_from_query(struct batch_options *options, const struct config *limits,
                       struct bytes query, struct problem *problem);

/* The same with the members of a JSON object. `object` is borrowed and may be any JSON value. */
int options_from_json(struct batch_options *options, const struct config *limits,
                      const json_t *object, struct problem *problem);

/* Whether they go together, once all are applied. 0, or a negative errno with *problem. */
int options_check(const struct batch_options *options, struct problem *problem);

#endif
