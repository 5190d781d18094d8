/*
 * What the beginning of a page tells, against a parse of the whole: input is Content-Type,
 * Content-Encoding, a line whose first byte says where to cut and the next two what is asked, and
 * the body.
 *
 * Whatever a page tells with as little of it as needed, and whatever a beginning of its body is
 * said to settle, a parse of all of it must tell too. So must a title be that is certain in a
 * beginning of a text, and what a scan of the head finds.
 */
#include "core/base/clock.h"
#include "parsers/bump.h"
#include "parsers/head_scan.h"
#include "parsers/html.h"
#include "parsers/late_meta.h"
#include "parsers/page.h"
#include "parsers/title_text.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA = 8 << 20, DEADLINE_MS = 1000, DECODED_MAX = 1 << 20, RATIO_MAX = 1000 };

struct told {
    struct page_facts facts;
    char title[TITLE_MAX], fields[FIELDS_MAX];
};

static void parse(struct page_request request, struct told *ret)
{
    static struct page_parser *parser;

    FUZZ_CHECK(parser || page_parser_create(ARENA, &parser) == 0);
    request.deadline_ns = clock_after_ms(clock_now_ns(), DEADLINE_MS);
    page_parse(parser, &request, &ret->facts);
    if (ret->facts.title.len > 0)
        memcpy(ret->title, ret->facts.title.ptr, ret->facts.title.len);
    ret->facts.title.ptr = ret->title;
    if (ret->facts.fields.len > 0)
        memcpy(ret->fields, ret->facts.fields.ptr, ret->facts.fields.len);
    ret->facts.fields.ptr = ret->fields;
}

/* Too much time or memory: a parse of less may do without. */
static bool was_stopped(const struct told *t)
{
    return t->facts.error == PAGE_PARSE_TIMEOUT || t->facts.error == PAGE_OUT_OF_MEMORY;
}

static void check_same(const struct told *part, const struct told *whole, bool coded)
{
    const struct page_facts *a = &part->facts, *b = &whole->facts;

    if (was_stopped(part) || was_stopped(whole))
        return;
    /* What is wrong with a coding behind what was read of it does not show. */
    FUZZ_CHECK(a->error == b->error || (coded && a->error == PAGE_OK && a->from_prefix));
    if (b->error != PAGE_OK)
        return;
    FUZZ_CHECK(a->has_title == b->has_title && a->title_truncated == b->title_truncated);
    FUZZ_CHECK(a->charset == b->charset && bytes_equal(a->title, b->title));
    if (!a->truncated && !b->truncated) /* by the same limits: of less memory, one may be */
        FUZZ_CHECK(bytes_equal(a->fields, b->fields));
}

static bool has(struct bytes text, const char *word)
{
    size_t len = strlen(word);

    for (size_t at = 0; at + len <= text.len; at++)
        if (strncasecmp(text.ptr + at, word, len) == 0)
            return true;
    return false;
}

/* The title of a text that is well-formed; false when the arena is too small for it. */
static bool title_of_text(struct bump *bump, struct bytes text, struct title *ret)
{
    if (setjmp(bump->escape))
        return false;
    title_find(bump, text, ret);
    return true;
}

/* The charset that a text declares, likewise. */
static bool charset_of_text(struct bump *bump, struct bytes text, enum charset *ret)
{
    struct html tree;

    if (setjmp(bump->escape))
        return false;
    html_parse(bump, text, &tree);
    *ret = late_meta(bump, &tree);
    return true;
}

/* What a scan of the head finds, in two pieces, is what the tree has. */
static void check_scan(struct bump *bump, struct bytes text, size_t len, const struct title *whole)
{
    static char buffer[TITLE_MAX];
    struct head_scan scan = {.wants_charset = true};
    struct bytes title;
    enum charset declared;

    head_scan(&scan, bytes_of(text.ptr, len));
    head_scan(&scan, text);
    if (scan.has_title) {
        struct bytes source =
            bytes_of(text.ptr + scan.title_start, scan.title_end - scan.title_start);
        FUZZ_CHECK(whole->certain == TITLE_CERTAIN);
        if (title_text(source, buffer, &title))
            FUZZ_CHECK(bytes_equal(title, whole->text) && !whole->truncated);
    }
    /* That it is the first of all, or that none is declared so far. */
    size_t end = scan.charset != CHARSET_NONE ? text.len : scan.at;
    if (charset_of_text(bump, bytes_of(text.ptr, end), &declared))
        FUZZ_CHECK(declared == scan.charset);
}

static void check_text(struct bytes text, size_t len)
{
    static struct bump bump;
    struct title whole, part;

    FUZZ_CHECK(bump.base || bump_init(&bump, ARENA) == 0);
    while (len < text.len && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
        len++;
    bump_begin(&bump, clock_after_ms(clock_now_ns(), DEADLINE_MS));
    if (!title_of_text(&bump, text, &whole))
        return;
    check_scan(&bump, text, len, &whole);
    if (!title_of_text(&bump, bytes_of(text.ptr, len), &part))
        return;
    if (part.certain == TITLE_UNCERTAIN ||
        (part.certain == TITLE_UNLESS_FRAMESET && has(text, "<frameset")))
        return;
    FUZZ_CHECK(whole.found && whole.truncated == part.truncated);
    FUZZ_CHECK(bytes_equal(whole.text, part.text));
}

static void check_page(struct page_request request, size_t len)
{
    static struct told whole, told;
    bool coded = request.content_encoding.len > 0;

    request.parse_all = true;
    parse(request, &whole);
    request.parse_all = false;
    parse(request, &told);
    check_same(&told, &whole, coded);
    request.is_prefix = true;
    request.body.len = len;
    parse(request, &told);
    if (told.facts.settled)
        check_same(&told, &whole, coded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of((const char *)data, size);
    struct page_request request = {.max_decoded_bytes = DECODED_MAX, .max_ratio = RATIO_MAX};

    request.content_type = fuzz_field(&rest, '\n');
    request.content_encoding = fuzz_field(&rest, '\n');
    struct bytes cut = rest.ptr ? bytes_split(&rest, '\n') : BYTES("");
    request.body = rest.ptr ? rest : BYTES("");
    if (cut.len > 2)
        request.fields =
            ((unsigned char)cut.ptr[1] | (unsigned)(unsigned char)cut.ptr[2] << 8) & FIELDS_ALL;
    request.url = BYTES("http://a.example/there/?page");
    size_t len = cut.len > 0 ? (unsigned char)cut.ptr[0] * request.body.len / 256 : 0;

    if (utf8_valid(request.body))
        check_text(request.body, len);
    check_page(request, len);
    fuzz_free(request.content_type);
    fuzz_free(request.content_encoding);
    return 0;
}
