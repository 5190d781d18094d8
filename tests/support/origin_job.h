/*
 * What the test origin's scenarios are written with: the request's parameters, and the pieces of an
 * answer. Running out of memory is sticky in the answer's buffers; answer_make() looks at the end.
 */
#ifndef SKIMD_TESTS_ORIGIN_JOB_H
#define SKIMD_TESTS_ORIGIN_JOB_H

#include "tests/support/origin_answer.h"

enum {
    PAGE_MAX = 64 * 1024 * 1024, /* the largest ?size= and the largest file, in bytes */
};

/* What a scenario has before it: the request, and the answer that it fills in. */
struct job {
    const struct request *request;
    struct bytes argument; /* the path behind the scenario's own, not decoded */
    struct answer_source *source;
    struct answer *answer;
};

/* Appends `text` with %XX resolved, to any byte; a broken escape stays as it is. */
void percent_forgive(struct buffer *out, struct bytes text);

/* The value of a query parameter, decoded; `fallback` when it is not there. Free the buffer. */
struct buffer job_query_text(const struct job *job, struct bytes name, struct bytes fallback);

/* The number, at most `most`; `fallback` when the parameter is not there or no number. */
uint64_t job_query_number(const struct job *job, struct bytes name, uint64_t fallback,
                          uint64_t most);

/* The head: the status line, header fields, then job_finish() once the body is written. */
void job_begin(const struct job *job, unsigned status);
void job_begin_html(const struct job *job, unsigned status);
void job_field(const struct job *job, const char *name, struct bytes value);
void job_finish(const struct job *job);

/* Instead of job_finish(): ends the head with a Content-Length of the caller's. */
void job_finish_announcing(const struct job *job, uint64_t content_length);

/* Writes a page whose title is the markup `title`, filled up to `size` bytes when it is shorter. */
void job_write_page(const struct job *job, struct bytes title, uint64_t size);

/* Writes the page titled "LABEL ARGUMENT"; obeys ?size (`least_size` without it) and ?ms. */
void job_write_labelled_page(const struct job *job, const char *label, uint64_t least_size);

/* Writes the page titled "Status CODE". */
void job_write_status_page(const struct job *job, unsigned status);

/* Behind the body follow `bytes` bytes of `pattern`, again and again. */
void job_repeat(const struct job *job, struct bytes pattern, uint64_t bytes);

/* The whole answer: 404. */
void job_not_found(const struct job *job);

/* The whole answer: the file below the site directory that the argument names, or 404. */
void job_file(const struct job *job);

#endif
