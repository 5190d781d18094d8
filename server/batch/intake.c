#include "server/batch/intake.h"

#include "server/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum body_form { FORM_UNKNOWN, FORM_TEXT, FORM_NDJSON, FORM_JSON };

struct intake {
    struct bytes body; /* without a byte order mark */
    const char *at;    /* what was read of it */
    const char *end;
    const struct config *limits;
    struct batch_options *options;
    struct url_list *list;
    struct problem *problem;
};

/* What jansson is asked for: one value, wherever it ends. */
enum {
    JSON_ITEM = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK
};

/* -- the list ---------------------------------------------------------------------------------- */

static int out_of_memory(struct intake *in)
{
    return problem_set(in->problem, PROBLEM_OUT_OF_MEMORY, NULL, "%s", "");
}

/* Adds an entry; its bytes are in the storage, or will be. */
static int add_entry(struct intake *in, struct url_entry entry)
{
    struct url_list *list = in->list;

    if (list->count >= in->limits->max_batch_urls)
        return problem_set(in->problem, PROBLEM_TOO_MANY_URLS, NULL,
                           "a batch may have %llu URLs (--max-batch-urls)",
                           (unsigned long long)in->limits->max_batch_urls);
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct url_entry *grown = reallocarray(list->entries, capacity, sizeof *grown);

        if (!grown)
            return out_of_memory(in);
        list->entries = grown;
        list->capacity = capacity;
    }
    list->entries[list->count++] = entry;
    return 0;
}

void url_list_free(struct url_list *list)
{
    buffer_free(&list->storage);
    free(list->entries);
    *list = (struct url_list){0};
}

/* -- text -------------------------------------------------------------------------------------- */

/* The entries count from the start of the body's own buffer, which becomes the storage. */
static int read_text(struct intake *in, const char *storage)
{
    struct bytes rest = in->body;

    while (rest.len > 0) {
        struct bytes line = bytes_trim(bytes_split(&rest, '\n'));

        if (line.len == 0 || line.ptr[0] == '#')
            continue;
        int error = add_entry(in, (struct url_entry){.offset = (size_t)(line.ptr - storage),
                                                     .url_len = (uint32_t)line.len});
        if (error < 0)
            return error;
    }
    return 0;
}

/* -- JSON values ------------------------------------------------------------------------------- */

/* Says where in the body `at` is, and what is wrong there. */
static int malformed(struct intake *in, const char *at, const char *what)
{
    size_t line = 1;
    const char *line_start = in->body.ptr, *newline;

    while ((newline = memchr(line_start, '\n', (size_t)(at - line_start)))) {
        line_start = newline + 1;
        line++;
    }
    return problem_set(in->problem, PROBLEM_MALFORMED_BODY, NULL, "line %zu, column %zu: %s", line,
                       (size_t)(at - line_start) + 1, what);
}

static int malformed_here(struct intake *in, const char *what)
{
    char text[128];

    if (in->at < in->end)
        return malformed(in, in->at, what);
    snprintf(text, sizeof text, "the body ends here; %s", what);
    return malformed(in, in->at, text);
}

static void skip_space(struct intake *in)
{
    while (in->at < in->end &&
           (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r'))
        in->at++;
}

/* Skips white space, then `c` if it is there. */
static bool skip(struct intake *in, char c)
{
    skip_space(in);
    if (in->at == in->end || *in->at != c)
        return false;
    in->at++;
    return true;
}

/* Reads the JSON value at `at`, which moves behind it. The caller drops the value. */
static int read_value(struct intake *in, json_t **ret)
{
    json_error_t error;

    skip_space(in);
    if (in->at == in->end)
        return malformed(in, in->at, "a JSON value is missing");

    size_t rest = (size_t)(in->end - in->at);
    size_t len = rest < INTAKE_VALUE_MAX ? rest : INTAKE_VALUE_MAX;
    json_t *value = json_loadb(in->at, len, JSON_ITEM, &error);
    /* The position is set after a success too: it is where the value ended. */
    size_t position = error.position > 0 ? (size_t)error.position : 0;

    if (position > len)
        position = len;
    if (value) {
        in->at += position;
        *ret = value;
        return 0;
    }
    if (json_error_code(&error) == json_error_out_of_memory)
        return out_of_memory(in);
    if (position == len && len < rest)
        return malformed(in, in->at, "a value has more than 1048576 bytes of JSON");
    /* jansson ends with the bytes it stumbled over ("... near 'x'"); the place says it as well. */
    char *near = strstr(error.text, " near ");
    if (near)
        *near = '\0';
    return malformed(in, in->at + position, error.text);
}

/* -- items ------------------------------------------------------------------------------------- */

/* The place of an item for people, in three parts: "line " 3 "", or its index: "urls[" 2 "]". */
struct place {
    const char *before;
    size_t number;
    const char *after;
};

static int bad_item(struct intake *in, struct place place, const char *what)
{
    return problem_set(in->problem, PROBLEM_INVALID_ITEM, NULL, "%s%zu%s: %s", place.before,
                       place.number, place.after, what);
}

static struct bytes string_bytes(const json_t *string)
{
    return bytes_of(json_string_value(string), json_string_length(string));
}

/* Writes a real with the fewest digits that read back as the same number: 0.1, not 0.1000...01. */
static void write_real(struct buffer *out, double number)
{
    char text[32];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    buffer_text(out, text);
}

static void write_id(struct buffer *out, const json_t *id)
{
    if (json_is_string(id))
        json_write_string(out, string_bytes(id));
    else if (json_is_integer(id))
        buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    else if (json_is_real(id))
        write_real(out, json_real_value(id));
}

/* Takes url and id of an item apart; *ret_id is NULL where there is none. */
static int split_item(struct intake *in, struct place place, json_t *item, const json_t **ret_url,
                      const json_t **ret_id)
{
    const json_t *url = NULL, *id = NULL;
    const char *name;
    json_t *member;

    if (json_is_string(item)) {
        *ret_url = item;
        *ret_id = NULL;
        return 0;
    }
    if (!json_is_object(item))
        return bad_item(in, place, "neither a string nor an object with a \"url\"");
    json_object_foreach(item, name, member)
    {
        if (strcmp(name, "url") == 0) {
            url = member;
        } else if (strcmp(name, "id") == 0) {
            id = member;
        } else {
            char quoted[PROBLEM_QUOTE_SIZE], what[PROBLEM_QUOTE_SIZE + 64];

            snprintf(what, sizeof what, "there is no key %s; known: url, id",
                     problem_quote(quoted, bytes_cstr(name)));
            return bad_item(in, place, what);
        }
    }
    if (!json_is_string(url))
        return bad_item(in, place, url ? "\"url\" is not a string" : "there is no \"url\"");
    if (id && !json_is_string(id) && !json_is_number(id))
        return bad_item(in, place, "\"id\" is neither a string nor a number");
    *ret_url = url;
    *ret_id = id;
    return 0;
}

static int add_item(struct intake *in, struct place place, json_t *item)
{
    struct buffer *storage = &in->list->storage;
    struct url_entry entry = {.offset = storage->len};
    const json_t *url, *id;
    int error = split_item(in, place, item, &url, &id);

    if (error < 0)
        return error;
    buffer_append(storage, json_string_value(url), json_string_length(url));
    entry.url_len = (uint32_t)(storage->len - entry.offset);
    if (id)
        write_id(storage, id);
    entry.id_len = (uint32_t)(storage->len - entry.offset - entry.url_len);
    if (storage->failed)
        return out_of_memory(in);
    return add_entry(in, entry);
}

static int read_item(struct intake *in, struct place place)
{
    json_t *item = NULL;
    int error = read_value(in, &item);

    if (error < 0)
        return error;
    error = add_item(in, place, item);
    json_decref(item);
    return error;
}

/* -- NDJSON and JSON bodies -------------------------------------------------------------------- */

static int read_ndjson(struct intake *in)
{
    struct bytes rest = in->body;

    for (size_t number = 1; rest.len > 0; number++) {
        struct bytes line = bytes_trim(bytes_split(&rest, '\n'));

        if (line.len == 0)
            continue;
        in->at = line.ptr;
        in->end = line.ptr + line.len;
        int error = read_item(in, (struct place){"line ", number, ""});
        if (error < 0)
            return error;
        skip_space(in);
        if (in->at < in->end)
            return malformed(in, in->at, "something stands behind the item; one a line");
    }
    return 0;
}

/* Reads the items behind a "[", and the "]". `name` is what the array is called. */
static int read_items(struct intake *in, const char *name)
{
    if (skip(in, ']'))
        return 0;
    for (size_t index = 0;; index++) {
        int error = read_item(in, (struct place){name, index, "]"});

        if (error < 0)
            return error;
        if (skip(in, ']'))
            return 0;
        if (!skip(in, ','))
            return malformed_here(in, "\",\" or \"]\" was expected");
    }
}

static int read_options(struct intake *in)
{
    json_t *value;
    int error = read_value(in, &value);

    if (error < 0)
        return error;
    error = options_from_json(in->options, in->limits, value, in->problem);
    json_decref(value);
    return error;
}

/* Reads the name of a member and the colon behind it. The caller drops the name. */
static int read_name(struct intake *in, json_t **ret)
{
    skip_space(in);

    const char *start = in->at;
    json_t *name = NULL;
    int error = read_value(in, &name);

    if (error < 0)
        return error;
    if (!json_is_string(name))
        error = malformed(in, start, "a name in double quotes was expected");
    else if (!skip(in, ':'))
        error = malformed_here(in, "\":\" was expected");
    if (error < 0)
        json_decref(name);
    else
        *ret = name;
    return error;
}

/* What the document's members were so far. */
struct members {
    bool urls;
    bool options;
};

static int read_member(struct intake *in, struct members *seen)
{
    char quoted[PROBLEM_QUOTE_SIZE];
    json_t *name;
    int error = read_name(in, &name);

    if (error < 0)
        return error;
    bool is_urls = bytes_equal(string_bytes(name), BYTES("urls"));
    bool is_options = bytes_equal(string_bytes(name), BYTES("options"));

    problem_quote(quoted, string_bytes(name));
    json_decref(name);
    if (!is_urls && !is_options)
        return problem_set(in->problem, PROBLEM_MALFORMED_BODY, NULL,
                           "there is no member %s; known: urls, options", quoted);
    if (is_urls ? seen->urls : seen->options)
        return problem_set(in->problem, PROBLEM_MALFORMED_BODY, NULL, "%s stands there twice",
                           quoted);
    if (is_options) {
        seen->options = true;
        return read_options(in);
    }
    seen->urls = true;
    if (!skip(in, '['))
        return malformed_here(in, "\"urls\" must be an array");
    return read_items(in, "urls[");
}

/* Reads the members behind a "{", and the "}". */
static int read_members(struct intake *in)
{
    struct members seen = {false, false};

    if (!skip(in, '}')) {
        do {
            int error = read_member(in, &seen);
            if (error < 0)
                return error;
        } while (skip(in, ','));
        if (!skip(in, '}'))
            return malformed_here(in, "\",\" or \"}\" was expected");
    }
    if (!seen.urls)
        return problem_set(in->problem, PROBLEM_NO_URLS, NULL, "the object has no \"urls\"");
    return 0;
}

static int read_json(struct intake *in)
{
    int error;

    if (skip(in, '['))
        error = read_items(in, "[");
    else if (skip(in, '{'))
        error = read_members(in);
    else
        error = malformed_here(in, "an object with \"urls\", or an array, was expected");
    if (error < 0)
        return error;
    skip_space(in);
    if (in->at < in->end)
        return malformed(in, in->at, "something stands behind the end of the document");
    return 0;
}

/* -- which of them ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum body_form form;
} media_types[] = {
    {"text/plain", FORM_TEXT},
    {"application/x-ndjson", FORM_NDJSON},
    {"application/jsonl", FORM_NDJSON},
    {"application/ndjson", FORM_NDJSON},
    {"application/json", FORM_JSON},
    /* What clients send who were told nothing: curl --data, and "some bytes". */
    {"", FORM_UNKNOWN},
    {"application/x-www-form-urlencoded", FORM_UNKNOWN},
    {"application/octet-stream", FORM_UNKNOWN},
};

/* The media type alone, without parameters (RFC 9110 section 8.3.1). */
static int form_of_type(struct bytes content_type, enum body_form *ret, struct problem *problem)
{
    struct bytes rest = content_type;
    struct bytes type = bytes_trim(bytes_split(&rest, ';'));
    char quoted[PROBLEM_QUOTE_SIZE];

    for (size_t i = 0; i < sizeof media_types / sizeof media_types[0]; i++) {
        if (bytes_equal_nocase(type, bytes_cstr(media_types[i].name))) {
            *ret = media_types[i].form;
            return 0;
        }
    }
    return problem_set(problem, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL,
                       "the body's type is %s; accepted: text/plain, application/x-ndjson, "
                       "application/json",
                       problem_quote(quoted, type));
}

/* An object is an item, and so the first line of NDJSON, when its first member is an item's. */
static bool starts_with_item(struct intake in)
{
    struct problem unused;
    json_t *name;

    in.problem = &unused;
    if (!skip(&in, '{') || read_name(&in, &name) < 0)
        return false;
    bool is_item = bytes_equal(string_bytes(name), BYTES("url")) ||
                   bytes_equal(string_bytes(name), BYTES("id"));
    json_decref(name);
    return is_item;
}

static enum body_form form_of_body(const struct intake *in)
{
    struct bytes start = bytes_trim(in->body);

    switch (start.len > 0 ? start.ptr[0] : '\0') {
    case '[':
        return FORM_JSON;
    case '{':
        return starts_with_item(*in) ? FORM_NDJSON : FORM_JSON;
    case '"':
        return FORM_NDJSON;
    }
    return FORM_TEXT;
}

/* `storage` is where the body's memory starts. */
static int read_body(struct intake *in, enum body_form form, const char *storage)
{
    int error = -EINVAL;

    switch (form) {
    case FORM_UNKNOWN:
        break;
    case FORM_TEXT:
        error = read_text(in, storage);
        break;
    case FORM_NDJSON:
        error = read_ndjson(in);
        break;
    case FORM_JSON:
        error = read_json(in);
        break;
    }
    if (error == 0 && in->list->count == 0)
        error = problem_set(in->problem, PROBLEM_NO_URLS, NULL, "the body has no URLs");
    return error;
}

int intake_parse(struct buffer *body, struct bytes content_type, const struct config *limits,
                 struct batch_options *options, struct url_list *ret, struct problem *problem)
{
    struct url_list list = {0};
    struct bytes text = buffer_bytes(body);
    struct intake in = {.limits = limits, .options = options, .list = &list, .problem = problem};
    enum body_form form = FORM_UNKNOWN;
    int error = form_of_type(content_type, &form, problem);

    if (error < 0)
        return error;
    if (text.len > limits->max_body_bytes)
        return problem_set(problem, PROBLEM_BODY_TOO_LARGE, NULL,
                           "a body may have %llu bytes (--max-body-bytes)",
                           (unsigned long long)limits->max_body_bytes);
    if (text.len == 0)
        return problem_set(problem, PROBLEM_NO_URLS, NULL, "the body is empty");
    if (text.len >= 2 && memcmp(text.ptr, "\x1F\x8B", 2) == 0) /* RFC 1952 section 2.3.1 */
        return problem_set(problem, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL,
                           "the body is compressed with gzip; bodies are taken as they are");
    if (text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0)
        text = bytes_of(text.ptr + 3, text.len - 3);

    in.body = text;
    in.at = text.ptr;
    in.end = text.ptr + text.len;
    if (form == FORM_UNKNOWN)
        form = form_of_body(&in);
    /* The storage of JSON items exists even when all of them are empty strings. */
    if (form != FORM_TEXT && !buffer_reserve(&list.storage, 1))
        return out_of_memory(&in);
    error = read_body(&in, form, body->ptr);
    if (error < 0) {
        url_list_free(&list);
        return error;
    }
    if (form == FORM_TEXT)
        list.storage = *body; /* the entries point into it */
    else
        buffer_free(body);
    *body = (struct buffer){0};
    *ret = list;
    return 0;
}
