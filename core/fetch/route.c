#include "core/fetch/route.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool leads_to(const struct curl_sockaddr *s, const struct address *a)
{
    const struct sockaddr_in *v4 = (const void *)&s->addr;
    const struct sockaddr_in6 *v6 = (const void *)&s->addr;

    if (s->family != a->any.sa_family)
        return false;
    if (s->family == AF_INET)
        return v4->sin_port == a->v4.sin_port && v4->sin_addr.s_addr == a->v4.sin_addr.s_addr;
    return v6->sin6_port == a->v6.sin6_port &&
           memcmp(&v6->sin6_addr, &a->v6.sin6_addr, sizeof v6->sin6_addr) == 0;
}

/* The socket that is there already, if it leads to `address`, or a new one; negative errno. */
static int socket_to(struct route *r, const struct curl_sockaddr *address)
{
    int fd = r->socket;

    if (fd >= 0 && leads_to(address, r->address)) {
        r->socket = -1;
        r->given = fd;
        r->gave = true;
        return fd;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    return fd < 0 ? -errno : fd;
}

/*
 * Called for every connect, but not for a connection that is used again: that was judged when it
 * was opened, and neither its address nor the guard changes. So there is no CURLOPT_PREREQFUNCTION.
 */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct route *r = arg;
    const struct engine_options *options = &r->engine->options;

    (void)purpose;
    if (!options->proxy && !guard_allows(options->guard, &address->addr, &r->refused))
        return CURL_SOCKET_BAD;
    int fd = socket_to(r, address);
    if (fd >= 0)
        fd = engine_adopt_socket(r->engine, fd);
    if (fd < 0)
        r->error = -fd;
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    struct route *r = arg;
    bool is_connected = fd == r->given;

    (void)purpose;
    r->given = -1; /* the number may come again */
    return is_connected ? CURL_SOCKOPT_ALREADY_CONNECTED : CURL_SOCKOPT_OK;
}

CURLcode route_serve(struct route *r, struct engine *e, CURL *easy)
{
    CURLcode rc = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);

    r->engine = e;
    r->socket = -1;
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, r);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, r);
    if (rc == CURLE_OK)
        rc = curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, engine_close_socket);
    if (rc == CURLE_OK) /* outlives the handle, as the connection may */
        rc = curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, e);
    return rc;
}

void route_begin(struct route *r, const struct address *address, int socket)
{
    *r = (struct route){
        .engine = r->engine,
        .address = address,
        .socket = address ? socket : -1,
        .given = -1,
    };
}

bool route_try_again(struct route *r, CURLcode result, CURL *easy)
{
    long error = 0;

    if (!r->gave || result != CURLE_COULDNT_CONNECT)
        return false;
    r->gave = false;
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &error);
    return error == EISCONN;
}

void route_end(struct route *r)
{
    if (r->socket >= 0)
        close(r->socket);
    r->socket = -1;
}
