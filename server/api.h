/*
 * The REST API: which path and method does what. Loop thread only.
 */
#ifndef SKIMD_SERVER_API_H
#define SKIMD_SERVER_API_H

#include "server/access/access.h"
#include "server/access/cross_origin.h"
#include "server/batch/batch.h"
#include "server/http/http.h"
#include "server/watch/watch.h"

struct api {
    struct batches *batches;
    struct access *access;
    struct cors cors;
    struct cross_origin cross_origin; /* where there are no tokens */
    struct watch *watch;
    bool leaving;    /* who asks for our readiness learns that we are not, or not for long */
    bool draining;   /* new batches are refused with 503 */
    bool access_log; /* each request is logged */
};

/*
 * The routes, from index 0 on: the template of the path, and its methods with commas in between.
 * NULL behind the last one.
 */
const char *api_route(size_t index, const char **ret_methods);

/* The application to start the HTTP server with; `api` must outlive it. */
struct http_application api_application(struct api *api);

#endif
