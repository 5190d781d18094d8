#include "server/batch/early.h"

#include "core/async/task.h"
#include "parsers/parse_page.h"

#include <stdlib.h>
#include <string.h>

/* Its item holds it, the fetch as long as it may look, and the task that parses. */
struct early {
    unsigned references;
    struct transfer_watch watch;
    struct scope *scope;
    struct page_request request;
    future *source; /* of the request's bytes */
    future *look;   /* the task below */
    future *parse;
};

static void release(struct early *e)
{
    if (--e->references > 0)
        return;
    future_drop(e->source);
    future_drop(e->look);
    future_drop(e->parse);
    free(e);
}

/* -- the parse --------------------------------------------------------------------------------- */

static bool has_facts(const struct early *e)
{
    if (!e->parse || !future_ok(e->parse))
        return false;
    const struct parsed_page *parsed = future_value(e->parse);
    return parsed->facts.settled;
}

static void spare_the_rest(struct early *e)
{
    const struct response *so_far = transfer_so_far(&e->watch);

    if (!so_far)
        return;
    if (early_stop_pays(so_far))
        transfer_stop(&e->watch);
    else
        transfer_discard_body(&e->watch);
}

struct early_frame {
    struct early *early;
};

static int early_step(task *t, void *frame)
{
    struct early *e = ((struct early_frame *)frame)->early;

    BEGIN(t);
    AWAIT(t, e->parse, parse_page(e->source, &e->request));
    future_error(e->parse); /* a failure is no loss: the whole page will have it, too */
    if (has_facts(e))
        spare_the_rest(e);
    END(t);
}

static void early_task_drop(void *frame)
{
    release(((struct early_frame *)frame)->early);
}

TASK(early_task, ON_LOOP, sizeof(struct early_frame), .step = early_step, .drop = early_task_drop);

/* -- the look ---------------------------------------------------------------------------------- */

/* Whether to end the transfer costs nothing. */
static bool is_free(const struct response *r)
{
    return r->is_last || bytes_equal(r->http_version, BYTES("2"));
}

static bool is_left(const struct response *r, uint64_t bytes)
{
    if (r->announced_bytes < 0) /* most pages end soon after */
        return is_free(r);
    return (uint64_t)r->announced_bytes >= r->body_bytes + bytes;
}

bool early_look_pays(const struct response *r)
{
    if (r->http_status / 100 != 2) /* it may lead elsewhere, or be tried again: not the page yet */
        return false;
    /* Keeping a body costs less than inflating its beginning twice, where that tells too little. */
    return r->content_encoding.len > 0 ? early_stop_pays(r) : is_left(r, EARLY_LEFT);
}

bool early_stop_pays(const struct response *r)
{
    return is_left(r, is_free(r) ? EARLY_LEFT : r->is_tls ? EARLY_LEFT_TLS : EARLY_LEFT_PLAIN);
}

static struct bytes copy_to(char **to, struct bytes from)
{
    struct bytes copy = bytes_of(*to, from.len);

    if (from.len > 0)
        memcpy(*to, from.ptr, from.len);
    *to += from.len;
    return copy;
}

/* Copies what is to be parsed, as a parse may outlive the response. False: no memory. */
static bool take_beginning(struct early *e, const struct response *r)
{
    struct bytes url = transfer_url(&e->watch);
    char *copy = malloc(r->body.len + r->content_encoding.len + r->content_type.len + url.len + 1);
    promise *p = copy ? promise_new(&e->source) : NULL;
    char *to = copy;

    if (!p) {
        free(copy);
        return false;
    }
    e->request.body = copy_to(&to, buffer_bytes(&r->body));
    e->request.content_encoding = copy_to(&to, r->content_encoding);
    e->request.content_type = copy_to(&to, r->content_type);
    e->request.url = copy_to(&to, url);
    e->request.is_prefix = true;
    promise_resolve(p, copy, free);
    promise_drop(p);
    return true;
}

/* The transfer goes on meanwhile. */
static bool reached(struct transfer_watch *watch, const struct response *so_far)
{
    struct early *e = CONTAINER_OF(watch, struct early, watch);

    if (e->source || !early_look_pays(so_far) || !take_beginning(e, so_far))
        return true;
    e->references++;
    e->look = task_start_in(e->scope, &early_task, &(struct early_frame){e});
    return true;
}

static void on_release(struct transfer_watch *watch)
{
    release(CONTAINER_OF(watch, struct early, watch));
}

/* -- life -------------------------------------------------------------------------------------- */

struct early *early_new(struct scope *scope, const struct page_request *question)
{
    struct early *e = malloc(sizeof *e);

    if (e)
        *e = (struct early){
            .references = 1,
            .watch = {.at_bytes = EARLY_BYTES, .reached = reached, .release = on_release},
            .scope = scope,
            .request = *question,
        };
    return e;
}

struct transfer_watch *early_watch(struct early *e)
{
    e->references++;
    return &e->watch;
}

future *early_look(const struct early *e)
{
    return e->look ? future_ref(e->look) : NULL;
}

future *early_facts(const struct early *e)
{
    return has_facts(e) ? future_ref(e->parse) : NULL;
}

struct early *early_drop(struct early *e)
{
    if (e)
        release(e);
    return NULL;
}
