/*
 * The patterns of robots.txt and the paths that are held against them (RFC 9309 sections 2.2.2 and
 * 2.2.3). Both are compared in a form in which each octet has one spelling.
 *
 * Part of robots.c. Pure; any thread.
 */
#ifndef SKIMD_FETCH_ROBOTS_PATTERN_H
#define SKIMD_FETCH_ROBOTS_PATTERN_H

#include "core/base/bytes.h"
#include "core/fetch/robots.h"

/* What a pattern is besides its text. */
struct pattern {
    uint32_t len; /* of its comparable form */
    bool is_anchored;
    bool has_wildcard;
    bool has_query; /* a "?" */
};

/*
 * Writes the comparable form of `value`, at most three times as long, to `out` and says what
 * pattern it is. With `out` NULL nothing is written. A pattern that can match no path (an empty
 * one, a URL...) has length 0.
 */
struct pattern pattern_write(struct bytes value, char *out);

/* The octets of the pattern, "$" too: the more, the more specific it is. */
size_t pattern_octets(const struct pattern *pattern);

/* A path to hold patterns against. Large; meant for the stack. */
struct path_question {
    struct bytes path;          /* its comparable form */
    struct bytes path_of_query; /* the same for patterns with a query */
    size_t searched;            /* bytes that patterns with wildcards were held against */
    char text[2][3 * ROBOTS_PATH_MAX];
};

/* `path` is copied, up to ROBOTS_PATH_MAX. */
void path_question_init(struct path_question *question, struct bytes path);

/*
 * Whether the pattern, `text` in its comparable form, matches. Linear in pattern and path; what was
 * looked at is added to `searched`.
 */
bool pattern_matches(const struct pattern *pattern, const char *text,
                     struct path_question *question);

#endif
