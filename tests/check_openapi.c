/*
 * The document at /openapi.json: that it is served as it must be, that its lists are those of the
 * tables, and that each operation answers as it says. What was answered tests/openapi/run holds
 * against the document.
 */
#include "core/fetch/health.h"
#include "parsers/fields.h"
#include "server/api.h"
#include "server/batch/options.h"
#include "server/version.h"
#include "server/watch/metrics.h"
#include "tests/check.h"
#include "tests/support/client.h"
#include "tests/support/daemon.h"
#include "tests/support/origin.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN "a-token-for-the-document"

enum { PATIENCE_MS = 10000 };

static struct origin *origin;
static struct daemon skimd;
static struct client_answer answer;
static json_t *document;

static long ask_with(const char *method, const char *path, const char *fields, struct bytes body)
{
    client_free(&answer);
    client_ask(
        &(struct client_request){
            .method = method, .url = skimd.url, .path = path, .fields = fields, .body = body},
        &answer);
    return answer.status;
}

static long ask(const char *method, const char *path)
{
    return ask_with(method, path, NULL, bytes_of(NULL, 0));
}

static void read_document(void)
{
    json_error_t error;

    ck_assert_int_eq(ask("GET", "/openapi.json"), 200);
    document = json_loadb(answer.body.ptr, answer.body.len, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(document != NULL, "line %d: %s", error.line, error.text);
}

static void setup(void)
{
    static const char *const arguments[] = {"--workers",     "1",           "--allow-net",
                                            "127.0.0.0/8",   "--retries",   "0",
                                            "--cors-origin", "https://app", NULL};

    origin = origin_start(NULL);
    ck_assert_ptr_nonnull(origin);
    daemon_start(&skimd, arguments);
    read_document();
}

static void teardown(void)
{
    json_decref(document);
    client_free(&answer);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin = origin_stop(origin);
}

/* -- the file ---------------------------------------------------------------------------------- */

START_TEST(the_document_is_served_as_the_files_of_the_page_are)
{
    char etag[64], known[96];

    ck_assert_str_eq(client_field(&answer, "Content-Type"), "application/json");
    ck_assert_str_eq(client_field(&answer, "Cache-Control"), "no-cache");
    ck_assert_str_eq(client_field(&answer, "X-Content-Type-Options"), "nosniff");
    snprintf(etag, sizeof etag, "%s", client_field(&answer, "ETag"));
    ck_assert_uint_eq(strlen(etag), 18);
    snprintf(known, sizeof known, "If-None-Match: %s", etag);
    ck_assert_int_eq(ask_with("GET", "/openapi.json", known, bytes_of(NULL, 0)), 304);
    ck_assert_uint_eq(answer.body.len, 0);
    ck_assert_int_eq(ask("HEAD", "/openapi.json"), 200);
    ck_assert_str_eq(client_field(&answer, "ETag"), etag);
    ck_assert_int_eq(ask("POST", "/openapi.json"), 405);
}
END_TEST

START_TEST(the_document_has_the_version_of_the_daemon)
{
    json_t *info = json_object_get(document, "info");

    ck_assert_str_eq(json_string_value(json_object_get(info, "version")), SKIMD_VERSION);
    ck_assert_str_eq(json_string_value(json_object_get(document, "openapi")), "3.1.0");
}
END_TEST

/* -- its lists and the tables ------------------------------------------------------------------ */

static json_t *component(const char *kind, const char *name)
{
    json_t *found =
        json_object_get(json_object_get(json_object_get(document, "components"), kind), name);

    ck_assert_msg(found != NULL, "there is no %s %s", kind, name);
    return found;
}

static json_t *schema(const char *name)
{
    return component("schemas", name);
}

/* `names` are the strings of `list`, in this order. */
static void are_the_same(const json_t *list, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *there = json_string_value(json_array_get(list, i));
        ck_assert_msg(there && strcmp(there, names[i]) == 0, "%s, but the table has %s",
                      there ? there : "nothing", names[i]);
    }
    ck_assert_msg(json_array_size(list) == count, "%s is in no table",
                  json_string_value(json_array_get(list, count)));
}

static json_t *values_of(const char *name)
{
    return json_object_get(schema(name), "enum");
}

START_TEST(the_error_codes_are_those_of_the_table)
{
    static const char *const outcomes[] = {
#define NAME(constant, name) name,
        METRIC_OUTCOMES(NAME)};

    ck_assert_str_eq(outcomes[OUTCOME_OK], "ok");
    are_the_same(values_of("ErrorCode"), outcomes + 1, sizeof outcomes / sizeof outcomes[0] - 1);
}
END_TEST

START_TEST(the_states_of_origins_are_those_of_the_table)
{
    static const char *const states[] = {HEALTH_STATES(NAME)};

    are_the_same(values_of("OriginState"), states, sizeof states / sizeof states[0]);
}
END_TEST

/* What a field's schema must be: a $ref, or what its type is. */
static void check_kind(enum field field, json_t *property)
{
    const char *ref = json_string_value(json_object_get(property, "$ref"));
    const json_t *type = json_object_get(property, "type"),
                 *one = json_object_get(property, "oneOf");
    const json_t *items = json_object_get(property, "items");
    const char *item = json_string_value(json_object_get(items, "$ref"));
    bool right = false;

    switch (field_kind(field)) {
    case FIELD_TEXT:
        right = json_array_size(type) == 2;
        break;
    case FIELD_URL:
        right = json_array_size(one) == 2;
        break;
    case FIELD_TEXTS:
        right = !strcmp(json_string_value(json_object_get(items, "type")), "string");
        break;
    case FIELD_URLS:
        right = item && !strcmp(item, "#/components/schemas/Url");
        break;
    case FIELD_PAIRS:
        right = ref && !strcmp(ref, "#/components/schemas/Pairs");
        break;
    case FIELD_OBJECTS:
        right = json_is_object(json_object_get(items, "properties"));
        break;
    case FIELD_JSON:
        right = json_is_true(items);
        break;
    }
    ck_assert_msg(right, "%s is described as another kind", field_name(field));
}

START_TEST(the_fields_of_pages_are_those_of_the_table)
{
    const char *names[FIELD_COUNT];
    json_t *properties = json_object_get(schema("OkResult"), "properties");

    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        json_t *property = json_object_get(properties, names[i] = field_name((enum field)i));

        ck_assert_msg(property != NULL, "records have no %s", names[i]);
        check_kind((enum field)i, property);
    }
    are_the_same(values_of("Field"), names, FIELD_COUNT);
}
END_TEST

/* The names of batch options, as the message lists them that refuses one which is none. */
static size_t option_names(const char *ret[static 32], struct problem *problem)
{
    struct batch_options options = {0};
    size_t count = 0;

    ck_assert_int_lt(options_from_query(&options, &(struct config){0}, BYTES("x=y"), problem), 0);
    char *names = strstr(problem->detail, "known: ");
    ck_assert_ptr_nonnull(names);
    names += strlen("known: ");
    for (char *rest = NULL, *name = strtok_r(names, ", ", &rest); name;
         name = strtok_r(NULL, ", ", &rest)) {
        ck_assert_uint_lt(count, 32);
        ret[count++] = name;
    }
    return count;
}

START_TEST(the_options_of_batches_are_those_of_the_table)
{
    const char *names[32];
    struct problem problem;
    size_t count = option_names(names, &problem);
    json_t *properties = json_object_get(schema("BatchOptions"), "properties");
    json_t *post =
        json_object_get(json_object_get(json_object_get(document, "paths"), "/v1/scrape"), "post");
    json_t *parameters = json_object_get(post, "parameters");

    are_the_same(values_of("OptionName"), names, count);
    ck_assert_uint_eq(json_object_size(properties), count);
    for (size_t i = 0; i < count; i++) {
        char ref[128];
        json_t *parameter = component("parameters", names[i]);

        ck_assert_str_eq(json_string_value(json_object_get(parameter, "name")), names[i]);
        ck_assert_msg(json_object_get(properties, names[i]) != NULL, "%s", names[i]);
        snprintf(ref, sizeof ref, "#/components/parameters/%s", names[i]);
        const char *there =
            json_string_value(json_object_get(json_array_get(parameters, i), "$ref"));
        ck_assert_str_eq(there, ref);
    }
    ck_assert_uint_eq(json_array_size(parameters), count + 1); /* traceparent */
}
END_TEST

static json_t *constant(const json_t *row, const char *member)
{
    return json_object_get(json_object_get(json_object_get(row, "properties"), member), "const");
}

START_TEST(the_problems_are_those_of_the_table)
{
    static const struct {
        int status;
        const char *type, *title;
    } table[] = {
#define ROW(kind, status, type, title) {status, type, title},
        PROBLEMS(ROW)};
    const json_t *rows = json_object_get(schema("Problem"), "anyOf");

    ck_assert_uint_eq(json_array_size(rows), sizeof table / sizeof table[0]);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const json_t *row = json_array_get(rows, i);

        ck_assert_int_eq(json_integer_value(constant(row, "status")), table[i].status);
        ck_assert_str_eq(json_string_value(constant(row, "type")), table[i].type);
        ck_assert_str_eq(json_string_value(constant(row, "title")), table[i].title);
    }
}
END_TEST

/* -- its paths and the routes ------------------------------------------------------------------ */

/* "GET, HEAD, POST" of a path of the document; HEAD goes with GET. */
static void methods_of(const json_t *path, char ret[static 64])
{
    char text[64];

    snprintf(text, sizeof text, "%s%s%s", json_object_get(path, "get") ? ", GET, HEAD" : "",
             json_object_get(path, "post") ? ", POST" : "",
             json_object_get(path, "delete") ? ", DELETE" : "");
    snprintf(ret, 64, "%s", text + strspn(text, ", "));
}

static bool is_routed(const char *path)
{
    const char *methods, *route;

    for (size_t i = 0; (route = api_route(i, &methods)); i++)
        if (strcmp(route, path) == 0 || (!strcmp(route, "/v1/batches") &&
                                         !strncmp(path, "/v1/batches/", strlen("/v1/batches/"))))
            return true;
    return false;
}

START_TEST(the_paths_and_methods_are_those_of_the_routes)
{
    json_t *paths = json_object_get(document, "paths"), *path;
    const char *name, *methods, *route;

    for (size_t i = 0; (route = api_route(i, &methods)); i++) {
        char described[64];

        ck_assert_msg(json_object_get(paths, route) != NULL, "%s is not described", route);
        methods_of(json_object_get(paths, route), described);
        ck_assert_msg(strcmp(described, methods) == 0, "%s takes %s, described is %s", route,
                      methods, described);
    }
    json_object_foreach(paths, name, path)
        ck_assert_msg(is_routed(name), "there is no route %s", name);
}
END_TEST

/* -- each operation is used -------------------------------------------------------------------- */

/* A path that has what stands in braces. */
static const char *fill(const char *template, char ret[static 64])
{
    size_t before = strcspn(template, "{");

    snprintf(ret, 64, "%.*s%s", (int)before, template, template[before] ? "127.0.0.1" : "");
    return ret;
}

static const char *upper(const char *method)
{
    return !strcmp(method, "get") ? "GET" : !strcmp(method, "post") ? "POST" : "DELETE";
}

static void each_operation(void (*run)(const char *path, const char *method, const json_t *of))
{
    json_t *paths = json_object_get(document, "paths"), *path, *operation;
    const char *name, *method;

    json_object_foreach(paths, name, path)
    {
        json_object_foreach(path, method, operation)
        {
            if (json_is_object(operation)) /* else it is what they share */
                run(name, method, operation);
        }
    }
}

static void use(const char *path, const char *method, const json_t *operation)
{
    json_t *responses = json_object_get(operation, "responses");
    char filled[64], status[16];

    fill(path, filled);
    snprintf(status, sizeof status, "%ld", ask(upper(method), filled));
    ck_assert_msg(json_object_get(responses, status) != NULL, "%s %s: %s", method, path, status);
    if (strcmp(method, "get") != 0)
        return;
    long got = answer.status;
    ck_assert_int_eq(ask("HEAD", filled), got);
    if (json_object_get(responses, "304")) {
        ck_assert_int_eq(ask_with("GET", filled, "If-None-Match: *", bytes_of(NULL, 0)), 304);
        ck_assert_int_eq(ask_with("HEAD", filled, "If-None-Match: *", bytes_of(NULL, 0)), 304);
    }
}

START_TEST(each_operation_answers_with_a_status_that_is_described)
{
    char url[128];

    snprintf(url, sizeof url, "%s/hold/1\n", origin_url(origin)); /* so that its host is known */
    int batch = daemon_open_scrape(&skimd, "", bytes_cstr(url));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    each_operation(use);
    close(batch);
}
END_TEST

START_TEST(a_daemon_that_leaves_is_not_ready)
{
    struct buffer log = {0};

    ck_assert_int_eq(daemon_stop(&skimd), 0);
    daemon_start(&skimd,
                 (const char *const[]){"--workers", "1", "--drain-delay-ms", "60000", NULL});
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    ck_assert(read_until(skimd.log, &log, "\"msg\":\"stopping\""));
    ck_assert_int_eq(ask("GET", "/readyz"), 503);
    ck_assert_int_eq(ask("HEAD", "/readyz"), 503);
    ck_assert_int_eq(ask("GET", "/healthz"), 200);
    ck_assert_int_eq(ask("GET", "/v1/status"), 200);
    buffer_free(&log); /* the teardown's SIGTERM skips the delay */
}
END_TEST

/* Where OpenAPI has `security` of an operation, it is none. */
static void ask_without_token(const char *path, const char *method, const json_t *operation)
{
    bool is_open = json_object_get(operation, "security") != NULL;
    char filled[64];

    long status = ask(upper(method), fill(path, filled));
    ck_assert_msg((status == 401) == !is_open, "%s %s: %ld", method, path, status);
    if (strcmp(method, "get") == 0)
        ck_assert_int_eq(ask("HEAD", filled), status);
}

START_TEST(without_a_token_each_operation_is_refused_unless_it_is_described_as_open)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    ck_assert_int_eq(setenv("SKIMD_TOKEN", TOKEN, 1), 0);
    daemon_start(&skimd, (const char *const[]){"--workers", "1", NULL});
    ck_assert_int_eq(unsetenv("SKIMD_TOKEN"), 0);
    each_operation(ask_without_token);
    ck_assert_int_eq(ask("GET", "/nowhere"), 401);
    ck_assert_int_eq(ask("PUT", "/v1/status"), 401);
}
END_TEST

static const struct {
    const char *query, *fields, *body; /* each @ of which is the origin's URL */
    const char *answer_type;
} batches[] = {
    {"", "Content-Type: text/plain", "# one\n@/page/1\nno url\n", "application/x-ndjson"},
    {"?fields=title,og,links&order=input&robots=off&timeout_ms=5000&retries=0",
     "Content-Type: application/x-ndjson\nAccept: application/x-ndjson",
     "\"@/page/1\"\n{\"url\": \"@/page/2\", \"id\": 17.5}\n", "application/x-ndjson"},
    {"?headers=%7B%22Accept-Language%22:%22de%22%7D&user_agent=a%20b&per_host=1",
     "Content-Type: application/jsonl", "{\"url\": \"@/page/1\", \"id\": \"x\"}\n",
     "application/x-ndjson"},
    {"?dedupe=1&any_type=on&early_stop=false&deadline_ms=60000&host_delay_ms=1",
     "Content-Type: application/ndjson", "\"@/page/1\"\n\"@/page/1\"\n", "application/x-ndjson"},
    {"", "Content-Type: application/json\nAccept: text/event-stream",
     "{\"urls\": [\"@/page/1\", {\"url\": \"@/reset\", \"id\": 1}], \"options\": {\"fields\": "
     "[\"title\", \"h1\", \"json_ld\"], \"max_redirects\": 1, \"max_page_bytes\": 100000, "
     "\"insecure\": false, \"headers\": {\"X-A\": \"b\"}}}",
     "text/event-stream"},
    {"", "Content-Type: application/json", "[\"@/page/1\"]", "application/x-ndjson"},
    {"", "Content-Type: application/x-www-form-urlencoded", "@/page/1\n", "application/x-ndjson"},
    {"", "Content-Type: application/octet-stream", "@/page/1\n", "application/x-ndjson"},
    {"?fields=title,description,canonical,lang,og,twitter,icon,feeds,robots_meta,h1,links,text,"
     "json_ld",
     "Content-Type:", "@/page/1\n", "application/x-ndjson"},
};

START_TEST(each_type_of_body_and_answer_is_taken_and_given)
{
    struct buffer body = {0};
    struct bytes rest = bytes_cstr(batches[_i].body);
    char path[256];

    while (rest.ptr) {
        struct bytes part = bytes_split(&rest, '@');
        buffer_append(&body, part.ptr, part.len);
        if (rest.ptr)
            buffer_text(&body, origin_url(origin));
    }
    snprintf(path, sizeof path, "/v1/scrape%s", batches[_i].query);
    ck_assert_int_eq(ask_with("POST", path, batches[_i].fields, buffer_bytes(&body)), 200);
    ck_assert_str_eq(client_field(&answer, "Content-Type"), batches[_i].answer_type);
    ck_assert_ptr_nonnull(strstr(answer.body.ptr, "\"type\":\"end\""));
    ck_assert_ptr_nonnull(strstr(answer.body.ptr, "\"status\":\"ok\""));
    buffer_free(&body);
}
END_TEST

START_TEST(what_is_no_operation_is_answered_as_described_too)
{
    static const char preflight[] = "Origin: https://app\nAccess-Control-Request-Method: POST";

    ck_assert_int_eq(ask("GET", "/nowhere"), 404);
    ck_assert_int_eq(ask("GET", "/v1/hosts/nobody.example"), 404);
    ck_assert_int_eq(ask("HEAD", "/v1/hosts/nobody.example"), 404);
    ck_assert_int_eq(ask("DELETE", "/v1/scrape"), 405);
    ck_assert_int_eq(ask("PROPFIND", "/healthz"), 405);
    ck_assert_int_eq(ask("ANEXTREMELYLONGMETHODTHATNOBODYHAS", "/healthz"), 501);
    ck_assert_int_eq(ask_with("OPTIONS", "/v1/scrape", preflight, bytes_of(NULL, 0)), 204);
    ck_assert_int_eq(ask_with("GET", "/healthz", "Origin: https://app", bytes_of(NULL, 0)), 200);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), "https://app");
}
END_TEST

Suite *suite_openapi(void)
{
    Suite *s = suite_create("openapi");
    TCase *tc = tcase_create("openapi");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_document_is_served_as_the_files_of_the_page_are);
    tcase_add_test(tc, the_document_has_the_version_of_the_daemon);
    tcase_add_test(tc, the_error_codes_are_those_of_the_table);
    tcase_add_test(tc, the_states_of_origins_are_those_of_the_table);
    tcase_add_test(tc, the_fields_of_pages_are_those_of_the_table);
    tcase_add_test(tc, the_options_of_batches_are_those_of_the_table);
    tcase_add_test(tc, the_problems_are_those_of_the_table);
    tcase_add_test(tc, the_paths_and_methods_are_those_of_the_routes);
    tcase_add_test(tc, each_operation_answers_with_a_status_that_is_described);
    tcase_add_test(tc, a_daemon_that_leaves_is_not_ready);
    tcase_add_test(tc, without_a_token_each_operation_is_refused_unless_it_is_described_as_open);
    tcase_add_loop_test(tc, each_type_of_body_and_answer_is_taken_and_given, 0,
                        sizeof batches / sizeof batches[0]);
    tcase_add_test(tc, what_is_no_operation_is_answered_as_described_too);
    suite_add_tcase(s, tc);
    return s;
}
