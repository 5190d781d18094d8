#include "server/http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

static socklen_t length_of(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                          : sizeof(struct sockaddr_in);
}

/* Writes the text of the address that `fd` is bound to. 0, or a negative errno. */
static int address_text(int fd, char text[static HTTP_ADDRESS_SIZE])
{
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof bound;
    char host[HTTP_ADDRESS_SIZE - 9], port[6]; /* "[", "]:", and the port */

    if (getsockname(fd, (struct sockaddr *)&bound, &length) < 0)
        return -errno;
    if (getnameinfo((struct sockaddr *)&bound, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return -EAFNOSUPPORT;
    snprintf(text, HTTP_ADDRESS_SIZE, bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
             port);
    return 0;
}

static int bind_and_listen(int fd, const struct sockaddr_storage *address, const char **ret_message)
{
    int on = 1, off = 0;

    /* A restarted daemon gets its port back although old connections linger in TIME_WAIT. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (const struct sockaddr *)address, length_of(address)) < 0) {
        *ret_message = "cannot bind the listen address";
        return -errno;
    }
    if (listen(fd, SOMAXCONN) < 0) {
        *ret_message = "cannot listen";
        return -errno;
    }
    return 0;
}

int http_listen(const struct sockaddr_storage *address, char ret_text[static HTTP_ADDRESS_SIZE],
                const char **ret_message)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

    if (fd < 0) {
        *ret_message = "cannot create the listening socket";
        return -errno;
    }
    int rc = bind_and_listen(fd, address, ret_message);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return http_adopt(fd, ret_text, ret_message);
}

int http_adopt(int fd, char ret_text[static HTTP_ADDRESS_SIZE], const char **ret_message)
{
    int rc = address_text(fd, ret_text);

    if (rc < 0) {
        *ret_message = "cannot tell the address that was bound";
        close(fd);
        return rc;
    }
    return fd;
}
