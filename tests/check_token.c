#include "server/access/token.h"
#include "tests/check.h"

#include <errno.h>
#include <stdio.h>

#define FIRST  "abcdefghijklmnop"
#define SECOND "0123456789-._~+/=="

static struct token_set set;

static void teardown(void)
{
    token_set_free(&set);
}

static int read_lines(const char *text, size_t *ret_line)
{
    *ret_line = 0;
    return token_set_add_lines(&set, bytes_cstr(text), ret_line);
}

START_TEST(a_token_is_found_whole_and_in_no_other_way)
{
    ck_assert_int_eq(token_set_add(&set, BYTES(FIRST)), 0);
    ck_assert_int_eq(token_set_add(&set, BYTES(SECOND)), 0);
    ssize_t first = token_set_find(&set, BYTES(FIRST));
    ssize_t second = token_set_find(&set, BYTES(SECOND));

    ck_assert_int_eq(first + second, 1); /* places 0 and 1 */
    ck_assert_int_eq(token_set_find(&set, BYTES("abcdefghijklmno")), -ENOENT);
    ck_assert_int_eq(token_set_find(&set, BYTES(FIRST "q")), -ENOENT);
    ck_assert_int_eq(token_set_find(&set, BYTES("Abcdefghijklmnop")), -ENOENT);
    ck_assert_int_eq(token_set_find(&set, BYTES("")), -ENOENT);
    ck_assert_int_eq(token_set_find(&set, BYTES(FIRST "\0")), -ENOENT);
}
END_TEST

START_TEST(an_empty_set_has_no_token)
{
    ck_assert_int_eq(token_set_find(&set, BYTES(FIRST)), -ENOENT);
    ck_assert_int_eq(token_set_find(&set, BYTES("")), -ENOENT);
}
END_TEST

START_TEST(only_a_hash_is_kept)
{
    /* printf abc...p | sha256sum */
    static const unsigned char expected[] = {0xf3, 0x9d, 0xac, 0x6c, 0xba, 0xba, 0x53, 0x5e};

    ck_assert_int_eq(token_set_add(&set, BYTES(FIRST)), 0);
    ck_assert_mem_eq(set.hashes[0].bytes, expected, sizeof expected);
}
END_TEST

START_TEST(a_token_that_comes_twice_counts_once)
{
    size_t line;

    ck_assert_int_eq(read_lines(FIRST "\n" SECOND "\n" FIRST, &line), 0);
    ck_assert_uint_eq(set.count, 2);
}
END_TEST

START_TEST(blank_lines_comments_and_white_space_do_not_count)
{
    size_t line;

    ck_assert_int_eq(
        read_lines("# those of the crawler\r\n\r\n  " FIRST " \r\n\n#" SECOND "\n\t\n", &line), 0);
    ck_assert_uint_eq(set.count, 1);
    ck_assert_int_eq(token_set_find(&set, BYTES(FIRST)), 0);
    ck_assert_int_eq(read_lines("", &line), 0);
    ck_assert_uint_eq(set.count, 1);
}
END_TEST

static const char *const bad_lines[] = {
    "abcdefghijklmno",    /* 15 characters */
    "abcdefgh ijklmnopq", /* white space */
    "abcdefgh=ijklmnopq", /* = elsewhere */
    "================",   /* nothing else */
    "abcdefgh,ijklmnopq",       "abcdefgh\"ijklmnopq",  "abcdefghijklmnop\x7f",
    "abcdefghijklmnop\xc3\xa4", ("\xef\xbb\xbf" FIRST), /* a byte order mark */
};

START_TEST(a_line_that_is_no_token_is_told_by_its_number)
{
    char text[128];
    size_t line;

    snprintf(text, sizeof text, "# one\n" FIRST "\n%s\n" SECOND "\n", bad_lines[_i]);
    ck_assert_int_eq(read_lines(text, &line), -EINVAL);
    ck_assert_uint_eq(line, 3);
    ck_assert(!token_valid(bytes_cstr(bad_lines[_i])));
}
END_TEST

START_TEST(a_token_has_at_most_512_characters)
{
    char token[TOKEN_LONGEST + 1];

    memset(token, 'x', sizeof token);
    ck_assert(token_valid(bytes_of(token, TOKEN_LONGEST)));
    ck_assert(!token_valid(bytes_of(token, TOKEN_LONGEST + 1)));
    ck_assert_int_eq(token_set_add(&set, bytes_of(token, sizeof token)), -EINVAL);
}
END_TEST

START_TEST(a_full_set_takes_no_more_and_keeps_its_order)
{
    char token[32];

    for (int i = 0; i < TOKENS_MOST; i++) {
        snprintf(token, sizeof token, "token-number-%06d", i);
        ck_assert_int_eq(token_set_add(&set, bytes_cstr(token)), 0);
    }
    ck_assert_int_eq(token_set_add(&set, BYTES("token-number-999999")), -E2BIG);
    ck_assert_int_eq(token_set_add(&set, BYTES("token-number-000000")), 0);
    for (size_t i = 1; i < set.count; i++)
        ck_assert_int_lt(token_hash_compare(&set.hashes[i - 1], &set.hashes[i]), 0);
    for (int i = 0; i < TOKENS_MOST; i += 97) {
        snprintf(token, sizeof token, "token-number-%06d", i);
        ck_assert_int_ge(token_set_find(&set, bytes_cstr(token)), 0);
    }
}
END_TEST

Suite *suite_token(void)
{
    Suite *s = suite_create("token");
    TCase *tc = tcase_create("token");

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_add_test(tc, a_token_is_found_whole_and_in_no_other_way);
    tcase_add_test(tc, an_empty_set_has_no_token);
    tcase_add_test(tc, only_a_hash_is_kept);
    tcase_add_test(tc, a_token_that_comes_twice_counts_once);
    tcase_add_test(tc, blank_lines_comments_and_white_space_do_not_count);
    tcase_add_loop_test(tc, a_line_that_is_no_token_is_told_by_its_number, 0,
                        sizeof bad_lines / sizeof bad_lines[0]);
    tcase_add_test(tc, a_token_has_at_most_512_characters);
    tcase_add_test(tc, a_full_set_takes_no_more_and_keeps_its_order);
    suite_add_tcase(s, tc);
    return s;
}
