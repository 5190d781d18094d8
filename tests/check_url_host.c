#include "tests/check.h"

#include "parsers/url_host.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Well-formed UTF-8 of two, three and four bytes. */
#define U_UMLAUT "\xc3\xbc"
#define EURO     "\xe2\x82\xac"
#define FACE     "\xf0\x9f\x98\x80"

struct row {
    const char *given, *want; /* "": refused */
};

/* In exactly the memory there is room for, so that ASan sees what goes past it. */
static void assert_normalised(const char *given, size_t len, size_t room, const char *want)
{
    char *host = malloc(room ? room : 1);

    ck_assert_ptr_nonnull(host);
    memcpy(host, given, len);
    size_t got = url_host_normalise(host, len, room);
    ck_assert_msg(got == strlen(want) && memcmp(host, want, got) == 0,
                  "%s in %zu bytes: got '%.*s', not '%s'", given, room, (int)got, host, want);
    free(host);
}

static void assert_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(rows[i].given), want = strlen(rows[i].want);

        assert_normalised(rows[i].given, len, len + 64, rows[i].want);
        for (size_t room = len; room <= len + 8; room++)
            assert_normalised(rows[i].given, len, room, room < want ? "" : rows[i].want);
    }
}

START_TEST(a_name_is_decoded_and_put_into_lower_case)
{
    static const struct row rows[] = {
        {"A.EXAMPLE", "a.example"},
        {"%41.ex%61mple", "a.example"},
        {"a%2Eexample%2e", "a.example."},
        {"a..b", "a..b"},
        {".a", ".a"},
        {".", "."},
        {"..", ".."},
        {"1..", "1.."},
        {"-a_b-", "-a_b-"},
        {"a!$&'()*+,;=`{}~\"b", "a!$&'()*+,;=`{}~\"b"},
        {"XN--A.example", "xn--a.example"},
        {"M\xc3\x9cnchen.EXAMPLE", "m\xc3\x9cnchen.example"},
        {"m%C3%BCnchen.1", "m" U_UMLAUT "nchen.1"},
        {EURO "%F0%9F%98%80", EURO FACE},
        {"%C3", ""},
        {"%ed%a0%80", ""},
        {"%ef%bf%bd", ""},
        {"a\xef\xbf\xbd", ""},
        {"%", ""},
        {"a%2", ""},
        {"a%zz", ""},
        {"a%25b", ""},
        {"a%2525b", ""},
        {"%00", ""},
        {"a%20b", ""},
        {"a b", ""},
        {"a%09b", ""},
        {"a%2fb", ""},
        {"a%3a80", ""},
        {"a%40b", ""},
        {"%5b::1%5d", ""},
        {"a]", ""},
        {"a[b]c", ""},
        {U_UMLAUT "%20", ""},
        {U_UMLAUT "^", ""},
    };

    assert_rows(rows, COUNT(rows));
}
END_TEST

START_TEST(a_host_that_ends_in_a_number_is_an_ipv4_address)
{
    static const struct row rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1.", "192.0.2.1"},
        {"127.1", "127.0.0.1"},
        {"127.0.1", "127.0.0.1"},
        {"2130706433", "127.0.0.1"},
        {"0x7f000001", "127.0.0.1"},
        {"0X7F.0x0.0X1", "127.0.0.1"},
        {"0177.0.0.01", "127.0.0.1"},
        {"017700000001", "127.0.0.1"},
        {"%31%32%37.1", "127.0.0.1"},
        {"0", "0.0.0.0"},
        {"0x", "0.0.0.0"},
        {"0X.0x.0", "0.0.0.0"},
        {"1.2.3.0x", "1.2.3.0"},
        {"00000000000000000000000000000000001", "0.0.0.1"},
        {"1.65535", "1.0.255.255"},
        {"1.16777215", "1.255.255.255"},
        {"1.2.65535", "1.2.255.255"},
        {"4294967295", "255.255.255.255"},
        {"0xffffffff.", "255.255.255.255"},
        {"037777777777", "255.255.255.255"},
        {"4294967296", ""},
        {"0x100000000", ""},
        {"0xffffffffffffffffffffffffffffffff", ""},
        {"18446744073709551617", ""},
        {"1.16777216", ""},
        {"1.2.65536", ""},
        {"1.2.3.256", ""},
        {"256.1", ""},
        {"1.256.1", ""},
        {"1.2.3.4.5", ""},
        {"1.2.3.4.5.", ""},
        {"1..2", ""},
        {".1", ""},
        {"1.2.3.4..1", ""},
        {"a.1", ""},
        {"a.example.0x1f", ""},
        {"a.09", ""},
        {"09", ""},
        {"08.1", ""},
        {"1.2.3.09", ""},
        {"0x.0x.0x.0x.0x", ""},
        {"+1.1", ""},
        {"1.2.3.4a", "1.2.3.4a"},
        {"0xg", "0xg"},
        {"1.0x1g", "1.0x1g"},
        {"1.x", "1.x"},
        {"1e2", "1e2"},
        {"-1", "-1"},
        {"1.2.3.4..", "1.2.3.4.."},
    };

    assert_rows(rows, COUNT(rows));
}
END_TEST

START_TEST(an_ipv6_address_has_one_spelling)
{
    static const struct row rows[] = {
        {"[::]", "[::]"},
        {"[::1]", "[::1]"},
        {"[1::]", "[1::]"},
        {"[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]"},
        {"[2001:0db8::0001]", "[2001:db8::1]"},
        {"[0:0:0:0:0:0:0:0]", "[::]"},
        {"[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]"},
        {"[1:0:0:2:0:0:0:3]", "[1:0:0:2::3]"},
        {"[1:0:0:2:0:0:3:4]", "[1::2:0:0:3:4]"},
        {"[1:0:2:0:3:0:4:0]", "[1:0:2:0:3:0:4:0]"},
        {"[0:1:0:0:0:0:0:0]", "[0:1::]"},
        {"[1:2:3:4:5:6:0:0]", "[1:2:3:4:5:6::]"},
        {"[0:0:3:4:5:6:7:8]", "[::3:4:5:6:7:8]"},
        {"[1::3:4:5:6:7:8]", "[1:0:3:4:5:6:7:8]"},
        {"[::2:3:4:5:6:7:8]", "[0:2:3:4:5:6:7:8]"},
        {"[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7:0]"},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"},
        {"[::ffff:192.0.2.1]", "[::ffff:c000:201]"},
        {"[::127.0.0.1]", "[::7f00:1]"},
        {"[1::0.0.0.0]", "[1::]"},
        {"[1:2:3:4:5::1.2.3.4]", "[1:2:3:4:5:0:102:304]"},
        {"[]", ""},
        {"[", ""},
        {"[:]", ""},
        {"[:::]", ""},
        {"[::1", ""},
        {"::1]", ""},
        {"[::1]a", ""},
        {"[::1].", ""},
        {"[[::1]]", ""},
        {"[1]", ""},
        {"[1:2:3:4:5:6:7]", ""},
        {"[1:2:3:4:5:6:7:]", ""},
        {"[1:2:3:4:5:6:7:8:]", ""},
        {"[1:2:3:4:5:6:7:8:9]", ""},
        {"[1:2:3:4:5:6:7:8::]", ""},
        {"[::1:2:3:4:5:6:7:8]", ""},
        {"[:1::]", ""},
        {"[1::2::3]", ""},
        {"[1:::2]", ""},
        {"[12345::]", ""},
        {"[g::]", ""},
        {"[::1%25eth0]", ""},
        {"[::1%eth0]", ""},
        {"[::%31]", ""},
        {"[:: 1]", ""},
        {"[::1.2.3]", ""},
        {"[::1.2.3.]", ""},
        {"[::1.2.3.4.]", ""},
        {"[::1.2.3.4.5]", ""},
        {"[::1.2.3.4:1]", ""},
        {"[::.1.2.3]", ""},
        {"[::1..2.3]", ""},
        {"[::01.2.3.4]", ""},
        {"[::1.2.3.00]", ""},
        {"[::1.2.3.256]", ""},
        {"[::1.2.3.a]", ""},
        {"[::a.2.3.4]", ""},
        {"[::0x1.2.3.4]", ""},
        {"[1.2.3.4]", ""},
        {"[1:2:3:4:5:6:7:1.2.3.4]", ""},
        {"[1:2:3:4:5:6::1.2.3.4]", ""},
        {"[1:2:3:4:5:1.2.3.4]", ""},
        {"[::" U_UMLAUT "]", ""},
    };

    assert_rows(rows, COUNT(rows));
}
END_TEST

START_TEST(every_byte_is_taken_or_refused_in_a_name)
{
    char given[] = "x?y", want[] = "x?y";

    for (unsigned c = 0; c < 256; c++) {
        bool refused = c <= 0x20 || c >= 0x7f || strchr("#%/:<>?@[\\]^|", (int)c);

        given[1] = (char)c;
        want[1] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        assert_normalised(given, 3, 3, refused ? "" : want);
    }
    assert_normalised("", 0, 0, "");
}
END_TEST

Suite *suite_url_host(void)
{
    Suite *suite = suite_create("url_host");
    TCase *tc = tcase_create("url_host");

    tcase_add_test(tc, a_name_is_decoded_and_put_into_lower_case);
    tcase_add_test(tc, a_host_that_ends_in_a_number_is_an_ipv4_address);
    tcase_add_test(tc, an_ipv6_address_has_one_spelling);
    tcase_add_test(tc, every_byte_is_taken_or_refused_in_a_name);
    suite_add_tcase(suite, tc);
    return suite;
}
