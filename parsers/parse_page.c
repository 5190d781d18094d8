#include "parsers/parse_page.h"

#include "core/async/task.h"
#include "core/base/clock.h"
#include "parsers/page_codec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static_assert((int)PAGE_REPLY_MAX <= (int)TASK_REPLY_MAX, "a reply fits");

struct parse_frame {
    future *source;
    struct page_request request;
    uint64_t started_ns;
};

/* -- in the worker ----------------------------------------------------------------------------- */

static struct page_parser *parser;

static int parse_prepare(void)
{
    return page_parser_create(0, &parser);
}

static ssize_t parse_serve(struct bytes message, uint64_t deadline_ns, char *reply, size_t capacity)
{
    struct page_request request;
    struct page_facts facts;

    int rc = page_request_unpack(message, &request);
    if (rc < 0)
        return rc;
    request.deadline_ns = deadline_ns;
    request.max_cpu_ms = PARSE_CPU_MS;
    page_parse(parser, &request, &facts);
    size_t length = page_reply_pack(&facts, reply, capacity);
    return length ? (ssize_t)length : -EMSGSIZE;
}

/* -- in the daemon ----------------------------------------------------------------------------- */

static ssize_t parse_pack(void *frame, char *request, size_t capacity)
{
    struct parse_frame *p = frame;
    size_t length = page_request_pack(&p->request, request, capacity);

    p->started_ns = clock_now_ns();
    return length ? (ssize_t)length : -EMSGSIZE;
}

static size_t parse_size(const void *frame)
{
    return ((const struct parse_frame *)frame)->request.body.len;
}

static struct bytes copy_to(char **to, struct bytes from)
{
    struct bytes copy = bytes_of(*to, from.len);

    if (from.len > 0)
        memcpy(*to, from.ptr, from.len);
    *to += from.len;
    return copy;
}

static void parse_unpack(task *t, void *frame, struct bytes reply)
{
    const struct parse_frame *p = frame;
    struct page_facts facts;

    int rc = page_reply_unpack(reply, &facts);
    if (rc == 0 && !page_reply_answers(&facts, &p->request))
        rc = -EBADMSG;
    if (rc < 0) {
        task_fail(t, rc, NULL, NULL);
        return;
    }
    if (facts.error) {
        task_fail(t, (int)facts.error, strndup(facts.message.ptr, facts.message.len), free);
        return;
    }
    struct parsed_page *page = malloc(sizeof *page + facts.title.len + facts.fields.len);
    if (!page) {
        task_fail(t, -ENOMEM, NULL, NULL);
        return;
    }
    char *to = page->text;
    page->facts = facts;
    page->facts.message = bytes_of(NULL, 0);
    page->facts.title = copy_to(&to, facts.title);
    page->facts.fields = copy_to(&to, facts.fields);
    page->parse_us = (clock_now_ns() - p->started_ns) / 1000;
    task_return(t, page, free);
}

static void parse_drop(void *frame)
{
    future_drop(((struct parse_frame *)frame)->source);
}

TASK(parse_page_task, ON_PROCESS, sizeof(struct parse_frame), .prepare = parse_prepare,
     .pack = parse_pack, .size = parse_size, .serve = parse_serve, .unpack = parse_unpack,
     .drop = parse_drop, .timeout_ms = PARSE_TIMEOUT_MS, .idempotent = true);

future *parse_page(future *source, const struct page_request *request)
{
    struct parse_frame frame = {.source = future_ref(source), .request = *request};

    frame.request.fields = page_request_fields(request);
    return task_start(&parse_page_task, &frame);
}

void parse_page_failure(const future *f, const char **ret_code, const char **ret_message)
{
    int error = future_error(f);
    enum page_error kind = error > 0 ? (enum page_error)error : PAGE_INTERNAL;
    const char *detail = error > 0 ? future_value(f) : NULL;

    *ret_code = page_error_code(kind);
    *ret_message = detail ? detail : page_error_message(kind);
    switch (error) {
    case -ETIMEDOUT:
        *ret_code = page_error_code(PAGE_PARSE_TIMEOUT);
        *ret_message = page_error_message(PAGE_PARSE_TIMEOUT);
        break;
    case -EOWNERDEAD:
        *ret_code = page_error_code(PAGE_OUT_OF_MEMORY);
        *ret_message = "The parser process died on this page";
        break;
    case -ENOTRECOVERABLE:
        *ret_code = page_error_code(PAGE_OUT_OF_MEMORY);
        *ret_message = "Parser processes died on this page before, it is not tried again";
        break;
    case -EBADMSG:
        *ret_code = page_error_code(PAGE_OUT_OF_MEMORY);
        *ret_message = "The parser process gave an answer that makes no sense";
        break;
    case -ECANCELED:
        *ret_code = "cancelled";
        *ret_message = "Cancelled";
        break;
    }
}
