/* Plans: what is grouped with what, and that nothing is lost. */
#include "core/fetch/plan.h"
#include "server/batch/twins.h"
#include "tests/check.h"

#include <stdio.h>
#include <stdlib.h>

static struct bytes listed(void *arg, size_t index)
{
    const char *const *urls = arg;

    return bytes_cstr(urls[index]);
}

/* The groups, as text: "0 2 / 1". */
static const char *plan_text(const struct plan *p)
{
    static char text[512];
    size_t n = 0;

    text[0] = '\0';
    for (size_t g = 0; g < p->group_count; g++) {
        uint32_t count = 0, last = PLAN_NONE;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s", g ? " /" : "");
        for (uint32_t i = p->groups[g].first; i != PLAN_NONE; i = p->next[i]) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%u", n ? " " : "", i);
            last = i;
            count++;
        }
        ck_assert_uint_eq(count, p->groups[g].count);
        ck_assert_uint_eq(last, p->groups[g].last);
    }
    return text;
}

static void expect_plan(const char *const *urls, size_t count, bool in_order,
                        const unsigned char *skip, const char *groups)
{
    struct plan p;
    union {
        const char *const *borrowed;
        void *arg;
    } list = {.borrowed = urls};

    ck_assert_int_eq(plan_make(count, listed, list.arg, in_order, skip, &p), 0);
    ck_assert_str_eq(plan_text(&p), groups);
    plan_free(&p);
    ck_assert_ptr_null(p.groups);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

START_TEST(urls_of_one_origin_are_one_group_in_their_order)
{
    static const char *const urls[] = {
        "http://a.example/1",  "http://b.example/",         "http://A.Example:80/2",
        "https://a.example/",  "HTTP://a.example#fragment", "http://user:pw@a.example?q",
        "http://a.example:81", "https://a.example:443/x",   "http://a.example",
    };

    expect_plan(urls, COUNT(urls), false, NULL, "0 2 4 5 8 / 1 / 3 7 / 6");
}
END_TEST

START_TEST(what_is_no_url_is_a_group_too)
{
    static const char *const urls[] = {"",          "a.example/1", "http://",
                                       "http:///x", "://",         "http://a"};

    expect_plan(urls, COUNT(urls), false, NULL, "0 1 / 2 3 / 4 / 5");
}
END_TEST

START_TEST(in_order_all_are_one_group)
{
    static const char *const urls[] = {"http://a", "http://b", "http://a", "x"};

    expect_plan(urls, COUNT(urls), true, NULL, "0 1 2 3");
}
END_TEST

START_TEST(what_is_skipped_is_in_no_group)
{
    static const char *const urls[] = {"http://a", "http://b", "http://a", "http://b"};
    static const unsigned char skip[] = {1 << 1 | 1 << 2};

    expect_plan(urls, COUNT(urls), false, skip, "0 / 3");
}
END_TEST

START_TEST(an_empty_list_is_an_empty_plan)
{
    expect_plan(NULL, 0, false, NULL, "");
}
END_TEST

static struct bytes numbered(void *arg, size_t index)
{
    static char text[64];
    const size_t *hosts = arg;

    snprintf(text, sizeof text, "http://host-%zu.example/%zu", index % *hosts, index);
    return bytes_cstr(text);
}

START_TEST(many_origins_are_as_many_groups)
{
    enum { URLS = 100000 };
    static bool seen[URLS];
    size_t hosts[] = {1, 1000, URLS};

    for (size_t h = 0; h < COUNT(hosts); h++) {
        struct plan p;
        memset(seen, 0, sizeof seen);
        ck_assert_int_eq(plan_make(URLS, numbered, &hosts[h], false, NULL, &p), 0);
        ck_assert_uint_eq(p.group_count, hosts[h]);
        for (size_t g = 0; g < p.group_count; g++)
            for (uint32_t i = p.groups[g].first; i != PLAN_NONE; i = p.next[i]) {
                ck_assert_uint_eq(i % hosts[h], p.groups[g].first % hosts[h]);
                ck_assert(!seen[i]);
                seen[i] = true;
            }
        for (size_t i = 0; i < URLS; i++)
            ck_assert(seen[i]);
        plan_free(&p);
    }
}
END_TEST

/* -- twins ------------------------------------------------------------------------------------- */

START_TEST(the_same_url_in_other_spellings_is_a_twin)
{
    static const char *const urls[] = {
        "http://a.example/x",     "http://a.example/y", "HTTP://A.EXAMPLE:80/x",
        "http://a.example/./x#f", "not a url",          "not a url",
        "http://a.example/Y",     "http://a.example/y",
    };
    union {
        const char *const *borrowed;
        void *arg;
    } list = {.borrowed = urls};
    struct twins t;

    ck_assert_int_eq(twins_find(COUNT(urls), listed, list.arg, &t), 0);
    ck_assert_uint_eq(t.is_twin[0], 1 << 2 | 1 << 3 | 1 << 7);
    ck_assert_uint_eq(twins_next(&t, 0), 2);
    ck_assert_uint_eq(twins_next(&t, 2), 3);
    ck_assert_uint_eq(twins_next(&t, 3), TWINS_NONE);
    ck_assert_uint_eq(twins_next(&t, 1), 7);
    ck_assert_uint_eq(twins_next(&t, 4), TWINS_NONE);
    ck_assert_uint_eq(twins_next(&t, 6), TWINS_NONE);
    twins_free(&t);
    ck_assert_uint_eq(twins_next(&t, 0), TWINS_NONE);
}
END_TEST

START_TEST(what_has_another_user_is_no_twin)
{
    static const char *const urls[] = {
        "http://a.example/", "http://u@a.example/",  "http://u:p@a.example/",
        "http://a.example",  "http://:p@a.example/", "http://u:p@a.example",
    };
    union {
        const char *const *borrowed;
        void *arg;
    } list = {.borrowed = urls};
    struct twins t;

    ck_assert_int_eq(twins_find(COUNT(urls), listed, list.arg, &t), 0);
    ck_assert_uint_eq(t.is_twin[0], 1 << 3 | 1 << 5);
    ck_assert_uint_eq(twins_next(&t, 0), 3);
    ck_assert_uint_eq(twins_next(&t, 2), 5);
    twins_free(&t);
}
END_TEST

Suite *suite_plan(void)
{
    Suite *suite = suite_create("plan");
    TCase *tcase = tcase_create("plan");

    tcase_add_test(tcase, urls_of_one_origin_are_one_group_in_their_order);
    tcase_add_test(tcase, what_is_no_url_is_a_group_too);
    tcase_add_test(tcase, in_order_all_are_one_group);
    tcase_add_test(tcase, what_is_skipped_is_in_no_group);
    tcase_add_test(tcase, an_empty_list_is_an_empty_plan);
    tcase_add_test(tcase, many_origins_are_as_many_groups);
    tcase_add_test(tcase, the_same_url_in_other_spellings_is_a_twin);
    tcase_add_test(tcase, what_has_another_user_is_no_twin);
    suite_add_tcase(suite, tcase);
    return suite;
}
