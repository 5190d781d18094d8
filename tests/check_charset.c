#include "tests/check.h"

#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/charset.h"

static struct bump bump;

static void setup(void)
{
    ck_assert_int_eq(bump_init(&bump, 1 << 20), 0);
    bump_begin(&bump, CLOCK_NEVER);
}

static void teardown(void)
{
    bump_fini(&bump);
}

/* `page` came with `content_type`: it reads as `text` and its encoding is `charset`. */
static void assert_reads(struct bytes page, const char *content_type, struct bytes text,
                         enum charset charset)
{
    struct bytes got = {0};

    if (setjmp(bump.escape))
        ck_abort_msg("the arena is too small");
    ck_assert_int_eq(charset_to_utf8(&bump, page, bytes_cstr(content_type), false, &got), charset);
    ck_assert_msg(bytes_equal(got, text), "got \"%.*s\"", (int)got.len, got.ptr);
    ck_assert(utf8_valid(got));
}

START_TEST(a_byte_order_mark_wins_and_is_stripped)
{
    assert_reads(BYTES("\xef\xbb\xbf\xc3\xa9"), "text/html; charset=latin1", BYTES("\xc3\xa9"),
                 CHARSET_UTF_8);
    assert_reads(BYTES("\xff\xfe<\0\xe9\0\x3d\xd8\0\xde"), "", BYTES("<\xc3\xa9\xf0\x9f\x98\x80"),
                 CHARSET_UTF_16LE);
    assert_reads(BYTES("\xfe\xff\0<\0\xe9\xd8\x3d\xde\0"), "text/html;charset=utf-8",
                 BYTES("<\xc3\xa9\xf0\x9f\x98\x80"), CHARSET_UTF_16BE);
}
END_TEST

START_TEST(lone_surrogates_and_half_units_of_utf_16_are_replaced)
{
    assert_reads(BYTES("\xff\xfe\x3d\xd8<\0\0\xde>\0\x3d\xd8"), "",
                 BYTES("\xef\xbf\xbd<\xef\xbf\xbd>\xef\xbf\xbd"), CHARSET_UTF_16LE);
    assert_reads(BYTES("\xff\xfe<\0>"), "", BYTES("<\xef\xbf\xbd"), CHARSET_UTF_16LE);
}
END_TEST

START_TEST(the_http_charset_comes_before_the_look_of_the_bytes)
{
    assert_reads(BYTES("\xc3\xa9"), "text/html; charset=ISO-8859-1", BYTES("\xc3\x83\xc2\xa9"),
                 CHARSET_WINDOWS_1252);
    assert_reads(BYTES("\xe9"), "text/html; charset=\"UTF-8\"", BYTES("\xef\xbf\xbd"),
                 CHARSET_UTF_8);
}
END_TEST

START_TEST(without_a_charset_valid_utf_8_is_utf_8_and_all_else_windows_1252)
{
    assert_reads(BYTES(""), "", BYTES(""), CHARSET_UTF_8);
    assert_reads(bytes_of(NULL, 0), "", BYTES(""), CHARSET_UTF_8);
    assert_reads(BYTES("plain"), "text/html", BYTES("plain"), CHARSET_UTF_8);
    assert_reads(BYTES("\xe4\xbd\xa0"), "text/html", BYTES("\xe4\xbd\xa0"), CHARSET_UTF_8);
    assert_reads(BYTES("caf\xe9"), "text/html; charset=no-such", BYTES("caf\xc3\xa9"),
                 CHARSET_WINDOWS_1252);
}
END_TEST

START_TEST(windows_1252_is_the_standards_index)
{
    assert_reads(BYTES("\x80\x81\x85\x92\x9f\xa0\xff<"), "text/html;charset=windows-1252",
                 BYTES("\xe2\x82\xac\xc2\x81\xe2\x80\xa6\xe2\x80\x99\xc5\xb8\xc2\xa0\xc3\xbf<"),
                 CHARSET_WINDOWS_1252);
}
END_TEST

START_TEST(valid_text_is_not_copied)
{
    struct bytes page = BYTES("\xef\xbb\xbf<title>\xc3\xa9</title>"), text = {0};

    ck_assert_int_eq(charset_to_utf8(&bump, page, BYTES(""), false, &text), CHARSET_UTF_8);
    ck_assert_ptr_eq(text.ptr, page.ptr + 3);
    ck_assert_uint_eq(bump.used, 0);
}
END_TEST

#define R "\xef\xbf\xbd"

START_TEST(ill_formed_utf_8_is_replaced_one_per_maximal_subpart)
{
    static const struct {
        struct bytes in, out;
    } rows[] = {
#define ROW(in, out)                                                                               \
    {                                                                                              \
        {in, sizeof in - 1},                                                                       \
        {                                                                                          \
            out, sizeof out - 1                                                                    \
        }                                                                                          \
    }
        ROW("a\x80z", "a" R "z"),
        ROW("a\xc3<", "a" R "<"),         /* never swallows what follows */
        ROW("\xe4\xbd<", R "<"),          /* two bytes of three: one */
        ROW("\xf0\x9f\x98\"", R "\""),    /* three of four: one */
        ROW("\xc0\xaf", R R),             /* overlong */
        ROW("\xe0\x80\x80", R R R),       /* overlong */
        ROW("\xed\xa0\x80", R R R),       /* surrogate */
        ROW("\xf4\x90\x80\x80", R R R R), /* over U+10FFFF */
        ROW("\xf5\xff\xfe", R R R),       /* never occur */
        ROW("\xe4\xbd\xf0\x9f\x98\x80", R "\xf0\x9f\x98\x80"),
        ROW("ok\xe4\xbd", "ok" R), /* at the end */
        ROW("\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf", "\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf"),
        ROW("\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64",
            "a" R R R "b" R "c" R R "d"), /* Unicode 3.9, table 3-8 */
#undef ROW
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_reads(rows[i].in, "text/html; charset=utf-8", rows[i].out, CHARSET_UTF_8);
}
END_TEST

START_TEST(half_a_character_where_the_page_was_cut_is_no_sign_against_utf_8)
{
    struct bytes text = {0};

    ck_assert_int_eq(charset_to_utf8(&bump, BYTES("\xc3\xa9\xe4\xbd"), BYTES(""), true, &text),
                     CHARSET_UTF_8);
    ck_assert(bytes_equal(text, BYTES("\xc3\xa9")));
    ck_assert_int_eq(charset_to_utf8(&bump, BYTES("\xc3\xa9\xe4\xbd"), BYTES(""), false, &text),
                     CHARSET_WINDOWS_1252);
}
END_TEST

START_TEST(the_charset_parameter_is_read_as_the_standard_reads_it)
{
    static const struct {
        const char *field, *value;
    } rows[] = {
        {"text/html;charset=utf-8", "utf-8"},
        {"text/html ; Charset=UTF-8 ; x=y", "UTF-8"},
        {"text/html; charset=\"utf-8\"; a=b", "utf-8"},
        {"text/html; charset=\"utf-8", "utf-8"},
        {"text/html; a=\"x;charset=no\"; charset=yes", "yes"},
        {"text/html; a=\"\\\";charset=no\"; charset=yes", "yes"},
        {"text/html; charset; charset=yes", "yes"},
        {"text/html; charset=; charset=yes", "yes"},
        {"text/html; charset=first; charset=second", "first"},
        {"text/html; charset =no", ""},
        {"text/html; xcharset=no", ""},
        {"text/html;;;charset=yes;", "yes"},
        {"text/html; charset=\"", ""},
        {"charset=no", ""},
        {";", ""},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes got = charset_parameter(bytes_cstr(rows[i].field));
        ck_assert_msg(bytes_equal(got, bytes_cstr(rows[i].value)), "%s: got %.*s", rows[i].field,
                      (int)got.len, got.ptr);
    }
}
END_TEST

START_TEST(labels_are_those_of_the_standard)
{
    ck_assert_int_eq(charset_of_label(BYTES(" \tUtF8\r\n")), CHARSET_UTF_8);
    ck_assert_int_eq(charset_of_label(BYTES("iso_8859-1:1987")), CHARSET_WINDOWS_1252);
    ck_assert_int_eq(charset_of_label(BYTES("us-ascii")), CHARSET_WINDOWS_1252);
    ck_assert_int_eq(charset_of_label(BYTES("utf-8x")), CHARSET_NONE);
    ck_assert_int_eq(charset_of_label(BYTES("utf 8")), CHARSET_NONE);
    ck_assert_int_eq(charset_of_label(bytes_of(NULL, 0)), CHARSET_NONE);
    ck_assert_str_eq(charset_name(CHARSET_UTF_8), "utf-8");
    ck_assert_str_eq(charset_name(CHARSET_WINDOWS_1252), "windows-1252");
    ck_assert_str_eq(charset_name(CHARSET_COUNT), "");
}
END_TEST

START_TEST(every_pair_of_bytes_becomes_well_formed)
{
    char page[4] = "a??b";

    for (unsigned pair = 0; pair < 0x10000; pair++) {
        struct bytes text = {0};

        bump_begin(&bump, CLOCK_NEVER);
        page[1] = (char)(pair >> 8);
        page[2] = (char)pair;
        charset_to_utf8(&bump, bytes_of(page, sizeof page), BYTES("x/y;charset=utf-8"), false,
                        &text);
        ck_assert(utf8_valid(text));
        ck_assert(text.ptr[0] == 'a' && text.ptr[text.len - 1] == 'b');
    }
}
END_TEST

Suite *suite_charset(void)
{
    Suite *suite = suite_create("charset");
    TCase *tc = tcase_create("charset");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_byte_order_mark_wins_and_is_stripped);
    tcase_add_test(tc, lone_surrogates_and_half_units_of_utf_16_are_replaced);
    tcase_add_test(tc, the_http_charset_comes_before_the_look_of_the_bytes);
    tcase_add_test(tc, without_a_charset_valid_utf_8_is_utf_8_and_all_else_windows_1252);
    tcase_add_test(tc, windows_1252_is_the_standards_index);
    tcase_add_test(tc, valid_text_is_not_copied);
    tcase_add_test(tc, ill_formed_utf_8_is_replaced_one_per_maximal_subpart);
    tcase_add_test(tc, half_a_character_where_the_page_was_cut_is_no_sign_against_utf_8);
    tcase_add_test(tc, the_charset_parameter_is_read_as_the_standard_reads_it);
    tcase_add_test(tc, labels_are_those_of_the_standard);
    tcase_add_test(tc, every_pair_of_bytes_becomes_well_formed);
    suite_add_tcase(suite, tc);
    return suite;
}
