/*
 * A bounded first-in-first-out channel of pointers between tasks. A full channel parks whoever
 * puts; an empty one parks whoever gets; nothing is ever dropped. Any thread.
 */
#ifndef SKIMD_ASYNC_CHANNEL_H
#define SKIMD_ASYNC_CHANNEL_H

#include "core/async/future.h"

#include <stddef.h>

struct channel;

/*
 * Makes a channel for `capacity` (0 is taken for 1) items. `destroy` frees items that nobody will
 * get. The caller owns a reference; giving the last one back closes the channel, for whoever waits
 * still. NULL when memory is exhausted.
 */
struct channel *channel_new(size_t capacity, destroy_fn *destroy);
struct channel *channel_ref(struct channel *c);
struct channel *channel_drop(struct channel *c);

/*
 * Puts `item`, consuming it whatever the outcome. The future is ok once the item has a place in
 * the channel; it fails with -EPIPE when the channel is closed. Cancelled: the item was not put.
 */
future *channel_put(struct channel *c, void *item);

/*
 * Takes the oldest item: true and `*ret_item`, which the caller owns, or false when there is none.
 */
bool channel_try_get(struct channel *c, void **ret_item);

/*
 * Settles ok when there is an item to get, and fails with -EPIPE when the channel is closed and
 * empty. For one consumer at a time.
 */
future *channel_ready(struct channel *c);

/*
 * Settles ok when the channel is closed: for whoever puts, while there is nothing to put. Until
 * then it keeps the memory of the channel, but not the channel open.
 */
future *channel_closed(struct channel *c);

/* Closes: later and parked puts fail with -EPIPE; what is inside can still be got. */
void channel_close(struct channel *c);

#endif
