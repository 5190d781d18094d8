/* What the body of a request says. */
#include "server/batch/intake.h"
#include "server/batch/options.h"
#include "tests/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct config limits = {
    .per_host = 6,
    .timeout_ms = 30000,
    .max_page_bytes = 10485760,
    .max_redirects = 10,
    .retries = 2,
    .user_agent = "skimd/test",
    .max_batch_urls = 1000,
    .max_body_bytes = 1 << 24,
};

static struct problem problem;

/* -- intake ------------------------------------------------------------------------------------ */

static struct url_list list;
static struct batch_options options;

/*
 * Gives `text` to the intake in memory that ends where the text ends, so that ASan sees a read too
 * far. After a success `list` is the caller's to free.
 */
static int intake_of(const char *type, struct bytes text, const struct config *config)
{
    struct buffer body = {.ptr = malloc(text.len ? text.len : 1), text.len, text.len, false};

    ck_assert_ptr_nonnull(body.ptr);
    if (text.len > 0)
        memcpy(body.ptr, text.ptr, text.len);
    options_free(&options); /* those of the call before */
    options_init(&options, config);
    int error = intake_parse(&body, bytes_cstr(type), config, &options, &list, &problem);
    ck_assert_uint_eq(body.len, error == 0 ? 0 : text.len);
    buffer_free(&body);
    return error;
}

static void ck_urls(const char *type, struct bytes text, const char *const *expected)
{
    size_t count = 0;
    int error = intake_of(type, text, &limits);

    ck_assert_msg(error == 0, "%s", problem.detail);
    for (; expected[count]; count++) {
        ck_assert_uint_lt(count, list.count);
        struct bytes url = url_list_url(&list, count);
        ck_assert_msg(bytes_equal(url, bytes_cstr(expected[count])), "%zu: %.*s", count,
                      (int)url.len, url.ptr);
    }
    ck_assert_uint_eq(list.count, count);
    url_list_free(&list);
}

static void ck_id(size_t index, const char *expected)
{
    struct bytes id = url_list_id(&list, index);

    ck_assert_msg(bytes_equal(id, bytes_cstr(expected)), "%.*s", (int)id.len, id.ptr);
}

#define URLS(...) ((const char *const[]){__VA_ARGS__, NULL})

START_TEST(text_has_one_url_a_line)
{
    ck_urls("text/plain", BYTES("http://a/\nhttp://b/"), URLS("http://a/", "http://b/"));
    ck_urls("text/plain; charset=utf-8", BYTES("\r\n# no\r\n\t http://a/ \r\n  #no\n\nx y\n"),
            URLS("http://a/", "x y"));
    ck_urls("TEXT/Plain", BYTES("\xEF\xBB\xBFhttp://a/#x\n"), URLS("http://a/#x"));
    /* The type decides: what looks like JSON is a bad URL, which fails alone. */
    ck_urls("text/plain", BYTES("{\"urls\":[]}\n"), URLS("{\"urls\":[]}"));
}
END_TEST

START_TEST(any_byte_of_a_text_url_is_kept)
{
    ck_assert_int_eq(intake_of("text/plain", BYTES("a\0b\n\xFF\n"), &limits), 0);
    ck_assert_uint_eq(list.count, 2);
    ck_assert(bytes_equal(url_list_url(&list, 0), BYTES("a\0b")));
    ck_assert(bytes_equal(url_list_url(&list, 1), BYTES("\xFF")));
    ck_assert_uint_eq(url_list_id(&list, 0).len, 0);
    url_list_free(&list);
}
END_TEST

static const char *const ndjson_types[] = {"application/x-ndjson", "application/jsonl",
                                           "application/ndjson; charset=utf-8"};

START_TEST(ndjson_has_one_item_a_line)
{
    ck_urls(ndjson_types[_i],
            BYTES("\xEF\xBB\xBF\"http://a/\"\r\n\n {\"url\": \"http://b/\", \"id\": 1} \n\"\""),
            URLS("http://a/", "http://b/", ""));
}
END_TEST

START_TEST(json_is_an_object_with_urls_or_an_array)
{
    ck_urls("application/json", BYTES(" {\"urls\" : [\"http://a/\" , {\"url\":\"http://b/\"}]}\n"),
            URLS("http://a/", "http://b/"));
    ck_urls("application/json", BYTES("\xEF\xBB\xBF[\"http://a/\",\n\"http://b/\"]"),
            URLS("http://a/", "http://b/"));
    ck_urls("application/json", BYTES("{\"options\":{\"retries\":1},\"urls\":[\"\\u0061\\/\"]}"),
            URLS("a/"));
    ck_assert_uint_eq(options.retries, 1);
    ck_urls("application/json", BYTES("{\"urls\":[\"x\"],\"options\":{\"order\":\"input\"}}"),
            URLS("x"));
    ck_assert_int_eq(options.order, ORDER_INPUT);
}
END_TEST

static const char *const useless_types[] = {"", "application/x-www-form-urlencoded",
                                            "application/octet-stream"};

START_TEST(without_a_useful_type_the_first_byte_decides)
{
    const char *type = useless_types[_i];

    ck_urls(type, BYTES("http://a/\n# x\nhttp://b/\n"), URLS("http://a/", "http://b/"));
    ck_urls(type, BYTES("# list\n\"quoted\"\n"), URLS("\"quoted\""));
    ck_urls(type, BYTES("\n \"http://a/\"\n\"b\"\n"), URLS("http://a/", "b"));
    ck_urls(type, BYTES(" [\"http://a/\"]"), URLS("http://a/"));
    ck_urls(type, BYTES("{\"urls\":[\"http://a/\"]}"), URLS("http://a/"));
    ck_urls(type, BYTES("{\n \"options\": {},\n \"urls\": [\"b\"]\n}\n"), URLS("b"));
    ck_urls(type, BYTES("{\"url\":\"http://a/\"}"), URLS("http://a/"));
    ck_urls(type, BYTES("\xEF\xBB\xBF{\"id\":1,\"url\":\"a\"}\n\"b\"\n"), URLS("a", "b"));
}
END_TEST

START_TEST(a_nul_in_a_json_url_is_kept)
{
    ck_assert_int_eq(intake_of("application/json", BYTES("[\"a\\u0000b\"]"), &limits), 0);
    ck_assert(bytes_equal(url_list_url(&list, 0), BYTES("a\0b")));
    url_list_free(&list);
}
END_TEST

START_TEST(an_id_is_kept_as_json_on_one_line)
{
    ck_assert_int_eq(
        intake_of(
            "application/json",
            BYTES("[\"u\", {\"url\":\"v\",\"id\":\"a\\n\\\"\\u0000\"}, {\"id\":-7,\"url\":\"\"},"
                  "{\"url\":\"w\",\"id\":0.1}, {\"url\":\"x\",\"id\":1e300},"
                  "{\"url\":\"y\",\"id\":9223372036854775807}, {\"url\":\"z\",\"id\":\"\"},"
                  "{\"url\":\"r\",\"id\":0.30000000000000004}]"),
            &limits),
        0);
    ck_id(0, "");
    ck_id(1, "\"a\\n\\\"\\u0000\"");
    ck_id(2, "-7");
    ck_id(3, "0.1");
    ck_id(4, "1e+300");
    ck_id(5, "9223372036854775807");
    ck_id(6, "\"\"");
    ck_id(7, "0.30000000000000004");
    ck_assert(bytes_equal(url_list_url(&list, 2), BYTES("")));
    ck_assert(bytes_equal(url_list_url(&list, 7), BYTES("r")));
    url_list_free(&list);
}
END_TEST

#define TEXT   "text/plain"
#define NDJSON "application/x-ndjson"
#define JSON   "application/json"

static const struct {
    const char *type;
    struct bytes body;
    enum problem_kind kind;
    const char *detail;
} mistakes[] = {
    /* Nothing in it. */
    {TEXT, BYTES(""), PROBLEM_NO_URLS, "the body is empty"},
    {TEXT, BYTES("\n# x\n"), PROBLEM_NO_URLS, "the body has no URLs"},
    {TEXT, BYTES("\xEF\xBB\xBF"), PROBLEM_NO_URLS, "the body has no URLs"},
    {"", BYTES(" \n"), PROBLEM_NO_URLS, "the body has no URLs"},
    {NDJSON, BYTES("\n\n"), PROBLEM_NO_URLS, "the body has no URLs"},
    {JSON, BYTES("[]"), PROBLEM_NO_URLS, "the body has no URLs"},
    {JSON, BYTES("{\"urls\": [ ]}"), PROBLEM_NO_URLS, "the body has no URLs"},
    {JSON, BYTES("{}"), PROBLEM_NO_URLS, "the object has no \"urls\""},
    {JSON, BYTES("{\"options\":{}}"), PROBLEM_NO_URLS, "the object has no \"urls\""},
    /* Another type. */
    {"text/html", BYTES("x"), PROBLEM_UNSUPPORTED_MEDIA_TYPE,
     "the body's type is \"text/html\"; accepted: text/plain, application/x-ndjson, "
     "application/json"},
    {"multipart/form-data; boundary=x", BYTES("x"), PROBLEM_UNSUPPORTED_MEDIA_TYPE,
     "the body's type is \"multipart/form-data\"; accepted: text/plain, application/x-ndjson, "
     "application/json"},
    /* A file that was to be unpacked, of whatever type. */
    {"text/plain", BYTES("\x1F\x8B\x08\x00"), PROBLEM_UNSUPPORTED_MEDIA_TYPE,
     "the body is compressed with gzip; bodies are taken as they are"},
    {"", BYTES("\x1F\x8B\x08\x00"), PROBLEM_UNSUPPORTED_MEDIA_TYPE,
     "the body is compressed with gzip; bodies are taken as they are"},
    /* Malformed JSON. */
    {JSON, BYTES("[\"a\",\n  \"b\" \"c\"]"), PROBLEM_MALFORMED_BODY,
     "line 2, column 7: \",\" or \"]\" was expected"},
    {JSON, BYTES("[\"a\",]"), PROBLEM_MALFORMED_BODY, "line 1, column 7: unexpected token"},
    {JSON, BYTES("[\"a\""), PROBLEM_MALFORMED_BODY,
     "line 1, column 5: the body ends here; \",\" or \"]\" was expected"},
    {JSON, BYTES("[\"a\", "), PROBLEM_MALFORMED_BODY, "line 1, column 7: a JSON value is missing"},
    {JSON, BYTES("[\"a\"] x"), PROBLEM_MALFORMED_BODY,
     "line 1, column 7: something stands behind the end of the document"},
    {JSON, BYTES("\n\"a\""), PROBLEM_MALFORMED_BODY,
     "line 2, column 1: an object with \"urls\", or an array, was expected"},
    {JSON, BYTES("{\"urls\":\"a\"}"), PROBLEM_MALFORMED_BODY,
     "line 1, column 9: \"urls\" must be an array"},
    {JSON, BYTES("{\"urls\" [\"a\"]}"), PROBLEM_MALFORMED_BODY,
     "line 1, column 9: \":\" was expected"},
    {JSON, BYTES("{1:[\"a\"]}"), PROBLEM_MALFORMED_BODY,
     "line 1, column 2: a name in double quotes was expected"},
    {JSON, BYTES("{\"urls\":[\"a\"]"), PROBLEM_MALFORMED_BODY,
     "line 1, column 14: the body ends here; \",\" or \"}\" was expected"},
    {JSON, BYTES("{\"urls\": "), PROBLEM_MALFORMED_BODY,
     "line 1, column 10: the body ends here; \"urls\" must be an array"},
    {JSON, BYTES("{\"urls\":[\"a\"],\"urls\":[]}"), PROBLEM_MALFORMED_BODY,
     "\"urls\" stands there twice"},
    {JSON, BYTES("{\"options\":{},\"options\":{},\"urls\":[\"a\"]}"), PROBLEM_MALFORMED_BODY,
     "\"options\" stands there twice"},
    {JSON, BYTES("{\"url\":\"a\"}"), PROBLEM_MALFORMED_BODY,
     "there is no member \"url\"; known: urls, options"},
    {JSON, BYTES("[{\"url\":\"a\",\"url\":\"b\"}]"), PROBLEM_MALFORMED_BODY,
     "line 1, column 18: duplicate object key"},
    {NDJSON, BYTES("\"a\"\n\n\"b"), PROBLEM_MALFORMED_BODY,
     "line 3, column 3: premature end of input"},
    {NDJSON, BYTES("\"a\"\nhttp://b/\n"), PROBLEM_MALFORMED_BODY,
     "line 2, column 5: invalid token"},
    {NDJSON, BYTES("\"a\" \"b\"\n"), PROBLEM_MALFORMED_BODY,
     "line 1, column 5: something stands behind the item; one a line"},
    {NDJSON, BYTES("\"a\xFF\"\n"), PROBLEM_MALFORMED_BODY,
     "line 1, column 3: unable to decode byte 0xff"},
    /* Items of a wrong shape. */
    {JSON, BYTES("[\"a\", 7]"), PROBLEM_INVALID_ITEM,
     "[1]: neither a string nor an object with a \"url\""},
    {JSON, BYTES("{\"urls\":[\"a\", null]}"), PROBLEM_INVALID_ITEM,
     "urls[1]: neither a string nor an object with a \"url\""},
    {NDJSON, BYTES("\n[\"a\"]"), PROBLEM_INVALID_ITEM,
     "line 2: neither a string nor an object with a \"url\""},
    {JSON, BYTES("[{\"id\":1}]"), PROBLEM_INVALID_ITEM, "[0]: there is no \"url\""},
    {JSON, BYTES("[{\"url\":1}]"), PROBLEM_INVALID_ITEM, "[0]: \"url\" is not a string"},
    {JSON, BYTES("[{\"url\":\"a\",\"id\":[]}]"), PROBLEM_INVALID_ITEM,
     "[0]: \"id\" is neither a string nor a number"},
    {JSON, BYTES("[{\"url\":\"a\",\"id\":null}]"), PROBLEM_INVALID_ITEM,
     "[0]: \"id\" is neither a string nor a number"},
    {"", BYTES("{\"url\":\"a\"}\n{\"url\":\"b\",\"tag\":1}"), PROBLEM_INVALID_ITEM,
     "line 2: there is no key \"tag\"; known: url, id"},
    /* Options of a JSON body. */
    {JSON, BYTES("{\"options\":[],\"urls\":[\"a\"]}"), PROBLEM_INVALID_OPTION,
     "\"options\" must be an object, such as {\"timeout_ms\": 5000}"},
    {JSON, BYTES("{\"urls\":[\"a\"],\"options\":{\"retries\":3}}"), PROBLEM_ABOVE_LIMIT,
     "retries: 3 is above this daemon's limit of 2 (--retries)"},
    {JSON, BYTES("{\"options\":{\"headers\":{\"X-A\":\"1\",\"Host\":\"b\"}},\"urls\":[\"a\"]}"),
     PROBLEM_INVALID_OPTION, "headers: \"Host\" is set by skimd itself, from the URL"},
};

START_TEST(a_mistake_in_the_body_is_named_with_its_place)
{
    int error = intake_of(mistakes[_i].type, mistakes[_i].body, &limits);

    ck_assert_int_eq(error, -EINVAL);
    ck_assert_str_eq(problem.detail, mistakes[_i].detail);
    ck_assert_int_eq(problem.kind, mistakes[_i].kind);
}
END_TEST

START_TEST(the_headers_of_a_json_body_are_the_batchs)
{
    static const char text[] = "{\"urls\":[\"a\"],\"options\":{\"headers\":{\"X-A\":\"1\"}}}";

    ck_assert_int_eq(intake_of(JSON, bytes_cstr(text), &limits), 0);
    ck_assert_uint_eq(options.headers.count, 1);
    url_list_free(&list);
    options_free(&options);
}
END_TEST

START_TEST(an_option_in_the_query_and_in_the_body_is_refused)
{
    static const char text[] = "{\"options\":{\"retries\":1},\"urls\":[\"a\"]}";
    struct buffer body = {0};

    buffer_text(&body, text);
    options_init(&options, &limits);
    ck_assert_int_eq(options_from_query(&options, &limits, BYTES("retries=1"), &problem), 0);
    ck_assert_int_eq(
        intake_parse(&body, BYTES("application/json"), &limits, &options, &list, &problem),
        -EINVAL);
    ck_assert_str_eq(problem.detail, "retries: given more than once");
    buffer_free(&body);
}
END_TEST

static const struct {
    const char *type;
    struct bytes two, three;
} batches[] = {
    {TEXT, BYTES("a\n#\nb\n"), BYTES("a\nb\nc")},
    {NDJSON, BYTES("\"a\"\n\"b\"\n"), BYTES("\"a\"\n\"b\"\n\"c\"\n")},
    {JSON, BYTES("[\"a\",\"b\"]"), BYTES("[\"a\",\"b\",\"c\"]")},
};

START_TEST(a_batch_above_the_limit_is_413_and_one_at_it_is_not)
{
    struct config two = limits;

    two.max_batch_urls = 2;
    ck_assert_int_eq(intake_of(batches[_i].type, batches[_i].two, &two), 0);
    url_list_free(&list);
    ck_assert_int_eq(intake_of(batches[_i].type, batches[_i].three, &two), -EINVAL);
    ck_assert_int_eq(problem.status, 413);
    ck_assert_str_eq(problem.detail, "a batch may have 2 URLs (--max-batch-urls)");
}
END_TEST

START_TEST(a_body_above_the_limit_is_413)
{
    struct config small = limits;

    small.max_body_bytes = 3;
    ck_assert_int_eq(intake_of(TEXT, BYTES("a\nb"), &small), 0);
    url_list_free(&list);
    ck_assert_int_eq(intake_of(TEXT, BYTES("a\nbc"), &small), -EINVAL);
    ck_assert_int_eq(problem.status, 413);
    ck_assert_str_eq(problem.detail, "a body may have 3 bytes (--max-body-bytes)");
}
END_TEST

START_TEST(nesting_without_end_is_refused)
{
    enum { DEPTH = 200000 };
    struct buffer text = {0};

    for (int i = 0; i < DEPTH; i++)
        buffer_byte(&text, '[');
    ck_assert_int_eq(intake_of("", buffer_bytes(&text), &limits), -EINVAL);
    ck_assert_int_eq(problem.kind, PROBLEM_MALFORMED_BODY);
    ck_assert_ptr_nonnull(strstr(problem.detail, "maximum parsing depth"));
    buffer_free(&text);
}
END_TEST

START_TEST(one_item_cannot_be_longer_than_a_mebibyte)
{
    struct buffer text = {0};

    buffer_text(&text, "[\n{\"url\":[");
    while (text.len < 2 * INTAKE_VALUE_MAX)
        buffer_text(&text, "[],");
    buffer_text(&text, "[]]}]");
    ck_assert_int_eq(intake_of(JSON, buffer_bytes(&text), &limits), -EINVAL);
    ck_assert_str_eq(problem.detail,
                     "line 2, column 1: a value has more than 1048576 bytes of JSON");
    buffer_free(&text);
}
END_TEST

/* Every beginning of a body is read to its end and no further, and none is taken for the whole. */
START_TEST(a_document_cut_anywhere_is_refused)
{
    static const char whole[] =
        "{\"options\":{\"retries\":1,\"fields\":[\"title\"]},\"urls\":[\"a\","
        "{\"url\":\"b\\u00e9\\ud83d\\ude00\",\"id\":-1.5e3},\"c\"]}";

    for (size_t len = 1; len < sizeof whole - 1; len++) {
        ck_assert_msg(intake_of(JSON, bytes_of(whole, len), &limits) == -EINVAL, "%zu", len);
        ck_assert_int_eq(problem.status, 400);
    }
    ck_assert_int_eq(intake_of(JSON, bytes_of(whole, sizeof whole - 1), &limits), 0);
    ck_assert_uint_eq(list.count, 3);
    url_list_free(&list);
}
END_TEST

START_TEST(a_text_url_costs_at_most_40_bytes_beside_the_body)
{
    enum { URLS_MANY = 100000 };
    struct config many = limits;
    struct buffer text = {0};

    many.max_batch_urls = URLS_MANY;
    for (int i = 0; i < URLS_MANY; i++)
        buffer_printf(&text, "http://h%d.example/\n", i);
    ck_assert_int_eq(intake_of(TEXT, buffer_bytes(&text), &many), 0);
    ck_assert_uint_eq(list.count, URLS_MANY);
    ck_assert_uint_eq(list.storage.len, text.len);
    ck_assert_uint_le(list.capacity * sizeof *list.entries, 40 * list.count);
    ck_assert(bytes_equal(url_list_url(&list, 99999), BYTES("http://h99999.example/")));
    url_list_free(&list);
    buffer_free(&text);
}
END_TEST

#define ADD_LOOP(tests, test, table)                                                               \
    tcase_add_loop_test(tests, test, 0, sizeof(table) / sizeof(table)[0])

Suite *suite_intake(void)
{
    Suite *suite = suite_create("intake");
    TCase *bodies = tcase_create("bodies");

    tcase_add_test(bodies, text_has_one_url_a_line);
    tcase_add_test(bodies, any_byte_of_a_text_url_is_kept);
    ADD_LOOP(bodies, ndjson_has_one_item_a_line, ndjson_types);
    tcase_add_test(bodies, json_is_an_object_with_urls_or_an_array);
    ADD_LOOP(bodies, without_a_useful_type_the_first_byte_decides, useless_types);
    tcase_add_test(bodies, a_nul_in_a_json_url_is_kept);
    tcase_add_test(bodies, an_id_is_kept_as_json_on_one_line);
    ADD_LOOP(bodies, a_mistake_in_the_body_is_named_with_its_place, mistakes);
    tcase_add_test(bodies, the_headers_of_a_json_body_are_the_batchs);
    tcase_add_test(bodies, an_option_in_the_query_and_in_the_body_is_refused);
    ADD_LOOP(bodies, a_batch_above_the_limit_is_413_and_one_at_it_is_not, batches);
    tcase_add_test(bodies, a_body_above_the_limit_is_413);
    tcase_add_test(bodies, nesting_without_end_is_refused);
    tcase_add_test(bodies, one_item_cannot_be_longer_than_a_mebibyte);
    tcase_add_test(bodies, a_document_cut_anywhere_is_refused);
    tcase_add_test(bodies, a_text_url_costs_at_most_40_bytes_beside_the_body);
    suite_add_tcase(suite, bodies);
    return suite;
}
