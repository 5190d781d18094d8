#include "core/fetch/fetch_error.h"
#include "core/fetch/target.h"
#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static void setup(void)
{
    ck_assert_int_eq(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
}

static void teardown(void)
{
    curl_global_cleanup();
}

static struct target parse(const char *url)
{
    struct target target;
    const char *message = NULL;
    int r = target_parse(bytes_cstr(url), &target, &message);

    ck_assert_msg(r == 0, "%s: %s, %s", url, fetch_code_name(r), message);
    ck_assert_ptr_null(message);
    return target;
}

static struct target follow(const struct target *base, const char *location)
{
    struct target target;
    const char *message = NULL;
    int r = target_redirect(base, bytes_cstr(location), &target, &message);

    ck_assert_msg(r == 0, "%s: %s, %s", location, fetch_code_name(r), message);
    return target;
}

static void assert_refused(int r, int code, const char *message, const char *word, const char *url)
{
    ck_assert_msg(r == code, "%s: %s instead of %s", url, fetch_code_name(r),
                  fetch_code_name(code));
    ck_assert_msg(message && strstr(message, word), "%s: '%s' does not say '%s'", url, message,
                  word);
}

/* The user name and password that libcurl would send: "user:password", or "" for none. */
static void assert_credentials(const struct target *target, const char *expected)
{
    char *user = NULL, *password = NULL, text[64];

    curl_url_get(target->handle, CURLUPART_USER, &user, 0);
    curl_url_get(target->handle, CURLUPART_PASSWORD, &password, 0);
    snprintf(text, sizeof text, "%s%s%s", user ? user : "", password ? ":" : "",
             password ? password : "");
    ck_assert_str_eq(text, expected);
    curl_free(user);
    curl_free(password);
}

/* -- parsing ----------------------------------------------------------------------------------- */

struct good {
    const char *given, *url, *origin, *host;
};

static const struct good good[] = {
    {"http://a.example", "http://a.example/", "http://a.example:80", "a.example"},
    {"HTTP://A.Example:80/B", "http://a.example/B", "http://a.example:80", "a.example"},
    {"https://a.example:443/", "https://a.example/", "https://a.example:443", "a.example"},
    {"http://a.example:443/", "http://a.example:443/", "http://a.example:443", "a.example"},
    {"http://a.example:0080/", "http://a.example/", "http://a.example:80", "a.example"},
    {"http://a.example:/", "http://a.example/", "http://a.example:80", "a.example"},
    {"http://a.example?q", "http://a.example/?q", "http://a.example:80", "a.example"},
    {"http://a.example/p?q#f", "http://a.example/p?q", "http://a.example:80", "a.example"},
    {"http://a.example#f?g/h", "http://a.example/", "http://a.example:80", "a.example"},
    {"http://a.example/a/../b/./c", "http://a.example/b/c", "http://a.example:80", "a.example"},
    {"http://a.example//a//b", "http://a.example//a//b", "http://a.example:80", "a.example"},
    {"http://a.example/%7e%2F", "http://a.example/%7e%2F", "http://a.example:80", "a.example"},
    {"http://a.example/\xc3\xbc?\xff", "http://a.example/%c3%bc?%ff", "http://a.example:80",
     "a.example"},
    {"http://A.example./", "http://a.example./", "http://a.example.:80", "a.example."},
    {"http://a_b.example/", "http://a_b.example/", "http://a_b.example:80", "a_b.example"},
    {"http://a%41.example/", "http://aa.example/", "http://aa.example:80", "aa.example"},
    {"http://[2001:DB8:0:0::1]:8080/", "http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080",
     "2001:db8::1"},
    {"http://[::FFFF:7f00:1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]:80",
     "::ffff:127.0.0.1"},
    /* an international name, and the full stop and digits of other scripts */
    {"http://M\xc3\xbcnchen.example/", "http://xn--mnchen-3ya.example/",
     "http://xn--mnchen-3ya.example:80", "xn--mnchen-3ya.example"},
    {"http://a\xe3\x80\x82\x65xample/", "http://a.example/", "http://a.example:80", "a.example"},
    {"http://\xe2\x91\xa0.2.3.4/", "http://1.2.3.4/", "http://1.2.3.4:80", "1.2.3.4"},
    /* 127.0.0.1 in the spellings of inet_aton() */
    {"http://2130706433/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
    {"http://0x7f000001/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
    {"http://0177.0.0.1/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
    {"http://127.1/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
    {"http://0x7f.0.1/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
    {"http://017700000001/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
    {"http://127.0.1/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
    {"http://0177.0x0.0.01/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
    {"http://0X7F.1/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
    {"http://localhost./", "http://localhost./", "http://localhost.:80", "localhost."},
    {"http://%31%32%37.0.0.1/", "http://127.0.0.1/", "http://127.0.0.1:80", "127.0.0.1"},
};

START_TEST(a_url_is_normalised_and_taken_apart)
{
    const struct good *row = &good[_i];
    struct target target = parse(row->given), again;
    char port[8];

    ck_assert_str_eq(target.url, row->url);
    ck_assert_str_eq(target.origin, row->origin);
    ck_assert_msg(bytes_equal(target.host, bytes_cstr(row->host)), "host of %s", row->given);
    snprintf(port, sizeof port, ":%u", (unsigned)target.port);
    ck_assert_str_eq(strrchr(target.origin, ':'), port);
    ck_assert(target.is_tls == (strncmp(row->origin, "https:", 6) == 0));

    again = parse(target.url);
    ck_assert_str_eq(again.url, target.url);
    ck_assert_str_eq(again.origin, target.origin);
    target_free(&again);
    target_free(&target);
}
END_TEST

START_TEST(libcurl_gets_the_host_that_the_origin_names)
{
    struct target target = parse("http://M\xc3\x9cnchen.Example:81/x#f");
    char *url;

    ck_assert_int_eq(curl_url_get(target.handle, CURLUPART_URL, &url, 0), CURLUE_OK);
    ck_assert_str_eq(url, "http://xn--mnchen-3ya.example:81/x");
    curl_free(url);
    target_free(&target);
}
END_TEST

START_TEST(credentials_go_to_libcurl_but_not_into_the_url)
{
    struct target target = parse("https://user:p%40ss@a.example/x");

    ck_assert_str_eq(target.url, "https://a.example/x");
    ck_assert_str_eq(target.origin, "https://a.example:443");
    assert_credentials(&target, "user:p%40ss");
    target_free(&target);
}
END_TEST

START_TEST(a_freed_target_is_empty)
{
    struct target target = parse("http://a.example/");

    target_free(&target);
    ck_assert_ptr_null(target.handle);
    ck_assert_ptr_null(target.url);
    ck_assert_ptr_null(target.origin);
    target_free(&target);
    target_free(NULL);
}
END_TEST

struct bad {
    const char *given;
    int code;
    const char *word; /* of the message */
};

static const struct bad bad[] = {
    {"", FETCH_INVALID_URL, "empty"},
    {"a.example", FETCH_INVALID_URL, "http://"},
    {"a.example/path", FETCH_INVALID_URL, "http://"},
    {"//a.example/", FETCH_INVALID_URL, "http://"},
    {"/path", FETCH_INVALID_URL, "http://"},
    {"?q", FETCH_INVALID_URL, "http://"},
    {"localhost:8080", FETCH_INVALID_URL, "http://"},
    {"a.example:80/x", FETCH_INVALID_URL, "http://"},
    {"://a.example/", FETCH_INVALID_URL, "http://"},
    {"1http://a.example/", FETCH_INVALID_URL, "http://"},
    {"ftp://a.example/", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"file:///etc/passwd", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"javascript:alert(1)", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"mailto:a@b.example", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"ws://a.example/", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"httpx://a.example/", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"http:", FETCH_INVALID_URL, "//"},
    {"http:a.example", FETCH_INVALID_URL, "//"},
    {"http:/a.example", FETCH_INVALID_URL, "//"},
    {"http:\\\\a.example\\", FETCH_INVALID_URL, "//"},
    {"http://", FETCH_INVALID_URL, "no host"},
    {"http:///a.example/", FETCH_INVALID_URL, "no host"},
    {"http://?q", FETCH_INVALID_URL, "no host"},
    {"http://#f", FETCH_INVALID_URL, "no host"},
    {"http://user@/", FETCH_INVALID_URL, "host"},
    {"http://:80/", FETCH_INVALID_URL, "host"},
    {" http://a.example/", FETCH_INVALID_URL, "space"},
    {"http://a.example/ ", FETCH_INVALID_URL, "space"},
    {"http://a.example/a b", FETCH_INVALID_URL, "%20"},
    {"http://a.example/\t", FETCH_INVALID_URL, "control"},
    {"http://a.example/\r\nHost: b", FETCH_INVALID_URL, "control"},
    {"http://a.example/\x7f", FETCH_INVALID_URL, "control"},
    {"http://a.example:0/", FETCH_INVALID_URL, "ort"},
    {"http://a.example:65536/", FETCH_INVALID_URL, "ort"},
    {"http://a.example:80a/", FETCH_INVALID_URL, "ort"},
    {"http://a.example:-1/", FETCH_INVALID_URL, "ort"},
    {"http://a@b@c.example/", FETCH_INVALID_URL, "host"},
    {"http://a,b/", FETCH_INVALID_URL, "host"},
    {"http://a%00b/", FETCH_INVALID_URL, ""},
    {"http://a%20b/", FETCH_INVALID_URL, "host"},
    {"http://a..b/", FETCH_INVALID_URL, "host"},
    {"http://.a/", FETCH_INVALID_URL, "host"},
    {"http://./", FETCH_INVALID_URL, "host"},
    {"http://0123456789012345678901234567890123456789012345678901234567890123.example/",
     FETCH_INVALID_URL, "63"},
    {"http://1.2.3.4.5/", FETCH_INVALID_URL, "IPv4"},
    {"http://256.1.1.1/", FETCH_INVALID_URL, "IPv4"},
    {"http://127.0.0.1./", FETCH_INVALID_URL, "IPv4"},
    {"http://a.0x7f/", FETCH_INVALID_URL, "IPv4"},
    {"http://\xef\xbc\x90x7f.1/", FETCH_INVALID_URL, "IPv4"}, /* a full-width zero in front */
    {"http://[fe80::1%25eth0]/", FETCH_INVALID_URL, "zone"},
    {"http://[::1/", FETCH_INVALID_URL, "IPv6"},
    {"http://[1:2]/", FETCH_INVALID_URL, ""},
    {"http://[127.0.0.1]/", FETCH_INVALID_URL, ""},
    {"http://\xff.example/", FETCH_INVALID_URL, "international"},
    {"http://a.example\xef\xbc\x8f.b.example/", FETCH_INVALID_URL, "host"}, /* full-width slash */
};

START_TEST(what_is_no_http_url_is_refused_with_a_reason)
{
    struct target target = {.port = 7};
    const char *message = NULL;
    int r = target_parse(bytes_cstr(bad[_i].given), &target, &message);

    assert_refused(r, bad[_i].code, message, bad[_i].word, bad[_i].given);
    ck_assert_uint_eq(target.port, 7);
    ck_assert_ptr_null(target.handle);
}
END_TEST

START_TEST(an_embedded_nul_does_not_cut_the_url)
{
    struct target target;
    const char *message = NULL;
    int r = target_parse(BYTES("http://a.example/\0.b.example/"), &target, &message);

    assert_refused(r, FETCH_INVALID_URL, message, "control", "a URL with NUL");
}
END_TEST

/* "http://a.example/" and `unit` over and over, `len` bytes in all. */
static char *long_url(size_t len, const char *unit)
{
    static const char start[] = "http://a.example/";
    size_t used = sizeof start - 1;
    char *url = malloc(len + 1);

    ck_assert_ptr_nonnull(url);
    memcpy(url, start, used);
    for (size_t i = 0; used < len; i++, used++)
        url[used] = unit[i % strlen(unit)];
    url[len] = '\0';
    return url;
}

START_TEST(a_url_may_have_8192_bytes_and_no_more)
{
    char *most = long_url(TARGET_URL_MAX, "x"), *more = long_url(TARGET_URL_MAX + 1, "x"),
         *grows = long_url(TARGET_URL_MAX - 1, "\xc3\xbc");
    struct target target = parse(most);
    const char *message = NULL;
    int r;

    ck_assert_uint_eq(strlen(target.url), TARGET_URL_MAX);
    target_free(&target);
    r = target_parse(bytes_cstr(more), &target, &message);
    assert_refused(r, FETCH_INVALID_URL, message, "8192", "8193 bytes");
    r = target_parse(bytes_cstr(grows), &target, &message);
    assert_refused(r, FETCH_INVALID_URL, message, "encoded", "8191 bytes that grow");
    free(most);
    free(more);
    free(grows);
}
END_TEST

START_TEST(a_host_name_may_have_253_bytes_and_a_trailing_dot)
{
    char host[256] = "", url[300];
    struct target target;
    const char *message = NULL;
    int r;

    for (size_t i = 0; i < 253; i++)
        host[i] = i % 50 == 49 ? '.' : 'a';
    snprintf(url, sizeof url, "http://%s./", host);
    target = parse(url);
    ck_assert_uint_eq(target.host.len, 254);
    target_free(&target);

    host[253] = 'a';
    snprintf(url, sizeof url, "http://%s/", host);
    r = target_parse(bytes_cstr(url), &target, &message);
    assert_refused(r, FETCH_INVALID_URL, message, "253", "a host of 254 bytes");
}
END_TEST

/* -- redirects --------------------------------------------------------------------------------- */

struct hop {
    const char *location, *url;
};

/* RFC 3986 section 5.4, less what has another scheme; fragments are dropped. */
static const struct hop rfc3986[] = {
    {"g", "http://a/b/c/g"},
    {"./g", "http://a/b/c/g"},
    {"g/", "http://a/b/c/g/"},
    {"/g", "http://a/g"},
    {"//g", "http://g/"},
    {"?y", "http://a/b/c/d;p?y"},
    {"g?y", "http://a/b/c/g?y"},
    {"#s", "http://a/b/c/d;p?q"},
    {"g#s", "http://a/b/c/g"},
    {"g?y#s", "http://a/b/c/g?y"},
    {";x", "http://a/b/c/;x"},
    {"g;x", "http://a/b/c/g;x"},
    {"g;x?y#s", "http://a/b/c/g;x?y"},
    {"", "http://a/b/c/d;p?q"},
    {".", "http://a/b/c/"},
    {"./", "http://a/b/c/"},
    {"..", "http://a/b/"},
    {"../", "http://a/b/"},
    {"../g", "http://a/b/g"},
    {"../..", "http://a/"},
    {"../../", "http://a/"},
    {"../../g", "http://a/g"},
    {"../../../g", "http://a/g"},
    {"../../../../g", "http://a/g"},
    {"/./g", "http://a/g"},
    {"/../g", "http://a/g"},
    {"g.", "http://a/b/c/g."},
    {".g", "http://a/b/c/.g"},
    {"g..", "http://a/b/c/g.."},
    {"..g", "http://a/b/c/..g"},
    {"./../g", "http://a/b/g"},
    {"./g/.", "http://a/b/c/g/"},
    {"g/./h", "http://a/b/c/g/h"},
    {"g/../h", "http://a/b/c/h"},
    {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
    {"g;x=1/../y", "http://a/b/c/y"},
    {"g?y/./x", "http://a/b/c/g?y/./x"},
    {"g?y/../x", "http://a/b/c/g?y/../x"},
    {"g#s/./x", "http://a/b/c/g"},
    {"g#s/../x", "http://a/b/c/g"},
    /* and what servers send besides */
    {"HTTPS://Other.Example:443/x#f", "https://other.example/x"},
    {"//Other.Example:8080/x", "http://other.example:8080/x"},
    {" \t/x ", "http://a/x"},
    {"/a b?c d", "http://a/a%20b?c%20d"},
    {"http://b/a b", "http://b/a%20b"},
    {"/\xc3\xbc", "http://a/%c3%bc"},
    {"http://m\xc3\xbcnchen.example/\xfc", "http://xn--mnchen-3ya.example/%fc"},
    {"http://0x7f.1/", "http://127.0.0.1/"},
    {"//2130706433/", "http://127.0.0.1/"},
    {"//0X7F.1/X", "http://127.0.0.1/X"},
    {"X//Y/Z", "http://a/b/c/X//Y/Z"}, /* no host, so its case stays */
    {"?Q=http://Q/", "http://a/b/c/d;p?Q=http://Q/"},
};

START_TEST(a_location_is_resolved_against_its_base)
{
    struct target base = parse("http://a/b/c/d;p?q"), next = follow(&base, rfc3986[_i].location);

    ck_assert_str_eq(next.url, rfc3986[_i].url);
    target_free(&next);
    ck_assert_str_eq(base.url, "http://a/b/c/d;p?q");
    target_free(&base);
}
END_TEST

static const struct bad bad_locations[] = {
    {"ftp://b/", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"file:///etc/passwd", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"g:h", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"data:text/html,x", FETCH_UNSUPPORTED_SCHEME, "http"},
    {"http:g", FETCH_INVALID_URL, "//"},
    {"http:///x", FETCH_INVALID_URL, "no host"},
    {"///x", FETCH_INVALID_URL, "no host"},
    {"//", FETCH_INVALID_URL, "no host"},
    {"http://b c/", FETCH_INVALID_URL, "host"},
    {"/a\x01", FETCH_INVALID_URL, "control"},
    {"http://b:0/", FETCH_INVALID_URL, "ort"},
};

START_TEST(a_location_that_leads_nowhere_is_refused)
{
    struct target base = parse("http://a/b/c/d;p?q"), next = {.port = 7};
    const char *message = NULL;
    int r = target_redirect(&base, bytes_cstr(bad_locations[_i].given), &next, &message);

    assert_refused(r, bad_locations[_i].code, message, bad_locations[_i].word,
                   bad_locations[_i].given);
    ck_assert_uint_eq(next.port, 7);
    target_free(&base);
}
END_TEST

START_TEST(a_chain_of_relative_locations_meets_the_length_limit)
{
    char *most = long_url(TARGET_URL_MAX, "x/");
    struct target base = parse(most), next;
    const char *message = NULL;
    int r = target_redirect(&base, BYTES("yyy/yyy"), &next, &message);

    assert_refused(r, FETCH_INVALID_URL, message, "8192", "a relative location");
    target_free(&base);
    free(most);
}
END_TEST

static const struct hop credentials[] = {
    {"/x", "u:p%40"},
    {"", "u:p%40"},
    {"https://a.example/x", "u:p%40"},
    {"https://A.Example:443/x", "u:p%40"},
    {"https://v:w@a.example/x", "v:w"},
    {"http://a.example/x", ""},
    {"https://a.example:444/x", ""},
    {"https://a.example./x", ""},
    {"//b.example/x", ""},
    {"https://b.example/x", ""},
    {"https://v:w@b.example/x", "v:w"},
};

START_TEST(credentials_stay_with_their_origin)
{
    struct target base = parse("https://u:p%40@a.example/");
    struct target next = follow(&base, credentials[_i].location);

    assert_credentials(&next, credentials[_i].url);
    target_free(&next);
    target_free(&base);
}
END_TEST

/* -- codes ------------------------------------------------------------------------------------- */

START_TEST(a_code_has_the_name_of_the_api)
{
    ck_assert_str_eq(fetch_code_name(FETCH_INVALID_URL), "invalid_url");
    ck_assert_str_eq(fetch_code_name(FETCH_DNS_FAILURE), "dns_failure");
    ck_assert_str_eq(fetch_code_name(FETCH_INTERNAL), "internal");
    ck_assert_int_eq(FETCH_INVALID_URL, 1);
}
END_TEST

START_TEST(a_number_that_is_no_code_is_internal)
{
    ck_assert_str_eq(fetch_code_name(-1), "internal");
    ck_assert_str_eq(fetch_code_name(FETCH_INTERNAL + 1), "internal");
    ck_assert_str_eq(fetch_code_message(1000), fetch_code_message(FETCH_INTERNAL));
}
END_TEST

struct outcome {
    CURLcode result;
    int connecting, waiting, receiving;
};

static const struct outcome outcomes[] = {
    {CURLE_OK, FETCH_OK, FETCH_OK, FETCH_OK},
    {CURLE_URL_MALFORMAT, FETCH_INVALID_URL, FETCH_INVALID_URL, FETCH_INVALID_URL},
    {CURLE_UNSUPPORTED_PROTOCOL, FETCH_UNSUPPORTED_SCHEME, FETCH_PROTOCOL_ERROR,
     FETCH_PROTOCOL_ERROR},
    {CURLE_COULDNT_RESOLVE_HOST, FETCH_DNS_FAILURE, FETCH_DNS_FAILURE, FETCH_DNS_FAILURE},
    {CURLE_COULDNT_CONNECT, FETCH_CONNECT_FAILURE, FETCH_CONNECT_FAILURE, FETCH_CONNECT_FAILURE},
    {CURLE_RECV_ERROR, FETCH_CONNECT_FAILURE, FETCH_CONNECT_FAILURE, FETCH_PROTOCOL_ERROR},
    {CURLE_SEND_ERROR, FETCH_CONNECT_FAILURE, FETCH_CONNECT_FAILURE, FETCH_PROTOCOL_ERROR},
    {CURLE_GOT_NOTHING, FETCH_CONNECT_FAILURE, FETCH_CONNECT_FAILURE, FETCH_CONNECT_FAILURE},
    {CURLE_SSL_CONNECT_ERROR, FETCH_TLS_FAILURE, FETCH_TLS_FAILURE, FETCH_TLS_FAILURE},
    {CURLE_PEER_FAILED_VERIFICATION, FETCH_TLS_FAILURE, FETCH_TLS_FAILURE, FETCH_TLS_FAILURE},
    {CURLE_OPERATION_TIMEDOUT, FETCH_TIMEOUT, FETCH_TIMEOUT, FETCH_TIMEOUT},
    {CURLE_PARTIAL_FILE, FETCH_PROTOCOL_ERROR, FETCH_PROTOCOL_ERROR, FETCH_PROTOCOL_ERROR},
    {CURLE_HTTP2_STREAM, FETCH_PROTOCOL_ERROR, FETCH_PROTOCOL_ERROR, FETCH_PROTOCOL_ERROR},
    {CURLE_FILESIZE_EXCEEDED, FETCH_BODY_TOO_LARGE, FETCH_BODY_TOO_LARGE, FETCH_BODY_TOO_LARGE},
    {CURLE_TOO_MANY_REDIRECTS, FETCH_TOO_MANY_REDIRECTS, FETCH_TOO_MANY_REDIRECTS,
     FETCH_TOO_MANY_REDIRECTS},
    {CURLE_OUT_OF_MEMORY, FETCH_INTERNAL, FETCH_INTERNAL, FETCH_PROTOCOL_ERROR},
    {CURLE_WRITE_ERROR, FETCH_INTERNAL, FETCH_INTERNAL, FETCH_INTERNAL},
    {CURLE_SSL_CACERT_BADFILE, FETCH_INTERNAL, FETCH_INTERNAL, FETCH_INTERNAL},
    {CURLE_FTP_WEIRD_PASS_REPLY, FETCH_INTERNAL, FETCH_INTERNAL, FETCH_INTERNAL},
    {(CURLcode)250, FETCH_INTERNAL, FETCH_INTERNAL, FETCH_INTERNAL},
};

START_TEST(a_result_of_libcurl_has_a_code_in_every_phase)
{
    const struct outcome *row = &outcomes[_i];

    ck_assert_int_eq(fetch_code_of_curl(row->result, FETCH_CONNECTING), row->connecting);
    ck_assert_int_eq(fetch_code_of_curl(row->result, FETCH_WAITING), row->waiting);
    ck_assert_int_eq(fetch_code_of_curl(row->result, FETCH_RECEIVING), row->receiving);
}
END_TEST

START_TEST(only_success_has_no_code)
{
    for (int result = 1; result < CURL_LAST; result++)
        ck_assert_int_ne(fetch_code_of_curl((CURLcode)result, FETCH_WAITING), FETCH_OK);
}
END_TEST

START_TEST(what_broke_before_the_first_byte_may_be_retried)
{
    ck_assert(fetch_code_retryable(FETCH_DNS_FAILURE, FETCH_CONNECTING));
    ck_assert(fetch_code_retryable(FETCH_CONNECT_FAILURE, FETCH_CONNECTING));
    ck_assert(fetch_code_retryable(FETCH_CONNECT_FAILURE, FETCH_WAITING));
    ck_assert(fetch_code_retryable(FETCH_TIMEOUT, FETCH_CONNECTING));
    ck_assert(fetch_code_retryable(FETCH_TIMEOUT, FETCH_WAITING));
    ck_assert(!fetch_code_retryable(FETCH_TIMEOUT, FETCH_RECEIVING));
}
END_TEST

START_TEST(what_would_fail_again_is_not_retried)
{
    static const int finals[] = {FETCH_OK,
                                 FETCH_INVALID_URL,
                                 FETCH_UNSUPPORTED_SCHEME,
                                 FETCH_BLOCKED_ADDRESS,
                                 FETCH_TLS_FAILURE,
                                 FETCH_TOO_MANY_REDIRECTS,
                                 FETCH_BODY_TOO_LARGE,
                                 FETCH_PROTOCOL_ERROR,
                                 FETCH_INTERNAL};

    for (int i = 0; i < COUNT(finals); i++)
        ck_assert_msg(!fetch_code_retryable(finals[i], FETCH_CONNECTING), "%s",
                      fetch_code_name(finals[i]));
}
END_TEST

Suite *suite_target(void)
{
    Suite *suite = suite_create("target");
    TCase *parsing = tcase_create("parsing"), *redirects = tcase_create("redirects"),
          *codes = tcase_create("codes");

    tcase_add_unchecked_fixture(parsing, setup, teardown);
    tcase_add_loop_test(parsing, a_url_is_normalised_and_taken_apart, 0, COUNT(good));
    tcase_add_test(parsing, libcurl_gets_the_host_that_the_origin_names);
    tcase_add_test(parsing, credentials_go_to_libcurl_but_not_into_the_url);
    tcase_add_test(parsing, a_freed_target_is_empty);
    tcase_add_loop_test(parsing, what_is_no_http_url_is_refused_with_a_reason, 0, COUNT(bad));
    tcase_add_test(parsing, an_embedded_nul_does_not_cut_the_url);
    tcase_add_test(parsing, a_url_may_have_8192_bytes_and_no_more);
    tcase_add_test(parsing, a_host_name_may_have_253_bytes_and_a_trailing_dot);
    suite_add_tcase(suite, parsing);

    tcase_add_unchecked_fixture(redirects, setup, teardown);
    tcase_add_loop_test(redirects, a_location_is_resolved_against_its_base, 0, COUNT(rfc3986));
    tcase_add_loop_test(redirects, a_location_that_leads_nowhere_is_refused, 0,
                        COUNT(bad_locations));
    tcase_add_test(redirects, a_chain_of_relative_locations_meets_the_length_limit);
    tcase_add_loop_test(redirects, credentials_stay_with_their_origin, 0, COUNT(credentials));
    suite_add_tcase(suite, redirects);

    tcase_add_test(codes, a_code_has_the_name_of_the_api);
    tcase_add_test(codes, a_number_that_is_no_code_is_internal);
    tcase_add_loop_test(codes, a_result_of_libcurl_has_a_code_in_every_phase, 0, COUNT(outcomes));
    tcase_add_test(codes, only_success_has_no_code);
    tcase_add_test(codes, what_broke_before_the_first_byte_may_be_retried);
    tcase_add_test(codes, what_would_fail_again_is_not_retried);
    suite_add_tcase(suite, codes);
    return suite;
}
