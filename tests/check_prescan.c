#include "tests/check.h"

#include "parsers/meta.h"
#include "parsers/prescan.h"

#include <stdlib.h>

/* Scans a copy without a byte to spare, so that a sanitizer sees a read past the end. */
static enum charset scan(struct bytes page)
{
    char *copy = malloc(page.len ? page.len : 1);

    ck_assert_ptr_nonnull(copy);
    if (page.len > 0)
        memcpy(copy, page.ptr, page.len);
    enum charset charset = prescan(bytes_of(copy, page.len));
    free(copy);
    return charset;
}

struct row {
    struct bytes page;
    enum charset charset;
};

#define ROW(page, charset)                                                                         \
    {                                                                                              \
        {page, sizeof page - 1}, charset                                                           \
    }

static void assert_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum charset got = scan(rows[i].page);
        ck_assert_msg(got == rows[i].charset, "%.*s: got \"%s\"", (int)rows[i].page.len,
                      rows[i].page.ptr, charset_name(got));
    }
}

START_TEST(a_meta_element_declares_by_charset)
{
    static const struct row rows[] = {
        ROW("<meta charset=koi8-r>", CHARSET_KOI8_R),
        ROW("<META CHARSET=KOI8-R>", CHARSET_KOI8_R),
        ROW("<meta\tcharset='koi8-r'>", CHARSET_KOI8_R),
        ROW("<meta/charset=\"koi8-r\"/>", CHARSET_KOI8_R),
        ROW("<meta/ /charset = \" koi8-r \" >", CHARSET_KOI8_R),
        ROW("<meta name=x content='text/html' charset=koi8-r>", CHARSET_KOI8_R),
        ROW("<meta charset=koi8-r/>", CHARSET_NONE), /* the slash is part of the value */
        ROW("<meta charset=>", CHARSET_NONE),
        ROW("<meta charset>", CHARSET_NONE),
        ROW("<meta charset=no-such><meta charset=koi8-r>", CHARSET_KOI8_R),
        ROW("<meta charset=no-such charset=koi8-r>", CHARSET_NONE), /* the first one counts */
        ROW("<meta charset=koi8-r charset=utf-8>", CHARSET_KOI8_R),
        ROW("<meta charset=koi8-r><meta charset=utf-8>", CHARSET_KOI8_R),
        ROW("<meta =charset=koi8-r>", CHARSET_NONE),
        ROW("<meta xcharset=koi8-r>", CHARSET_NONE),
        ROW("<metacharset=koi8-r>", CHARSET_NONE),
        ROW("<meta>charset=koi8-r>", CHARSET_NONE),
        ROW("<meta\vcharset=koi8-r>", CHARSET_NONE),
        ROW("</meta charset=koi8-r>", CHARSET_NONE),
        ROW("<meta charset=utf-16>", CHARSET_UTF_8),
        ROW("<meta charset=utf-16be>", CHARSET_UTF_8),
        ROW("<meta charset=x-user-defined>", CHARSET_WINDOWS_1252),
        ROW("<meta charset=iso-2022-kr>", CHARSET_REPLACEMENT),
        ROW("\0<\0m<meta charset=koi8-r>", CHARSET_KOI8_R),
    };

    assert_rows(rows, sizeof rows / sizeof rows[0]);
}
END_TEST

START_TEST(a_meta_element_declares_by_http_equiv)
{
    static const struct row rows[] = {
        ROW("<meta http-equiv=content-type content='text/html; charset=gbk'>", CHARSET_GBK),
        ROW("<meta content='text/html; charset=gbk' http-equiv=Content-Type>", CHARSET_GBK),
        ROW("<meta content=charset=gbk http-equiv=Content-Type>", CHARSET_GBK),
        ROW("<meta content='text/html; charset=gbk'>", CHARSET_NONE),
        ROW("<meta http-equiv=refresh content='0; charset=gbk'>", CHARSET_NONE),
        ROW("<meta http-equiv='content-type ' content='charset=gbk'>", CHARSET_NONE),
        ROW("<meta http-equiv=content-type content='charset=no' content='charset=gbk'>",
            CHARSET_NONE),
        /* charset beats content, whichever comes first, and needs no http-equiv */
        ROW("<meta content='charset=gbk' charset=big5>", CHARSET_BIG5),
        ROW("<meta charset=big5 content='charset=gbk' http-equiv=content-type>", CHARSET_BIG5),
        ROW("<meta charset=no content='charset=gbk' http-equiv=content-type>", CHARSET_NONE),
        ROW("<meta http-equiv=content-type content='charset=utf-16'>", CHARSET_UTF_8),
        ROW("<meta http-equiv=content-type content='charset=x-user-defined'>",
            CHARSET_WINDOWS_1252),
    };

    assert_rows(rows, sizeof rows / sizeof rows[0]);
}
END_TEST

START_TEST(what_stands_in_comments_and_other_tags_declares_nothing)
{
    static const struct row rows[] = {
        ROW("<!-- <meta charset=gbk> --><meta charset=big5>", CHARSET_BIG5),
        ROW("<!-- <meta charset=gbk>", CHARSET_NONE),
        ROW("<!--><meta charset=big5>-->", CHARSET_BIG5), /* a comment that is over at once */
        ROW("<!---><meta charset=big5>-->", CHARSET_BIG5),
        ROW("<!-- a > b -- > <meta charset=gbk> --!> --> <meta charset=big5>", CHARSET_BIG5),
        ROW("<! <meta charset=gbk><meta charset=big5>", CHARSET_BIG5),
        ROW("<? <meta charset=gbk><meta charset=big5>", CHARSET_BIG5),
        ROW("</ <meta charset=gbk><meta charset=big5>", CHARSET_BIG5),
        ROW("<p title='<meta charset=gbk>'><meta charset=big5>", CHARSET_BIG5),
        ROW("<p title=\"'<meta charset=gbk>\"><meta charset=big5>", CHARSET_BIG5),
        ROW("</p title='<meta charset=gbk>'><meta charset=big5>", CHARSET_BIG5),
        ROW("<p title='<meta charset=gbk>", CHARSET_NONE),
        ROW("<a<meta charset=gbk><meta charset=big5>", CHARSET_BIG5),
        ROW("< meta charset=gbk><1><meta charset=big5>", CHARSET_BIG5),
        /* No tokenizer: scripts are read like markup. */
        ROW("<script>'<meta charset=gbk>'</script>", CHARSET_GBK),
        ROW("<title><meta charset=gbk></title>", CHARSET_GBK),
    };

    assert_rows(rows, sizeof rows / sizeof rows[0]);
}
END_TEST

START_TEST(only_what_is_complete_within_1024_bytes_counts)
{
    static const char meta[] = "<meta charset=\"gbk\">";
    enum { LEN = sizeof meta - 1 };
    char page[PRESCAN_MAX + 64];

    for (size_t at = PRESCAN_MAX - LEN - 1; at < PRESCAN_MAX + 2; at++) {
        memset(page, ' ', sizeof page);
        memcpy(page + at, meta, LEN);
        ck_assert_int_eq(prescan(bytes_of(page, sizeof page)),
                         at + LEN <= PRESCAN_MAX ? CHARSET_GBK : CHARSET_NONE);
    }
    for (size_t len = 0; len < LEN; len++)
        ck_assert_int_eq(scan(bytes_of(meta, len)), CHARSET_NONE);
    ck_assert_int_eq(prescan(bytes_of(NULL, 0)), CHARSET_NONE);
}
END_TEST

START_TEST(an_xml_declaration_counts_when_no_meta_element_does)
{
    static const struct row rows[] = {
        ROW("<?xml version='1.0' encoding='gbk'?>", CHARSET_GBK),
        ROW("<?xml encoding = \"gbk\" >", CHARSET_GBK),
        ROW("<?xmlencoding\v=\x01'gbk'>", CHARSET_GBK),
        ROW("<?xml encoding='gbk'?><meta charset=big5>", CHARSET_BIG5),
        ROW("<?xml encoding='gbk'?><meta charset=no>", CHARSET_GBK),
        ROW("<?xml encoding='utf-16'?>", CHARSET_UTF_8),
        ROW("<?xml encoding='x-user-defined'?>", CHARSET_X_USER_DEFINED),
        ROW("<?XML encoding='gbk'?>", CHARSET_NONE),
        ROW(" <?xml encoding='gbk'?>", CHARSET_NONE),
        ROW("<?xml ENCODING='gbk'?>", CHARSET_NONE),
        ROW("<?xml encoding='gbk'", CHARSET_NONE),
        ROW("<?xml encoding='gbk>'", CHARSET_NONE),
        ROW("<?xml encoding=gbk?>", CHARSET_NONE),
        ROW("<?xml encoding='gbk\"?>", CHARSET_NONE),
        ROW("<?xml encoding=' gbk'?>", CHARSET_NONE),
        ROW("<?xml encoding?>", CHARSET_NONE),
        ROW("<?xml encoding=", CHARSET_NONE),
        ROW("<?xml /> encoding='gbk'", CHARSET_NONE),
        ROW("<\0?\0x\0", CHARSET_UTF_16LE),
        ROW("\0<\0?\0x", CHARSET_UTF_16BE),
        ROW("<\0?\0x", CHARSET_NONE),
        ROW("<\0?\0X\0", CHARSET_NONE),
    };

    assert_rows(rows, sizeof rows / sizeof rows[0]);
}
END_TEST

START_TEST(the_label_in_a_content_attribute_is_cut_out_as_the_standard_does)
{
    static const struct {
        const char *content, *label;
    } rows[] = {
        {"text/html; charset=gbk", "gbk"},
        {"text/html; CharSet = gbk ; x", "gbk"},
        {"charset=gbk;x", "gbk"},
        {"charset=\"gbk\";x", "gbk"},
        {"charset='g bk'x", "g bk"},
        {"charset='gbk", ""},
        {"charset=\"gbk'", ""},
        {"charset=''", ""},
        {"charset", ""},
        {"charset=", ""},
        {"charset = ", ""},
        {"charset gbk", ""},
        {"charset charset=gbk", "gbk"},
        {"charset; charset=gbk", "gbk"},
        {"charsetcharset=gbk", "gbk"},
        {"xcharset=gbk", "gbk"},
        {"charset==gbk", "=gbk"},
        {"charset=gbk\fx", "gbk"},
        {"charset=\"\";charset=gbk", ""}, /* the first one counts */
        {"", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes got = meta_content_label(bytes_cstr(rows[i].content));
        ck_assert_msg(bytes_equal(got, bytes_cstr(rows[i].label)), "%s: got \"%.*s\"",
                      rows[i].content, (int)got.len, got.ptr);
    }
    ck_assert_uint_eq(meta_content_label(bytes_of(NULL, 0)).len, 0);
}
END_TEST

START_TEST(the_attributes_of_a_parsed_meta_element_are_judged_by_other_rules)
{
    static const struct {
        const char *charset, *http_equiv, *content;
        enum charset want;
    } rows[] = {
        {"gbk", NULL, NULL, CHARSET_GBK},
        {" GBK ", NULL, NULL, CHARSET_GBK},
        {"gbk", "content-type", "charset=big5", CHARSET_GBK},
        /* here an unknown charset does not hide what content says */
        {"no", "Content-Type", "charset=big5", CHARSET_BIG5},
        {NULL, "content-type", "charset=big5", CHARSET_BIG5},
        {NULL, "content-type ", "charset=big5", CHARSET_NONE},
        {NULL, NULL, "charset=big5", CHARSET_NONE},
        {NULL, "content-type", NULL, CHARSET_NONE},
        {NULL, NULL, NULL, CHARSET_NONE},
        {"utf-16le", NULL, NULL, CHARSET_UTF_8},
        {"x-user-defined", NULL, NULL, CHARSET_WINDOWS_1252},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct meta_attributes a = {bytes_cstr(rows[i].charset), bytes_cstr(rows[i].http_equiv),
                                    bytes_cstr(rows[i].content)};
        ck_assert_int_eq(meta_charset(&a), rows[i].want);
    }
}
END_TEST

Suite *suite_prescan(void)
{
    Suite *suite = suite_create("prescan");
    TCase *tc = tcase_create("prescan");

    tcase_add_test(tc, a_meta_element_declares_by_charset);
    tcase_add_test(tc, a_meta_element_declares_by_http_equiv);
    tcase_add_test(tc, what_stands_in_comments_and_other_tags_declares_nothing);
    tcase_add_test(tc, only_what_is_complete_within_1024_bytes_counts);
    tcase_add_test(tc, an_xml_declaration_counts_when_no_meta_element_does);
    tcase_add_test(tc, the_label_in_a_content_attribute_is_cut_out_as_the_standard_does);
    tcase_add_test(tc, the_attributes_of_a_parsed_meta_element_are_judged_by_other_rules);
    suite_add_tcase(suite, tc);
    return suite;
}
