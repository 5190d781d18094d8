/* Fields of a page, packed and checked. */
#include "parsers/fields.h"
#include "parsers/url.h"
#include "tests/check.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static struct field_writer writer;
static char buffer[FIELDS_MAX];

static void setup(void)
{
    fields_begin(&writer, buffer);
}

static bool put(enum field field, const char *key, const char *value)
{
    return fields_put(&writer, field, bytes_cstr(key), bytes_cstr(value));
}

/* A text of `len` times 'x' behind `start`; the caller frees it. */
static struct bytes long_text(const char *start, size_t len)
{
    size_t begin = strlen(start);
    char *text = malloc(begin + len + 1);

    ck_assert_ptr_nonnull(text);
    memcpy(text, start, begin);
    memset(text + begin, 'x', len);
    return bytes_of(text, begin + len);
}

static void free_text(struct bytes text)
{
    union {
        const char *borrowed;
        char *owned;
    } alias = {.borrowed = text.ptr};

    free(alias.owned);
}

/* All entries, "field key value" each on a line. */
static void ck_written(const char *expected)
{
    struct bytes rest = fields_written(&writer);
    struct field_entry e;
    char got[4096] = "";

    ck_assert(fields_are_valid(rest, FIELDS_ALL));
    while (fields_next(&rest, &e)) {
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s %.*s %.*s\n", field_name(e.field),
                 (int)e.key.len, e.key.ptr, (int)e.value.len, e.value.ptr);
    }
    ck_assert_str_eq(got, expected);
}

/* Entries that the writer would not write, as a worker gone bad may. */
static char forged[FIELDS_MAX + 4096];
static size_t forged_len;

static void forge(unsigned field, struct bytes key, struct bytes value)
{
    char *to = forged + forged_len;

    ck_assert_uint_le(forged_len + FIELD_ENTRY_HEADER + key.len + value.len, sizeof forged);
    *to++ = (char)field;
    *to++ = (char)key.len;
    for (unsigned i = 0; i < 4; i++)
        *to++ = (char)(unsigned char)(value.len >> 8 * i);
    memcpy(to, key.ptr, key.len);
    if (value.len > 0)
        memcpy(to + key.len, value.ptr, value.len);
    forged_len += FIELD_ENTRY_HEADER + key.len + value.len;
}

/* Whether what was forged is valid, in memory of exactly its size. */
static bool takes_forged(field_set asked)
{
    char *copy = malloc(forged_len ? forged_len : 1);

    ck_assert_ptr_nonnull(copy);
    memcpy(copy, forged, forged_len);
    bool valid = fields_are_valid(bytes_of(copy, forged_len), asked);
    free(copy);
    forged_len = 0;
    return valid;
}

static bool takes_one(unsigned field, struct bytes key, struct bytes value)
{
    forge(field, key, value);
    return takes_forged(FIELDS_ALL);
}

/* -- the table --------------------------------------------------------------------------------- */

START_TEST(every_field_is_found_by_its_name)
{
    for (unsigned f = 0; f < FIELD_COUNT; f++)
        ck_assert_int_eq(field_of_name(bytes_cstr(field_name((enum field)f))), f);
    ck_assert_int_eq(field_of_name(BYTES("Title")), FIELD_COUNT);
    ck_assert_int_eq(field_of_name(BYTES("titl")), FIELD_COUNT);
    ck_assert_int_eq(field_of_name(bytes_of(NULL, 0)), FIELD_COUNT);
}
END_TEST

START_TEST(fields_of_the_body_are_those_of_the_table)
{
    ck_assert_uint_eq(fields_of_body(), FIELD_BIT(FIELD_H1) | FIELD_BIT(FIELD_LINKS) |
                                            FIELD_BIT(FIELD_TEXT_OF_PAGE) |
                                            FIELD_BIT(FIELD_JSON_LD));
}
END_TEST

/* -- writing ----------------------------------------------------------------------------------- */

START_TEST(what_comes_in_any_order_stands_in_that_of_the_table)
{
    ck_assert(put(FIELD_TEXT_OF_PAGE, "", "some text"));
    ck_assert(put(FIELD_LINKS, "", "http://a.example/1"));
    ck_assert(put(FIELD_H1, "", "first"));
    ck_assert(put(FIELD_DESCRIPTION, "", ""));
    ck_assert(put(FIELD_LINKS, "", "https://a.example/2"));
    ck_assert(put(FIELD_JSON_LD, "", "{\"a\":[1,\"b c\"]}"));
    ck_assert(put(FIELD_H1, "", "second"));
    ck_written("description  \n"
               "h1  first\n"
               "h1  second\n"
               "links  http://a.example/1\n"
               "links  https://a.example/2\n"
               "text  some text\n"
               "json_ld  {\"a\":[1,\"b c\"]}\n");
    ck_assert(!writer.truncated);
}
END_TEST

START_TEST(values_of_a_key_stand_together)
{
    put(FIELD_TWITTER, "card", "summary");
    put(FIELD_OG, "image", "1");
    put(FIELD_OG, "title", "t");
    put(FIELD_OG, "image", "2");
    put(FIELD_OG, "image:alt", "a");
    put(FIELD_OG, "title", "u");
    ck_written("og image 1\n"
               "og image 2\n"
               "og title t\n"
               "og title u\n"
               "og image:alt a\n"
               "twitter card summary\n");
}
END_TEST

START_TEST(of_what_there_is_one_the_first_stays)
{
    ck_assert(put(FIELD_LANG, "", "de"));
    ck_assert(!put(FIELD_LANG, "", "en"));
    ck_assert(put(FIELD_CANONICAL, "", "http://a/"));
    ck_assert(!put(FIELD_CANONICAL, "", "http://b/"));
    ck_assert(!writer.truncated);
    ck_written("canonical  http://a/\nlang  de\n");
}
END_TEST

START_TEST(a_text_that_is_too_long_is_cut_at_the_end_of_a_character)
{
    char lang[299] = "a";

    for (size_t i = 1; i < sizeof lang; i += 2)
        memcpy(lang + i, "\xc3\xa9", 2);
    ck_assert(!fields_put(&writer, FIELD_LANG, BYTES(""), bytes_of(lang, sizeof lang)));
    ck_assert(writer.truncated);

    struct bytes rest = fields_written(&writer);
    struct field_entry e;
    ck_assert(fields_are_valid(rest, FIELDS_ALL));
    ck_assert(fields_next(&rest, &e));
    ck_assert_uint_eq(e.value.len, 255); /* of 256, where two bytes would be needed */
}
END_TEST

START_TEST(what_has_no_room_is_left_out_and_the_rest_is_not)
{
    struct bytes link = long_text("http://a.example/", 7000);

    for (int i = 0; i < 9; i++)
        ck_assert(fields_put(&writer, FIELD_LINKS, BYTES(""), link));
    ck_assert(!writer.truncated);
    ck_assert(!fields_put(&writer, FIELD_LINKS, BYTES(""), link));
    ck_assert(writer.truncated);
    ck_assert(put(FIELD_LINKS, "", "http://short/"));
    ck_assert(put(FIELD_H1, "", "heading"));
    ck_assert(fields_are_valid(fields_written(&writer), FIELDS_ALL));
    free_text(link);
}
END_TEST

START_TEST(all_fields_together_have_room_for_so_much_and_no_more)
{
    struct bytes text = long_text("", 64 << 10), heading = long_text("", 1000);

    ck_assert(fields_put(&writer, FIELD_TEXT_OF_PAGE, BYTES(""), text));
    for (int i = 0; i < 7; i++)
        ck_assert(put(FIELD_LINKS, "", "http://a.example/1"));
    for (int i = 0; i < 12; i++) {
        struct bytes json = long_text("\"", 5000);
        union {
            const char *borrowed;
            char *owned;
        } alias = {.borrowed = json.ptr};
        alias.owned[json.len - 1] = '"';
        ck_assert(fields_put(&writer, FIELD_JSON_LD, BYTES(""), json));
        free_text(json);
    }
    while (fields_put(&writer, FIELD_H1, BYTES(""), heading))
        ck_assert_uint_le(fields_written(&writer).len, FIELDS_MAX);
    ck_assert(writer.truncated);
    while (put(FIELD_H1, "", ""))
        ck_assert_uint_le(fields_written(&writer).len, FIELDS_MAX);
    ck_assert_uint_gt(fields_written(&writer).len, FIELDS_MAX - FIELD_ENTRY_HEADER);
    ck_assert(!put(FIELD_DESCRIPTION, "", "none left"));
    ck_assert(fields_are_valid(fields_written(&writer), FIELDS_ALL));
    free_text(text);
    free_text(heading);
}
END_TEST

START_TEST(of_an_object_without_room_nothing_is_written)
{
    struct bytes title = long_text("", 4000), url = long_text("http://a/", 8000);

    for (int i = 0; i < 4; i++) {
        ck_assert(put(FIELD_FEEDS, "url", "http://a/"));
        fields_put(&writer, FIELD_FEEDS, BYTES("title"), title);
    }
    ck_assert(!writer.truncated);
    ck_assert(!fields_put(&writer, FIELD_FEEDS, BYTES("url"), url));
    ck_assert(writer.truncated);
    ck_assert(!put(FIELD_FEEDS, "type", "of the one left out"));
    ck_assert(put(FIELD_FEEDS, "url", "http://b/"));
    ck_assert(put(FIELD_FEEDS, "type", "t"));
    ck_assert(!put(FIELD_FEEDS, "url", "no URL"));
    ck_assert(!put(FIELD_FEEDS, "title", "of no URL"));
    ck_assert(fields_are_valid(fields_written(&writer), FIELDS_ALL));
    ck_assert_ptr_null(memmem(writer.buffer, writer.len, "left out", 8));
    ck_assert_ptr_null(memmem(writer.buffer, writer.len, "no URL", 6));
    free_text(title);
    free_text(url);
}
END_TEST

START_TEST(what_cannot_be_valid_is_not_written)
{
    struct bytes key = long_text("", FIELD_KEY_MAX + 1);

    ck_assert(!put(FIELD_TITLE, "", "a title"));
    ck_assert(!put(FIELD_OG, "", "no key"));
    ck_assert(!put(FIELD_OG, "caf\xc3\xa9", "no ASCII"));
    ck_assert(!fields_put(&writer, FIELD_OG, key, BYTES("long")));
    ck_assert(!put(FIELD_H1, "key", "no key wanted"));
    ck_assert(!put(FIELD_H1, "", "\xff"));
    ck_assert(!put(FIELD_ICON, "", "/icon.png"));
    ck_assert(!put(FIELD_FEEDS, "type", "in front of any URL"));
    ck_assert(!put(FIELD_JSON_LD, "", "{"));
    ck_assert(!writer.truncated);
    ck_written("");
    free_text(key);
}
END_TEST

START_TEST(keys_without_end_are_left_out)
{
    for (int i = 0; i < FIELD_KEYED_MAX; i++)
        ck_assert(put(FIELD_OG, i % 2 ? "a" : "b", ""));
    ck_assert(!put(FIELD_OG, "a", ""));
    ck_assert(writer.truncated);
    ck_assert(put(FIELD_TWITTER, "a", ""));
    ck_assert(fields_are_valid(fields_written(&writer), FIELDS_ALL));
}
END_TEST

/* -- checking ---------------------------------------------------------------------------------- */

START_TEST(every_truncation_of_valid_entries_is_refused_or_ends_one)
{
    put(FIELD_LANG, "", "de");
    put(FIELD_OG, "image", "1");
    put(FIELD_LINKS, "", "http://a.example/1");
    struct bytes all = fields_written(&writer);
    int valid = 0;

    for (size_t len = 0; len <= all.len; len++) {
        memcpy(forged, all.ptr, forged_len = len);
        valid += takes_forged(FIELDS_ALL);
    }
    ck_assert_int_eq(valid, 4); /* none, one, two, three */
}
END_TEST

START_TEST(fields_that_were_not_asked_for_are_refused)
{
    put(FIELD_LANG, "", "de");
    put(FIELD_H1, "", "x");
    struct bytes all = fields_written(&writer);

    ck_assert(fields_are_valid(all, FIELD_BIT(FIELD_LANG) | FIELD_BIT(FIELD_H1)));
    ck_assert(!fields_are_valid(all, FIELD_BIT(FIELD_LANG)));
    ck_assert(!fields_are_valid(all, 0));
    ck_assert(fields_are_valid(bytes_of(NULL, 0), 0));
}
END_TEST

static const char *const bad_urls[] = {"",           "http://",      "ftp://a/",
                                       "//a/",       "HTTP://a/",    "http://a b",
                                       "http://a\n", "http://a\x7f", "http://\xff"};

START_TEST(forged_entries_are_refused)
{
    static const char url[] = "http://a/";

    ck_assert(takes_one(FIELD_LANG, BYTES(""), BYTES("de")));
    ck_assert(!takes_one(FIELD_TITLE, BYTES(""), BYTES("title")));
    ck_assert(!takes_one(FIELD_COUNT, BYTES(""), BYTES("x")));
    ck_assert(!takes_one(255, BYTES(""), BYTES("x")));
    ck_assert(!takes_one(FIELD_LANG, BYTES("k"), BYTES("de")));
    ck_assert(!takes_one(FIELD_LANG, BYTES(""), BYTES("a\0b")));
    ck_assert(!takes_one(FIELD_H1, BYTES(""), BYTES("\xed\xa0\x80")));
    ck_assert(takes_one(FIELD_OG, BYTES("k"), BYTES("v")));
    ck_assert(!takes_one(FIELD_OG, BYTES(""), BYTES("v")));
    ck_assert(!takes_one(FIELD_OG, BYTES("a\nb"), BYTES("v")));
    ck_assert(!takes_one(FIELD_OG, BYTES("a\0b"), BYTES("v")));
    ck_assert(!takes_one(FIELD_OG, BYTES("a\x7f"), BYTES("v")));
    ck_assert(takes_one(FIELD_LINKS, BYTES(""), bytes_cstr(url)));
    for (size_t i = 0; i < sizeof bad_urls / sizeof bad_urls[0]; i++) {
        ck_assert(!takes_one(FIELD_LINKS, BYTES(""), bytes_cstr(bad_urls[i])));
        ck_assert(!takes_one(FIELD_CANONICAL, BYTES(""), bytes_cstr(bad_urls[i])));
        ck_assert(!takes_one(FIELD_FEEDS, BYTES("url"), bytes_cstr(bad_urls[i])));
    }
    ck_assert(takes_one(FIELD_FEEDS, BYTES("url"), bytes_cstr(url)));
    ck_assert(!takes_one(FIELD_FEEDS, BYTES("type"), BYTES("x")));
}
END_TEST

START_TEST(json_is_taken_only_whole_and_compact)
{
    static const char *const bad[] = {"",  "{",    "{} ",    " {}",      "[1, 2]", "\"a\nb\"",
                                      "x", "{}{}", "{}\n{}", "\"\xff\"", "[1,\n2]"};

    ck_assert(takes_one(FIELD_JSON_LD, BYTES(""), BYTES("{\"a\":\"\xe2\x80\xa8\"}")));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!takes_one(FIELD_JSON_LD, BYTES(""), bytes_cstr(bad[i])), "%s", bad[i]);
}
END_TEST

static bool takes_two(unsigned field, const char *key, const char *value, unsigned field_2,
                      const char *key_2, const char *value_2)
{
    forge(field, bytes_cstr(key), bytes_cstr(value));
    forge(field_2, bytes_cstr(key_2), bytes_cstr(value_2));
    return takes_forged(FIELDS_ALL);
}

START_TEST(entries_in_a_wrong_order_are_refused)
{
    ck_assert(takes_two(FIELD_LANG, "", "de", FIELD_H1, "", "x"));
    ck_assert(!takes_two(FIELD_H1, "", "x", FIELD_LANG, "", "de"));
    ck_assert(!takes_two(FIELD_LANG, "", "de", FIELD_LANG, "", "en"));
    ck_assert(!takes_two(FIELD_ICON, "", "http://a/", FIELD_ICON, "", "http://b/"));
    ck_assert(takes_two(FIELD_H1, "", "x", FIELD_H1, "", "x"));

    forge(FIELD_OG, BYTES("a"), BYTES("1"));
    forge(FIELD_OG, BYTES("b"), BYTES("1"));
    forge(FIELD_OG, BYTES("a"), BYTES("2")); /* would be a name that stands twice in an object */
    ck_assert(!takes_forged(FIELDS_ALL));

    forge(FIELD_FEEDS, BYTES("url"), BYTES("http://a/"));
    forge(FIELD_FEEDS, BYTES("type"), BYTES("1"));
    forge(FIELD_FEEDS, BYTES("url"), BYTES("http://a/"));
    forge(FIELD_FEEDS, BYTES("type"), BYTES("1"));
    ck_assert(takes_forged(FIELDS_ALL));
    forge(FIELD_FEEDS, BYTES("url"), BYTES("http://a/"));
    forge(FIELD_FEEDS, BYTES("type"), BYTES("1"));
    forge(FIELD_FEEDS, BYTES("title"), BYTES("1"));
    forge(FIELD_FEEDS, BYTES("type"), BYTES("1"));
    ck_assert(!takes_forged(FIELDS_ALL));
}
END_TEST

START_TEST(more_than_a_field_may_have_is_refused)
{
    struct bytes lang = long_text("", 257), url = long_text("http://a/", URL_MAX - 8);

    ck_assert(!takes_one(FIELD_LANG, BYTES(""), lang));
    ck_assert(takes_one(FIELD_LANG, BYTES(""), bytes_of(lang.ptr, 256)));
    ck_assert(!takes_one(FIELD_LINKS, BYTES(""), url));
    ck_assert(takes_one(FIELD_LINKS, BYTES(""), bytes_of(url.ptr, URL_MAX)));

    for (int i = 0; i < 9; i++) /* 72 KiB */
        forge(FIELD_LINKS, BYTES(""), bytes_of(url.ptr, URL_MAX));
    ck_assert(!takes_forged(FIELDS_ALL));

    for (int i = 0; i <= FIELD_KEYED_MAX; i++)
        forge(FIELD_OG, BYTES("a"), BYTES(""));
    ck_assert(!takes_forged(FIELDS_ALL));
    while (forged_len <= FIELDS_MAX)
        forge(FIELD_H1, BYTES(""), BYTES(""));
    ck_assert(!takes_forged(FIELDS_ALL));
    free_text(lang);
    free_text(url);
}
END_TEST

START_TEST(random_entries_are_refused_or_can_be_written_again)
{
    static const char *const keys[] = {"", "url", "type", "a", "b"};
    static const char *const values[] = {"", "http://a/", "text", "[1]", "\xff"};
    uint32_t x = 3;
    int valid = 0;

    for (int round = 0; round < 20000; round++) {
        x = x * 1664525 + 1013904223;
        for (unsigned n = (x >> 8) % 5; n-- > 0;) {
            x = x * 1664525 + 1013904223;
            forge((x >> 8) % FIELD_COUNT, bytes_cstr(keys[(x >> 16) % 5]),
                  bytes_cstr(values[(x >> 24) % 5]));
        }
        struct bytes rest = bytes_of(forged, forged_len);
        bool expected = fields_are_valid(rest, FIELDS_ALL);
        struct field_entry e;

        setup();
        bool written = true;
        for (struct bytes at = rest; fields_next(&at, &e);)
            written = fields_put(&writer, e.field, e.key, e.value) && written;
        if (expected)
            ck_assert(written && bytes_equal(fields_written(&writer), rest));
        ck_assert(fields_are_valid(fields_written(&writer), FIELDS_ALL));
        valid += expected && forged_len > 0;
        forged_len = 0;
    }
    ck_assert_int_gt(valid, 100);
}
END_TEST

Suite *suite_fields(void)
{
    Suite *suite = suite_create("fields");
    TCase *tc = tcase_create("fields");

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, every_field_is_found_by_its_name);
    tcase_add_test(tc, fields_of_the_body_are_those_of_the_table);
    tcase_add_test(tc, what_comes_in_any_order_stands_in_that_of_the_table);
    tcase_add_test(tc, values_of_a_key_stand_together);
    tcase_add_test(tc, of_what_there_is_one_the_first_stays);
    tcase_add_test(tc, a_text_that_is_too_long_is_cut_at_the_end_of_a_character);
    tcase_add_test(tc, what_has_no_room_is_left_out_and_the_rest_is_not);
    tcase_add_test(tc, all_fields_together_have_room_for_so_much_and_no_more);
    tcase_add_test(tc, of_an_object_without_room_nothing_is_written);
    tcase_add_test(tc, what_cannot_be_valid_is_not_written);
    tcase_add_test(tc, keys_without_end_are_left_out);
    tcase_add_test(tc, every_truncation_of_valid_entries_is_refused_or_ends_one);
    tcase_add_test(tc, fields_that_were_not_asked_for_are_refused);
    tcase_add_test(tc, forged_entries_are_refused);
    tcase_add_test(tc, json_is_taken_only_whole_and_compact);
    tcase_add_test(tc, entries_in_a_wrong_order_are_refused);
    tcase_add_test(tc, more_than_a_field_may_have_is_refused);
    tcase_add_test(tc, random_entries_are_refused_or_can_be_written_again);
    suite_add_tcase(suite, tc);
    return suite;
}
