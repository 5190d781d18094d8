#include "core/fetch/robots_file.h"

#include "core/async/combine.h"
#include "core/async/loop.h"
#include "core/async/task.h"
#include "core/base/clock.h"
#include "core/fetch/origin.h"
#include "core/fetch/robots_coding.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REDIRECTS = 5, /* RFC 9309 section 2.3.1.2 */
    TIMEOUT_MS = 30000,
    RETRIES = 1,
    DAY_MS = 86400000,
    LIFETIME_LEAST_MS = 300000,
    LIFETIME_UNREACHABLE_MS = 300000,
    LIFETIME_UNANSWERED_MS = 60000,
    FILES_MOST = 16384,
    BYTES_MOST = 64 << 20,
    ENTRY_BYTES = 512,   /* of one that has no rules, about */
    SMALL_BYTES = 32768, /* these are always kept */
};

struct entry {
    UT_hash_handle hh;
    struct list link; /* in robots_files.recent, once it was fetched */
    struct robots_files *all;
    future *file;
    uint64_t expires_ns; /* CLOCK_NEVER while it is fetched */
    size_t size;
    char origin[];
};

struct robots_files {
    struct fetcher *fetcher;
    struct scope *scope;
    struct fetch_options options;
    struct entry *table;
    struct list recent;  /* those that may be forgotten; the oldest first */
    size_t count, bytes; /* of all */
    size_t in_use, most; /* bytes of rules, those that lanes alone hold included */
};

/* -- entries ----------------------------------------------------------------------------------- */

static void entry_free(struct entry *e)
{
    struct robots_files *all = e->all;

    HASH_DEL(all->table, e);
    list_remove(&e->link);
    all->count--;
    all->bytes -= e->size;
    future_drop(e->file);
    free(e);
}

static bool is_under_way(const struct entry *e)
{
    return e->expires_ns == CLOCK_NEVER;
}

/* Those that are under way are as few as the lanes that wait for them. */
static void make_room(struct robots_files *all)
{
    struct list *link;

    while ((all->count >= FILES_MOST || all->bytes >= BYTES_MOST) &&
           (link = list_pop_front(&all->recent)))
        entry_free(CONTAINER_OF(link, struct entry, link));
}

static struct entry *entry_new(struct robots_files *all, const char *origin)
{
    size_t length = strlen(origin);
    struct entry *e = calloc(1, sizeof *e + length + 1);

    if (!e)
        return NULL;
    memcpy(e->origin, origin, length);
    e->all = all;
    e->expires_ns = CLOCK_NEVER;
    e->size = ENTRY_BYTES;
    HASH_ADD(hh, all->table, origin[0], length, e);
    if (!e->hh.tbl) {
        free(e);
        return NULL;
    }
    list_init(&e->link);
    all->count++;
    all->bytes += e->size;
    return e;
}

static void end_fetch(struct entry *e, uint64_t expires_ns)
{
    e->expires_ns = expires_ns;
    list_push_back(&e->all->recent, &e->link);
}

/* -- what an answer means ---------------------------------------------------------------------- */

static void file_free(void *value)
{
    struct robots_file *file = value;

    if (file->all)
        file->all->in_use -= file->size;
    robots_free(file->rules);
    free(file);
}

/* The lifetime that Cache-Control asks for (RFC 9111 section 5.2.2.1), within our bounds. */
static uint64_t lifetime_ms(const struct response *r)
{
    struct bytes rest = r->cache_control;
    uint64_t s = DAY_MS / 1000;

    while (rest.len > 0) {
        struct bytes value = bytes_trim(bytes_split(&rest, ','));
        struct bytes name = bytes_trim(bytes_split(&value, '='));
        if (bytes_equal_nocase(name, BYTES("no-cache")) ||
            bytes_equal_nocase(name, BYTES("no-store")))
            s = 0;
        if (!bytes_equal_nocase(name, BYTES("max-age")) || value.len == 0 || value.len > 9)
            continue;
        uint64_t number = 0;
        for (size_t i = 0; i < value.len && value.ptr[i] >= '0' && value.ptr[i] <= '9'; i++)
            number = number * 10 + (uint64_t)(value.ptr[i] - '0');
        s = number < s ? number : s;
    }
    return s * 1000 > LIFETIME_LEAST_MS ? s * 1000 : LIFETIME_LEAST_MS;
}

static struct robots *disallow_all(void)
{
    return robots_parse(BYTES("User-agent: *\nDisallow: /\n"));
}

/* What it says is not known, so nothing is allowed, as if it had not come. */
static void refuse_coding(struct robots_file *file, struct bytes coding, bool is_known)
{
    int shown = coding.len < 40 ? (int)coding.len : 40;

    file->code = FETCH_ROBOTS_DISALLOWED;
    file->failure.retryable = true;
    snprintf(file->failure.message, sizeof file->failure.message,
             is_known ? "robots.txt: it came with Content-Encoding %.*s, and is not that"
                      : "robots.txt: it came with Content-Encoding %.*s, which was not asked for",
             shown, coding.ptr);
}

/* False when memory is exhausted. */
static bool read_text(struct robots_file *file, const struct response *r, uint64_t *ret_lifetime_ms)
{
    struct bytes text = buffer_bytes(&r->body);
    struct buffer inflated = {0};
    int rc = robots_decode(r->content_encoding, r->stopped, &text, &inflated);

    if (rc == 0) {
        if (text.len > ROBOTS_BYTES_MAX + 1) /* one more, so that it is seen to go on */
            text.len = ROBOTS_BYTES_MAX + 1;
        file->rules = robots_parse(text);
    } else if (rc != -ENOMEM) {
        *ret_lifetime_ms = LIFETIME_UNREACHABLE_MS;
        refuse_coding(file, r->content_encoding, rc == -EBADMSG);
    }
    buffer_free(&inflated);
    return file->rules || file->code;
}

/* False when memory is exhausted. */
static bool read_answer(struct robots_file *file, const struct fetch_page *page,
                        uint64_t *ret_lifetime_ms)
{
    const struct response *r = page->response;

    if (r->http_status == 429 || r->http_status >= 500) {
        *ret_lifetime_ms = LIFETIME_UNREACHABLE_MS;
        file->rules = disallow_all();
        file->refused = r->http_status;
        return file->rules;
    }
    *ret_lifetime_ms = lifetime_ms(r);
    return r->http_status / 100 != 2 || read_text(file, r, ret_lifetime_ms);
}

static bool read_failure(struct robots_file *file, const future *page, uint64_t *ret_lifetime_ms)
{
    const struct fetch_failure *failure = future_value(page);
    int code = future_error(page);

    *ret_lifetime_ms = LIFETIME_UNANSWERED_MS;
    if (code == FETCH_TOO_MANY_REDIRECTS) {
        *ret_lifetime_ms = DAY_MS;
        return true;
    }
    file->code = code > 0 ? code : FETCH_INTERNAL;
    file->failure.retryable = failure && failure->retryable;
    snprintf(file->failure.message, sizeof file->failure.message, "robots.txt: %.200s",
             failure ? failure->message : fetch_code_message(code));
    return true;
}

/* A lane holds its file as long as it has URLs, and hosts may have many names. */
static void count_in(struct robots_files *all, struct robots_file *file, uint64_t *lifetime_ms)
{
    size_t size = file->rules ? robots_size(file->rules) : 0;

    if (size > SMALL_BYTES && size + all->in_use > all->most) {
        *lifetime_ms = LIFETIME_UNANSWERED_MS;
        file->rules = robots_free(file->rules);
        file->code = FETCH_HOST_UNAVAILABLE;
        file->failure.retryable = true;
        snprintf(file->failure.message, sizeof file->failure.message,
                 "robots.txt: it is large, and there is no room for more of those now");
        size = 0;
    }
    file->all = all;
    file->size = size;
    all->in_use += size;
}

/* -- the task ---------------------------------------------------------------------------------- */

struct robots_frame {
    struct entry *entry; /* stays as long as it is under way */
    char *url;
    struct transfer_watch watch;
    future *page;
};

/* Enough has come of a file that is longer than what is read of one. */
static bool long_enough(struct transfer_watch *watch, const struct response *so_far)
{
    (void)watch;
    (void)so_far;
    return false;
}

static future *get(struct robots_frame *s)
{
    struct robots_files *all = s->entry->all;

    if (asprintf(&s->url, "%s/robots.txt", s->entry->origin) < 0) {
        s->url = NULL;
        return future_out_of_memory();
    }
    s->watch = (struct transfer_watch){.at_bytes = ROBOTS_BYTES_MAX + 1, .reached = long_enough};
    return fetch(all->fetcher, &(struct fetch_request){
                                   .url = bytes_cstr(s->url),
                                   .options = &all->options,
                                   .watch = &s->watch,
                               });
}

static void remember(struct entry *e, const struct robots_file *file, uint64_t for_ms)
{
    end_fetch(e, clock_after_ms(loop_now_ns(), for_ms));
    e->size += file->size;
    e->all->bytes += file->size;
}

static int robots_step(task *t, void *frame)
{
    struct robots_frame *s = frame;
    struct robots_file *file;
    uint64_t lifetime = 0;
    bool complete;

    BEGIN(t);
    AWAIT(t, s->page, get(s));
    file = calloc(1, sizeof *file);
    if (!file)
        return -ENOMEM;
    complete = future_ok(s->page) ? read_answer(file, future_value(s->page), &lifetime)
                                  : read_failure(file, s->page, &lifetime);
    if (!complete) {
        file_free(file);
        return -ENOMEM;
    }
    count_in(s->entry->all, file, &lifetime);
    remember(s->entry, file, lifetime);
    task_return(t, file, file_free);
    END(t);
}

static void robots_drop(void *frame)
{
    struct robots_frame *s = frame;

    if (is_under_way(s->entry)) /* it failed, or was cancelled: the next one asks anew */
        end_fetch(s->entry, 0);
    future_drop(s->page);
    free(s->url);
}

TASK(robots_task, ON_LOOP, sizeof(struct robots_frame), .step = robots_step, .drop = robots_drop);

/* -- the files --------------------------------------------------------------------------------- */

struct robots_files *robots_files_new(struct fetcher *f, struct scope *scope,
                                      const char *user_agent, size_t most_bytes)
{
    struct robots_files *all = calloc(1, sizeof *all);

    if (!all)
        return NULL;
    all->fetcher = f;
    all->scope = scope;
    all->most = most_bytes;
    all->options = (struct fetch_options){
        .timeout_ms = TIMEOUT_MS,
        .max_page_bytes = 4 * ROBOTS_BYTES_MAX, /* it is stopped before */
        .max_redirects = REDIRECTS,
        .retries = RETRIES,
        .user_agent = user_agent,
        .identity = true, /* so that as a rule nothing is inflated outside the sandbox */
    };
    list_init(&all->recent);
    return all;
}

struct robots_files *robots_files_free(struct robots_files *all)
{
    struct entry *e, *next;

    if (!all)
        return NULL;
    HASH_ITER (hh, all->table, e, next)
        entry_free(e);
    free(all);
    return NULL;
}

future *robots_file_ask(struct robots_files *all, const char *origin)
{
    struct entry *e;
    size_t length = strlen(origin);

    HASH_FIND(hh, all->table, origin, length, e);
    if (e && loop_now_ns() >= e->expires_ns) {
        entry_free(e);
        e = NULL;
    }
    if (!e) {
        make_room(all);
        e = entry_new(all, origin);
        if (!e)
            return future_out_of_memory();
        e->file = task_start_in(all->scope, &robots_task, &(struct robots_frame){.entry = e});
    }
    return future_shield(e->file);
}

const struct robots_file *robots_file_of(const future *asked)
{
    const future *file = future_ok(asked) ? future_value(asked) : NULL;

    return file ? future_value(file) : NULL;
}
