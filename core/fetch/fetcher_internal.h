/*
 * What a fetch knows of its fetcher. Between fetcher.c and fetch.c.
 */
#ifndef SKIMD_FETCH_FETCHER_INTERNAL_H
#define SKIMD_FETCH_FETCHER_INTERNAL_H

#include "core/async/scope.h"
#include "core/fetch/engine.h"
#include "core/fetch/fetcher.h"
#include "core/fetch/large_bodies.h"
#include "core/fetch/resolve.h"
#include "core/fetch/robots_file.h"
#include "core/fetch/target.h"

/*
 * libcurl's cost of a transfer grows with the connections of its multi handle, so there are
 * several, and an origin keeps to one of them.
 */
enum { ENGINES = 16 };

struct fetcher {
    struct fetcher_options options;
    struct schedule *schedule;
    struct flow *flow; /* of those who have none */
    struct resolver *resolver;
    struct large_bodies large;
    struct engine *engines[ENGINES];
    struct scope *scope; /* of what it does by itself */
    struct robots_files *robots;
};

/* The one that has the connections to the target's origin. */
struct engine *fetcher_engine(struct fetcher *f, const struct target *target);

#endif
