#include "server/http/deadline.h"
#include "core/base/clock.h"
#include "core/base/list.h"

#include <linux/tcp.h> /* the C library's lacks tcpi_bytes_acked */
#include <netinet/in.h>
#include <sys/socket.h>

static const uint64_t never_asked = UINT64_MAX;

static struct tcp_info tcp_info(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;

    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    return info;
}

static unsigned limit_ms(const struct http_deadline *d)
{
    switch (d->phase) {
    case HTTP_HEAD:
        return d->options->header_timeout_ms;
    case HTTP_BODY:
        return d->options->body_timeout_ms;
    case HTTP_WORK:
        return 0;
    case HTTP_SEND:
        return d->options->send_timeout_ms;
    case HTTP_IDLE:
        return d->options->idle_timeout_ms;
    }
    return 0;
}

/* Arms the timer `ms` after `since_ns`; 0 ms: there is no limit. */
static void arm(struct http_deadline *d, unsigned ms)
{
    if (ms == 0)
        timer_clear(&d->timer);
    else if (timer_set(&d->timer, clock_after_ms(d->since_ns, ms)) < 0)
        shutdown(d->fd, SHUT_RDWR); /* rather none than one that may last for ever */
}

/* True when a byte came after the last answer ended, so that a next head has begun. */
static bool head_has_begun(const struct http_deadline *d)
{
    struct tcp_info info = tcp_info(d->fd);
    uint64_t quiet_ns = info.tcpi_last_data_recv * NS_PER_MS;

    return clock_now_ns() - d->since_ns >
           quiet_ns + 10 * NS_PER_MS; /* the kernel counts in ticks */
}

/* How often an idle connection is asked whether a head has begun: so late may a deadline be. */
static unsigned idle_check_ms(const struct http_deadline *d)
{
    unsigned header = d->options->header_timeout_ms, idle = d->options->idle_timeout_ms;

    return header != 0 && (idle == 0 || header < idle) ? header : idle;
}

static void idle_fired(struct http_deadline *d)
{
    unsigned idle = d->options->idle_timeout_ms;

    if (d->options->header_timeout_ms != 0 && head_has_begun(d)) {
        http_deadline_enter(d, HTTP_HEAD);
    } else if (idle != 0 && loop_now_ns() >= clock_after_ms(d->since_ns, idle)) {
        d->expired(d);
    } else {
        uint64_t end = idle ? clock_after_ms(d->since_ns, idle) : CLOCK_NEVER;
        uint64_t check = clock_after_ms(loop_now_ns(), idle_check_ms(d));

        if (timer_set(&d->timer, check < end ? check : end) < 0)
            shutdown(d->fd, SHUT_RDWR);
    }
}

static void fired(struct timer *timer)
{
    struct http_deadline *d = CONTAINER_OF(timer, struct http_deadline, timer);
    unsigned ms = limit_ms(d);

    if (d->phase == HTTP_IDLE) {
        idle_fired(d);
        return;
    }
    if (d->phase == HTTP_SEND) {
        uint64_t acked = tcp_info(d->fd).tcpi_bytes_acked;

        if (acked != d->acked_bytes) {
            d->acked_bytes = acked;
            d->since_ns = loop_now_ns();
        }
    }
    if (loop_now_ns() < clock_after_ms(d->since_ns, ms))
        arm(d, ms);
    else
        d->expired(d);
}

void http_deadline_enter(struct http_deadline *d, enum http_phase phase)
{
    d->phase = phase;
    d->since_ns = clock_now_ns(); /* not the turn's time: compared with the kernel's */
    d->acked_bytes = never_asked;
    d->timer.fire = fired;
    arm(d, phase == HTTP_IDLE ? idle_check_ms(d) : limit_ms(d));
}

void http_deadline_progress(struct http_deadline *d, size_t bytes)
{
    uint64_t now = loop_now_ns(), rate = d->options->body_min_rate;

    if (now <= d->since_ns)
        return;
    uint64_t used = now - d->since_ns, given = rate ? bytes * NS_PER_SEC / rate : used;
    d->since_ns += given < used ? given : used;
}

void http_deadline_clear(struct http_deadline *d)
{
    timer_clear(&d->timer);
}

bool http_deadline_heard(const struct http_deadline *d)
{
    return tcp_info(d->fd).tcpi_bytes_received > 0;
}
