/*
 * Intake: the body of a request becomes a list of URLs.
 *
 *   text/plain                                    one URL a line; blank lines and # lines skipped
 *   application/x-ndjson, /jsonl, /ndjson         one item a line
 *   application/json                              {"urls": [item, ...], "options": {...}}
 *                                                 or a bare array of items
 *   none, octet-stream, x-www-form-urlencoded     judged by the first byte that is no white space
 *
 * An item is a URL string or {"url": string, "id": string or number}. Whether a URL is one is not
 * decided here: a bad one fails alone, later. Everything else that is wrong fails the whole body.
 *
 * Memory: a text body is kept as it came and its lines are pointed at. A JSON body is read item by
 * item with jansson, never as one tree: beside the body there is one copy of the URLs and ids
 * (hardly ever more than the body), and one item (at most INTAKE_VALUE_MAX bytes of JSON) as a
 * tree. The list itself costs sizeof(struct url_entry) for each URL, twice that while it grows.
 */
#ifndef SKIMD_SERVER_BATCH_INTAKE_H
#define SKIMD_SERVER_BATCH_INTAKE_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"
#include "server/batch/options.h"
#include "server/config/config.h"
#include "server/problem.h"

#include <stdint.h>

/* The longest JSON text of one item, and of "options". */
enum { INTAKE_VALUE_MAX = 1 << 20 };

/* A URL in url_list.storage, its id right behind it. */
struct url_entry {
    size_t offset;
    uint32_t url_len;
    uint32_t id_len; /* 0: the caller gave none */
};

struct url_list {
    struct buffer storage;
    struct url_entry *entries;
    size_t count;
    size_t capacity;
};

/*
 * Reads `body`, whose Content-Type header is `content_type` (empty: none). `*options` already has
 * what the query string said; "options" of a JSON body are added to it. Returns 0; *ret then owns
 * the body's memory and *body is empty. Else a negative errno with *problem filled in (413 above
 * max_batch_urls or max_body_bytes, 415, or 400 with the line, column or index that is wrong);
 * *ret is then untouched, the body still the caller's and *options of no use but to be freed.
 *
 * Takes up to a second for 1,000,000 JSON items: made for a pool thread. Pure, reentrant.
 */
int intake_parse(struct buffer *body, struct bytes content_type, const struct config *limits,
                 struct batch_options *options, struct url_list *ret, struct problem *problem);

/* The URL of entry `index` (< count). Any byte may be in it, NUL too. Borrowed from the list. */
static inline struct bytes url_list_url(const struct url_list *list, size_t index)
{
    const struct url_entry *entry = &list->entries[index];

    return bytes_of(list->storage.ptr + entry->offset, entry->url_len);
}

/* Its id as serialized JSON on one line, fit for struct record; empty when there is none. */
static inline struct bytes url_list_id(const struct url_list *list, size_t index)
{
    const struct url_entry *entry = &list->entries[index];

    return bytes_of(list->storage.ptr + entry->offset + entry->url_len, entry->id_len);
}

/* Frees what the list owns; an empty list is left behind. */
void url_list_free(struct url_list *list);

#endif
