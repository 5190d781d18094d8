/* What batch.c and item.c share: a batch. Nobody else includes it. Loop thread only. */
#ifndef SKIMD_SERVER_BATCH_INTERNAL_H
#define SKIMD_SERVER_BATCH_INTERNAL_H

#include "server/batch/batch.h"
#include "server/batch/intake.h"
#include "server/batch/options.h"
#include "server/batch/stream.h"
#include "server/batch/twins.h"
#include "server/memory/memory.h"
#include "server/watch/trace.h"

struct batch {
    struct batches *all;
    struct list link;        /* in all->running */
    struct account *account; /* a reference; NULL: nobody's */
    struct exchange *x;      /* until the answer begins */
    struct memory_share share;
    struct batch_options options;
    struct fetch_options fetch;
    struct robots_policy robots;
    struct url_list urls;
    struct plan plan;
    struct twins twins;
    struct scope *scope;
    struct flow *flow;
    struct stream *stream;
    uint64_t number; /* counts the batches of this daemon; on its log lines */
    uint64_t started_ns;
    size_t planned, begun; /* URLs that are fetched at all, and of them those whose turn has come */
    bool client_gone, shut_down;
    char trace_id[TRACE_ID_SIZE]; /* "": none */
};

/* How far a batch has come; all zero until its body is read. */
struct batch_progress {
    size_t total, ok, failed, cancelled; /* of records, as written so far */
    size_t waiting;                      /* URLs that were not begun yet, and will be */
};
struct batch_progress batch_progress(const struct batch *b);

/*
 * Begins URL `index` of the batch, whose turn `t` (taken over) has come: a task in the batch's
 * scope, which tells the batch's flow when it ends. For flow_options.begin.
 */
void item_begin(void *batch, size_t index, struct ticket *t);

#endif
