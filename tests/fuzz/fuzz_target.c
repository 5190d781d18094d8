/*
 * A URL and, on the line below it, a Location. A target must be a fixed point of its own parser,
 * keep its password to itself, and be the host and the URL that libcurl will ask for.
 */
#include "core/fetch/fetch_error.h"
#include "core/fetch/target.h"
#include "tests/fuzz/fuzz.h"

static bool has_user(const struct target *target)
{
    char *user = NULL;
    bool has = curl_url_get(target->handle, CURLUPART_USER, &user, 0) == CURLUE_OK;

    curl_free(user);
    return has;
}

/* What libcurl will ask for, as it writes it. */
static bool is_what_libcurl_asks_for(const struct target *target)
{
    CURLU *bare = curl_url_dup(target->handle);
    char *url = NULL;

    FUZZ_CHECK(bare && curl_url_set(bare, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
               curl_url_set(bare, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK &&
               curl_url_get(bare, CURLUPART_URL, &url, CURLU_NO_DEFAULT_PORT) == CURLUE_OK);
    bool is = strcmp(url, target->url) == 0;
    curl_free(url);
    curl_url_cleanup(bare);
    return is;
}

static void check_target(const struct target *target)
{
    struct bytes url = bytes_cstr(target->url);
    struct target again;
    const char *message;
    char *host;

    FUZZ_CHECK(url.len <= TARGET_URL_MAX && target->host.len > 0 && target->port > 0);
    FUZZ_CHECK(strncmp(url.ptr, target->is_tls ? "https://" : "http://", 7 + target->is_tls) == 0);
    for (const char *c = url.ptr; *c; c++)
        FUZZ_CHECK(*c > 0x20 && *c < 0x7f && *c != '#');
    FUZZ_CHECK(curl_url_get(target->handle, CURLUPART_HOST, &host, 0) == CURLUE_OK);
    FUZZ_CHECK(bytes_equal(target->host, host[0] == '[' ? bytes_of(host + 1, strlen(host) - 2)
                                                        : bytes_cstr(host)));
    curl_free(host);
    FUZZ_CHECK(is_what_libcurl_asks_for(target));

    FUZZ_CHECK(target_parse(url, &again, &message) == 0);
    FUZZ_CHECK(!has_user(&again) && strcmp(again.url, target->url) == 0);
    target_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes location = bytes_of((const char *)data, size), url = fuzz_field(&location, '\n');
    struct target base = {0}, next = {0};
    const char *message = NULL;
    int code = target_parse(url, &base, &message);

    if (code == 0) {
        check_target(&base);
        code = target_redirect(&base, location, &next, &message);
    }
    if (code == 0)
        check_target(&next);
    else
        FUZZ_CHECK(message && (code == FETCH_INVALID_URL || code == FETCH_UNSUPPORTED_SCHEME));
    if (code == 0 && strcmp(base.origin, next.origin) != 0 && has_user(&next))
        FUZZ_CHECK(location.ptr && memchr(location.ptr, '@', location.len)); /* a name of its own */
    target_free(&next);
    target_free(&base);
    fuzz_free(url);
    return 0;
}
