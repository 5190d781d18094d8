/*
 * What the test origin's scenarios are written with.
 */
#include "tests/support/origin_job.h"

enum {
    UNIT_BYTES = 16 * 1024, /* a repeated pattern is copied up to about this size */
};

/* -- reading the request ------------------------------------------------------------------- */

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = memchr(digits, c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c, 16);

    return at ? (int)(at - digits) : -1;
}

void percent_forgive(struct buffer *out, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        int high = -1, low = -1;
        if (text.ptr[i] == '%' && text.len - i > 2) {
            high = hex_value(text.ptr[i + 1]);
            low = hex_value(text.ptr[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            buffer_byte(out, (char)(high * 16 + low));
            i += 2;
        } else {
            buffer_byte(out, text.ptr[i]);
        }
    }
}

/* The value of a query parameter, not decoded; {NULL, 0} when it is not there. */
static struct bytes query_value(const struct job *job, struct bytes name)
{
    struct bytes rest = job->request->query;

    while (rest.ptr) {
        struct bytes value = bytes_split(&rest, '&');
        if (bytes_equal(bytes_split(&value, '='), name))
            return value;
    }
    return bytes_of(NULL, 0);
}

struct buffer job_query_text(const struct job *job, struct bytes name, struct bytes fallback)
{
    struct bytes value = query_value(job, name);
    struct buffer text = {0};

    if (value.ptr)
        percent_forgive(&text, value);
    else
        buffer_append(&text, fallback.ptr, fallback.len);
    return text;
}

uint64_t job_query_number(const struct job *job, struct bytes name, uint64_t fallback,
                          uint64_t most)
{
    uint64_t n = fallback;

    parse_decimal(query_value(job, name), &n);
    return n < most ? n : most;
}

/* -- writing the answer -------------------------------------------------------------------- */

void job_begin(const struct job *job, unsigned status)
{
    buffer_printf(&job->answer->head, "HTTP/1.1 %u %s\r\n", status,
                  status == 200 ? "OK" : "Status");
    if (job->request->close)
        buffer_text(&job->answer->head, "Connection: close\r\n");
}

void job_field(const struct job *job, const char *name, struct bytes value)
{
    buffer_printf(&job->answer->head, "%s: ", name);
    buffer_append(&job->answer->head, value.ptr, value.len);
    buffer_text(&job->answer->head, "\r\n");
}

void job_begin_html(const struct job *job, unsigned status)
{
    job_begin(job, status);
    job_field(job, "Content-Type", BYTES("text/html; charset=utf-8"));
}

void job_finish_announcing(const struct job *job, uint64_t content_length)
{
    buffer_text(&job->answer->head, "Content-Length: ");
    buffer_unsigned(&job->answer->head, content_length);
    buffer_text(&job->answer->head, "\r\n\r\n");
}

static uint64_t body_length(const struct answer *a)
{
    return (a->borrowed.ptr ? a->borrowed.len : a->body.len) + a->repeat_bytes + a->tail.len;
}

void job_finish(const struct job *job)
{
    job_finish_announcing(job, body_length(job->answer));
}

void job_repeat(const struct job *job, struct bytes pattern, uint64_t bytes)
{
    struct answer *a = job->answer;

    do
        buffer_append(&a->unit, pattern.ptr, pattern.len);
    while (a->unit.len < UNIT_BYTES && !a->unit.failed);
    a->repeat_bytes = bytes;
}

static void append_escaped(struct buffer *out, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '<')
            buffer_text(out, "&lt;");
        else if (text.ptr[i] == '&')
            buffer_text(out, "&amp;");
        else
            buffer_byte(out, text.ptr[i]);
    }
}

void job_write_page(const struct job *job, struct bytes title, uint64_t size)
{
    static const char last[] = "</body></html>\n";
    struct buffer *out = &job->answer->body;

    buffer_text(out, "<!doctype html>\n<html lang=\"en\"><head><title>");
    buffer_append(out, title.ptr, title.len);
    buffer_text(out, "</title></head>\n<body><h1>");
    buffer_append(out, title.ptr, title.len);
    buffer_text(out, "</h1>\n");
    if (size > out->len + sizeof last - 1) {
        size_t filling = (size_t)size - out->len - (sizeof last - 1);
        if (buffer_reserve(out, filling)) {
            memset(out->ptr + out->len, 'x', filling);
            out->len += filling;
        }
    }
    buffer_text(out, last);
}

void job_write_labelled_page(const struct job *job, const char *label, uint64_t least_size)
{
    struct buffer name = {0}, title = {0};

    percent_forgive(&name, job->argument);
    buffer_text(&title, label);
    append_escaped(&title, buffer_bytes(&name));
    job_write_page(job, buffer_bytes(&title),
                   job_query_number(job, BYTES("size"), least_size, PAGE_MAX));
    job->answer->body.failed |= name.failed || title.failed;
    job->answer->delay_ms = job_query_number(job, BYTES("ms"), 0, UINT32_MAX);
    buffer_free(&name);
    buffer_free(&title);
}

void job_write_status_page(const struct job *job, unsigned status)
{
    struct buffer title = {0};

    buffer_printf(&title, "Status %u", status);
    job_write_page(job, buffer_bytes(&title), 0);
    job->answer->body.failed |= title.failed;
    buffer_free(&title);
}

void job_not_found(const struct job *job)
{
    job_begin_html(job, 404);
    job_write_status_page(job, 404);
    job_finish(job);
}
