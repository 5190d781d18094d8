/*
 * The options of a batch: a query string, or JSON where the input begins with a brace. Whatever is
 * said, no limit of the daemon is exceeded; a refusal can be sent.
 */
#include "server/batch/options.h"
#include "tests/fuzz/fuzz.h"

#include <curl/curl.h>

static const struct config limits = {.timeout_ms = 30000,
                                     .max_page_bytes = 1 << 20,
                                     .max_redirects = 10,
                                     .retries = 2,
                                     .per_host = 6,
                                     .host_delay_ms = 100,
                                     .robots = true,
                                     .user_agent = "skimd"};

/* Whatever was asked for, each is one line, and none changes what a request is. */
static void check_headers(const struct header_list *headers)
{
    size_t count = 0;

    for (const struct curl_slist *line = headers->lines; line; line = line->next, count++) {
        struct bytes text = bytes_cstr(line->data);

        FUZZ_CHECK(text.len > 0 && !memchr(text.ptr, '\n', text.len));
        FUZZ_CHECK(!memchr(text.ptr, '\r', text.len));
        FUZZ_CHECK(strncasecmp(text.ptr, "host:", 5) != 0);
        FUZZ_CHECK(strncasecmp(text.ptr, "content-length:", 15) != 0);
        FUZZ_CHECK(strncasecmp(text.ptr, "transfer-encoding:", 18) != 0);
    }
    FUZZ_CHECK(count == headers->count && count <= HEADERS_MAX);
}

static void check_options(const struct batch_options *o)
{
    FUZZ_CHECK(o->timeout_ms >= 1 && o->timeout_ms <= limits.timeout_ms);
    FUZZ_CHECK(o->max_page_bytes >= 1 && o->max_page_bytes <= limits.max_page_bytes);
    FUZZ_CHECK(o->per_host >= 1 && o->per_host <= limits.per_host);
    FUZZ_CHECK(o->max_redirects <= limits.max_redirects && o->retries <= limits.retries);
    FUZZ_CHECK(o->fields && (o->order == ORDER_COMPLETION || o->order == ORDER_INPUT));
    FUZZ_CHECK(config_user_agent_valid(bytes_cstr(o->user_agent)));
    FUZZ_CHECK(o->host_delay_ms >= limits.host_delay_ms && o->host_delay_ms <= 3600000);
    FUZZ_CHECK(o->robots && !o->insecure && !o->early_stop);
    check_headers(&o->headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = bytes_of((const char *)data, size);
    struct batch_options options;
    struct problem problem;
    int error;

    options_init(&options, &limits);
    if (size > 0 && data[0] == '{') {
        json_t *object = json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, NULL);
        if (!object)
            return 0;
        error = options_from_json(&options, &limits, object, &problem);
        json_decref(object);
    } else {
        error = options_from_query(&options, &limits, text, &problem);
    }
    if (error < 0)
        fuzz_problem(&problem);
    else
        check_options(&options);
    options_free(&options);
    return 0;
}
