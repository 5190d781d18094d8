/*
 * The daemon's certificate, read again while it runs.
 */
#include "server/http/identity.h"
#include "tests/check.h"
#include "tests/support/daemon.h"
#include "tests/support/tls_origin.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { CERTIFICATE, KEY, FILES, PATIENCE_S = 10 };

static struct tls_authority *authority;
static SSL_CTX *context;
static struct daemon skimd;
static struct buffer said; /* by its log */
static int files[FILES];
static char paths[FILES][64];
static struct buffer pems[FILES]; /* what stands in the files */

static void write_file(int which, const char *text, size_t length)
{
    ck_assert_int_eq(ftruncate(files[which], 0), 0);
    ck_assert_int_eq(pwrite(files[which], text, length, 0), (ssize_t)length);
}

/* A new certificate and its key, not yet written. */
static void certify(void)
{
    for (int i = 0; i < FILES; i++)
        buffer_free(&pems[i]);
    tls_authority_certify(authority, "DNS:localhost", &pems[CERTIFICATE], &pems[KEY]);
}

static void write_files(void)
{
    for (int i = 0; i < FILES; i++)
        write_file(i, pems[i].ptr, pems[i].len);
}

static void setup(void)
{
    authority = tls_authority_new();
    context = SSL_CTX_new(TLS_client_method());
    ck_assert_ptr_nonnull(context);
    ck_assert_int_eq(SSL_CTX_load_verify_locations(context, tls_authority_file(authority), NULL),
                     1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    for (int i = 0; i < FILES; i++) {
        files[i] = memfd_create("pem", MFD_CLOEXEC);
        ck_assert_int_ge(files[i], 0);
        snprintf(paths[i], sizeof paths[i], "/proc/%ld/fd/%d", (long)getpid(), files[i]);
    }
    certify();
    write_files();
    daemon_start(&skimd, (const char *const[]){"--workers", "1", "--tls-cert", paths[CERTIFICATE],
                                               "--tls-key", paths[KEY], NULL});
}

static void teardown(void)
{
    ck_assert_int_eq(daemon_stop(&skimd), 0);
    for (int i = 0; i < FILES; i++) {
        close(files[i]);
        buffer_free(&pems[i]);
    }
    buffer_free(&said);
    SSL_CTX_free(context);
    authority = tls_authority_free(authority);
}

/* Has the files read again; `what` is what the log must say to it. */
static void reload(const char *what)
{
    buffer_free(&said);
    ck_assert_int_eq(kill(skimd.pid, SIGHUP), 0);
    ck_assert(read_until(skimd.log, &said, what));
}

/* -- clients ----------------------------------------------------------------------------------- */

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(skimd.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* A handshake on a connection; the certificate was verified. */
static SSL *shake_hands(int fd)
{
    SSL *ssl = SSL_new(context);

    ck_assert_ptr_nonnull(ssl);
    ck_assert_int_eq(SSL_set1_host(ssl, "localhost"), 1);
    ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
    ck_assert_int_eq(SSL_connect(ssl), 1);
    return ssl;
}

static void leave(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);

    SSL_free(ssl);
    close(fd);
}

/* Whether a request on the connection is answered. */
static bool is_served(SSL *ssl)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char text[1024];
    int n, len = 0;

    if (SSL_write(ssl, request, (int)strlen(request)) <= 0)
        return false;
    do {
        n = SSL_read(ssl, text + len, (int)sizeof text - 1 - len);
        len += n > 0 ? n : 0;
        text[len] = '\0';
    } while (n > 0 && !strstr(text, "{\"status\":\"ok\"}\n"));
    return n > 0;
}

/* Whether the connection was shown the certificate that was made last. */
static bool shows_newest(SSL *ssl)
{
    BIO *bio = BIO_new_mem_buf(pems[CERTIFICATE].ptr, (int)pems[CERTIFICATE].len);
    X509 *newest = PEM_read_bio_X509(bio, NULL, NULL, NULL),
         *shown = SSL_get1_peer_certificate(ssl);

    ck_assert_ptr_nonnull(newest);
    ck_assert_ptr_nonnull(shown);
    bool same = X509_cmp(newest, shown) == 0;
    X509_free(newest);
    X509_free(shown);
    BIO_free(bio);
    return same;
}

/* Whether a new connection is. */
static bool newest_is_shown(void)
{
    SSL *ssl = shake_hands(dial());
    bool same = shows_newest(ssl);

    ck_assert(is_served(ssl));
    leave(ssl);
    return same;
}

/* -- without a daemon -------------------------------------------------------------------------- */

static int kept(const struct http_identities *all)
{
    int n = 0;

    LIST_FOR (link, &all->all)
        n++;
    return n;
}

START_TEST(a_certificate_that_no_connection_shows_is_not_kept)
{
    struct tls_authority *maker = tls_authority_new();
    struct http_identities all;
    struct tls_identity identity = {0}, broken = {0};

    http_identities_init(&all);
    tls_authority_certify(maker, "DNS:localhost", &identity.certificate, &identity.key);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(http_identities_renew(&all, &identity), 0);
        ck_assert_int_eq(kept(&all), 1);
    }
    ck_assert_int_lt(http_identities_renew(&all, &broken), 0);
    ck_assert_int_eq(kept(&all), 1);
    http_identities_sweep(&all);
    ck_assert_int_eq(kept(&all), 1); /* the newest is what comes next */
    http_identities_end(&all);
    ck_assert_int_eq(kept(&all), 0);
    tls_identity_forget(&identity);
    tls_authority_free(maker);
}
END_TEST

/* -- the daemon -------------------------------------------------------------------------------- */

START_TEST(new_connections_show_the_new_certificate_and_open_ones_go_on)
{
    enum { ROUNDS = 4 };
    SSL *open[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        open[i] = shake_hands(dial());
        ck_assert(shows_newest(open[i]));
        certify();
        write_files();
        ck_assert(!newest_is_shown());
        reload("\"the certificate was read again\"");
        ck_assert(newest_is_shown());
        for (int j = 0; j <= i; j++)
            ck_assert(is_served(open[j]));
        ck_assert(!shows_newest(open[i]));
    }
    leave(open[1]);
    leave(open[2]);
    ck_assert(is_served(open[0]));
    ck_assert(is_served(open[3]));
    ck_assert(newest_is_shown());
    leave(open[0]);
    leave(open[3]);
}
END_TEST

START_TEST(a_connection_that_waits_for_its_handshake_shows_what_it_was_accepted_with)
{
    int before, between;

    ck_assert(newest_is_shown());
    before = dial();
    ck_assert(newest_is_shown()); /* accepted behind that one */
    certify();
    write_files();
    reload("\"the certificate was read again\"");
    between = dial();
    ck_assert(newest_is_shown());
    SSL *old = shake_hands(before);
    ck_assert(!shows_newest(old));
    ck_assert(is_served(old));
    certify();
    write_files();
    reload("\"the certificate was read again\"");
    SSL *middle = shake_hands(between);
    ck_assert(!shows_newest(middle));
    ck_assert(is_served(middle));
    ck_assert(newest_is_shown());
    leave(old);
    leave(middle);
}
END_TEST

START_TEST(files_that_are_no_pair_change_nothing_and_are_logged)
{
    struct buffer certificate = {0};

    buffer_append(&certificate, pems[CERTIFICATE].ptr, pems[CERTIFICATE].len);
    certify(); /* of which only the key is written: */
    write_file(KEY, pems[KEY].ptr, pems[KEY].len);
    reload(
        "\"level\":\"error\",\"msg\":\"the certificate stays as it was\",\"what\":\"--tls-key: ");
    buffer_free(&pems[CERTIFICATE]);
    pems[CERTIFICATE] = certificate;
    ck_assert(newest_is_shown());

    write_file(CERTIFICATE, "nothing", strlen("nothing"));
    reload("\"msg\":\"the certificate stays as it was\",\"what\":\"--tls-cert: ");
    ck_assert(newest_is_shown());

    write_file(CERTIFICATE, "", 0);
    reload("\"msg\":\"the certificate stays as it was\",\"what\":\"--tls-cert: ");
    ck_assert(newest_is_shown());

    /* And is not lost for that. */
    certify();
    write_files();
    reload("\"the certificate was read again\"");
    ck_assert(newest_is_shown());
}
END_TEST

START_TEST(many_signals_at_once_end_with_what_stands_in_the_files)
{
    enum { SIGNALS = 20 };

    for (int i = 0; i < SIGNALS; i++) {
        certify();
        write_files();
        ck_assert_int_eq(kill(skimd.pid, SIGHUP), 0);
    }
    /* One that came while the files were written may have found them torn. */
    reload("\"the certificate was read again\"");
    for (int tries = 0; tries < SIGNALS && !newest_is_shown(); tries++)
        reload("\"the certificate was read again\"");
    ck_assert(newest_is_shown());
}
END_TEST

START_TEST(who_reloads_and_stops_at_once_leaves_nothing_behind)
{
    SSL *ssl = shake_hands(dial());

    certify();
    write_files();
    ck_assert_int_eq(kill(skimd.pid, SIGHUP), 0);
    ck_assert(is_served(ssl));
    leave(ssl); /* the teardown stops it */
}
END_TEST

Suite *suite_renewal(void)
{
    Suite *s = suite_create("renewal");
    TCase *alone = tcase_create("alone"), *tc = tcase_create("renewal");

    tcase_add_test(alone, a_certificate_that_no_connection_shows_is_not_kept);
    suite_add_tcase(s, alone);

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, new_connections_show_the_new_certificate_and_open_ones_go_on);
    tcase_add_test(tc, a_connection_that_waits_for_its_handshake_shows_what_it_was_accepted_with);
    tcase_add_test(tc, files_that_are_no_pair_change_nothing_and_are_logged);
    tcase_add_test(tc, many_signals_at_once_end_with_what_stands_in_the_files);
    tcase_add_test(tc, who_reloads_and_stops_at_once_leaves_nothing_behind);
    suite_add_tcase(s, tc);
    return s;
}
