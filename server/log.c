#include "server/log.h"

#include "core/async/context.h"
#include "core/base/buffer.h"
#include "server/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct {
    int fd;
    enum log_format format;
    enum log_level level;
} process_log = {STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO};

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

struct log_field log_errno(int error)
{
    /* Unlike strerror this is a constant in every thread; NULL for a number that is no errno. */
    const char *words = strerrordesc_np(error < 0 ? -error : error);

    return log_text("error", words ? words : "unknown error");
}

void log_open(int fd, enum log_format format, enum log_level level)
{
    process_log.fd = fd;
    process_log.format = format;
    process_log.level = level;
}

CONTEXT_KEY(batch);
CONTEXT_KEY(trace);

void log_tag_batch(uint64_t number)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, number);

    context_set(&batch, bytes_of(digits, (size_t)n));
}

void log_tag_trace(const char *id)
{
    if (*id)
        context_set(&trace, bytes_cstr(id));
}

bool log_enabled(enum log_level level)
{
    return level <= process_log.level;
}

/* RFC 3339 in UTC, with milliseconds. */
static void write_time(struct buffer *line)
{
    struct timespec now;
    struct tm utc;
    char seconds[sizeof "+9999999999-12-31T23:59:60"];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t len = strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    buffer_append(line, seconds, len);
    buffer_printf(line, ".%03ldZ", now.tv_nsec / 1000000);
}

/* True when a text field can stand without quotes and still be cut out of the line by a program. */
static bool is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c <= 0x20 || c >= 0x7F || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return text.len > 0;
}

static void write_value(struct buffer *line, const struct log_field *field)
{
    switch (field->type) {
    case LOG_FIELD_TEXT:
        if (process_log.format == LOG_FORMAT_TEXT && is_plain(field->text))
            buffer_append(line, field->text.ptr, field->text.len);
        else
            json_write_string(line, field->text);
        break;
    case LOG_FIELD_INT:
        if (field->integer < 0)
            buffer_byte(line, '-');
        buffer_unsigned(line, field->integer < 0 ? 0 - (uint64_t)field->integer
                                                 : (uint64_t)field->integer);
        break;
    case LOG_FIELD_UNSIGNED:
        buffer_unsigned(line, field->number);
        break;
    case LOG_FIELD_BOOL:
        buffer_text(line, field->truth ? "true" : "false");
        break;
    case LOG_FIELD_MS:
        json_write_milliseconds(line, field->number);
        break;
    }
}

static void write_text_line(struct buffer *line, enum log_level level,
                            const struct log_field *fields, size_t count)
{
    write_time(line);
    buffer_printf(line, " %-5s %s", level_names[level], fields[0].key);
    for (size_t i = 1; i < count; i++) {
        buffer_byte(line, ' ');
        buffer_text(line, fields[i].key);
        buffer_byte(line, '=');
        write_value(line, &fields[i]);
    }
    struct bytes tag = context_get(&batch);
    if (tag.len > 0) {
        buffer_text(line, " batch=");
        buffer_append(line, tag.ptr, tag.len);
    }
    tag = context_get(&trace);
    if (tag.len > 0) {
        buffer_text(line, " trace_id=");
        buffer_append(line, tag.ptr, tag.len);
    }
    buffer_byte(line, '\n');
}

static void write_json_line(struct buffer *line, enum log_level level,
                            const struct log_field *fields, size_t count)
{
    buffer_text(line, "{\"time\":\"");
    write_time(line);
    buffer_text(line, "\",\"level\":\"");
    buffer_text(line, level_names[level]);
    buffer_text(line, "\",\"msg\":");
    json_write_string(line, bytes_cstr(fields[0].key));
    for (size_t i = 1; i < count; i++) {
        buffer_byte(line, ',');
        json_write_string(line, bytes_cstr(fields[i].key));
        buffer_byte(line, ':');
        write_value(line, &fields[i]);
    }
    struct bytes tag = context_get(&batch);
    if (tag.len > 0) {
        buffer_text(line, ",\"batch\":");
        buffer_append(line, tag.ptr, tag.len);
    }
    tag = context_get(&trace);
    if (tag.len > 0) {
        buffer_text(line, ",\"trace_id\":");
        json_write_string(line, tag);
    }
    buffer_text(line, "}\n");
}

/* One write for a line; a second one only where a full disk or pipe took just a part of it. */
static void write_out(int fd, struct bytes line)
{
    while (line.len > 0) {
        ssize_t written = write(fd, line.ptr, line.len);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        line.ptr += written;
        line.len -= (size_t)written;
    }
}

void log_write(enum log_level level, const struct log_field *fields, size_t count)
{
    struct buffer line = {0};
    int saved_errno = errno; /* who logs an error often looks at errno afterwards */

    if (process_log.format == LOG_FORMAT_JSON)
        write_json_line(&line, level, fields, count);
    else
        write_text_line(&line, level, fields, count);
    write_out(process_log.fd,
              line.failed ? BYTES("a log line was lost: out of memory\n") : buffer_bytes(&line));
    buffer_free(&line);
    errno = saved_errno;
}
