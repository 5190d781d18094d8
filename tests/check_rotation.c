/* Whose turn it is among those who share something: newcomers first, and nobody starved. */
#include "core/base/rotation.h"
#include "tests/check.h"

enum { MEMBERS = 1000 };

static struct rotation rotation;
static struct rotation_member members[MEMBERS];

static void setup(void)
{
    rotation_init(&rotation);
    for (size_t i = 0; i < MEMBERS; i++)
        rotation_member_init(&members[i]);
}

static void enter(size_t nth)
{
    rotation_enter(&rotation, &members[nth]);
}

static void rest(size_t nth)
{
    rotation_rest(&rotation, &members[nth]);
}

/* Gives a turn, and tells to whom; MEMBERS: nobody wants one. */
static size_t serve(void)
{
    struct rotation_member *m = rotation_next(&rotation);

    if (!m)
        return MEMBERS;
    rotation_served(&rotation, m);
    return (size_t)(m - members);
}

/* `count` members that want turns for ever, none of which is a newcomer any more. */
static void make_crowd(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enter(i);
        rotation_served(&rotation, &members[i]);
    }
    rotation.row = 0;
}

START_TEST(those_who_always_want_take_turns)
{
    make_crowd(5);
    for (size_t i = 0; i < 50; i++)
        ck_assert_uint_eq(serve(), i % 5);
}
END_TEST

START_TEST(nobody_is_served_who_wants_nothing)
{
    ck_assert_uint_eq(serve(), MEMBERS);
    enter(0);
    enter(1);
    ck_assert(rotation_is_wanted(&rotation));
    rest(0);
    ck_assert_uint_eq(serve(), 1);
    rest(1);
    ck_assert(!rotation_is_wanted(&rotation));
    ck_assert_uint_eq(serve(), MEMBERS);
}
END_TEST

START_TEST(a_newcomer_is_next_however_many_wait)
{
    make_crowd(MEMBERS - 1);
    enter(MEMBERS - 1);
    ck_assert_uint_eq(serve(), MEMBERS - 1);
    for (size_t i = 0; i < MEMBERS; i++) /* and once: from then on it is one of them */
        ck_assert_uint_eq(serve(), i);
}
END_TEST

START_TEST(newcomers_come_in_their_order)
{
    make_crowd(10);
    enter(11);
    enter(10);
    enter(12);
    ck_assert_uint_eq(serve(), 11);
    ck_assert_uint_eq(serve(), 10);
    ck_assert_uint_eq(serve(), 12);
}
END_TEST

START_TEST(a_swarm_of_newcomers_starves_nobody)
{
    enum { OLD = 7, ROUND = OLD * (ROTATION_FRESH_IN_A_ROW + 1) };
    size_t last[OLD] = {0}, comes = OLD;

    make_crowd(OLD);
    for (size_t turn = 1; turn < 10 * ROUND; turn++) {
        for (size_t i = 0; i < 2; i++) { /* more than can be served, each of them once */
            size_t nth = OLD + comes++ % (MEMBERS - OLD);
            rotation_remove(&rotation, &members[nth]);
            enter(nth);
        }
        size_t served = serve();
        if (served < OLD) {
            ck_assert_uint_le(turn - last[served], ROUND);
            last[served] = turn;
        } else {
            rotation_remove(&rotation, &members[served]);
        }
    }
    for (size_t i = 0; i < OLD; i++)
        ck_assert_uint_ge(last[i], 9 * ROUND - OLD);
}
END_TEST

/* It has one thing at a time, and the next as soon as that is done: always a newcomer, if a member
 * that wants nothing any more were forgotten at once. */
START_TEST(who_trickles_gets_no_more_than_its_share)
{
    enum { OLD = 10, TURNS = 1100 };
    size_t turns[OLD + 1] = {0};

    make_crowd(OLD);
    for (size_t i = 0; i < TURNS; i++) {
        enter(OLD);
        size_t served = serve();
        ck_assert_uint_le(served, OLD);
        turns[served]++;
        if (served == OLD)
            rest(OLD);
    }
    ck_assert_uint_le(turns[OLD], TURNS / (OLD + 1) + 1);
    for (size_t i = 0; i < OLD; i++)
        ck_assert_uint_ge(turns[i], TURNS / (OLD + 1) - 1);
}
END_TEST

/* The same, a while after each. It may come as a newcomer each time its turn has been. */
START_TEST(who_pauses_between_gets_no_more_than_its_share_either)
{
    enum { OLD = 10, TURNS = 2000 };

    for (size_t pause = 1; pause < 2 * OLD; pause++) {
        size_t turns = 0, wait = 0;
        setup();
        make_crowd(OLD);
        for (size_t i = 0; i < TURNS; i++) {
            if (wait == 0)
                enter(OLD);
            else
                wait--;
            if (serve() == OLD) {
                turns++;
                wait = pause;
                rest(OLD);
            }
        }
        ck_assert_uint_le(turns, TURNS / (OLD + 1) + 1);
    }
}
END_TEST

START_TEST(who_has_wanted_nothing_for_a_round_is_a_newcomer_again)
{
    make_crowd(10);
    rest(0);
    for (size_t i = 1; i < 10; i++)
        ck_assert_uint_eq(serve(), i);
    ck_assert_uint_eq(serve(), 1);
    enter(0);
    ck_assert_uint_eq(serve(), 0);
}
END_TEST

START_TEST(who_wants_again_within_a_round_keeps_its_place)
{
    make_crowd(10);
    rest(5);
    ck_assert_uint_eq(serve(), 0);
    enter(5);
    for (size_t i = 1; i < 10; i++)
        ck_assert_uint_eq(serve(), i);
}
END_TEST

START_TEST(who_is_entered_first_is_next_whatever_came_before)
{
    make_crowd(10);
    for (size_t i = 0; i < ROTATION_FRESH_IN_A_ROW; i++) {
        enter(20 + i);
        ck_assert_uint_eq(serve(), 20 + i);
    }
    enter(30);
    rotation_enter_first(&rotation, &members[7]);
    ck_assert_uint_eq(serve(), 7);
}
END_TEST

START_TEST(only_newcomers_have_what_is_kept_for_them)
{
    make_crowd(10);
    ck_assert_ptr_null(rotation_next_fresh(&rotation));
    enter(10);
    enter(11);
    rest(10);
    ck_assert_ptr_eq(rotation_next_fresh(&rotation), &members[11]);
}
END_TEST

START_TEST(those_set_aside_come_back_in_front)
{
    make_crowd(4);
    rotation_set_aside(&rotation, rotation_next(&rotation));
    rotation_set_aside(&rotation, rotation_next(&rotation));
    ck_assert_uint_eq(serve(), 2);
    ck_assert_uint_eq(serve(), 3);
    ck_assert_uint_eq(serve(), 2);
    rest(1);
    rotation_put_back(&rotation);
    ck_assert_uint_eq(serve(), 0);
    ck_assert_uint_eq(serve(), 3);
}
END_TEST

START_TEST(who_is_removed_is_forgotten)
{
    make_crowd(3);
    rotation_remove(&rotation, &members[1]);
    rotation_remove(&rotation, &members[1]);
    ck_assert_uint_eq(serve(), 0);
    ck_assert_uint_eq(serve(), 2);
    rotation_remove(&rotation, &members[0]);
    rotation_remove(&rotation, &members[2]);
    ck_assert(!rotation_is_wanted(&rotation));
    ck_assert_ptr_null(rotation_next(&rotation));
}
END_TEST

Suite *suite_rotation(void)
{
    Suite *suite = suite_create("rotation");
    TCase *turns = tcase_create("turns");

    tcase_add_checked_fixture(turns, setup, NULL);
    suite_add_tcase(suite, turns);
    tcase_add_test(turns, those_who_always_want_take_turns);
    tcase_add_test(turns, nobody_is_served_who_wants_nothing);
    tcase_add_test(turns, a_newcomer_is_next_however_many_wait);
    tcase_add_test(turns, newcomers_come_in_their_order);
    tcase_add_test(turns, a_swarm_of_newcomers_starves_nobody);
    tcase_add_test(turns, who_trickles_gets_no_more_than_its_share);
    tcase_add_test(turns, who_pauses_between_gets_no_more_than_its_share_either);
    tcase_add_test(turns, who_has_wanted_nothing_for_a_round_is_a_newcomer_again);
    tcase_add_test(turns, who_wants_again_within_a_round_keeps_its_place);
    tcase_add_test(turns, who_is_entered_first_is_next_whatever_came_before);
    tcase_add_test(turns, only_newcomers_have_what_is_kept_for_them);
    tcase_add_test(turns, those_set_aside_come_back_in_front);
    tcase_add_test(turns, who_is_removed_is_forgotten);
    return suite;
}
