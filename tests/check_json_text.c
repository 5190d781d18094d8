/* JSON texts: what is one (RFC 8259), what is left of it, and that jansson reads the same. */
#include "core/base/json_text.h"
#include "core/base/utf8.h"
#include "tests/check.h"
#include "tests/support/soup.h"

#include <jansson.h>
#include <stdlib.h>

/* Compacts a copy in place, which nothing may be read beyond of; `ret` of text.len bytes. */
static size_t compact(struct bytes text, char *ret)
{
    char *exact = malloc(text.len ? text.len : 1);

    ck_assert_ptr_nonnull(exact);
    if (text.len > 0)
        memcpy(exact, text.ptr, text.len);
    size_t len = json_text_compact(bytes_of(exact, text.len), exact);
    memcpy(ret, exact, len);
    free(exact);
    return len;
}

static const struct {
    struct bytes text;
    const char *compact; /* NULL: as it is */
} accepted[] = {
#define AS_IT_IS(literal)                                                                          \
    {                                                                                              \
        BYTES(literal), NULL                                                                       \
    }
    AS_IT_IS("{}"),
    AS_IT_IS("[]"),
    AS_IT_IS("\"\""),
    AS_IT_IS("\" a  b \""),
    AS_IT_IS("0"),
    AS_IT_IS("-0"),
    AS_IT_IS("-0.0"),
    AS_IT_IS("12345678901234567890123456789012345678901234567890"),
    AS_IT_IS("0.10"),
    AS_IT_IS("1.50E+009"),
    AS_IT_IS("1e-2"),
    AS_IT_IS("0e1"),
    AS_IT_IS("1e999999"),
    AS_IT_IS("true"),
    AS_IT_IS("false"),
    AS_IT_IS("null"),
    AS_IT_IS("[[],{},[{}]]"),
    AS_IT_IS("{\"\":0}"),
    AS_IT_IS("{\"a\":1,\"a\":2}"),
    AS_IT_IS("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uAbCd\"]"),
    AS_IT_IS("\"\\ud83d\\ude00\""),
    AS_IT_IS("\"\\ud83d\""), /* half a pair */
    AS_IT_IS("\"\\ude00\\ud83d\""),
    AS_IT_IS("\"\x7f\""),
    AS_IT_IS("\"\xc2\x80 \xe2\x80\xa8 \xef\xbf\xbf \xf4\x8f\xbf\xbf\""),
    {BYTES(" \t\r\n0 \t\r\n"), "0"},
    {BYTES(" [ ] "), "[]"},
    {BYTES("{ \"a b\" :\n[ 1 ,\t2 , { } ] }\r\n"), "{\"a b\":[1,2,{}]}"},
    {BYTES("[1, \"  \\\" , : \", true ]"), "[1,\"  \\\" , : \",true]"},
};

START_TEST(a_json_text_loses_the_white_space_between_its_tokens_and_nothing_else)
{
    struct bytes text = accepted[_i].text;
    struct bytes want = accepted[_i].compact ? bytes_cstr(accepted[_i].compact) : text;
    char got[256], apart[256];

    ck_assert_uint_le(text.len, sizeof got);
    size_t len = compact(text, got);
    ck_assert_msg(bytes_equal(bytes_of(got, len), want), "%.*s", (int)text.len, text.ptr);
    ck_assert_uint_eq(json_text_compact(text, apart), len);
    ck_assert(bytes_equal(bytes_of(apart, len), want));
    ck_assert(json_text_is_compact(want));
    ck_assert_int_eq(json_text_is_compact(text), bytes_equal(text, want));
}
END_TEST

static const struct bytes refused[] = {
    BYTES(""),
    BYTES(" \n"),
    BYTES("\xef\xbb\xbf{}"), /* a byte order mark is no white space */
    BYTES("{}\0"),
    BYTES("\0{}"),
    BYTES("[1\0]"),
    BYTES("\f0"),
    BYTES("0\v"),
    BYTES("\xc2\xa0"
          "0"),
    BYTES("1 2"),
    BYTES("{}{}"),
    BYTES("[],"),
    BYTES(",[]"),
    BYTES("["),
    BYTES("]"),
    BYTES("{"),
    BYTES("}"),
    BYTES("[}"),
    BYTES("{]"),
    BYTES("[1}"),
    BYTES("{\"a\":1]"),
    BYTES("[{]}"),
    BYTES("[,]"),
    BYTES("[1,]"),
    BYTES("[,1]"),
    BYTES("[1,,2]"),
    BYTES("[1 2]"),
    BYTES("[1:2]"),
    BYTES("[\"a\":1]"),
    BYTES("{,}"),
    BYTES("{\"a\"}"),
    BYTES("{\"a\":}"),
    BYTES("{\"a\",1}"),
    BYTES("{\"a\":1,}"),
    BYTES("{\"a\":1 \"b\":2}"),
    BYTES("{\"a\"::1}"),
    BYTES("{:1}"),
    BYTES("{1:1}"),
    BYTES("{null:1}"),
    BYTES("{[]:1}"),
    BYTES("{a:1}"),
    BYTES("{'a':1}"),
    BYTES("'a'"),
    BYTES(":"),
    BYTES(","),
    BYTES("// c\n0"),
    BYTES("/**/0"),
    BYTES("+1"),
    BYTES("-"),
    BYTES("--1"),
    BYTES("- 1"),
    BYTES("01"),
    BYTES("-01"),
    BYTES("00"),
    BYTES(".5"),
    BYTES("-.5"),
    BYTES("1."),
    BYTES("1.e1"),
    BYTES("1e"),
    BYTES("1e+"),
    BYTES("1e1.5"),
    BYTES("1 .5"),
    BYTES("0x1"),
    BYTES("1_0"),
    BYTES("NaN"),
    BYTES("Infinity"),
    BYTES("-Infinity"),
    BYTES("True"),
    BYTES("tru"),
    BYTES("truee"),
    BYTES("nul"),
    BYTES("undefined"),
    BYTES("\""),
    BYTES("\"a"),
    BYTES("\"a\\\""),
    BYTES("\"\\"),
    BYTES("\"\\x41\""),
    BYTES("\"\\'\""),
    BYTES("\"\\U0041\""),
    BYTES("\"\\u\""),
    BYTES("\"\\u004\""),
    BYTES("\"\\u004g\""),
    BYTES("\"\\u00"),
    BYTES("\"\\\n\""),
    BYTES("\"a\nb\""),
    BYTES("\"a\tb\""),
    BYTES("\"\x1f\""),
    BYTES("\"a\0b\""),
    BYTES("\"\x80\""),
    BYTES("\"\xff\""),
    BYTES("\"\xc0\xaf\""),
    BYTES("\"\xed\xa0\x80\""), /* a surrogate */
    BYTES("\"\xf4\x90\x80\x80\""),
    BYTES("\"\xe2\x82\""),
    BYTES("\"\xe2\x82"),
    BYTES("\xe2\x82\xac"),
};

START_TEST(what_is_no_json_text_is_refused)
{
    struct bytes text = refused[_i];
    char got[256];

    ck_assert_msg(compact(text, got) == 0, "%.*s", (int)text.len, text.ptr);
    ck_assert(!json_text_is_compact(text));
}
END_TEST

START_TEST(a_beginning_of_a_json_text_is_none)
{
    struct bytes text = BYTES("{\"a\":[true,-1.5e+3,\"\\u00e9\xc3\xa9\",{\"b\":null}]}");
    char got[64];

    ck_assert_uint_eq(compact(text, got), text.len);
    for (size_t len = 0; len < text.len; len++)
        ck_assert_uint_eq(compact(bytes_of(text.ptr, len), got), 0);
}
END_TEST

/* `depth` arrays, or objects, in each other. */
static size_t nested(char *text, size_t depth, bool objects)
{
    struct bytes open = objects ? BYTES("{\"\":") : BYTES("["), inner = BYTES("1");
    char *at = text;

    for (size_t i = 0; i < depth; i++, at += open.len)
        memcpy(at, open.ptr, open.len);
    *at++ = inner.ptr[0];
    memset(at, objects ? '}' : ']', depth);
    return (size_t)(at - text) + depth;
}

START_TEST(what_nests_too_deep_is_refused)
{
    enum { DEEP = 100000 };
    char *text = malloc(6 * DEEP);

    ck_assert_ptr_nonnull(text);
    for (int objects = 0; objects <= 1; objects++) {
        size_t len = nested(text, JSON_TEXT_DEPTH_MAX, objects);
        ck_assert(json_text_is_compact(bytes_of(text, len)));
        len = nested(text, JSON_TEXT_DEPTH_MAX + 1, objects);
        ck_assert(!json_text_is_compact(bytes_of(text, len)));
        len = nested(text, DEEP, objects);
        ck_assert_uint_eq(json_text_compact(bytes_of(text, len), text), 0);
    }
    free(text);
}
END_TEST

START_TEST(depth_counts_what_is_open_and_not_what_there_is)
{
    struct buffer text = {0};

    buffer_byte(&text, '[');
    for (int i = 0; i < 1000; i++)
        buffer_text(&text, "[{\"a\":[]}],");
    buffer_text(&text, "0]");
    ck_assert(!text.failed && json_text_is_compact(buffer_bytes(&text)));
    buffer_free(&text);
}
END_TEST

/* -- random texts, beside jansson -------------------------------------------------------------- */

static const char *const pieces[] = {
    "[",    "]",      "{",       "}",        ",",    ":",    "\"a\"", "\"\"",   "\"b c\"", " ",
    "\n",   "true",   "null",    "false",    "0",    "-1",   "1.5",   "2e3",    "\\u00e9", "\"",
    "\"\\", "\\u",    "\"\\n\"", "\xc3\xa9", "\xc3", "-",    "+",     "e",      ".",       "\t",
    "\x01", "\"k\":", "\"k\":",  "[1,2]",    "{}",   "[{}]", "1,",    "\"x\",",
};

/* A value that is JSON, of any shape. */
static void write_value(struct soup *s, struct buffer *out, unsigned depth)
{
    uint32_t kind = soup_below(s, depth > 6 ? 4 : 6), count = soup_below(s, 4);

    buffer_append(out, "  ", soup_below(s, 3));
    switch (kind) {
    case 0:
        buffer_text(out, count & 1 ? "true" : "null");
        break;
    case 1:
        buffer_printf(out, "%s%u%s", count & 1 ? "-" : "", soup_below(s, 1000),
                      count & 2 ? ".25e-1" : "");
        break;
    case 2:
    case 3:
        buffer_text(out, count & 1 ? "\"a\\tb\\u20ac\"" : "\"\xe2\x82\xac \\\\\"");
        break;
    default:
        buffer_byte(out, kind == 4 ? '[' : '{');
        for (uint32_t i = 0; i < count; i++) {
            if (kind == 5)
                buffer_printf(out, " \"k%u\" :", i);
            write_value(s, out, depth + 1);
            if (i + 1 < count)
                buffer_byte(out, ',');
        }
        buffer_byte(out, kind == 4 ? ']' : '}');
    }
}

/* Makes `out` JSON, or what is nearly JSON. */
static void random_text(struct soup *s, struct buffer *out)
{
    out->len = 0;
    if (soup_below(s, 4) == 0) {
        for (uint32_t n = soup_below(s, 12); n > 0; n--)
            buffer_text(out, pieces[soup_below(s, sizeof pieces / sizeof *pieces)]);
        buffer_byte(out, ' ');
    } else {
        write_value(s, out, 0);
    }
    ck_assert(!out->failed);
    for (uint32_t n = soup_below(s, 3); n > 0 && out->len > 0; n--) {
        const char *piece = pieces[soup_below(s, sizeof pieces / sizeof *pieces)];
        out->ptr[soup_below(s, (uint32_t)out->len)] = piece[0];
    }
}

static json_t *read_by_jansson(struct bytes text, json_error_t *ret_error)
{
    return json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, ret_error);
}

/* What RFC 8259 leaves open, and jansson refuses: halves of surrogate pairs, numbers too large. */
static bool refuses_more(struct bytes text, const json_error_t *error)
{
    return json_error_code(error) == json_error_numeric_overflow ||
           memmem(text.ptr, text.len, "\\ud", 3) || memmem(text.ptr, text.len, "\\uD", 3);
}

START_TEST(jansson_accepts_the_same_and_reads_the_same)
{
    enum { TEXTS = 200000, LONG = 64 << 10 };
    struct soup soup = {1};
    struct buffer text = {0};
    unsigned alike = 0, unlike = 0;
    char *compacted = malloc(LONG);

    ck_assert_ptr_nonnull(compacted);
    for (int i = 0; i < TEXTS; i++) {
        json_error_t error;
        random_text(&soup, &text);
        ck_assert_uint_le(text.len, LONG);
        json_t *before = read_by_jansson(buffer_bytes(&text), &error);
        size_t len = json_text_compact(buffer_bytes(&text), compacted);
        if (before || !refuses_more(buffer_bytes(&text), &error))
            ck_assert_msg((len > 0) == (before != NULL), "%.*s", (int)text.len, text.ptr);
        if (before) {
            json_t *after = read_by_jansson(bytes_of(compacted, len), &error);
            ck_assert_msg(json_equal(before, after), "%.*s", (int)text.len, text.ptr);
            json_decref(after);
        }
        *(before ? &alike : &unlike) += 1;
        json_decref(before);
    }
    ck_assert_uint_gt(alike, TEXTS / 5);
    ck_assert_uint_gt(unlike, TEXTS / 5);
    free(compacted);
    buffer_free(&text);
}
END_TEST

START_TEST(what_was_made_compact_stays_as_it_is)
{
    enum { TEXTS = 50000 };
    struct soup soup = {2};
    struct buffer text = {0};

    for (int i = 0; i < TEXTS; i++) {
        random_text(&soup, &text);
        bool was = json_text_is_compact(buffer_bytes(&text));
        size_t before = text.len, len = json_text_compact(buffer_bytes(&text), text.ptr);
        ck_assert_int_eq(was, len > 0 && len == before);
        if (len == 0)
            continue;
        struct bytes compacted = bytes_of(text.ptr, len);
        ck_assert(json_text_is_compact(compacted) && utf8_valid(compacted));
        ck_assert_uint_eq(json_text_compact(compacted, text.ptr), len);
    }
    buffer_free(&text);
}
END_TEST

Suite *suite_json_text(void)
{
    Suite *suite = suite_create("json_text");
    TCase *tc = tcase_create("json_text");

    tcase_add_loop_test(tc, a_json_text_loses_the_white_space_between_its_tokens_and_nothing_else,
                        0, sizeof accepted / sizeof *accepted);
    tcase_add_loop_test(tc, what_is_no_json_text_is_refused, 0, sizeof refused / sizeof *refused);
    tcase_add_test(tc, a_beginning_of_a_json_text_is_none);
    tcase_add_test(tc, what_nests_too_deep_is_refused);
    tcase_add_test(tc, depth_counts_what_is_open_and_not_what_there_is);
    suite_add_tcase(suite, tc);

    TCase *random = tcase_create("random");
    tcase_set_timeout(random, 60);
    tcase_add_test(random, jansson_accepts_the_same_and_reads_the_same);
    tcase_add_test(random, what_was_made_compact_stays_as_it_is);
    suite_add_tcase(suite, random);
    return suite;
}
