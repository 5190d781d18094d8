/*
 * A strict reader of Prometheus' text format, version 0.0.4, as skimd has to write it: stricter
 * than the format, for what promtool warns of is a fault here, too.
 */
#ifndef SKIMD_TESTS_EXPOSITION_H
#define SKIMD_TESTS_EXPOSITION_H

#include "core/base/bytes.h"

enum { EXPOSITION_SERIES_MAX = 1024, EXPOSITION_FAMILIES_MAX = 256 };

struct series {
    char name[200]; /* with its labels, as written */
    double value;
};

struct exposition {
    struct series series[EXPOSITION_SERIES_MAX];
    size_t count;
    char families[EXPOSITION_FAMILIES_MAX][100];
    size_t family_count;
    char fault[300]; /* what is wrong with the first line that is; "": nothing */
};

/*
 * Reads it all. What must hold: each family has HELP and TYPE once, then its samples, and is
 * complete before the next; no series comes twice; names and labels have their characters, values
 * are finite numbers; counters end in _total and are not negative, gauges do not; a histogram has
 * ascending buckets up to +Inf whose counts do not fall, a sum, and a count that equals the last.
 */
bool exposition_read(struct bytes text, struct exposition *ret);

/* The value of a series, written as there: `skimd_records_total{status="ok"}`; -1: there is none.
 */
double exposition_value(const struct exposition *e, const char *series);

#endif
