#include "tests/check.h"

#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/charset.h"
#include "parsers/convert.h"
#include "parsers/multi_byte.h"

static struct bump bump;
static struct multi_byte *multi_byte;

static void setup(void)
{
    ck_assert_int_eq(bump_init(&bump, 1 << 20), 0);
    ck_assert_int_eq(multi_byte_open(&multi_byte), 0);
    bump_begin(&bump, CLOCK_NEVER);
}

static void teardown(void)
{
    multi_byte_close(multi_byte);
    bump_fini(&bump);
}

static struct charset_choice settle(struct bytes page, struct bytes content_type, bool cut)
{
    struct charset_choice choice = charset_declared(page, content_type);

    if (choice.charset == CHARSET_NONE)
        choice.charset = charset_guess(page, cut);
    return choice;
}

static enum charset read_page(struct bytes page, struct bytes content_type, bool cut,
                              struct bytes *ret)
{
    struct charset_choice choice = settle(page, content_type, cut);

    if (setjmp(bump.escape))
        ck_abort_msg("the arena is too small");
    if (choice.mark > 0)
        page = bytes_of(page.ptr + choice.mark, page.len - choice.mark);
    ck_assert_int_eq(convert_to_utf8(multi_byte, &bump, choice.charset, page, cut, ret), 0);
    return choice.charset;
}

/* `page` came with `content_type`: it reads as `text` and its encoding is `charset`. */
static void assert_reads(struct bytes page, const char *content_type, struct bytes text,
                         enum charset charset)
{
    struct bytes got = {0};

    ck_assert_int_eq(read_page(page, bytes_cstr(content_type), false, &got), charset);
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

START_TEST(valid_text_is_not_copied)
{
    struct bytes page = BYTES("\xef\xbb\xbf<title>\xc3\xa9</title>"), text = {0};

    ck_assert_int_eq(read_page(page, BYTES(""), false, &text), CHARSET_UTF_8);
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

    ck_assert_int_eq(read_page(BYTES("\xc3\xa9\xe4\xbd"), BYTES(""), true, &text), CHARSET_UTF_8);
    ck_assert(bytes_equal(text, BYTES("\xc3\xa9")));
    ck_assert_int_eq(read_page(BYTES("\xc3\xa9\xe4\xbd"), BYTES(""), false, &text),
                     CHARSET_WINDOWS_1252);
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
        read_page(bytes_of(page, sizeof page), BYTES("x/y;charset=utf-8"), false, &text);
        ck_assert(utf8_valid(text));
        ck_assert(text.ptr[0] == 'a' && text.ptr[text.len - 1] == 'b');
    }
}
END_TEST

START_TEST(the_http_charset_comes_before_what_the_page_declares)
{
    struct bytes page = BYTES("<meta charset=koi8-r>\xf0");

    assert_reads(page, "text/html; charset=windows-1251", BYTES("<meta charset=koi8-r>р"),
                 CHARSET_WINDOWS_1251);
    assert_reads(page, "text/html; charset=no-such", BYTES("<meta charset=koi8-r>П"),
                 CHARSET_KOI8_R);
    assert_reads(page, "text/html", BYTES("<meta charset=koi8-r>П"), CHARSET_KOI8_R);
}
END_TEST

START_TEST(what_the_page_declares_comes_before_the_look_of_its_bytes)
{
    assert_reads(BYTES("<meta charset=big5>\xc3\xa9"), "", BYTES("<meta charset=big5>矇"),
                 CHARSET_BIG5);
    assert_reads(BYTES("<meta charset=utf-8>\xff"), "",
                 BYTES("<meta charset=utf-8>" UTF8_REPLACEMENT), CHARSET_UTF_8);
    assert_reads(BYTES("<\0?\0x\0"), "", BYTES("<?x"), CHARSET_UTF_16LE);
}
END_TEST

START_TEST(http_may_say_utf_16_which_no_meta_element_can)
{
    assert_reads(BYTES("<\0"), "text/html;charset=utf-16", BYTES("<"), CHARSET_UTF_16LE);
    assert_reads(BYTES("\0<"), "text/html;charset=utf-16be", BYTES("<"), CHARSET_UTF_16BE);
    assert_reads(BYTES("<meta charset=utf-16>"), "", BYTES("<meta charset=utf-16>"), CHARSET_UTF_8);
}
END_TEST

START_TEST(a_later_meta_element_changes_what_was_not_certain)
{
    static const struct {
        const char *content_type;
        struct bytes page;
        enum charset meta, want;
        bool change;
    } rows[] = {
#define ROW(type, page, meta, want, change) {type, {page, sizeof page - 1}, meta, want, change}
        ROW("", "a", CHARSET_KOI8_R, CHARSET_KOI8_R, true),
        ROW("", "a", CHARSET_UTF_8, CHARSET_UTF_8, false),
        ROW("", "a", CHARSET_NONE, CHARSET_UTF_8, false),
        ROW("", "\xff", CHARSET_UTF_8, CHARSET_UTF_8, true),
        ROW("", "<meta charset=gbk>", CHARSET_BIG5, CHARSET_BIG5, true),
        ROW("", "<meta charset=gbk>", CHARSET_GB18030, CHARSET_GB18030, true),
        ROW("", "<meta charset=gbk>", CHARSET_REPLACEMENT, CHARSET_REPLACEMENT, true),
        ROW("", "<\0?\0x\0", CHARSET_BIG5, CHARSET_UTF_16LE, false),
        ROW("", "\xef\xbb\xbf", CHARSET_BIG5, CHARSET_UTF_8, false),
        ROW("a/b;charset=gbk", "", CHARSET_BIG5, CHARSET_GBK, false),
#undef ROW
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes type = bytes_cstr(rows[i].content_type);
        struct charset_choice choice = settle(rows[i].page, type, false);

        ck_assert_int_eq(charset_change(&choice, rows[i].meta), rows[i].change);
        ck_assert_int_eq(choice.charset, rows[i].want);
        /* At most once, or a page could keep the parser busy for ever. */
        if (rows[i].meta != CHARSET_NONE)
            ck_assert(!charset_change(&choice, CHARSET_WINDOWS_874));
    }
}
END_TEST

START_TEST(what_is_declared_is_known_from_the_first_bytes)
{
    struct bytes page = BYTES("<meta charset=gbk>\xff");

    ck_assert_int_eq(charset_declared(page, BYTES("")).charset, CHARSET_GBK);
    ck_assert(!charset_declared(page, BYTES("")).certain);
    ck_assert(charset_declared(page, BYTES("a/b;charset=big5")).certain);
    ck_assert_int_eq(charset_declared(BYTES("\xff"), BYTES("")).charset, CHARSET_NONE);
    ck_assert_int_eq(charset_guess(BYTES("\xff"), false), CHARSET_WINDOWS_1252);
}
END_TEST

Suite *suite_charset(void)
{
    Suite *suite = suite_create("charset");
    TCase *tc = tcase_create("charset");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_byte_order_mark_wins_and_is_stripped);
    tcase_add_test(tc, the_http_charset_comes_before_the_look_of_the_bytes);
    tcase_add_test(tc, without_a_charset_valid_utf_8_is_utf_8_and_all_else_windows_1252);
    tcase_add_test(tc, valid_text_is_not_copied);
    tcase_add_test(tc, ill_formed_utf_8_is_replaced_one_per_maximal_subpart);
    tcase_add_test(tc, half_a_character_where_the_page_was_cut_is_no_sign_against_utf_8);
    tcase_add_test(tc, every_pair_of_bytes_becomes_well_formed);
    tcase_add_test(tc, the_http_charset_comes_before_what_the_page_declares);
    tcase_add_test(tc, what_the_page_declares_comes_before_the_look_of_its_bytes);
    tcase_add_test(tc, http_may_say_utf_16_which_no_meta_element_can);
    tcase_add_test(tc, a_later_meta_element_changes_what_was_not_certain);
    tcase_add_test(tc, what_is_declared_is_known_from_the_first_bytes);
    suite_add_tcase(suite, tc);
    return suite;
}
