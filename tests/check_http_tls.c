/*
 * The HTTP server over TLS: what comes in pieces that are none of HTTP's, what is sent to those who
 * do not read, and what is said past libmicrohttpd.
 */
#include "core/base/buffer.h"
#include "tests/check.h"
#include "tests/support/http_fixture.h"
#include "tests/support/tls_origin.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { BIG = 32 << 20 }; /* what /big answers */

static struct tls_authority *authority;
static struct buffer certificate, key;
static SSL_CTX *context;
static struct heard heard;

static void setup(void)
{
    http_setup();
    authority = tls_authority_new();
    tls_authority_certify(authority, "DNS:localhost", &certificate, &key);
    buffer_byte(&certificate, '\0');
    buffer_byte(&key, '\0');
    fix.options.tls_certificate = certificate.ptr;
    fix.options.tls_key = key.ptr;
    context = SSL_CTX_new(TLS_client_method());
    ck_assert_ptr_nonnull(context);
    ck_assert_int_eq(SSL_CTX_load_verify_locations(context, tls_authority_file(authority), NULL),
                     1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    heard = (struct heard){0};
}

static void teardown(void)
{
    SSL_CTX_free(context);
    authority = tls_authority_free(authority);
    buffer_free(&certificate);
    buffer_free(&key);
    http_teardown();
}

/* -- the client -------------------------------------------------------------------------------- */

static void be_patient(int fd)
{
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
}

/* A connection whose handshake is done; the certificate was verified. */
static SSL *dial_tls(void)
{
    SSL *ssl = SSL_new(context);
    int fd = dial_server();

    ck_assert_ptr_nonnull(ssl);
    be_patient(fd);
    ck_assert_int_eq(SSL_set1_host(ssl, "localhost"), 1);
    ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
    ck_assert_int_eq(SSL_connect(ssl), 1);
    return ssl;
}

/* Goes away, with no word about it but TCP's. */
static void leave(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);

    SSL_free(ssl);
    close(fd);
}

static void tell(SSL *ssl, const char *bytes, size_t length)
{
    ck_assert_int_eq(SSL_write(ssl, bytes, (int)length), (int)length);
}

static bool hear_piece(SSL *ssl)
{
    ck_assert_uint_lt(heard.len, sizeof heard.text - 1);
    int n = SSL_read(ssl, heard.text + heard.len, (int)(sizeof heard.text - 1 - heard.len));
    if (n <= 0)
        return false;
    heard.len += (size_t)n;
    heard.text[heard.len] = '\0';
    return true;
}

static void hear_tls(SSL *ssl, const char *wanted)
{
    while (!strstr(heard.text, wanted))
        ck_assert_msg(hear_piece(ssl), "ended before \"%s\": %s", wanted, heard.text);
}

/* -- requests ---------------------------------------------------------------------------------- */

START_TEST(a_request_is_answered_and_the_connection_kept)
{
    start_server();
    SSL *ssl = dial_tls();

    for (int i = 0; i < 3; i++) {
        heard = (struct heard){0};
        tell(ssl, GET("/"), strlen(GET("/")));
        hear_tls(ssl, "hello\n");
    }
    leave(ssl);
}
END_TEST

/* A body of `length` bytes that comes in one write with its head is echoed. */
static void echo(size_t length)
{
    struct buffer request = {0};
    SSL *ssl = dial_tls();
    size_t total = 0, wrong = 0;

    buffer_printf(&request, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                  length);
    for (size_t i = 0; i < length; i++)
        buffer_byte(&request, (char)('a' + i % 26));
    tell(ssl, request.ptr, request.len);
    heard = (struct heard){0};
    hear_tls(ssl, "\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(heard.text, "200 OK"));
    size_t head = (size_t)(strstr(heard.text, "\r\n\r\n") + 4 - heard.text);
    for (;;) {
        for (size_t i = head; i < heard.len; i++, total++)
            wrong += heard.text[i] != 'a' + (int)(total % 26);
        if (total == length)
            break;
        heard.len = head = 0;
        ck_assert(hear_piece(ssl));
    }
    ck_assert_uint_eq(wrong, 0);
    leave(ssl);
    buffer_free(&request);
}

static const size_t lengths[] = {1, 1000, 12000, 16000, 16384, 40000, 99999};

START_TEST(a_body_in_the_records_of_its_head_is_read)
{
    start_server();
    echo(lengths[_i]);
}
END_TEST

START_TEST(a_request_that_came_with_the_one_before_is_answered)
{
    start_server();
    SSL *ssl = dial_tls();

    tell(ssl, GET("/pending") GET("/two") GET("/three"),
         strlen(GET("/pending") GET("/two") GET("/three")));
    wait_for(&fix.kept_count, 1);
    run_on_loop(respond_kept, (char[]){"first\n"});
    hear_tls(ssl, "first\n");
    while (occurrences(heard.text, "hello\n") < 2)
        ck_assert_msg(hear_piece(ssl), "%s", heard.text);
    leave(ssl);
}
END_TEST

START_TEST(records_may_come_byte_by_byte)
{
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    char bytes[4096];
    bool asked = false;

    start_server();
    int fd = dial_server();
    be_patient(fd);
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    while (!strstr(heard.text, "hello\n")) {
        if (!asked && SSL_do_handshake(ssl) == 1) {
            tell(ssl, GET("/"), strlen(GET("/")));
            asked = true;
        }
        int n;
        while ((n = BIO_read(out, bytes, sizeof bytes)) > 0)
            for (int i = 0; i < n; i++)
                say_bytes(fd, bytes + i, 1);
        if (asked && hear_piece(ssl))
            continue;
        n = (int)recv(fd, bytes, sizeof bytes, 0);
        ck_assert_int_gt(n, 0);
        ck_assert_int_eq(BIO_write(in, bytes, n), n);
    }
    SSL_free(ssl);
    close(fd);
}
END_TEST

/* -- answers ----------------------------------------------------------------------------------- */

START_TEST(who_reads_slowly_gets_every_byte)
{
    SSL *ssl;
    char piece[1500];
    size_t total = 0, others = 0;
    int n;

    start_server();
    ssl = dial_tls();
    tell(ssl, GET("/big"), strlen(GET("/big")));
    while (!strstr(heard.text, "\r\n\r\n")) {
        ck_assert_int_eq(SSL_read(ssl, heard.text + heard.len, 1), 1);
        heard.len++;
    }
    while (total < BIG && (n = SSL_read(ssl, piece, sizeof piece)) > 0) {
        for (int i = 0; i < n; i++)
            others += piece[i] != 'b';
        total += (size_t)n;
    }
    ck_assert_uint_eq(total, BIG);
    ck_assert_uint_eq(others, 0);
    tell(ssl, GET("/"), strlen(GET("/")));
    heard = (struct heard){0};
    hear_tls(ssl, "hello\n");
    leave(ssl);
}
END_TEST

START_TEST(a_stream_that_nobody_read_for_long_is_whole)
{
    enum { LINES = 4000, LINE = 1000 };
    static char line[LINE + 1];
    SSL *ssl;
    char piece[1 << 14];
    size_t lines = 0, marks = 0;
    int n;

    memset(line, 'x', LINE - 1);
    line[LINE - 1] = '\n';
    start_server();
    ssl = dial_tls();
    tell(ssl, "GET /stream HTTP/1.0\r\n\r\n", strlen("GET /stream HTTP/1.0\r\n\r\n"));
    wait_for(&fix.kept_count, 1);
    for (int i = 0; i < LINES; i++)
        run_on_loop(write_kept, line);
    run_on_loop(end_kept, NULL);
    heard = (struct heard){0};
    while (!strstr(heard.text, "\r\n\r\n")) {
        ck_assert_int_eq(SSL_read(ssl, heard.text + heard.len, 1), 1);
        heard.len++;
    }
    while ((n = SSL_read(ssl, piece, sizeof piece)) > 0)
        for (int i = 0; i < n; i++) {
            lines += piece[i] == '\n';
            marks += piece[i] == 'x';
        }
    /* Told by TLS: an end that an attacker could not make. */
    ck_assert_int_eq(SSL_get_error(ssl, n), SSL_ERROR_ZERO_RETURN);
    ck_assert_uint_eq(lines, LINES);
    ck_assert_uint_eq(marks, (size_t)LINES * (LINE - 1));
    leave(ssl);
}
END_TEST

START_TEST(a_client_that_leaves_its_stream_is_noticed)
{
    start_server();
    SSL *ssl = dial_tls();

    tell(ssl, GET("/stream"), strlen(GET("/stream")));
    wait_for(&fix.kept_count, 1);
    run_on_loop(write_kept, (char[]){"line\n"});
    hear_tls(ssl, "line\n");
    leave(ssl);
    wait_for(&fix.gone_count, 1);
}
END_TEST

/* -- what is said past libmicrohttpd, and what must not be ------------------------------------- */

START_TEST(a_head_that_takes_too_long_is_refused_over_tls)
{
    fix.options.header_timeout_ms = 300;
    start_server();
    SSL *ssl = dial_tls();

    tell(ssl, "GET / HT", strlen("GET / HT"));
    while (hear_piece(ssl))
        ;
    ck_assert_msg(strncmp(heard.text, "HTTP/1.1 408 ", 13) == 0, "%s", heard.text);
    leave(ssl);
}
END_TEST

START_TEST(a_body_that_becomes_too_large_is_refused_over_tls)
{
    static char chunk[16 << 10];
    SSL *ssl;

    start_server();
    ssl = dial_tls();
    memset(chunk, 'x', sizeof chunk);
    tell(ssl, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n",
         strlen("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n"));
    for (int i = 0; i < 7; i++)
        tell(ssl, chunk, sizeof chunk);
    hear_tls(ssl, "\r\n\r\n");
    ck_assert_msg(strncmp(heard.text, "HTTP/1.1 413 ", 13) == 0, "%s", heard.text);
    leave(ssl);
}
END_TEST

START_TEST(who_does_not_end_the_handshake_is_cut_off_and_holds_up_nobody)
{
    static const char half_a_hello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01};

    fix.options.header_timeout_ms = 300;
    start_server();
    int silent = dial_server(), half = dial_server();
    say_bytes(half, half_a_hello, sizeof half_a_hello);
    SSL *ssl = dial_tls();
    tell(ssl, GET("/"), strlen(GET("/")));
    hear_tls(ssl, "hello\n");
    heard = (struct heard){0};
    hear_end(silent, &heard);
    hear_end(half, &heard);
    ck_assert_ptr_null(strstr(heard.text, "HTTP"));
    close(silent);
    close(half);
    leave(ssl);
}
END_TEST

static uint64_t cpu_ms(void)
{
    struct rusage usage;

    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

START_TEST(who_stops_in_the_middle_of_the_handshake_costs_nothing)
{
    enum { CLIENTS = 20, WAIT_MS = 600 };
    char hello[4096];
    int fds[CLIENTS];

    fix.options.header_timeout_ms = WAIT_MS;
    start_server();
    for (int i = 0; i < CLIENTS; i++) {
        SSL *ssl = SSL_new(context);
        BIO *out = BIO_new(BIO_s_mem());

        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
        SSL_set_connect_state(ssl);
        ck_assert_int_ne(SSL_do_handshake(ssl), 1);
        int n = BIO_read(out, hello, sizeof hello);
        ck_assert_int_gt(n, 0);
        fds[i] = dial_server();
        say_bytes(fds[i], hello, (size_t)n - (i % 2)); /* a whole hello, or almost */
        if (i % 2 == 0)
            ck_assert(readable_within(fds[i], PATIENCE_MS)); /* the server's part has come */
        SSL_free(ssl);
    }
    uint64_t before = cpu_ms();
    for (int i = 0; i < CLIENTS; i++) {
        heard = (struct heard){0};
        hear_end(fds[i], &heard);
        close(fds[i]);
    }
    /* It took most of WAIT_MS until the server closed them. */
    ck_assert_uint_lt(cpu_ms() - before, WAIT_MS / 10);
}
END_TEST

START_TEST(the_server_stops_although_handshakes_are_not_over)
{
    static const char half_a_hello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01};
    static struct heard rest;

    start_server();
    int silent = dial_server(), half = dial_server();
    say_bytes(half, half_a_hello, sizeof half_a_hello);
    SSL *ssl = dial_tls();
    tell(ssl, GET("/"), strlen(GET("/")));
    hear_tls(ssl, "hello\n");
    stop_server();
    hear_end(silent, &rest);
    hear_end(half, &rest);
    close(silent);
    close(half);
    leave(ssl);
}
END_TEST

START_TEST(nothing_is_answered_in_the_clear)
{
    start_server();
    int fd = dial_server();

    say(fd, GET("/"));
    hear_end(fd, &heard);
    ck_assert_ptr_null(strstr(heard.text, "HTTP"));
    close(fd);
}
END_TEST

START_TEST(tls_is_1_2_or_1_3)
{
    static const int versions[] = {TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};

    start_server();
    SSL_CTX_set_security_level(context, 0);
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        SSL *ssl = SSL_new(context);
        int fd = dial_server();

        be_patient(fd);
        SSL_set_min_proto_version(ssl, versions[i]);
        SSL_set_max_proto_version(ssl, versions[i]);
        SSL_set_fd(ssl, fd);
        ck_assert_int_eq(SSL_connect(ssl) == 1, versions[i] != TLS1_1_VERSION);
        leave(ssl);
    }
}
END_TEST

Suite *suite_http_tls(void)
{
    Suite *s = suite_create("http_tls");
    TCase *tc = tcase_create("http_tls");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_request_is_answered_and_the_connection_kept);
    tcase_add_loop_test(tc, a_body_in_the_records_of_its_head_is_read, 0,
                        sizeof lengths / sizeof lengths[0]);
    tcase_add_test(tc, a_request_that_came_with_the_one_before_is_answered);
    tcase_add_test(tc, records_may_come_byte_by_byte);
    tcase_add_test(tc, who_reads_slowly_gets_every_byte);
    tcase_add_test(tc, a_stream_that_nobody_read_for_long_is_whole);
    tcase_add_test(tc, a_client_that_leaves_its_stream_is_noticed);
    tcase_add_test(tc, a_head_that_takes_too_long_is_refused_over_tls);
    tcase_add_test(tc, a_body_that_becomes_too_large_is_refused_over_tls);
    tcase_add_test(tc, who_does_not_end_the_handshake_is_cut_off_and_holds_up_nobody);
    tcase_add_test(tc, who_stops_in_the_middle_of_the_handshake_costs_nothing);
    tcase_add_test(tc, the_server_stops_although_handshakes_are_not_over);
    tcase_add_test(tc, nothing_is_answered_in_the_clear);
    tcase_add_test(tc, tls_is_1_2_or_1_3);
    suite_add_tcase(s, tc);
    return s;
}
