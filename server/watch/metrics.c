#include "server/watch/metrics.h"

#include "server/version.h"

#include <stdbool.h>
#include <stddef.h>

/* -- the table --------------------------------------------------------------------------------- */

/* Microseconds. */
static const struct histogram_bounds METRIC_BATCH_BOUNDS = {
    12,
    {100000, 500000, 1000000, 5000000, 10000000, 30000000, 60000000, 300000000, 900000000,
     1800000000, 3600000000, 14400000000}};
static const struct histogram_bounds METRIC_FETCH_BOUNDS = {
    14,
    {1000, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
     30000000, 60000000}};
static const struct histogram_bounds METRIC_PARSE_BOUNDS = {
    12, {50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000, 100000, 500000, 1000000}};
static const struct histogram_bounds METRIC_LAG_BOUNDS = {
    10, {250, 500, 1000, 2500, 5000, 10000, 25000, 100000, 500000, 1000000}};

#define VALUE(constant, value) value,
#define VALUES(list)           ((const char *const[]){list(VALUE)})
#define AT(member)             .offset = offsetof(struct metrics, member)

enum shape { NUMBERS, HISTOGRAM, REQUESTS };

struct metric {
    enum shape shape;
    const char *type, *name, *help;
    size_t offset;
    const char *label; /* NULL: none */
    const char *const *values;
    size_t count;
    const struct histogram_bounds *bounds;
};

/* clang-format off */
#define ROW_NUMBERS(type_, member, values_, label_, name_, help_)                                  \
    {.type = type_, .name = name_, .help = help_, AT(member), .label = label_,                     \
     .values = VALUES(values_), .count = METRIC_COUNT(values_)},
#define ROW_NUMBER(type_, member, name_, help_)                                                    \
    {.type = type_, .name = name_, .help = help_, AT(member), .count = 1},
#define ROW_COUNTERS(...)                ROW_NUMBERS("counter", __VA_ARGS__)
#define ROW_GAUGES(...)                  ROW_NUMBERS("gauge", __VA_ARGS__)
#define ROW_COUNTER(member, name_, help_) ROW_NUMBER("counter", member, name_, help_)
#define ROW_GAUGE(member, name_, help_)   ROW_NUMBER("gauge", member, name_, help_)
#define ROW_HISTOGRAM(member, bounds_, name_, help_)                                               \
    {.shape = HISTOGRAM, .type = "histogram", .name = name_, .help = help_, AT(member),            \
     .bounds = &(bounds_)},
#define ROW_REQUESTS(member, name_, help_)                                                         \
    {.shape = REQUESTS, .type = "counter", .name = name_, .help = help_, AT(member)},
#define ROW(kind, ...) ROW_##kind(__VA_ARGS__)
/* clang-format on */

static const struct metric table[] = {METRICS(ROW)};

enum { ROWS = sizeof table / sizeof table[0] };

#define STATUS(number) number,
static const int statuses[] = {METRIC_STATUSES(STATUS)};
static const char *const methods[] = {METRIC_METHODS(VALUE)};
static const char *const outcomes[] = {METRIC_OUTCOMES(VALUE)};

enum { METHODS = sizeof methods / sizeof methods[0], STATUSES = METRIC_STATUS_PLACES - 1 };

#define BOUNDS_COUNTER(...)
#define BOUNDS_COUNTERS(...)
#define BOUNDS_GAUGE(...)
#define BOUNDS_GAUGES(...)
#define BOUNDS_REQUESTS(...)
#define BOUNDS_HISTOGRAM(member, bounds_, name, help) .member = {.bounds = &(bounds_)},
#define BOUNDS(kind, ...)                             BOUNDS_##kind(__VA_ARGS__)

static const struct metrics nothing = {METRICS(BOUNDS)};
struct metrics metrics = {METRICS(BOUNDS)};

/* -- counting ---------------------------------------------------------------------------------- */

void metrics_init(struct metrics *m)
{
    *m = nothing;
}

void metrics_count_fetch(struct metrics *m, struct bytes code)
{
    size_t i = code.len == 0 ? (size_t)OUTCOME_OK : 1;

    while (i < OUTCOME_INTERNAL && code.len > 0 && !bytes_equal(code, bytes_cstr(outcomes[i])))
        i++;
    m->fetches[i]++;
}

void metrics_count_response(struct metrics *m, unsigned status)
{
    unsigned class = status / 100;

    m->fetch_responses[class >= 2 && class <= 5 ? STATUS_2XX + class - 2 : STATUS_OTHER]++;
}

void metrics_count_request(struct metrics *m, size_t path, struct bytes method, int status)
{
    size_t i = 0, j = 0;

    while (i < METHOD_OTHER && !bytes_equal(method, bytes_cstr(methods[i])))
        i++;
    while (j < STATUSES && status != statuses[j])
        j++;
    m->requests[path][i][j]++;
}

/* -- the text format ----------------------------------------------------------------------------
 */

static bool is_time(const struct metric *row)
{
    return strstr(row->name, "_seconds") != NULL;
}

/* A duration in seconds, exactly: "0.0025", "1". */
static void write_seconds(struct buffer *out, uint64_t us)
{
    unsigned rest = (unsigned)(us % 1000000);

    buffer_unsigned(out, us / 1000000);
    if (rest == 0)
        return;
    buffer_printf(out, ".%06u", rest);
    while (!out->failed && out->ptr[out->len - 1] == '0')
        out->len--;
}

static void write_number(struct buffer *out, const struct metric *row, uint64_t value)
{
    if (is_time(row))
        write_seconds(out, value);
    else
        buffer_unsigned(out, value);
    buffer_byte(out, '\n');
}

static void write_numbers(struct buffer *out, const struct metric *row, const uint64_t *value)
{
    for (size_t i = 0; i < row->count; i++) {
        buffer_text(out, row->name);
        if (row->label)
            buffer_printf(out, "{%s=\"%s\"}", row->label, row->values[i]);
        buffer_byte(out, ' ');
        write_number(out, row, value[i]);
    }
}

static void write_histogram(struct buffer *out, const struct metric *row, const struct histogram *h)
{
    uint64_t count = 0;

    for (size_t i = 0; i < row->bounds->count; i++) {
        count += h->counts[i];
        buffer_printf(out, "%s_bucket{le=\"", row->name);
        write_seconds(out, row->bounds->at[i]);
        buffer_text(out, "\"} ");
        buffer_unsigned(out, count);
        buffer_byte(out, '\n');
    }
    count += h->counts[row->bounds->count];
    buffer_printf(out, "%s_bucket{le=\"+Inf\"} ", row->name);
    buffer_unsigned(out, count);
    buffer_printf(out, "\n%s_sum ", row->name);
    write_seconds(out, h->sum);
    buffer_printf(out, "\n%s_count ", row->name);
    buffer_unsigned(out, count);
    buffer_byte(out, '\n');
}

static void write_requests(struct buffer *out, const struct metric *row, const struct metrics *m,
                           const char *const *paths)
{
    for (size_t path = 0; path < METRIC_PATHS; path++) {
        for (size_t i = 0; i < (size_t)METHODS * METRIC_STATUS_PLACES; i++) {
            size_t method = i / METRIC_STATUS_PLACES, status = i % METRIC_STATUS_PLACES;
            uint64_t count = m->requests[path][method][status];

            if (count == 0 || !paths[path])
                continue;
            buffer_printf(out, "%s{path=\"%s\",method=\"%s\",code=\"", row->name, paths[path],
                          methods[method]);
            if (status < STATUSES)
                buffer_unsigned(out, (uint64_t)statuses[status]);
            else
                buffer_text(out, "other");
            buffer_text(out, "\"} ");
            write_number(out, row, count);
        }
    }
}

void metrics_write(struct buffer *out, const struct metrics *m,
                   const char *const paths[METRIC_PATHS])
{
    for (const struct metric *row = table; row < table + ROWS; row++) {
        const void *value = (const char *)m + row->offset;

        buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
                      row->type);
        switch (row->shape) {
        case NUMBERS:
            write_numbers(out, row, value);
            break;
        case HISTOGRAM:
            write_histogram(out, row, value);
            break;
        case REQUESTS:
            write_requests(out, row, m, paths);
            break;
        }
    }
}
