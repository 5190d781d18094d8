/*
 * titles URL...: downloads pages and prints each one's title as soon as it is known.
 *
 * Pages wait on the loop; parsing them, bytes of strangers in a C library, is for sandboxed worker
 * processes. A page that crashes its parser loses its own title, and nothing else happens. Both
 * are declared where the functions are; title_step, which uses them, does not know.
 *
 *     make examples && build/release/examples/titles https://example.com/ https://example.org/
 */
#include "core/base/clock.h"
#include "examples/download.h"

#include <ctype.h>
#include <errno.h>
#include <gumbo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- parse: in a process ----------------------------------------------------------------------- */

struct parse {
    future *page;
};

static ssize_t parse_pack(void *frame, char *request, size_t capacity)
{
    const struct page *page = future_value(((struct parse *)frame)->page);

    if (page->length > capacity)
        return -EMSGSIZE;
    memcpy(request, page->body, page->length);
    return (ssize_t)page->length;
}

static const GumboNode *child(const GumboNode *parent, GumboTag tag)
{
    for (unsigned i = 0; parent && i < parent->v.element.children.length; i++) {
        const GumboNode *node = parent->v.element.children.data[i];
        if (node->type == GUMBO_NODE_ELEMENT && node->v.element.tag == tag)
            return node;
    }
    return NULL;
}

/* In the worker. Takes the page for UTF-8 and its title for one text in the head. */
static ssize_t parse_serve(struct bytes page, uint64_t deadline_ns, char *reply, size_t capacity)
{
    GumboOutput *output = gumbo_parse_with_options(&kGumboDefaultOptions, page.ptr, page.len);
    const GumboNode *title = child(child(output->root, GUMBO_TAG_HEAD), GUMBO_TAG_TITLE);
    size_t length = 0;

    (void)deadline_ns;
    if (title && title->v.element.children.length > 0) {
        const GumboNode *text = title->v.element.children.data[0];
        length = strnlen(text->v.text.text, capacity);
        memcpy(reply, text->v.text.text, length);
    }
    gumbo_destroy_output(&kGumboDefaultOptions, output);
    return (ssize_t)length;
}

/* Here again. Whatever came is made one line, without control characters for the terminal. */
static void parse_unpack(task *t, void *frame, struct bytes reply)
{
    char *title = malloc(reply.len + 1), *to = title;
    bool gap = false;

    (void)frame;
    if (!title) {
        task_fail(t, -ENOMEM, NULL, NULL);
        return;
    }
    for (size_t i = 0; i < reply.len; i++) {
        unsigned char c = (unsigned char)reply.ptr[i];
        if (isspace(c) || iscntrl(c)) {
            gap = to > title;
            continue;
        }
        if (gap)
            *to++ = ' ';
        *to++ = (char)c;
        gap = false;
    }
    *to = '\0';
    task_return(t, title, free);
}

static void parse_drop(void *frame)
{
    future_drop(((struct parse *)frame)->page);
}

TASK(parse_task, ON_PROCESS, sizeof(struct parse), .pack = parse_pack, .serve = parse_serve,
     .unpack = parse_unpack, .drop = parse_drop, .timeout_ms = 500, .idempotent = true);

static future *parse(future *page)
{
    return task_start(&parse_task, &(struct parse){future_ref(page)});
}

/* -- title: on the loop ------------------------------------------------------------------------ */

struct title {
    const char *url;
    future *page, *text;
};

static int failures;

static int title_step(task *t, void *frame)
{
    struct title *s = frame;

    BEGIN(t);
    AWAIT(t, s->page, download(s->url));
    if (future_ok(s->page))
        AWAIT(t, s->text, parse(s->page));
    if (s->text && future_ok(s->text)) {
        const char *text = future_value(s->text);
        printf("%s: %s\n", s->url, *text ? text : "(no title)");
    } else {
        printf("%s: FAILED: %s\n", s->url, why(s->text ? s->text : s->page));
        failures++;
    }
    END(t);
}

static void title_drop(void *frame)
{
    struct title *s = frame;

    future_drop(s->page);
    future_drop(s->text);
}

TASK(title_task, ON_LOOP, sizeof(struct title), .step = title_step, .drop = title_drop);

static future *print_title(void *urls, size_t i)
{
    return task_start(&title_task, &(struct title){.url = ((char **)urls)[i]});
}

int main(int argc, char **argv)
{
    if (async_is_worker(argc, argv))
        return async_worker_main();

    setlinebuf(stdout);
    future *all = map_in(NULL, (size_t)argc - 1, 32, print_title, argv + 1);
    future_wait(all, CLOCK_NEVER);
    future_drop(all);
    return async_stop() < 0 || failures > 0;
}
