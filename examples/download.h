/*
 * Pages by HTTP, through libcurl's multi interface on the runtime's own loop: a download is one
 * more task that waits there, whoever asks for it and from wherever.
 */
#ifndef EXAMPLES_DOWNLOAD_H
#define EXAMPLES_DOWNLOAD_H

#include "core/async/async.h"

#include <stddef.h>

enum { DOWNLOAD_BYTES_MAX = 1 << 20, DOWNLOAD_SECONDS_MAX = 30 };

struct page {
    size_t length;
    char body[];
};

/*
 * Downloads `url`, which is copied. The value is a `struct page`; an answer of 400 or above, or
 * more than DOWNLOAD_BYTES_MAX, is a failure. The error is a CURLcode, or negative errno. Once the
 * future is cancelled, libcurl knows nothing of the transfer any more. Any thread.
 */
future *download(const char *url);

/* Why a future failed, in words; borrowed from it. For downloads, and for tasks without detail. */
const char *why(const future *failed);

#endif
