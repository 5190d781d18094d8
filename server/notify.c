#include "server/notify.h"

#include "core/base/clock.h"
#include "core/base/list.h"
#include "server/config/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NS_PER_US UINT64_C(1000)

enum { RETRY_MS = 100, SIGNS_OF_LIFE = 3 /* in the time of the watchdog: one may get lost */ };

/* -- the socket -------------------------------------------------------------------------------- */

/* `name` is a path, or that of an abstract socket behind an @. 0, or a negative errno. */
static int connect_to(int fd, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || len < 2)
        return -EAFNOSUPPORT;
    if (len >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
    return connect(fd, (const struct sockaddr *)&address, size) < 0 ? -errno : 0;
}

/* The time of the watchdog in µs; 0: none, or another process is meant. */
static uint64_t watchdog_us(void)
{
    const char *text = getenv("WATCHDOG_USEC"), *whose = getenv("WATCHDOG_PID");
    uint64_t us, pid;

    if (!text || !config_number(bytes_cstr(text), &us) || us > UINT64_MAX / NS_PER_US)
        return 0;
    if (whose && (!config_number(bytes_cstr(whose), &pid) || pid != (uint64_t)getpid()))
        return 0;
    return us;
}

static void tick(struct timer *timer);

int notify_open(struct notifier *ret)
{
    const char *name = getenv("NOTIFY_SOCKET");
    int rc = 0;

    *ret = (struct notifier){.fd = -1, .timer.fire = tick};
    if (name && *name) {
        ret->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        rc = ret->fd < 0 ? -errno : connect_to(ret->fd, name);
        ret->watchdog_ns = watchdog_us() * NS_PER_US / SIGNS_OF_LIFE;
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    if (rc < 0 && ret->fd >= 0)
        close(ret->fd);
    if (rc < 0)
        ret->fd = -1;
    return rc;
}

void notify_close(struct notifier *n)
{
    timer_clear(&n->timer);
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

/* -- sending ----------------------------------------------------------------------------------- */

/* A socket whose reader is behind is tried again; any other failure loses what it was about. */
static void send_now(struct notifier *n)
{
    ssize_t sent =
        n->unsent_len > 0 ? send(n->fd, n->unsent, n->unsent_len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

    if (sent >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != EINTR))
        n->unsent_len = 0;
    if (n->unsent_len > 0)
        timer_set(&n->timer, clock_after_ms(loop_now_ns(), RETRY_MS));
    else if (n->watchdog_ns > 0)
        timer_set(&n->timer, loop_now_ns() + n->watchdog_ns);
}

/* Several datagrams may go as one, a line each. */
static void append(struct notifier *n, const char *text, size_t len)
{
    size_t line = n->unsent_len > 0;

    if (n->unsent_len + line + len > sizeof n->unsent)
        return;
    if (line)
        n->unsent[n->unsent_len++] = '\n';
    memcpy(n->unsent + n->unsent_len, text, len);
    n->unsent_len += len;
}

static void tick(struct timer *timer)
{
    static const char alive[] = "WATCHDOG=1";
    struct notifier *n = CONTAINER_OF(timer, struct notifier, timer);

    if (n->watchdog_ns > 0 && n->unsent_len == 0)
        append(n, alive, sizeof alive - 1);
    send_now(n);
}

void notify_send(struct notifier *n, const char *format, ...)
{
    char text[NOTIFY_SIZE];
    va_list args;

    if (n->fd < 0)
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len > 0 && (size_t)len < sizeof text)
        append(n, text, (size_t)len);
    send_now(n);
}

void notify_ready(struct notifier *n, const char *status)
{
    notify_send(n, "READY=1\nSTATUS=%s", status);
}
