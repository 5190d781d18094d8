/*
 * Early stop: while the body of a page comes, its beginning is parsed; when that answers all that
 * was asked of the page, what is left of the body is not downloaded, or at least not kept.
 *
 *     transfer ── EARLY_BYTES are there, and more is left ──▶ parse_page of the beginning
 *        │                                                         │ settled: it is the answer
 *        ◀─────────────── stopped, or its body discarded ──────────┘
 *
 * The price of stopping is the connection, over HTTP/1.1, where others wait for the same host:
 * closing one and opening the next costs as much as receiving so many bytes
 * (bench/fetch/README.md). Where that is not worth it the rest is received and thrown away: it need
 * not be kept until the end, and not be copied for a worker.
 *
 * Loop thread only.
 */
#ifndef SKIMD_SERVER_BATCH_EARLY_H
#define SKIMD_SERVER_BATCH_EARLY_H

#include "core/async/scope.h"
#include "core/fetch/fetch.h"
#include "parsers/page.h"

struct early;

enum {
    EARLY_BYTES = 32 << 10,       /* when the beginning is looked at */
    EARLY_LEFT = 32 << 10,        /* of the body, for that; and to stop where that costs nothing */
    EARLY_LEFT_PLAIN = 256 << 10, /* a few round trips */
    EARLY_LEFT_TLS = 1536 << 10,  /* and a handshake, which takes 2 ms of CPU */
};

/* Whether it pays to parse the beginning of a body of which so much has come; and, when that has
 * told enough, to end its transfer. */
bool early_look_pays(const struct response *so_far);
bool early_stop_pays(const struct response *so_far);

/*
 * Makes one for a page that is asked for the fields of `question`, all of them of the head, within
 * its limits (the rest of it does not matter), by a task of `scope`, which must outlive the page's
 * fetch. NULL when memory is exhausted: then the page is read to its end.
 */
struct early *early_new(struct scope *scope, const struct page_request *question);

/* For the page's fetch, which gives it back by its `release`. Once. */
struct transfer_watch *early_watch(struct early *e);

/* Settles when the look at the page has ended, a reference for the caller; NULL: none has begun.
 * Until then early_facts() may have none yet. */
future *early_look(const struct early *e);

/* The parse_page() future that has all the facts, a reference for the caller; NULL: none has. */
future *early_facts(const struct early *e);

/* NULL is fine. Returns NULL. */
struct early *early_drop(struct early *e);

#endif
