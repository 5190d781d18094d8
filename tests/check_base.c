#include "core/base/buffer.h"
#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/utf8.h"
#include "tests/check.h"

#include <stdlib.h>

/* -- bytes ------------------------------------------------------------------------------------- */

START_TEST(bytes_compare_by_length_and_content)
{
    ck_assert(bytes_equal(BYTES("ab"), bytes_of("abc", 2)));
    ck_assert(!bytes_equal(BYTES("ab"), BYTES("abc")));
    ck_assert(!bytes_equal(BYTES("ab"), BYTES("aB")));
    ck_assert(bytes_equal(BYTES(""), bytes_cstr(NULL)));
    ck_assert(bytes_equal(bytes_of("a\0b", 3), BYTES("a\0b")));
    ck_assert(!bytes_equal(bytes_of("a\0b", 3), BYTES("a\0c")));
    ck_assert(bytes_equal_nocase(BYTES("GZip"), BYTES("gzip")));
    ck_assert(!bytes_equal_nocase(BYTES("gzip"), BYTES("gzi")));
}
END_TEST

START_TEST(trimming_takes_ascii_white_space_off_both_ends_only)
{
    ck_assert(bytes_equal(bytes_trim(BYTES(" \t\r\n\fa b\f ")), BYTES("a b")));
    ck_assert(bytes_equal(bytes_trim(BYTES(" \t ")), BYTES("")));
    ck_assert(bytes_equal(bytes_trim(bytes_cstr(NULL)), BYTES("")));
    ck_assert(bytes_equal(bytes_trim(BYTES("\va")), BYTES("\va"))); /* VT is none, by WHATWG */
}
END_TEST

START_TEST(splitting_gives_every_part_the_empty_ones_too)
{
    static const char *const parts[] = {"", "a", "", "b", ""};
    struct bytes rest = BYTES(",a,,b,");

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        ck_assert_ptr_nonnull(rest.ptr);
        ck_assert(bytes_equal(bytes_split(&rest, ','), bytes_cstr(parts[i])));
    }
    ck_assert_ptr_null(rest.ptr);
}
END_TEST

/* -- buffer ------------------------------------------------------------------------------------ */

START_TEST(a_buffer_collects_bytes_numbers_and_formatted_text)
{
    struct buffer b = {0};

    buffer_append(&b, "a\0b", 3);
    buffer_byte(&b, ',');
    buffer_text(&b, "text");
    buffer_byte(&b, ',');
    buffer_unsigned(&b, 0);
    buffer_unsigned(&b, UINT64_MAX);
    buffer_printf(&b, ",%d:%s", -7, "x");
    ck_assert(!b.failed);
    ck_assert(bytes_equal(buffer_bytes(&b), BYTES("a\0b,text,018446744073709551615,-7:x")));
    buffer_consume(&b, 4);
    ck_assert(bytes_equal(buffer_bytes(&b), BYTES("text,018446744073709551615,-7:x")));
    buffer_free(&b);
    ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(a_buffer_grows_over_many_appends)
{
    struct buffer b = {0};

    for (int i = 0; i < 100000; i++)
        buffer_byte(&b, (char)('a' + i % 26));
    ck_assert_uint_eq(b.len, 100000);
    for (int i = 0; i < 100000; i++)
        ck_assert_int_eq(b.ptr[i], 'a' + i % 26);
    buffer_free(&b);
}
END_TEST

START_TEST(after_a_failed_allocation_a_buffer_stays_failed)
{
    struct buffer b = {0};

    buffer_text(&b, "kept");
    ck_assert(!buffer_reserve(&b, SIZE_MAX - 2));
    ck_assert(b.failed);
    buffer_text(&b, "not appended");
    buffer_printf(&b, "%d", 1);
    ck_assert(bytes_equal(buffer_bytes(&b), BYTES("kept")));
    buffer_free(&b);
    ck_assert(!b.failed);
}
END_TEST

START_TEST(taking_a_buffers_storage_leaves_it_empty)
{
    struct buffer b = {0};
    size_t length = 0;

    buffer_text(&b, "mine");
    char *taken = buffer_take(&b, &length);
    ck_assert(bytes_equal(bytes_of(taken, length), BYTES("mine")));
    ck_assert_ptr_null(b.ptr);
    ck_assert_uint_eq(b.len, 0);
    free(taken);
    ck_assert_ptr_null(buffer_take(&b, &length));
    ck_assert_uint_eq(length, 0);
}
END_TEST

/* -- list -------------------------------------------------------------------------------------- */

struct member {
    int value;
    struct list link;
};

static int pop(struct list *head)
{
    struct list *link = list_pop_front(head);

    return link ? CONTAINER_OF(link, struct member, link)->value : -1;
}

START_TEST(a_list_keeps_order_and_forgets_what_is_removed)
{
    struct member m[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    struct list head;

    list_init(&head);
    ck_assert(list_empty(&head));
    list_push_back(&head, &m[1].link);
    list_push_back(&head, &m[2].link);
    list_push_front(&head, &m[0].link);
    list_push_back(&head, &m[3].link);
    list_remove(&m[2].link);
    list_remove(&m[2].link); /* a removed link removes itself */
    ck_assert_int_eq(pop(&head), 0);
    ck_assert_int_eq(pop(&head), 1);
    ck_assert_int_eq(pop(&head), 3);
    ck_assert_int_eq(pop(&head), -1);
}
END_TEST

START_TEST(a_walk_over_a_list_may_remove_where_it_stands)
{
    struct member m[5] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct list head;
    int seen = 0;

    list_init(&head);
    for (int i = 0; i < 5; i++)
        list_push_back(&head, &m[i].link);
    LIST_FOR (link, &head) {
        ck_assert_int_eq(CONTAINER_OF(link, struct member, link)->value, seen);
        seen++;
        list_remove(link);
    }
    ck_assert_int_eq(seen, 5);
    ck_assert(list_empty(&head));
}
END_TEST

/* -- clock ------------------------------------------------------------------------------------- */

START_TEST(a_deadline_too_far_away_never_comes)
{
    ck_assert_uint_eq(clock_after_ms(5, 2), 5 + 2 * NS_PER_MS);
    ck_assert_uint_eq(clock_after_ms(5, UINT64_MAX), CLOCK_NEVER);
    ck_assert_uint_eq(clock_after_ms(CLOCK_NEVER, 1), CLOCK_NEVER);
    ck_assert_uint_eq(clock_after_ms(CLOCK_NEVER - NS_PER_MS, 1), CLOCK_NEVER);
}
END_TEST

START_TEST(the_clock_never_runs_backwards)
{
    uint64_t before = clock_now_ns();

    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_now_ns();
        ck_assert_uint_ge(now, before);
        before = now;
    }
}
END_TEST

START_TEST(every_code_point_is_well_formed_and_no_surrogate_is)
{
    for (unsigned c = 0x80; c < 0x110000; c += c < 0x10000 ? 1 : 61) {
        unsigned char text[4];
        size_t len = 0;

        if (c < 0x800) {
            text[len++] = (unsigned char)(0xC0 | c >> 6);
        } else if (c < 0x10000) {
            text[len++] = (unsigned char)(0xE0 | c >> 12);
            text[len++] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        } else {
            text[len++] = (unsigned char)(0xF0 | c >> 18);
            text[len++] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
            text[len++] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        }
        text[len++] = (unsigned char)(0x80 | (c & 0x3F));
        struct utf8_unit unit = utf8_unit(bytes_of((const char *)text, len));
        bool surrogate = c >= 0xD800 && c < 0xE000;
        ck_assert_int_eq(unit.valid, !surrogate);
        ck_assert_uint_eq(unit.len, surrogate ? 1 : len);
    }
}
END_TEST

Suite *suite_base(void)
{
    Suite *suite = suite_create("base");
    TCase *bytes = tcase_create("bytes");
    TCase *buffer = tcase_create("buffer");
    TCase *rest = tcase_create("list and clock");

    tcase_add_test(bytes, bytes_compare_by_length_and_content);
    tcase_add_test(bytes, trimming_takes_ascii_white_space_off_both_ends_only);
    tcase_add_test(bytes, splitting_gives_every_part_the_empty_ones_too);
    tcase_add_test(buffer, a_buffer_collects_bytes_numbers_and_formatted_text);
    tcase_add_test(buffer, a_buffer_grows_over_many_appends);
    tcase_add_test(buffer, after_a_failed_allocation_a_buffer_stays_failed);
    tcase_add_test(buffer, taking_a_buffers_storage_leaves_it_empty);
    tcase_add_test(bytes, every_code_point_is_well_formed_and_no_surrogate_is);
    tcase_add_test(rest, a_list_keeps_order_and_forgets_what_is_removed);
    tcase_add_test(rest, a_walk_over_a_list_may_remove_where_it_stands);
    tcase_add_test(rest, a_deadline_too_far_away_never_comes);
    tcase_add_test(rest, the_clock_never_runs_backwards);
    suite_add_tcase(suite, bytes);
    suite_add_tcase(suite, buffer);
    suite_add_tcase(suite, rest);
    return suite;
}
