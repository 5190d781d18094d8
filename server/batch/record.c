#include "server/batch/record.h"

#include "server/batch/record_fields.h"
#include "server/json.h"

static void put(struct buffer *out, struct bytes literal)
{
    buffer_append(out, literal.ptr, literal.len);
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

static void write_title(struct buffer *out, const struct record *record)
{
    if (record->has_title)
        put_text(out, BYTES(",\"title\":"), record->title);
    else
        put(out, BYTES(",\"title\":null"));
    if (record->title_truncated)
        put(out, BYTES(",\"title_truncated\":true"));
}

static void write_page(struct buffer *out, const struct record *record)
{
    put_number(out, BYTES(",\"http_status\":"), record->http_status);
    put_text(out, BYTES(",\"final_url\":"), record->final_url);
    if (record->fields & FIELD_BIT(FIELD_TITLE))
        write_title(out, record);
    if (record->fields & ~FIELD_BIT(FIELD_TITLE))
        record_write_fields(out, record->fields, record->packed_fields);
    if (record->truncated)
        put(out, BYTES(",\"truncated\":true"));
    put_known_text(out, BYTES(",\"content_type\":"), record->content_type);
    put_known_text(out, BYTES(",\"charset\":"), record->charset);
    put_number(out, BYTES(",\"body_bytes\":"), record->body_bytes);
    if (record->body_stopped)
        put(out, BYTES(",\"body_stopped\":true"));
    put_number(out, BYTES(",\"redirects\":"), record->redirects);
    put_number(out, BYTES(",\"attempts\":"), record->attempts);
    put_known_text(out, BYTES(",\"http_version\":"), record->http_version);
    put_known_text(out, BYTES(",\"remote_ip\":"), record->remote_ip);
    write_timing(out, &record->timing);
}

static void write_error(struct buffer *out, const struct record *record)
{
    if (record->redirects > 0)
        put_known_text(out, BYTES(",\"final_url\":"), record->final_url);
    put_text(out, BYTES(",\"error\":{\"code\":"), record->error_code);
    put_text(out, BYTES(",\"message\":"), record->error_message);
    put(out, record->retryable ? BYTES(",\"retryable\":true}") : BYTES(",\"retryable\":false}"));
    if (record->redirects > 0)
        put_number(out, BYTES(",\"redirects\":"), record->redirects);
    put_number(out, BYTES(",\"attempts\":"), record->attempts);
}

/* Most of a record with fields is those: room for them at once, and for the escapes of ordinary
 * text, instead of a buffer that doubles to twice of what is needed. */
static void reserve(struct buffer *out, const struct record *record)
{
    enum { OTHERS = 2048, ESCAPES = 16 /* one byte in so many */ };
    size_t fields = record->packed_fields.len;

    if (fields > 0)
        buffer_reserve(out, OTHERS + record->title.len + fields + fields / ESCAPES);
}

void record_write(struct buffer *out, const struct record *record)
{
    reserve(out, record);
    put_number(out, BYTES("{\"type\":\"result\",\"index\":"), record->index);
    put_text(out, BYTES(",\"url\":"), record->url);
    if (record->id.len > 0) {
        put(out, BYTES(",\"id\":"));
        put(out, record->id);
    }
    if (record->is_duplicate)
        put_number(out, BYTES(",\"duplicate_of\":"), record->duplicate_of);
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
