/*
 * JSON texts. What is accepted is read alike by jansson before and after, as far as it reads such
 * texts, and is compact then.
 */
#include "core/base/json_text.h"
#include "tests/fuzz/fuzz.h"

static json_t *read_text(struct bytes text, json_error_t *ret_error)
{
    return json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, ret_error);
}

/* How deep arrays and objects are in each other at the most, for a text that is JSON. */
static size_t depth_of(json_t *value)
{
    size_t deepest = 0, i;
    json_t *inner;
    const char *name;

    json_array_foreach(value, i, inner)
    {
        size_t depth = depth_of(inner);
        deepest = depth > deepest ? depth : deepest;
    }
    json_object_foreach(value, name, inner)
    {
        size_t depth = depth_of(inner);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + (json_is_array(value) || json_is_object(value));
}

/* What jansson refuses beyond RFC 8259. */
static bool refuses_more(struct bytes text, const json_error_t *error)
{
    enum json_error_code code = json_error_code(error);

    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
           memmem(text.ptr, text.len, "\\ud", 3) || memmem(text.ptr, text.len, "\\uD", 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of((const char *)data, size);
    char *compacted = malloc(size ? size : 1);
    json_error_t error;

    FUZZ_CHECK(compacted);
    if (size > 0)
        memcpy(compacted, data, size);
    size_t len = json_text_compact(bytes_of(compacted, size), compacted);
    struct bytes compact = bytes_of(compacted, len);
    /* jansson takes a NUL behind the value for the end. */
    bool nul = size > 0 && memchr(data, '\0', size);
    json_t *before = nul ? NULL : read_text(text, &error);
    FUZZ_CHECK(!nul || len == 0);
    FUZZ_CHECK(len <= size && json_text_is_compact(text) == (len > 0 && len == size));
    if (len > 0) {
        FUZZ_CHECK(json_text_is_compact(compact) && utf8_valid(compact));
        FUZZ_CHECK(before || refuses_more(text, &error));
    }
    if (before && len > 0) {
        json_t *after = read_text(compact, &error);
        FUZZ_CHECK(json_equal(before, after));
        json_decref(after);
    } else if (before) {
        /* Names that stand twice hide what the first of them had. */
        json_t *unique = json_loadb(
            text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        FUZZ_CHECK(!unique || depth_of(unique) > JSON_TEXT_DEPTH_MAX);
        json_decref(unique);
    }
    json_decref(before);
    free(compacted);
    return 0;
}
