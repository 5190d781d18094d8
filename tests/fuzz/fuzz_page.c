/*
 * A page through the whole parser: input is Content-Type, Content-Encoding and body, each on a line
 * of its own but the last. What comes out must be fit for the daemon, the same when the page is
 * parsed again (nothing of one body stays behind for the next), and there within twice the
 * deadline.
 */
#include "core/base/clock.h"
#include "parsers/page_codec.h"
#include "tests/fuzz/fuzz.h"

#include <time.h>

enum { ARENA = 4 << 20, DEADLINE_MS = 100, DECODED_MAX = 1 << 20, RATIO_MAX = 1000 };

static uint64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Parses and writes the reply to `ret`, which the daemon must accept. */
static struct bytes parse(struct page_parser *parser, struct page_request *request,
                          char ret[static PAGE_REPLY_MAX])
{
    struct page_facts facts, unpacked;
    uint64_t start = cpu_ns();

    request->deadline_ns = clock_after_ms(clock_now_ns(), DEADLINE_MS);
    FUZZ_CHECK(page_parse(parser, request, &facts) == facts.error);
    FUZZ_CHECK(cpu_ns() - start < 2 * DEADLINE_MS * NS_PER_MS);
    FUZZ_CHECK(facts.error != PAGE_INTERNAL && facts.decoded_bytes <= DECODED_MAX);

    size_t len = page_reply_pack(&facts, ret, PAGE_REPLY_MAX);
    FUZZ_CHECK(len > 0 && page_reply_unpack(bytes_of(ret, len), &unpacked) == 0);
    FUZZ_CHECK(page_reply_answers(&unpacked, request));
    /* Whether there was time enough is not the same from run to run. */
    return facts.error == PAGE_PARSE_TIMEOUT || facts.truncated ? bytes_of(NULL, 0)
                                                                : bytes_of(ret, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct page_parser *parser; /* one for all, as in a worker */
    static char reply[2][PAGE_REPLY_MAX];
    struct bytes rest = bytes_of((const char *)data, size);
    struct page_request request = {.max_decoded_bytes = DECODED_MAX, .max_ratio = RATIO_MAX};

    FUZZ_CHECK(parser || page_parser_create(ARENA, &parser) == 0);
    request.content_type = fuzz_field(&rest, '\n');
    request.content_encoding = fuzz_field(&rest, '\n');
    request.body = rest;
    request.url = BYTES("http://a.example/there/?page");
    request.fields = (field_set)size * 2654435761u >> 16 & FIELDS_ALL; /* any */
    struct bytes once = parse(parser, &request, reply[0]);
    struct bytes again = parse(parser, &request, reply[1]);
    FUZZ_CHECK(!once.ptr || !again.ptr || bytes_equal(once, again));
    fuzz_free(request.content_type);
    fuzz_free(request.content_encoding);
    return 0;
}
