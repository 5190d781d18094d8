/*
 * Certificates: which are taken, which are not, and that what makes it quick (certificates that are
 * loaded once, sessions and connections that are used again) lets no wrong one through.
 */
#include "tests/check.h"
#include "tests/support/tls_origin.h"
#include "tests/support/transfer_fixture.h"

#include <stdio.h>
#include <unistd.h>

#define NAMES "DNS:a.example,DNS:b.example"

static struct tls_authority *authority;

static void setup(void)
{
    transfer_setup();
    authority = tls_authority_new();
    engine_options.ca_file = tls_authority_file(authority);
    engine_make();
}

static void teardown(void)
{
    authority = tls_authority_free(authority);
    transfer_teardown();
}

/* Gets a page of `name` from the origin; `change` (NULL: nothing) is done to the request. */
static const struct outcome *page_of(struct tls_origin *o, const char *name,
                                     void (*change)(struct transfer_request *))
{
    struct address pin = loopback(tls_origin_port(o));
    struct transfer_request request = request_to(&pin);
    char url[128];

    if (change)
        change(&request);
    snprintf(url, sizeof url, "https://%s:%u/", name, tls_origin_port(o));
    return get(url, &request);
}

static void insecurely(struct transfer_request *request)
{
    request->insecure = true;
}

static void for_the_last_time(struct transfer_request *request)
{
    request->last = true;
}

static void expect_page(const struct outcome *o)
{
    ck_assert_msg(o->code == 0, "%s: %s", fetch_code_name(o->code), o->message);
    ck_assert_uint_eq(o->status, 200);
    ck_assert_str_eq(o->body, "<title>A secret page</title>");
}

static void expect_refused(const struct outcome *o)
{
    ck_assert_msg(o->code == FETCH_TLS_FAILURE, "%s: %s", fetch_code_name(o->code), o->message);
    ck_assert_str_ne(o->message, "");
}

/* -- verification ------------------------------------------------------------------------------ */

START_TEST(a_certificate_of_a_known_authority_is_good)
{
    struct tls_origin *o = tls_origin_start(authority, TLS_GOOD, NAMES);

    expect_page(page_of(o, "a.example", NULL));
    tls_origin_stop(o);
}
END_TEST

START_TEST(the_host_is_asked_for_by_its_name)
{
    struct tls_origin *o = tls_origin_start(authority, TLS_GOOD, NAMES);
    char name[256];

    expect_page(page_of(o, "b.example", NULL));
    tls_origin_asked_name(o, name, sizeof name);
    ck_assert_str_eq(name, "b.example");
    tls_origin_stop(o);
}
END_TEST

START_TEST(the_handshake_has_its_time)
{
    struct tls_origin *o = tls_origin_start(authority, TLS_GOOD, NAMES);
    struct transfer_timing timing = page_of(o, "a.example", NULL)->timing;

    ck_assert_uint_gt(timing.tls_us, timing.connect_us);
    ck_assert_uint_ge(timing.first_byte_us, timing.tls_us);
    tls_origin_stop(o);
}
END_TEST

static const enum tls_certificate wrong[] = {TLS_EXPIRED, TLS_WRONG_NAME, TLS_UNTRUSTED,
                                             TLS_SELF_SIGNED};
enum { WRONG = sizeof wrong / sizeof *wrong };

START_TEST(a_wrong_certificate_is_refused)
{
    struct tls_origin *o = tls_origin_start(authority, wrong[_i], NAMES);

    expect_refused(page_of(o, "a.example", NULL));
    ck_assert_uint_eq(tls_origin_count(o, TLS_REQUESTS), 0);
    tls_origin_stop(o);
}
END_TEST

START_TEST(a_wrong_certificate_is_refused_when_the_good_ones_are_loaded_already)
{
    struct tls_origin *good = tls_origin_start(authority, TLS_GOOD, NAMES);
    struct tls_origin *bad = tls_origin_start(authority, wrong[_i], NAMES);

    expect_page(page_of(good, "a.example", NULL));
    for (int i = 0; i < 3; i++)
        expect_refused(page_of(bad, "a.example", NULL));
    expect_page(page_of(good, "a.example", NULL));
    ck_assert_uint_eq(tls_origin_count(bad, TLS_REQUESTS), 0);
    tls_origin_stop(good);
    tls_origin_stop(bad);
}
END_TEST

START_TEST(a_name_that_the_certificate_has_not_is_refused)
{
    struct tls_origin *o = tls_origin_start(authority, TLS_GOOD, NAMES);

    expect_page(page_of(o, "a.example", NULL));
    expect_refused(page_of(o, "c.example", NULL));
    tls_origin_stop(o);
}
END_TEST

/* Not libcurl's from 8.21 on, which has the system's directory of certificates back. */
START_TEST(certificates_are_loaded_once_for_all_connections)
{
    struct tls_origin *o = tls_origin_start(authority, TLS_GOOD, NAMES);

    expect_page(page_of(o, "a.example", for_the_last_time));
    ck_assert_int_eq(truncate(tls_authority_file(authority), 0), 0);
    if (curl_version_info(CURLVERSION_NOW)->version_num < 0x081500)
        expect_page(page_of(o, "b.example", for_the_last_time));
    ck_assert_uint_ge(tls_origin_count(o, TLS_CONNECTIONS), 2);
    tls_origin_stop(o);
}
END_TEST

START_TEST(the_authorities_of_the_system_do_not_know_the_test_s)
{
    struct tls_origin *o = tls_origin_start(authority, TLS_GOOD, NAMES);

    engine_options.ca_file = NULL;
    engine_make();
    expect_refused(page_of(o, "a.example", NULL));
    tls_origin_stop(o);
}
END_TEST

/* -- insecure ---------------------------------------------------------------------------------- */

START_TEST(who_does_not_care_gets_any_page)
{
    struct tls_origin *o = tls_origin_start(authority, wrong[_i], NAMES);

    expect_page(page_of(o, "a.example", insecurely));
    tls_origin_stop(o);
}
END_TEST

START_TEST(what_was_opened_without_care_is_of_no_use_to_others)
{
    struct tls_origin *o = tls_origin_start(authority, wrong[_i], NAMES);

    for (int i = 0; i < 3; i++) {
        expect_page(page_of(o, "a.example", insecurely));
        expect_refused(page_of(o, "a.example", NULL));
    }
    /* The others got neither its connection nor its session. */
    ck_assert_uint_eq(tls_origin_count(o, TLS_REQUESTS), 3);
    tls_origin_stop(o);
}
END_TEST

/* -- connections and sessions ------------------------------------------------------------------ */

START_TEST(connections_are_used_again)
{
    struct tls_origin *o = tls_origin_start(authority, TLS_GOOD, NAMES);

    for (int i = 0; i < 5; i++)
        expect_page(page_of(o, "a.example", NULL));
    ck_assert_uint_eq(tls_origin_count(o, TLS_HANDSHAKES), 1);
    tls_origin_stop(o);
}
END_TEST

START_TEST(sessions_are_resumed_on_new_connections)
{
    struct tls_origin *o = tls_origin_start(authority, TLS_GOOD, NAMES);

    engine_options.max_connections = 1; /* the next is always one too many to be kept */
    engine_make();
    for (int i = 0; i < 3; i++)
        expect_page(page_of(o, "a.example", for_the_last_time));
    ck_assert_uint_eq(tls_origin_count(o, TLS_HANDSHAKES), 3);
    ck_assert_uint_eq(tls_origin_count(o, TLS_RESUMED), 2);
    tls_origin_stop(o);
}
END_TEST

/* -- the file ---------------------------------------------------------------------------------- */

START_TEST(a_file_without_certificates_is_refused)
{
    static const char *const files[] = {"/nonexistent/ca.pem", "/", "/dev/null", "/proc/self/exe"};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        engine_options.ca_file = files[i];
        ck_assert_msg(engine_refused(), "%s", files[i]);
    }
}
END_TEST

Suite *suite_tls(void)
{
    Suite *s = suite_create("tls");
    TCase *tc = tcase_create("tls");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_certificate_of_a_known_authority_is_good);
    tcase_add_test(tc, the_host_is_asked_for_by_its_name);
    tcase_add_test(tc, the_handshake_has_its_time);
    tcase_add_loop_test(tc, a_wrong_certificate_is_refused, 0, WRONG);
    tcase_add_loop_test(tc, a_wrong_certificate_is_refused_when_the_good_ones_are_loaded_already, 0,
                        WRONG);
    tcase_add_test(tc, a_name_that_the_certificate_has_not_is_refused);
    tcase_add_test(tc, certificates_are_loaded_once_for_all_connections);
    tcase_add_test(tc, the_authorities_of_the_system_do_not_know_the_test_s);
    tcase_add_loop_test(tc, who_does_not_care_gets_any_page, 0, WRONG);
    tcase_add_loop_test(tc, what_was_opened_without_care_is_of_no_use_to_others, 0, WRONG);
    tcase_add_test(tc, connections_are_used_again);
    tcase_add_test(tc, sessions_are_resumed_on_new_connections);
    tcase_add_test(tc, a_file_without_certificates_is_refused);
    suite_add_tcase(s, tc);
    return s;
}
