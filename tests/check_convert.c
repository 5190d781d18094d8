#include "tests/check.h"

#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/convert.h"
#include "parsers/multi_byte.h"

#include <errno.h>
#include <stdlib.h>

static struct bump bump;
static struct multi_byte *multi_byte;

static void setup(void)
{
    ck_assert_int_eq(bump_init(&bump, 4 << 20), 0);
    ck_assert_int_eq(multi_byte_open(&multi_byte), 0);
    bump_begin(&bump, CLOCK_NEVER);
}

static void teardown(void)
{
    multi_byte_close(multi_byte);
    bump_fini(&bump);
}

static int convert(enum charset c, struct bytes text, bool cut, struct bytes *ret)
{
    bump_begin(&bump, CLOCK_NEVER);
    if (setjmp(bump.escape))
        ck_abort_msg("the arena is too small");
    return convert_to_utf8(multi_byte, &bump, c, text, cut, ret);
}

static void assert_converts(enum charset c, struct bytes text, bool cut, struct bytes want)
{
    struct bytes got = {0};

    ck_assert_int_eq(convert(c, text, cut, &got), 0);
    ck_assert_msg(bytes_equal(got, want), "%s: got \"%.*s\"", charset_name(c), (int)got.len,
                  got.ptr);
}

static bool is_decoded(enum charset c)
{
    return c != CHARSET_NONE && c != CHARSET_REPLACEMENT;
}

/* A text in every script, as each encoding has it, with markup between. */
static const struct sample {
    enum charset charset;
    struct bytes text, utf8;
} samples[] = {
#define SAMPLE(charset, text, utf8)                                                                \
    {                                                                                              \
        charset, {text, sizeof text - 1},                                                          \
        {                                                                                          \
            utf8, sizeof utf8 - 1                                                                  \
        }                                                                                          \
    }
    SAMPLE(CHARSET_SHIFT_JIS, "<b>\x93\xfa\x96{\x8c\xea</b>\xb6\xc5 \x87@", "<b>日本語</b>ｶﾅ ①"),
    SAMPLE(CHARSET_EUC_JP, "<b>\xc6\xfc\xcb\xdc\xb8\xec</b>\x8e\xb6\x8e\xc5\x8f\xb0\xa1\xad\xa1",
           "<b>日本語</b>ｶﾅ丂①"),
    SAMPLE(CHARSET_ISO_2022_JP, "<b>\x1b$BF|K\\8l\x1b(B</b>\x1b(I6E\x1b(J\\\x1b(B\\",
           "<b>日本語</b>ｶﾅ¥\\"),
    SAMPLE(CHARSET_EUC_KR, "<b>\xc7\xd1\xb1\xdb</b>\x8c\x63\xc7\xd1", "<b>한글</b>똠한"),
    SAMPLE(CHARSET_BIG5, "<b>\xa4\xa4\xa4\xe5</b>\xa1\x45\x88\x62\xf9\xd6", "<b>中文</b>‧Ê̄碁"),
    SAMPLE(CHARSET_GBK, "<b>\xd6\xd0\xce\xc4</b>\x80\xa8\xbc\x81\x30\x84\x36", "<b>中文</b>€ḿ¥"),
    SAMPLE(CHARSET_GB18030, "<b>\xd6\xd0\xce\xc4</b>\x94\x39\xda\x33\xfe\x59", "<b>中文</b>💩龴"),
    SAMPLE(CHARSET_WINDOWS_1251, "<b>\xcf\xf0\xe8\xe2\xe5\xf2</b>\x98\xa8",
           "<b>Привет</b>\xc2\x98Ё"),
    SAMPLE(CHARSET_KOI8_U, "<b>\xf0\xd2\xc9\xd7\xc5\xd4</b>\xae\xa4", "<b>Привет</b>ўє"),
    SAMPLE(CHARSET_WINDOWS_1252, "\x80\x81\x85\x92\x9f\xa0\xff<", "€\xc2\x81…’Ÿ\xc2\xa0ÿ<"),
    SAMPLE(CHARSET_WINDOWS_874, "\xca\xc7\xd1\xca\xb4\xd5\xdb<", "สวัสดี\xef\xbf\xbd<"),
    SAMPLE(CHARSET_X_USER_DEFINED, "<\x80\xff>", "<\xef\x9e\x80\xef\x9f\xbf>"),
    SAMPLE(CHARSET_UTF_16LE, "<\0\xe9\0\x3d\xd8\0\xde>\0", "<é😀>"),
    SAMPLE(CHARSET_UTF_16BE, "\0<\0\xe9\xd8\x3d\xde\0\0>", "<é😀>"),
    SAMPLE(CHARSET_UTF_8, "<\xc3\xa9\xf0\x9f\x98\x80>", "<é😀>"),
#undef SAMPLE
};

enum { SAMPLES = sizeof samples / sizeof samples[0] };

START_TEST(texts_in_many_encodings_become_utf_8)
{
    for (size_t i = 0; i < SAMPLES; i++)
        assert_converts(samples[i].charset, samples[i].text, false, samples[i].utf8);
}
END_TEST

START_TEST(a_text_that_was_cut_anywhere_is_a_beginning_of_the_whole)
{
    const struct sample *s = &samples[_i];

    for (size_t len = 0; len <= s->text.len; len++) {
        struct bytes got = {0};

        ck_assert_int_eq(convert(s->charset, bytes_of(s->text.ptr, len), true, &got), 0);
        ck_assert(utf8_valid(got));
        ck_assert_uint_le(got.len, s->utf8.len);
        ck_assert(bytes_equal(got, bytes_of(s->utf8.ptr, got.len)));
    }
}
END_TEST

START_TEST(what_the_end_cuts_off_is_one_replacement_character)
{
    static const struct sample rows[] = {
#define ROW(charset, text)                                                                         \
    {                                                                                              \
        charset, {text, sizeof text - 1},                                                          \
        {                                                                                          \
            NULL, 0                                                                                \
        }                                                                                          \
    }
        ROW(CHARSET_UTF_8, "\xf0\x9f\x98"),
        ROW(CHARSET_SHIFT_JIS, "\x93"),
        ROW(CHARSET_EUC_JP, "\x8e"),
        ROW(CHARSET_EUC_JP, "\x8f\xb0"),
        ROW(CHARSET_EUC_KR, "\xc7"),
        ROW(CHARSET_BIG5, "\xa4"),
        ROW(CHARSET_GBK, "\xd6"),
        ROW(CHARSET_GB18030, "\x94\x39"),
        ROW(CHARSET_GB18030, "\x94\x39\xda"),
        ROW(CHARSET_ISO_2022_JP, "\x1b$B\x46"),
        ROW(CHARSET_ISO_2022_JP, "\x1b"),
        ROW(CHARSET_UTF_16LE, "\x3d"),
        ROW(CHARSET_UTF_16LE, "\x3d\xd8\x00"),
        ROW(CHARSET_UTF_16BE, "\xd8\x3d"),
#undef ROW
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_converts(rows[i].charset, rows[i].text, false, BYTES(UTF8_REPLACEMENT));
        assert_converts(rows[i].charset, rows[i].text, true, BYTES(""));
    }
}
END_TEST

/* Whether `c`, given the bytes of `before` (one or two) and twice `mark`, gives both marks back. */
static bool gives_back(enum charset c, unsigned before, char mark)
{
    char text[4] = {(char)(before >> 8), (char)before, mark, mark};
    size_t skip = before < 0x100 ? 1 : 0;
    struct bytes got = {0};

    return convert(c, bytes_of(text + skip, sizeof text - skip), false, &got) == 0 && got.len > 1 &&
           got.ptr[got.len - 1] == mark && got.ptr[got.len - 2] == mark;
}

START_TEST(no_ill_formed_sequence_swallows_markup)
{
    static const char marks[] = "<>\"&'/= \n\0-";

    for (enum charset c = CHARSET_NONE + 1; c < CHARSET_COUNT; c++) {
        unsigned end = c == CHARSET_UTF_8 || multi_byte_has(multi_byte, c) ? 0x10000 : 0x100;

        if (!charset_keeps_ascii(c))
            continue;
        for (unsigned before = 0; before < end; before++) {
            char mark = marks[before % (sizeof marks - 1)];
            if (!gives_back(c, before, mark))
                ck_abort_msg("%s: %x swallows %d", charset_name(c), before, mark);
        }
    }
}
END_TEST

START_TEST(a_text_of_ascii_is_itself_and_borrowed)
{
    char ascii[128];

    for (size_t i = 0; i < sizeof ascii; i++)
        ascii[i] = (char)i;
    for (enum charset c = CHARSET_NONE + 1; c < CHARSET_COUNT; c++) {
        struct bytes got = {0};

        if (!charset_keeps_ascii(c))
            continue;
        ck_assert_int_eq(convert(c, bytes_of(ascii, sizeof ascii), false, &got), 0);
        ck_assert_ptr_eq(got.ptr, ascii);
        ck_assert_uint_eq(got.len, sizeof ascii);
        ck_assert_uint_eq(bump.used, 0);
    }
}
END_TEST

START_TEST(an_empty_text_is_empty_in_every_encoding)
{
    for (enum charset c = CHARSET_NONE + 1; c < CHARSET_COUNT; c++)
        if (is_decoded(c))
            assert_converts(c, bytes_of(NULL, 0), false, BYTES(""));
}
END_TEST

START_TEST(the_replacement_encodings_are_refused)
{
    struct bytes got = BYTES("untouched");

    ck_assert_int_eq(convert(CHARSET_REPLACEMENT, BYTES("text"), false, &got), -EOPNOTSUPP);
    ck_assert_int_eq(convert(CHARSET_REPLACEMENT, BYTES(""), false, &got), -EOPNOTSUPP);
    ck_assert_int_eq(convert(CHARSET_NONE, BYTES("text"), false, &got), -EOPNOTSUPP);
    ck_assert(bytes_equal(got, BYTES("untouched")));
}
END_TEST

START_TEST(lone_surrogates_of_utf_16_are_replaced)
{
    assert_converts(CHARSET_UTF_16LE, BYTES("\x3d\xd8<\0\0\xde>\0"), false,
                    BYTES("\xef\xbf\xbd<\xef\xbf\xbd>"));
    assert_converts(CHARSET_UTF_16BE, BYTES("\xd8\x3d\xd8\x3d\xde\0"), false,
                    BYTES("\xef\xbf\xbd\xf0\x9f\x98\x80"));
}
END_TEST

START_TEST(an_empty_escape_sequence_of_iso_2022_jp_shows)
{
    /* Else "<scr ESC(J ESC(B ipt>" would pass a filter that reads bytes. */
    assert_converts(CHARSET_ISO_2022_JP, BYTES("a\x1b(J\x1b(Bb"), false,
                    BYTES("a" UTF8_REPLACEMENT "b"));
    assert_converts(
        CHARSET_ISO_2022_JP, BYTES("\x1b$B\x1b$B\x30\x21<\x1b<"), false,
        BYTES(UTF8_REPLACEMENT "亜" UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT));
    assert_converts(CHARSET_ISO_2022_JP, BYTES("\x1b$X<\x1b(\x1b(B<"), false,
                    BYTES(UTF8_REPLACEMENT "$X<" UTF8_REPLACEMENT "(<"));
}
END_TEST

START_TEST(long_texts_are_converted_in_pieces_without_a_seam)
{
    enum { LEN = 100000 };
    char *text = malloc(2 * LEN);
    struct bytes got = {0};

    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < LEN; i++)
        memcpy(text + 2 * i, "\x93\xfa", 2);
    ck_assert_int_eq(convert(CHARSET_SHIFT_JIS, bytes_of(text, (size_t)2 * LEN), false, &got), 0);
    ck_assert_uint_eq(got.len, 3 * LEN);
    for (size_t i = 0; i < LEN; i++)
        ck_assert(memcmp(got.ptr + 3 * i, "日", 3) == 0);

    memset(text, 0xe0, LEN);
    ck_assert_int_eq(convert(CHARSET_WINDOWS_1251, bytes_of(text, LEN), false, &got), 0);
    ck_assert_uint_eq(got.len, 2 * LEN);
    for (size_t i = 0; i < LEN; i++)
        ck_assert(memcmp(got.ptr + 2 * i, "а", 2) == 0);

    memset(text, 0xff, LEN); /* nothing but ill-formed */
    ck_assert_int_eq(convert(CHARSET_BIG5, bytes_of(text, LEN), false, &got), 0);
    ck_assert_uint_eq(got.len, 3 * LEN);
    free(text);
}
END_TEST

START_TEST(a_text_that_outgrows_the_arena_leaves_through_its_escape)
{
    enum { LEN = 2 << 20 };
    char *volatile text = malloc(LEN);
    struct bytes got;

    ck_assert_ptr_nonnull(text);
    memset(text, 0xff, LEN);
    bump_begin(&bump, CLOCK_NEVER);
    int stop = setjmp(bump.escape);
    if (stop == 0) {
        convert_to_utf8(multi_byte, &bump, CHARSET_EUC_KR, bytes_of(text, LEN), false, &got);
        ck_abort_msg("6 MiB in an arena of 4");
    }
    ck_assert_int_eq(stop, BUMP_STOP_MEMORY);
    free(text);
    assert_converts(CHARSET_EUC_KR, BYTES("\xc7\xd1"), false, BYTES("한"));
}
END_TEST

Suite *suite_convert(void)
{
    Suite *suite = suite_create("convert");
    TCase *tc = tcase_create("convert");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, texts_in_many_encodings_become_utf_8);
    tcase_add_loop_test(tc, a_text_that_was_cut_anywhere_is_a_beginning_of_the_whole, 0, SAMPLES);
    tcase_add_test(tc, what_the_end_cuts_off_is_one_replacement_character);
    tcase_add_test(tc, no_ill_formed_sequence_swallows_markup);
    tcase_add_test(tc, a_text_of_ascii_is_itself_and_borrowed);
    tcase_add_test(tc, an_empty_text_is_empty_in_every_encoding);
    tcase_add_test(tc, the_replacement_encodings_are_refused);
    tcase_add_test(tc, lone_surrogates_of_utf_16_are_replaced);
    tcase_add_test(tc, an_empty_escape_sequence_of_iso_2022_jp_shows);
    tcase_add_test(tc, long_texts_are_converted_in_pieces_without_a_seam);
    tcase_add_test(tc, a_text_that_outgrows_the_arena_leaves_through_its_escape);
    suite_add_tcase(suite, tc);
    return suite;
}
