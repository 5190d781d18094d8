/* The lines that skimd writes: records of an answer, and the log. jansson reads them back. */
#include "server/batch/record.h"
#include "server/json.h"
#include "server/log.h"
#include "tests/check.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

static struct record ok_record(void)
{
    return (struct record){
        .index = 0,
        .url = BYTES("http://a.example/"),
        .status = RECORD_OK,
        .attempts = 1,
        .http_status = 200,
        .final_url = BYTES("https://a.example/"),
        .fields = FIELD_BIT(FIELD_TITLE),
        .has_title = true,
        .title = BYTES("A & B"),
        .content_type = BYTES("text/html"),
        .charset = BYTES("utf-8"),
        .body_bytes = 18211,
        .redirects = 1,
        .http_version = BYTES("2"),
        .remote_ip = BYTES("192.0.2.7"),
        .timing = {200, 1100, 3000, 9800, 31000, 35200, 100},
    };
}

static struct record failed_record(void)
{
    return (struct record){
        .index = 1,
        .url = BYTES("http://nope.invalid/"),
        .status = RECORD_FAILED,
        .attempts = 3,
        .error_code = BYTES("dns_failure"),
        .error_message = BYTES("Could not resolve host: nope.invalid"),
        .retryable = true,
    };
}

/* The line of a record, NUL-terminated; the caller frees it. */
static char *line_of(const struct record *record)
{
    struct buffer out = {0};
    size_t len;

    record_write(&out, record);
    buffer_byte(&out, '\0');
    ck_assert(!out.failed);
    return buffer_take(&out, &len);
}

static json_t *parsed(const struct record *record)
{
    char *line = line_of(record);
    json_error_t error;
    json_t *value = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

    ck_assert_msg(value != NULL, "%s in %s", error.text, line);
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
    free(line);
    return value;
}

static void ck_line(const struct record *record, const char *expected)
{
    char *line = line_of(record);

    ck_assert_str_eq(line, expected);
    free(line);
}

START_TEST(an_ok_record_is_the_one_of_the_api)
{
    struct record record = ok_record();

    ck_line(&record,
            "{\"type\":\"result\",\"index\":0,\"url\":\"http://a.example/\",\"status\":\"ok\","
            "\"http_status\":200,\"final_url\":\"https://a.example/\",\"title\":\"A & B\","
            "\"content_type\":\"text/html\",\"charset\":\"utf-8\",\"body_bytes\":18211,"
            "\"redirects\":1,\"attempts\":1,\"http_version\":\"2\",\"remote_ip\":\"192.0.2.7\","
            "\"timing_ms\":{\"queued\":0.2,\"dns\":1.1,\"connect\":3.0,\"tls\":9.8,"
            "\"first_byte\":31.0,\"total\":35.2,\"parse\":0.1}}\n");
}
END_TEST

START_TEST(a_failed_record_is_the_one_of_the_api)
{
    struct record record = failed_record();

    ck_line(&record, "{\"type\":\"result\",\"index\":1,\"url\":\"http://nope.invalid/\","
                     "\"status\":\"failed\",\"error\":{\"code\":\"dns_failure\","
                     "\"message\":\"Could not resolve host: nope.invalid\",\"retryable\":true},"
                     "\"attempts\":3}\n");
}
END_TEST

START_TEST(a_failed_record_says_where_redirects_led)
{
    struct record record = failed_record();

    record.redirects = 2;
    record.final_url = BYTES("https://there.example/");
    ck_line(&record, "{\"type\":\"result\",\"index\":1,\"url\":\"http://nope.invalid/\","
                     "\"status\":\"failed\",\"final_url\":\"https://there.example/\","
                     "\"error\":{\"code\":\"dns_failure\","
                     "\"message\":\"Could not resolve host: nope.invalid\",\"retryable\":true},"
                     "\"redirects\":2,\"attempts\":3}\n");
    record.redirects = 0;
    record.final_url = record.url;
    json_t *value = parsed(&record);
    ck_assert_ptr_null(json_object_get(value, "final_url"));
    ck_assert_ptr_null(json_object_get(value, "redirects"));
    json_decref(value);
}
END_TEST

START_TEST(a_cancelled_record_says_so_and_is_shaped_like_a_failed_one)
{
    struct record record = failed_record();

    record.status = RECORD_CANCELLED;
    record.error_code = BYTES("cancelled");
    record.error_message = BYTES("The batch was cancelled");
    record.retryable = false;
    record.attempts = 0;
    ck_line(&record, "{\"type\":\"result\",\"index\":1,\"url\":\"http://nope.invalid/\","
                     "\"status\":\"cancelled\",\"error\":{\"code\":\"cancelled\","
                     "\"message\":\"The batch was cancelled\",\"retryable\":false},"
                     "\"attempts\":0}\n");
}
END_TEST

START_TEST(the_end_is_the_one_of_the_api)
{
    struct buffer out = {0};

    record_write_end(&out, &(struct record_end){2, 1, 1, 0, 36000});
    buffer_byte(&out, '\0');
    ck_assert_str_eq(out.ptr, "{\"type\":\"end\",\"total\":2,\"ok\":1,\"failed\":1,"
                              "\"cancelled\":0,\"elapsed_ms\":36.0}\n");
    buffer_free(&out);
}
END_TEST

START_TEST(an_absent_title_is_null_and_an_empty_one_is_not)
{
    struct record record = ok_record();

    record.has_title = false;
    json_t *value = parsed(&record);
    ck_assert(json_is_null(json_object_get(value, "title")));
    json_decref(value);

    record.has_title = true;
    record.title = (struct bytes){NULL, 0};
    value = parsed(&record);
    ck_assert_str_eq(json_string_value(json_object_get(value, "title")), "");
    json_decref(value);
}
END_TEST

START_TEST(what_is_not_known_is_left_out)
{
    static const char *const optional[] = {"id",      "title_truncated", "content_type",
                                           "charset", "http_version",    "remote_ip"};
    struct record record = ok_record();

    record.content_type = record.charset = (struct bytes){NULL, 0};
    record.http_version = record.remote_ip = (struct bytes){NULL, 0};
    json_t *value = parsed(&record);
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++)
        ck_assert_ptr_null(json_object_get(value, optional[i]));
    ck_assert_ptr_nonnull(json_object_get(value, "timing_ms"));
    json_decref(value);
}
END_TEST

START_TEST(an_id_comes_back_as_the_json_it_was)
{
    struct record record = failed_record();

    record.id = BYTES("\"order 7\"");
    json_t *value = parsed(&record);
    ck_assert_str_eq(json_string_value(json_object_get(value, "id")), "order 7");
    json_decref(value);

    record = ok_record();
    record.id = BYTES("12");
    value = parsed(&record);
    ck_assert_int_eq(json_integer_value(json_object_get(value, "id")), 12);
    json_decref(value);
}
END_TEST

START_TEST(a_truncated_title_says_so)
{
    struct record record = ok_record();

    record.title_truncated = true;
    json_t *value = parsed(&record);
    ck_assert(json_is_true(json_object_get(value, "title_truncated")));
    json_decref(value);
}
END_TEST

/* -- fields ------------------------------------------------------------------------------------ */

static struct field_writer writer;

static struct record fields_record(field_set asked)
{
    static char buffer[FIELDS_MAX];
    struct record record = ok_record();

    fields_begin(&writer, buffer);
    record.fields = asked;
    return record;
}

static void put(enum field field, const char *key, const char *value)
{
    ck_assert(fields_put(&writer, field, bytes_cstr(key), bytes_cstr(value)));
}

/* What the record, with all that was put, has between its final_url and its content_type. */
static void ck_fields(struct record *record, const char *expected)
{
    static const char before[] = "\"final_url\":\"https://a.example/\"";

    record->packed_fields = fields_written(&writer);
    char *line = line_of(record), *begin = strstr(line, before), *end;
    ck_assert_ptr_nonnull(begin);
    begin += sizeof before - 1;
    end = strstr(begin, ",\"content_type\"");
    ck_assert_ptr_nonnull(end);
    *end = '\0';
    ck_assert_str_eq(begin, expected);
    free(line);
}

START_TEST(fields_that_a_page_does_not_have_are_null_or_empty)
{
    struct record record = fields_record(FIELDS_ALL);

    record.has_title = false;
    ck_fields(&record, ",\"title\":null,\"description\":null,\"canonical\":null,\"lang\":null,"
                       "\"og\":{},\"twitter\":{},\"icon\":null,\"feeds\":[],"
                       "\"robots_meta\":null,\"h1\":[],\"links\":[],\"text\":null,"
                       "\"json_ld\":[]");
}
END_TEST

START_TEST(fields_are_written_by_their_kind_where_the_title_stands)
{
    struct record record = fields_record(FIELDS_ALL);

    put(FIELD_DESCRIPTION, "", "");
    put(FIELD_CANONICAL, "", "https://a.example/b");
    put(FIELD_LANG, "", "de");
    put(FIELD_OG, "title", "a \"b\"");
    put(FIELD_OG, "image", "1");
    put(FIELD_OG, "image", "2");
    put(FIELD_OG, "a\"\\", "3");
    put(FIELD_TWITTER, "card", "summary");
    put(FIELD_FEEDS, "url", "http://a/1");
    put(FIELD_FEEDS, "type", "application/rss+xml");
    put(FIELD_FEEDS, "title", "News");
    put(FIELD_FEEDS, "url", "http://a/2");
    put(FIELD_H1, "", "one");
    put(FIELD_H1, "", "two\tthree");
    put(FIELD_LINKS, "", "http://a/");
    put(FIELD_TEXT_OF_PAGE, "", "one\n\ntwo");
    put(FIELD_JSON_LD, "", "{\"@type\":\"A\"}");
    put(FIELD_JSON_LD, "", "12.50");
    record.truncated = true;
    ck_fields(&record,
              ",\"title\":\"A & B\",\"description\":\"\",\"canonical\":\"https://a.example/b\","
              "\"lang\":\"de\",\"og\":{\"title\":\"a \\\"b\\\"\",\"image\":[\"1\",\"2\"],"
              "\"a\\\"\\\\\":\"3\"},\"twitter\":{\"card\":\"summary\"},\"icon\":null,"
              "\"feeds\":[{\"url\":\"http://a/1\",\"type\":\"application/rss+xml\","
              "\"title\":\"News\"},{\"url\":\"http://a/2\"}],\"robots_meta\":null,"
              "\"h1\":[\"one\",\"two\\tthree\"],\"links\":[\"http://a/\"],"
              "\"text\":\"one\\n\\ntwo\",\"json_ld\":[{\"@type\":\"A\"},12.50],"
              "\"truncated\":true");
}
END_TEST

START_TEST(of_what_was_not_asked_for_nothing_is_said)
{
    struct record record = fields_record(FIELD_BIT(FIELD_LANG) | FIELD_BIT(FIELD_LINKS));

    record.has_title = false;
    put(FIELD_LINKS, "", "http://a/");
    ck_fields(&record, ",\"lang\":null,\"links\":[\"http://a/\"]");
}
END_TEST

START_TEST(a_failed_record_has_no_fields)
{
    struct record record = failed_record();

    record.fields = FIELDS_ALL;
    json_t *value = parsed(&record);
    for (unsigned f = 0; f < FIELD_COUNT; f++)
        ck_assert_ptr_null(json_object_get(value, field_name((enum field)f)));
    json_decref(value);
}
END_TEST

/* JSON lets them stand as they are; only a line feed ends a line of NDJSON. */
START_TEST(line_separators_and_controls_in_values_end_no_line)
{
    struct record record = fields_record(FIELDS_ALL);

    put(FIELD_DESCRIPTION, "", "a\nb\r\x01\xe2\x80\xa8");
    put(FIELD_OG, "title", "\n");
    put(FIELD_TEXT_OF_PAGE, "", "\n\n\x0b\xc2\x85");
    put(FIELD_JSON_LD, "", "[\"a\\nb\xe2\x80\xa8\xe2\x80\xa9\",\"\\u000a\"]");
    record.packed_fields = fields_written(&writer);
    json_t *value = parsed(&record), *json_ld = json_object_get(value, "json_ld");
    ck_assert_str_eq(json_string_value(json_object_get(value, "text")), "\n\n\x0b\xc2\x85");
    ck_assert_str_eq(json_string_value(json_array_get(json_array_get(json_ld, 0), 0)),
                     "a\nb\xe2\x80\xa8\xe2\x80\xa9");
    json_decref(value);
}
END_TEST

static const struct {
    uint64_t us;
    const char *text;
} durations[] = {
    {0, "0.0"},       {1, "0.001"},      {10, "0.01"},        {100, "0.1"},
    {999, "0.999"},   {1000, "1.0"},     {35200, "35.2"},     {36000, "36.0"},
    {35250, "35.25"}, {35125, "35.125"}, {100005, "100.005"}, {UINT64_MAX, "18446744073709551.615"},
};

START_TEST(milliseconds_have_one_to_three_decimals)
{
    struct buffer out = {0};

    json_write_milliseconds(&out, durations[_i].us);
    buffer_byte(&out, '\0');
    ck_assert_str_eq(out.ptr, durations[_i].text);
    buffer_free(&out);
}
END_TEST

#define FFFD "\xEF\xBF\xBD"

static const struct {
    struct bytes raw;
    const char *json;
} strings[] = {
    {BYTES(""), "\"\""},
    {BYTES("plain"), "\"plain\""},
    {BYTES("a\"b\\c/d"), "\"a\\\"b\\\\c/d\""},
    {BYTES("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
    {BYTES("x\0y\x01\x1f\x7f"), "\"x\\u0000y\\u0001\\u001f\x7f\""},
    {BYTES("\xC3\xA9\xE2\x80\xA8\xF0\x9F\x98\x80"), "\"\xC3\xA9\xE2\x80\xA8\xF0\x9F\x98\x80\""},
    /* Unicode 15, tables 3-8 to 3-11: how many U+FFFD stand for what. */
    {BYTES("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
     "\"" FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A\""},
    {BYTES("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
     "\"" FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A\""},
    {BYTES("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
     "\"" FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B\""},
    {BYTES("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\"" FFFD FFFD FFFD FFFD "A\""},
    /* Cut off by the end. */
    {BYTES("a\xE2\x82"), "\"a" FFFD "\""},
    {BYTES("a\xF0"), "\"a" FFFD "\""},
};

START_TEST(strings_are_escaped_and_ill_formed_utf8_is_replaced)
{
    struct buffer out = {0};

    json_write_string(&out, strings[_i].raw);
    buffer_byte(&out, '\0');
    ck_assert_str_eq(out.ptr, strings[_i].json);
    buffer_free(&out);
}
END_TEST

/* A fixed sequence of numbers, the same in every run (Knuth's MMIX generator). */
static unsigned next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*state >> 33);
}

START_TEST(random_bytes_as_url_and_title_give_one_line_of_valid_json)
{
    uint64_t state = 1;

    for (int round = 0; round < 5000; round++) {
        char *url = malloc(40), *title = malloc(40);
        size_t url_len = next_random(&state) % 41, title_len = next_random(&state) % 41;

        ck_assert(url && title);
        for (size_t i = 0; i < 40; i++) {
            unsigned any = next_random(&state);
            url[i] = (char)any;
            /* Lead and continuation bytes mostly, so that sequences nearly succeed. */
            title[i] = (char)((any >> 8) % 4 ? 0x80 | any : any & 0x7F);
        }
        struct record record = ok_record();
        /* At the end of the allocation, so that ASan sees a read too far. */
        record.url = bytes_of(url + 40 - url_len, url_len);
        record.title = bytes_of(title + 40 - title_len, title_len);
        json_t *value = parsed(&record);
        ck_assert(json_is_string(json_object_get(value, "url")));
        ck_assert(json_is_string(json_object_get(value, "title")));
        json_decref(value);
        free(url);
        free(title);
    }
}
END_TEST

/* -- the log ----------------------------------------------------------------------------------- */

/* Reads what was logged into a pipe, and leaves the log as it was. */
struct log_capture {
    int read_end, write_end;
};

static struct log_capture capture_log(enum log_format format, enum log_level level)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    log_open(ends[1], format, level);
    return (struct log_capture){ends[0], ends[1]};
}

static void captured(struct log_capture *capture, char *ret, size_t size)
{
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    close(capture->write_end);
    ssize_t len = read(capture->read_end, ret, size - 1);
    ck_assert_int_ge(len, 0);
    ret[len] = '\0';
    close(capture->read_end);
}

START_TEST(a_json_log_line_has_time_level_message_and_fields)
{
    struct log_capture capture = capture_log(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    char line[1024];

    log_info("listening", log_text("address", "127.0.0.1:8080"), log_int("least", INT64_MIN),
             log_unsigned("most", UINT64_MAX), log_bool("ready", true), log_ms("took_ms", 1500),
             log_bytes("odd", BYTES("a\n\xFF\"")), log_errno(-ENOENT));
    captured(&capture, line, sizeof line);

    char *rest = strchr(line, ',');
    ck_assert_ptr_nonnull(rest);
    ck_assert_str_eq(rest,
                     ",\"level\":\"info\",\"msg\":\"listening\",\"address\":\"127.0.0.1:8080\","
                     "\"least\":-9223372036854775808,\"most\":18446744073709551615,"
                     "\"ready\":true,\"took_ms\":1.5,\"odd\":\"a\\n" FFFD "\\\"\","
                     "\"error\":\"No such file or directory\"}\n");
    /* RFC 3339: {"time":"2026-01-31T12:00:00.000Z" */
    ck_assert_int_eq(rest - line, (int)strlen("{\"time\":\"2026-01-31T12:00:00.000Z\""));
    ck_assert_int_eq(line[9 + 10], 'T');
    ck_assert_int_eq(line[9 + 23], 'Z');
}
END_TEST

START_TEST(a_text_log_line_quotes_only_what_needs_it)
{
    struct log_capture capture = capture_log(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    char line[1024];

    log_warn("worker lost", log_text("signal", "KILL"), log_text("why", "out of\nmemory"),
             log_text("empty", ""));
    captured(&capture, line, sizeof line);
    ck_assert_str_eq(line + strlen("2026-01-31T12:00:00.000Z"),
                     " warn  worker lost signal=KILL why=\"out of\\nmemory\" empty=\"\"\n");
}
END_TEST

START_TEST(a_level_below_the_threshold_writes_nothing)
{
    struct log_capture capture = capture_log(LOG_FORMAT_TEXT, LOG_LEVEL_WARN);
    char line[1024];

    log_info("not wanted");
    log_debug("not wanted either");
    captured(&capture, line, sizeof line);
    ck_assert_str_eq(line, "");
}
END_TEST

START_TEST(logging_leaves_errno_alone)
{
    struct log_capture capture = capture_log(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);

    close(capture.write_end); /* every write fails */
    errno = ENOTTY;
    log_error("lost");
    int after = errno;
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    close(capture.read_end);
    ck_assert_int_eq(after, ENOTTY);
}
END_TEST

Suite *suite_record(void)
{
    Suite *suite = suite_create("record");
    TCase *records = tcase_create("records");
    TCase *json = tcase_create("json");
    TCase *log = tcase_create("log");

    tcase_add_test(records, an_ok_record_is_the_one_of_the_api);
    tcase_add_test(records, a_failed_record_is_the_one_of_the_api);
    tcase_add_test(records, a_failed_record_says_where_redirects_led);
    tcase_add_test(records, a_cancelled_record_says_so_and_is_shaped_like_a_failed_one);
    tcase_add_test(records, the_end_is_the_one_of_the_api);
    tcase_add_test(records, an_absent_title_is_null_and_an_empty_one_is_not);
    tcase_add_test(records, what_is_not_known_is_left_out);
    tcase_add_test(records, an_id_comes_back_as_the_json_it_was);
    tcase_add_test(records, a_truncated_title_says_so);
    tcase_add_test(records, fields_that_a_page_does_not_have_are_null_or_empty);
    tcase_add_test(records, fields_are_written_by_their_kind_where_the_title_stands);
    tcase_add_test(records, of_what_was_not_asked_for_nothing_is_said);
    tcase_add_test(records, a_failed_record_has_no_fields);
    tcase_add_test(records, line_separators_and_controls_in_values_end_no_line);
    suite_add_tcase(suite, records);

    tcase_add_loop_test(json, milliseconds_have_one_to_three_decimals, 0,
                        sizeof durations / sizeof durations[0]);
    tcase_add_loop_test(json, strings_are_escaped_and_ill_formed_utf8_is_replaced, 0,
                        sizeof strings / sizeof strings[0]);
    tcase_add_test(json, random_bytes_as_url_and_title_give_one_line_of_valid_json);
    suite_add_tcase(suite, json);

    tcase_add_test(log, a_json_log_line_has_time_level_message_and_fields);
    tcase_add_test(log, a_text_log_line_quotes_only_what_needs_it);
    tcase_add_test(log, a_level_below_the_threshold_writes_nothing);
    tcase_add_test(log, logging_leaves_errno_alone);
    suite_add_tcase(suite, log);
    return suite;
}
