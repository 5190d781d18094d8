/*
 * What browsers are told about pages of other origins: the rules, and the daemon's answers.
 */
#include "server/access/cors.h"
#include "tests/check.h"
#include "tests/support/client.h"
#include "tests/support/daemon.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN "first-token-0123456789"
#define APP   "https://app.example"

static const char *const good_origins[] = {
    "*",
    APP,
    "http://localhost:3000",
    "http://127.0.0.1:8000",
    "https://[2001:db8::1]",
    "https://[2001:db8::1]:8443",
    "moz-extension://5d3f-01",
};

START_TEST(an_origin_is_written_as_browsers_send_it)
{
    ck_assert(cors_origin_valid(bytes_cstr(good_origins[_i])));
}
END_TEST

static const char *const bad_origins[] = {
    "",
    "null",
    "app.example",
    "https://",
    "https:///",
    "https://app.example/",
    "https://App.example",
    "HTTPS://app.example",
    "https://app.example:",
    "https://app.example:443",
    "http://app.example:80",
    "https://app.example:x",
    "https://app.example:080",
    "https://app.example:123456",
    "https://*.app.example",
    "https://[::1",
    "https://[::1]8",
    "https://[]",
    "https://a b",
    "https://u@app.example",
    "https://app.example\r\nX: y",
};

START_TEST(what_browsers_never_send_is_no_origin)
{
    ck_assert_msg(!cors_origin_valid(bytes_cstr(bad_origins[_i])), "%s", bad_origins[_i]);
}
END_TEST

/* The fields for a request of `origin`, in one text. */
static const char *fields_for(const char *const *origins, size_t count, const char *origin)
{
    static char text[1024];
    union {
        const char *const *constant;
        char *const *given;
    } list = {.constant = origins};
    struct cors cors = {list.given, count};
    struct http_field fields[HTTP_FIELDS_MOST];
    size_t n = cors_fields(&cors, bytes_cstr(origin), fields);

    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        strncat(text, fields[i].name, sizeof text - strlen(text) - 1);
        strncat(text, ": ", sizeof text - strlen(text) - 1);
        strncat(text, fields[i].value, sizeof text - strlen(text) - 1);
        strncat(text, "\n", sizeof text - strlen(text) - 1);
    }
    return text;
}

START_TEST(only_the_origins_that_were_named_may_read)
{
    static const char *const two[] = {APP, "http://localhost:3000"};
    static const char *const all[] = {APP, "*"};

    ck_assert_str_eq(fields_for(two, 0, APP), "");
    ck_assert_str_eq(fields_for(two, 2, NULL), "Vary: Origin\n");
    ck_assert_str_eq(fields_for(two, 2, "https://app.example.evil.example"), "Vary: Origin\n");
    ck_assert_str_eq(fields_for(two, 2, "https://app.exampl"), "Vary: Origin\n");
    ck_assert_str_eq(fields_for(two, 2, "null"), "Vary: Origin\n");
    ck_assert_str_eq(fields_for(two, 2, "http://localhost:3000"),
                     "Vary: Origin\nAccess-Control-Allow-Origin: http://localhost:3000\n"
                     "Access-Control-Expose-Headers: Location, Retry-After, WWW-Authenticate\n");
    ck_assert_str_eq(fields_for(all, 2, APP),
                     "Access-Control-Allow-Origin: *\n"
                     "Access-Control-Expose-Headers: Location, Retry-After, WWW-Authenticate\n");
}
END_TEST

/* -- the daemon -------------------------------------------------------------------------------- */

static struct daemon skimd;
static struct client_answer answer;

static void start(const char *origin)
{
    ck_assert_int_eq(setenv("SKIMD_TOKEN", TOKEN, 1), 0);
    daemon_start(&skimd, (const char *const[]){"--workers", "1", origin ? "--cors-origin" : NULL,
                                               origin, NULL});
    ck_assert_int_eq(unsetenv("SKIMD_TOKEN"), 0);
}

static void stop(void)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    client_free(&answer);
}

static long ask(const char *method, const char *path, const char *fields, struct bytes body)
{
    client_free(&answer);
    client_ask(
        &(struct client_request){
            .method = method, .url = skimd.url, .path = path, .fields = fields, .body = body},
        &answer);
    return answer.status;
}

#define PREFLIGHT(origin)                                                                          \
    "Origin: " origin "\nAccess-Control-Request-Method: POST\n"                                    \
    "Access-Control-Request-Headers: authorization,content-type"

START_TEST(a_preflight_is_answered_without_a_token)
{
    start(APP);
    ck_assert_int_eq(ask("OPTIONS", "/v1/scrape", PREFLIGHT(APP), bytes_of(NULL, 0)), 204);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), APP);
    ck_assert_ptr_nonnull(strstr(client_field(&answer, "Access-Control-Allow-Methods"), "POST"));
    ck_assert_ptr_nonnull(
        strstr(client_field(&answer, "Access-Control-Allow-Headers"), "Authorization"));
    ck_assert_str_eq(client_field(&answer, "Vary"), "Origin");
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Credentials"), "");
    ck_assert_str_eq(client_field(&answer, "Content-Type"), "");
    ck_assert_uint_eq(answer.body.len, 0);
}
END_TEST

START_TEST(a_preflight_of_another_origin_allows_nothing)
{
    start(APP);
    ck_assert_int_eq(
        ask("OPTIONS", "/v1/scrape", PREFLIGHT("https://evil.example"), bytes_of(NULL, 0)), 204);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), "");
    ck_assert_str_eq(client_field(&answer, "Vary"), "Origin");
}
END_TEST

START_TEST(streams_refusals_and_health_may_be_read)
{
    start(APP);
    ck_assert_int_eq(ask("GET", "/healthz", "Origin: " APP, bytes_of(NULL, 0)), 200);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), APP);
    ck_assert_int_eq(ask("POST", "/v1/scrape", "Origin: " APP, BYTES("x")), 401);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), APP);
    ck_assert_ptr_nonnull(
        strstr(client_field(&answer, "Access-Control-Expose-Headers"), "WWW-Authenticate"));
    ck_assert_int_eq(ask("POST", "/v1/scrape",
                         "Origin: " APP "\nContent-Type: text/plain\nAuthorization: Bearer " TOKEN,
                         BYTES("http://127.0.0.1/\n")),
                     200);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), APP);
    ck_assert_str_eq(client_field(&answer, "Vary"), "Origin");
}
END_TEST

START_TEST(without_the_option_there_is_no_cors)
{
    start(NULL);
    ck_assert_int_eq(ask("OPTIONS", "/v1/scrape", PREFLIGHT(APP), bytes_of(NULL, 0)), 401);
    ck_assert_int_eq(ask("GET", "/healthz", "Origin: " APP, bytes_of(NULL, 0)), 200);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), "");
    ck_assert_str_eq(client_field(&answer, "Vary"), "");
}
END_TEST

START_TEST(an_options_request_that_is_no_preflight_needs_a_token)
{
    start("*");
    ck_assert_int_eq(ask("OPTIONS", "/v1/scrape", "Origin: " APP, bytes_of(NULL, 0)), 401);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), "*");
    ck_assert_int_eq(
        ask("OPTIONS", "/v1/scrape", "Authorization: Bearer " TOKEN, bytes_of(NULL, 0)), 405);
    ck_assert_int_eq(ask("POST", "/v1/scrape", PREFLIGHT(APP), BYTES("x")), 401);
}
END_TEST

START_TEST(a_large_body_is_taken_of_nobody_without_a_token)
{
    static char large[65 << 10];

    memset(large, 'x', sizeof large);
    start(APP);
    ck_assert_int_eq(ask("GET", "/healthz", NULL, bytes_of(large, sizeof large)), 413);
    ck_assert_int_eq(ask("OPTIONS", "/", PREFLIGHT(APP), bytes_of(large, sizeof large)), 413);
}
END_TEST

Suite *suite_cors(void)
{
    Suite *s = suite_create("cors");
    TCase *rules = tcase_create("rules"), *daemon = tcase_create("daemon");

    tcase_add_loop_test(rules, an_origin_is_written_as_browsers_send_it, 0,
                        sizeof good_origins / sizeof good_origins[0]);
    tcase_add_loop_test(rules, what_browsers_never_send_is_no_origin, 0,
                        sizeof bad_origins / sizeof bad_origins[0]);
    tcase_add_test(rules, only_the_origins_that_were_named_may_read);
    suite_add_tcase(s, rules);

    tcase_add_checked_fixture(daemon, NULL, stop);
    tcase_set_timeout(daemon, 60);
    tcase_add_test(daemon, a_preflight_is_answered_without_a_token);
    tcase_add_test(daemon, a_preflight_of_another_origin_allows_nothing);
    tcase_add_test(daemon, streams_refusals_and_health_may_be_read);
    tcase_add_test(daemon, without_the_option_there_is_no_cors);
    tcase_add_test(daemon, an_options_request_that_is_no_preflight_needs_a_token);
    tcase_add_test(daemon, a_large_body_is_taken_of_nobody_without_a_token);
    suite_add_tcase(s, daemon);
    return s;
}
