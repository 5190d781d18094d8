/* The daemon below a service manager: what it is handed, what it tells, how it is started anew. */
#include "server/config/config.h"
#include "tests/check.h"
#include "tests/support/daemon.h"
#include "tests/support/origin.h"
#include "tests/support/tls_origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LOOPBACK  LIST("--listen", "127.0.0.1:0", "--log", "json", "--allow-net", "127.0.0.0/8")
/* An address of documentation (RFC 5737), which no machine has: the daemon logs that, and ends. */
#define UNBINDABLE LIST("--listen", "192.0.2.1:0", "--insecure-no-auth")

/* -- the manager's sockets --------------------------------------------------------------------- */

/* A socket that is told, and NOTIFY_SOCKET=... for it. An `abstract` one has no file. */
struct manager {
    int fd;
    bool abstract;
    char folder[32], variable[128];
};

static void manager_open(struct manager *m, bool abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};

    m->abstract = abstract;
    snprintf(m->folder, sizeof m->folder, "/tmp/skimd-notify-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(m->folder));
    int len = snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", m->folder);
    snprintf(m->variable, sizeof m->variable, "NOTIFY_SOCKET=%s", address.sun_path);
    if (abstract) {
        address.sun_path[0] = '\0';
        m->variable[strlen("NOTIFY_SOCKET=")] = '@';
    }
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(
        bind(m->fd, (struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len + !abstract)),
        0);
    setsockopt(m->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

static void manager_close(struct manager *m)
{
    char path[64];

    close(m->fd);
    snprintf(path, sizeof path, "%s/socket", m->folder);
    if (!m->abstract)
        ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(m->folder), 0);
}

/* Reads messages until one has `text`; fails the test when none comes. */
static void manager_hears(const struct manager *m, const char *text, char *ret, size_t size)
{
    ssize_t n;

    do {
        n = recv(m->fd, ret, size - 1, 0);
        ck_assert_msg(n > 0, "waited in vain for %s: %s", text, strerror(errno));
        ret[n] = '\0';
    } while (!strstr(ret, text));
}

static int new_socket(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (type == SOCK_STREAM)
        ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof address;

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static int dial(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void ask_for_health(int fd)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

    ck_assert_int_eq(send(fd, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
}

/* Reads the answer to its end and closes the connection. */
static void hear(int fd, const char *expected)
{
    struct buffer in = {0};

    ck_assert_msg(read_until(fd, &in, expected), "%.*s", (int)in.len, in.ptr);
    buffer_free(&in);
    close(fd);
}

/* -- telling ----------------------------------------------------------------------------------- */

START_TEST(ready_is_told_when_it_listens_and_stopping_when_it_drains)
{
    struct manager manager;
    struct daemon skimd;
    char text[1024], expected[64];

    manager_open(&manager, _i == 1);
    daemon_start_under(&skimd, LOOPBACK, LIST(manager.variable), -1);
    manager_hears(&manager, "READY=1", text, sizeof text);
    snprintf(expected, sizeof expected, "STATUS=listening on 127.0.0.1:%u", skimd.port);
    ck_assert_msg(strstr(text, expected) != NULL, "%s", text);
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    manager_hears(&manager, "STOPPING=1", text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "\nEXTEND_TIMEOUT_USEC=13000000"));
    ck_assert_int_eq(daemon_wait(&skimd), 0);
    manager_close(&manager);
}
END_TEST

START_TEST(a_daemon_that_does_not_start_is_never_ready)
{
    struct manager manager;
    char text[1024];

    manager_open(&manager, false);
    ck_assert_int_eq(daemon_run_under(UNBINDABLE, LIST(manager.variable), -1, text, sizeof text),
                     1);
    ck_assert_int_eq(recv(manager.fd, text, sizeof text, MSG_DONTWAIT), -1);
    manager_close(&manager);
}
END_TEST

START_TEST(the_watchdog_is_fed_while_the_loop_turns)
{
    struct manager manager;
    struct daemon skimd;
    char text[1024];

    manager_open(&manager, false);
    daemon_start_under(&skimd, LOOPBACK, LIST(manager.variable, "WATCHDOG_USEC=30000"), -1);
    for (int i = 0; i < 5; i++)
        manager_hears(&manager, "WATCHDOG=1", text, sizeof text);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    manager_close(&manager);
}
END_TEST

START_TEST(a_manager_that_does_not_listen_is_a_warning)
{
    char text[1024];
    const char *const variables[] = {"NOTIFY_SOCKET=/nowhere/socket", "NOTIFY_SOCKET=vsock:2:1",
                                     NULL};

    for (size_t i = 0; variables[i]; i++) {
        /* Without an address it ends by itself. */
        ck_assert_int_eq(daemon_run_under(UNBINDABLE, LIST(variables[i]), -1, text, sizeof text),
                         1);
        ck_assert_msg(strstr(text, "the service manager cannot be told anything"), "%s", text);
    }
}
END_TEST

/* -- sockets that are handed over -------------------------------------------------------------- */

START_TEST(a_socket_that_was_handed_over_is_served)
{
    int listener = new_socket(SOCK_STREAM), early = dial(port_of(listener));
    struct daemon skimd;

    ask_for_health(early); /* before there is a daemon */
    daemon_start_under(&skimd, LIST("--log", "json"), LIST("LISTEN_FDS=1", "LISTEN_FDNAMES=http"),
                       listener);
    ck_assert_uint_eq(skimd.port, port_of(listener));
    hear(early, "{\"status\":\"ok\"}");
    int late = dial(skimd.port);
    ask_for_health(late);
    hear(late, "{\"status\":\"ok\"}");
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    close(listener);
}
END_TEST

START_TEST(nobody_is_refused_while_it_is_started_anew)
{
    const char *const handed[] = {"LISTEN_FDS=1", NULL};
    int listener = new_socket(SOCK_STREAM);
    struct origin *origin = origin_start(NULL);
    struct buffer url = {0}, log = {0};
    struct daemon skimd;

    daemon_start_under(&skimd, LIST("--log", "json", "--allow-net", "127.0.0.0/8"), handed,
                       listener);
    buffer_printf(&url, "http://127.0.0.1:%u/hold/x", origin_port(origin));
    int batch = daemon_open_scrape(&skimd, "", buffer_bytes(&url));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    ck_assert(read_until(skimd.log, &log, "\"msg\":\"stopping\""));

    int waits = dial(skimd.port);
    ask_for_health(waits);
    origin_release(origin);
    hear(batch, "\"type\":\"end\",\"total\":1,\"ok\":1");
    ck_assert_int_eq(daemon_wait(&skimd), 0);
    daemon_start_under(&skimd, LIST("--log", "json"), handed, listener);
    hear(waits, "{\"status\":\"ok\"}");
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    origin_stop(origin);
    buffer_free(&url);
    buffer_free(&log);
    close(listener);
}
END_TEST

START_TEST(without_a_manager_health_is_told_until_the_end)
{
    struct origin *origin = origin_start(NULL);
    struct buffer url = {0}, log = {0};
    struct reply refused;
    struct daemon skimd;

    daemon_start_under(&skimd, LOOPBACK, NULL, -1);
    buffer_printf(&url, "http://127.0.0.1:%u/hold/x", origin_port(origin));
    int batch = daemon_open_scrape(&skimd, "", buffer_bytes(&url));
    ck_assert(origin_wait_at_least(origin, ORIGIN_HELD, 1, PATIENCE_MS));
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    ck_assert(read_until(skimd.log, &log, "\"msg\":\"stopping\""));

    int late = dial(skimd.port);
    ask_for_health(late);
    hear(late, "{\"status\":\"draining\"}");
    daemon_request(&skimd, "POST", "/v1/scrape", "text/plain", buffer_bytes(&url), &refused);
    ck_assert_int_eq(refused.status, 503);
    reply_free(&refused);
    origin_release(origin);
    hear(batch, "\"type\":\"end\",\"total\":1,\"ok\":1");
    ck_assert_int_eq(daemon_wait(&skimd), 0);
    origin_stop(origin);
    buffer_free(&url);
    buffer_free(&log);
}
END_TEST

START_TEST(load_balancers_have_time_to_notice)
{
    struct records records;
    struct buffer log = {0};
    struct reply ready;
    struct daemon skimd;

    daemon_start(&skimd, LIST("--drain-delay-ms", "3600000"));
    ck_assert_int_eq(kill(skimd.pid, SIGTERM), 0);
    ck_assert(read_until(skimd.log, &log, "\"msg\":\"stopping\""));
    int asks = dial(skimd.port);
    ask_for_health(asks);
    hear(asks, "{\"status\":\"draining\"}");
    daemon_request(&skimd, "GET", "/readyz", NULL, bytes_of(NULL, 0), &ready);
    ck_assert_int_eq(ready.status, 503);
    reply_free(&ready);
    daemon_scrape(&skimd, "", "text/plain", BYTES("nonsense"), &records); /* as if nothing were */
    ck_assert_uint_eq(records.total, 1);
    records_free(&records);
    ck_assert_int_eq(daemon_stop(&skimd), 0); /* the second signal: now */
    buffer_free(&log);
}
END_TEST

START_TEST(what_was_handed_to_another_process_is_left_alone)
{
    struct daemon skimd;

    ck_assert_int_eq(setenv("LISTEN_FDS", "1", 1), 0);
    daemon_start(&skimd, NULL); /* whose LISTEN_PID nobody set */
    ck_assert_int_eq(unsetenv("LISTEN_FDS"), 0);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
}
END_TEST

START_TEST(what_is_not_one_listening_socket_is_refused)
{
    int datagrams = new_socket(SOCK_DGRAM), listener = new_socket(SOCK_STREAM);
    char text[1024];

    ck_assert_int_eq(daemon_run_under(NULL, LIST("LISTEN_FDS=1"), datagrams, text, sizeof text), 2);
    ck_assert_msg(strstr(text, "not a listening TCP socket"), "%s", text);
    ck_assert_int_eq(daemon_run_under(NULL, LIST("LISTEN_FDS=1"), -1, text, sizeof text), 2);
    ck_assert_msg(strstr(text, "not a listening TCP socket"), "%s", text);
    ck_assert_int_eq(daemon_run_under(NULL, LIST("LISTEN_FDS=2"), listener, text, sizeof text), 2);
    ck_assert_msg(strstr(text, "2 sockets were handed over and one is served"), "%s", text);
    close(datagrams);
    close(listener);
}
END_TEST

START_TEST(a_socket_that_others_can_reach_needs_a_word)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_storage address = {0};
    struct config config = {.insecure_no_auth = false};
    char message[CONFIG_MESSAGE_SIZE];

    memcpy(&address, &any, sizeof any);
    ck_assert_int_eq(config_replace_listen(&config, &address, sizeof any, message), -EINVAL);
    ck_assert_ptr_nonnull(strstr(message, "the socket that was handed over: other machines"));
    config.insecure_no_auth = true;
    ck_assert_int_eq(config_replace_listen(&config, &address, sizeof any, message), 0);
    ck_assert_int_eq(memcmp(&config.listen, &address, sizeof any), 0);
    ck_assert_uint_eq(config.listen_len, sizeof any);
}
END_TEST

/* -- health ------------------------------------------------------------------------------------ */

/* How a health check of that port ends. */
static int checked(const char *host, uint16_t port, char *text, size_t size)
{
    char address[64];

    snprintf(address, sizeof address, "--listen=%s:%u", host, port);
    return daemon_run(LIST("--healthcheck", address), text, size);
}

START_TEST(a_health_check_tells_whether_a_daemon_answers_200)
{
    /* Any address is asked by loopback, and needs no word as listening there would. */
    static const char *const hosts[] = {"127.0.0.1", "0.0.0.0", "[::]"};
    struct origin *origin = origin_start(NULL);
    struct daemon skimd;
    char text[1024];

    daemon_start(&skimd, NULL);
    for (size_t i = 0; i < 3; i++)
        ck_assert_msg(checked(hosts[i], skimd.port, text, sizeof text) == 0, "%s", text);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    ck_assert_int_eq(checked("127.0.0.1", skimd.port, text, sizeof text), 1);
    ck_assert_msg(strstr(text, "Connection refused"), "%s", text);
    ck_assert_int_eq(checked("127.0.0.1", origin_port(origin), text, sizeof text), 1);
    ck_assert_msg(strstr(text, "the answer is not 200"), "%s", text);
    origin_stop(origin);
}
END_TEST

static void write_temporary(char *path, const struct buffer *text)
{
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text->ptr, text->len), (ssize_t)text->len);
    close(fd);
}

START_TEST(a_health_check_of_a_daemon_with_a_certificate_speaks_tls)
{
    char certificate_file[] = "/tmp/skimd-certificate-XXXXXX", key_file[] = "/tmp/skimd-key-XXXXXX";
    const char *const tls[] = {"--tls-cert", certificate_file, "--tls-key", key_file, NULL};
    struct tls_authority *authority = tls_authority_new();
    struct origin *origin = origin_start(NULL);
    struct buffer certificate = {0}, key = {0};
    struct daemon skimd;
    char address[64], text[1024];

    tls_authority_certify(authority, "DNS:scraper.example", &certificate, &key);
    write_temporary(certificate_file, &certificate);
    write_temporary(key_file, &key);
    daemon_start(&skimd, tls);
    snprintf(address, sizeof address, "--listen=127.0.0.1:%u", skimd.port);
    ck_assert_msg(daemon_run(LIST("--healthcheck", address, tls[0], tls[1], tls[2], tls[3]), text,
                             sizeof text) == 0,
                  "%s", text);
    ck_assert_int_eq(checked("127.0.0.1", skimd.port, text, sizeof text), 1); /* in the clear */
    ck_assert_msg(strstr(text, "--tls-cert"), "%s", text);
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    snprintf(address, sizeof address, "--listen=127.0.0.1:%u", origin_port(origin));
    ck_assert_int_eq(daemon_run(LIST("--healthcheck", address, tls[0], tls[1], tls[2], tls[3]),
                                text, sizeof text),
                     1); /* which knows no TLS */
    unlink(certificate_file);
    unlink(key_file);
    origin_stop(origin);
    tls_authority_free(authority);
    buffer_free(&certificate);
    buffer_free(&key);
}
END_TEST

Suite *suite_service(void)
{
    Suite *suite = suite_create("service");
    TCase *tests = tcase_create("service");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, ready_is_told_when_it_listens_and_stopping_when_it_drains, 0, 2);
    tcase_add_test(tests, a_daemon_that_does_not_start_is_never_ready);
    tcase_add_test(tests, the_watchdog_is_fed_while_the_loop_turns);
    tcase_add_test(tests, a_manager_that_does_not_listen_is_a_warning);
    tcase_add_test(tests, a_socket_that_was_handed_over_is_served);
    tcase_add_test(tests, nobody_is_refused_while_it_is_started_anew);
    tcase_add_test(tests, without_a_manager_health_is_told_until_the_end);
    tcase_add_test(tests, load_balancers_have_time_to_notice);
    tcase_add_test(tests, what_was_handed_to_another_process_is_left_alone);
    tcase_add_test(tests, what_is_not_one_listening_socket_is_refused);
    tcase_add_test(tests, a_socket_that_others_can_reach_needs_a_word);
    tcase_add_test(tests, a_health_check_tells_whether_a_daemon_answers_200);
    tcase_add_test(tests, a_health_check_of_a_daemon_with_a_certificate_speaks_tls);
    suite_add_tcase(suite, tests);
    return suite;
}
