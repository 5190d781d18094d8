#include "core/fetch/header.h"
#include "tests/check.h"

#include "core/base/buffer.h"

#include <curl/curl.h>
#include <errno.h>

static struct header_list list;

static void teardown(void)
{
    header_list_free(&list);
}

static int add(struct bytes name, struct bytes value, const char **ret_message)
{
    return header_list_add(&list, name, value, ret_message);
}

static void assert_added(const char *name, const char *value)
{
    const char *message = NULL;

    ck_assert_msg(add(bytes_cstr(name), bytes_cstr(value), &message) == 0, "%s %s", name, message);
}

/* Refused with a message that has `word` in it, and the list is left as it was. */
static void assert_refused(struct bytes name, struct bytes value, const char *word)
{
    struct header_list before = list;
    const char *message = NULL;

    ck_assert_msg(add(name, value, &message) == -EINVAL, "'%.*s: %.*s' was taken", (int)name.len,
                  name.ptr, (int)value.len, value.ptr);
    ck_assert_msg(message && strstr(message, word), "'%.*s' %s, not %s", (int)name.len, name.ptr,
                  message, word);
    ck_assert(list.lines == before.lines && list.count == before.count &&
              list.bytes == before.bytes);
}

static const struct {
    const char *name, *value, *line;
} good[] = {
    {"Accept", "text/html;q=0.9, */*", "Accept: text/html;q=0.9, */*"},
    {"accept-language", "de", "accept-language: de"},
    {"Authorization", "Bearer a.b:c", "Authorization: Bearer a.b:c"},
    {"Cookie", "a=\"b\"; c=d", "Cookie: a=\"b\"; c=d"},
    {"X", " \t a \t b \t ", "X: a \t b"},
    {"X", "", "X;"},
    {"X", " \t ", "X;"},
    {"X", ";", "X: ;"},
    {"X", "\xc3\xa9\xff", "X: \xc3\xa9\xff"},
    {"!#$%&'*+-.^_`|~09azAZ", "x", "!#$%&'*+-.^_`|~09azAZ: x"},
    /* Names that only resemble refused ones. */
    {"Hosts", "x", "Hosts: x"},
    {"X-Host", "x", "X-Host: x"},
    {"Content-Type", "text/plain", "Content-Type: text/plain"},
    {"Proxy", "x", "Proxy: x"},
    {"X-Proxy-A", "x", "X-Proxy-A: x"},
};

START_TEST(a_field_becomes_a_line_as_libcurl_takes_it)
{
    assert_added(good[_i].name, good[_i].value);
    ck_assert_str_eq(list.lines->data, good[_i].line);
    ck_assert_ptr_null(list.lines->next);
    ck_assert_uint_eq(list.count, 1);
}
END_TEST

START_TEST(fields_stay_in_their_order_and_are_counted_as_they_are_sent)
{
    assert_added("A", "1");
    assert_added("B", "");
    assert_added("A-B", " 3 ");
    ck_assert_str_eq(list.lines->data, "A: 1");
    ck_assert_str_eq(list.lines->next->data, "B;");
    ck_assert_str_eq(list.lines->next->next->data, "A-B: 3");
    ck_assert_uint_eq(list.count, 3);
    ck_assert_uint_eq(list.bytes, strlen("A: 1\r\nB: \r\nA-B: 3\r\n"));

    header_list_free(&list);
    ck_assert_ptr_null(list.lines);
    ck_assert_uint_eq(list.count + list.bytes, 0);
    assert_added("A", "1");
}
END_TEST

static const struct {
    const char *name, *word;
} names[] = {
    {"Host", "set by skimd"},
    {"Accept-Encoding", "set by skimd"},
    {"User-Agent", "option of its own"},
    {"Content-Length", "request body"},
    {"Transfer-Encoding", "request body"},
    {"Trailer", "request body"},
    {"Expect", "request body"},
    {"Connection", "connection"},
    {"Keep-Alive", "connection"},
    {"TE", "connection"},
    {"Upgrade", "connection"},
    {"HTTP2-Settings", "connection"},
    {"Proxy-Connection", "proxies"},
    {"Proxy-Authorization", "proxies"},
    {"Proxy-Authenticate", "proxies"},
    {"Proxy-", "proxies"},
};

/* `name` in upper (or lower) case. */
static struct buffer in_case(const char *name, bool upper)
{
    struct buffer text = {0};

    for (; *name; name++) {
        char c = *name;

        if (upper && c >= 'a' && c <= 'z')
            c = (char)(c - 0x20);
        else if (!upper && c >= 'A' && c <= 'Z')
            c = (char)(c + 0x20);
        buffer_byte(&text, c);
    }
    ck_assert(!text.failed);
    return text;
}

START_TEST(what_is_the_connections_or_skimds_own_is_refused_in_any_case)
{
    struct buffer upper = in_case(names[_i].name, true), lower = in_case(names[_i].name, false);

    assert_refused(bytes_cstr(names[_i].name), BYTES("x"), names[_i].word);
    assert_refused(buffer_bytes(&upper), BYTES("x"), names[_i].word);
    assert_refused(buffer_bytes(&lower), BYTES(""), names[_i].word);
    buffer_free(&upper);
    buffer_free(&lower);
}
END_TEST

START_TEST(the_pseudo_fields_of_http2_are_refused)
{
    assert_refused(BYTES(":authority"), BYTES("x"), "pseudo-field");
    assert_refused(BYTES(":path"), BYTES("/"), "pseudo-field");
    assert_refused(BYTES(":"), BYTES(""), "pseudo-field");
}
END_TEST

START_TEST(a_name_of_other_than_token_characters_is_refused)
{
    static const char good_ones[] = "!#$%&'*+-.^_`|~0123456789"
                                    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    assert_refused(BYTES(""), BYTES("x"), "no name");
    for (int c = 0; c < 256; c++) {
        char name[3] = {'X', (char)c, 'Y'};

        if (c != '\0' && strchr(good_ones, c))
            continue;
        assert_refused(bytes_of(name, 3), BYTES("x"), "names cannot have");
        assert_refused(bytes_of(name, 2), BYTES("x"), "names cannot have");
        if (c != ':')
            assert_refused(bytes_of(name + 1, 2), BYTES("x"), "names cannot have");
    }
}
END_TEST

START_TEST(a_value_with_a_control_character_but_the_tab_is_refused)
{
    for (int c = 0; c < 256; c++) {
        char value[3] = {'a', (char)c, 'b'};
        bool is_control = (c < 0x20 && c != '\t') || c == 0x7f;
        const char *message;

        if (!is_control) {
            ck_assert_msg(add(BYTES("X"), bytes_of(value, 3), &message) == 0, "%02x", (unsigned)c);
            header_list_free(&list);
            continue;
        }
        assert_refused(BYTES("X"), bytes_of(value, 3), "control character");
        assert_refused(BYTES("X"), bytes_of(value + 1, 2), "control character");
        assert_refused(BYTES("X"), bytes_of(value, 2), "control character");
    }
    assert_refused(BYTES("X"), BYTES("a\r\nHost: b"), "control character");
    assert_refused(BYTES("X"), BYTES("a \r\n"), "control character");
    assert_refused(BYTES("X"), BYTES(" \n a"), "control character");
}
END_TEST

START_TEST(a_name_that_is_there_already_is_refused_in_any_case)
{
    assert_added("X-A", "1");
    assert_added("X-B", "");
    assert_refused(BYTES("X-A"), BYTES("2"), "already");
    assert_refused(BYTES("x-a"), BYTES(""), "already");
    assert_refused(BYTES("x-b"), BYTES("1"), "already");
    assert_added("X-", "1");
    assert_added("X-AB", "1");
}
END_TEST

START_TEST(no_more_than_64_headers_are_taken)
{
    for (int i = 0; i < HEADERS_MAX; i++) {
        char name[8];

        snprintf(name, sizeof name, "X-%d", i);
        assert_added(name, "");
    }
    assert_refused(BYTES("X"), BYTES(""), "64");
    ck_assert_uint_eq(list.count, HEADERS_MAX);
}
END_TEST

START_TEST(no_more_than_16_kib_of_headers_are_taken)
{
    static char value[HEADERS_BYTES_MAX];
    const char *message;

    memset(value, 'a', sizeof value);
    assert_refused(BYTES("X"), bytes_of(value, HEADERS_BYTES_MAX - 4), "16 KiB");
    assert_added("Y", "1");
    ck_assert_int_eq(add(BYTES("X"), bytes_of(value, HEADERS_BYTES_MAX - 6 - 5), &message), 0);
    ck_assert_uint_eq(list.bytes, HEADERS_BYTES_MAX);
    assert_refused(BYTES("Z"), BYTES(""), "16 KiB");
}
END_TEST

START_TEST(a_name_and_a_value_need_no_terminating_nul)
{
    const char *message;

    ck_assert_int_eq(add(bytes_of("X-AB", 3), bytes_of("1234", 2), &message), 0);
    ck_assert_str_eq(list.lines->data, "X-A: 12");
    ck_assert_int_eq(add(BYTES("B"), bytes_of(NULL, 0), &message), 0);
    ck_assert_str_eq(list.lines->next->data, "B;");
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

Suite *suite_header(void)
{
    Suite *suite = suite_create("header");
    TCase *taken = tcase_create("taken"), *refused = tcase_create("refused");

    tcase_add_checked_fixture(taken, NULL, teardown);
    tcase_add_loop_test(taken, a_field_becomes_a_line_as_libcurl_takes_it, 0, COUNT(good));
    tcase_add_test(taken, fields_stay_in_their_order_and_are_counted_as_they_are_sent);
    tcase_add_test(taken, a_name_and_a_value_need_no_terminating_nul);
    suite_add_tcase(suite, taken);

    tcase_add_checked_fixture(refused, NULL, teardown);
    tcase_add_loop_test(refused, what_is_the_connections_or_skimds_own_is_refused_in_any_case, 0,
                        COUNT(names));
    tcase_add_test(refused, the_pseudo_fields_of_http2_are_refused);
    tcase_add_test(refused, a_name_of_other_than_token_characters_is_refused);
    tcase_add_test(refused, a_value_with_a_control_character_but_the_tab_is_refused);
    tcase_add_test(refused, a_name_that_is_there_already_is_refused_in_any_case);
    tcase_add_test(refused, no_more_than_64_headers_are_taken);
    tcase_add_test(refused, no_more_than_16_kib_of_headers_are_taken);
    suite_add_tcase(suite, refused);
    return suite;
}
