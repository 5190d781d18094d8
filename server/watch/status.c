#include "server/watch/status.h"

#include "core/base/clock.h"
#include "server/batch/internal.h"
#include "server/json.h"
#include "server/version.h"

#include <stdio.h>
#include <time.h>

/* -- JSON -------------------------------------------------------------------------------------- */

static void put_key(struct buffer *out, const char *key)
{
    char before = out->len > 0 ? out->ptr[out->len - 1] : '{';

    if (before != '{' && before != '[')
        buffer_byte(out, ',');
    buffer_printf(out, "\"%s\":", key);
}

static void put_number(struct buffer *out, const char *key, uint64_t number)
{
    put_key(out, key);
    buffer_unsigned(out, number);
}

static void put_ms(struct buffer *out, const char *key, uint64_t us)
{
    put_key(out, key);
    json_write_milliseconds(out, us);
}

/* RFC 3339, in UTC. */
static void put_time(struct buffer *out, const char *key, uint64_t unix_us)
{
    time_t seconds = (time_t)(unix_us / 1000000);
    char text[sizeof "+9999999999-12-31T23:59:60"];
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    put_key(out, key);
    buffer_printf(out, "\"%s.%03uZ\"", text, (unsigned)(unix_us / 1000 % 1000));
}

/* -- what is under way --------------------------------------------------------------------------
 */

static void put_batch(struct buffer *out, const struct batch *b)
{
    struct batch_progress p = batch_progress(b);
    uint64_t elapsed_us = (clock_now_ns() - b->started_ns) / 1000;

    if (out->len > 0 && out->ptr[out->len - 1] == '}')
        buffer_byte(out, ',');
    buffer_byte(out, '{');
    put_number(out, "number", b->number);
    put_time(out, "started_at", watch_unix_time_us() - elapsed_us);
    put_ms(out, "elapsed_ms", elapsed_us);
    put_number(out, "total", p.total);
    put_number(out, "ok", p.ok);
    put_number(out, "failed", p.failed);
    put_number(out, "cancelled", p.cancelled);
    put_number(out, "pending", p.total - p.ok - p.failed - p.cancelled);
    buffer_byte(out, '}');
}

static void put_batches(struct buffer *out, const struct watch *w)
{
    put_key(out, "batches");
    buffer_byte(out, '{');
    put_number(out, "started", w->batches->started);
    put_key(out, "running");
    buffer_byte(out, '[');
    LIST_FOR (link, &w->batches->running)
        put_batch(out, CONTAINER_OF(link, struct batch, link));
    buffer_text(out, "]}");
}

/* From the metrics, so that both tell the same. */
static void put_counts(struct buffer *out, const struct metrics *m)
{
    put_key(out, "fetches");
    buffer_byte(out, '{');
    put_number(out, "in_flight", m->fetches_in_flight);
    put_number(out, "limit", m->fetches_limit);
    put_number(out, "waiting", m->turns_waiting);
    put_number(out, "urls_waiting", m->urls_waiting);
    put_number(out, "hosts_waiting", m->origins_waiting);
    put_number(out, "connections", m->fetch_connections);
    buffer_byte(out, '}');
    put_key(out, "workers");
    buffer_byte(out, '{');
    put_number(out, "busy", m->workers[WORKER_BUSY]);
    put_number(out, "idle", m->workers[WORKER_IDLE]);
    put_number(out, "pages_waiting", m->parses_waiting);
    buffer_byte(out, '}');
    put_key(out, "memory");
    buffer_byte(out, '{');
    put_number(out, "resident_bytes", m->resident_bytes);
    put_number(out, "workers_resident_bytes", m->worker_resident_bytes);
    put_number(out, "held_body_bytes", m->held_bytes);
    put_number(out, "reserved_bytes", m->memory_reserved_bytes);
    put_number(out, "taken_bytes", m->memory_taken_bytes);
    put_number(out, "limit_bytes", m->memory_limit_bytes);
    put_number(out, "refused_requests", m->memory_refusals);
    buffer_byte(out, '}');
    put_key(out, "clients");
    buffer_byte(out, '{');
    put_number(out, "connections", m->http_connections);
    put_number(out, "requests", m->http_requests_in_flight);
    buffer_byte(out, '}');
}

void status_answer(struct watch *w, struct exchange *x)
{
    struct buffer out = {0};

    watch_read(w, &metrics);
    buffer_byte(&out, '{');
    put_key(&out, "version");
    json_write_string(&out, BYTES(SKIMD_VERSION));
    put_key(&out, "state");
    json_write_string(&out, *w->leaving ? BYTES("draining") : BYTES("serving"));
    put_time(&out, "started_at", w->start_us);
    put_ms(&out, "uptime_ms", (clock_now_ns() - w->started_ns) / 1000);
    put_batches(&out, w);
    put_counts(&out, &metrics);
    buffer_text(&out, "}\n");
    exchange_respond(x, 200, "application/json", NULL, &out);
}
