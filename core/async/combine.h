/*
 * Combinators: many futures seen as one. The futures that are given are borrowed for the call; a
 * result holds references of its own, until it is decided. The same future may be given twice, and
 * to many. Any thread.
 *
 * A result settles at once when it is decided. Inputs that are pending then are cancelled, for
 * everybody who holds them: what nobody waits for any more should not run on (wrap in
 * future_shield() what should). Cancelling a result cancels its inputs; it settles when all of them
 * have ended, as what they came to, which may still be ok.
 *
 * However inputs fail, it counts as seen: what there is to know of it is in the result.
 */
#ifndef SKIMD_ASYNC_COMBINE_H
#define SKIMD_ASYNC_COMBINE_H

#include "core/async/future.h"

#include <stddef.h>

struct channel;

/*
 * Ok when all `n` are; the value is then the `future *const *` array of them, in the order given.
 * The first that fails or is cancelled decides: the result has its state and error, and, where it
 * failed, that `future *` as its value. Of no futures: ok.
 */
future *future_all(future *const *fs, size_t n);

/*
 * Ok with the first that is ok; the value is that `future *`. When none is, the result has the
 * state and error of the one that settled last, and, where it failed, that `future *` as its
 * value. Of no futures: fails with -EINVAL.
 */
future *future_any(future *const *fs, size_t n);

/*
 * The first that settles, however it did: the result has its state and error, and, unless it was
 * cancelled, that `future *` as its value. Of those settled already the first in the list wins. Of
 * no futures: fails with -EINVAL.
 */
future *future_race(future *const *fs, size_t n);

/*
 * As they complete: a channel of `capacity` (>= 1) that gives each of the `n` once, in the order in
 * which they settle, those settled already first, and is closed after the last. Items are
 * `future *`, references that whoever gets them owns. A full channel holds up the telling, never
 * the futures. They are looked at, and cancelled, by who gets them, not here.
 *
 * The caller owns the channel. Dropping or closing it ends the telling; so does a cancel of the
 * surrounding scope, which closes it. NULL when memory is exhausted.
 */
struct channel *as_completed(future *const *fs, size_t n, size_t capacity);

/*
 * Settles as `f` does, with `f` as its value (unless cancelled), but does not pass a cancel on: the
 * result is cancelled at once, and `f` goes on for those others who hold it, or for nobody; then
 * its failure is not seen here.
 */
future *future_shield(future *f);

#endif
