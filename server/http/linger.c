#include "server/http/linger.h"
#include "core/async/loop.h"
#include "core/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINGER_MS = 2000, LINGER_AT_MOST = 128, DISCARD_BYTES = 16 << 10, DISCARDS_PER_TURN = 16 };

struct lingering {
    struct list link;
    struct http_lingering *all;
    struct timer timer;
    int fd;
};

void http_linger_init(struct http_lingering *all)
{
    list_init(&all->sockets);
    all->count = 0;
}

static void end(struct lingering *l)
{
    timer_clear(&l->timer);
    loop_forget(l->fd);
    close(l->fd);
    list_remove(&l->link);
    l->all->count--;
    free(l);
}

static void time_is_up(struct timer *timer)
{
    end(CONTAINER_OF(timer, struct lingering, timer));
}

static void discard(void *arg, int fd, uint32_t events)
{
    struct lingering *l = arg;
    char rubbish[DISCARD_BYTES];

    (void)events;
    for (int i = 0; i < DISCARDS_PER_TURN; i++) {
        ssize_t n = recv(fd, rubbish, sizeof rubbish, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            end(l);
            return;
        }
    }
}

void http_linger(struct http_lingering *all, int fd)
{
    struct lingering *l = all->count < LINGER_AT_MOST ? calloc(1, sizeof *l) : NULL;

    if (!l)
        return;
    l->all = all;
    l->timer.fire = time_is_up;
    l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (l->fd < 0) {
        free(l);
        return;
    }
    list_push_back(&all->sockets, &l->link);
    all->count++;
    shutdown(l->fd, SHUT_WR);
    if (timer_set(&l->timer, clock_after_ms(loop_now_ns(), LINGER_MS)) < 0 ||
        loop_watch(l->fd, EPOLLIN, discard, l) < 0)
        end(l);
}

void http_linger_end(struct http_lingering *all)
{
    LIST_FOR (link, &all->sockets)
        end(CONTAINER_OF(link, struct lingering, link));
}
