#include "tests/check.h"

#include "parsers/content_type.h"

#include <stdio.h>
#include <stdlib.h>

static void assert_charset(struct bytes field, struct bytes want)
{
    char buffer[CONTENT_TYPE_LABEL_MAX], *copy = malloc(field.len ? field.len : 1);

    ck_assert_ptr_nonnull(copy);
    if (field.len > 0)
        memcpy(copy, field.ptr, field.len);
    struct bytes got = content_type_charset(bytes_of(copy, field.len), buffer);
    ck_assert_msg(bytes_equal(got, want), "%.*s: got \"%.*s\"", (int)field.len, field.ptr,
                  (int)got.len, got.ptr);
    free(copy);
}

struct row {
    const char *field, *want;
};

static void assert_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_charset(bytes_cstr(rows[i].field), bytes_cstr(rows[i].want));
}

START_TEST(the_charset_parameter_is_read_as_the_standard_reads_it)
{
    static const struct row rows[] = {
        {"text/html;charset=utf-8", "utf-8"},
        {"text/html ; Charset=UTF-8 ; x=y", "UTF-8"},
        {"text/html; charset=\"utf-8\"; a=b", "utf-8"},
        {"text/html; charset=\"utf-8\"x; a=b", "utf-8"},
        {"text/html; charset=\"utf-8", "utf-8"},
        {"text/html; charset= utf-8 ", "utf-8"},
        {"text/html; a=\"x;charset=no\"; charset=yes", "yes"},
        {"text/html; a=\"\\\";charset=no\"; charset=yes", "yes"},
        {"text/html; a=x\"; charset=yes", "yes"}, /* a quote within is not one */
        {"text/html; charset=x\"y;charset=no\"", "x\"y"},
        {"text/html; charset; charset=yes", "yes"},
        {"text/html; charset=; charset=yes", "yes"},
        {"text/html; charset=\x01; charset=yes", "yes"},
        {"text/html; charset=\"\"; charset=no", ""},
        {"text/html; charset=first; charset=second", "first"},
        {"text/html; charset =no", ""},
        {"text/html; xcharset=no", ""},
        {"text/html; =no; charset=yes", "yes"},
        {"text/html;;;charset=yes;", "yes"},
        {"text/html; charset=\"", ""},
        {"text/html", ""},
        {"*/*;charset=no", ""},
        {"charset=no", ""},
        {";charset=no", ""},
        {"html;charset=no", ""},
        {"text /html;charset=no", ""},
        {"/html;charset=no", ""},
        {"text/;charset=no", ""},
        {"text/h{;charset=no", ""},
        {";", ""},
        {",", ""},
        {"", ""},
    };

    assert_rows(rows, sizeof rows / sizeof rows[0]);
    assert_charset(bytes_of(NULL, 0), BYTES(""));
}
END_TEST

START_TEST(the_type_is_that_of_the_last_value_that_has_one)
{
    static const struct row rows[] = {
        {"text/html", "text/html"},
        {" Text/HTML ;charset=utf-8", "Text/HTML"},
        {"text/html, text/html", "text/html"},
        {"image/png, text/html;x=y", "text/html"},
        {"text/html, image/png", "image/png"},
        {"text/html;x=\",\", nothing, */*, ;", "text/html"},
        {"text/html;x=\", image/png", "text/html"},
        {"*/*", ""},
        {"text", ""},
        {"text /html", ""},
        {",", ""},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes got = content_type_essence(bytes_cstr(rows[i].field));
        ck_assert_msg(bytes_equal(got, bytes_cstr(rows[i].want)), "%s: got \"%.*s\"", rows[i].field,
                      (int)got.len, got.ptr);
    }
}
END_TEST

START_TEST(a_backslash_in_a_quoted_charset_quotes)
{
    static const struct row rows[] = {
        {"text/html;charset=\"g\\b\\k\"", "gbk"},
        {"text/html;charset=\"\\\"gbk\\\\\"", "\"gbk\\"},
        {"text/html;charset=\"gbk\\", "gbk\\"},
    };
    char field[512], label[CONTENT_TYPE_LABEL_MAX];

    assert_rows(rows, sizeof rows / sizeof rows[0]);
    int len = snprintf(field, sizeof field, "text/html;charset=\"%0300d\\x\"", 0);
    memset(label, '0', sizeof label);
    assert_charset(bytes_of(field, (size_t)len), bytes_of(label, sizeof label));
}
END_TEST

START_TEST(of_several_values_the_last_media_type_counts_and_takes_over_the_charset_of_its_like)
{
    static const struct row rows[] = {
        {"text/plain;charset=gbk, text/html", ""},
        {"text/html;charset=gbk, text/html", "gbk"},
        {"text/html;charset=gbk, TEXT/HTML;x=y", "gbk"},
        {"text/html;charset=gbk, text/html;charset=big5", "big5"},
        {"text/html;charset=gbk, text/html;charset=big5, text/html", "gbk"},
        {"text/html;charset=gbk, x/y;charset=big5, text/html", ""},
        {"text/html;charset=gbk, */*;charset=big5, , nothing", "gbk"},
        {"text/html, text/html;charset=gbk", "gbk"},
        {"text/html;charset=\"a,b\"", "a,b"},
        {"text/html;x=\",text/html;charset=no\", text/html;charset=yes", "yes"},
    };

    assert_rows(rows, sizeof rows / sizeof rows[0]);
}
END_TEST

Suite *suite_content_type(void)
{
    Suite *suite = suite_create("content_type");
    TCase *tc = tcase_create("content_type");

    tcase_add_test(tc, the_charset_parameter_is_read_as_the_standard_reads_it);
    tcase_add_test(tc, the_type_is_that_of_the_last_value_that_has_one);
    tcase_add_test(tc, a_backslash_in_a_quoted_charset_quotes);
    tcase_add_test(
        tc, of_several_values_the_last_media_type_counts_and_takes_over_the_charset_of_its_like);
    suite_add_tcase(suite, tc);
    return suite;
}
