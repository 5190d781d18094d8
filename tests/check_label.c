#include "tests/check.h"

#include "parsers/label.h"

#include <ctype.h>
#include <stdio.h>

/* The standard's table, sorted by label: the program reads the same file. */
static const struct {
    const char *label;
    enum charset charset;
} labels[] = {
#define LABEL(text, charset) {text, charset},
#include "parsers/label.inc"
#undef LABEL
};

enum { LABELS = sizeof labels / sizeof labels[0], STANDARD_LABELS = 228, STANDARD_ENCODINGS = 40 };

START_TEST(every_label_of_the_standard_is_known_in_any_case_and_between_white_space)
{
    ck_assert_int_eq(LABELS, STANDARD_LABELS);
    for (size_t i = 0; i < LABELS; i++) {
        char text[64];
        int len = snprintf(text, sizeof text, "\t %s\f\r\n", labels[i].label);

        ck_assert_int_eq(charset_of_label(bytes_cstr(labels[i].label)), labels[i].charset);
        for (int at = 0; at < len; at += 2)
            text[at] = (char)toupper((unsigned char)text[at]);
        ck_assert_int_eq(charset_of_label(bytes_of(text, (size_t)len)), labels[i].charset);
    }
}
END_TEST

START_TEST(every_encoding_is_known_by_its_own_name)
{
    ck_assert_int_eq(CHARSET_COUNT - 1, STANDARD_ENCODINGS);
    for (enum charset c = CHARSET_NONE + 1; c < CHARSET_COUNT; c++)
        ck_assert_int_eq(charset_of_label(bytes_cstr(charset_name(c))), c);
    ck_assert_str_eq(charset_name(CHARSET_NONE), "");
    ck_assert_str_eq(charset_name(CHARSET_COUNT), "");
}
END_TEST

/* One or more of each encoding, by hand, should the file be wrong. */
START_TEST(labels_mean_what_browsers_take_them_for)
{
    static const struct {
        const char *label, *name;
    } rows[] = {
        {"utf8", "utf-8"},
        {"unicode-1-1-utf-8", "utf-8"},
        {"866", "ibm866"},
        {"latin2", "iso-8859-2"},
        {"l3", "iso-8859-3"},
        {"iso-ir-110", "iso-8859-4"},
        {"cyrillic", "iso-8859-5"},
        {"ecma-114", "iso-8859-6"},
        {"sun_eu_greek", "iso-8859-7"},
        {"visual", "iso-8859-8"},
        {"logical", "iso-8859-8-i"},
        {"l6", "iso-8859-10"},
        {"iso885913", "iso-8859-13"},
        {"iso8859-14", "iso-8859-14"},
        {"l9", "iso-8859-15"},
        {"iso-8859-16", "iso-8859-16"},
        {"koi", "koi8-r"},
        {"koi8-ru", "koi8-u"},
        {"x-mac-roman", "macintosh"},
        {"tis-620", "windows-874"},
        {"iso-8859-11", "windows-874"},
        {"cp1250", "windows-1250"},
        {"x-cp1251", "windows-1251"},
        {"iso-8859-1", "windows-1252"},
        {"us-ascii", "windows-1252"},
        {"cp1253", "windows-1253"},
        {"iso-8859-9", "windows-1254"},
        {"cp1255", "windows-1255"},
        {"cp1256", "windows-1256"},
        {"cp1257", "windows-1257"},
        {"cp1258", "windows-1258"},
        {"x-mac-ukrainian", "x-mac-cyrillic"},
        {"gb2312", "gbk"},
        {"gb_2312-80", "gbk"},
        {"gb18030", "gb18030"},
        {"big5-hkscs", "big5"},
        {"x-x-big5", "big5"},
        {"x-euc-jp", "euc-jp"},
        {"csiso2022jp", "iso-2022-jp"},
        {"windows-31j", "shift_jis"},
        {"ms932", "shift_jis"},
        {"ks_c_5601-1987", "euc-kr"},
        {"windows-949", "euc-kr"},
        {"hz-gb-2312", "replacement"},
        {"iso-2022-kr", "replacement"},
        {"iso-2022-cn-ext", "replacement"},
        {"utf-16", "utf-16le"},
        {"ucs-2", "utf-16le"},
        {"unicodefffe", "utf-16be"},
        {"x-user-defined", "x-user-defined"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_str_eq(charset_name(charset_of_label(bytes_cstr(rows[i].label))), rows[i].name);
}
END_TEST

START_TEST(what_is_no_label_of_the_standard_is_no_encoding)
{
    static const struct bytes rows[] = {
        {NULL, 0},
        {" \t", 2},
        {"utf-8x", 6},
        {"utf 8", 5},
        {"utf-7", 5},
        {"utf-32", 6},
        {"cesu-8", 6},
        {"utf-8//TRANSLIT", 15},
        {"utf-8\0", 6},
        {"\0utf-8", 6},
        {"utf\0-8", 6},
        {"\vutf-8", 6},
        {"\xc2\xa0utf8", 6},
        {"ebcdic-us", 9},
        {"WCHAR_T", 7},
        {"UHC", 3},
        {"CP932", 5},
        {"\"utf-8\"", 7},
        {"866 866", 7},
        {"zzz", 3},
        {"A", 1},
        {"iso-8859-12", 11},
        {"macroman", 8},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_int_eq(charset_of_label(rows[i]), CHARSET_NONE);
}
END_TEST

START_TEST(a_label_within_the_page_cannot_mean_utf_16)
{
    static const char *const utf16[] = {"utf-16", "utf-16le", "utf-16be", "ucs-2", "unicodefffe"};

    for (size_t i = 0; i < sizeof utf16 / sizeof utf16[0]; i++)
        ck_assert_int_eq(charset_of_inner_label(bytes_cstr(utf16[i])), CHARSET_UTF_8);
    ck_assert_int_eq(charset_of_inner_label(BYTES("x-user-defined")), CHARSET_WINDOWS_1252);
    ck_assert_int_eq(charset_of_inner_label(BYTES("koi8-r")), CHARSET_KOI8_R);
    ck_assert_int_eq(charset_of_inner_label(BYTES("no-such")), CHARSET_NONE);
}
END_TEST

START_TEST(nearly_every_encoding_keeps_ascii)
{
    for (enum charset c = CHARSET_NONE; c < CHARSET_COUNT; c++) {
        bool utf16 = c == CHARSET_UTF_16BE || c == CHARSET_UTF_16LE;

        ck_assert_int_eq(charset_is_utf16(c), utf16);
        ck_assert_int_eq(charset_keeps_ascii(c), !utf16 && c != CHARSET_NONE &&
                                                     c != CHARSET_REPLACEMENT &&
                                                     c != CHARSET_ISO_2022_JP);
    }
}
END_TEST

Suite *suite_label(void)
{
    Suite *suite = suite_create("label");
    TCase *tc = tcase_create("label");

    tcase_add_test(tc, every_label_of_the_standard_is_known_in_any_case_and_between_white_space);
    tcase_add_test(tc, every_encoding_is_known_by_its_own_name);
    tcase_add_test(tc, labels_mean_what_browsers_take_them_for);
    tcase_add_test(tc, what_is_no_label_of_the_standard_is_no_encoding);
    tcase_add_test(tc, a_label_within_the_page_cannot_mean_utf_16);
    tcase_add_test(tc, nearly_every_encoding_keeps_ascii);
    suite_add_tcase(suite, tc);
    return suite;
}
