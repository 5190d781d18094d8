/*
 * many_hosts: an HTTP origin that is many: it listens on several ports of several addresses of
 * 127.0.0.0/8, each of them a host of its own to a client, and answers every request with the same
 * page.
 *
 *     many_hosts [--first N] [--addresses N] [--ports N] [--size BYTES] [--close]
 *
 * Prints the URL of each host, a line each, then closes its output: it listens by then. The first
 * address is 127.0.0.1 and N more. Each connection and each listener is a descriptor: where there
 * would be too many, start it several times.
 */
#include "core/base/bytes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, REQUEST_MAX = 2048, EVENTS_PER_WAIT = 256 };

static struct {
    unsigned first, addresses, ports;
    size_t size;
    bool close;
} options = {.addresses = 100, .ports = 100, .size = 1024};

static char *response;
static size_t response_len;
static int epoll_fd;

/* What epoll has of a descriptor. */
struct endpoint {
    int fd;
    bool listens;
    size_t sent; /* of the response */
    size_t received;
    char request[]; /* of a connection */
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "many_hosts: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* -- answering --------------------------------------------------------------------------------- */

static void make_response(void)
{
    response = malloc(options.size + 512);
    if (!response)
        die("no memory");
    response_len =
        (size_t)snprintf(response, 512,
                         "HTTP/1.1 200 OK\r\nServer: many_hosts\r\n"
                         "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/html\r\n"
                         "Content-Length: %zu\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                         "Connection: %s\r\nETag: \"6955b900-400\"\r\nAccept-Ranges: bytes\r\n\r\n",
                         options.size, options.close ? "close" : "keep-alive");
    memset(response + response_len, 'x', options.size);
    response_len += options.size;
}

static void watch(struct endpoint *e, int op, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = e};

    if (epoll_ctl(epoll_fd, op, e->fd, &event) < 0)
        die("epoll_ctl");
}

static void end(struct endpoint *e)
{
    close(e->fd);
    free(e);
}

static void answer(struct endpoint *e)
{
    ssize_t n = send(e->fd, response + e->sent, response_len - e->sent, MSG_NOSIGNAL);
    bool had_to_wait = e->sent > 0;

    if (n < 0 && errno != EAGAIN) {
        end(e);
        return;
    }
    e->sent += n > 0 ? (size_t)n : 0;
    if (e->sent < response_len) {
        if (!had_to_wait)
            watch(e, EPOLL_CTL_MOD, EPOLLOUT);
    } else if (options.close) {
        end(e);
    } else {
        e->sent = e->received = 0;
        if (had_to_wait)
            watch(e, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static void receive(struct endpoint *e)
{
    ssize_t n = recv(e->fd, e->request + e->received, REQUEST_MAX - e->received, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        end(e);
        return;
    }
    e->received += (size_t)n;
    if (memmem(e->request, e->received, "\r\n\r\n", 4))
        answer(e);
    else if (e->received == REQUEST_MAX)
        end(e);
}

static void accept_one(const struct endpoint *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return; /* gone already, or out of descriptors: the client will tell */

    struct endpoint *e = malloc(sizeof *e + REQUEST_MAX);
    if (!e)
        die("no memory");
    *e = (struct endpoint){.fd = fd};
    watch(e, EPOLL_CTL_ADD, EPOLLIN);
    receive(e); /* mostly it is there */
}

static _Noreturn void serve(void)
{
    struct epoll_event events[EVENTS_PER_WAIT];

    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct endpoint *e = events[i].data.ptr;
            if (e->listens)
                accept_one(e);
            else if (events[i].events & EPOLLOUT)
                answer(e);
            else
                receive(e);
        }
    }
}

/* -- listening --------------------------------------------------------------------------------- */

static struct in_addr nth_address(unsigned n)
{
    return (struct in_addr){htonl(INADDR_LOOPBACK + (n / 250 << 8) + n % 250)};
}

/* -1 when the port is taken. `port` 0: the kernel's choice. */
static int listen_at(struct in_addr address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = address, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&name, sizeof name) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    if (errno != EADDRINUSE)
        die("bind");
    close(fd);
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in name;
    socklen_t len = sizeof name;

    if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
        die("getsockname");
    return ntohs(name.sin_port);
}

/* Listens on one port of all addresses, each to its place in `fds`. False: it is not free on all.
 */
static bool listen_on_all(int *fds)
{
    fds[0] = listen_at(nth_address(options.first), 0);
    if (fds[0] < 0)
        die("no port is free");
    for (unsigned a = 1; a < options.addresses; a++) {
        fds[a] = listen_at(nth_address(options.first + a), port_of(fds[0]));
        if (fds[a] < 0) {
            while (a-- > 0)
                close(fds[a]);
            return false;
        }
    }
    return true;
}

static void watch_listeners(const int *fds)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll_create1");
    for (unsigned i = 0; i < options.addresses * options.ports; i++) {
        struct endpoint *e = malloc(sizeof *e);
        if (!e)
            die("no memory");
        *e = (struct endpoint){.fd = fds[i], .listens = true};
        watch(e, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void print_hosts(const int *fds)
{
    char text[INET_ADDRSTRLEN];

    for (unsigned i = 0; i < options.addresses * options.ports; i++) {
        struct in_addr address = nth_address(options.first + i % options.addresses);
        inet_ntop(AF_INET, &address, text, sizeof text);
        printf("http://%s:%u/\n", text, port_of(fds[i]));
    }
    if (fclose(stdout) != 0)
        die("writing");
}

/* -- the program ------------------------------------------------------------------------------- */

static size_t parse_number(const char *text)
{
    char *end_of_number;
    unsigned long n = strtoul(text, &end_of_number, 10);

    if (*end_of_number || n > 1 << 24) {
        errno = EINVAL;
        die(text);
    }
    return n;
}

static void read_command_line(int argc, char **argv)
{
    static const struct option names[] = {
        {"first", required_argument, NULL, 'f'}, {"addresses", required_argument, NULL, 'a'},
        {"ports", required_argument, NULL, 'p'}, {"size", required_argument, NULL, 's'},
        {"close", no_argument, NULL, 'c'},       {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'f':
            options.first = (unsigned)parse_number(optarg);
            break;
        case 'a':
            options.addresses = (unsigned)parse_number(optarg);
            break;
        case 'p':
            options.ports = (unsigned)parse_number(optarg);
            break;
        case 's':
            options.size = parse_number(optarg);
            break;
        case 'c':
            options.close = true;
            break;
        default:
            exit(2);
        }
    }
    if (options.addresses == 0 || options.ports == 0)
        exit(2);
}

int main(int argc, char **argv)
{
    struct rlimit limit;

    read_command_line(argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    make_response();
    int *fds = calloc((size_t)options.addresses * options.ports, sizeof *fds);
    if (!fds)
        die("no memory");
    for (unsigned p = 0; p < options.ports; p += listen_on_all(fds + (size_t)p * options.addresses))
        ;
    watch_listeners(fds);
    print_hosts(fds);
    free(fds);
    serve();
}
