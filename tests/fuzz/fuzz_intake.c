/*
 * A batch as a client sends it: input is Content-Type, then on the next line the body. What is
 * taken must be what jansson finds in the body as a whole; a refusal leaves everything as it was.
 */
#include "server/batch/intake.h"
#include "tests/fuzz/fuzz.h"

static void check_list(const struct url_list *list, const struct config *limits)
{
    FUZZ_CHECK(list->count > 0 && list->count <= limits->max_batch_urls);
    for (size_t i = 0; i < list->count; i++) {
        struct bytes url = url_list_url(list, i), id = url_list_id(list, i);

        FUZZ_CHECK(url.ptr + url.len + id.len <= list->storage.ptr + list->storage.len);
        FUZZ_CHECK(fuzz_is_line(id));
        if (id.len > 0)
            json_decref(fuzz_json(id));
    }
}

/* For a body whose type is JSON: the number of its items, or 0 where it is no JSON. */
static size_t items(struct bytes body)
{
    if (body.len >= 3 && memcmp(body.ptr, "\xef\xbb\xbf", 3) == 0)
        body = bytes_of(body.ptr + 3, body.len - 3);
    json_t *whole = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    size_t count = json_array_size(json_is_object(whole) ? json_object_get(whole, "urls") : whole);

    json_decref(whole);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config limits = {
        .max_batch_urls = 100, .max_body_bytes = 1 << 16, .user_agent = "a", .timeout_ms = 9};
    struct bytes rest = bytes_of((const char *)data, size), type = fuzz_field(&rest, '\n');
    struct buffer body = {malloc(rest.len ? rest.len : 1), rest.len, rest.len, false};
    struct url_list list = {0};
    struct batch_options options;
    struct problem problem;

    FUZZ_CHECK(body.ptr);
    if (rest.ptr)
        memcpy(body.ptr, rest.ptr, rest.len);
    options_init(&options, &limits);
    if (intake_parse(&body, type, &limits, &options, &list, &problem) == 0) {
        check_list(&list, &limits);
        FUZZ_CHECK(!body.ptr && options.timeout_ms <= limits.timeout_ms);
        FUZZ_CHECK(!bytes_equal(type, BYTES("application/json")) || items(rest) == list.count);
    } else {
        FUZZ_CHECK(bytes_equal(buffer_bytes(&body), rest) && !list.entries && !list.storage.ptr);
        fuzz_problem(&problem);
    }
    url_list_free(&list);
    options_free(&options);
    buffer_free(&body);
    fuzz_free(type);
    return 0;
}
