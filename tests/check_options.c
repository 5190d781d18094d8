/* What a request chooses for its batch. */
#include "server/batch/options.h"
#include "tests/check.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct config limits = {
    .per_host = 6,
    .host_delay_ms = 250,
    .timeout_ms = 30000,
    .max_page_bytes = 10485760,
    .max_redirects = 10,
    .retries = 2,
    .user_agent = "skimd/test",
    .early_stop = true,
};

/* A daemon that lets batches choose whatever there is. */
static const struct config permissive = {
    .per_host = 6,
    .timeout_ms = 30000,
    .max_page_bytes = 10485760,
    .max_redirects = 10,
    .retries = 2,
    .user_agent = "skimd/test",
    .allow_insecure = true,
    .early_stop = true,
};

static struct problem problem;

static int from_query_within(const struct config *daemon, struct batch_options *ret,
                             const char *query)
{
    options_init(ret, daemon);
    return options_from_query(ret, daemon, bytes_cstr(query), &problem);
}

static int from_query(struct batch_options *ret, const char *query)
{
    return from_query_within(&limits, ret, query);
}

static int from_json_within(const struct config *daemon, struct batch_options *ret,
                            const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

    ck_assert_msg(value != NULL, "%s in %s", error.text, text);
    options_init(ret, daemon);
    int result = options_from_json(ret, daemon, value, &problem);
    json_decref(value);
    return result;
}

static int from_json(struct batch_options *ret, const char *text)
{
    return from_json_within(&limits, ret, text);
}

/* The lines of headers that are sent, one behind the other. */
static const char *header_lines(const struct batch_options *options)
{
    static char lines[512];

    lines[0] = '\0';
    for (const struct curl_slist *line = options->headers.lines; line; line = line->next) {
        size_t used = strlen(lines);
        snprintf(lines + used, sizeof lines - used, "%s\n", line->data);
    }
    return lines;
}

/* -- what can be chosen ------------------------------------------------------------------------ */

START_TEST(a_batch_that_chooses_nothing_has_the_daemons_limits)
{
    struct batch_options options;

    ck_assert_int_eq(from_query(&options, ""), 0);
    ck_assert_uint_eq(options.fields, FIELD_BIT(FIELD_TITLE));
    ck_assert_uint_eq(options.timeout_ms, limits.timeout_ms);
    ck_assert_uint_eq(options.max_page_bytes, limits.max_page_bytes);
    ck_assert_uint_eq(options.max_redirects, limits.max_redirects);
    ck_assert_uint_eq(options.retries, limits.retries);
    ck_assert_uint_eq(options.per_host, limits.per_host);
    ck_assert_uint_eq(options.deadline_ms, 0);
    ck_assert_int_eq(options.order, ORDER_COMPLETION);
    ck_assert_uint_eq(options.host_delay_ms, limits.host_delay_ms);
    ck_assert_str_eq(options.user_agent, "skimd/test");
    ck_assert_uint_eq(options.headers.count, 0);
    ck_assert(!options.robots && !options.insecure && !options.dedupe && !options.any_type);
    ck_assert(options.early_stop);
    options_free(&options);
}
END_TEST

static void ck_chosen(const struct batch_options *options)
{
    ck_assert_uint_eq(options->fields, FIELD_BIT(FIELD_TITLE));
    ck_assert_uint_eq(options->timeout_ms, 500);
    ck_assert_uint_eq(options->max_page_bytes, 1000);
    ck_assert_uint_eq(options->max_redirects, 0);
    ck_assert_uint_eq(options->retries, 1);
    ck_assert_uint_eq(options->per_host, 2);
    ck_assert_uint_eq(options->deadline_ms, 60000);
    ck_assert_int_eq(options->order, ORDER_INPUT);
    ck_assert_str_eq(options->user_agent, "My Bot/1.0 (a&b)");
    ck_assert_uint_eq(options->host_delay_ms, 1500);
    ck_assert(options->robots && options->insecure && options->dedupe && options->any_type);
    ck_assert(!options->early_stop);
    ck_assert_uint_eq(options->headers.count, 2);
    ck_assert_str_eq(header_lines(options), "Accept-Language: de, en;q=0.5\nX-A: 1\n");
}

START_TEST(a_query_string_sets_every_option)
{
    struct batch_options options;
    int error = from_query_within(
        &permissive, &options,
        "fields=title&timeout_ms=500&max_page_bytes=1000&"
        "max_redirects=0&&retries=1&per_host=2&deadline_ms=60000&"
        "order=input&user%5Fagent=My+Bot/1.0%20(a%26b)&"
        "host_delay_ms=1500&robots=true&insecure=1&dedupe=on&any_type=TRUE&early_stop=off&"
        "headers=%7B%22Accept-Language%22:%22de,+en;q=0.5%22,%22X-A%22:%221%22%7D");

    ck_assert_msg(error == 0, "%s", problem.detail);
    ck_chosen(&options);
    options_free(&options);
    ck_assert_uint_eq(options.headers.count, 0);
}
END_TEST

START_TEST(a_json_object_sets_every_option)
{
    struct batch_options options;
    int error =
        from_json_within(&permissive, &options,
                         "{\"fields\": [\"title\"], \"timeout_ms\": 500, \"max_page_bytes\": 1000,"
                         "\"max_redirects\": 0, \"retries\": 1, \"per_host\": 2,"
                         "\"deadline_ms\": 60000, \"order\": \"input\","
                         "\"user_agent\": \"My Bot/1.0 (a&b)\", \"host_delay_ms\": 1500,"
                         "\"robots\": true, \"insecure\": true, \"dedupe\": true, \"any_type\": "
                         "true, \"early_stop\": false,"
                         "\"headers\": {\"Accept-Language\": \"de, en;q=0.5\", \"X-A\": \"1\"}}");

    ck_assert_msg(error == 0, "%s", problem.detail);
    ck_chosen(&options);
    options_free(&options);
    ck_assert_uint_eq(options.headers.count, 0);
}
END_TEST

static void ck_fields(int error, struct batch_options *options, field_set expected)
{
    ck_assert_msg(error == 0, "%s", problem.detail);
    ck_assert_uint_eq(options->fields, expected);
    options_free(options);
}

START_TEST(fields_are_any_of_those_there_are_in_any_order)
{
    struct batch_options o;
    const field_set three =
        FIELD_BIT(FIELD_TITLE) | FIELD_BIT(FIELD_OG) | FIELD_BIT(FIELD_TEXT_OF_PAGE);

    ck_fields(from_query(&o, "fields=text,og,title,og"), &o, three);
    ck_fields(from_query(&o, "fields=og%2C+text%20,title"), &o, three);
    ck_fields(from_json(&o, "{\"fields\": [\"og\", \"title\", \"text\", \"og\"]}"), &o, three);
    ck_fields(from_json(&o, "{\"fields\": \"text, title, og\"}"), &o, three);
    ck_fields(from_query(&o, "fields=links"), &o, FIELD_BIT(FIELD_LINKS));
    ck_fields(from_query(&o, "fields=title,description,canonical,lang,og,twitter,icon,feeds,"
                             "robots_meta,h1,links,text,json_ld"),
              &o, FIELDS_ALL);
}
END_TEST

/* -- mistakes ---------------------------------------------------------------------------------- */

#define KNOWN_OPTIONS                                                                              \
    "fields, timeout_ms, max_page_bytes, max_redirects, retries, per_host, host_delay_ms, "        \
    "robots, "                                                                                     \
    "user_agent, headers, insecure, dedupe, any_type, early_stop, order, deadline_ms"

#define KNOWN_FIELDS                                                                               \
    "title, description, canonical, lang, og, twitter, icon, feeds, robots_meta, h1, links, "      \
    "text, "                                                                                       \
    "json_ld"

struct option_mistake {
    const char *text;
    enum problem_kind kind;
    const char *param;
    const char *detail;
};

static const struct option_mistake query_mistakes[] = {
    {"timeout=5", PROBLEM_UNKNOWN_OPTION, "",
     "there is no option \"timeout\"; known: " KNOWN_OPTIONS},
    {"=1", PROBLEM_UNKNOWN_OPTION, "", "there is no option \"\"; known: " KNOWN_OPTIONS},
    {"=", PROBLEM_UNKNOWN_OPTION, "", "there is no option \"\"; known: " KNOWN_OPTIONS},
    {"timeout_ms=abc", PROBLEM_INVALID_OPTION, "timeout_ms",
     "timeout_ms: \"abc\" is not a whole number from 1 to 30000"},
    {"timeout_ms", PROBLEM_INVALID_OPTION, "timeout_ms",
     "timeout_ms: \"\" is not a whole number from 1 to 30000"},
    {"timeout_ms=0", PROBLEM_INVALID_OPTION, "timeout_ms",
     "timeout_ms: \"0\" is not a whole number from 1 to 30000"},
    {"timeout_ms=30001", PROBLEM_ABOVE_LIMIT, "timeout_ms",
     "timeout_ms: 30001 is above this daemon's limit of 30000 (--timeout-ms)"},
    {"retries=3", PROBLEM_ABOVE_LIMIT, "retries",
     "retries: 3 is above this daemon's limit of 2 (--retries)"},
    {"host_delay_ms=249", PROBLEM_ABOVE_LIMIT, "host_delay_ms",
     "host_delay_ms: 249 is below this daemon's limit of 250 (--host-delay-ms)"},
    {"host_delay_ms=3600001", PROBLEM_INVALID_OPTION, "host_delay_ms",
     "host_delay_ms: \"3600001\" is not a whole number from 250 to 3600000"},
    {"host_delay_ms=soon", PROBLEM_INVALID_OPTION, "host_delay_ms",
     "host_delay_ms: \"soon\" is not a whole number from 250 to 3600000"},
    {"robots=yes", PROBLEM_INVALID_OPTION, "robots", "robots: \"yes\" is not true or false"},
    {"dedupe", PROBLEM_INVALID_OPTION, "dedupe", "dedupe: \"\" is not true or false"},
    {"any_type=2", PROBLEM_INVALID_OPTION, "any_type", "any_type: \"2\" is not true or false"},
    {"robots=on&robots=on", PROBLEM_INVALID_OPTION, "robots", "robots: given more than once"},
    {"insecure=true", PROBLEM_ABOVE_LIMIT, "insecure",
     "insecure: this daemon verifies certificates in every batch (it runs without "
     "--allow-insecure)"},
    {"headers=", PROBLEM_INVALID_OPTION, "headers",
     "headers: \"\" is not an object of strings, such as {\"Accept-Language\": \"de\"}"},
    {"headers=[]", PROBLEM_INVALID_OPTION, "headers",
     "headers: \"[]\" is not an object of strings, such as {\"Accept-Language\": \"de\"}"},
    {"headers=X-A:1", PROBLEM_INVALID_OPTION, "headers",
     "headers: \"X-A:1\" is not an object of strings, such as {\"Accept-Language\": \"de\"}"},
    {"headers={\"X-A\":\"1\"}x", PROBLEM_INVALID_OPTION, "headers",
     "headers: \"{\\\"X-A\\\":\\\"1\\\"}x\" is not an object of strings, such as "
     "{\"Accept-Language\": \"de\"}"},
    {"headers={\"X-A\":1}", PROBLEM_INVALID_OPTION, "headers",
     "headers: the value of \"X-A\" is not a string"},
    {"headers={\"X-A\":\"1\",\"Host\":\"a\"}", PROBLEM_INVALID_OPTION, "headers",
     "headers: \"Host\" is set by skimd itself, from the URL"},
    {"headers={}&headers={}", PROBLEM_INVALID_OPTION, "headers", "headers: given more than once"},
    {"deadline_ms=604800001", PROBLEM_INVALID_OPTION, "deadline_ms",
     "deadline_ms: \"604800001\" is not a whole number from 1 to 604800000"},
    {"retries=1&retries=1", PROBLEM_INVALID_OPTION, "retries", "retries: given more than once"},
    {"order=random", PROBLEM_INVALID_OPTION, "order",
     "order: \"random\" is not \"completion\" or \"input\""},
    {"fields=title,price", PROBLEM_INVALID_OPTION, "fields",
     "fields: there is no field \"price\"; known: " KNOWN_FIELDS},
    {"fields=", PROBLEM_INVALID_OPTION, "fields",
     "fields: there is no field \"\"; known: " KNOWN_FIELDS},
    {"fields=title,", PROBLEM_INVALID_OPTION, "fields",
     "fields: there is no field \"\"; known: " KNOWN_FIELDS},
    {"fields=all", PROBLEM_INVALID_OPTION, "fields",
     "fields: there is no field \"all\"; known: " KNOWN_FIELDS},
    {"fields=title&fields=og", PROBLEM_INVALID_OPTION, "fields", "fields: given more than once"},
    {"user_agent=a%0D%0Ab", PROBLEM_INVALID_OPTION, "user_agent",
     "user_agent: \"a\\x0d\\x0ab\" is not a header value: 1 to 255 bytes without control "
     "characters"},
    {"user_agent=a%00b", PROBLEM_INVALID_OPTION, "user_agent",
     "user_agent: \"a\\x00b\" is not a header value: 1 to 255 bytes without control characters"},
    {"order=inpu%7", PROBLEM_INVALID_OPTION, "",
     "\"order=inpu%7\": a % stands without two hexadecimal digits"},
    {"order=%zz", PROBLEM_INVALID_OPTION, "",
     "\"order=%zz\": a % stands without two hexadecimal digits"},
};

static void ck_mistake(const struct option_mistake *mistake, int error)
{
    ck_assert_int_eq(error, -EINVAL);
    ck_assert_str_eq(problem.detail, mistake->detail);
    ck_assert_int_eq(problem.kind, mistake->kind);
    ck_assert_str_eq(problem.param, mistake->param);
    ck_assert_int_eq(problem.status, 400);
}

START_TEST(a_mistake_in_the_query_is_named_with_what_would_be_right)
{
    struct batch_options options;

    ck_mistake(&query_mistakes[_i], from_query(&options, query_mistakes[_i].text));
    options_free(&options);
}
END_TEST

static const struct option_mistake json_mistakes[] = {
    {"{\"x\": 1}", PROBLEM_UNKNOWN_OPTION, "", "there is no option \"x\"; known: " KNOWN_OPTIONS},
    {"[]", PROBLEM_INVALID_OPTION, "",
     "\"options\" must be an object, such as {\"timeout_ms\": 5000}"},
    {"{\"timeout_ms\": \"500\"}", PROBLEM_INVALID_OPTION, "timeout_ms",
     "timeout_ms: \"500\" is not a whole number from 1 to 30000"},
    {"{\"timeout_ms\": 1.5}", PROBLEM_INVALID_OPTION, "timeout_ms",
     "timeout_ms: 1.5 is not a whole number from 1 to 30000"},
    {"{\"timeout_ms\": -1}", PROBLEM_INVALID_OPTION, "timeout_ms",
     "timeout_ms: -1 is not a whole number from 1 to 30000"},
    {"{\"timeout_ms\": null}", PROBLEM_INVALID_OPTION, "timeout_ms",
     "timeout_ms: null is not a whole number from 1 to 30000"},
    {"{\"per_host\": 7}", PROBLEM_ABOVE_LIMIT, "per_host",
     "per_host: 7 is above this daemon's limit of 6 (--per-host)"},
    {"{\"host_delay_ms\": 0}", PROBLEM_ABOVE_LIMIT, "host_delay_ms",
     "host_delay_ms: 0 is below this daemon's limit of 250 (--host-delay-ms)"},
    {"{\"host_delay_ms\": -1}", PROBLEM_INVALID_OPTION, "host_delay_ms",
     "host_delay_ms: -1 is not a whole number from 250 to 3600000"},
    {"{\"robots\": 1}", PROBLEM_INVALID_OPTION, "robots", "robots: 1 is not true or false"},
    {"{\"robots\": \"true\"}", PROBLEM_INVALID_OPTION, "robots",
     "robots: \"true\" is not true or false"},
    {"{\"dedupe\": null}", PROBLEM_INVALID_OPTION, "dedupe", "dedupe: null is not true or false"},
    {"{\"insecure\": true}", PROBLEM_ABOVE_LIMIT, "insecure",
     "insecure: this daemon verifies certificates in every batch (it runs without "
     "--allow-insecure)"},
    {"{\"headers\": \"X-A: 1\"}", PROBLEM_INVALID_OPTION, "headers",
     "headers: \"X-A: 1\" is not an object of strings, such as {\"Accept-Language\": \"de\"}"},
    {"{\"headers\": [\"X-A\"]}", PROBLEM_INVALID_OPTION, "headers",
     "headers: [\"X-A\"] is not an object of strings, such as {\"Accept-Language\": \"de\"}"},
    {"{\"headers\": {\"X-A\": null}}", PROBLEM_INVALID_OPTION, "headers",
     "headers: the value of \"X-A\" is not a string"},
    {"{\"headers\": {\"X-A\": \"1\", \"content-length\": \"0\"}}", PROBLEM_INVALID_OPTION,
     "headers", "headers: \"content-length\" is about a request body, and there is none"},
    {"{\"fields\": []}", PROBLEM_INVALID_OPTION, "fields",
     "fields: [] is not an array of at least one field's name"},
    {"{\"fields\": [1]}", PROBLEM_INVALID_OPTION, "fields",
     "fields: [1] is not an array of strings"},
    {"{\"fields\": \"\"}", PROBLEM_INVALID_OPTION, "fields",
     "fields: there is no field \"\"; known: " KNOWN_FIELDS},
    {"{\"fields\": {}}", PROBLEM_INVALID_OPTION, "fields",
     "fields: {} is not an array of at least one field's name"},
    {"{\"fields\": [\"title\", \"Links\"]}", PROBLEM_INVALID_OPTION, "fields",
     "fields: there is no field \"Links\"; known: " KNOWN_FIELDS},
    {"{\"fields\": [\"title,og\"]}", PROBLEM_INVALID_OPTION, "fields",
     "fields: there is no field \"title,og\"; known: " KNOWN_FIELDS},
    {"{\"order\": 1}", PROBLEM_INVALID_OPTION, "order",
     "order: 1 is not \"completion\" or \"input\""},
    {"{\"user_agent\": \"a\\u0000b\"}", PROBLEM_INVALID_OPTION, "user_agent",
     "user_agent: \"a\\x00b\" is not a header value: 1 to 255 bytes without control characters"},
    {"{\"user_agent\": {}}", PROBLEM_INVALID_OPTION, "user_agent",
     "user_agent: {} is not a header value: 1 to 255 bytes without control characters"},
};

START_TEST(a_mistake_in_json_options_is_named_with_what_would_be_right)
{
    struct batch_options options;

    ck_mistake(&json_mistakes[_i], from_json(&options, json_mistakes[_i].text));
    options_free(&options);
}
END_TEST

START_TEST(a_user_agent_is_as_long_as_it_may_be_and_no_longer)
{
    struct batch_options options;
    char query[512] = "user_agent=";
    size_t prefix = strlen(query);

    memset(query + prefix, 'x', CONFIG_USER_AGENT_MAX);
    ck_assert_int_eq(from_query(&options, query), 0);
    ck_assert_uint_eq(strlen(options.user_agent), CONFIG_USER_AGENT_MAX);
    query[prefix + CONFIG_USER_AGENT_MAX] = 'x';
    ck_assert_int_eq(from_query(&options, query), -EINVAL);
}
END_TEST

/* -- what the daemon has a say in -------------------------------------------------------------- */

/* A daemon that obeys robots.txt and reads to the end. */
static const struct config strict = {.timeout_ms = 1, .user_agent = "a", .robots = true};

START_TEST(a_delay_may_be_as_long_as_the_daemons_or_longer)
{
    struct batch_options options;

    ck_assert_int_eq(from_query(&options, "host_delay_ms=250"), 0);
    ck_assert_uint_eq(options.host_delay_ms, 250);
    ck_assert_int_eq(from_json(&options, "{\"host_delay_ms\": 3600000}"), 0);
    ck_assert_uint_eq(options.host_delay_ms, 3600000);
}
END_TEST

START_TEST(robots_txt_cannot_be_passed_over_where_the_daemon_obeys_it)
{
    static const char *const refusals[] = {"robots=false", "robots=0", "robots=off"};
    static const char detail[] =
        "robots: this daemon obeys robots.txt in every batch (--robots on)";
    struct batch_options options;

    ck_assert_int_eq(from_query_within(&strict, &options, ""), 0);
    ck_assert(options.robots);
    ck_assert_int_eq(from_query_within(&strict, &options, "robots=true"), 0);
    ck_assert(options.robots);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        ck_mistake(&(struct option_mistake){NULL, PROBLEM_ABOVE_LIMIT, "robots", detail},
                   from_query_within(&strict, &options, refusals[i]));
    ck_mistake(&(struct option_mistake){NULL, PROBLEM_ABOVE_LIMIT, "robots", detail},
               from_json_within(&strict, &options, "{\"robots\": false}"));

    ck_assert_int_eq(from_query(&options, "robots=false"), 0);
    ck_assert(!options.robots);
}
END_TEST

START_TEST(pages_are_read_to_their_end_where_the_daemon_does)
{
    static const char detail[] =
        "early_stop: this daemon reads pages to their end in every batch (--early-stop off)";
    struct batch_options options;

    ck_assert_int_eq(from_query_within(&strict, &options, ""), 0);
    ck_assert(!options.early_stop);
    ck_assert_int_eq(from_query_within(&strict, &options, "early_stop=false"), 0);
    ck_assert(!options.early_stop);
    ck_mistake(&(struct option_mistake){NULL, PROBLEM_ABOVE_LIMIT, "early_stop", detail},
               from_query_within(&strict, &options, "early_stop=true"));

    ck_assert_int_eq(from_query(&options, "early_stop=true"), 0);
    ck_assert(options.early_stop);
}
END_TEST

START_TEST(certificates_are_verified_unless_daemon_and_batch_say_otherwise)
{
    struct batch_options options;

    ck_assert_int_eq(from_query_within(&permissive, &options, ""), 0);
    ck_assert(!options.insecure);
    ck_assert_int_eq(from_query_within(&permissive, &options, "insecure=true"), 0);
    ck_assert(options.insecure);
    ck_assert_int_eq(from_query(&options, "insecure=false"), 0);
    ck_assert(!options.insecure);
    ck_assert_int_eq(from_query(&options, "insecure=true"), -EINVAL);
}
END_TEST

/* -- headers ----------------------------------------------------------------------------------- */

START_TEST(an_empty_object_sets_no_headers)
{
    struct batch_options options;

    ck_assert_int_eq(from_query(&options, "headers={}"), 0);
    ck_assert_uint_eq(options.headers.count, 0);
    ck_assert_ptr_null(options.headers.lines);
    ck_assert_int_eq(from_json(&options, "{\"headers\": {}}"), 0);
    ck_assert_uint_eq(options.headers.count, 0);
}
END_TEST

/* What is wrong with them is header.c's to say, and tested there. */
static const struct {
    const char *text, *begin;
} bad_headers[] = {
    {"{\"headers\": {\"\": \"1\"}}", "headers: \"\" "},
    {"{\"headers\": {\"X A\": \"1\"}}", "headers: \"X A\" "},
    {"{\"headers\": {\"X-A\": \"1\\r\\nX-B: 2\"}}", "headers: \"X-A\" "},
    {"{\"headers\": {\"X-A\": \"1\\u0000\"}}", "headers: \"X-A\" "},
    {"{\"headers\": {\"X-A\": \"1\", \"x-a\": \"1\"}}", "headers: \"x-a\" "},
    {"{\"headers\": {\"X\\u202e\": \"\\r\"}}", "headers: \"X\\u202e\" "},
};

START_TEST(a_header_that_cannot_be_sent_is_named)
{
    struct batch_options options;

    ck_assert_int_eq(from_json(&options, bad_headers[_i].text), -EINVAL);
    ck_assert_int_eq(problem.kind, PROBLEM_INVALID_OPTION);
    ck_assert_str_eq(problem.param, "headers");
    ck_assert_msg(strncmp(problem.detail, bad_headers[_i].begin, strlen(bad_headers[_i].begin)) ==
                      0,
                  "%s", problem.detail);
    options_free(&options);
}
END_TEST

START_TEST(a_name_that_stands_twice_in_a_query_is_refused)
{
    struct batch_options options;

    ck_assert_int_eq(from_query(&options, "headers={\"X-A\":\"1\",\"X-A\":\"2\"}"), -EINVAL);
    ck_assert_str_eq(problem.param, "headers");
    options_free(&options);
}
END_TEST

#define ADD_LOOP(tests, test, table)                                                               \
    tcase_add_loop_test(tests, test, 0, sizeof(table) / sizeof(table)[0])

Suite *suite_options(void)
{
    Suite *suite = suite_create("options");
    TCase *choices = tcase_create("choices"), *daemon = tcase_create("the daemon's say"),
          *headers = tcase_create("headers");

    tcase_add_test(choices, a_batch_that_chooses_nothing_has_the_daemons_limits);
    tcase_add_test(choices, a_query_string_sets_every_option);
    tcase_add_test(choices, a_json_object_sets_every_option);
    tcase_add_test(choices, fields_are_any_of_those_there_are_in_any_order);
    ADD_LOOP(choices, a_mistake_in_the_query_is_named_with_what_would_be_right, query_mistakes);
    ADD_LOOP(choices, a_mistake_in_json_options_is_named_with_what_would_be_right, json_mistakes);
    tcase_add_test(choices, a_user_agent_is_as_long_as_it_may_be_and_no_longer);
    suite_add_tcase(suite, choices);

    tcase_add_test(daemon, a_delay_may_be_as_long_as_the_daemons_or_longer);
    tcase_add_test(daemon, robots_txt_cannot_be_passed_over_where_the_daemon_obeys_it);
    tcase_add_test(daemon, pages_are_read_to_their_end_where_the_daemon_does);
    tcase_add_test(daemon, certificates_are_verified_unless_daemon_and_batch_say_otherwise);
    suite_add_tcase(suite, daemon);

    tcase_add_test(headers, an_empty_object_sets_no_headers);
    ADD_LOOP(headers, a_header_that_cannot_be_sent_is_named, bad_headers);
    tcase_add_test(headers, a_name_that_stands_twice_in_a_query_is_refused);
    suite_add_tcase(suite, headers);
    return suite;
}
