/*
 * The robots.txt of each origin: fetched once, kept for its lifetime (RFC 9309 sections 2.3 and
 * 2.4).
 *
 *     answer               what holds for the origin              for how long
 *
 *     2xx                  what it says                           max-age (5 min to 24 h), or 24 h
 *
 *     4xx but 429,         everything is allowed ("unavailable")  the same
 *     too many redirects
 *
 *     429, 5xx             nothing is ("unreachable")             5 min
 *
 *     2xx in a coding that nothing is                             5 min
 *     cannot be undone
 *
 *     no answer            nothing is; URLs fail as it did        1 min
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_ROBOTS_FILE_H
#define SKIMD_FETCH_ROBOTS_FILE_H

#include "core/async/future.h"
#include "core/async/scope.h"
#include "core/fetch/fetch.h"
#include "core/fetch/robots.h"

struct robots_files;

/* The value of robots_file(). */
struct robots_file {
    struct robots *rules; /* NULL: none, everything is allowed */
    unsigned refused; /* the status, 429 or 5xx, that stands for rules; 0: they are what it says */
    int code;         /* 0, or why it could not be read: an enum fetch_code for the URLs */
    struct fetch_failure failure; /* with a code */
    /* private */
    struct robots_files *all;
    size_t size;
};

/*
 * Fetches are tasks of `scope`, as `user_agent`. Files that are in use are kept as long as they
 * are: of those that are not small, no more than `most_bytes` at a time; the URLs of others fail
 * with FETCH_HOST_UNAVAILABLE for a while. NULL when memory is exhausted.
 */
struct robots_files *robots_files_new(struct fetcher *f, struct scope *scope,
                                      const char *user_agent, size_t most_bytes);

/* When the scope has ended, and nobody holds what was asked for. NULL is fine. Returns NULL. */
struct robots_files *robots_files_free(struct robots_files *all);

/*
 * Asks for that of `origin` ("https://a.example:443"). Those who ask at the same time share one
 * fetch; cancelling gives up the wait only.
 */
future *robots_file_ask(struct robots_files *all, const char *origin);

/* What came of it; NULL when nothing did (no memory, cancelled). Borrowed from the future. */
const struct robots_file *robots_file_of(const future *asked);

#endif
