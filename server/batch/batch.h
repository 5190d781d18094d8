/*
 * A batch: a list of URLs, one scope, one flow, one item per URL, one stream of records.
 *
 *     body ─▶ intake, plan (thread) ─▶ flow: gives each URL its turn ─▶ stream
 *                                        item: fetch ─▶ parse_page ─▶ emit
 *
 * Loop thread only.
 */
#ifndef SKIMD_SERVER_BATCH_BATCH_H
#define SKIMD_SERVER_BATCH_BATCH_H

#include "core/async/scope.h"
#include "core/base/list.h"
#include "core/fetch/fetch.h"
#include "server/access/access.h"
#include "server/config/config.h"
#include "server/http/http.h"

struct memory;

/* What all batches share. */
struct batches {
    const struct config *config;
    struct memory *memory;
    struct fetcher *fetcher;
    struct scope *scope; /* batches are its tasks */
    struct list running; /* struct batch */
    uint64_t started;    /* so many so far */
    uint64_t window;     /* of URLs that one may have under way: batches_share() */
};

/*
 * Answers `x` (POST /v1/scrape, body complete): with a problem, or with the stream of its records.
 * It counts for `account` (NULL: for nobody) until it has ended.
 */
void batch_start(struct batches *all, struct exchange *x, struct account *account);

/* Divides what may be under way among those that run. To be called now and then, and first. */
void batches_share(struct batches *all);

/* Gives back what is under way: items that have no record yet get one that says so. */
void batches_shut_down(struct batches *all);

#endif
