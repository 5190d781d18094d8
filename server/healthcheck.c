#include "server/healthcheck.h"

#include "server/endpoint.h"

#include <errno.h>
#include <gnutls/gnutls.h>
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

static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                              "Connection: close\r\n\r\n",
                  ok[] = "HTTP/1.1 200 ";

/* 0, or a negative errno. */
static int judge(const char *answer, size_t len)
{
    return bytes_equal(bytes_of(answer, len), bytes_of(ok, sizeof ok - 1)) ? 0 : -EPROTO;
}

static int talk(int fd)
{
    char answer[sizeof ok - 1];
    size_t len = 0;

    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != sizeof request - 1)
        return -EIO;
    while (len < sizeof answer) {
        ssize_t n = recv(fd, answer + len, sizeof answer - len, 0);

        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return judge(answer, len);
}

static int from_gnutls(ssize_t rc)
{
    return rc == GNUTLS_E_AGAIN ? -ETIMEDOUT : -EPROTO;
}

static int talk_in_session(gnutls_session_t session)
{
    char answer[sizeof ok - 1];
    size_t len = 0;
    int rc;

    while ((rc = gnutls_handshake(session)) < 0) {
        if (rc == GNUTLS_E_AGAIN || gnutls_error_is_fatal(rc))
            return from_gnutls(rc);
    }
    if (gnutls_record_send(session, request, sizeof request - 1) != sizeof request - 1)
        return -EIO;
    while (len < sizeof answer) {
        ssize_t n = gnutls_record_recv(session, answer + len, sizeof answer - len);

        if (n < 0 && (n == GNUTLS_E_AGAIN || gnutls_error_is_fatal((int)n)))
            return from_gnutls(n);
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    return judge(answer, len);
}

/* Any certificate will do: nothing is told, and the answer is only that somebody lives there. */
static int talk_over_tls(int fd)
{
    gnutls_certificate_credentials_t credentials = NULL;
    gnutls_session_t session = NULL;
    int rc = -ENOMEM;

    if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) == 0 &&
        gnutls_certificate_allocate_credentials(&credentials) == 0 &&
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) == 0 &&
        gnutls_set_default_priority(session) == 0) {
        gnutls_transport_set_int(session, fd);
        rc = talk_in_session(session);
    }
    if (session)
        gnutls_deinit(session);
    if (credentials)
        gnutls_certificate_free_credentials(credentials);
    return rc;
}

static int ask(int fd, const struct sockaddr_storage *address, socklen_t len, bool tls)
{
    const struct timeval patience = {.tv_sec = TIMEOUT_S};

    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        connect(fd, (const struct sockaddr *)address, len) < 0)
        return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    return tls ? talk_over_tls(fd) : talk(fd);
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
        buffer_printf(what, ": %s", rc == -EPROTO ? "the answer is not 200" : strerror(-rc));
    }
    return rc;
}
