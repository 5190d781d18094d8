#include "server/http/head.h"

/* tchar of RFC 9110 section 5.6.2. */
static bool is_token(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool alphanumeric = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

        if (!alphanumeric && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return text.len > 0;
}

/* Field values: no controls but TAB (RFC 9110 section 5.5). */
static bool has_control(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return true;
    }
    return false;
}

/* Targets: visible ASCII, and the raw UTF-8 that clients send although they should not. */
static bool is_target(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c <= 0x20 || c == 0x7F)
            return false;
    }
    return text.len > 0;
}

/* 1*DIGIT (RFC 9110 section 8.6). False when it is none; UINT64_MAX for all that is larger. */
static bool read_length(struct bytes text, uint64_t *ret_length)
{
    uint64_t length = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.ptr[i] - (unsigned)'0';

        if (digit > 9)
            return false;
        length = length > (UINT64_MAX - digit) / 10 ? UINT64_MAX : 10 * length + digit;
    }
    if (text.len == 0)
        return false;
    *ret_length = length;
    return true;
}

/* host [":" port]; what cannot stand in one (RFC 3986 section 3.2.2) is looked for, no more. */
static bool is_host(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= 0x20 || strchr(",/?#@\\\"<>", text.ptr[i]))
            return false;
    return true;
}

static void find_fault(struct http_head *head, const char *fault)
{
    if (!head->fault)
        head->fault = fault;
}

void http_head_field(struct http_head *head, struct bytes name, struct bytes value)
{
    value = bytes_trim(value);
    if (!is_token(name))
        find_fault(head, "The name of a header field has a character that must not be in it.");
    if (has_control(value))
        find_fault(head, "The value of a header field has a control character.");

    if (bytes_equal_nocase(name, BYTES("host"))) {
        head->hosts++;
        if (!is_host(value))
            find_fault(head, "The Host field is not a host.");
    } else if (bytes_equal_nocase(name, BYTES("content-length"))) {
        head->content_lengths++;
        if (!read_length(value, &head->content_length))
            find_fault(head, "The Content-Length field is not a number.");
    } else if (bytes_equal_nocase(name, BYTES("transfer-encoding"))) {
        head->transfer_encodings++;
        head->chunked = bytes_equal_nocase(value, BYTES("chunked"));
    }
}

bool http_head_check(const struct http_head *head, struct bytes method, struct bytes target,
                     struct problem *ret_problem)
{
    enum problem_kind kind = PROBLEM_BAD_REQUEST;
    const char *fault = head->fault;

    if (!is_token(method))
        fault = "The method is not a token.";
    else if (!is_target(target))
        fault = "The request target has a character that must not be in it.";
    else if (head->hosts > 1)
        fault = "There is more than one Host field.";
    else if (head->hosts == 0 && !head->http_1_0)
        fault = "The Host field is missing.";
    else if (head->content_lengths > 1)
        fault = "There is more than one Content-Length field.";
    else if (head->transfer_encodings > 1)
        fault = "There is more than one Transfer-Encoding field.";
    else if (head->content_lengths > 0 && head->transfer_encodings > 0)
        fault = "There are both Content-Length and Transfer-Encoding.";
    else if (head->transfer_encodings > 0 && head->http_1_0)
        fault = "HTTP/1.0 has no Transfer-Encoding.";
    else if (!fault && head->transfer_encodings > 0 && !head->chunked) {
        kind = PROBLEM_NOT_IMPLEMENTED;
        fault = "The only transfer coding that is understood is chunked.";
    }
    if (!fault)
        return true;
    problem_set(ret_problem, kind, NULL, "%s", fault);
    return false;
}

bool http_head_has_body(const struct http_head *head)
{
    return head->transfer_encodings > 0 || head->content_length > 0;
}

/* What stands behind "http://authority"; the target itself when it does not begin so. */
static struct bytes without_authority(struct bytes target)
{
    struct bytes rest = target, scheme = bytes_split(&rest, ':');
    const char *end = target.ptr + target.len;

    if (!(bytes_equal_nocase(scheme, BYTES("http")) ||
          bytes_equal_nocase(scheme, BYTES("https"))) ||
        rest.len < 2 || memcmp(rest.ptr, "//", 2) != 0)
        return target;
    for (const char *at = rest.ptr + 2; at < end; at++)
        if (*at == '/' || *at == '?')
            return bytes_of(at, (size_t)(end - at));
    return BYTES("/");
}

void http_target_split(struct bytes target, struct bytes *ret_path, struct bytes *ret_query)
{
    struct bytes rest = without_authority(target);
    struct bytes path = bytes_split(&rest, '?');

    *ret_path = path.len > 0 ? path : BYTES("/");
    *ret_query = rest;
}
