/*
 * The log: one line per event on standard error, as text for people or JSON for machines.
 *
 *     log_info("listening", log_text("address", address));
 *     2026-01-31T12:00:00.000Z info  listening address=[::1]:80
 *     {"time":"2026-01-31T12:00:00.000Z","level":"info","msg":"listening","address":"[::1]:80"}
 *
 * The message is a constant, what varies stands in fields, so that lines can be searched. Every
 * line is one write(2): lines of several threads do not mix. Any thread. A line that cannot be
 * written is lost; the log never fails or delays its caller otherwise.
 *
 * Like standard error itself there is one log per process: its settings are the process's.
 */
#ifndef SKIMD_SERVER_LOG_H
#define SKIMD_SERVER_LOG_H

#include "core/base/bytes.h"

#include <stdint.h>

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Ordered: a level includes those before it. */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Made by the functions below. Keys are constants in snake_case; values are borrowed. */
struct log_field {
    const char *key;
    enum { LOG_FIELD_TEXT, LOG_FIELD_INT, LOG_FIELD_UNSIGNED, LOG_FIELD_BOOL, LOG_FIELD_MS } type;
    union {
        struct bytes text;
        int64_t integer;
        uint64_t number; /* LOG_FIELD_MS: microseconds, shown as milliseconds */
        bool truth;
    };
};

static inline struct log_field log_bytes(const char *key, struct bytes value)
{
    return (struct log_field){.key = key, .type = LOG_FIELD_TEXT, .text = value};
}

static inline struct log_field log_text(const char *key, const char *value)
{
    return log_bytes(key, bytes_cstr(value));
}

static inline struct log_field log_int(const char *key, int64_t value)
{
    return (struct log_field){.key = key, .type = LOG_FIELD_INT, .integer = value};
}

static inline struct log_field log_unsigned(const char *key, uint64_t value)
{
    return (struct log_field){.key = key, .type = LOG_FIELD_UNSIGNED, .number = value};
}

static inline struct log_field log_bool(const char *key, bool value)
{
    return (struct log_field){.key = key, .type = LOG_FIELD_BOOL, .truth = value};
}

/* A duration; `key` ends in _ms, the value is in microseconds. */
static inline struct log_field log_ms(const char *key, uint64_t value_us)
{
    return (struct log_field){.key = key, .type = LOG_FIELD_MS, .number = value_us};
}

/* "error": the words for a negative (or positive) errno. */
struct log_field log_errno(int error);

/*
 * Sets where (`fd` is borrowed), how and how much is logged; until then it is standard error, text,
 * info. Call before the first thread starts.
 */
void log_open(int fd, enum log_format format, enum log_level level);

/*
 * Gives every line that is logged from here on a field "batch": by this task and by those that it
 * starts, wherever they run (core/async/context.h). Without memory the field is missing.
 */
void log_tag_batch(uint64_t number);

/* The same with a field "trace_id" (see trace.h); nothing happens for "". */
void log_tag_trace(const char *id);

/* True when lines of this level are written. */
bool log_enabled(enum log_level level);

/* fields[0].key is the message, the `count - 1` others are its fields. Use the macros below. */
void log_write(enum log_level level, const struct log_field *fields, size_t count);

/* Arguments behind the level: the message, then any number of fields. */
#define LOG_AT(level, message, ...)                                                                \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log_fields[] = {{.key = (message)}, __VA_ARGS__};               \
            log_write(level, log_fields, sizeof log_fields / sizeof log_fields[0]);                \
        }                                                                                          \
    } while (0)

#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
