/*
 * The test origin's requests as they are read, and its answers as they are played.
 */
#include "tests/support/origin_answer.h"

#include <errno.h>
#include <stdint.h>

/* -- requests ------------------------------------------------------------------------------ */

int parse_decimal(struct bytes text, uint64_t *ret_number)
{
    uint64_t n = 0;

    if (text.len == 0)
        return -EBADMSG;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || n > (UINT64_MAX - 9) / 10)
            return -EBADMSG;
        n = n * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret_number = n;
    return 0;
}

/* One header field. Only those matter that decide where the request ends and what follows it. */
static int parse_field(struct bytes line, struct request *request)
{
    struct bytes value = line;
    struct bytes name = bytes_split(&value, ':');

    value = bytes_trim(value);
    if (bytes_equal_nocase(name, BYTES("content-length")))
        return parse_decimal(value, &request->body_bytes);
    if (bytes_equal_nocase(name, BYTES("transfer-encoding")))
        return -ENOTSUP;
    if (bytes_equal_nocase(name, BYTES("connection")))
        request->close = bytes_equal_nocase(value, BYTES("close"));
    return 0;
}

int request_parse(struct bytes head, struct request *ret_request)
{
    struct bytes rest = head;
    struct bytes version = bytes_trim(bytes_split(&rest, '\n'));
    struct request request = {.head = head};

    request.method = bytes_split(&version, ' ');
    request.query = bytes_split(&version, ' ');
    request.path = bytes_split(&request.query, '?');
    if (version.len != 8 || memcmp(version.ptr, "HTTP/1.", 7) != 0 || request.path.len == 0)
        return -EBADMSG;
    request.close = version.ptr[7] == '0';

    while (rest.ptr) {
        int error = parse_field(bytes_trim(bytes_split(&rest, '\n')), &request);
        if (error)
            return error;
    }
    *ret_request = request;
    return 0;
}

/* -- answers ------------------------------------------------------------------------------- */

struct bytes answer_at(const struct answer *a, uint64_t position)
{
    struct bytes body = a->borrowed.ptr ? a->borrowed : buffer_bytes(&a->body);

    if (position < a->head.len)
        return bytes_of(a->head.ptr + position, a->head.len - position);
    position -= a->head.len;
    if (position < body.len)
        return bytes_of(body.ptr + position, body.len - position);
    position -= body.len;
    if (position < a->repeat_bytes) {
        size_t at = (size_t)(position % a->unit.len);
        uint64_t left = a->repeat_bytes - position;
        size_t in_unit = a->unit.len - at;
        return bytes_of(a->unit.ptr + at, left < in_unit ? (size_t)left : in_unit);
    }
    position -= a->repeat_bytes;
    if (position < a->tail.len)
        return bytes_of(a->tail.ptr + position, a->tail.len - position);
    return bytes_of(NULL, 0);
}

void answer_free(struct answer *a)
{
    buffer_free(&a->head);
    buffer_free(&a->body);
    buffer_free(&a->unit);
    buffer_free(&a->tail);
    *a = (struct answer){0};
}
