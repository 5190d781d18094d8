#include "parsers/page.h"

#include "core/base/hash.h"
#include "parsers/bump.h"
#include "parsers/decode.h"
#include "parsers/multi_byte.h"
#include "parsers/prefix.h"
#include "parsers/sniff.h"
#include "parsers/source.h"

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
    struct multi_byte *multi_byte;
    char title[TITLE_MAX];          /* of the latest page */
    char fields[FIELDS_MAX];        /* the same */
    char message[PAGE_MESSAGE_MAX]; /* of the latest error */
};

int page_parser_create(size_t arena_bytes, struct page_parser **ret)
{
    struct page_parser *pp = calloc(1, sizeof *pp);
    int rc = -ENOMEM;

    if (!pp)
        return rc;
    hash_keyed("", 0); /* makes the key, which no sandbox lets it */
    pp->decoder = decoder_create();
    if (pp->decoder)
        rc = multi_byte_open(&pp->multi_byte);
    if (rc == 0)
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
    multi_byte_close(pp->multi_byte);
    bump_fini(&pp->bump);
    free(pp);
}

bool page_wants_type(struct bytes content_type)
{
    return sniff_type(content_type) != SNIFF_NOT_HTML;
}

/* -- the steps -----------------------------------------------------------------------------------
 */

static void fail(struct page_facts *ret, enum page_error error)
{
    *ret = (struct page_facts){
        .error = error, .message = bytes_cstr(page_error_message(error)), .settled = true};
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
    *ret = (struct page_facts){
        .error = error, .message = bytes_of(pp->message, (size_t)len), .settled = true};
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

/* What the beginning of the page looks like; SNIFF_UNKNOWN when there is too little of it. */
static int sniff_source(struct source *source, enum sniff *ret)
{
    *ret = SNIFF_UNKNOWN;
    for (size_t len = SOURCE_FIRST; *ret == SNIFF_UNKNOWN; len *= 2) {
        int rc = source_read(source, len);
        if (rc < 0)
            return rc;
        const size_t mark = bump_mark(source->bump);
        bool all = source->ended && source->raw.len <= len;
        struct bytes text, part = all ? source->raw : bytes_of(source->raw.ptr, len);

        rc = source_text(source, part, source_charset(source, part), &text);
        if (rc < 0)
            return rc;
        if (source->has_looked) /* a mark may be in front */
            *ret = sniff_text(text);
        bump_rewind(source->bump, mark);
        if (all)
            break;
    }
    return 0;
}

/* The whole way; leaves through the arena's escape when the page takes too much. */
static void parse(struct page_parser *pp, const struct page_request *in, struct page_facts *ret)
{
    struct source source = {
        .bump = &pp->bump, .decoder = pp->decoder, .multi_byte = pp->multi_byte};
    struct prefix page = {.settled = true};
    enum sniff looks = sniff_type(in->content_type);

    if (looks == SNIFF_NOT_HTML) {
        *ret = (struct page_facts){.settled = true};
        return;
    }
    int rc = source_begin(&source, in);
    if (rc == 0 && looks == SNIFF_UNKNOWN)
        rc = sniff_source(&source, &looks);
    if (rc == 0 && looks == SNIFF_HTML)
        rc = prefix_read(&source, in->parse_all, pp->title, pp->fields, &page);
    if (rc == -EOPNOTSUPP) {
        fail_with(pp, ret, PAGE_BAD_ENCODING, "Pages in the charset \"%s\" are not read",
                  charset_name(source_charset(&source, source.raw)));
        return;
    }
    if (rc < 0) {
        fail_decoding(pp, in, rc, ret);
        return;
    }
    if (!page.settled || (looks == SNIFF_UNKNOWN && in->is_prefix)) {
        *ret = (struct page_facts){.settled = false};
        return;
    }
    bool cut = !in->is_prefix && decoder_cut(pp->decoder);
    *ret = (struct page_facts){
        .settled = true,
        .from_prefix = page.from_prefix,
        .has_title = page.title.found,
        .title_truncated = page.title.truncated,
        .body_truncated = cut,
        .charset = page.charset,
        .truncated = page.truncated || (cut && looks == SNIFF_HTML && !page.from_prefix),
        .title = page.title.text,
        .fields = page.fields,
        .decoded_bytes = source.raw.len,
    };
}

enum page_error page_parse(struct page_parser *pp, const struct page_request *in,
                           struct page_facts *ret)
{
    bump_begin(&pp->bump, in->deadline_ns);
    if (in->max_cpu_ms > 0)
        bump_limit_cpu(&pp->bump, in->max_cpu_ms * NS_PER_MS);

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
    /* The whole body gets a time and a memory of its own. */
    if (in->is_prefix && (ret->error == PAGE_PARSE_TIMEOUT || ret->error == PAGE_OUT_OF_MEMORY))
        *ret = (struct page_facts){.settled = false};
    return ret->error;
}
