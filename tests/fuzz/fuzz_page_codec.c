/*
 * Messages between the daemon and its workers: the first byte says whether the rest is taken for a
 * request ('q') or a reply. There is one way to write a message: what is read is written again to
 * the same bytes.
 */
#include "parsers/page_codec.h"
#include "tests/fuzz/fuzz.h"

static void check_request(struct bytes message)
{
    struct page_request request;

    if (page_request_unpack(message, &request) < 0)
        return;
    char *again = malloc(message.len);
    FUZZ_CHECK(again);
    FUZZ_CHECK(page_request_size(&request) == message.len);
    FUZZ_CHECK(page_request_pack(&request, again, message.len - 1) == 0);
    FUZZ_CHECK(page_request_pack(&request, again, message.len) == message.len);
    FUZZ_CHECK(memcmp(again, message.ptr, message.len) == 0);
    free(again);
}

/* The writer would have written the same. */
static void check_fields(struct bytes packed)
{
    static char buffer[FIELDS_MAX];
    struct field_writer writer;
    struct bytes rest = packed;
    struct field_entry e;

    fields_begin(&writer, buffer);
    while (fields_next(&rest, &e))
        FUZZ_CHECK(fields_put(&writer, e.field, e.key, e.value));
    FUZZ_CHECK(rest.len == 0 && !writer.truncated);
    FUZZ_CHECK(bytes_equal(fields_written(&writer), packed));
}

static void check_reply(struct bytes message)
{
    struct page_facts facts;

    if (page_reply_unpack(message, &facts) < 0)
        return;
    char *again = malloc(message.len);
    FUZZ_CHECK(again);
    FUZZ_CHECK(message.len <= PAGE_REPLY_MAX);
    FUZZ_CHECK(page_reply_pack(&facts, again, message.len - 1) == 0);
    FUZZ_CHECK(page_reply_pack(&facts, again, message.len) == message.len);
    FUZZ_CHECK(memcmp(again, message.ptr, message.len) == 0);
    FUZZ_CHECK(utf8_valid(facts.title) && fuzz_is_line(facts.message));
    FUZZ_CHECK((facts.error == PAGE_OK) == (facts.message.len == 0));
    FUZZ_CHECK(facts.has_title || facts.title.len == 0);
    FUZZ_CHECK(facts.fields.len == 0 || (facts.error == PAGE_OK && facts.settled));
    check_fields(facts.fields);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes message = bytes_of((const char *)data + 1, size - 1);

    if (data[0] == 'q')
        check_request(message);
    else
        check_reply(message);
    return 0;
}
