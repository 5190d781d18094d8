#include "core/fetch/reaper.h"

#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/fetch/engine_internal.h"
#include "core/fetch/large_bodies.h"

#include <string.h>
#include <sys/socket.h>

enum {
    LOOK_AFTER_MS = 1100, /* libcurl looks again after a second */
    PIECE = 4096,
    PIECES_MOST = 16, /* who has said more is left to libcurl */
};

/* -- what hosts said at last ------------------------------------------------------------------- */

static void read_rest(int fd)
{
    char piece[PIECE];

    for (int i = 0; i < PIECES_MOST && recv(fd, piece, sizeof piece, MSG_DONTWAIT) > 0; i++) {
    }
}

/*
 * libcurl has not asked for these sockets since they ended. Transfers that are paused do not ask
 * for theirs either, so while there are such nothing is read.
 */
static void read_all_rests(const struct engine *e)
{
    const unsigned char *at = e->sockets, *end = e->sockets + e->sockets_size;

    if (!list_empty(&e->options.large->waiting))
        return;
    while (at < end && (at = memchr(at, SOCKET_ENDED, (size_t)(end - at)))) {
        read_rest((int)(at - e->sockets));
        at++;
    }
}

/* -- having libcurl look ----------------------------------------------------------------------- */

static curl_socket_t refuse_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)arg;
    (void)purpose;
    (void)address;
    return CURL_SOCKET_BAD;
}

/* A transfer that needs a new connection, and cannot have one. */
static CURL *new_caller(void)
{
    CURL *c = curl_easy_init();

    if (c && curl_easy_setopt(c, CURLOPT_URL, "http://127.0.0.1:1/") == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
        curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, refuse_socket) == CURLE_OK)
        return c;
    curl_easy_cleanup(c);
    return NULL;
}

static void wait(struct reaper *r)
{
    r->again = false;
    timer_set(&r->timer, clock_after_ms(loop_now_ns(), LOOK_AFTER_MS)); /* if not: the next time */
}

/*
 * Where libcurl has looked within the last second it does nothing. Then it has closed what had
 * ended by that time; for what ended later there is the next round.
 */
static void look(struct timer *timer)
{
    struct engine *e = CONTAINER_OF(timer, struct engine, reaper.timer);
    struct reaper *r = &e->reaper;

    if (r->again)
        wait(r);
    read_all_rests(e);
    if (r->caller)
        return;
    r->caller = new_caller();
    if (r->caller && curl_multi_add_handle(e->multi, r->caller) != CURLM_OK) {
        curl_easy_cleanup(r->caller);
        r->caller = NULL;
    }
}

static void end_call(struct engine *e)
{
    if (e->reaper.caller) {
        curl_multi_remove_handle(e->multi, e->reaper.caller);
        curl_easy_cleanup(e->reaper.caller);
    }
    e->reaper.caller = NULL;
}

/* -- life -------------------------------------------------------------------------------------- */

void reaper_init(struct engine *e)
{
    e->reaper = (struct reaper){.timer = {.fire = look}};
}

void reaper_end(struct engine *e)
{
    timer_clear(&e->reaper.timer);
    end_call(e);
}

void reaper_note(struct engine *e)
{
    if (e->reaper.timer.slot != 0)
        e->reaper.again = true;
    else
        wait(&e->reaper);
}

bool reaper_took(struct engine *e, const CURL *easy)
{
    if (!e->reaper.caller || easy != e->reaper.caller)
        return false;
    end_call(e);
    return true;
}
