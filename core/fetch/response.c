#include "core/fetch/response.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct held_response *response_new(const struct engine_options *options,
                                   void (*go_on)(struct large_body *place),
                                   struct transfer *transfer)
{
    struct held_response *held = calloc(1, sizeof *held);

    if (!held)
        return NULL;
    held->place.go_on = go_on;
    held->large = options->large;
    held->hold = options->hold;
    held->hold_arg = options->hold_arg;
    held->transfer = transfer;
    return held;
}

void response_drop_body(struct response *r)
{
    struct held_response *held = CONTAINER_OF(r, struct held_response, response);

    held->hold(held->hold_arg, -(ptrdiff_t)r->body.len);
    large_body_leave(held->large, &held->place);
    buffer_free(&r->body);
}

void response_free(void *response)
{
    struct held_response *held = CONTAINER_OF(response, struct held_response, response);

    response_drop_body(&held->response);
    buffer_free(&held->response.text);
    free(held);
}

bool response_is_redirect(const struct response *r)
{
    switch (r->http_status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
        return r->location.len > 0;
    }
    return false;
}

/* Appends the first `most` values of a field, joined by ", " (RFC 9110 section 5.3). */
static size_t append_field(struct buffer *text, CURL *easy, const char *name, size_t most)
{
    struct curl_header *field;
    size_t start = text->len;

    for (size_t i = 0;
         i < most && curl_easy_header(easy, name, i, CURLH_HEADER, -1, &field) == CURLHE_OK; i++) {
        if (i > 0)
            buffer_text(text, ", ");
        /* libcurl 7 leaves the line's end in an empty value. */
        struct bytes value = bytes_trim(bytes_cstr(field->value));
        buffer_append(text, value.ptr, value.len);
        if (field->amount == i + 1)
            break;
    }
    return text->len - start;
}

/*
 * The fields' text is one run of bytes: pointers into it are made when it has ceased to grow. False
 * when memory is exhausted.
 */
static bool read_fields(struct response *r, CURL *easy)
{
    bool is_redirect = r->http_status >= 300 && r->http_status < 400;
    const struct {
        const char *name;
        size_t most; /* values */
        struct bytes *to;
    } fields[] = {
        {"content-type", SIZE_MAX, &r->content_type},
        {"content-encoding", SIZE_MAX, &r->content_encoding},
        {"cache-control", SIZE_MAX, &r->cache_control},
        {"location", is_redirect ? 1 : 0, &r->location},
    };
    size_t count = sizeof fields / sizeof *fields;

    for (size_t i = 0; i < count; i++)
        fields[i].to->len = append_field(&r->text, easy, fields[i].name, fields[i].most);
    if (r->text.failed)
        return false;
    const char *at = r->text.ptr;
    for (size_t i = 0; i < count; i++) {
        fields[i].to->ptr = at;
        if (at)
            at += fields[i].to->len;
    }
    return true;
}

/*
 * RFC 9110 section 10.2.3, of either form. CURLINFO_RETRY_AFTER is cut at six hours by some
 * versions and cannot tell 0 from none. What is neither form is as if it were not there.
 */
static void read_retry_after(struct response *r, CURL *easy)
{
    struct curl_header *field;
    uint64_t seconds = 0;

    if (curl_easy_header(easy, "retry-after", 0, CURLH_HEADER, -1, &field) != CURLHE_OK)
        return;
    struct bytes value = bytes_trim(bytes_cstr(field->value));
    size_t i = 0;
    for (; i < value.len && value.ptr[i] >= '0' && value.ptr[i] <= '9'; i++)
        if (seconds < UINT32_MAX) /* more is the same: never */
            seconds = 10 * seconds + (uint64_t)(value.ptr[i] - '0');
    if (value.len == 0)
        return;
    if (i < value.len) {
        time_t at = curl_getdate(field->value, NULL), now = time(NULL);
        if (at == -1)
            return;
        seconds = at > now ? (uint64_t)(at - now) : 0;
    }
    r->has_retry_after = true;
    r->retry_after_s = seconds;
}

static struct bytes version_name(CURL *easy)
{
    long version = 0;

    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    switch (version) {
    case CURL_HTTP_VERSION_1_0:
        return BYTES("1.0");
    case CURL_HTTP_VERSION_1_1:
        return BYTES("1.1");
    case CURL_HTTP_VERSION_2_0:
        return BYTES("2");
    case CURL_HTTP_VERSION_3:
        return BYTES("3");
    }
    return bytes_of(NULL, 0);
}

bool response_read_head(struct response *r, CURL *easy)
{
    long status = 0;
    const char *ip = NULL;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &ip);
    r->http_status = (unsigned)status;
    r->http_version = version_name(easy);
    snprintf(r->remote_ip, sizeof r->remote_ip, "%s", ip ? ip : "");
    if (status >= 300) /* a success asks for no other try */
        read_retry_after(r, easy);
    return read_fields(r, easy);
}

static uint64_t microseconds(CURL *easy, CURLINFO what)
{
    curl_off_t us = 0;

    curl_easy_getinfo(easy, what, &us);
    return us > 0 ? (uint64_t)us : 0;
}

struct transfer_timing transfer_timing_of(CURL *easy)
{
    return (struct transfer_timing){
        .dns_us = microseconds(easy, CURLINFO_NAMELOOKUP_TIME_T),
        .connect_us = microseconds(easy, CURLINFO_CONNECT_TIME_T),
        .tls_us = microseconds(easy, CURLINFO_APPCONNECT_TIME_T),
        .first_byte_us = microseconds(easy, CURLINFO_STARTTRANSFER_TIME_T),
        .total_us = microseconds(easy, CURLINFO_TOTAL_TIME_T),
    };
}
