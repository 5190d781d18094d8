/*
 * The head of a request: input is method and target, each on a line of its own, then a line "name:
 * value" for each field. A head with a body of two lengths, or of none that can be told, is
 * refused.
 */
#include "server/http/head.h"
#include "tests/fuzz/fuzz.h"

static bool is_within(struct bytes part, struct bytes whole)
{
    return part.len == 0 || bytes_equal(part, BYTES("/")) ||
           (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_of((const char *)data, size), path, query;
    struct bytes method = fuzz_field(&rest, '\n'), target = fuzz_field(&rest, '\n');
    struct http_head head = {.http_1_0 = size % 2 == 0};
    struct problem problem;

    while (rest.ptr) {
        struct bytes value = fuzz_field(&rest, '\n'), line = value;
        struct bytes name = bytes_split(&line, ':');

        http_head_field(&head, name, bytes_trim(line));
        fuzz_free(value);
    }
    if (http_head_check(&head, method, target, &problem)) {
        FUZZ_CHECK(head.hosts <= 1 && head.content_lengths <= 1 && !head.fault);
        FUZZ_CHECK(!head.chunked || (head.content_lengths == 0 && head.transfer_encodings == 1));
        FUZZ_CHECK(!http_head_has_body(&head) || head.chunked || head.content_length > 0);
        http_target_split(target, &path, &query);
        FUZZ_CHECK(is_within(path, target) && is_within(query, target));
    } else {
        fuzz_problem(&problem);
    }
    fuzz_free(method);
    fuzz_free(target);
    return 0;
}
