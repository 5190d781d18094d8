#include "server/batch/early.h"
#include "tests/check.h"

static const struct response page = {
    .http_status = 200,
    .http_version = {"1.1", 3},
    .announced_bytes = EARLY_BYTES + EARLY_LEFT_PLAIN,
    .body_bytes = EARLY_BYTES,
};

START_TEST(enough_must_be_left_to_pay_for_a_connection)
{
    struct response r = page;

    ck_assert(early_stop_pays(&r));
    r.announced_bytes--;
    ck_assert(!early_stop_pays(&r));
}
END_TEST

START_TEST(a_connection_with_tls_has_another_price)
{
    struct response r = page;

    r.is_tls = true;
    ck_assert(!early_stop_pays(&r));
    r.announced_bytes = EARLY_BYTES + EARLY_LEFT_TLS;
    ck_assert(early_stop_pays(&r));
}
END_TEST

START_TEST(a_connection_that_nobody_waits_for_and_a_stream_are_free)
{
    struct response r = page;

    r.announced_bytes = EARLY_BYTES + EARLY_LEFT;
    ck_assert(!early_stop_pays(&r));
    r.is_last = true;
    ck_assert(early_stop_pays(&r));
    r.is_last = false;
    r.is_tls = true;
    r.http_version = BYTES("2");
    ck_assert(early_stop_pays(&r));
    r.announced_bytes--;
    ck_assert(!early_stop_pays(&r));
}
END_TEST

START_TEST(a_beginning_is_parsed_where_enough_follows_whatever_the_connection_costs)
{
    struct response r = page;

    r.is_tls = _i;
    r.announced_bytes = EARLY_BYTES + EARLY_LEFT;
    ck_assert(early_look_pays(&r));
    ck_assert(!early_stop_pays(&r));
    r.announced_bytes--;
    ck_assert(!early_look_pays(&r));
}
END_TEST

START_TEST(a_beginning_with_a_coding_is_parsed_only_where_the_transfer_may_end)
{
    struct response r = page;

    r.content_encoding = BYTES("gzip");
    ck_assert(early_look_pays(&r));
    r.announced_bytes--;
    ck_assert(!early_look_pays(&r));
    r.is_last = true;
    ck_assert(early_look_pays(&r));
}
END_TEST

START_TEST(nothing_is_paid_for_an_end_that_may_be_near)
{
    struct response r = page;

    r.announced_bytes = -1;
    ck_assert(!early_look_pays(&r));
    ck_assert(!early_stop_pays(&r));
    r.is_last = true;
    ck_assert(early_look_pays(&r));
    ck_assert(early_stop_pays(&r));
}
END_TEST

START_TEST(what_is_no_success_is_read_to_its_end)
{
    struct response r = page;

    r.http_status = 404;
    ck_assert(!early_look_pays(&r));
}
END_TEST

Suite *suite_early(void)
{
    Suite *suite = suite_create("early");
    TCase *tcase = tcase_create("early");

    tcase_add_test(tcase, enough_must_be_left_to_pay_for_a_connection);
    tcase_add_test(tcase, a_connection_with_tls_has_another_price);
    tcase_add_test(tcase, a_connection_that_nobody_waits_for_and_a_stream_are_free);
    tcase_add_loop_test(
        tcase, a_beginning_is_parsed_where_enough_follows_whatever_the_connection_costs, 0, 2);
    tcase_add_test(tcase, a_beginning_with_a_coding_is_parsed_only_where_the_transfer_may_end);
    tcase_add_test(tcase, nothing_is_paid_for_an_end_that_may_be_near);
    tcase_add_test(tcase, what_is_no_success_is_read_to_its_end);
    suite_add_tcase(suite, tcase);
    return suite;
}
