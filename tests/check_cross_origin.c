/*
 * What browsers may send where callers need no token: the rules, and the daemon's answers.
 */
#include "server/access/cross_origin.h"
#include "tests/check.h"
#include "tests/support/client.h"
#include "tests/support/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN  "127.0.0.1:8080"
#define SELF "http://127.0.0.1:8080"
#define APP  "https://app.example"
#define EVIL "https://evil.example"

/* -- the rules --------------------------------------------------------------------------------- */

static struct problem refusal;

/* A list of texts as a configuration has it. */
static char *const *list_of(const char *const *texts)
{
    union {
        const char *const *constant;
        char *const *given;
    } list = {.constant = texts};

    return list.given;
}

static bool goes_on(const struct cross_origin *rules, const char *const request[static 6])
{
    refusal = (struct problem){0};
    return cross_origin_check(rules,
                              &(struct cross_origin_request){
                                  .method = bytes_cstr(request[0]),
                                  .host = bytes_cstr(request[1]),
                                  .origin = bytes_cstr(request[2]),
                                  .site = bytes_cstr(request[3]),
                                  .mode = bytes_cstr(request[4]),
                                  .destination = bytes_cstr(request[5]),
                              },
                              &refusal);
}

static const struct {
    const char *request[6];         /* method, Host, Origin, Sec-Fetch-Site, -Mode, -Dest */
    bool plain, with_app, with_all; /* may it go on: without CORS, with that of APP, with "*" */
} requests[] = {
    /* No browser. */
    {{"POST", OWN}, true, true, true},
    {{"POST", NULL}, true, true, true}, /* HTTP/1.0 */
    {{"DELETE", OWN}, true, true, true},
    /* The daemon's own page, and people. */
    {{"POST", OWN, SELF, "same-origin", "cors", "empty"}, true, true, true},
    {{"GET", OWN, NULL, "none", "navigate", "document"}, true, true, true},
    /* ... through a proxy that gives Host a value of its own. */
    {{"POST", OWN, "https://scraper.example", "same-origin", "cors", "empty"}, true, true, true},
    /* Pages of others: fetch(), a form, an image, a script. */
    {{"POST", OWN, EVIL, "cross-site", "no-cors", "empty"}, false, false, true},
    {{"POST", OWN, EVIL, "cross-site", "navigate", "document"}, false, false, true},
    {{"GET", OWN, NULL, "cross-site", "no-cors", "image"}, false, false, true},
    {{"GET", OWN, EVIL, "cross-site", "cors", "script"}, false, false, true},
    {{"DELETE", OWN, EVIL, "cross-site", "cors", "empty"}, false, false, true},
    {{"POST", OWN, "null", "cross-site", "cors", "empty"}, false, false, true},
    {{"POST", OWN, "http://localhost:3000", "same-site", "cors", "empty"}, false, false, true},
    {{"POST", OWN, NULL, "same-planet", NULL, NULL}, false, false, true},
    {{"POST", OWN, NULL, "", NULL, NULL}, false, false, true},
    {{"POST", OWN, APP, "cross-site", "cors", "empty"}, false, true, true},
    /* A link leads here, a frame does not. */
    {{"GET", OWN, NULL, "cross-site", "navigate", "document"}, true, true, true},
    {{"GET", OWN, NULL, "cross-site", "navigate", "iframe"}, false, false, true},
    /* What asks whether it may is told by CORS. */
    {{"OPTIONS", OWN, EVIL, "cross-site", "cors", "empty"}, true, true, true},
    /* Browsers that say Origin alone. */
    {{"POST", OWN, SELF}, true, true, true},
    {{"POST", "LOCALHOST:8080", "http://localhost:8080"}, true, true, true},
    {{"POST", "[::1]:8080", "http://[::1]:8080"}, true, true, true},
    {{"POST", "localhost", "https://localhost"}, true, true, true},
    {{"POST", OWN, EVIL}, false, false, true},
    {{"POST", OWN, "null"}, false, false, true},
    {{"POST", OWN, ""}, false, false, true},
    {{"POST", OWN, "http://127.0.0.1:3000"}, false, false, true},
    {{"POST", OWN, OWN}, false, false, true},
    {{"POST", OWN, "http:127.0.0.1:8080"}, false, false, true},
    {{"POST", NULL, EVIL}, false, false, true},
    {{"POST", OWN, APP}, false, true, true},
};

START_TEST(a_page_of_another_origin_is_refused_unless_cors_allows_it)
{
    static const char *const app[] = {APP, NULL}, *const all[] = {APP, "*", NULL};
    const char *const *request = requests[_i].request;

    ck_assert_int_eq(goes_on(&(struct cross_origin){0}, request), requests[_i].plain);
    if (!requests[_i].plain)
        ck_assert_int_eq(refusal.status, 403);
    ck_assert_int_eq(goes_on(&(struct cross_origin){.cors = {list_of(app), 1}}, request),
                     requests[_i].with_app);
    ck_assert_int_eq(goes_on(&(struct cross_origin){.cors = {list_of(all), 2}}, request),
                     requests[_i].with_all);
}
END_TEST

START_TEST(a_refusal_says_who_sent_it_and_what_would_allow_it)
{
    ck_assert(!goes_on(&(struct cross_origin){0},
                       (const char *const[6]){"POST", OWN, EVIL, "cross-site"}));
    ck_assert_str_eq(refusal.detail,
                     "A web page of \"" EVIL "\" sent this; without tokens those of other origins "
                     "may not, but for --cors-origin.");
    ck_assert(!goes_on(&(struct cross_origin){0},
                       (const char *const[6]){"GET", OWN, NULL, "cross-site"}));
    ck_assert_ptr_nonnull(strstr(refusal.detail, "A web page of another origin sent this;"));
    ck_assert(!goes_on(&(struct cross_origin){0}, (const char *const[6]){"GET", "evil.example"}));
    ck_assert_ptr_nonnull(strstr(refusal.detail, "--allow-host, not to \"evil.example\"."));
}
END_TEST

static const struct {
    const char *host;
    bool goes_on;
} hosts[] = {
    {"localhost", true},
    {"localhost:8080", true},
    {"LocalHost:1", true},
    {"127.0.0.1", true},
    {"127.9.9.9:8080", true},
    {"192.0.2.1:8080", true}, /* forwarded: whose page says so was loaded from there */
    {"[::1]", true},
    {"[::1]:8080", true},
    {"scraper.lan", true},
    {"Scraper.LAN:8080", true},
    {"", false},
    {":8080", false},
    {"evil.example", false},
    {"evil.example:8080", false},
    {"localhost.evil.example", false},
    {"notlocalhost", false},
    {"127.0.0.1.evil.example", false},
    {"127.0.0.1evil", false},
    {"a.scraper.lan", false},
    {"scraper.la", false},
    {"::1", false},
    {"[evil.example]", false},
    {"[127.0.0.1]", false},
    {"[]", false},
};

START_TEST(a_name_that_may_lead_elsewhere_is_refused_on_loopback)
{
    static const char *const names[] = {"a.example", "scraper.lan"};
    const struct cross_origin rules = {.hosts = list_of(names), .host_count = 2};
    /* What DNS rebinding looks like: to the browser it is the same origin. */
    const char *const request[6] = {"POST", hosts[_i].host, NULL, "same-origin", "cors", "empty"};

    ck_assert_msg(goes_on(&rules, request) == hosts[_i].goes_on, "%s", hosts[_i].host);
}
END_TEST

START_TEST(elsewhere_names_are_looked_at_only_where_some_were_given)
{
    static const char *const names[] = {"scraper.lan"};
    const char *const lan[6] = {"POST", "scraper.lan"}, *const other[6] = {"POST", "other.lan"};

    ck_assert(goes_on(&(struct cross_origin){.any_host = true}, other));
    ck_assert(!goes_on(
        &(struct cross_origin){.any_host = true, .hosts = list_of(names), .host_count = 1}, other));
    ck_assert(goes_on(
        &(struct cross_origin){.any_host = true, .hosts = list_of(names), .host_count = 1}, lan));
}
END_TEST

START_TEST(a_host_is_given_by_its_name_alone)
{
    static const char *const good[] = {"scraper", "scraper.example", "A-1.b_c.example"},
                             *const bad[] = {
                                 "",  "a:80", "http://a",         "a/b",         "[::1]",
                                 "*", "a b",  "\xc3\xa4.example", "a\nb.example"};
    char too_long[255];

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(host_name_valid(bytes_cstr(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!host_name_valid(bytes_cstr(bad[i])), "%s", bad[i]);
    memset(too_long, 'a', sizeof too_long);
    ck_assert(host_name_valid(bytes_of(too_long, 253)));
    ck_assert(!host_name_valid(bytes_of(too_long, 254)));
}
END_TEST

/* -- the daemon -------------------------------------------------------------------------------- */

static struct daemon skimd;
static struct client_answer answer;

static void start(const char *option, const char *value)
{
    daemon_start(&skimd, (const char *const[]){"--workers", "1", option, value, NULL});
}

static void stop(void)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    client_free(&answer);
}

static long ask(const char *method, const char *path, const char *fields)
{
    client_free(&answer);
    client_ask(&(struct client_request){.method = method,
                                        .url = skimd.url,
                                        .path = path,
                                        .fields = fields,
                                        .body = strcmp(method, "POST") == 0 ? BYTES("invalid\n")
                                                                            : bytes_of(NULL, 0)},
               &answer);
    return answer.status;
}

#define FROM(origin) "Origin: " origin "\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: cors"

START_TEST(a_page_of_another_origin_starts_no_batch)
{
    start(NULL, NULL);
    ck_assert_int_eq(ask("POST", "/v1/scrape", FROM(EVIL)), 403);
    ck_assert_str_eq(client_field(&answer, "Content-Type"), PROBLEM_CONTENT_TYPE);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), "");
    ck_assert_ptr_nonnull(strstr(answer.body.ptr, "\"title\":\"Forbidden\""));
    ck_assert_int_eq(ask("POST", "/v1/scrape", "Origin: " EVIL), 403);
    ck_assert_int_eq(ask("GET", "/v1/hosts/a.example", "Sec-Fetch-Site: cross-site"), 403);
    ck_assert_int_eq(ask("GET", "/nothing", "Sec-Fetch-Site: cross-site"), 403);
    ck_assert_int_eq(ask("GET", "/v1/status", NULL), 200);
    ck_assert_ptr_nonnull(strstr(answer.body.ptr, "\"batches\":{\"started\":0,"));
}
END_TEST

START_TEST(curl_and_the_own_page_start_batches)
{
    char fields[160];

    start(NULL, NULL);
    ck_assert_int_eq(ask("POST", "/v1/scrape", NULL), 200);
    snprintf(fields, sizeof fields, "Origin: %s\nSec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors",
             skimd.url);
    ck_assert_int_eq(ask("POST", "/v1/scrape", fields), 200);
    snprintf(fields, sizeof fields, "Origin: %s", skimd.url);
    ck_assert_int_eq(ask("POST", "/v1/scrape", fields), 200);
    ck_assert_int_eq(
        ask("GET", "/",
            "Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"),
        200);
}
END_TEST

START_TEST(what_cors_allows_goes_on_and_is_answered_as_before)
{
    start("--cors-origin", APP);
    ck_assert_int_eq(ask("POST", "/v1/scrape", FROM(APP)), 200);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), APP);
    ck_assert_int_eq(ask("POST", "/v1/scrape", FROM(EVIL)), 403);
    ck_assert_str_eq(client_field(&answer, "Vary"), "Origin");
    ck_assert_int_eq(
        ask("OPTIONS", "/v1/scrape", FROM(EVIL) "\nAccess-Control-Request-Method: POST"), 204);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), "");
}
END_TEST

START_TEST(a_preflight_without_cors_is_a_method_that_is_not_there)
{
    start(NULL, NULL);
    ck_assert_int_eq(
        ask("OPTIONS", "/v1/scrape", FROM(EVIL) "\nAccess-Control-Request-Method: POST"), 405);
    ck_assert_str_eq(client_field(&answer, "Access-Control-Allow-Origin"), "");
}
END_TEST

START_TEST(a_name_that_was_led_here_is_refused_but_for_health_checks)
{
    start("--allow-host", "scraper.lan,Other.LAN");
    ck_assert_int_eq(ask("POST", "/v1/scrape", "Host: evil.example:8080"), 403);
    ck_assert_int_eq(ask("GET", "/v1/status", "Host: evil.example"), 403);
    ck_assert_int_eq(ask("GET", "/", "Host: evil.example"), 403);
    ck_assert_int_eq(ask("GET", "/v1/status", "Host: localhost"), 200);
    ck_assert_int_eq(ask("GET", "/v1/status", "Host: scraper.lan:8080"), 200);
    ck_assert_int_eq(ask("GET", "/v1/status", "Host: other.lan"), 200);
    ck_assert_int_eq(ask("GET", "/healthz", "Host: evil.example"), 200);
    ck_assert_int_eq(ask("GET", "/readyz", "Host: evil.example"), 200);
}
END_TEST

START_TEST(with_tokens_the_token_is_the_guard)
{
    ck_assert_int_eq(setenv("SKIMD_TOKEN", "first-token-0123456789", 1), 0);
    start("--allow-host", "scraper.lan");
    ck_assert_int_eq(unsetenv("SKIMD_TOKEN"), 0);
    ck_assert_int_eq(ask("POST", "/v1/scrape",
                         FROM(EVIL) "\nHost: evil.example\n"
                                    "Authorization: Bearer first-token-0123456789"),
                     200);
    ck_assert_int_eq(ask("POST", "/v1/scrape", FROM(EVIL)), 401);
}
END_TEST

START_TEST(who_listens_for_all_is_called_by_any_name)
{
    daemon_start(&skimd, (const char *const[]){"--workers", "1", "--listen", "0.0.0.0:0",
                                               "--insecure-no-auth", NULL});
    ck_assert_int_eq(ask("GET", "/v1/status", "Host: scraper.lan"), 200);
    ck_assert_int_eq(ask("POST", "/v1/scrape", FROM(EVIL) "\nHost: scraper.lan"), 403);
}
END_TEST

Suite *suite_cross_origin(void)
{
    Suite *s = suite_create("cross_origin");
    TCase *rules = tcase_create("rules"), *daemon = tcase_create("daemon");

    tcase_add_loop_test(rules, a_page_of_another_origin_is_refused_unless_cors_allows_it, 0,
                        sizeof requests / sizeof requests[0]);
    tcase_add_test(rules, a_refusal_says_who_sent_it_and_what_would_allow_it);
    tcase_add_loop_test(rules, a_name_that_may_lead_elsewhere_is_refused_on_loopback, 0,
                        sizeof hosts / sizeof hosts[0]);
    tcase_add_test(rules, elsewhere_names_are_looked_at_only_where_some_were_given);
    tcase_add_test(rules, a_host_is_given_by_its_name_alone);
    suite_add_tcase(s, rules);

    tcase_add_checked_fixture(daemon, NULL, stop);
    tcase_set_timeout(daemon, 60);
    tcase_add_test(daemon, a_page_of_another_origin_starts_no_batch);
    tcase_add_test(daemon, curl_and_the_own_page_start_batches);
    tcase_add_test(daemon, what_cors_allows_goes_on_and_is_answered_as_before);
    tcase_add_test(daemon, a_preflight_without_cors_is_a_method_that_is_not_there);
    tcase_add_test(daemon, a_name_that_was_led_here_is_refused_but_for_health_checks);
    tcase_add_test(daemon, with_tokens_the_token_is_the_guard);
    tcase_add_test(daemon, who_listens_for_all_is_called_by_any_name);
    suite_add_tcase(s, daemon);
    return s;
}
