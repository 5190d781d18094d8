#include "server/record.h"

static void put(struct buffer *out, struct bytes literal)
{
    buffer_append(out, literal.ptr, literal.len);
}

int utf8_sequence(struct bytes text)
{
    const unsigned char *p = (const unsigned char *)text.ptr;
    unsigned char lead = p[0];
    /* The second byte's range is what keeps overlong forms, surrogates and > U+10FFFF out. */
    unsigned char low = 0x80, high = 0xBF;
    int length;

    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return -1;
    if (lead < 0xE0) {
        length = 2;
    } else if (lead < 0xF0) {
        length = 3;
        if (lead == 0xE0)
            low = 0xA0;
        else if (lead == 0xED)
            high = 0x9F;
    } else {
        length = 4;
        if (lead == 0xF0)
            low = 0x90;
        else if (lead == 0xF4)
            high = 0x8F;
    }
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= text.len || p[i] < low || p[i] > high)
            return -i;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

/* The character behind the backslash of a two-character escape, or 0 where there is none. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    }
    return 0;
}

static void escape_ascii(struct buffer *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char letter = short_escape(c);

    if (letter)
        buffer_append(out, (const char[]){'\\', letter}, 2);
    else
        buffer_append(out, (const char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

static bool needs_no_escape(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

void json_write_string(struct buffer *out, struct bytes text)
{
    size_t at = 0, copied = 0; /* text[copied..at) is fit to be copied as it stands */

    buffer_byte(out, '"');
    while (at < text.len) {
        unsigned char c = (unsigned char)text.ptr[at];

        if (needs_no_escape(c)) {
            at++;
            continue;
        }
        int length = utf8_sequence(bytes_of(text.ptr + at, text.len - at));
        if (length > 1) {
            at += (size_t)length;
            continue;
        }
        buffer_append(out, text.ptr + copied, at - copied);
        if (length == 1) {
            escape_ascii(out, c);
            at++;
        } else {
            put(out, BYTES("\xEF\xBF\xBD"));
            at += (size_t)-length;
        }
        copied = at;
    }
    if (at > copied)
        buffer_append(out, text.ptr + copied, at - copied);
    buffer_byte(out, '"');
}

void json_write_milliseconds(struct buffer *out, uint64_t us)
{
    unsigned rest = (unsigned)(us % 1000);
    char decimals[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                        (char)('0' + rest % 10)};
    size_t length = sizeof decimals;

    while (length > 2 && decimals[length - 1] == '0')
        length--;
    buffer_unsigned(out, us / 1000);
    buffer_append(out, decimals, length);
}

/* Keys come with their comma and colon: `,"url":`. */
static void put_text(struct buffer *out, struct bytes key, struct bytes value)
{
    put(out, key);
    json_write_string(out, value);
}

static void put_known_text(struct buffer *out, struct bytes key, struct bytes value)
{
    if (value.len > 0)
        put_text(out, key, value);
}

static void put_number(struct buffer *out, struct bytes key, uint64_t value)
{
    put(out, key);
    buffer_unsigned(out, value);
}

static void put_time(struct buffer *out, struct bytes key, uint64_t us)
{
    put(out, key);
    json_write_milliseconds(out, us);
}

static void write_timing(struct buffer *out, const struct record_timing *timing)
{
    put_time(out, BYTES(",\"timing_ms\":{\"queued\":"), timing->queued_us);
    put_time(out, BYTES(",\"dns\":"), timing->dns_us);
    put_time(out, BYTES(",\"connect\":"), timing->connect_us);
    put_time(out, BYTES(",\"tls\":"), timing->tls_us);
    put_time(out, BYTES(",\"first_byte\":"), timing->first_byte_us);
    put_time(out, BYTES(",\"total\":"), timing->total_us);
    put_time(out, BYTES(",\"parse\":"), timing->parse_us);
    buffer_byte(out, '}');
}

static void write_page(struct buffer *out, const struct record *record)
{
    put_number(out, BYTES(",\"http_status\":"), record->http_status);
    put_text(out, BYTES(",\"final_url\":"), record->final_url);
    if (record->has_title)
        put_text(out, BYTES(",\"title\":"), record->title);
    else
        put(out, BYTES(",\"title\":null"));
    if (record->title_truncated)
        put(out, BYTES(",\"title_truncated\":true"));
    put_known_text(out, BYTES(",\"content_type\":"), record->content_type);
    put_known_text(out, BYTES(",\"charset\":"), record->charset);
    put_number(out, BYTES(",\"body_bytes\":"), record->body_bytes);
    put_number(out, BYTES(",\"redirects\":"), record->redirects);
    put_number(out, BYTES(",\"attempts\":"), record->attempts);
    put_known_text(out, BYTES(",\"http_version\":"), record->http_version);
    put_known_text(out, BYTES(",\"remote_ip\":"), record->remote_ip);
    write_timing(out, &record->timing);
}

static void write_error(struct buffer *out, const struct record *record)
{
    put_text(out, BYTES(",\"error\":{\"code\":"), record->error_code);
    put_text(out, BYTES(",\"message\":"), record->error_message);
    put(out, record->retryable ? BYTES(",\"retryable\":true}") : BYTES(",\"retryable\":false}"));
    put_number(out, BYTES(",\"attempts\":"), record->attempts);
}

void record_write(struct buffer *out, const struct record *record)
{
    put_number(out, BYTES("{\"type\":\"result\",\"index\":"), record->index);
    put_text(out, BYTES(",\"url\":"), record->url);
    if (record->id.len > 0) {
        put(out, BYTES(",\"id\":"));
        put(out, record->id);
    }
    switch (record->status) {
    case RECORD_OK:
        put(out, BYTES(",\"status\":\"ok\""));
        write_page(out, record);
        break;
    case RECORD_FAILED:
        put(out, BYTES(",\"status\":\"failed\""));
        write_error(out, record);
        break;
    case RECORD_CANCELLED:
        put(out, BYTES(",\"status\":\"cancelled\""));
        write_error(out, record);
        break;
    }
    put(out, BYTES("}\n"));
}

void record_write_end(struct buffer *out, const struct record_end *end)
{
    put_number(out, BYTES("{\"type\":\"end\",\"total\":"), end->total);
    put_number(out, BYTES(",\"ok\":"), end->ok);
    put_number(out, BYTES(",\"failed\":"), end->failed);
    put_number(out, BYTES(",\"cancelled\":"), end->cancelled);
    put_time(out, BYTES(",\"elapsed_ms\":"), end->elapsed_us);
    put(out, BYTES("}\n"));
}
