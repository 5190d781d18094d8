/* What is going on: the list of tasks that are alive, for people. */
#ifndef SKIMD_ASYNC_DEBUG_H
#define SKIMD_ASYNC_DEBUG_H

#include "core/async/future.h"

#include <stddef.h>

/*
 * The tasks that are alive, as text. First how many there are of each kind at each place, most
 * first; then one line for each of the `limit` (SIZE_MAX: all) that have been there longest:
 *
 *     10021 tasks: 1 running, 2 queued, 10016 parked, 2 in workers
 *     10000 fetch parked at core/fetch/fetch.c:210, up to 12.043 s
 *     ...
 *     #17 item (of #3 batch) parked at server/batch/batch.c:180 for 12.043 s, awaits #18 fetch
 *
 * The value is a NUL-terminated `const char *`. Taken on the loop thread, in one go: some 100 ns a
 * task. Cannot be cancelled. Any thread.
 */
future *async_dump(size_t limit);

#endif
