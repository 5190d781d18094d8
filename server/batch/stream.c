#include "server/batch/stream.h"

#include "core/async/channel.h"
#include "core/async/loop.h"
#include "core/async/task.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "server/batch/sse.h"
#include "server/watch/metrics.h"

#include <errno.h>
#include <stdlib.h>

struct line {
    size_t index;
    enum record_status status;
    struct buffer text;
    promise *written;
};

struct stream {
    struct exchange *x; /* NULL once the client has left, or the answer has ended */
    struct stream_options options;
    struct channel *lines;
    future *pump;
    struct record_end counts;
    unsigned char *done; /* a bit for each index */
    size_t next;         /* ORDER_INPUT: the index whose turn it is */
    struct line **early; /* ORDER_INPUT: lines before their turn, at index % window */

    struct timer heartbeat;
    uint64_t written_ns; /* when something was written last */
    bool is_idle;        /* the pump waits for lines, and all that came have been written */
};

static void line_free(void *value)
{
    struct line *l = value;

    promise_drop(l->written);
    buffer_free(&l->text);
    free(l);
}

static void on_gone(void *arg)
{
    struct stream *s = arg;

    s->x = NULL;
    timer_clear(&s->heartbeat);
    s->options.gone(s->options.arg);
}

/* -- the form ---------------------------------------------------------------------------------- */

/* Writes a line of JSON, its newline included. */
static void put(struct stream *s, struct bytes line)
{
    if (s->options.as_events) {
        exchange_write(s->x, SSE_BEFORE);
        exchange_write(s->x, line);
        exchange_write(s->x, SSE_BEHIND);
        s->written_ns = clock_now_ns();
    } else {
        exchange_write(s->x, line);
    }
}

static int set_heartbeat(struct stream *s)
{
    return timer_set(&s->heartbeat, clock_after_ms(s->written_ns, s->options.heartbeat_ms));
}

/* Where the client does not read, nothing is added to what waits for it. Setting the timer again
 * takes no memory. */
static void on_heartbeat(struct timer *timer)
{
    struct stream *s = CONTAINER_OF(timer, struct stream, heartbeat);
    uint64_t now = clock_now_ns();

    if (now >= clock_after_ms(s->written_ns, s->options.heartbeat_ms)) {
        if (s->is_idle)
            exchange_write(s->x, SSE_HEARTBEAT);
        s->written_ns = now;
    }
    (void)set_heartbeat(s);
}

/* -- writing ----------------------------------------------------------------------------------- */

static bool is_done(const struct stream *s, size_t index)
{
    return s->done[index / 8] >> index % 8 & 1;
}

static void write_record(struct stream *s, size_t index, enum record_status status,
                         struct bytes text)
{
    if (!s->x || is_done(s, index))
        return;
    put(s, text);
    s->done[index / 8] |= (unsigned char)(1u << index % 8);
    metrics.records[status]++;
    switch (status) {
    case RECORD_OK:
        s->counts.ok++;
        break;
    case RECORD_FAILED:
        s->counts.failed++;
        break;
    case RECORD_CANCELLED:
        s->counts.cancelled++;
        break;
    }
}

static void write_line(struct stream *s, struct line *l)
{
    write_record(s, l->index, l->status, buffer_bytes(&l->text));
    s->next = l->index + 1;
    promise_resolve(l->written, NULL, NULL);
    line_free(l);
}

/* The next line that may be written, or NULL. */
static struct line *next_line(struct stream *s)
{
    void *item;

    for (;;) {
        if (s->options.order == ORDER_INPUT) {
            size_t slot = s->next % s->options.window;
            struct line *l = s->early[slot];
            if (l && l->index == s->next) {
                s->early[slot] = NULL;
                return l;
            }
        }
        if (!channel_try_get(s->lines, &item))
            return NULL;
        if (s->options.order == ORDER_COMPLETION)
            return item;
        struct line *l = item;
        s->early[l->index % s->options.window] = l;
    }
}

/* After the last emit: a line may still wait for its turn behind an item that will not come. */
static void write_late(struct stream *s, size_t index)
{
    struct line *l = s->early ? s->early[index % s->options.window] : NULL;
    struct buffer text = {0};

    if (l && l->index == index) {
        s->early[index % s->options.window] = NULL;
        write_line(s, l);
        return;
    }
    s->options.write_missing(s->options.arg, index, &text);
    write_record(s, index, RECORD_CANCELLED, buffer_bytes(&text));
    buffer_free(&text);
}

static void write_end(struct stream *s)
{
    struct buffer text = {0};

    s->counts.total = s->options.total;
    s->counts.elapsed_us = (clock_now_ns() - s->options.started_ns) / 1000;
    record_write_end(&text, &s->counts);
    put(s, buffer_bytes(&text));
    buffer_free(&text);
    exchange_end(s->x);
    s->x = NULL;
    timer_clear(&s->heartbeat);
}

/* -- the pump ---------------------------------------------------------------------------------- */

struct pump {
    struct stream *stream;
    future *ready, *room;
    uint64_t stalled_ns; /* since when there is no room; 0: there is */
    size_t index;
};

static future *room(struct pump *p)
{
    future *room = p->stream->x ? exchange_room(p->stream->x) : future_done();

    p->stalled_ns = future_settled(room) ? 0 : clock_now_ns();
    metrics.streams_stalled += p->stalled_ns > 0;
    return room;
}

/* It fails when the client has gone, of which on_gone() tells: nothing is to be done here. */
static void had_room(struct pump *p)
{
    (void)future_ok(p->room);
    if (p->stalled_ns) {
        metrics.streams_stalled--;
        metrics.stream_stalls++;
        metrics.stream_stall_us += (clock_now_ns() - p->stalled_ns) / 1000;
    }
}

static future *lines_ready(struct stream *s)
{
    s->is_idle = true;
    return channel_ready(s->lines);
}

static int pump_step(task *t, void *frame)
{
    struct pump *p = frame;
    struct stream *s = p->stream;
    struct line *line;

    BEGIN(t);
    for (;;) {
        AWAIT(t, p->ready, lines_ready(s));
        s->is_idle = false;
        while ((line = next_line(s))) {
            write_line(s, line);
            AWAIT(t, p->room, room(p));
            had_room(p);
        }
        if (future_error(p->ready) == -EPIPE)
            break; /* closed, and empty */
    }
    if (s->x)
        exchange_ending(s->x);
    for (p->index = 0; s->x && p->index < s->options.total; p->index++) {
        if (is_done(s, p->index))
            continue;
        write_late(s, p->index);
        AWAIT(t, p->room, room(p));
        had_room(p);
    }
    if (s->x)
        write_end(s);
    END(t);
}

static void pump_drop(void *frame)
{
    struct pump *p = frame;

    future_drop(p->ready);
    future_drop(p->room);
}

/* It ends by itself, when the channel was closed; being cancelled must not keep it from that. */
TASK(pump_task, ON_LOOP, sizeof(struct pump), .step = pump_step, .drop = pump_drop,
     .catches_cancel = true);

/* -- the outside ------------------------------------------------------------------------------- */

static bool begin_heartbeat(struct stream *s)
{
    if (!s->options.as_events || s->options.heartbeat_ms == 0)
        return true;
    s->heartbeat.fire = on_heartbeat;
    s->written_ns = clock_now_ns();
    return set_heartbeat(s) == 0;
}

struct stream *stream_new(struct exchange *x, const struct stream_options *options)
{
    struct stream *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->options = *options;
    s->done = calloc(options->total / 8 + 1, 1);
    s->lines = channel_new(options->window, line_free);
    if (options->order == ORDER_INPUT)
        s->early = calloc(options->window, sizeof(struct line *));
    if (!s->done || !s->lines || (options->order == ORDER_INPUT && !s->early) ||
        !begin_heartbeat(s)) {
        stream_free(s);
        return NULL;
    }
    s->pump = task_start(&pump_task, &(struct pump){.stream = s});
    if (future_settled(s->pump)) { /* refused: it would run later, never inside task_start */
        stream_free(s);
        return NULL;
    }
    s->x = x;
    exchange_stream(x, 200, options->as_events ? SSE_CONTENT_TYPE : "application/x-ndjson", on_gone,
                    s);
    return s;
}

future *stream_emit(struct stream *s, size_t index, enum record_status status, struct buffer *line)
{
    struct line *l = line->failed ? NULL : malloc(sizeof *l);
    future *written;
    promise *p = l ? promise_new(&written) : NULL;

    if (!p) {
        free(l);
        buffer_free(line);
        return future_out_of_memory();
    }
    *l = (struct line){.index = index, .status = status, .text = *line, .written = p};
    *line = (struct buffer){0};
    /* There is a place for each of the `window` emits, so this never parks; when the channel is
     * closed it frees the line, and with it the promise, which fails. */
    future_drop(channel_put(s->lines, l));
    return written;
}

future *stream_finish(struct stream *s)
{
    channel_close(s->lines);
    future *pump = s->pump;
    s->pump = NULL;
    return pump;
}

const struct record_end *stream_counts(const struct stream *s)
{
    return &s->counts;
}

struct stream *stream_free(struct stream *s)
{
    if (!s)
        return NULL;
    if (s->early)
        for (size_t i = 0; i < s->options.window; i++)
            if (s->early[i])
                line_free(s->early[i]);
    free(s->early);
    free(s->done);
    timer_clear(&s->heartbeat);
    channel_drop(s->lines);
    future_drop(s->pump);
    free(s);
    return NULL;
}
