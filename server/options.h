/*
 * What a caller may choose for one batch, from the query string or from "options" of a JSON body.
 *
 * One table in options.c drives both. The daemon's configuration is the ceiling: a batch may lower
 * its limits, never raise them. Pure; any thread.
 */
#ifndef SKIMD_SERVER_OPTIONS_H
#define SKIMD_SERVER_OPTIONS_H

#include "core/base/bytes.h"
#include "server/config.h"
#include "server/problem.h"

#include <jansson.h>
#include <stdint.h>

/* What can be asked of a page, as bits of batch_options.fields. */
enum page_field { FIELD_TITLE = 1 << 0 };

enum batch_order { ORDER_COMPLETION, ORDER_INPUT };

/* Times in milliseconds, sizes in bytes. Nothing here is owned; copy it freely. */
struct batch_options {
    unsigned fields; /* enum page_field bits */
    uint64_t timeout_ms;
    uint64_t max_page_bytes;
    uint64_t max_redirects;
    uint64_t retries;
    uint64_t per_host;
    uint64_t deadline_ms; /* for the whole batch; 0: none */
    enum batch_order order;
    char user_agent[CONFIG_USER_AGENT_MAX + 1]; /* NUL-terminated */
    unsigned given; /* a bit for each option that the caller gave: each may be given once */
};

/* The options of a batch that chooses nothing. */
void options_init(struct batch_options *ret, const struct config *limits);

/*
 * Applies a query string ("timeout_ms=500&order=input"; without the question mark) as HTML forms
 * write it: percent-encoded, "+" for a space, empty parts ignored. Returns 0, or a negative errno
 * with *problem filled in; *options is then half applied and of no use.
 */
int options_from_query(struct batch_options *options, const struct config *limits,
                       struct bytes query, struct problem *problem);

/* The same with the members of a JSON object. `object` is borrowed and may be any JSON value. */
int options_from_json(struct batch_options *options, const struct config *limits,
                      const json_t *object, struct problem *problem);

#endif
