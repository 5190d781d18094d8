#include "core/fetch/header.h"

#include "core/base/buffer.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>

static const char no_body[] = "is about a request body, and there is none";
static const char of_connection[] = "belongs to the connection, not to the request";

/* Names that are refused, and what is said of them. */
static const struct {
    const char *name, *message;
} refused[] = {
    {"Host", "is set by skimd itself, from the URL"},
    {"Accept-Encoding", "is set by skimd itself, to what it can decode"},
    {"User-Agent", "has an option of its own, user_agent"},
    {"Content-Length", no_body},
    {"Transfer-Encoding", no_body},
    {"Trailer", no_body},
    {"Expect", no_body},
    /* RFC 9110 section 7.6.1, and HTTP2-Settings of RFC 7540 section 3.2.1. */
    {"Connection", of_connection},
    {"Keep-Alive", of_connection},
    {"TE", of_connection},
    {"Upgrade", of_connection},
    {"HTTP2-Settings", of_connection},
};

/* RFC 9110 section 5.6.2. */
static bool is_token_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* What is wrong with the name; NULL: nothing. */
static const char *name_fault(struct bytes name)
{
    if (name.len == 0)
        return "has no name";
    if (name.ptr[0] == ':')
        return "is a pseudo-field of HTTP/2";
    for (size_t i = 0; i < name.len; i++) {
        if (!is_token_character(name.ptr[i]))
            return "has a character that names cannot have";
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (bytes_equal_nocase(name, bytes_cstr(refused[i].name)))
            return refused[i].message;
    }
    if (name.len >= 6 && strncasecmp(name.ptr, "Proxy-", 6) == 0)
        return "is for proxies";
    return NULL;
}

/* `value` without optional white space (section 5.6.3). A line end is no such thing. */
static struct bytes trim_value(struct bytes value)
{
    while (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[0] == '\t')) {
        value.ptr++;
        value.len--;
    }
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    return value;
}

static const char *value_fault(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return "has a control character in its value";
    }
    return NULL;
}

/* A line is "Name: value", or "Name;" where the value is empty (CURLOPT_HTTPHEADER). */
static bool has_name(const struct header_list *list, struct bytes name)
{
    for (const struct curl_slist *line = list->lines; line; line = line->next) {
        size_t len = strcspn(line->data, ":;");

        if (bytes_equal_nocase(bytes_of(line->data, len), name))
            return true;
    }
    return false;
}

/* What is wrong with one more field of `size` bytes. */
static const char *list_fault(const struct header_list *list, struct bytes name, size_t size)
{
    if (has_name(list, name))
        return "is there already";
    if (list->count == HEADERS_MAX)
        return "is one more than the 64 headers that are allowed";
    if (size > HEADERS_BYTES_MAX - list->bytes)
        return "makes the headers longer than the 16 KiB that are allowed";
    return NULL;
}

static_assert(HEADERS_MAX == 64 && HEADERS_BYTES_MAX == 16 << 10, "the messages name them");

static int append_line(struct header_list *list, struct bytes name, struct bytes value)
{
    struct buffer line = {0};
    struct curl_slist *lines = NULL;

    buffer_append(&line, name.ptr, name.len);
    buffer_text(&line, value.len ? ": " : ";");
    buffer_append(&line, value.ptr, value.len);
    buffer_byte(&line, '\0');
    if (!line.failed)
        lines = curl_slist_append(list->lines, line.ptr);
    buffer_free(&line);
    if (!lines)
        return -ENOMEM;
    list->lines = lines;
    return 0;
}

int header_list_add(struct header_list *list, struct bytes name, struct bytes value,
                    const char **ret_message)
{
    const char *fault = name_fault(name);
    size_t size;

    value = trim_value(value);
    size = name.len + value.len + strlen(": \r\n");
    if (!fault)
        fault = value_fault(value);
    if (!fault)
        fault = list_fault(list, name, size);
    if (fault) {
        *ret_message = fault;
        return -EINVAL;
    }
    if (append_line(list, name, value) < 0)
        return -ENOMEM;
    list->count++;
    list->bytes += size;
    return 0;
}

void header_list_free(struct header_list *list)
{
    curl_slist_free_all(list->lines);
    *list = (struct header_list){0};
}
