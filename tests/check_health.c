/*
 * The health of an origin, event by event. Times in ms since some moment; `chance` 0 makes every
 * wait its nominal length.
 */
#include "core/base/clock.h"
#include "core/fetch/health.h"
#include "tests/check.h"

static struct health h;

static void setup(void)
{
    h = (struct health){0};
}

static uint64_t ms(uint64_t n)
{
    return n * NS_PER_MS;
}

static enum health_state at_ms(uint64_t now)
{
    return health_at(&h, ms(now));
}

/* Requests that take no time. */
static void answered(uint64_t now)
{
    health_answered(&h, ms(now), ms(now));
}

static void refused(uint64_t now, uint64_t retry_after_s)
{
    health_refused(&h, ms(now), ms(now), retry_after_s, 0);
}

static void failed(uint64_t now, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        health_failed(&h, ms(now), ms(now), 0);
}

START_TEST(a_refusal_is_waited_out_and_then_probed)
{
    refused(1000, 0);
    ck_assert_int_eq(at_ms(1000), HEALTH_BACKING_OFF);
    ck_assert_int_eq(at_ms(1000 + HEALTH_BACKOFF_FIRST_MS - 1), HEALTH_BACKING_OFF);
    ck_assert_int_eq(at_ms(1000 + HEALTH_BACKOFF_FIRST_MS), HEALTH_PROBING);
    answered(2000);
    ck_assert_int_eq(at_ms(2000), HEALTH_GOOD);
}
END_TEST

START_TEST(each_refusal_doubles_the_wait_up_to_a_cap)
{
    uint64_t now = 1000, wait = HEALTH_BACKOFF_FIRST_MS;

    for (int i = 1; i < HEALTH_REFUSALS; i++) {
        refused(now, 0);
        ck_assert_uint_eq(h.until_ns, ms(now + wait));
        now += wait;
        wait = 2 * wait > HEALTH_BACKOFF_MOST_MS ? HEALTH_BACKOFF_MOST_MS : 2 * wait;
    }
}
END_TEST

START_TEST(chance_adds_up_to_half_to_a_wait)
{
    uint64_t least = UINT64_MAX, most = 0;

    for (uint32_t chance = 0; chance < 1000; chance++) {
        h = (struct health){0};
        health_refused(&h, ms(1), ms(1), 0, chance);
        uint64_t wait = (h.until_ns - ms(1)) / NS_PER_MS;
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    ck_assert_uint_eq(least, HEALTH_BACKOFF_FIRST_MS);
    ck_assert_uint_eq(most, HEALTH_BACKOFF_FIRST_MS * 3 / 2);
}
END_TEST

START_TEST(an_answer_takes_one_refusal_away)
{
    refused(1000, 0);
    refused(2000, 0);
    refused(5000, 0);
    answered(10000);
    ck_assert_uint_eq(h.refusals, 2);
    ck_assert(!health_is_blank(&h));
    answered(10001);
    answered(10002);
    ck_assert(health_is_blank(&h));
}
END_TEST

START_TEST(retry_after_is_obeyed)
{
    refused(1000, 7);
    ck_assert_int_eq(at_ms(7999), HEALTH_BACKING_OFF);
    ck_assert_int_eq(at_ms(8000), HEALTH_PROBING);
}
END_TEST

START_TEST(a_retry_after_that_nobody_waits_for_gives_the_origin_up)
{
    refused(1000, HEALTH_BACKOFF_MOST_MS / 1000 + 1);
    ck_assert_int_eq(at_ms(1000), HEALTH_GIVEN_UP);
    ck_assert_int_eq(at_ms(1000 + HEALTH_BACKOFF_MOST_MS + 999), HEALTH_GIVEN_UP);
    ck_assert_int_eq(at_ms(1000 + HEALTH_BACKOFF_MOST_MS + 1000), HEALTH_PROBING);

    setup();
    refused(1000, UINT64_MAX);
    ck_assert_int_eq(at_ms(999 + HEALTH_RETRY_AFTER_MOST_MS), HEALTH_GIVEN_UP);
    ck_assert_int_eq(at_ms(1000 + HEALTH_RETRY_AFTER_MOST_MS), HEALTH_PROBING);
}
END_TEST

START_TEST(refusals_of_requests_that_were_under_way_together_are_one)
{
    for (uint64_t i = 0; i < 6; i++)
        health_refused(&h, ms(900), ms(1000 + i), 0, 0);
    ck_assert_uint_eq(h.refusals, 1);
    ck_assert_uint_eq(h.until_ns, ms(1000 + HEALTH_BACKOFF_FIRST_MS));
    /* One that began before and comes after the wait says nothing of now either. */
    health_refused(&h, ms(900), ms(5000), 0, 0);
    ck_assert_uint_eq(h.refusals, 1);
    /* But what one of them asks for is heard. */
    setup();
    health_refused(&h, ms(900), ms(1000), 0, 0);
    health_refused(&h, ms(900), ms(1001), 5, 0);
    ck_assert_uint_eq(h.until_ns, ms(6001));
}
END_TEST

START_TEST(answers_of_before_do_not_end_a_wait)
{
    refused(1000, 0);
    health_answered(&h, ms(900), ms(1001));
    ck_assert_int_eq(at_ms(1001), HEALTH_BACKING_OFF);
    health_answered(&h, ms(900), ms(9000));
    ck_assert_int_eq(at_ms(9000), HEALTH_PROBING);
}
END_TEST

START_TEST(failures_in_a_row_give_the_origin_up)
{
    failed(1000, HEALTH_FAILURES - 1);
    ck_assert_int_eq(at_ms(1000), HEALTH_GOOD);
    answered(1000);
    failed(1000, HEALTH_FAILURES - 1);
    ck_assert_int_eq(at_ms(1000), HEALTH_GOOD);
    failed(1000, 1);
    ck_assert_int_eq(at_ms(1000), HEALTH_GIVEN_UP);
    ck_assert_int_eq(at_ms(999 + HEALTH_GIVE_UP_FIRST_MS), HEALTH_GIVEN_UP);
    ck_assert_int_eq(at_ms(1000 + HEALTH_GIVE_UP_FIRST_MS), HEALTH_PROBING);
}
END_TEST

START_TEST(an_origin_that_only_refuses_is_given_up)
{
    uint64_t now = 1000, wait = HEALTH_GIVE_UP_FIRST_MS;

    for (int i = 0; i < HEALTH_REFUSALS; i++) {
        now = h.until_ns / 1000000 + 1;
        refused(now, 0);
    }
    for (int i = 0; i < 10; i++) { /* and again by each probe that it refuses */
        ck_assert_int_eq(at_ms(now + wait - 1), HEALTH_GIVEN_UP);
        now += wait;
        ck_assert_int_eq(at_ms(now), HEALTH_PROBING);
        refused(now, 0);
        wait = 2 * wait > HEALTH_GIVE_UP_MOST_MS ? HEALTH_GIVE_UP_MOST_MS : 2 * wait;
    }
}
END_TEST

START_TEST(an_origin_that_answers_between_refusals_is_not_given_up)
{
    for (int i = 0; i < 3 * HEALTH_REFUSALS; i++) {
        uint64_t now = h.until_ns / 1000000 + 1;
        if (i % (HEALTH_REFUSALS - 1) == 0)
            answered(now);
        refused(now, 0);
        ck_assert_int_eq(at_ms(now), HEALTH_BACKING_OFF);
    }
}
END_TEST

START_TEST(a_probe_that_fails_gives_it_up_for_longer_up_to_a_cap)
{
    uint64_t now = 1000, wait = HEALTH_GIVE_UP_FIRST_MS;

    failed(now, HEALTH_FAILURES);
    for (int i = 0; i < 40; i++) {
        ck_assert_int_eq(at_ms(now + wait - 1), HEALTH_GIVEN_UP);
        now += wait;
        ck_assert_int_eq(at_ms(now), HEALTH_PROBING);
        failed(now, 1);
        wait = 2 * wait > HEALTH_GIVE_UP_MOST_MS ? HEALTH_GIVE_UP_MOST_MS : 2 * wait;
    }
    answered(now + wait);
    ck_assert_int_eq(at_ms(now + wait), HEALTH_GOOD);
    ck_assert(health_is_blank(&h));
}
END_TEST

START_TEST(a_probe_that_fails_after_a_refusal_is_one_failure)
{
    refused(1000, 0);
    failed(2000, 1);
    ck_assert_int_eq(at_ms(2000), HEALTH_PROBING);
    failed(2000, HEALTH_FAILURES - 2);
    ck_assert_int_eq(at_ms(2000), HEALTH_PROBING);
    failed(2000, 1);
    ck_assert_int_eq(at_ms(2000), HEALTH_GIVEN_UP);
}
END_TEST

START_TEST(late_failures_say_nothing_of_a_host_that_is_probed)
{
    failed(1000, HEALTH_FAILURES);
    health_failed(&h, ms(900), ms(1000 + HEALTH_GIVE_UP_FIRST_MS), 0);
    ck_assert_int_eq(at_ms(1000 + HEALTH_GIVE_UP_FIRST_MS), HEALTH_PROBING);
    ck_assert_uint_eq(h.surrenders, 1);
}
END_TEST

START_TEST(every_state_has_a_name)
{
    ck_assert_str_eq(health_state_name(HEALTH_GOOD), "healthy");
    ck_assert_str_eq(health_state_name(HEALTH_BACKING_OFF), "backing_off");
    ck_assert_str_eq(health_state_name(HEALTH_GIVEN_UP), "given_up");
    ck_assert_str_eq(health_state_name(HEALTH_PROBING), "probing");
}
END_TEST

Suite *suite_health(void)
{
    Suite *suite = suite_create("health");
    TCase *tcase = tcase_create("health");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_refusal_is_waited_out_and_then_probed);
    tcase_add_test(tcase, each_refusal_doubles_the_wait_up_to_a_cap);
    tcase_add_test(tcase, chance_adds_up_to_half_to_a_wait);
    tcase_add_test(tcase, an_answer_takes_one_refusal_away);
    tcase_add_test(tcase, retry_after_is_obeyed);
    tcase_add_test(tcase, a_retry_after_that_nobody_waits_for_gives_the_origin_up);
    tcase_add_test(tcase, refusals_of_requests_that_were_under_way_together_are_one);
    tcase_add_test(tcase, answers_of_before_do_not_end_a_wait);
    tcase_add_test(tcase, failures_in_a_row_give_the_origin_up);
    tcase_add_test(tcase, an_origin_that_only_refuses_is_given_up);
    tcase_add_test(tcase, an_origin_that_answers_between_refusals_is_not_given_up);
    tcase_add_test(tcase, a_probe_that_fails_gives_it_up_for_longer_up_to_a_cap);
    tcase_add_test(tcase, a_probe_that_fails_after_a_refusal_is_one_failure);
    tcase_add_test(tcase, late_failures_say_nothing_of_a_host_that_is_probed);
    tcase_add_test(tcase, every_state_has_a_name);
    suite_add_tcase(suite, tcase);
    return suite;
}
