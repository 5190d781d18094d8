#include "parsers/page.h"

#include "parsers/bump.h"
#include "parsers/decode.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *code, *message;
} page_errors[] = {
#define PAGE_ERROR_ROW(id, code, message) {code, message},
    PAGE_ERRORS(PAGE_ERROR_ROW)
#undef PAGE_ERROR_ROW
};
static_assert(sizeof page_errors / sizeof page_errors[0] == PAGE_ERROR_COUNT, "one row each");

const char *page_error_code(enum page_error error)
{
    return page_errors[(unsigned)error < PAGE_ERROR_COUNT ? error : PAGE_INTERNAL].code;
}

const char *page_error_message(enum page_error error)
{
    return page_errors[(unsigned)error < PAGE_ERROR_COUNT ? error : PAGE_INTERNAL].message;
}

struct page_parser {
    struct bump bump;
    struct decoder *decoder;
    char message[PAGE_MESSAGE_MAX]; /* of the latest error */
};

int page_parser_create(size_t arena_bytes, struct page_parser **ret)
{
    struct page_parser *pp = calloc(1, sizeof *pp);
    int rc = -ENOMEM;

    if (!pp)
        return rc;
    pp->decoder = decoder_create();
    if (pp->decoder)
        rc = bump_init(&pp->bump, arena_bytes > 0 ? arena_bytes : BUMP_LIMIT_DEFAULT);
    if (rc < 0) {
        page_parser_destroy(pp);
        return rc;
    }
    *ret = pp;
    return 0;
}

void page_parser_destroy(struct page_parser *pp)
{
    if (!pp)
        return;
    decoder_destroy(pp->decoder);
    bump_fini(&pp->bump);
    free(pp);
}

/* -- is it HTML? ---------------------------------------------------------------------------------
 */

enum looks { NOT_HTML, IS_HTML, UNKNOWN };

/* By its media type, the part of Content-Type before the parameters. */
static enum looks looks_by_type(struct bytes content_type)
{
    static const struct {
        struct bytes type;
        enum looks looks;
    } types[] = {
        {{"text/html", 9}, IS_HTML},
        {{"application/xhtml+xml", 21}, IS_HTML},
        /* MIME Sniffing, section 7: as good as none. */
        {{"", 0}, UNKNOWN},
        {{"unknown/unknown", 15}, UNKNOWN},
        {{"application/unknown", 19}, UNKNOWN},
        {{"*/*", 3}, UNKNOWN},
    };
    struct bytes type = {0};

    if (content_type.ptr)
        type = bytes_trim(bytes_split(&content_type, ';'));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (bytes_equal_nocase(type, types[i].type))
            return types[i].looks;
    /* Without a slash it is no media type at all. */
    return memchr(type.ptr, '/', type.len) ? NOT_HTML : UNKNOWN;
}

/* By its beginning: MIME Sniffing, section 7.1, the rows for text/html. */
static bool looks_by_content(struct bytes text)
{
    static const struct bytes tags[] = {
        {"<!DOCTYPE HTML", 14},
        {"<HTML", 5},
        {"<HEAD", 5},
        {"<SCRIPT", 7},
        {"<IFRAME", 7},
        {"<H1", 3},
        {"<DIV", 4},
        {"<FONT", 5},
        {"<TABLE", 6},
        {"<A", 2},
        {"<STYLE", 6},
        {"<TITLE", 6},
        {"<B", 2},
        {"<BODY", 5},
        {"<BR", 3},
        {"<P", 2},
        {"<!--", 4},
    };

    while (text.len > 0 && ascii_is_space(text.ptr[0]))
        text = bytes_of(text.ptr + 1, text.len - 1);
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        size_t len = tags[i].len;
        if (text.len > len && bytes_equal_nocase(bytes_of(text.ptr, len), tags[i]) &&
            (text.ptr[len] == ' ' || text.ptr[len] == '>'))
            return true;
    }
    return false;
}

/* -- the steps -----------------------------------------------------------------------------------
 */

static void fail(struct page_facts *ret, enum page_error error)
{
    *ret = (struct page_facts){.error = error, .message = bytes_cstr(page_error_message(error))};
}

/* Fails with a message of its own; `format` as in printf. */
static void __attribute__((format(printf, 4, 5)))
fail_with(struct page_parser *pp, struct page_facts *ret, enum page_error error, const char *format,
          ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(pp->message, sizeof pp->message, format, args);
    va_end(args);
    if (len < 0)
        len = 0;
    if ((size_t)len >= sizeof pp->message)
        len = sizeof pp->message - 1;
    *ret = (struct page_facts){.error = error, .message = bytes_of(pp->message, (size_t)len)};
}

enum { CODING_SHOWN = 40 }; /* bytes of a coding's name in a message */

/* Writes a coding's name for a message: what is not printable ASCII becomes '?'. */
static void show_coding(struct bytes name, char ret[CODING_SHOWN + 1])
{
    size_t len = name.len < CODING_SHOWN ? name.len : CODING_SHOWN;

    for (size_t i = 0; i < len; i++)
        ret[i] = (char)(name.ptr[i] >= 0x20 && name.ptr[i] < 0x7f ? name.ptr[i] : '?');
    ret[len] = '\0';
}

static void fail_decoding(struct page_parser *pp, const struct page_request *in, int error,
                          struct page_facts *ret)
{
    char coding[CODING_SHOWN + 1];

    show_coding(decoder_coding(pp->decoder), coding);
    switch (error) {
    case -EPROTONOSUPPORT:
        fail_with(pp, ret, PAGE_BAD_ENCODING, "Content-Encoding \"%s\" is not supported", coding);
        break;
    case -EILSEQ:
        fail_with(pp, ret, PAGE_BAD_ENCODING, "The body is not in its Content-Encoding \"%s\"",
                  coding);
        break;
    case -EFBIG:
        fail_with(pp, ret, PAGE_BODY_TOO_LARGE, "The decoded body is larger than %" PRIu64 " bytes",
                  in->max_decoded_bytes);
        break;
    case -EOVERFLOW:
        fail_with(pp, ret, PAGE_BODY_TOO_LARGE,
                  "The decoded body is more than %" PRIu32 " times as large as received",
                  in->max_ratio);
        break;
    case -ETIMEDOUT:
        fail(ret, PAGE_PARSE_TIMEOUT);
        break;
    case -ENOMEM:
        fail(ret, PAGE_OUT_OF_MEMORY);
        break;
    default:
        fail(ret, PAGE_INTERNAL);
    }
}

/* Reads the whole decoded body into the arena; one without a coding is taken where it is. */
static int decode_body(struct page_parser *pp, const struct page_request *in, struct bytes *ret)
{
    const struct decode_limits limits = {in->max_decoded_bytes, in->max_ratio, in->deadline_ns};
    size_t len = 0, capacity = 0, got;
    int rc = decoder_begin(pp->decoder, in->body, in->content_encoding, &limits);

    if (rc < 0)
        return rc;
    if (decoder_is_identity(pp->decoder)) {
        *ret = in->body;
        return in->body.len > in->max_decoded_bytes ? -EFBIG : 0;
    }
    char *text = bump_alloc(&pp->bump, 0);
    do {
        if (capacity - len < DECODE_CHUNK) {
            bump_resize_last(&pp->bump, text, capacity, len + DECODE_CHUNK);
            capacity = len + DECODE_CHUNK;
        }
        rc = decoder_read(pp->decoder, text + len, capacity - len, &got);
        if (rc < 0)
            return rc;
        len += got;
    } while (got > 0);
    bump_resize_last(&pp->bump, text, capacity, len);
    *ret = bytes_of(text, len);
    return 0;
}

/* The whole way; leaves through the arena's escape when the page takes too much. */
static void parse(struct page_parser *pp, const struct page_request *in, struct page_facts *ret)
{
    enum looks looks = looks_by_type(in->content_type);
    struct page_facts facts = {.error = PAGE_OK};
    struct bytes decoded, text;
    struct title title = {0};

    if (looks == NOT_HTML) {
        *ret = facts;
        return;
    }
    int rc = decode_body(pp, in, &decoded);
    if (rc < 0) {
        fail_decoding(pp, in, rc, ret);
        return;
    }
    facts.decoded_bytes = decoded.len;
    facts.body_truncated = decoder_cut(pp->decoder);

    enum charset charset =
        charset_to_utf8(&pp->bump, decoded, in->content_type, facts.body_truncated, &text);
    if (looks == IS_HTML || looks_by_content(text)) {
        facts.charset = charset;
        title_find(&pp->bump, text, &title);
    }
    facts.has_title = title.found;
    facts.title_truncated = title.truncated;
    facts.title = title.text;
    *ret = facts;
}

enum page_error page_parse(struct page_parser *pp, const struct page_request *in,
                           struct page_facts *ret)
{
    bump_begin(&pp->bump, in->deadline_ns);

    switch (setjmp(pp->bump.escape)) {
    case BUMP_STOP_NONE:
        parse(pp, in, ret);
        break;
    case BUMP_STOP_DEADLINE:
        fail(ret, PAGE_PARSE_TIMEOUT);
        break;
    case BUMP_STOP_MEMORY:
        fail_with(pp, ret, PAGE_OUT_OF_MEMORY, "Parsing the page took more memory than %zu bytes",
                  pp->bump.limit);
        break;
    case BUMP_STOP_STACK:
        fail_with(pp, ret, PAGE_OUT_OF_MEMORY, "Parsing the page took more stack than %d bytes",
                  (int)BUMP_STACK_LIMIT);
        break;
    }
    return ret->error;
}
