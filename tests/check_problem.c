#include "server/problem.h"
#include "tests/check.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static json_t *document(const struct problem *problem)
{
    struct buffer out = {0};
    json_error_t error;

    problem_write(&out, problem);
    ck_assert(!out.failed);
    ck_assert_int_eq(out.ptr[out.len - 1], '\n');
    json_t *value = json_loadb(out.ptr, out.len, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(value != NULL, "%s", error.text);
    buffer_free(&out);
    return value;
}

static const char *member(const json_t *value, const char *name)
{
    return json_string_value(json_object_get(value, name));
}

START_TEST(a_problem_has_the_members_of_rfc_9457)
{
    struct problem problem;

    ck_assert_int_eq(problem_set(&problem, PROBLEM_INVALID_OPTION, "retries", "retries: %d", 99),
                     -EINVAL);
    json_t *value = document(&problem);
    ck_assert_str_eq(member(value, "type"), "urn:skimd:problem:invalid-option");
    ck_assert_str_eq(member(value, "title"), "An option has a wrong value");
    ck_assert_int_eq(json_integer_value(json_object_get(value, "status")), 400);
    ck_assert_str_eq(member(value, "detail"), "retries: 99");
    ck_assert_str_eq(member(value, "param"), "retries");
    json_decref(value);
}
END_TEST

START_TEST(a_status_that_says_it_all_has_the_type_about_blank)
{
    struct problem problem;

    problem_set(&problem, PROBLEM_NOT_FOUND, NULL, "%s", "");
    json_t *value = document(&problem);
    ck_assert_str_eq(member(value, "type"), "about:blank");
    ck_assert_str_eq(member(value, "title"), "Not Found");
    ck_assert_ptr_null(json_object_get(value, "detail"));
    ck_assert_ptr_null(json_object_get(value, "param"));
    json_decref(value);
}
END_TEST

START_TEST(exhausted_memory_is_told_from_a_mistake)
{
    struct problem problem;

    ck_assert_int_eq(problem_set(&problem, PROBLEM_OUT_OF_MEMORY, NULL, "%s", ""), -ENOMEM);
    ck_assert_int_eq(problem.status, 503);
}
END_TEST

START_TEST(a_long_detail_is_cut_between_characters)
{
    struct problem problem;
    char text[1200];

    /* Two-byte characters behind a prefix of either parity: one of them is cut in two. */
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xA9", 3);
    for (int shift = 0; shift < 2; shift++) {
        problem_set(&problem, PROBLEM_BAD_REQUEST, NULL, "%s%s", shift ? "x" : "", text);
        size_t len = strlen(problem.detail);
        ck_assert_uint_ge(len, sizeof problem.detail - 2);
        ck_assert_int_eq((unsigned char)problem.detail[len - 1], 0xA9);
        json_decref(document(&problem));
    }
}
END_TEST

static const struct {
    struct bytes text;
    const char *quoted;
} quotes[] = {
    {BYTES(""), "\"\""},
    {BYTES("retries"), "\"retries\""},
    {BYTES("say \"x\" \\"), "\"say \\\"x\\\" \\\\\""},
    {BYTES("a\r\nb\0c\x1b[31m\x7f"), "\"a\\x0d\\x0ab\\x00c\\x1b[31m\\x7f\""},
    {BYTES("\xC3\xA9"), "\"\xC3\xA9\""},
    {BYTES("\xFF\xC3"), "\"\\xff\\xc3\""},
    /* Next line (C1), right-to-left override, line separator. */
    {BYTES("\xC2\x85\xE2\x80\xAE\xE2\x80\xA8"), "\"\\u0085\\u202e\\u2028\""},
    {BYTES("%s%n"), "\"%s%n\""},
};

START_TEST(what_comes_from_outside_is_quoted)
{
    char quoted[PROBLEM_QUOTE_SIZE];

    ck_assert_str_eq(problem_quote(quoted, quotes[_i].text), quotes[_i].quoted);
}
END_TEST

START_TEST(a_long_quote_is_shortened_whatever_its_bytes)
{
    char quoted[PROBLEM_QUOTE_SIZE], text[5000];

    for (unsigned c = 0; c < 256; c++) {
        memset(text, (int)c, sizeof text);
        problem_quote(quoted, bytes_of(text, sizeof text));
        size_t len = strlen(quoted);
        ck_assert_uint_lt(len, PROBLEM_QUOTE_SIZE);
        ck_assert_uint_ge(len, 60 + 5);
        ck_assert_str_eq(quoted + len - 4, "\"...");
    }
}
END_TEST

START_TEST(a_quote_is_not_cut_within_a_character)
{
    char quoted[PROBLEM_QUOTE_SIZE];
    char text[64];

    memset(text, 'x', sizeof text);
    memcpy(text + 59, "\xC3\xA9", 2); /* its second byte would be the 61st */
    problem_quote(quoted, bytes_of(text, sizeof text));
    ck_assert_uint_eq(strlen(quoted), 1 + 59 + 4);
}
END_TEST

Suite *suite_problem(void)
{
    Suite *suite = suite_create("problem");
    TCase *tests = tcase_create("problem");

    tcase_add_test(tests, a_problem_has_the_members_of_rfc_9457);
    tcase_add_test(tests, a_status_that_says_it_all_has_the_type_about_blank);
    tcase_add_test(tests, exhausted_memory_is_told_from_a_mistake);
    tcase_add_test(tests, a_long_detail_is_cut_between_characters);
    tcase_add_loop_test(tests, what_comes_from_outside_is_quoted, 0,
                        sizeof quotes / sizeof quotes[0]);
    tcase_add_test(tests, a_long_quote_is_shortened_whatever_its_bytes);
    tcase_add_test(tests, a_quote_is_not_cut_within_a_character);
    suite_add_tcase(suite, tests);
    return suite;
}
