#include "server/healthcheck.h"

#include "server/config/endpoint.h"
#include "server/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/time.h>
#include <unistd.h>

enum { TIMEOUT_S = 2 };

/* An address to connect to where `listen` is any. "::" takes IPv4, and that has a loopback always.
 */
static struct sockaddr_storage reachable(const struct sockaddr_storage *listen)
{
    struct sockaddr_storage address = *listen;
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    if (listen->ss_family == AF_INET) {
        memcpy(&v4, listen, sizeof v4);
        if (v4.sin_addr.s_addr == htonl(INADDR_ANY))
            v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        memcpy(&address, &v4, sizeof v4);
    } else {
        memcpy(&v6, listen, sizeof v6);
        if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) {
            v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xFF;
            v6.sin6_addr.s6_addr[12] = IN_LOOPBACKNET;
            v6.sin6_addr.s6_addr[15] = 1;
        }
        memcpy(&address, &v6, sizeof v6);
    }
    return address;
}

/* As tls_talk(). */
static ssize_t talk(int fd, struct bytes request, char *answer, size_t size)
{
    size_t len = 0;

    if (send(fd, request.ptr, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
        return -EIO;
    while (len < size) {
        ssize_t n = recv(fd, answer + len, size - len, 0);

        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int ask(int fd, const struct sockaddr_storage *address, socklen_t len, bool tls)
{
    const struct bytes request = BYTES("GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                                       "Connection: close\r\n\r\n"),
                       ok = BYTES("HTTP/1.1 200 ");
    const struct timeval patience = {.tv_sec = TIMEOUT_S};
    char answer[sizeof "HTTP/1.1 200 " - 1];

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        connect(fd, (const struct sockaddr *)address, len) < 0)
        return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    ssize_t n = (tls ? tls_talk : talk)(fd, request, answer, sizeof answer);
    if (n <= 0)
        return n < 0 ? (int)n : -ENODATA;
    return bytes_equal(bytes_of(answer, (size_t)n), ok) ? 0 : -EPROTO;
}

static const char *reason(int rc, bool tls)
{
    switch (rc) {
    case -EPROTO:
        return "the answer is not 200";
    case -ENODATA:
        return tls ? "the connection was closed without an answer"
                   : "the connection was closed without an answer; one with TLS is asked with its "
                     "--tls-cert and --tls-key";
    default:
        return strerror(-rc);
    }
}

int healthcheck(const struct config *config, struct buffer *what)
{
    struct sockaddr_storage address = reachable(&config->listen);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -errno : ask(fd, &address, config->listen_len, config->tls_cert);

    if (fd >= 0)
        close(fd);
    if (rc < 0) {
        endpoint_write(what, &address);
        buffer_printf(what, ": %s", reason(rc, config->tls_cert));
    }
    return rc;
}
