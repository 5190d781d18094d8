#include "server/api.h"

#include "server/batch/quota.h"
#include "server/hosts.h"
#include "server/memory/memory.h"
#include "server/problem.h"
#include "server/watch/access_log.h"
#include "server/watch/metrics.h"
#include "server/watch/status.h"
#include "server/web/openapi.h"
#include "server/web/web_page.h"

#include <assert.h>

enum { RETRY_AFTER_DRAIN_S = 5 };

struct route {
    const char *path;
    bool prefix; /* the path stands for everything below it, too */
    const char *methods;
    bool (*accepts)(const struct api *api, struct exchange *x, struct problem *ret_problem);
    void (*handle)(struct api *api, struct exchange *x);
    const char *label; /* of it in the metrics; NULL: the path */
};

/* Whose request it is; false, and a 401, when it is nobody's. */
static bool account_of(const struct api *api, const struct exchange *x, struct account **ret,
                       struct problem *ret_problem)
{
    return access_check(api->access, exchange_header(x, "Authorization"), ret, ret_problem);
}

/* -- routes ------------------------------------------------------------------------------------ */

static void answer_health(struct api *api, struct exchange *x)
{
    struct buffer body = {0};

    buffer_text(&body, api->leaving ? "{\"status\":\"draining\"}\n" : "{\"status\":\"ok\"}\n");
    exchange_respond(x, 200, "application/json", NULL, &body);
}

/* What decides whether new connections should be sent here asks for this. */
static bool is_ready(const struct api *api, struct exchange *x, struct problem *ret_problem)
{
    (void)x;
    if (!api->leaving)
        return true;
    problem_set(ret_problem, PROBLEM_SHUTTING_DOWN, NULL, "What is under way is being finished.");
    return false;
}

static void answer_ready(struct api *api, struct exchange *x)
{
    struct buffer body = {0};

    (void)api;
    buffer_text(&body, "{\"status\":\"ready\"}\n");
    exchange_respond(x, 200, "application/json", NULL, &body);
}

static void answer_metrics(struct api *api, struct exchange *x);

static void answer_status(struct api *api, struct exchange *x)
{
    status_answer(api->watch, x);
}

static bool accepts_batches(const struct api *api, struct exchange *x, struct problem *ret_problem)
{
    struct bytes coding = exchange_header(x, "Content-Encoding");
    char quoted[PROBLEM_QUOTE_SIZE];
    struct account *account;

    if (api->draining) {
        problem_set(ret_problem, PROBLEM_SHUTTING_DOWN, NULL,
                    "No new batches are taken; try again in a moment.");
        ret_problem->retry_after_s = RETRY_AFTER_DRAIN_S;
        return false;
    }
    if (coding.len > 0 && !bytes_equal_nocase(coding, BYTES("identity"))) {
        problem_set(ret_problem, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL,
                    "Bodies are taken as they are, not with Content-Encoding %s.",
                    problem_quote(quoted, coding));
        return false;
    }
    return account_of(api, x, &account, ret_problem) &&
           quota_allows_batch(api->batches, account, ret_problem) &&
           memory_admits(api->batches->memory, ret_problem);
}

static void scrape(struct api *api, struct exchange *x)
{
    struct account *account;
    struct problem problem;

    /* While the body came, the token may have been taken away. */
    if (account_of(api, x, &account, &problem))
        batch_start(api->batches, x, account);
    else
        exchange_refuse(x, &problem);
}

static void answer_host(struct api *api, struct exchange *x)
{
    hosts_answer(api->batches->fetcher, x);
}

static void answer_page(struct api *api, struct exchange *x)
{
    (void)api;
    web_page_answer(x);
}

static void answer_openapi(struct api *api, struct exchange *x)
{
    (void)api;
    openapi_answer(x);
}

static bool refuse_durable(const struct api *api, struct exchange *x, struct problem *ret_problem)
{
    (void)api;
    (void)x;
    problem_set(ret_problem, PROBLEM_UNAVAILABLE, NULL,
                "Durable batches are not part of this version; POST /v1/scrape streams a batch.");
    return false;
}

static const struct route routes[] = {
    {"/v1/scrape", false, "POST", accepts_batches, scrape, NULL},
    {"/v1/batches", true, "GET, HEAD, POST, DELETE", refuse_durable, NULL, NULL},
    {"/v1/hosts", true, "GET, HEAD", NULL, answer_host, "/v1/hosts/{host}"},
    {"/v1/status", false, "GET, HEAD", NULL, answer_status, NULL},
    {"/healthz", false, "GET, HEAD", NULL, answer_health, NULL},
    {"/readyz", false, "GET, HEAD", is_ready, answer_ready, NULL},
    {"/metrics", false, "GET, HEAD", NULL, answer_metrics, NULL},
    {"/openapi.json", false, "GET, HEAD", NULL, answer_openapi, NULL},
    {"/", false, "GET, HEAD", NULL, answer_page, NULL},
    {"/page.css", false, "GET, HEAD", NULL, answer_page, NULL},
    {"/page.js", false, "GET, HEAD", NULL, answer_page, NULL},
    {"/icon.svg", false, "GET, HEAD", NULL, answer_page, NULL},
};

enum { ROUTES = sizeof routes / sizeof routes[0] };

static_assert((int)ROUTES < (int)METRIC_PATHS, "each route has its number in the metrics");

/*
 * Where nobody is asked for a token: what looks after the daemon has none, and neither has a
 * browser before its page is there, from which it then sends one, nor a program before it has read
 * how; page and document are the same in every daemon of a version.
 */
static const char *const open_paths[] = {"/healthz",  "/readyz",  "/openapi.json", "/",
                                         "/page.css", "/page.js", "/icon.svg"};

const char *api_route(size_t index, const char **ret_methods)
{
    if (index >= ROUTES)
        return NULL;
    *ret_methods = routes[index].methods;
    return routes[index].label ? routes[index].label : routes[index].path;
}

/* -- dispatch ---------------------------------------------------------------------------------- */

static bool matches(const struct route *r, struct bytes path)
{
    struct bytes own = bytes_cstr(r->path);

    if (!r->prefix || path.len <= own.len)
        return bytes_equal(path, own);
    return bytes_equal(bytes_of(path.ptr, own.len), own) && path.ptr[own.len] == '/';
}

static const struct route *route_of(struct bytes path)
{
    for (size_t i = 0; i < ROUTES; i++)
        if (matches(&routes[i], path))
            return &routes[i];
    return NULL;
}

/* True when `method` is one of the comma-separated `methods`. */
static bool allows(const char *methods, struct bytes method)
{
    struct bytes rest = bytes_cstr(methods);

    while (rest.ptr)
        if (bytes_equal(bytes_trim(bytes_split(&rest, ',')), method))
            return true;
    return false;
}

static bool is_open(struct bytes path)
{
    for (size_t i = 0; i < sizeof open_paths / sizeof open_paths[0]; i++)
        if (bytes_equal(path, bytes_cstr(open_paths[i])))
            return true;
    return false;
}

/*
 * Without tokens, nobody else keeps the web pages of a browser from calling. What looks after the
 * daemon may call it anything, and learns nothing that a page could use.
 */
static bool is_of_a_page(const struct api *api, const struct exchange *x,
                         struct problem *ret_problem)
{
    if (access_tokens(api->access) > 0 || bytes_equal(exchange_path(x), BYTES("/healthz")) ||
        bytes_equal(exchange_path(x), BYTES("/readyz")))
        return false;
    return !cross_origin_check(&api->cross_origin,
                               &(struct cross_origin_request){
                                   .method = exchange_method(x),
                                   .host = exchange_header(x, "Host"),
                                   .origin = exchange_header(x, "Origin"),
                                   .site = exchange_header(x, "Sec-Fetch-Site"),
                                   .mode = exchange_header(x, "Sec-Fetch-Mode"),
                                   .destination = exchange_header(x, "Sec-Fetch-Dest"),
                               },
                               ret_problem);
}

/* Who has no token does not learn either what there is. */
static bool accepts(struct exchange *x, void *arg, struct problem *ret_problem)
{
    const struct api *api = arg;
    const struct route *r = route_of(exchange_path(x));
    char quoted[PROBLEM_QUOTE_SIZE];
    struct account *account;

    if (cors_is_preflight(&api->cors, x)) /* browsers send no token with it */
        return true;
    if (is_of_a_page(api, x, ret_problem))
        return false;
    if (!is_open(exchange_path(x)) && !account_of(api, x, &account, ret_problem))
        return false;
    if (!r) {
        problem_set(ret_problem, PROBLEM_NOT_FOUND, NULL,
                    "There is nothing at %s; POST /v1/scrape takes a batch of URLs, GET /healthz "
                    "tells whether the daemon lives.",
                    problem_quote(quoted, exchange_path(x)));
        return false;
    }
    if (!allows(r->methods, exchange_method(x))) {
        problem_set(ret_problem, PROBLEM_METHOD_NOT_ALLOWED, NULL, "%s takes %s, not %s.", r->path,
                    r->methods, problem_quote(quoted, exchange_method(x)));
        ret_problem->allow = r->methods;
        return false;
    }
    return !r->accepts || r->accepts(api, x, ret_problem);
}

static void handle(struct exchange *x, void *arg)
{
    struct api *api = arg;

    if (cors_is_preflight(&api->cors, x))
        exchange_respond(x, 204, NULL, cors_preflight_fields, &(struct buffer){0});
    else
        route_of(exchange_path(x))->handle(api, x);
}

static size_t fields(const struct exchange *x, void *arg,
                     struct http_field ret[static HTTP_FIELDS_MOST])
{
    const struct api *api = arg;

    return cors_fields(&api->cors, exchange_header(x, "Origin"), ret);
}

static void answer_metrics(struct api *api, struct exchange *x)
{
    const char *paths[METRIC_PATHS] = {"other"};

    for (size_t i = 0; i < ROUTES; i++)
        paths[1 + i] = api_route(i, &(const char *){NULL});
    watch_answer_metrics(api->watch, x, paths);
}

static void ended(const struct exchange *x, const struct http_end *end, void *arg)
{
    const struct api *api = arg;
    const struct route *r = route_of(exchange_path(x));

    metrics_count_request(&metrics, r ? 1 + (size_t)(r - routes) : 0, exchange_method(x),
                          end->status);
    metrics.http_sent_bytes += end->body_bytes;
    if (api->access_log)
        access_log(x, end);
}

struct http_application api_application(struct api *api)
{
    return (struct http_application){
        .accepts = accepts, .handle = handle, .fields = fields, .ended = ended, .arg = api};
}
