#include "server/activation.h"

#include "server/config/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_DESCRIPTOR = 3 }; /* SD_LISTEN_FDS_START */

/* A variable's number; 0 when it has none. Takes the variable out of the environment. */
static uint64_t take_number(const char *name)
{
    uint64_t number = 0;
    const char *value = getenv(name);

    if (value)
        config_number(bytes_cstr(value), &number);
    unsetenv(name);
    return number;
}

static int socket_option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static bool is_listening_tcp(int fd)
{
    int family = socket_option(fd, SO_DOMAIN);

    return (family == AF_INET || family == AF_INET6) && socket_option(fd, SO_TYPE) == SOCK_STREAM &&
           socket_option(fd, SO_ACCEPTCONN) == 1;
}

int activation_take(struct config *config, char message[static CONFIG_MESSAGE_SIZE])
{
    uint64_t pid = take_number("LISTEN_PID"), count = take_number("LISTEN_FDS");
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    int fd = FIRST_DESCRIPTOR;

    unsetenv("LISTEN_FDNAMES");
    if (pid != (uint64_t)getpid() || count == 0)
        return 0;
    if (count > 1)
        return config_refuse(message,
                             "skimd: LISTEN_FDS: %llu sockets were handed over and one is "
                             "served; a single ListenStream=[::]:8080 takes IPv4 too",
                             (unsigned long long)count);
    if (!is_listening_tcp(fd))
        return config_refuse(message, "skimd: LISTEN_FDS: what was handed over is not a listening "
                                      "TCP socket, such as of ListenStream=127.0.0.1:8080 with "
                                      "Accept=no");
    int flags = fcntl(fd, F_GETFL);
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 || flags < 0 ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return config_refuse(message, "skimd: LISTEN_FDS: the socket cannot be used: %s",
                             strerror(errno));
    int rc = config_replace_listen(config, &address, len, message);
    return rc < 0 ? rc : fd;
}
