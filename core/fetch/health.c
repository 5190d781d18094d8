#include "core/fetch/health.h"

#include "core/base/clock.h"

const char *health_state_name(enum health_state state)
{
    switch (state) {
#define X(constant, name)                                                                          \
    case constant:                                                                                 \
        return (name);
        HEALTH_STATES(X)
#undef X
    }
    return "";
}

enum health_state health_at(const struct health *h, uint64_t now_ns)
{
    bool waits = h->state == HEALTH_BACKING_OFF || h->state == HEALTH_GIVEN_UP;

    return waits && now_ns >= h->until_ns ? HEALTH_PROBING : h->state;
}

bool health_is_blank(const struct health *h)
{
    return h->state == HEALTH_GOOD && h->refusals == 0 && h->failures == 0 && h->surrenders == 0;
}

/* `first_ms` doubled `times` times, at most `most_ms`, and up to half as much again, so that many
 * who wait do not come back together. */
static uint64_t backoff_ms(uint64_t first_ms, unsigned times, uint64_t most_ms, uint32_t chance)
{
    uint64_t ms = times < 20 ? first_ms << times : most_ms;

    if (ms > most_ms)
        ms = most_ms;
    return ms + chance % (ms / 2 + 1);
}

static void change(struct health *h, enum health_state state, uint64_t now_ns, uint64_t wait_ms)
{
    h->state = state;
    h->changed_ns = now_ns;
    h->until_ns = clock_after_ms(now_ns, wait_ms);
}

/* Whether a request tells of the origin as it is now: not one from before the last change. */
static bool is_news(const struct health *h, uint64_t begun_ns, uint64_t now_ns)
{
    enum health_state state = health_at(h, now_ns);

    if (state == HEALTH_BACKING_OFF || state == HEALTH_GIVEN_UP)
        return false;
    return h->state == HEALTH_GOOD || begun_ns >= h->until_ns;
}

static void give_up(struct health *h, uint64_t now_ns, uint32_t chance)
{
    change(h, HEALTH_GIVEN_UP, now_ns,
           backoff_ms(HEALTH_GIVE_UP_FIRST_MS, h->surrenders, HEALTH_GIVE_UP_MOST_MS, chance));
    h->surrenders++;
}

void health_answered(struct health *h, uint64_t begun_ns, uint64_t now_ns)
{
    h->failures = 0;
    if (!is_news(h, begun_ns, now_ns))
        return;
    h->surrenders = h->refused = 0;
    if (h->refusals > 0)
        h->refusals--;
    if (h->state != HEALTH_GOOD)
        change(h, HEALTH_GOOD, now_ns, 0);
}

void health_refused(struct health *h, uint64_t begun_ns, uint64_t now_ns, uint64_t retry_after_s,
                    uint32_t chance)
{
    uint64_t asked_ms = retry_after_s < HEALTH_RETRY_AFTER_MOST_MS / 1000
                            ? retry_after_s * 1000
                            : HEALTH_RETRY_AFTER_MOST_MS;
    uint64_t until_asked = clock_after_ms(now_ns, asked_ms);

    h->failures = 0; /* it is there */
    if (!is_news(h, begun_ns, now_ns) || begun_ns < h->changed_ns) {
        if (h->state == HEALTH_BACKING_OFF && asked_ms <= HEALTH_BACKOFF_MOST_MS &&
            until_asked > h->until_ns)
            h->until_ns = until_asked; /* a later word of the same refusal */
        return;
    }
    uint64_t ms = backoff_ms(HEALTH_BACKOFF_FIRST_MS, h->refusals, HEALTH_BACKOFF_MOST_MS, chance);
    h->refusals++;
    h->refused++;
    if (asked_ms > HEALTH_BACKOFF_MOST_MS)
        change(h, HEALTH_GIVEN_UP, now_ns, asked_ms);
    else if (h->refused >= HEALTH_REFUSALS)
        give_up(h, now_ns, chance);
    else
        change(h, HEALTH_BACKING_OFF, now_ns, ms > asked_ms ? ms : asked_ms);
}

void health_failed(struct health *h, uint64_t begun_ns, uint64_t now_ns, uint32_t chance)
{
    if (!is_news(h, begun_ns, now_ns))
        return;
    h->failures++;
    if (h->failures < HEALTH_FAILURES && h->surrenders == 0)
        return;
    h->failures = 0;
    give_up(h, now_ns, chance);
}
