#include "server/batch/options.h"

#include "core/base/percent.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* -- the table --------------------------------------------------------------------------------- */

enum option_kind {
    OPTION_NUMBER,
    OPTION_SWITCH,
    OPTION_FIELDS,
    OPTION_ORDER,
    OPTION_AGENT,
    OPTION_HEADERS
};

struct batch_option {
    const char *name;
    size_t offset; /* OPTION_NUMBER, OPTION_SWITCH: into struct batch_options */

    /* Of what the daemon has a say in: the option of its command line, and where in struct config
     * its value is. NULL: the daemon has none. */
    const char *flag;
    size_t limit;

    /* OPTION_NUMBER: its range. The daemon's value is the maximum, or where `is_floor` the minimum,
     * and what a batch gets that does not choose. */
    uint64_t minimum, maximum;

    /* OPTION_SWITCH with a `flag`: a batch may choose `guarded` only where the daemon's value is
     * the same; `refusal` says that it is not. A batch that does not choose gets the daemon's value
     * where `is_inherited`, else false. */
    const char *refusal;

    enum option_kind kind;
    bool is_floor, guarded, is_inherited;
};

enum { HOUR_MS = 3600000, WEEK_MS = 604800000 };

#define OF(field, kind_)                                                                           \
    .name = #field, .kind = (kind_), .offset = offsetof(struct batch_options, field)
#define OF_DAEMON(field, option) .flag = (option), .limit = offsetof(struct config, field)
#define NUMBER_BELOW(field, lowest, option)                                                        \
    {                                                                                              \
        OF(field, OPTION_NUMBER), OF_DAEMON(field, option), .minimum = (lowest)                    \
    }

static const struct batch_option known[] = {
    {.name = "fields", .kind = OPTION_FIELDS},
    NUMBER_BELOW(timeout_ms, 1, "--timeout-ms"),
    NUMBER_BELOW(max_page_bytes, 1, "--max-page-bytes"),
    NUMBER_BELOW(max_redirects, 0, "--max-redirects"),
    NUMBER_BELOW(retries, 0, "--retries"),
    NUMBER_BELOW(per_host, 1, "--per-host"),
    {OF(host_delay_ms, OPTION_NUMBER), OF_DAEMON(host_delay_ms, "--host-delay-ms"),
     .maximum = HOUR_MS, .is_floor = true},
    {OF(robots, OPTION_SWITCH), OF_DAEMON(robots, "--robots"), .guarded = false,
     .is_inherited = true, .refusal = "this daemon obeys robots.txt in every batch (--robots on)"},
    {.name = "user_agent", .kind = OPTION_AGENT},
    {.name = "headers", .kind = OPTION_HEADERS},
    {OF(insecure, OPTION_SWITCH), OF_DAEMON(allow_insecure, "--allow-insecure"), .guarded = true,
     .refusal = "this daemon verifies certificates in every batch (it runs without "
                "--allow-insecure)"},
    {OF(dedupe, OPTION_SWITCH)},
    {OF(any_type, OPTION_SWITCH)},
    {OF(early_stop, OPTION_SWITCH), OF_DAEMON(early_stop, "--early-stop"), .guarded = true,
     .is_inherited = true,
     .refusal = "this daemon reads pages to their end in every batch (--early-stop off)"},
    {.name = "order", .kind = OPTION_ORDER},
    {OF(deadline_ms, OPTION_NUMBER), .minimum = 1, .maximum = WEEK_MS},
};

enum { KNOWN = sizeof known / sizeof known[0] };

static_assert(KNOWN <= 32, "batch_options.given has a bit for each");

void options_init(struct batch_options *ret, const struct config *limits)
{
    *ret = (struct batch_options){.fields = FIELD_BIT(FIELD_TITLE), .order = ORDER_COMPLETION};
    for (size_t i = 0; i < KNOWN; i++) {
        const struct batch_option *option = &known[i];
        size_t size = option->kind == OPTION_NUMBER ? sizeof(uint64_t) : sizeof(bool);

        if (option->flag && (option->kind == OPTION_NUMBER || option->is_inherited))
            memcpy((char *)ret + option->offset, (const char *)limits + option->limit, size);
    }
    snprintf(ret->user_agent, sizeof ret->user_agent, "%s", limits->user_agent);
}

void options_free(struct batch_options *options)
{
    header_list_free(&options->headers);
}

/* -- values ------------------------------------------------------------------------------------ */

/* The value of an option: JSON, or where `json` is NULL the decoded text of a query string. */
struct value {
    const json_t *json;
    struct bytes text; /* also that of a JSON string */
};

/* One option on its way into the batch. */
struct setting {
    struct batch_options *options;
    const struct config *limits;
    const struct batch_option *option;
    struct value value;
    struct problem *problem;
};

static bool is_text(const struct value *value)
{
    return !value->json || json_is_string(value->json);
}

static struct bytes json_text(const json_t *string)
{
    return bytes_of(json_string_value(string), json_string_length(string));
}

/* The value as the caller wrote it, shortened, on one line: "abc", 12, ["title",... */
static const char *show(const struct value *value, char ret[static PROBLEM_QUOTE_SIZE])
{
    if (is_text(value))
        return problem_quote(ret, value->text);

    enum { SHOWN = 60 };
    char *dump = json_dumps(value->json, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    snprintf(ret, PROBLEM_QUOTE_SIZE, "%.*s%s", SHOWN, dump ? dump : "the value",
             dump && strlen(dump) > SHOWN ? "..." : "");
    free(dump);
    return ret;
}

static int refuse(const struct setting *s, const char *what_is_right)
{
    char shown[PROBLEM_QUOTE_SIZE];

    return problem_set(s->problem, PROBLEM_INVALID_OPTION, s->option->name, "%s: %s is not %s",
                       s->option->name, show(&s->value, shown), what_is_right);
}

static int refuse_beyond(const struct setting *s, const char *side, uint64_t number, uint64_t limit)
{
    const struct batch_option *option = s->option;

    return problem_set(s->problem, PROBLEM_ABOVE_LIMIT, option->name,
                       "%s: %" PRIu64 " is %s this daemon's limit of %" PRIu64 " (%s)",
                       option->name, number, side, limit, option->flag);
}

static bool read_number(const struct value *value, uint64_t *ret)
{
    if (!value->json)
        return config_number(value->text, ret);
    if (!json_is_integer(value->json) || json_integer_value(value->json) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(value->json);
    return true;
}

static int set_number(const struct setting *s)
{
    const struct batch_option *option = s->option;
    uint64_t number = 0, minimum = option->minimum, maximum = option->maximum;

    if (option->flag)
        memcpy(option->is_floor ? &minimum : &maximum, (const char *)s->limits + option->limit,
               sizeof(uint64_t));
    bool is_number = read_number(&s->value, &number);
    if (is_number && option->flag && option->is_floor && number < minimum)
        return refuse_beyond(s, "below", number, minimum);
    if (is_number && option->flag && !option->is_floor && number > maximum)
        return refuse_beyond(s, "above", number, maximum);
    if (!is_number || number < minimum || number > maximum) {
        char right[80];

        snprintf(right, sizeof right, "a whole number from %" PRIu64 " to %" PRIu64, minimum,
                 maximum);
        return refuse(s, right);
    }
    memcpy((char *)s->options + option->offset, &number, sizeof number);
    return 0;
}

static bool read_switch(const struct value *value, bool *ret)
{
    static const char *const words[] = {"false", "true", "0", "1", "off", "on"};

    if (value->json) {
        *ret = json_is_true(value->json);
        return json_is_boolean(value->json);
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal_nocase(value->text, bytes_cstr(words[i]))) {
            *ret = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static int set_switch(const struct setting *s)
{
    const struct batch_option *option = s->option;
    bool chosen;

    if (!read_switch(&s->value, &chosen))
        return refuse(s, "true or false");
    if (option->flag && chosen == option->guarded) {
        bool limit;

        memcpy(&limit, (const char *)s->limits + option->limit, sizeof limit);
        if (limit != chosen)
            return problem_set(s->problem, PROBLEM_ABOVE_LIMIT, option->name, "%s: %s",
                               option->name, option->refusal);
    }
    memcpy((char *)s->options + option->offset, &chosen, sizeof chosen);
    return 0;
}

static int add_field(const struct setting *s, struct bytes name)
{
    char quoted[PROBLEM_QUOTE_SIZE], names[192] = "";
    enum field field = field_of_name(name);

    if (field < FIELD_COUNT) {
        s->options->fields |= FIELD_BIT(field);
        return 0;
    }
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                 field_name((enum field)i));
    }
    return problem_set(s->problem, PROBLEM_INVALID_OPTION, "fields",
                       "fields: there is no field %s; known: %s", problem_quote(quoted, name),
                       names);
}

/* A JSON array of names, or a text with commas between them. */
static int set_fields(const struct setting *s)
{
    int error = 0;

    s->options->fields = 0;
    if (is_text(&s->value)) {
        struct bytes rest = s->value.text;

        do {
            error = add_field(s, bytes_trim(bytes_split(&rest, ',')));
        } while (error == 0 && rest.ptr);
        return error;
    }
    if (!json_is_array(s->value.json) || json_array_size(s->value.json) == 0)
        return refuse(s, "an array of at least one field's name");
    for (size_t i = 0; i < json_array_size(s->value.json) && error == 0; i++) {
        const json_t *name = json_array_get(s->value.json, i);

        error =
            json_is_string(name) ? add_field(s, json_text(name)) : refuse(s, "an array of strings");
    }
    return error;
}

static int set_order(const struct setting *s)
{
    if (is_text(&s->value) && bytes_equal(s->value.text, BYTES("completion")))
        s->options->order = ORDER_COMPLETION;
    else if (is_text(&s->value) && bytes_equal(s->value.text, BYTES("input")))
        s->options->order = ORDER_INPUT;
    else
        return refuse(s, "\"completion\" or \"input\"");
    return 0;
}

static int set_agent(const struct setting *s)
{
    if (!is_text(&s->value) || !config_user_agent_valid(s->value.text))
        return refuse(s, "a header value: 1 to 255 bytes without control characters");
    snprintf(s->options->user_agent, sizeof s->options->user_agent, "%.*s", (int)s->value.text.len,
             s->value.text.ptr);
    return 0;
}

static int out_of_memory(struct problem *problem)
{
    return problem_set(problem, PROBLEM_OUT_OF_MEMORY, NULL, "%s", "");
}

/* jansson's iterator wants an object that it may change; nothing here changes it. */
static json_t *iterable(const json_t *object)
{
    union {
        const json_t *borrowed;
        json_t *iterated;
    } alias = {.borrowed = object};

    return alias.iterated;
}

static int add_header(const struct setting *s, const char *name, const json_t *value)
{
    char quoted[PROBLEM_QUOTE_SIZE];
    const char *message = "is not accepted";

    if (!json_is_string(value))
        return problem_set(s->problem, PROBLEM_INVALID_OPTION, s->option->name,
                           "%s: the value of %s is not a string", s->option->name,
                           problem_quote(quoted, bytes_cstr(name)));
    int error = header_list_add(&s->options->headers, bytes_cstr(name), json_text(value), &message);
    if (error == -ENOMEM)
        return out_of_memory(s->problem);
    if (error < 0)
        return problem_set(s->problem, PROBLEM_INVALID_OPTION, s->option->name, "%s: %s %s",
                           s->option->name, problem_quote(quoted, bytes_cstr(name)), message);
    return 0;
}

static int add_headers(const struct setting *s, const json_t *object)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return refuse(s, "an object of strings, such as {\"Accept-Language\": \"de\"}");
    json_object_foreach(iterable(object), name, value)
    {
        int error = add_header(s, name, value);
        if (error < 0)
            return error;
    }
    return 0;
}

static int set_headers(const struct setting *s)
{
    json_error_t why;

    if (s->value.json)
        return add_headers(s, s->value.json);
    json_t *object = json_loadb(s->value.text.ptr, s->value.text.len,
                                JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!object && json_error_code(&why) == json_error_out_of_memory)
        return out_of_memory(s->problem);
    int error = add_headers(s, object);
    json_decref(object);
    return error;
}

/* -- any option -------------------------------------------------------------------------------- */

static int refuse_unknown(struct bytes name, struct problem *problem)
{
    char quoted[PROBLEM_QUOTE_SIZE], names[256] = "";

    for (size_t i = 0; i < KNOWN; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", known[i].name);
    }
    problem_quote(quoted, name);
    return problem_set(problem, PROBLEM_UNKNOWN_OPTION, NULL, "there is no option %s; known: %s",
                       quoted, names);
}

static int set_option(struct batch_options *options, const struct config *limits, struct bytes name,
                      struct value value, struct problem *problem)
{
    struct setting s = {options, limits, NULL, value, problem};
    unsigned bit = 1;

    for (size_t i = 0; i < KNOWN && !s.option; i++) {
        if (bytes_equal(name, bytes_cstr(known[i].name))) {
            s.option = &known[i];
            bit <<= i;
        }
    }
    if (!s.option)
        return refuse_unknown(name, problem);
    if (options->given & bit)
        return problem_set(problem, PROBLEM_INVALID_OPTION, s.option->name,
                           "%s: given more than once", s.option->name);
    options->given |= bit;

    switch (s.option->kind) {
    case OPTION_NUMBER:
        return set_number(&s);
    case OPTION_SWITCH:
        return set_switch(&s);
    case OPTION_FIELDS:
        return set_fields(&s);
    case OPTION_ORDER:
        return set_order(&s);
    case OPTION_AGENT:
        return set_agent(&s);
    case OPTION_HEADERS:
        return set_headers(&s);
    }
    return -EINVAL;
}

/* In the order of the input, a URL whose twin is far away would wait for all between them, which
 * may be more than are under way at a time: they would not be begun before it ends. */
int options_check(const struct batch_options *options, struct problem *problem)
{
    if (options->dedupe && options->order == ORDER_INPUT)
        return problem_set(problem, PROBLEM_INVALID_OPTION, "dedupe",
                           "dedupe: cannot be had with order=input");
    return 0;
}

/* -- where values come from -------------------------------------------------------------------- */

int options_from_json(struct batch_options *options, const struct config *limits,
                      const json_t *object, struct problem *problem)
{
    if (!json_is_object(object))
        return problem_set(problem, PROBLEM_INVALID_OPTION, NULL,
                           "\"options\" must be an object, such as {\"timeout_ms\": 5000}");

    const char *name;
    json_t *member;

    json_object_foreach(iterable(object), name, member)
    {
        struct value value = {.json = member};

        if (json_is_string(member))
            value.text = json_text(member);
        int error = set_option(options, limits, bytes_cstr(name), value, problem);
        if (error < 0)
            return error;
    }
    return 0;
}

/* Applies one "name=value". */
static int from_pair(struct batch_options *options, const struct config *limits, struct bytes pair,
                     struct buffer *scratch, struct problem *problem)
{
    char quoted[PROBLEM_QUOTE_SIZE];
    struct bytes value = pair;
    struct bytes name = bytes_split(&value, '=');

    scratch->len = 0;
    if (!buffer_reserve(scratch, pair.len)) /* what is decoded is never longer */
        return out_of_memory(problem);
    bool decoded = percent_decode(scratch, name, true);
    size_t name_len = scratch->len;
    decoded = decoded && percent_decode(scratch, value, true);
    if (!decoded)
        return problem_set(problem, PROBLEM_INVALID_OPTION, NULL,
                           "%s: a %% stands without two hexadecimal digits",
                           problem_quote(quoted, pair));
    return set_option(
        options, limits, bytes_of(scratch->ptr, name_len),
        (struct value){.text = bytes_of(scratch->ptr + name_len, scratch->len - name_len)},
        problem);
}

int options_from_query(struct batch_options *options, const struct config *limits,
                       struct bytes query, struct problem *problem)
{
    struct buffer scratch = {0};
    int error = 0;

    while (query.len > 0 && error == 0) {
        struct bytes pair = bytes_split(&query, '&');

        if (pair.len > 0)
            error = from_pair(options, limits, pair, &scratch, problem);
    }
    buffer_free(&scratch);
    return error;
}
