/* The memory of requests that kill workers. */
#include "core/async/quarantine.h"
#include "tests/check.h"

#include <stdio.h>

static struct quarantine q;

static void setup(void)
{
    memset(&q, 0, sizeof q);
}

/* A request that differs for each number, always as long as the others. */
static struct bytes request(unsigned number)
{
    static char text[32];

    return bytes_of(text, (size_t)snprintf(text, sizeof text, "request %08u", number));
}

static void kill_two(uint32_t task, struct bytes victim)
{
    quarantine_accuse(&q, task, victim);
    quarantine_accuse(&q, task, victim);
}

START_TEST(nothing_is_refused_before_two_have_died)
{
    ck_assert(!quarantine_refuses(&q, 3, request(1)));
    quarantine_accuse(&q, 3, request(1));
    ck_assert(!quarantine_refuses(&q, 3, request(1)));
    quarantine_accuse(&q, 3, request(1));
    ck_assert(quarantine_refuses(&q, 3, request(1)));
    quarantine_accuse(&q, 3, request(1));
    ck_assert(quarantine_refuses(&q, 3, request(1)));
}
END_TEST

START_TEST(it_is_known_by_its_content_not_by_where_it_lies)
{
    char here[] = "the same", there[] = "the same";

    kill_two(3, bytes_cstr(here));
    ck_assert(quarantine_refuses(&q, 3, bytes_cstr(there)));
    there[7] = 'E';
    ck_assert(!quarantine_refuses(&q, 3, bytes_cstr(there)));
}
END_TEST

START_TEST(another_task_length_or_byte_is_another_request)
{
    char large[3000] = {0};

    kill_two(3, bytes_of(large, sizeof large));
    ck_assert(quarantine_refuses(&q, 3, bytes_of(large, sizeof large)));
    ck_assert(!quarantine_refuses(&q, 4, bytes_of(large, sizeof large)));
    ck_assert(!quarantine_refuses(&q, 3, bytes_of(large, sizeof large - 1)));
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = 1;
        ck_assert(!quarantine_refuses(&q, 3, bytes_of(large, sizeof large)));
        large[i] = 0;
    }
    kill_two(3, bytes_of(NULL, 0));
    ck_assert(quarantine_refuses(&q, 3, bytes_of(NULL, 0)));
    ck_assert(!quarantine_refuses(&q, 5, bytes_of(NULL, 0)));
}
END_TEST

START_TEST(two_different_requests_are_not_one_that_killed_twice)
{
    quarantine_accuse(&q, 3, request(1));
    quarantine_accuse(&q, 3, request(2));
    ck_assert(!quarantine_refuses(&q, 3, request(1)));
    ck_assert(!quarantine_refuses(&q, 3, request(2)));
}
END_TEST

START_TEST(the_oldest_is_forgotten_first)
{
    for (unsigned i = 0; i < QUARANTINE_SUSPECTS; i++)
        kill_two(3, request(i));
    for (unsigned i = 0; i < QUARANTINE_SUSPECTS; i++)
        ck_assert(quarantine_refuses(&q, 3, request(i)));
    quarantine_accuse(&q, 3, request(QUARANTINE_SUSPECTS));
    ck_assert(!quarantine_refuses(&q, 3, request(0)));
    for (unsigned i = 1; i < QUARANTINE_SUSPECTS; i++)
        ck_assert(quarantine_refuses(&q, 3, request(i)));
    quarantine_accuse(&q, 3, request(0)); /* it begins anew */
    ck_assert(!quarantine_refuses(&q, 3, request(0)));
    ck_assert(!quarantine_refuses(&q, 3, request(1)));
    quarantine_accuse(&q, 3, request(QUARANTINE_SUSPECTS));
    ck_assert(quarantine_refuses(&q, 3, request(QUARANTINE_SUSPECTS)));
}
END_TEST

START_TEST(each_has_a_key_of_its_own)
{
    static struct quarantine other;

    quarantine_accuse(&q, 3, request(1));
    quarantine_accuse(&other, 3, request(1));
    ck_assert(q.suspects[0].hash[0] != other.suspects[0].hash[0]);
    ck_assert(q.suspects[0].hash[1] != other.suspects[0].hash[1]);
}
END_TEST

Suite *suite_quarantine(void)
{
    Suite *suite = suite_create("quarantine");
    TCase *quarantine = tcase_create("quarantine");

    tcase_add_checked_fixture(quarantine, setup, NULL);
    suite_add_tcase(suite, quarantine);
    tcase_add_test(quarantine, nothing_is_refused_before_two_have_died);
    tcase_add_test(quarantine, it_is_known_by_its_content_not_by_where_it_lies);
    tcase_add_test(quarantine, another_task_length_or_byte_is_another_request);
    tcase_add_test(quarantine, two_different_requests_are_not_one_that_killed_twice);
    tcase_add_test(quarantine, the_oldest_is_forgotten_first);
    tcase_add_test(quarantine, each_has_a_key_of_its_own);
    return suite;
}
