/*
 * The options of a batch: a query string, or JSON where the input begins with a brace. Whatever is
 * said, no limit of the daemon is exceeded; a refusal can be sent.
 */
#include "server/options.h"
#include "tests/fuzz/fuzz.h"

static const struct config limits = {.timeout_ms = 30000,
                                     .max_page_bytes = 1 << 20,
                                     .max_redirects = 10,
                                     .retries = 2,
                                     .per_host = 6,
                                     .user_agent = "skimd"};

static void check_options(const struct batch_options *o)
{
    FUZZ_CHECK(o->timeout_ms >= 1 && o->timeout_ms <= limits.timeout_ms);
    FUZZ_CHECK(o->max_page_bytes >= 1 && o->max_page_bytes <= limits.max_page_bytes);
    FUZZ_CHECK(o->per_host >= 1 && o->per_host <= limits.per_host);
    FUZZ_CHECK(o->max_redirects <= limits.max_redirects && o->retries <= limits.retries);
    FUZZ_CHECK(o->fields && (o->order == ORDER_COMPLETION || o->order == ORDER_INPUT));
    FUZZ_CHECK(config_user_agent_valid(bytes_cstr(o->user_agent)));
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
    return 0;
}
