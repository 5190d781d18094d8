/*
 * first_answer URL...: asks all mirrors of a page, takes the first answer, cancels the others.
 *
 * future_any() is settled by the first that is ok: a mirror that fails fast does not win. (The
 * first that settles, however it did, is future_race().) The losers are awaited too, to show that
 * they end at once and not when their servers please.
 *
 *     make examples && build/release/examples/first_answer https://a.example/ https://b.example/
 */
#include "core/base/clock.h"
#include "examples/download.h"

#include <stdio.h>

enum { MIRRORS_MAX = 16 };

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    future *mirrors[MIRRORS_MAX];
    size_t n = 0;

    for (int i = 1; i < argc && n < MIRRORS_MAX; i++)
        mirrors[n++] = download(argv[i]);
    future *first = future_any(mirrors, n);
    future_wait(first, CLOCK_NEVER);

    for (size_t i = 0; i < n; i++) {
        const char *url = argv[1 + i];
        future_wait(mirrors[i], CLOCK_NEVER);
        if (!future_ok(mirrors[i]))
            printf("%s: %s\n", url, why(mirrors[i]));
        else if (mirrors[i] == future_value(first))
            printf("%s: first\n", url);
        else
            printf("%s: too late\n", url);
        future_drop(mirrors[i]);
    }
    int rc = !future_ok(first);
    future_drop(first);
    return rc | (async_stop() < 0);
}
