/*
 * What the test origin answers to which path: the table of tests/support/origin.h, row by row.
 */
#include "tests/support/origin_job.h"

#include <errno.h>

enum {
    REPEAT_MAX = 1000 * 1000 * 1000, /* the most elements of /nested/ and /misnested/ */
};

/* -- answers that behave ------------------------------------------------------------------- */

static void page(const struct job *job)
{
    job_begin_html(job, 200);
    job_write_labelled_page(job, "Page ", 0);
    job_finish(job);
}

static void title(const struct job *job)
{
    struct buffer text = job_query_text(job, BYTES("t"), BYTES(""));

    job_begin_html(job, 200);
    job_write_page(job, buffer_bytes(&text), 0);
    job_finish(job);
    job->answer->body.failed |= text.failed;
    buffer_free(&text);
}

static void status(const struct job *job)
{
    bool redirects;
    uint64_t code = 0;

    parse_decimal(job->argument, &code);
    if (code < 200 || code > 599) {
        job_not_found(job);
        return;
    }
    redirects = code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
    struct buffer to = job_query_text(job, BYTES("to"), redirects ? BYTES("/page/0") : BYTES(""));
    struct buffer after = job_query_text(job, BYTES("after"), BYTES(""));

    job_begin_html(job, (unsigned)code);
    if (to.len > 0)
        job_field(job, "Location", buffer_bytes(&to));
    if (after.len > 0)
        job_field(job, "Retry-After", buffer_bytes(&after));
    if (code == 204 || code == 304) {
        buffer_text(&job->answer->head, "\r\n"); /* RFC 9110 15.3.5, 15.4.5: never a body */
    } else {
        job_write_status_page(job, (unsigned)code);
        job_finish(job);
    }
    job->answer->head.failed |= to.failed || after.failed;
    buffer_free(&to);
    buffer_free(&after);
}

static void redirect_to(const struct job *job, struct bytes location)
{
    job_begin_html(job, 302);
    job_field(job, "Location", location);
    job_write_status_page(job, 302);
    job_finish(job);
}

static void redirect(const struct job *job)
{
    struct buffer location = {0};
    uint64_t left = 0;

    if (parse_decimal(job->argument, &left) || left == 0) {
        job_not_found(job);
        return;
    }
    if (left == 1)
        buffer_text(&location, "../page/0");
    else
        buffer_unsigned(&location, left - 1);
    redirect_to(job, buffer_bytes(&location));
    job->answer->head.failed |= location.failed;
    buffer_free(&location);
}

static void redirect_to_url(const struct job *job)
{
    struct buffer location = job_query_text(job, BYTES("url"), BYTES("/page/0"));

    redirect_to(job, buffer_bytes(&location));
    job->answer->head.failed |= location.failed;
    buffer_free(&location);
}

static void loop(const struct job *job)
{
    redirect_to(job, BYTES("/loop"));
}

static void echo(const struct job *job)
{
    job_begin(job, 200);
    job_field(job, "Content-Type", BYTES("text/plain"));
    buffer_append(&job->answer->body, job->request->head.ptr, job->request->head.len);
    job_finish(job);
}

static void type(const struct job *job)
{
    struct buffer value = job_query_text(job, BYTES("ct"), BYTES(""));

    job_begin(job, 200);
    job_field(job, "Content-Type", buffer_bytes(&value));
    job_write_page(job, BYTES("Typed"), 0);
    job_finish(job);
    job->answer->head.failed |= value.failed;
    buffer_free(&value);
}

static void charset(const struct job *job)
{
    struct buffer value = {0};
    struct buffer label = job_query_text(job, BYTES("label"), BYTES("utf-8"));
    struct buffer text = job_query_text(job, BYTES("t"), BYTES("caf\xE9"));

    buffer_text(&value, "text/html; charset=");
    buffer_append(&value, label.ptr, label.len);
    job_begin(job, 200);
    job_field(job, "Content-Type", buffer_bytes(&value));
    job_write_page(job, buffer_bytes(&text), 0);
    job_finish(job);
    job->answer->head.failed |= value.failed || label.failed || text.failed;
    buffer_free(&value);
    buffer_free(&label);
    buffer_free(&text);
}

static void encoded_page(const struct job *job, struct bytes name, enum encoding encoding)
{
    struct answer *a = job->answer;

    job_begin_html(job, 200);
    job_field(job, "Content-Encoding", name);
    job_write_labelled_page(job, "Page ", 0);
    struct buffer plain = a->body;
    a->body = (struct buffer){0};
    encode(&a->body, buffer_bytes(&plain), encoding);
    a->body.failed |= plain.failed;
    buffer_free(&plain);
    job_finish(job);
}

static void gzip(const struct job *job)
{
    encoded_page(job, BYTES("gzip"), ENCODING_GZIP);
}

static void deflated(const struct job *job)
{
    bool raw = job_query_number(job, BYTES("raw"), 0, 1) == 1;

    encoded_page(job, BYTES("deflate"), raw ? ENCODING_RAW_DEFLATE : ENCODING_ZLIB);
}

/* -- answers that take their time, or much of the reader's --------------------------------- */

static void held(const struct job *job)
{
    job_begin_html(job, 200);
    job_write_labelled_page(job, "Hold ", 0);
    job_finish(job);
    job->answer->hold = true;
}

static void drip(const struct job *job, bool head_too)
{
    uint64_t ms = job_query_number(job, BYTES("ms"), 10, UINT32_MAX);

    job_begin_html(job, 200);
    job_write_page(job, BYTES("Slow"), 0);
    job_finish(job);
    job->answer->drip = true;
    job->answer->drip_ms = ms > 0 ? ms : 1;
    job->answer->drip_from = head_too ? 0 : job->answer->head.len;
}

static void slow(const struct job *job)
{
    drip(job, false);
}

static void drip_headers(const struct job *job)
{
    drip(job, true);
}

static void huge(const struct job *job)
{
    job_begin(job, 200);
    job_field(job, "Content-Type", BYTES("text/plain"));
    job_repeat(job, BYTES("x"), job_query_number(job, BYTES("bytes"), 0, UINT64_MAX / 2));
    job_finish(job);
}

/* The title comes last, or a reader that stops behind it would never meet the tree. */
static void repeated_markup(const struct job *job, struct bytes pattern, const char *label)
{
    uint64_t times = 0;

    parse_decimal(job->argument, &times);
    times = times < REPEAT_MAX ? times : REPEAT_MAX;
    job_begin_html(job, 200);
    buffer_text(&job->answer->body, "<!doctype html>\n<body>");
    job_repeat(job, pattern, pattern.len * times);
    buffer_printf(&job->answer->tail, "<title>%s ", label);
    buffer_unsigned(&job->answer->tail, times);
    buffer_text(&job->answer->tail, "</title>\n");
    job_finish(job);
}

static void nested(const struct job *job)
{
    repeated_markup(job, BYTES("<div>"), "Nested");
}

static void misnested(const struct job *job)
{
    repeated_markup(job, BYTES("<b><i><i>x</b>"), "Misnested");
}

/* -- answers that misbehave ---------------------------------------------------------------- */

static void reset(const struct job *job)
{
    job->answer->end = END_RESET;
}

static void just_close(const struct job *job)
{
    job->answer->end = END_CLOSE;
}

static void half_a_page(const struct job *job, enum answer_end end)
{
    job_begin_html(job, 200);
    job_write_labelled_page(job, "Half", 4096);
    job_finish(job);
    job->answer->body.len /= 2;
    job->answer->end = end;
}

static void reset_midway(const struct job *job)
{
    half_a_page(job, END_RESET);
}

static void half_closed(const struct job *job)
{
    half_a_page(job, END_HALF_CLOSE);
}

static void misannounced(const struct job *job, int by, enum answer_end end)
{
    job_begin_html(job, 200);
    job_write_labelled_page(job, "Lying", 4096);
    job_finish_announcing(job, job->answer->body.len + (uint64_t)by);
    job->answer->end = end;
}

static void too_short(const struct job *job)
{
    misannounced(job, 1000, END_CLOSE);
}

static void too_long(const struct job *job)
{
    misannounced(job, -1000, END_KEEP);
}

static void endless(const struct job *job)
{
    job_begin_html(job, 200);
    job_field(job, "Transfer-Encoding", BYTES("chunked"));
    buffer_text(&job->answer->head, "\r\n");
    job_repeat(job, BYTES("10\r\n<p>more of it.\n\r\n"), UINT64_MAX);
}

static void endless_headers(const struct job *job)
{
    job_begin_html(job, 200);
    job_repeat(job, BYTES("X-More: and more of it\r\n"), UINT64_MAX);
}

static void garbage(const struct job *job)
{
    buffer_append(&job->answer->body, "\x16\x03\x01\0\xff this is not HTTP\r\n\r\n", 26);
    job->answer->end = END_CLOSE;
}

static void bad_chunk(const struct job *job)
{
    job_begin_html(job, 200);
    job_field(job, "Transfer-Encoding", BYTES("chunked"));
    buffer_text(&job->answer->head, "\r\n");
    buffer_text(&job->answer->body, "5\r\n<html\r\nzz\r\n>\r\n0\r\n\r\n");
    job->answer->end = END_CLOSE;
}

static void lying_gzip(const struct job *job)
{
    job_begin_html(job, 200);
    job_field(job, "Content-Encoding", BYTES("gzip"));
    job_write_labelled_page(job, "Plain", 0);
    job_finish(job);
}

static void gzip_bomb(const struct job *job)
{
    struct buffer *bombs = job->source->bombs;
    bool twice = job_query_number(job, BYTES("layers"), 1, 2) == 2;

    if (bombs[0].len == 0)
        encode_bomb(&bombs[0]);
    if (twice && bombs[1].len == 0)
        encode(&bombs[1], buffer_bytes(&bombs[0]), ENCODING_GZIP);
    job_begin_html(job, 200);
    job_field(job, "Content-Encoding", twice ? BYTES("gzip, gzip") : BYTES("gzip"));
    job->answer->borrowed = buffer_bytes(&bombs[twice]);
    job->answer->body.failed |= bombs[0].failed || bombs[1].failed;
    job_finish(job);
}

/* -- the table ----------------------------------------------------------------------------- */

/* A path that ends with '/' takes an argument behind it. */
static const struct scenario {
    struct bytes path;
    void (*make)(const struct job *job);
} scenarios[] = {
    {BYTES("/page/"), page},
    {BYTES("/title"), title},
    {BYTES("/status/"), status},
    {BYTES("/redirect/"), redirect},
    {BYTES("/redirect-to"), redirect_to_url},
    {BYTES("/loop"), loop},
    {BYTES("/echo"), echo},
    {BYTES("/type"), type},
    {BYTES("/charset"), charset},
    {BYTES("/gzip/"), gzip},
    {BYTES("/deflate/"), deflated},
    {BYTES("/files/"), job_file},
    {BYTES("/hold/"), held},
    {BYTES("/slow"), slow},
    {BYTES("/drip-headers"), drip_headers},
    {BYTES("/huge"), huge},
    {BYTES("/nested/"), nested},
    {BYTES("/misnested/"), misnested},
    {BYTES("/reset"), reset},
    {BYTES("/reset-midway"), reset_midway},
    {BYTES("/close"), just_close},
    {BYTES("/short"), too_short},
    {BYTES("/long"), too_long},
    {BYTES("/half-closed"), half_closed},
    {BYTES("/endless"), endless},
    {BYTES("/endless-headers"), endless_headers},
    {BYTES("/garbage"), garbage},
    {BYTES("/bad-chunk"), bad_chunk},
    {BYTES("/lying-gzip"), lying_gzip},
    {BYTES("/gzip-bomb"), gzip_bomb},
};

static bool scenario_matches(const struct scenario *s, struct bytes path)
{
    bool with_argument = s->path.ptr[s->path.len - 1] == '/';

    return path.len >= s->path.len && memcmp(path.ptr, s->path.ptr, s->path.len) == 0 &&
           (with_argument || path.len == s->path.len);
}

static int give(struct answer *answer, struct answer *ret_answer)
{
    if (answer->head.failed || answer->body.failed || answer->unit.failed || answer->tail.failed) {
        answer_free(answer);
        return -ENOMEM;
    }
    *ret_answer = *answer;
    return 0;
}

int answer_make(struct answer_source *source, const struct request *request,
                struct answer *ret_answer)
{
    struct answer answer = {0};
    struct job job = {.request = request, .source = source, .answer = &answer};
    void (*make)(const struct job *job) = job_not_found;

    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (scenario_matches(&scenarios[i], request->path)) {
            make = scenarios[i].make;
            job.argument = bytes_of(request->path.ptr + scenarios[i].path.len,
                                    request->path.len - scenarios[i].path.len);
            break;
        }
    }
    make(&job);
    if (bytes_equal(request->method, BYTES("HEAD"))) {
        answer.body.len = answer.tail.len = 0;
        answer.borrowed = bytes_of(NULL, 0);
        answer.repeat_bytes = 0;
    }
    if (request->close && answer.end == END_KEEP)
        answer.end = END_CLOSE;
    return give(&answer, ret_answer);
}

int answer_refuse(int refusal, struct answer *ret_answer)
{
    struct answer answer = {.end = END_CLOSE};
    struct request nothing = {.close = true};
    struct job job = {.request = &nothing, .answer = &answer};

    job_begin_html(&job, (unsigned)refusal);
    job_write_status_page(&job, (unsigned)refusal);
    job_finish(&job);
    return give(&answer, ret_answer);
}
