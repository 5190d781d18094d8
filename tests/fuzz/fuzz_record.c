/*
 * What skimd writes from bytes that others chose: JSON strings, quotations, records and problems,
 * read back by jansson. Input is three texts, each on a line of its own but the last.
 */
#include "server/batch/record.h"
#include "server/json.h"
#include "tests/fuzz/fuzz.h"

static void check_string(const json_t *read, struct bytes text)
{
    struct bytes value = bytes_of(json_string_value(read), json_string_length(read));

    FUZZ_CHECK(json_is_string(read) && utf8_valid(value));
    FUZZ_CHECK(utf8_valid(text) == bytes_equal(value, text));
}

static void check_quote(struct bytes text)
{
    char quoted[PROBLEM_QUOTE_SIZE];
    struct bytes line = bytes_cstr(problem_quote(quoted, text));
    struct problem problem;

    FUZZ_CHECK(line.len < sizeof quoted && fuzz_is_line(line) && utf8_valid(line));
    FUZZ_CHECK(!memchr(line.ptr, 0x7f, line.len));
    problem_set(&problem, PROBLEM_INVALID_ITEM, "urls", "%s, %s, %s", quoted, quoted, quoted);
    fuzz_problem(&problem);
}

/* It refuses what is well-formed: half a surrogate pair, numbers beyond its own, names twice. */
static bool jansson_reads(struct bytes text)
{
    json_t *value = json_loadb(text.ptr, text.len,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);

    json_decref(value);
    return value;
}

/* As many fields as will have these texts. */
static struct bytes packed(struct bytes key, struct bytes value)
{
    static char buffer[FIELDS_MAX];
    struct field_writer writer;

    fields_begin(&writer, buffer);
    for (unsigned f = FIELD_TITLE + 1; f < FIELD_COUNT; f++) {
        if (f == FIELD_JSON_LD && !jansson_reads(value))
            continue;
        fields_put(&writer, (enum field)f, bytes_of(NULL, 0), value);
        fields_put(&writer, (enum field)f, key, value);
        fields_put(&writer, (enum field)f, BYTES("url"), value);
        fields_put(&writer, (enum field)f, key, key);
        fields_put(&writer, (enum field)f, BYTES("url"), BYTES("http://a/"));
    }
    return fields_written(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes title = bytes_of((const char *)data, size);
    struct bytes url = fuzz_field(&title, '\n'), id = fuzz_field(&title, '\n');
    struct buffer id_json = {0}, out = {0};
    bool ok = size % 3 > 0;

    json_write_string(&id_json, id);
    struct record record = {.url = url, .id = buffer_bytes(&id_json), .final_url = url};
    record.status = ok ? RECORD_OK : RECORD_FAILED;
    record.fields = FIELDS_ALL;
    record.packed_fields = packed(id, title);
    record.truncated = record.has_title = true;
    record.title = record.error_message = title;
    record_write(&out, &record);
    FUZZ_CHECK(!out.failed && out.ptr[out.len - 1] == '\n');
    FUZZ_CHECK(fuzz_is_line(bytes_of(out.ptr, out.len - 1)));
    json_t *read = fuzz_json(buffer_bytes(&out)), *error = json_object_get(read, "error");
    check_string(json_object_get(read, "url"), url);
    check_string(json_object_get(read, "id"), id);
    FUZZ_CHECK(!ok || json_object_get(read, "json_ld"));
    check_string(ok ? json_object_get(read, "title") : json_object_get(error, "message"), title);
    check_quote(title);
    json_decref(read);
    buffer_free(&id_json);
    buffer_free(&out);
    fuzz_free(url);
    fuzz_free(id);
    return 0;
}
