#include "core/fetch/head.h"

/* "HTTP/1.1 200 OK": the status; 0 where there is none, which is libcurl's to refuse. */
static unsigned status_of(struct bytes line)
{
    struct bytes version = bytes_split(&line, ' ');
    unsigned status = 0;

    (void)version;
    line = bytes_trim(line);
    for (size_t i = 0; i < 3 && i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9'; i++)
        status = 10 * status + (unsigned)(line.ptr[i] - '0');
    return status;
}

/* Digits, and nothing else. */
static bool parse_length(struct bytes text, uint64_t *ret)
{
    uint64_t n = 0;

    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(text.ptr[i] - '0'), &n))
            n = UINT64_MAX / 10; /* stays too large, whatever follows */
    }
    *ret = n;
    return true;
}

/* RFC 9110 section 8.6: the same number may come more than once, in one field or in several. */
static void take_length(struct head *h, struct bytes values)
{
    while (values.ptr) {
        uint64_t length;
        if (!parse_length(bytes_trim(bytes_split(&values, ',')), &length) ||
            (h->has_length && length != h->length)) {
            h->has_bad_length = true;
            return;
        }
        h->has_length = true;
        h->length = length;
    }
}

/* We ask for no transfer coding, so it is chunked alone (RFC 9112 section 6.1). */
static void take_coding(struct head *h, struct bytes values)
{
    while (values.ptr) {
        struct bytes coding = bytes_trim(bytes_split(&values, ','));
        if (coding.len == 0 || bytes_equal_nocase(coding, BYTES("identity")))
            continue;
        h->has_coding = true;
        if (!bytes_equal_nocase(coding, BYTES("chunked"))) /* said twice it is taken for once */
            h->has_bad_coding = true;
    }
}

/* The empty line. */
static const char *end_head(struct head *h)
{
    if (h->status == 101)
        return "The server switches to a protocol that it was not asked for";
    if (h->status < 200)
        return NULL; /* an interim one: the next follows */
    h->is_complete = true;
    if (h->has_bad_coding)
        return "The server answers in a Transfer-Encoding that is not chunked";
    if (h->has_bad_length && !h->has_coding) /* section 6.3, rules 3 and 5 */
        return "The server's Content-Length is no length, or there are several";
    return NULL;
}

const char *head_take_line(struct head *h, struct bytes line)
{
    h->bytes += line.len;
    if (h->bytes > HEAD_BYTES_MAX)
        return "The server's header fields have no end";
    if (h->is_complete) /* a trailer */
        return NULL;
    if (line.len > 5 && bytes_equal_nocase(bytes_of(line.ptr, 5), BYTES("HTTP/"))) {
        *h = (struct head){.bytes = h->bytes, .status = status_of(line)};
        return NULL;
    }
    if (line.len > 0 && (line.ptr[0] == '\r' || line.ptr[0] == '\n'))
        return end_head(h);
    struct bytes value = line;
    struct bytes name = bytes_split(&value, ':');
    if (!value.ptr)
        return NULL;
    if (bytes_equal_nocase(name, BYTES("Content-Length")))
        take_length(h, bytes_trim(value));
    else if (bytes_equal_nocase(name, BYTES("Transfer-Encoding")))
        take_coding(h, bytes_trim(value));
    return NULL;
}

int64_t head_body_length(const struct head *h)
{
    if (h->status == 204 || h->status == 304)
        return 0;
    if (!h->has_length || h->has_coding)
        return -1;
    return h->length > INT64_MAX ? INT64_MAX : (int64_t)h->length;
}
