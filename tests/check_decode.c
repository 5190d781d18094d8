#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "parsers/decode.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

static const char page[] = "<!doctype html><title>A page</title><p>some text, some text, some text";
static const struct bytes page_bytes = {page, sizeof page - 1};

/* brotli -q 11 of "<title>br</title>", and of 8 MiB of 'a'. */
static const char br_title[] =
    "\x1b\x10\x00\xf8\xa5\x5f\x78\xc4\xe4\x54\x21\xa4\x94\x02\x1b\xb8\x05";
static const char br_bomb[] = "\x9b\xff\xff\x7f\xf8\x25\xc2\xe2\xb1\x40\x20\xf7\xfe\x0f";

static struct decoder *decoder;
static struct buffer body, decoded;

static void setup(void)
{
    decoder = decoder_create();
    ck_assert_ptr_nonnull(decoder);
}

static void teardown(void)
{
    decoder_destroy(decoder);
    buffer_free(&body);
    buffer_free(&decoded);
}

enum { RAW = -MAX_WBITS, ZLIB = MAX_WBITS, GZIP = 16 + MAX_WBITS };

/* Appends `plain`, compressed by zlib, to `to`. */
static void add_zlib(struct buffer *to, int window_bits, struct bytes plain)
{
    z_stream z = {0};
    size_t bound = compressBound((uLong)plain.len) + 64;

    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert(buffer_reserve(to, bound));
    z.next_in = (Bytef *)(uintptr_t)plain.ptr;
    z.avail_in = (uInt)plain.len;
    z.next_out = (Bytef *)to->ptr + to->len;
    z.avail_out = (uInt)bound;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    to->len += bound - z.avail_out;
    deflateEnd(&z);
}

static void add_zstd(struct buffer *to, int window_log, struct bytes plain)
{
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    size_t bound = ZSTD_compressBound(plain.len);
    ZSTD_outBuffer out;
    ZSTD_inBuffer in = {plain.ptr, plain.len, 0};

    ck_assert(buffer_reserve(to, bound));
    out = (ZSTD_outBuffer){to->ptr + to->len, bound, 0};
    if (window_log)
        ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window_log);
    /* Streamed, so that the frame names its window instead of its size. */
    while (in.pos < in.size)
        ck_assert(!ZSTD_isError(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_continue)));
    ck_assert_uint_eq(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end), 0);
    to->len += out.pos;
    ZSTD_freeCCtx(zstd);
}

static const struct decode_limits generous = {64 << 20, 0, CLOCK_NEVER};

/* Decodes all of `b` in pieces of `piece` bytes; returns 0 or the error. */
static int decode_in(struct bytes b, const char *coding, size_t piece,
                     const struct decode_limits *limits)
{
    int rc = decoder_begin(decoder, b, bytes_cstr(coding), limits);
    size_t got = 1;

    decoded.len = 0;
    while (rc == 0 && got > 0) {
        ck_assert(buffer_reserve(&decoded, piece));
        rc = decoder_read(decoder, decoded.ptr + decoded.len, piece, &got);
        if (rc == 0)
            decoded.len += got;
    }
    return rc;
}

static int decode(struct bytes b, const char *coding)
{
    return decode_in(b, coding, DECODE_CHUNK, &generous);
}

static void assert_decodes(const char *coding)
{
    for (size_t piece = 1; piece < 200; piece += 13) {
        ck_assert_int_eq(decode_in(buffer_bytes(&body), coding, piece, &generous), 0);
        ck_assert(bytes_equal(buffer_bytes(&decoded), page_bytes));
        ck_assert(!decoder_cut(decoder));
    }
}

START_TEST(a_body_without_a_coding_comes_through)
{
    static const char *const none[] = {"", "identity", " IDENTITY , ,", ","};

    buffer_append(&body, page, page_bytes.len);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_decodes(none[i]);
        ck_assert(decoder_is_identity(decoder));
    }
}
END_TEST

START_TEST(gzip_is_undone_by_any_of_its_names)
{
    add_zlib(&body, GZIP, page_bytes);
    assert_decodes("gzip");
    assert_decodes("x-gzip");
    assert_decodes(" GZip ");
}
END_TEST

START_TEST(deflate_is_undone_with_and_without_a_zlib_header)
{
    add_zlib(&body, ZLIB, page_bytes);
    assert_decodes("deflate");
    body.len = 0;
    add_zlib(&body, RAW, page_bytes);
    assert_decodes("Deflate");
}
END_TEST

START_TEST(zstd_is_undone)
{
    add_zstd(&body, 0, page_bytes);
    assert_decodes("zstd");
}
END_TEST

START_TEST(br_is_undone)
{
    ck_assert_int_eq(decode(bytes_of(br_title, sizeof br_title - 1), "br"), 0);
    ck_assert(bytes_equal(buffer_bytes(&decoded), BYTES("<title>br</title>")));
    ck_assert(!decoder_cut(decoder));
}
END_TEST

START_TEST(several_codings_are_undone_in_reverse_order)
{
    struct buffer inner = {0};

    add_zlib(&inner, RAW, page_bytes);
    add_zstd(&body, 0, buffer_bytes(&inner));
    inner.len = 0;
    add_zlib(&inner, GZIP, buffer_bytes(&body));
    buffer_free(&body);
    body = inner;
    assert_decodes("deflate, zstd , identity,gzip");
}
END_TEST

START_TEST(an_unknown_coding_is_named)
{
    ck_assert_int_eq(decode(page_bytes, "gzip, rot13"), -EPROTONOSUPPORT);
    ck_assert(bytes_equal(decoder_coding(decoder), BYTES("rot13")));
    ck_assert_int_eq(decode(page_bytes, "compress"), -EPROTONOSUPPORT);
    ck_assert_int_eq(decode(page_bytes, "gzip,gzip,gzip,gzip,gzip"), -EPROTONOSUPPORT);
}
END_TEST

START_TEST(a_body_that_is_not_in_the_named_coding_is_refused)
{
    static const char *const names[] = {"gzip", "br", "zstd", "deflate"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert_int_eq(decode(page_bytes, names[i]), -EILSEQ);
        ck_assert(bytes_equal(decoder_coding(decoder), bytes_cstr(names[i])));
    }
    add_zlib(&body, GZIP, page_bytes);
    ck_assert_int_eq(decode(buffer_bytes(&body), "br, gzip"), -EILSEQ);
    ck_assert(bytes_equal(decoder_coding(decoder), BYTES("br")));
}
END_TEST

START_TEST(an_empty_body_is_empty_in_every_coding)
{
    static const char *const names[] = {"", "gzip", "br", "zstd", "deflate", "gzip, br"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ck_assert_int_eq(decode(bytes_of(NULL, 0), names[i]), 0);
        ck_assert_uint_eq(decoded.len, 0);
        ck_assert(!decoder_cut(decoder));
    }
}
END_TEST

START_TEST(a_truncated_body_keeps_what_came_out_and_says_so)
{
    static const struct {
        const char *name;
        int window_bits; /* 0: zstd */
    } kinds[] = {{"gzip", GZIP}, {"deflate", ZLIB}, {"deflate", RAW}, {"zstd", 0}};

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        body.len = 0;
        if (kinds[k].window_bits)
            add_zlib(&body, kinds[k].window_bits, page_bytes);
        else
            add_zstd(&body, 0, page_bytes);
        /* From 4 on: before, a raw stream may be told from a wrapped one. */
        for (size_t len = 4; len < body.len; len++) {
            ck_assert_int_eq(decode(bytes_of(body.ptr, len), kinds[k].name), 0);
            ck_assert(decoder_cut(decoder));
            ck_assert_uint_le(decoded.len, page_bytes.len);
            ck_assert_mem_eq(decoded.ptr, page, decoded.len);
        }
    }
    for (size_t len = 1; len < sizeof br_title - 1; len++) {
        ck_assert_int_eq(decode(bytes_of(br_title, len), "br"), 0);
        ck_assert(decoder_cut(decoder));
    }
}
END_TEST

START_TEST(garbage_behind_a_complete_stream_is_ignored)
{
    static const struct bytes garbage = {"\0\0\x1f\x8bgarbage", 11};

    add_zlib(&body, GZIP, page_bytes);
    buffer_append(&body, garbage.ptr, garbage.len);
    assert_decodes("gzip");
    body.len = 0;
    add_zlib(&body, ZLIB, page_bytes);
    buffer_append(&body, garbage.ptr, garbage.len);
    assert_decodes("deflate");
    body.len = 0;
    add_zstd(&body, 0, page_bytes);
    buffer_append(&body, garbage.ptr, garbage.len);
    assert_decodes("zstd");
    body.len = 0;
    buffer_append(&body, br_title, sizeof br_title - 1);
    buffer_append(&body, garbage.ptr, garbage.len);
    ck_assert_int_eq(decode(buffer_bytes(&body), "br"), 0);
    ck_assert(bytes_equal(buffer_bytes(&decoded), BYTES("<title>br</title>")));
}
END_TEST

START_TEST(members_and_frames_are_joined)
{
    struct bytes half = bytes_of(page, 20), rest = bytes_of(page + 20, page_bytes.len - 20);

    add_zlib(&body, GZIP, half);
    add_zlib(&body, GZIP, bytes_of("", 0));
    add_zlib(&body, GZIP, rest);
    assert_decodes("gzip");
    body.len = 0;
    add_zstd(&body, 0, half);
    buffer_append(&body, "\x53\x2a\x4d\x18\x02\0\0\0hi", 10); /* a skippable frame */
    add_zstd(&body, 0, rest);
    assert_decodes("zstd");
}
END_TEST

START_TEST(a_wrong_checksum_does_not_take_a_page_back)
{
    add_zlib(&body, GZIP, page_bytes);
    body.ptr[body.len - 6] ^= 0x55;
    assert_decodes("gzip");
}
END_TEST

START_TEST(damage_far_into_a_body_keeps_what_came_before)
{
    enum { BLOCK = 65535 };
    struct buffer plain = {0};

    /* Stored blocks (RFC 1951 section 3.2.4); the third one's length check is wrong. */
    ck_assert(buffer_reserve(&plain, BLOCK));
    memset(plain.ptr, 'p', BLOCK);
    buffer_append(&body, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    for (int i = 0; i < 3; i++) {
        buffer_append(&body, i < 2 ? "\0\xff\xff\0\0" : "\0\xff\xff\xff\xff", 5);
        buffer_append(&body, plain.ptr, BLOCK);
    }
    ck_assert_int_eq(decode(buffer_bytes(&body), "gzip"), 0);
    ck_assert(decoder_cut(decoder));
    ck_assert_uint_eq(decoded.len, 2 * BLOCK);
    buffer_free(&plain);
}
END_TEST

/* 8 MiB of one byte. */
static void make_bomb(struct buffer *plain)
{
    ck_assert(buffer_reserve(plain, 8 << 20));
    plain->len = 8 << 20;
    memset(plain->ptr, 'a', plain->len);
}

START_TEST(a_bomb_meets_the_byte_limit)
{
    const struct decode_limits exact = {8 << 20, 0, CLOCK_NEVER},
                               less = {(8 << 20) - 1, 0, CLOCK_NEVER};
    struct buffer plain = {0};

    make_bomb(&plain);
    add_zlib(&body, GZIP, buffer_bytes(&plain));
    ck_assert_int_eq(decode_in(buffer_bytes(&body), "gzip", DECODE_CHUNK, &exact), 0);
    ck_assert_uint_eq(decoded.len, 8 << 20);
    ck_assert_int_eq(decode_in(buffer_bytes(&body), "gzip", DECODE_CHUNK, &less), -EFBIG);
    ck_assert_int_eq(decode_in(buffer_bytes(&plain), "", DECODE_CHUNK, &exact), 0);
    ck_assert_int_eq(decode_in(buffer_bytes(&plain), "", DECODE_CHUNK, &less), -EFBIG);
    buffer_free(&plain);
}
END_TEST

START_TEST(a_bomb_meets_the_ratio_limit)
{
    const struct decode_limits limits = {64 << 20, 100, CLOCK_NEVER};
    struct buffer plain = {0};
    struct bytes br = bytes_of(br_bomb, sizeof br_bomb - 1);

    make_bomb(&plain);
    add_zlib(&body, GZIP, buffer_bytes(&plain));
    ck_assert_int_eq(decode_in(buffer_bytes(&body), "gzip", DECODE_CHUNK, &limits), -EOVERFLOW);
    ck_assert_uint_le(decoded.len, DECODE_RATIO_FREE);
    ck_assert_int_eq(decode_in(br, "br", DECODE_CHUNK, &limits), -EOVERFLOW);
    ck_assert_int_eq(decode_in(br, "br", DECODE_CHUNK, &generous), 0);
    ck_assert_uint_eq(decoded.len, 8 << 20);
    /* The same ratio in a small page is nothing unusual. */
    body.len = 0;
    add_zlib(&body, GZIP, bytes_of(plain.ptr, DECODE_RATIO_FREE));
    ck_assert_int_eq(decode_in(buffer_bytes(&body), "gzip", DECODE_CHUNK, &limits), 0);
    buffer_free(&plain);
}
END_TEST

START_TEST(a_bomb_inside_a_bomb_meets_the_limit_in_the_middle)
{
    const struct decode_limits limits = {1 << 20, 0, CLOCK_NEVER};
    struct buffer inner = {0};

    /* The outer coding grows to megabytes of empty gzip members: no output at all comes out. */
    for (int i = 0; i < 200000; i++)
        buffer_append(&inner, "\x1f\x8b\x08\0\0\0\0\0\0\xff\x03\0\0\0\0\0\0\0\0\0", 20);
    add_zlib(&body, GZIP, buffer_bytes(&inner));
    ck_assert_int_eq(decode_in(buffer_bytes(&body), "gzip, gzip", DECODE_CHUNK, &limits), -EFBIG);
    buffer_free(&inner);
}
END_TEST

START_TEST(a_zstd_window_over_8_mib_is_refused)
{
    struct buffer plain = {0};

    make_bomb(&plain);
    buffer_append(&plain, page, page_bytes.len);
    add_zstd(&body, 23, buffer_bytes(&plain));
    ck_assert_int_eq(decode(buffer_bytes(&body), "zstd"), 0);
    body.len = 0;
    add_zstd(&body, 24, buffer_bytes(&plain));
    ck_assert_int_eq(decode(buffer_bytes(&body), "zstd"), -EILSEQ);
    buffer_free(&plain);
}
END_TEST

START_TEST(a_deadline_stops_the_decoder_and_stays)
{
    const struct decode_limits late = {64 << 20, 0, 1};
    char byte;
    size_t got;

    add_zlib(&body, GZIP, page_bytes);
    ck_assert_int_eq(decode_in(buffer_bytes(&body), "gzip", DECODE_CHUNK, &late), -ETIMEDOUT);
    ck_assert_int_eq(decoder_read(decoder, &byte, 1, &got), -ETIMEDOUT);
    assert_decodes("gzip");
}
END_TEST

/* -- at once -------------------------------------------------------------------------------------
 */

/* Tries to decode `body` at once after some of it was read; returns what was said of it. */
static bool decode_at_once(const char *coding, const struct decode_limits *limits)
{
    char some[16], *whole = NULL;
    size_t got = 0;
    bool done = false;

    ck_assert_int_eq(decoder_begin(decoder, buffer_bytes(&body), bytes_cstr(coding), limits), 0);
    decoder_read(decoder, some, sizeof some, &got);
    size_t len = decoder_whole_len(decoder);
    if (len > 0) {
        whole = malloc(len);
        ck_assert_ptr_nonnull(whole);
        done = decoder_read_whole(decoder, whole, len);
    }
    if (done) {
        ck_assert(bytes_equal(bytes_of(whole, len), page_bytes) && !decoder_cut(decoder));
        ck_assert(decoder_read(decoder, some, sizeof some, &got) == 0 && got == 0);
    } else if (len > 0) { /* anew, and not tried again */
        ck_assert(decoder_read(decoder, some, sizeof some, &got) == 0 && got > 0);
        ck_assert_mem_eq(some, page, got);
        ck_assert_uint_eq(decoder_whole_len(decoder), 0);
    }
    free(whole);
    return done;
}

START_TEST(a_gzip_of_one_member_is_decoded_at_once)
{
    add_zlib(&body, GZIP, page_bytes);
    ck_assert(decode_at_once("gzip", &generous));
    ck_assert(decode_at_once("identity, x-gzip", &generous));
}
END_TEST

START_TEST(what_is_no_whole_gzip_is_left_to_be_read)
{
    add_zlib(&body, GZIP, page_bytes);
    const size_t len = body.len;
    ck_assert(!decode_at_once("gzip, gzip", &generous) && !decode_at_once("deflate", &generous));

    body.ptr[len - 5] ^= 1; /* the checksum */
    ck_assert(!decode_at_once("gzip", &generous));
    body.ptr[len - 5] ^= 1;
    body.ptr[len - 4] ^= 1; /* the length */
    ck_assert(!decode_at_once("gzip", &generous));
    body.ptr[len - 4] ^= 1;
    body.len = len - 1;
    ck_assert(!decode_at_once("gzip", &generous));
    body.len = len;
    buffer_append(&body, "\x47\0\0\0", 4); /* garbage that looks like a length */
    ck_assert(!decode_at_once("gzip", &generous));
    body.len = len;
    add_zlib(&body, GZIP, page_bytes);
    ck_assert(!decode_at_once("gzip", &generous));
}
END_TEST

START_TEST(a_gzip_over_the_limits_is_left_to_be_read)
{
    add_zlib(&body, GZIP, page_bytes);
    ck_assert(!decode_at_once("gzip", &(struct decode_limits){page_bytes.len - 1, 0, CLOCK_NEVER}));
    ck_assert_uint_eq(decoder_whole_len(decoder), 0);
    ck_assert(decode_at_once("gzip", &(struct decode_limits){page_bytes.len, 0, CLOCK_NEVER}));
}
END_TEST

START_TEST(a_decoder_left_in_the_middle_starts_anew)
{
    char some[8];
    size_t got;

    add_zlib(&body, GZIP, page_bytes);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(
            decoder_begin(decoder, bytes_of(br_bomb, sizeof br_bomb - 1), BYTES("br"), &generous),
            0);
        ck_assert_int_eq(decoder_read(decoder, some, sizeof some, &got), 0);
        ck_assert_uint_gt(got, 0);
        assert_decodes("gzip");
    }
}
END_TEST

Suite *suite_decode(void)
{
    Suite *suite = suite_create("decode");
    TCase *tc = tcase_create("decode");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_body_without_a_coding_comes_through);
    tcase_add_test(tc, gzip_is_undone_by_any_of_its_names);
    tcase_add_test(tc, deflate_is_undone_with_and_without_a_zlib_header);
    tcase_add_test(tc, zstd_is_undone);
    tcase_add_test(tc, br_is_undone);
    tcase_add_test(tc, several_codings_are_undone_in_reverse_order);
    tcase_add_test(tc, an_unknown_coding_is_named);
    tcase_add_test(tc, a_body_that_is_not_in_the_named_coding_is_refused);
    tcase_add_test(tc, an_empty_body_is_empty_in_every_coding);
    tcase_add_test(tc, a_truncated_body_keeps_what_came_out_and_says_so);
    tcase_add_test(tc, garbage_behind_a_complete_stream_is_ignored);
    tcase_add_test(tc, members_and_frames_are_joined);
    tcase_add_test(tc, a_wrong_checksum_does_not_take_a_page_back);
    tcase_add_test(tc, damage_far_into_a_body_keeps_what_came_before);
    tcase_add_test(tc, a_bomb_meets_the_byte_limit);
    tcase_add_test(tc, a_bomb_meets_the_ratio_limit);
    tcase_add_test(tc, a_bomb_inside_a_bomb_meets_the_limit_in_the_middle);
    tcase_add_test(tc, a_zstd_window_over_8_mib_is_refused);
    tcase_add_test(tc, a_deadline_stops_the_decoder_and_stays);
    tcase_add_test(tc, a_gzip_of_one_member_is_decoded_at_once);
    tcase_add_test(tc, what_is_no_whole_gzip_is_left_to_be_read);
    tcase_add_test(tc, a_gzip_over_the_limits_is_left_to_be_read);
    tcase_add_test(tc, a_decoder_left_in_the_middle_starts_anew);
    suite_add_tcase(suite, tc);
    return suite;
}
