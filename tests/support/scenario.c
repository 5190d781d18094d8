#include "tests/support/scenario.h"

#include "tests/support/name_server.h"

#include <check.h>
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PER_NET = 250 }; /* scenarios that share the third number of their addresses */

/* A scenario that is being played. */
struct play {
    const struct scenario *scenario;
    char self[32], other[32], dead[32], main[32], port[8]; /* what stands for the placeholders */
    struct step *scripts[2];                               /* of self and other, owned */
    struct site *self_site, *other_site;
    bool left_out;
    size_t first, count; /* its records in the batch */
};

/* A group under way. */
struct batch {
    const struct scenario_group *group;
    struct play *plays;
    int fd; /* the answer comes here */
    struct records records;
};

/* -- what stands in braces --------------------------------------------------------------------- */

/* What stands for the placeholder at the beginning of `text`, and its length; NULL: none is. */
static const char *placeholder(const struct play *p, struct bytes text, size_t *ret_len)
{
    const struct {
        struct bytes name;
        const char *value;
    } all[] = {
        {BYTES("{self}"), p->self}, {BYTES("{other}"), p->other}, {BYTES("{dead}"), p->dead},
        {BYTES("{main}"), p->main}, {BYTES("{port}"), p->port},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *ret_len = all[i].name.len;
        if (text.len >= *ret_len && memcmp(text.ptr, all[i].name.ptr, *ret_len) == 0)
            return all[i].value;
    }
    return NULL;
}

/* `text` with its placeholders replaced, and a NUL behind its end. Free the buffer. */
static struct buffer expand(const struct play *p, struct bytes text)
{
    struct buffer out = {0};

    while (text.len > 0) {
        size_t len = 1;
        const char *value = text.ptr[0] == '{' ? placeholder(p, text, &len) : NULL;
        if (value)
            buffer_text(&out, value);
        else
            buffer_append(&out, text.ptr, len = 1);
        text = bytes_of(text.ptr + len, text.len - len);
    }
    buffer_byte(&out, '\0');
    ck_assert(!out.failed);
    out.len--;
    return out;
}

static struct step *expand_script(const struct play *p, const struct step *script)
{
    size_t count = 1;

    while (script[count - 1].kind != STEP_END)
        count++;
    struct step *steps = calloc(count, sizeof *steps);
    ck_assert_ptr_nonnull(steps);
    for (size_t i = 0; i < count; i++) {
        struct buffer bytes = expand(p, script[i].bytes);
        steps[i] = script[i];
        steps[i].bytes = buffer_bytes(&bytes);
    }
    return steps;
}

static void free_script(struct step *steps)
{
    for (struct step *s = steps; s; s++) {
        free((char *)(uintptr_t)s->bytes.ptr);
        if (s->kind == STEP_END)
            break;
    }
    free(steps);
}

/* -- libcurl and skimd ------------------------------------------------------------------------- */

/* As old as Debian 12's 7.88, or up to 8.1.0. The daemon runs with the same. */
static bool libcurl_is_7(void)
{
    return curl_version_info(CURLVERSION_NOW)->version_num < 0x080101;
}

void scrape_finish(const struct daemon *skimd, int fd, struct records *ret)
{
    static const char never[] = "\n\n\n\n";
    struct buffer in = {0};

    read_until(fd, &in, never);
    close(fd);
    const char *body = memmem(in.ptr, in.len, "\r\n\r\n", 4);
    ck_assert_msg(body && memmem(in.ptr, in.len, " 200 ", 5), "%.*s", (int)in.len, in.ptr);
    if (!memmem(in.ptr, in.len, "\"type\":\"end\"", 12)) {
        struct daemon dead = *skimd;
        ck_abort_msg("the answer is cut; skimd has ended with %d", daemon_wait(&dead));
    }
    body += 4;
    records_parse(bytes_of(body, in.len - (size_t)(body - in.ptr)), ret);
    buffer_free(&in);
}

/* -- the stage --------------------------------------------------------------------------------- */

static struct site *put_on(struct play *p, int which, struct origin *origin, const char *address)
{
    const struct step *script = which == 0 ? p->scenario->self : p->scenario->other;

    if (!script)
        return NULL;
    p->scripts[which] = expand_script(p, script);
    struct site *site = origin_script(origin, address, p->scripts[which]);
    p->left_out |= !site && strchr(address, ':');
    ck_assert_msg(site || p->left_out, "no script at %s: %s", address, strerror(errno));
    return site;
}

/* `number` is another one for each scenario of the run. */
static void prepare(struct play *p, size_t number, struct origin *origin)
{
    char self[16], other[16];
    unsigned port = origin_port(origin), high = (unsigned)(number / PER_NET) & 255,
             low = (unsigned)(number % PER_NET + 1);

    snprintf(self, sizeof self, "127.101.%u.%u", high, low);
    snprintf(other, sizeof other, "127.102.%u.%u", high, low);
    snprintf(p->self, sizeof p->self, "%s:%u", p->scenario->on_ipv6 ? "[::1]" : self, port);
    snprintf(p->other, sizeof p->other, "%s:%u", other, port);
    snprintf(p->dead, sizeof p->dead, "127.103.%u.%u:%u", high, low, port);
    snprintf(p->main, sizeof p->main, "127.0.0.1:%u", port);
    snprintf(p->port, sizeof p->port, "%u", port);
    p->self_site = put_on(p, 0, origin, p->scenario->on_ipv6 ? "::1" : self);
    p->other_site = put_on(p, 1, origin, other);
}

/* -- the batch --------------------------------------------------------------------------------- */

/* The URLs of a scenario, one a line; in JSON there is one, which may have line ends in it. */
static void add_urls(struct play *p, bool as_json, struct buffer *body)
{
    struct buffer urls =
        expand(p, bytes_cstr(p->scenario->url ? p->scenario->url : "http://{self}/"));

    if (as_json) {
        json_t *text = json_stringn(urls.ptr, urls.len);
        char *literal = json_dumps(text, JSON_ENCODE_ANY);
        ck_assert_ptr_nonnull(literal);
        buffer_text(body, literal);
        free(literal);
        json_decref(text);
        p->count = 1;
    } else {
        buffer_append(body, urls.ptr, urls.len);
        p->count = 1;
        for (size_t i = 0; i < urls.len; i++)
            p->count += urls.ptr[i] == '\n';
    }
    buffer_byte(body, '\n');
    buffer_free(&urls);
}

static void post(struct batch *b, const struct daemon *skimd)
{
    struct buffer body = {0};
    size_t urls = 0;

    for (size_t i = 0; i < b->group->count; i++) {
        struct play *p = &b->plays[i];
        p->first = urls;
        if (!p->left_out)
            add_urls(p, b->group->as_json, &body);
        urls += p->count;
    }
    ck_assert(!body.failed);
    b->fd = daemon_open_scrape(skimd, b->group->query ? b->group->query : "", buffer_bytes(&body));
    buffer_free(&body);
}

/* -- what is told of what is wrong ------------------------------------------------------------- */

static void complain(struct buffer *out, const struct batch *b, const struct play *p,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

static void complain(struct buffer *out, const struct batch *b, const struct play *p,
                     const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buffer_printf(out, "%s: %s: %s\n", b->group->name, p->scenario->name, text);
}

/* -- records ----------------------------------------------------------------------------------- */

/* Whether `value` is as expected: an object has at least the fields of the expected one. */
static bool is_as(const json_t *value, const json_t *expected)
{
    const char *key, *text = json_string_value(expected);
    json_t *field;

    if (text && strcmp(text, "(none)") == 0)
        return value == NULL;
    if (!json_is_object(expected))
        return value && json_equal(value, expected);
    json_object_foreach((json_t *)(uintptr_t)expected, key, field)
    {
        if (!is_as(json_object_get(value, key), field))
            return false;
    }
    return true;
}

/* The JSON that `record`, as a scenario has it, stands for. */
static json_t *read_expected(const struct play *p, const char *record)
{
    struct buffer text = expand(p, bytes_cstr(record)), json = {0};
    json_error_t error;

    buffer_byte(&json, '{');
    for (size_t i = 0; i < text.len; i++)
        buffer_byte(&json, (char)(text.ptr[i] == '\'' ? '"' : text.ptr[i]));
    buffer_byte(&json, '}');
    json_t *expected = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(expected != NULL, "%s: %s: %s", p->scenario->name, record, error.text);
    buffer_free(&text);
    buffer_free(&json);
    return expected;
}

static bool record_is(const json_t *record, const struct play *p, const char *expected)
{
    if (!expected)
        return false;
    json_t *fields = read_expected(p, expected);
    bool is = is_as(record, fields);
    json_decref(fields);
    return is;
}

static void judge_record(struct buffer *out, const struct batch *b, const struct play *p,
                         const json_t *record)
{
    const struct scenario *s = p->scenario;
    bool is_right = record_is(record, p, s->record);
    char *text = json_dumps(record, JSON_COMPACT);

    if (!is_right && !record_is(record, p, s->today) &&
        !(libcurl_is_7() && record_is(record, p, s->today_7)))
        complain(out, b, p, "not %s\n    %s", s->record, text);
    if (getenv("SCENARIOS_SHOW"))
        fprintf(stderr, "%s: %s%s\n    %s\n", b->group->name, s->name,
                is_right && s->today ? ": is right already" : "", text);
    free(text);
}

/* -- origins ----------------------------------------------------------------------------------- */

static bool stands_in(const struct buffer *heads, const struct play *p, const char *text)
{
    struct buffer needle = expand(p, bytes_cstr(text));
    bool found = heads->len && memmem(heads->ptr, heads->len, needle.ptr, needle.len);

    buffer_free(&needle);
    return found;
}

struct expected_of_site {
    const char *name;
    struct site *site;
    unsigned requests, connections;
    const char *hears, *never;
    bool nobody;
};

/* Returns the site's connections. */
static uint64_t judge_site(struct buffer *out, const struct batch *b, const struct play *p,
                           struct origin *origin, const struct expected_of_site *e)
{
    struct site_log log;

    if (!e->site)
        return 0;
    site_log(origin, e->site, &log);
    ck_assert(!log.heads.failed);
    if (e->nobody && log.connections > 0)
        complain(out, b, p, "%lu connected to %s", log.connections, e->name);
    if (e->connections && log.connections != e->connections)
        complain(out, b, p, "%lu connections to %s, not %u", log.connections, e->name,
                 e->connections);
    if (e->requests && log.requests != e->requests)
        complain(out, b, p, "%lu requests at %s, not %u", log.requests, e->name, e->requests);
    if (e->hears && !stands_in(&log.heads, p, e->hears))
        complain(out, b, p, "%s did not hear \"%s\" but %.*s", e->name, e->hears,
                 (int)log.heads.len, log.heads.ptr);
    if (e->never && stands_in(&log.heads, p, e->never))
        complain(out, b, p, "%s has heard \"%s\"", e->name, e->never);
    buffer_free(&log.heads);
    return log.connections;
}

/* Returns the connections of the scenario's sites. */
static uint64_t judge(struct buffer *out, const struct batch *b, const struct play *p,
                      struct origin *origin)
{
    const struct scenario *s = p->scenario;
    uint64_t connections = 0;

    for (size_t i = p->first; i < p->first + p->count; i++)
        judge_record(out, b, p, b->records.by_index[i]);
    connections += judge_site(out, b, p, origin,
                              &(struct expected_of_site){.name = "{self}",
                                                         .site = p->self_site,
                                                         .requests = s->requests,
                                                         .connections = s->connections,
                                                         .hears = s->hears,
                                                         .never = s->never,
                                                         .nobody = s->nobody_connects_to_self});
    connections += judge_site(out, b, p, origin,
                              &(struct expected_of_site){.name = "{other}",
                                                         .site = p->other_site,
                                                         .requests = s->other_requests,
                                                         .hears = s->other_hears,
                                                         .never = s->other_never,
                                                         .nobody = s->nobody_connects_to_other});
    return connections;
}

/* -- the run ----------------------------------------------------------------------------------- */

static void prepare_all(struct batch *batches, const struct scenario_group *const *groups,
                        size_t count, struct origin *origin)
{
    size_t number = 0;

    for (size_t i = 0; i < count; i++) {
        struct batch *b = &batches[i];
        b->group = groups[i];
        b->plays = calloc(b->group->count, sizeof *b->plays);
        ck_assert_ptr_nonnull(b->plays);
        for (size_t k = 0; k < b->group->count; k++) {
            b->plays[k].scenario = &b->group->scenarios[k];
            prepare(&b->plays[k], number++, origin);
        }
    }
}

static void batch_free(struct batch *b)
{
    for (size_t k = 0; k < b->group->count; k++) {
        free_script(b->plays[k].scripts[0]);
        free_script(b->plays[k].scripts[1]);
    }
    free(b->plays);
    records_free(&b->records);
}

enum { ARGUMENTS_MAX = 16 };

/* Starts the daemon with `arguments` and a name server that knows no name. */
static void start_daemon(struct daemon *skimd, const char *const *arguments,
                         const struct name_server *names)
{
    const char *all[ARGUMENTS_MAX] = {"--dns-server", name_server_address(names)};
    size_t count = 2;

    for (; *arguments; arguments++) {
        ck_assert_uint_lt(count + 1, ARGUMENTS_MAX);
        all[count++] = *arguments;
    }
    daemon_start(skimd, all);
}

uint64_t scenarios_run(const char *const *arguments, const struct scenario_group *const *groups,
                       size_t count)
{
    struct batch *batches = calloc(count, sizeof *batches);
    struct origin *origin = origin_start(NULL);
    struct name_server *names = name_server_start();
    struct buffer complaints = {0};
    uint64_t connections_of_scripts = 0;
    struct daemon skimd;

    ck_assert(batches && origin && names);
    prepare_all(batches, groups, count, origin);
    start_daemon(&skimd, arguments, names);
    for (size_t i = 0; i < count; i++)
        post(&batches[i], &skimd);
    for (size_t i = 0; i < count; i++)
        scrape_finish(&skimd, batches[i].fd, &batches[i].records);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < groups[i]->count; k++)
            connections_of_scripts += judge(&complaints, &batches[i], &batches[i].plays[k], origin);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    uint64_t connections = origin_count(origin, ORIGIN_ACCEPTED) - connections_of_scripts;
    origin_stop(origin);
    name_server_stop(names);
    for (size_t i = 0; i < count; i++)
        batch_free(&batches[i]);
    free(batches);
    /* Check has little room for messages. */
    fwrite(complaints.ptr ? complaints.ptr : "", 1, complaints.len, stderr);
    ck_assert_msg(complaints.len == 0, "scenarios without the record they should have: see above");
    buffer_free(&complaints);
    return connections;
}
