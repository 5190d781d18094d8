#include "server/memory/memory.h"

#include "core/base/clock.h"
#include "core/fetch/large_bodies.h"

#include <assert.h>

#define MIB ((uint64_t)1 << 20)

/* Of the daemon some 25 MiB are resident from the start; connections take more. */
#define DAEMON_BYTES (40 * MIB)
#define WORKER_BYTES (8 * MIB)

/* What a page may take in a worker, beside itself: parsers/bump.h. */
#define WORKER_PAGE_BYTES (64 * MIB)

/* A transfer with TLS takes 82 KiB, and its item and record some more. */
#define FETCH_BYTES (LARGE_BODY_BYTES + (uint64_t)(128 << 10))

#define HOLD_BYTES (128 * MIB) /* without a ceiling */

/* An item whose record waits for its client. */
#define ITEM_BYTES (6 << 10)

enum {
    WORKERS_PART = 4, /* of the ceiling, at most, kept for what pages take in workers */
    HOLD_PART = 8,    /* of the ceiling, at most, for pages that are held */
    WINDOWS_PART = 16,
    WINDOW_LEAST = 8, /* URLs */
    SPARE_PART = 8,   /* of the ceiling, that fetches leave to new batches */
    /* Batches last from milliseconds to hours: a pause that neither hammers nor keeps waiting. */
    RETRY_AFTER_S = 5,
};

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* -- the ceiling ------------------------------------------------------------------------------- */

/* Kept for what pages take in workers: one more is there than may compute at once. */
static uint64_t worker_pages(uint64_t ceiling, uint64_t workers)
{
    return least_of((workers + 1) * WORKER_PAGE_BYTES, ceiling / WORKERS_PART);
}

static uint64_t hold_bytes(uint64_t ceiling, uint64_t max_page_bytes)
{
    return most_of(least_of(ceiling / HOLD_PART, HOLD_BYTES), max_page_bytes);
}

/* The smallest ceiling, in whole MiB as people write it, below which `certain` has room beside the
 * parts that are cut from it; they are half of it at most, or one page. */
static uint64_t ceiling_for(uint64_t certain, uint64_t workers, uint64_t max_page_bytes)
{
    uint64_t ceiling = 0, needed = certain;

    while (needed > ceiling) {
        ceiling = (needed + MIB - 1) / MIB * MIB;
        needed = certain + worker_pages(ceiling, workers) + hold_bytes(ceiling, max_page_bytes) +
                 ceiling / SPARE_PART;
    }
    return ceiling;
}

uint64_t memory_floor(uint64_t workers, uint64_t max_page_bytes)
{
    return ceiling_for(DAEMON_BYTES + (workers + 1) * WORKER_BYTES + FETCH_BYTES, workers,
                       max_page_bytes);
}

uint64_t memory_least(uint64_t workers, uint64_t max_page_bytes)
{
    return ceiling_for(DAEMON_BYTES + (workers + 1) * (WORKER_BYTES + max_page_bytes) + FETCH_BYTES,
                       workers, max_page_bytes);
}

void memory_init(struct memory *m, const struct memory_options *options)
{
    uint64_t ceiling = options->ceiling;

    *m = (struct memory){.ceiling = ceiling, .spare = ceiling / SPARE_PART};
    list_init(&m->claims);
    if (ceiling == 0)
        return;
    m->workers_least =
        (options->workers + 1) * WORKER_BYTES + worker_pages(ceiling, options->workers);
    m->large_bytes = hold_bytes(ceiling, options->max_page_bytes);
}

uint64_t memory_hold_bytes(const struct memory *m)
{
    return m->ceiling == 0 ? HOLD_BYTES : m->large_bytes;
}

uint64_t memory_body_limit(const struct memory *m, uint64_t most)
{
    uint64_t certain = m->workers_least + m->large_bytes + DAEMON_BYTES;

    if (m->ceiling == 0)
        return most;
    return least_of(most,
                    most_of(certain < m->ceiling ? (m->ceiling - certain) / 2 : 0, MEMORY_STEP));
}

uint64_t memory_window(const struct memory *m, size_t batches)
{
    if (m->ceiling == 0)
        return UINT64_MAX;
    return most_of(m->ceiling / WINDOWS_PART / ITEM_BYTES / (batches > 0 ? batches : 1),
                   WINDOW_LEAST);
}

uint64_t memory_total(const struct memory *m)
{
    return m->beside + m->reserved + m->held + m->fetches * FETCH_BYTES + m->large_bytes;
}

static bool fits(const struct memory *m, uint64_t more, uint64_t kept)
{
    uint64_t total = memory_total(m) + kept;

    return m->ceiling == 0 || (total <= m->ceiling && more <= m->ceiling - total);
}

/* -- shares ------------------------------------------------------------------------------------ */

static void resize(struct memory_share *s, uint64_t bytes)
{
    s->of->reserved += bytes - s->reserved; /* modulo 2^64: less is less */
    s->reserved = bytes;
}

static void claim_no_more(struct memory_share *s)
{
    if (s->claim.next)
        list_remove(&s->claim);
}

bool memory_reserve(struct memory *m, struct memory_share *s, uint64_t bytes)
{
    if (!m)
        return true;
    if (bytes > s->reserved && !fits(m, bytes - s->reserved, 0))
        return false;
    s->of = m;
    resize(s, bytes);
    return true;
}

bool memory_reserve_claim(struct memory *m, struct memory_share *s, uint64_t bytes)
{
    if (!memory_reserve(m, s, bytes))
        return false;
    if (m && !s->claim.next)
        list_init(&s->claim);
    if (m && list_empty(&s->claim)) {
        s->seen_ns = 0;
        list_push_back(&m->claims, &s->claim);
    }
    return true;
}

void memory_fill(struct memory_share *s, uint64_t filled)
{
    if (!s->of)
        return;
    s->of->filled += filled - s->filled; /* modulo 2^64 */
    s->filled = filled;
    if (filled > s->reserved)
        resize(s, filled);
}

void memory_move(struct memory_share *from, struct memory_share *to)
{
    claim_no_more(from);
    *to = (struct memory_share){.of = from->of, .reserved = from->reserved, .filled = from->filled};
    *from = (struct memory_share){0};
}

void memory_release(struct memory_share *s)
{
    if (!s->of)
        return;
    claim_no_more(s);
    memory_fill(s, 0);
    resize(s, 0);
    *s = (struct memory_share){0};
}

/* Takes from the share what its sender has announced, and does not send. */
static void look_at_claim(struct memory_share *s, uint64_t now_ns)
{
    if (s->seen_ns == 0 || s->filled - s->seen >= MEMORY_STEP) {
        s->seen = s->filled;
        s->seen_ns = now_ns;
    } else if (now_ns >= clock_after_ms(s->seen_ns, MEMORY_PATIENCE_MS) &&
               s->reserved > s->filled + MEMORY_STEP) {
        resize(s, s->filled + MEMORY_STEP);
    }
}

/* -- deciding ---------------------------------------------------------------------------------- */

void memory_refuse(struct memory *m, struct problem *ret_problem)
{
    m->refused++;
    problem_set(ret_problem, PROBLEM_OUT_OF_MEMORY, NULL,
                "What is under way takes all that the daemon may have (--max-memory).");
    ret_problem->retry_after_s = RETRY_AFTER_S;
}

bool memory_admits(struct memory *m, struct problem *ret_problem)
{
    if (!m->is_short)
        return true;
    memory_refuse(m, ret_problem);
    return false;
}

bool memory_allows_fetch(void *memory, size_t fetches, size_t held)
{
    struct memory *m = memory;

    m->fetches = fetches;
    m->held = held;
    if (!fits(m, FETCH_BYTES, m->spare))
        return false;
    m->fetches++;
    return true;
}

/* -- measuring --------------------------------------------------------------------------------- */

/* It becomes short above one mark, and is so until it was below another for a while. Fetches reach
 * neither. */
static void judge(struct memory *m, uint64_t now_ns)
{
    uint64_t total = memory_total(m);

    if (m->ceiling == 0)
        return;
    if (total > m->ceiling - m->spare / 2)
        m->full_ns = now_ns;
    if (total > m->ceiling - m->spare / 4)
        m->is_short = true;
    else if (now_ns >= clock_after_ms(m->full_ns, MEMORY_RECOVERY_MS))
        m->is_short = false;
}

void memory_measure(struct memory *m, const struct memory_sample *sample)
{
    uint64_t resident = sample->own + most_of(sample->workers, m->workers_least);
    uint64_t counted = m->filled + sample->held;

    m->fetches = sample->fetches;
    m->held = sample->held;
    m->beside = resident > counted ? resident - counted : 0;
    LIST_FOR (link, &m->claims)
        look_at_claim(CONTAINER_OF(link, struct memory_share, claim), sample->now_ns);
    judge(m, sample->now_ns);
}
