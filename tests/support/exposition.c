#include "tests/support/exposition.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum type { NONE, COUNTER, GAUGE, HISTOGRAM };

/* The family that is being read, and of its histogram what came so far. */
struct reader {
    struct exposition *out;
    char family[100];
    bool has_help;
    enum type type;
    size_t samples;
    double bound, buckets; /* of the last bucket */
    bool has_inf, has_sum, has_count;
};

static bool fault(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fault(struct reader *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->out->fault, sizeof r->out->fault, format, args);
    va_end(args);
    return false;
}

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* [a-zA-Z_][a-zA-Z0-9_]*; the colon is for rules. The length. */
static size_t name_length(const char *text)
{
    size_t n = 0;

    while (isalpha((unsigned char)text[n]) || text[n] == '_' ||
           (n > 0 && isdigit((unsigned char)text[n])))
        n++;
    return n;
}

/* -- families ---------------------------------------------------------------------------------- */

static bool end_family(struct reader *r)
{
    if (r->family[0] && r->type == NONE)
        return fault(r, "%s has no TYPE", r->family);
    if (r->type == HISTOGRAM && !(r->has_inf && r->has_sum && r->has_count))
        return fault(r, "%s lacks +Inf, _sum or _count", r->family);
    return true;
}

static bool begin_family(struct reader *r, const char *name, const char *help)
{
    struct exposition *out = r->out;

    if (!end_family(r))
        return false;
    if (!help || !*help)
        return fault(r, "%s has no help", name);
    for (size_t i = 0; i < out->family_count; i++)
        if (strcmp(out->families[i], name) == 0)
            return fault(r, "%s comes twice", name);
    if (name_length(name) != strlen(name) || strlen(name) >= sizeof r->family)
        return fault(r, "%s is no name", name);
    if (out->family_count == EXPOSITION_FAMILIES_MAX)
        return fault(r, "too many families");
    snprintf(out->families[out->family_count++], sizeof out->families[0], "%.99s", name);
    *r = (struct reader){.out = out, .has_help = true, .bound = -INFINITY};
    snprintf(r->family, sizeof r->family, "%.99s", name);
    return true;
}

static bool take_type(struct reader *r, const char *name, const char *type)
{
    static const char *const types[] = {
        [COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};

    if (strcmp(name, r->family) != 0 || r->type != NONE)
        return fault(r, "TYPE of %s stands behind HELP of %s", name, r->family);
    for (int t = COUNTER; type && t <= HISTOGRAM; t++)
        if (strcmp(type, types[t]) == 0)
            r->type = (enum type)t;
    if (r->type == NONE)
        return fault(r, "%s is no type", type ? type : "nothing");
    if ((r->type == COUNTER) != ends_in(name, "_total"))
        return fault(r, "%s: counters end in _total, and nothing else does", name);
    if (r->type != HISTOGRAM &&
        (ends_in(name, "_count") || ends_in(name, "_sum") || ends_in(name, "_bucket")))
        return fault(r, "%s ends as a part of a histogram does", name);
    return true;
}

/* -- samples ----------------------------------------------------------------------------------- */

/* Reads {name="value",...}, and copies the value of `le`. NULL: it is wrong. */
static const char *read_labels(struct reader *r, const char *text, char *ret_le, size_t size)
{
    ret_le[0] = '\0';
    if (*text != '{')
        return text;
    do {
        size_t name = name_length(++text);
        const char *value = text + name + 2, *end = value;

        if (name == 0 || strncmp(text + name, "=\"", 2) != 0)
            return NULL;
        for (; *end && *end != '"'; end++)
            if (*end == '\\' && !strchr("\\\"n", *++end))
                return NULL;
        if (*end != '"')
            return NULL;
        if (name == 2 && strncmp(text, "le", 2) == 0)
            snprintf(ret_le, size, "%.*s", (int)(end - value), value);
        else if (r->type == HISTOGRAM)
            return NULL; /* none has one */
        text = end + 1;
    } while (*text == ',');
    return *text == '}' ? text + 1 : NULL;
}

static bool take_histogram_part(struct reader *r, const char *part, const char *le, double value)
{
    char *end;

    if (strcmp(part, "_sum") == 0) {
        r->has_sum = true;
    } else if (strcmp(part, "_count") == 0) {
        r->has_count = true;
        if (!r->has_inf || value != r->buckets)
            return fault(r, "%s_count is %g, the last bucket %g", r->family, value, r->buckets);
    } else if (strcmp(part, "_bucket") == 0) {
        double bound = strtod(le, &end);
        if (!*le || *end || !(bound > r->bound) || value < r->buckets)
            return fault(r, "%s: bucket %s is out of order", r->family, le);
        r->bound = bound;
        r->buckets = value;
        r->has_inf = isinf(bound);
    } else {
        return fault(r, "%s%s is no part of a histogram", r->family, part);
    }
    return true;
}

static bool take_sample(struct reader *r, const char *line)
{
    struct exposition *out = r->out;
    size_t family = strlen(r->family), name = name_length(line);
    char part[16], le[32], *end;

    if (r->type == NONE || strncmp(line, r->family, family) != 0 || name < family)
        return fault(r, "a sample that is not of %s: %.80s", r->family, line);
    snprintf(part, sizeof part, "%.*s", (int)(name - family), line + family);
    const char *rest = read_labels(r, line + name, le, sizeof le);
    if (!rest || *rest != ' ' || strlen(line) >= sizeof out->series[0].name)
        return fault(r, "the labels are wrong: %.80s", line);
    double value = strtod(rest + 1, &end);
    if (end == rest + 1 || *end || !isfinite(value) || isspace((unsigned char)rest[1]))
        return fault(r, "the value is wrong: %.80s", line);
    if (r->type != HISTOGRAM && (*part || *le))
        return fault(r, "%s is no histogram: %.80s", r->family, line);
    if (r->type != GAUGE && value < 0)
        return fault(r, "a negative count: %.80s", line);
    if (r->type == HISTOGRAM && !take_histogram_part(r, part, le, value))
        return false;

    struct series *s = &out->series[out->count];
    if (out->count == EXPOSITION_SERIES_MAX)
        return fault(r, "too many series");
    snprintf(s->name, sizeof s->name, "%.*s", (int)(rest - line), line);
    if (exposition_value(out, s->name) >= 0)
        return fault(r, "%s comes twice", s->name);
    s->value = value;
    out->count++;
    r->samples++;
    return true;
}

/* -- lines ------------------------------------------------------------------------------------- */

static bool take_line(struct reader *r, char *line)
{
    if (strncmp(line, "# HELP ", 7) != 0 && strncmp(line, "# TYPE ", 7) != 0)
        return *line == '#' ? fault(r, "a comment: %.80s", line) : take_sample(r, line);

    char *name = line + 7, *rest = strchr(name, ' ');
    if (rest)
        *rest++ = '\0';
    return line[2] == 'H' ? begin_family(r, name, rest) : take_type(r, name, rest);
}

bool exposition_read(struct bytes text, struct exposition *ret)
{
    struct reader r = {.out = ret};

    memset(ret, 0, sizeof *ret);
    if (text.len == 0 || text.ptr[text.len - 1] != '\n')
        return fault(&r, "the last line has no end");
    for (struct bytes rest = bytes_of(text.ptr, text.len - 1); rest.ptr;) {
        struct bytes part = bytes_split(&rest, '\n');
        char line[512];

        if (part.len == 0 || part.len >= sizeof line || memchr(part.ptr, '\0', part.len))
            return fault(&r, "a line of %zu bytes", part.len);
        memcpy(line, part.ptr, part.len);
        line[part.len] = '\0';
        if (!take_line(&r, line))
            return false;
    }
    return end_family(&r);
}

double exposition_value(const struct exposition *e, const char *series)
{
    for (size_t i = 0; i < e->count; i++)
        if (strcmp(e->series[i].name, series) == 0)
            return e->series[i].value;
    return -1;
}
