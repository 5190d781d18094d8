#include "tests/check.h"

#include "core/base/buffer.h"
#include "core/base/clock.h"
#include "core/base/utf8.h"
#include "parsers/bump.h"
#include "parsers/page.h"
#include "parsers/page_codec.h"

#include <errno.h>
#include <zlib.h>

static struct page_parser *parser;
static struct buffer body;

static void setup(void)
{
    ck_assert_int_eq(page_parser_create(0, &parser), 0);
}

static void teardown(void)
{
    page_parser_destroy(parser);
    buffer_free(&body);
}

/* A request for `page` as text/html, with limits that ordinary pages keep. */
static struct page_request request_for(struct bytes page)
{
    return (struct page_request){
        .body = page,
        .content_type = BYTES("text/html"),
        .max_decoded_bytes = 10 << 20,
        .max_ratio = 200,
        .deadline_ns = clock_after_ms(clock_now_ns(), 60000),
    };
}

static struct page_facts parse(const struct page_request *request)
{
    struct page_facts facts;

    ck_assert_int_eq(page_parse(parser, request, &facts), facts.error);
    return facts;
}

static void assert_title(const struct page_request *request, const char *want)
{
    struct page_facts facts = parse(request);

    ck_assert_int_eq(facts.error, PAGE_OK);
    ck_assert_uint_eq(facts.message.len, 0);
    ck_assert_int_eq(facts.has_title, want != NULL);
    ck_assert(bytes_equal(facts.title, bytes_cstr(want)));
}

static void assert_fails(const struct page_request *request, enum page_error error,
                         const char *message)
{
    struct page_facts facts = parse(request);

    ck_assert_int_eq(facts.error, error);
    ck_assert_msg(bytes_equal(facts.message, bytes_cstr(message)), "got \"%.*s\"",
                  (int)facts.message.len, facts.message.ptr);
    ck_assert(!facts.has_title && facts.title.len == 0);

    struct page_request next = request_for(BYTES("<title>next</title>"));
    assert_title(&next, "next");
}

/* Makes `body` the gzip of `plain`. */
static void gzip_body(struct bytes plain)
{
    z_stream z = {0};
    size_t bound = compressBound((uLong)plain.len) + 64;

    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    body.len = 0;
    ck_assert(buffer_reserve(&body, bound));
    z.next_in = (Bytef *)(uintptr_t)plain.ptr;
    z.avail_in = (uInt)plain.len;
    z.next_out = (Bytef *)body.ptr;
    z.avail_out = (uInt)bound;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    body.len = bound - z.avail_out;
    deflateEnd(&z);
}

/* Makes `body` the gzip of `len` bytes 'a'. */
static void gzip_bomb(size_t len)
{
    struct buffer plain = {0};

    ck_assert(buffer_reserve(&plain, len));
    plain.len = len;
    memset(plain.ptr, 'a', len);
    gzip_body(buffer_bytes(&plain));
    buffer_free(&plain);
}

START_TEST(a_plain_page_gives_its_title_and_charset)
{
    struct page_request request = request_for(BYTES("<title> caf\xe9 </title>"));
    struct page_facts facts = parse(&request);

    ck_assert_int_eq(facts.error, PAGE_OK);
    ck_assert(facts.has_title && !facts.title_truncated && !facts.body_truncated);
    ck_assert(bytes_equal(facts.title, BYTES("caf\xc3\xa9")));
    ck_assert_int_eq(facts.charset, CHARSET_WINDOWS_1252);
    ck_assert_uint_eq(facts.decoded_bytes, request.body.len);
}
END_TEST

START_TEST(a_gzipped_page_is_decoded_before_its_charset_is_settled)
{
    struct bytes plain = BYTES("\xef\xbb\xbf<title>\xe4\xbd\xa0\xe5\xa5\xbd</title>");
    struct page_request request;
    struct page_facts facts;

    gzip_body(plain);
    request = request_for(buffer_bytes(&body));
    request.content_encoding = BYTES("gzip");
    request.content_type = BYTES("text/html; charset=iso-8859-1");
    facts = parse(&request);
    ck_assert_int_eq(facts.error, PAGE_OK);
    ck_assert(bytes_equal(facts.title, BYTES("\xe4\xbd\xa0\xe5\xa5\xbd")));
    ck_assert_int_eq(facts.charset, CHARSET_UTF_8);
    ck_assert_uint_eq(facts.decoded_bytes, plain.len);
}
END_TEST

START_TEST(a_truncated_gzip_body_gives_what_came_and_says_so)
{
    struct page_request request;
    struct page_facts facts;

    gzip_body(BYTES("<title>whole</title><p>some text that is longer than its beginning"));
    request = request_for(bytes_of(body.ptr, body.len - 10));
    request.content_encoding = BYTES("gzip");
    facts = parse(&request);
    ck_assert_int_eq(facts.error, PAGE_OK);
    ck_assert(facts.body_truncated);
    ck_assert(bytes_equal(facts.title, BYTES("whole")));
}
END_TEST

START_TEST(fields_of_a_truncated_body_are_not_all_but_for_those_of_its_head)
{
    static const char page[] = "<title>x</title><meta name=description content=d><body><h1>H</h1>";
    struct buffer plain = {0};

    buffer_text(&plain, page);
    for (int i = 0; i < 20000; i++)
        buffer_printf(&plain, "<p>%x", (unsigned)i * 2654435761u);
    gzip_body(buffer_bytes(&plain));
    struct page_request request = request_for(bytes_of(body.ptr, body.len / 2));
    request.content_encoding = BYTES("gzip");
    request.fields = FIELD_BIT(FIELD_H1);
    struct page_facts facts = parse(&request);
    ck_assert(facts.fields.len > 0 && facts.body_truncated && facts.truncated);

    request.fields = FIELD_BIT(FIELD_DESCRIPTION);
    facts = parse(&request);
    ck_assert(facts.fields.len > 0 && facts.from_prefix && !facts.truncated);

    request.body = buffer_bytes(&body);
    request.fields = FIELD_BIT(FIELD_H1);
    facts = parse(&request);
    ck_assert(!facts.body_truncated && !facts.truncated);
    buffer_free(&plain);
}
END_TEST

START_TEST(an_empty_title_differs_from_none)
{
    struct page_request request = request_for(BYTES("<title> </title>"));

    assert_title(&request, "");
    request.body = BYTES("<p>none");
    assert_title(&request, NULL);
    request.body = bytes_of(NULL, 0);
    assert_title(&request, NULL);
}
END_TEST

START_TEST(a_body_of_another_type_is_not_looked_at)
{
    static const char *const types[] = {"image/png",       "text/plain; charset=utf-8",
                                        "application/xml", "application/json",
                                        "text/htmlx",      "text/html, image/png"};
    struct page_request request = request_for(BYTES("<title>no</title>"));

    request.content_encoding = BYTES("rot13");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        request.content_type = bytes_cstr(types[i]);
        assert_title(&request, NULL);
        ck_assert_int_eq(parse(&request).charset, CHARSET_NONE);
    }
}
END_TEST

START_TEST(html_types_are_known_in_any_case_and_with_parameters)
{
    static const char *const types[] = {"text/html", "TEXT/HTML;charset=utf-8", " text/html ; x",
                                        "application/xhtml+xml"};
    struct page_request request = request_for(BYTES("x<title>yes</title>"));

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        request.content_type = bytes_cstr(types[i]);
        assert_title(&request, "yes");
    }
}
END_TEST

START_TEST(of_a_type_that_is_sent_more_than_once_the_last_counts)
{
    static const char *const types[] = {"text/html, text/html",
                                        "text/html;charset=\"a, b\", text/html",
                                        "image/png, text/html", "text/html, , nonsense, */*"};
    struct page_request request = request_for(BYTES("x<title>yes</title>"));

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        request.content_type = bytes_cstr(types[i]);
        assert_title(&request, "yes");
    }
}
END_TEST

START_TEST(without_a_useful_type_the_first_bytes_decide)
{
    static const char *const types[] = {
        "", "html", "*/*", "application/unknown", ";charset=x", "text /html", ", ",
    };
    struct page_request request = request_for(BYTES(" \n<!DocType html><title>yes</title>"));

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        request.content_type = bytes_cstr(types[i]);
        request.body = BYTES(" \n<!DocType html><title>yes</title>");
        assert_title(&request, "yes");
        request.body = BYTES("\xef\xbb\xbf<!-- c --><title>yes</title>");
        assert_title(&request, "yes");
        request.body = BYTES("x<title>no</title>");
        assert_title(&request, NULL);
        request.body = BYTES("<htmlx><title>no</title>");
        assert_title(&request, NULL);
        request.body = BYTES("<p");
        assert_title(&request, NULL);
    }
}
END_TEST

START_TEST(an_unknown_coding_is_a_bad_encoding_that_names_it)
{
    struct page_request request = request_for(BYTES("<title>x</title>"));

    request.content_encoding = BYTES("gzip, rot13");
    assert_fails(&request, PAGE_BAD_ENCODING, "Content-Encoding \"rot13\" is not supported");
    request.content_encoding = BYTES("\x1b[2J\xff");
    assert_fails(&request, PAGE_BAD_ENCODING, "Content-Encoding \"?[2J?\" is not supported");
    request.content_encoding = BYTES("0123456789012345678901234567890123456789tail");
    assert_fails(&request, PAGE_BAD_ENCODING,
                 "Content-Encoding \"0123456789012345678901234567890123456789\" is not supported");
    ck_assert_str_eq(page_error_code(PAGE_BAD_ENCODING), "bad_encoding");
}
END_TEST

START_TEST(a_body_that_is_not_what_its_coding_says_is_a_bad_encoding)
{
    struct page_request request = request_for(BYTES("<title>not gzip at all</title>"));

    request.content_encoding = BYTES("gzip");
    assert_fails(&request, PAGE_BAD_ENCODING, "The body is not in its Content-Encoding \"gzip\"");
}
END_TEST

START_TEST(a_gzip_bomb_meets_the_ratio_limit)
{
    struct page_request request;

    gzip_bomb(8 << 20);
    request = request_for(buffer_bytes(&body));
    request.content_encoding = BYTES("gzip");
    assert_fails(&request, PAGE_BODY_TOO_LARGE,
                 "The decoded body is more than 200 times as large as received");
}
END_TEST

START_TEST(a_page_over_the_byte_limit_is_too_large_with_or_without_a_coding)
{
    struct page_request request = request_for(BYTES("<title>12345</title>"));

    request.max_decoded_bytes = request.body.len;
    assert_title(&request, "12345");
    request.max_decoded_bytes--;
    assert_fails(&request, PAGE_BODY_TOO_LARGE, "The decoded body is larger than 19 bytes");

    gzip_bomb(100000);
    request.body = buffer_bytes(&body);
    request.content_encoding = BYTES("gzip");
    request.max_decoded_bytes = 99999;
    assert_fails(&request, PAGE_BODY_TOO_LARGE, "The decoded body is larger than 99999 bytes");
}
END_TEST

START_TEST(a_page_that_takes_too_long_times_out)
{
    struct page_request request;

    for (int i = 0; i < 100000; i++)
        buffer_text(&body, "<div>");
    buffer_text(&body, "<title>"); /* without, nothing would need to be parsed */
    request = request_for(buffer_bytes(&body));
    request.deadline_ns = clock_after_ms(clock_now_ns(), 50);
    assert_fails(&request, PAGE_PARSE_TIMEOUT, "Parsing the page took longer than allowed");
    ck_assert_uint_ge(clock_now_ns(), request.deadline_ns);
}
END_TEST

START_TEST(a_page_may_take_so_much_cpu_time)
{
    struct page_facts facts;
    struct page_request request = {
        .content_type = BYTES("text/html"),
        .max_decoded_bytes = 64 << 20,
        .parse_all = true,
        .deadline_ns = clock_after_ms(clock_now_ns(), 60000),
        .max_cpu_ms = 60000,
    };
    struct buffer page = {0};

    for (int i = 0; i < 100000; i++)
        buffer_text(&page, "<p>x");
    request.body = buffer_bytes(&page);
    ck_assert_int_eq(page_parse(parser, &request, &facts), PAGE_OK);
    request.max_cpu_ms = 1;
    ck_assert_int_eq(page_parse(parser, &request, &facts), PAGE_PARSE_TIMEOUT);
    buffer_free(&page);
}
END_TEST

START_TEST(a_page_that_takes_too_much_memory_has_crashed)
{
    struct page_request request;

    page_parser_destroy(parser);
    parser = NULL;
    ck_assert_int_eq(page_parser_create(1 << 20, &parser), 0);
    for (int i = 0; i < 100000; i++)
        buffer_text(&body, "<p>x");
    buffer_text(&body, "<title>");
    request = request_for(buffer_bytes(&body));
    assert_fails(&request, PAGE_OUT_OF_MEMORY,
                 "Parsing the page took more memory than 1048576 bytes");
    ck_assert_str_eq(page_error_code(PAGE_OUT_OF_MEMORY), "parse_crashed");

    /* Decoding into the arena meets the same limit. */
    gzip_bomb(2 << 20);
    request = request_for(buffer_bytes(&body));
    request.content_encoding = BYTES("gzip");
    request.max_ratio = 0;
    assert_fails(&request, PAGE_OUT_OF_MEMORY,
                 "Parsing the page took more memory than 1048576 bytes");
}
END_TEST

START_TEST(binary_bodies_called_html_are_survived)
{
    struct page_request request;
    uint32_t x = 1;

    for (int i = 0; i < 100000; i++) {
        x = x * 1664525 + 1013904223;
        buffer_byte(&body, (char)(x >> 24));
    }
    request = request_for(buffer_bytes(&body));
    ck_assert_int_eq(parse(&request).error, PAGE_OK);
    memset(body.ptr, 0, body.len);
    assert_title(&request, NULL);
}
END_TEST

/* -- the codec -----------------------------------------------------------------------------------
 */

#define PACKED_LANG  "\x03\0\x02\0\0\0de"
#define PACKED_IMAGE "\x04\x05\x01\0\0\0image1"

static const struct page_facts good_facts[] = {
    {.error = PAGE_OK,
     .settled = true,
     .has_title = true,
     .title = {"caf\xc3\xa9 \xe4\xbd\xa0\xf0\x9f\x98\x80", 13},
     .charset = CHARSET_UTF_8,
     .body_truncated = true,
     .decoded_bytes = 123456789012},
    {.error = PAGE_OK,
     .settled = true,
     .from_prefix = true,
     .has_title = true,
     .charset = CHARSET_WINDOWS_1252,
     .decoded_bytes = 7},
    {.error = PAGE_OK,
     .settled = true,
     .truncated = true,
     .has_title = true,
     .title = {"t", 1},
     .fields = {PACKED_LANG PACKED_IMAGE, sizeof PACKED_LANG PACKED_IMAGE - 1},
     .charset = CHARSET_UTF_8},
    {.error = PAGE_OK, .settled = true, .from_prefix = true, .charset = CHARSET_UTF_8},
    {.error = PAGE_OK, .settled = true},
    {.error = PAGE_OK, .settled = false},
    {.error = PAGE_PARSE_TIMEOUT, .settled = true, .message = {"took too long", 13}},
};
enum { GOOD_FACTS = sizeof good_facts / sizeof good_facts[0] };

static bool facts_equal(const struct page_facts *a, const struct page_facts *b)
{
    return a->error == b->error && bytes_equal(a->message, b->message) &&
           a->settled == b->settled && a->from_prefix == b->from_prefix &&
           a->has_title == b->has_title && a->title_truncated == b->title_truncated &&
           a->body_truncated == b->body_truncated && a->charset == b->charset &&
           a->truncated == b->truncated && bytes_equal(a->title, b->title) &&
           bytes_equal(a->fields, b->fields) && a->decoded_bytes == b->decoded_bytes;
}

/* Unpacks from memory of exactly that size, so that ASan sees a read past its end. */
static int unpack_exact(const char *message, size_t len, struct buffer *copy,
                        struct page_facts *ret)
{
    buffer_free(copy);
    buffer_append(copy, message, len);
    if (len > 0 && copy->capacity > len) {
        char *end = copy->ptr + copy->capacity - len;
        memmove(end, message, len);
        return page_reply_unpack(bytes_of(end, len), ret);
    }
    return page_reply_unpack(buffer_bytes(copy), ret);
}

START_TEST(facts_survive_the_way_to_the_parent)
{
    const struct page_facts *facts = &good_facts[_i];
    struct page_facts got;
    char message[PAGE_REPLY_MAX];
    size_t len = page_reply_pack(facts, message, sizeof message);

    ck_assert_uint_eq(len, PAGE_REPLY_HEADER + facts->title.len + facts->message.len +
                               facts->fields.len);
    ck_assert_int_eq(page_reply_unpack(bytes_of(message, len), &got), 0);
    ck_assert(facts_equal(facts, &got));
    ck_assert_uint_eq(page_reply_pack(facts, message, len - 1), 0);
}
END_TEST

START_TEST(every_truncation_and_extension_of_a_reply_is_refused)
{
    struct page_facts got;
    struct buffer copy = {0};
    char message[PAGE_REPLY_MAX];
    size_t len = page_reply_pack(&good_facts[_i], message, sizeof message);

    for (size_t cut = 0; cut < len; cut++)
        ck_assert_int_eq(unpack_exact(message, cut, &copy, &got), -EBADMSG);
    message[len] = 'x';
    ck_assert_int_eq(unpack_exact(message, len + 1, &copy, &got), -EBADMSG);
    buffer_free(&copy);
}
END_TEST

/* What an accepted reply must be, whatever its bytes were. */
static void assert_sane(const struct page_facts *facts)
{
    ck_assert_uint_lt((unsigned)facts->error, PAGE_ERROR_COUNT);
    ck_assert_uint_lt((unsigned)facts->charset, CHARSET_COUNT);
    ck_assert(utf8_valid(facts->title));
    ck_assert(!memchr(facts->title.ptr, '\0', facts->title.len));
    ck_assert_uint_le(facts->title.len, TITLE_MAX);
    ck_assert_uint_le(facts->message.len, PAGE_MESSAGE_MAX);
    ck_assert(facts->has_title || facts->title.len == 0);
    ck_assert(fields_are_valid(facts->fields, FIELDS_ALL));
    bool was_read = facts->has_title || facts->from_prefix || facts->fields.len > 0;
    ck_assert(!was_read || facts->charset != CHARSET_NONE);
    ck_assert(!was_read || (facts->error == PAGE_OK && facts->settled));
    ck_assert(!facts->truncated || (facts->error == PAGE_OK && facts->settled));
    ck_assert_int_eq(facts->error == PAGE_OK, facts->message.len == 0);
}

START_TEST(every_changed_byte_of_a_reply_is_refused_or_harmless)
{
    struct page_facts got;
    struct buffer copy = {0};
    char message[PAGE_REPLY_MAX];
    size_t len = page_reply_pack(&good_facts[_i], message, sizeof message);
    int refused = 0;

    for (size_t at = 0; at < len; at++) {
        for (int change = 1; change < 256; change++) {
            message[at] ^= (char)change;
            int rc = unpack_exact(message, len, &copy, &got);
            if (rc == 0)
                assert_sane(&got);
            else
                ck_assert_int_eq(rc, -EBADMSG);
            refused += rc != 0;
            message[at] ^= (char)change;
        }
    }
    ck_assert_int_gt(refused, 255); /* another version, for one, is refused always */
    buffer_free(&copy);
}
END_TEST

START_TEST(random_replies_are_refused_or_harmless)
{
    uint32_t x = 7;
    char message[64];
    struct page_facts got;

    for (int round = 0; round < 200000; round++) {
        size_t len = 0;
        for (; len < sizeof message; len++) {
            x = x * 1664525 + 1013904223;
            message[len] = (char)(x >> 24);
        }
        /* Mostly plausible, so that the later checks are reached too. */
        len = PAGE_REPLY_HEADER + (x >> 8) % (sizeof message - PAGE_REPLY_HEADER);
        message[0] = PAGE_CODEC_VERSION;
        message[1] = (char)((x >> 3) % (PAGE_ERROR_COUNT + 1));
        message[2] &= 63;
        message[3] &= 3;
        memset(message + 12, 0, 8); /* all lengths */
        message[round % 2 ? 12 : 16] = (char)(len - PAGE_REPLY_HEADER);
        if (page_reply_unpack(bytes_of(message, len), &got) == 0)
            assert_sane(&got);
    }
}
END_TEST

/* A reply with one thing wrong in it, made by hand. */
static void assert_refused(struct page_facts facts)
{
    struct page_facts got;
    char message[PAGE_REPLY_MAX];
    size_t len = page_reply_pack(&facts, message, sizeof message);

    ck_assert_uint_gt(len, 0);
    ck_assert_int_eq(page_reply_unpack(bytes_of(message, len), &got), -EBADMSG);
}

START_TEST(a_forged_reply_is_refused)
{
    static const char *const titles[] = {"a\xff", "\xed\xa0\x80", " a", "a ", "a  b", "a\nb", " "};

    const struct page_facts titled = {
        .settled = true, .has_title = true, .charset = CHARSET_UTF_8, .title = BYTES("fine")};
    const struct page_facts fielded = {
        .settled = true, .charset = CHARSET_UTF_8, .fields = BYTES(PACKED_LANG)};
    const struct page_facts failed = {
        .error = PAGE_INTERNAL, .settled = true, .message = BYTES("failed")};
    struct page_facts bad;

#define ASSERT_REFUSED(good, change)                                                               \
    do {                                                                                           \
        bad = (good);                                                                              \
        bad.change;                                                                                \
        assert_refused(bad);                                                                       \
    } while (0)
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
        ASSERT_REFUSED(titled, title = bytes_cstr(titles[i]));
    ASSERT_REFUSED(titled, title = BYTES("a\0b"));
    ASSERT_REFUSED(titled, has_title = false);
    ASSERT_REFUSED(titled, charset = CHARSET_NONE);
    ASSERT_REFUSED(titled, charset = CHARSET_COUNT);
    ASSERT_REFUSED(titled, settled = false);
    ASSERT_REFUSED(titled, message = BYTES("a message without an error"));
    ASSERT_REFUSED(failed, message = BYTES(""));
    ASSERT_REFUSED(failed, message = BYTES("a\x1b[2J"));
    ASSERT_REFUSED(failed, message = BYTES("caf\xc3\xa9"));
    ASSERT_REFUSED(failed, has_title = true);
    ASSERT_REFUSED(failed, from_prefix = true);
    ASSERT_REFUSED(failed, settled = false);
    ASSERT_REFUSED(failed, error = PAGE_ERROR_COUNT);
    ASSERT_REFUSED(failed, truncated = true);
    ASSERT_REFUSED(failed, fields = BYTES(PACKED_LANG));
    ASSERT_REFUSED(fielded, charset = CHARSET_NONE);
    ASSERT_REFUSED(fielded, settled = false);
    ASSERT_REFUSED(fielded, fields = BYTES(PACKED_IMAGE PACKED_LANG));
    ASSERT_REFUSED(fielded, fields = BYTES(PACKED_LANG "\x04"));
    ASSERT_REFUSED(fielded, fields = BYTES("\x03\0\x01\0\0\0\xff"));
#undef ASSERT_REFUSED
    assert_refused((struct page_facts){.settled = true, .title_truncated = true});
    assert_refused((struct page_facts){.settled = true, .from_prefix = true});
    assert_refused((struct page_facts){.settled = false, .charset = CHARSET_UTF_8});
    assert_refused((struct page_facts){.settled = false, .body_truncated = true});
    assert_refused((struct page_facts){.settled = false, .decoded_bytes = 1});
    assert_refused((struct page_facts){.settled = false, .truncated = true});
}
END_TEST

START_TEST(a_reply_with_what_was_not_asked_for_is_no_answer)
{
    struct page_request request = request_for(BYTES("body"));
    struct page_facts facts = {
        .settled = true, .has_title = true, .charset = CHARSET_UTF_8, .title = BYTES("fine")};

    ck_assert(page_reply_answers(&facts, &request));
    request.fields = FIELD_BIT(FIELD_LANG) | FIELD_BIT(FIELD_OG);
    ck_assert(!page_reply_answers(&facts, &request));
    facts.has_title = false;
    ck_assert(page_reply_answers(&facts, &request));
    facts.fields = BYTES(PACKED_LANG PACKED_IMAGE);
    ck_assert(page_reply_answers(&facts, &request));
    request.fields = FIELD_BIT(FIELD_LANG);
    ck_assert(!page_reply_answers(&facts, &request));
    request.fields = FIELDS_ALL;
    ck_assert(page_reply_answers(&facts, &request));

    facts.settled = false;
    ck_assert(!page_reply_answers(&facts, &request));
    request.is_prefix = true;
    ck_assert(page_reply_answers(&facts, &request));
    facts.from_prefix = true;
    ck_assert(page_reply_answers(&facts, &request));
    request.parse_all = true;
    ck_assert(!page_reply_answers(&facts, &request));
}
END_TEST

START_TEST(the_largest_reply_fits)
{
    static char title[TITLE_MAX], text[PAGE_MESSAGE_MAX], fields[FIELDS_MAX + 1],
        message[PAGE_REPLY_MAX];
    struct page_facts got;
    struct field_writer writer;

    fields_begin(&writer, fields);
    while (fields_put(&writer, FIELD_H1, BYTES(""), BYTES("")))
        continue;
    memset(title, 't', sizeof title);
    memset(text, 'm', sizeof text);
    struct page_facts facts = {.settled = true,
                               .has_title = true,
                               .title_truncated = true,
                               .title = bytes_of(title, sizeof title),
                               .fields = fields_written(&writer),
                               .charset = CHARSET_UTF_8};
    ck_assert_uint_gt(facts.fields.len, FIELDS_MAX - FIELD_ENTRY_HEADER);
    size_t len = page_reply_pack(&facts, message, sizeof message);
    ck_assert_int_eq(page_reply_unpack(bytes_of(message, len), &got), 0);
    ck_assert(facts_equal(&facts, &got));
    facts.fields.len = FIELDS_MAX + 1;
    ck_assert_uint_eq(page_reply_pack(&facts, message, sizeof message), 0);

    facts = (struct page_facts){
        .error = PAGE_INTERNAL, .settled = true, .message = bytes_of(text, sizeof text)};
    len = page_reply_pack(&facts, message, sizeof message);
    ck_assert_int_eq(page_reply_unpack(bytes_of(message, len), &got), 0);
    facts.message.len++;
    ck_assert_uint_eq(page_reply_pack(&facts, message, sizeof message), 0);
}
END_TEST

START_TEST(requests_survive_the_way_to_the_worker)
{
    struct page_request request = request_for(BYTES("body\0with a NUL")), got;
    char slot[256];

    request.content_encoding = BYTES("gzip, br");
    request.url = BYTES("http://a.example/b?c");
    request.fields = FIELD_BIT(FIELD_LANG) | FIELD_BIT(FIELD_JSON_LD);
    request.is_prefix = _i & 1;
    request.parse_all = _i & 2;
    size_t len = page_request_pack(&request, slot, sizeof slot);
    ck_assert_uint_eq(len, page_request_size(&request));
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), 0);
    ck_assert(bytes_equal(got.body, request.body));
    ck_assert(bytes_equal(got.content_encoding, request.content_encoding));
    ck_assert(bytes_equal(got.content_type, request.content_type));
    ck_assert(bytes_equal(got.url, request.url));
    ck_assert_uint_eq(got.fields, request.fields);
    ck_assert_uint_eq(got.max_decoded_bytes, request.max_decoded_bytes);
    ck_assert_uint_eq(got.max_ratio, request.max_ratio);
    ck_assert_int_eq(got.is_prefix, request.is_prefix);
    ck_assert_int_eq(got.parse_all, request.parse_all);

    for (size_t cut = 0; cut < len; cut++)
        ck_assert_int_eq(page_request_unpack(bytes_of(slot, cut), &got), -EBADMSG);
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len + 1), &got), -EBADMSG);
    slot[1] |= 4; /* no such flag */
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), -EBADMSG);
    slot[1] &= 3;
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), 0);
    slot[15] |= 0x20; /* nor such a field */
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), -EBADMSG);
    memset(slot + 14, 0, 4); /* nothing is asked */
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), -EBADMSG);
    slot[14] = 1;
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), 0);
    slot[0]++;
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), -EBADMSG);
}
END_TEST

START_TEST(a_request_that_names_nothing_asks_for_the_title)
{
    struct page_request request = request_for(BYTES("body")), got;
    char slot[256];

    size_t len = page_request_pack(&request, slot, sizeof slot);
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), 0);
    ck_assert_uint_eq(got.fields, FIELD_BIT(FIELD_TITLE));
}
END_TEST

START_TEST(a_request_that_does_not_fit_its_slot_is_not_written)
{
    struct page_request request = request_for(BYTES("body"));
    char slot[256];
    size_t len = page_request_size(&request);

    memset(slot, '#', sizeof slot);
    for (size_t cap = 0; cap < len; cap++)
        ck_assert_uint_eq(page_request_pack(&request, slot, cap), 0);
    ck_assert_int_eq(slot[0], '#');
    request.body.len = SIZE_MAX; /* no overflow on the way */
    ck_assert_uint_eq(page_request_pack(&request, slot, sizeof slot), 0);
}
END_TEST

START_TEST(endless_header_fields_are_cut)
{
    struct page_request request = request_for(BYTES("body")), got;

    for (int i = 0; i < 3 * PAGE_FIELD_MAX; i++)
        buffer_byte(&body, 'f');
    request.content_type = request.content_encoding = buffer_bytes(&body);
    char slot[3 * PAGE_FIELD_MAX];
    size_t len = page_request_pack(&request, slot, sizeof slot);
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), 0);
    ck_assert_uint_eq(got.content_type.len, PAGE_FIELD_MAX);
    ck_assert_uint_eq(got.content_encoding.len, PAGE_FIELD_MAX);
    ck_assert(bytes_equal(got.body, BYTES("body")));
    buffer_free(&body);
}
END_TEST

START_TEST(a_url_that_is_too_long_is_not_sent_at_all)
{
    struct page_request request = request_for(BYTES("body")), got;
    char url[PAGE_URL_MAX + 1], slot[2 * PAGE_URL_MAX];

    memset(url, 'u', sizeof url);
    request.url = bytes_of(url, PAGE_URL_MAX);
    size_t len = page_request_pack(&request, slot, sizeof slot);
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), 0);
    ck_assert(bytes_equal(got.url, request.url));

    request.url.len++;
    len = page_request_pack(&request, slot, sizeof slot);
    ck_assert_uint_eq(len, page_request_size(&request));
    ck_assert_int_eq(page_request_unpack(bytes_of(slot, len), &got), 0);
    ck_assert_uint_eq(got.url.len, 0);
}
END_TEST

Suite *suite_page(void)
{
    Suite *suite = suite_create("page");
    TCase *tc = tcase_create("page");
    TCase *codec = tcase_create("codec");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_plain_page_gives_its_title_and_charset);
    tcase_add_test(tc, a_gzipped_page_is_decoded_before_its_charset_is_settled);
    tcase_add_test(tc, a_truncated_gzip_body_gives_what_came_and_says_so);
    tcase_add_test(tc, fields_of_a_truncated_body_are_not_all_but_for_those_of_its_head);
    tcase_add_test(tc, an_empty_title_differs_from_none);
    tcase_add_test(tc, a_body_of_another_type_is_not_looked_at);
    tcase_add_test(tc, html_types_are_known_in_any_case_and_with_parameters);
    tcase_add_test(tc, of_a_type_that_is_sent_more_than_once_the_last_counts);
    tcase_add_test(tc, without_a_useful_type_the_first_bytes_decide);
    tcase_add_test(tc, an_unknown_coding_is_a_bad_encoding_that_names_it);
    tcase_add_test(tc, a_body_that_is_not_what_its_coding_says_is_a_bad_encoding);
    tcase_add_test(tc, a_page_may_take_so_much_cpu_time);
    tcase_add_test(tc, a_gzip_bomb_meets_the_ratio_limit);
    tcase_add_test(tc, a_page_over_the_byte_limit_is_too_large_with_or_without_a_coding);
    tcase_add_test(tc, a_page_that_takes_too_long_times_out);
    tcase_add_test(tc, a_page_that_takes_too_much_memory_has_crashed);
    tcase_add_test(tc, binary_bodies_called_html_are_survived);
    suite_add_tcase(suite, tc);

    tcase_set_timeout(codec, 60);
    tcase_add_loop_test(codec, facts_survive_the_way_to_the_parent, 0, GOOD_FACTS);
    tcase_add_loop_test(codec, every_truncation_and_extension_of_a_reply_is_refused, 0, GOOD_FACTS);
    tcase_add_loop_test(codec, every_changed_byte_of_a_reply_is_refused_or_harmless, 0, GOOD_FACTS);
    tcase_add_test(codec, random_replies_are_refused_or_harmless);
    tcase_add_test(codec, a_forged_reply_is_refused);
    tcase_add_test(codec, the_largest_reply_fits);
    tcase_add_test(codec, a_reply_with_what_was_not_asked_for_is_no_answer);
    tcase_add_test(codec, a_request_that_names_nothing_asks_for_the_title);
    tcase_add_test(codec, a_url_that_is_too_long_is_not_sent_at_all);
    tcase_add_loop_test(codec, requests_survive_the_way_to_the_worker, 0, 4);
    tcase_add_test(codec, a_request_that_does_not_fit_its_slot_is_not_written);
    tcase_add_test(codec, endless_header_fields_are_cut);
    suite_add_tcase(suite, codec);
    return suite;
}
