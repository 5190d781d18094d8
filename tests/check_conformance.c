/*
 * What convert_to_utf8() makes of every sequence of every encoding, against the standard: hashes of
 * what encoding_rs makes of the same texts (tests/charset, where oracle.rs writes them alike). To
 * see which sequences differ, CONFORMANCE_DUMP=FILE writes the texts, and tests/charset/generate
 * dump what they should be.
 */
#include "tests/check.h"

#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/convert.h"
#include "parsers/multi_byte.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct bump bump;
static struct multi_byte *multi_byte;

static void setup(void)
{
    ck_assert_int_eq(bump_init(&bump, 8 << 20), 0);
    ck_assert_int_eq(multi_byte_open(&multi_byte), 0);
}

static void teardown(void)
{
    multi_byte_close(multi_byte);
    bump_fini(&bump);
}

/* -- the texts ---------------------------------------------------------------------------------
 * Each generator writes the text of `index` and returns its length, 0 behind the last.
 */

enum { TEXT_MAX = 1 << 18, SOUP_CUT = 192, HALF = 128 };

typedef size_t generator(unsigned index, unsigned char *ret);

static size_t put(unsigned char *ret, size_t at, const void *bytes, size_t len)
{
    memcpy(ret + at, bytes, len);
    return at + len;
}

static size_t generate_singles(unsigned index, unsigned char *ret)
{
    size_t at = 0;

    for (unsigned b = 0; index == 0 && b < 256; b++)
        at = put(ret, at, (unsigned char[]){(unsigned char)b, '\n'}, 2);
    return at;
}

static size_t generate_pairs(unsigned index, unsigned char *ret)
{
    unsigned char lead = (unsigned char)(index + 0x80);
    size_t at = 0;

    for (unsigned b = 0; index < HALF && b < 256; b++)
        at = put(ret, at, (unsigned char[]){lead, (unsigned char)b, '\n'}, 3);
    return at;
}

static size_t generate_triples(unsigned index, unsigned char *ret)
{
    unsigned char second = (unsigned char)(index + 0x80);
    size_t at = 0;

    for (unsigned b = 0; index < HALF && b < 256; b++)
        at = put(ret, at, (unsigned char[]){0x8f, second, (unsigned char)b, '\n'}, 4);
    return at;
}

static size_t generate_fours(unsigned index, unsigned char *ret)
{
    unsigned char text[5] = {(unsigned char)(index + 0x80), 0, 0, 0, '\n'};
    size_t at = 0;

    if (index == HALF)
        return 0;
    for (text[1] = '0'; text[1] <= '9'; text[1]++)
        for (unsigned third = 0x80; third < 256; third++)
            for (text[3] = '0'; text[3] <= ':'; text[3]++) {
                text[2] = (unsigned char)third;
                at = put(ret, at, text, sizeof text);
            }
    return at;
}

static size_t generate_escaped(unsigned index, unsigned char *ret)
{
    unsigned char text[9] = "\x1b$B??\x1b(B\n";
    size_t at = 0;

    for (unsigned b = 0; index < 256 && b < 256; b++) {
        text[3] = (unsigned char)index;
        text[4] = (unsigned char)b;
        at = put(ret, at, text, sizeof text);
    }
    return at;
}

/* Four kinds of bytes in turn, some of each: any, mostly high, what ISO-2022-JP and others mind. */
static size_t generate_soup(unsigned index, unsigned char *ret)
{
    static const char escapes[] = "\x1b\x1b\x1b$$((BJI@@!~<>\x0e\x0f\\\n\x80\xff";
    static const char edges[] = "09:@~\x7f\x80\x81\x82\x84\x8e\x8f\x90\xa0\xa1\xa2\xa3\xc3\xe3\xed"
                                "\xf3\xfc\xfd\xfe\xff<\"&";
    uint32_t state = 2463534242;
    size_t at;

    for (at = 0; index == 0 && at < TEXT_MAX; at++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        unsigned char byte = (unsigned char)(state >> 8);
        uint32_t choice = state >> 16;
        switch (at / 64 % 4) {
        case 0:
            break;
        case 1:
            byte = (unsigned char)(choice % 8 != 0 ? byte | 0x80 : byte & 0x7f);
            break;
        case 2:
            byte = (unsigned char)escapes[choice % (sizeof escapes - 1)];
            break;
        default:
            byte = (unsigned char)edges[choice % (sizeof edges - 1)];
        }
        ret[at] = byte;
    }
    return at;
}

/* -- against the hashes ------------------------------------------------------------------------ */

enum kind { SINGLES, PAIRS, TRIPLES, FOURS, ESCAPED, SOUP, CUTS };

static generator *const generators[] = {generate_singles, generate_pairs,   generate_triples,
                                        generate_fours,   generate_escaped, generate_soup};
static const char *const kind_names[] = {"SINGLES", "PAIRS", "TRIPLES", "FOURS",
                                         "ESCAPED", "SOUP",  "CUTS"};

enum { HASHES_MAX = 256 };

static const struct expectation {
    enum charset charset;
    enum kind kind;
    unsigned count;
    const uint64_t *hashes;
} expectations[] = {
#define COUNT(...)                 (sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
#define EXPECT(charset, kind, ...) {charset, kind, COUNT(__VA_ARGS__), (uint64_t[]){__VA_ARGS__}},
#include "tests/charset/expected.inc"
#undef EXPECT
#undef COUNT
};

enum { EXPECTATIONS = sizeof expectations / sizeof expectations[0] };

static const uint64_t fnv_start = UINT64_C(0xcbf29ce484222325);

static uint64_t fnv(uint64_t hash, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static struct bytes convert(enum charset c, const unsigned char *text, size_t len)
{
    struct bytes ret = {0};

    bump_begin(&bump, CLOCK_NEVER);
    if (setjmp(bump.escape))
        ck_abort_msg("the arena is too small");
    struct bytes in = bytes_of((const char *)text, len);
    ck_assert_int_eq(convert_to_utf8(multi_byte, &bump, c, in, false, &ret), 0);
    return ret;
}

static void dump(const struct expectation *e, unsigned index, struct bytes text, bool more)
{
    static FILE *file;
    static bool within;
    const char *path = getenv("CONFORMANCE_DUMP");

    if (!path)
        return;
    if (!file)
        file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    if (!within)
        fprintf(file, "== %s %s %u\n", charset_name(e->charset), kind_names[e->kind], index);
    fwrite(text.ptr, 1, text.len, file);
    fputc('\n', file);
    within = more;
    fflush(file);
}

/* Many beginnings of a text, of each length, so that the end cuts everything in two. */
static uint64_t hash_of_cuts(const struct expectation *e, const unsigned char *text)
{
    uint64_t hash = fnv_start;

    for (size_t at = 0; at < 4 * (size_t)SOUP_CUT; at++) {
        bool more = at + 1 < 4 * (size_t)SOUP_CUT;
        struct bytes got = convert(e->charset, text + at * 16, at % SOUP_CUT);
        dump(e, 0, got, more);
        hash = fnv(hash, got);
        hash = fnv(hash, more ? BYTES("\n") : BYTES(""));
    }
    return hash;
}

START_TEST(each_encoding_is_decoded_as_the_standard_has_it)
{
    static unsigned char text[TEXT_MAX];
    const struct expectation *e = &expectations[_i];

    if (e->kind == CUTS) {
        generate_soup(0, text);
        ck_assert_msg(hash_of_cuts(e, text) == e->hashes[0], "%s is cut otherwise",
                      charset_name(e->charset));
        return;
    }
    for (unsigned i = 0; i < e->count; i++) {
        struct bytes got = convert(e->charset, text, generators[e->kind](i, text));
        ck_assert(utf8_valid(got));
        dump(e, i, got, false);
        if (!getenv("CONFORMANCE_DUMP"))
            ck_assert_msg(fnv(fnv_start, got) == e->hashes[i], "%s, %s %u: not the standard's text",
                          charset_name(e->charset), kind_names[e->kind], i);
    }
    ck_assert_uint_eq(
        e->kind == SINGLES || e->kind == SOUP ? 0 : generators[e->kind](e->count, text), 0);
}
END_TEST

Suite *suite_conformance(void)
{
    Suite *suite = suite_create("conformance");
    TCase *tc = tcase_create("conformance");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, each_encoding_is_decoded_as_the_standard_has_it, 0, EXPECTATIONS);
    suite_add_tcase(suite, tc);
    return suite;
}
