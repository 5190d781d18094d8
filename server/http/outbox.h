/*
 * What waits to be sent on a stream: bytes in, at the back, and out, in pieces, at the front.
 * Taking moves nothing; what was taken is dropped when it is half of all, so every byte is moved
 * once at most and the storage stays below four times of what waited at the worst.
 */
#ifndef SKIMD_SERVER_HTTP_OUTBOX_H
#define SKIMD_SERVER_HTTP_OUTBOX_H

#include "core/base/buffer.h"

/* Zero-initialise. */
struct http_outbox {
    struct buffer bytes;
    size_t taken; /* from the front */
};

/* Storage up to this is kept when everything was taken. */
enum { HTTP_OUTBOX_KEEP = 16 << 10 };

/* Bytes that wait. */
static inline size_t http_outbox_waiting(const struct http_outbox *o)
{
    return o->bytes.len - o->taken;
}

/* Appends. False when memory is exhausted; the outbox is of no use then. */
static inline bool http_outbox_put(struct http_outbox *o, struct bytes bytes)
{
    if (o->taken > 0 && o->taken >= http_outbox_waiting(o)) {
        buffer_consume(&o->bytes, o->taken);
        o->taken = 0;
    }
    buffer_append(&o->bytes, bytes.ptr, bytes.len);
    return !o->bytes.failed;
}

static inline void http_outbox_free(struct http_outbox *o)
{
    buffer_free(&o->bytes);
    o->taken = 0;
}

/* Moves the oldest bytes, at most `max`, to `to`, and returns how many they were. */
static inline size_t http_outbox_take(struct http_outbox *o, char *to, size_t max)
{
    size_t waiting = http_outbox_waiting(o), n = waiting < max ? waiting : max;

    if (n > 0)
        memcpy(to, o->bytes.ptr + o->taken, n);
    o->taken += n;
    if (n == waiting) {
        if (o->bytes.capacity > HTTP_OUTBOX_KEEP)
            buffer_free(&o->bytes);
        o->bytes.len = 0;
        o->taken = 0;
    }
    return n;
}

#endif
