#include "server/tls.h"

#include "server/file.h"
#include "server/problem.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>

enum { PEM_MOST = 1 << 20 }; /* bytes */

static gnutls_datum_t datum(const struct buffer *b)
{
    return (gnutls_datum_t){(unsigned char *)b->ptr, (unsigned)b->len};
}

static void tell(char *message, const char *option, const char *path, const char *what)
{
    char quoted[PROBLEM_QUOTE_SIZE];

    snprintf(message, TLS_MESSAGE_SIZE, "%s: %s: %s", option,
             problem_quote(quoted, bytes_cstr(path)), what);
}

static int read_pem(const char *option, const char *path, struct buffer *ret, char *message)
{
    int rc = file_read(path, PEM_MOST, ret);

    if (rc < 0) {
        const char *words = strerrordesc_np(-rc);
        tell(message, option, path, words ? words : "cannot be read");
        return rc;
    }
    buffer_byte(ret, '\0'); /* libmicrohttpd takes texts */
    ret->len -= !ret->failed;
    return ret->failed ? -ENOMEM : 0;
}

/* Each of the two by itself, so that the message names the one that is wrong; GnuTLS' code. */
static int check_certificate(const struct buffer *pem)
{
    gnutls_datum_t text = datum(pem);
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;
    int rc = gnutls_x509_crt_list_import2(&list, &count, &text, GNUTLS_X509_FMT_PEM, 0);

    for (unsigned i = 0; rc >= 0 && i < count; i++)
        gnutls_x509_crt_deinit(list[i]);
    if (rc >= 0)
        gnutls_free(list);
    return rc < 0 ? rc : 0;
}

static int check_key(const struct buffer *pem)
{
    gnutls_datum_t text = datum(pem);
    gnutls_x509_privkey_t key;
    int rc = gnutls_x509_privkey_init(&key);

    if (rc < 0)
        return rc;
    rc = gnutls_x509_privkey_import2(key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_x509_privkey_deinit(key);
    return rc;
}

/* What both make together; GnuTLS' code. */
static int make_pair(const struct tls_identity *identity, gnutls_certificate_credentials_t *ret)
{
    gnutls_datum_t certificate = datum(&identity->certificate), key = datum(&identity->key);
    int rc = gnutls_certificate_allocate_credentials(ret);

    if (rc < 0)
        return rc;
    rc = gnutls_certificate_set_x509_key_mem2(*ret, &certificate, &key, GNUTLS_X509_FMT_PEM, NULL,
                                              0);
    if (rc < 0)
        gnutls_certificate_free_credentials(*ret);
    return rc;
}

static int check_pair(const struct tls_identity *identity)
{
    gnutls_certificate_credentials_t pair;
    int rc = make_pair(identity, &pair);

    if (rc >= 0)
        gnutls_certificate_free_credentials(pair);
    return rc;
}

static int check(const struct tls_identity *identity, const char *certificate_file,
                 const char *key_file, char *message)
{
    int rc = check_certificate(&identity->certificate);

    if (rc < 0) {
        tell(message, "--tls-cert", certificate_file, gnutls_strerror(rc));
        return -EINVAL;
    }
    rc = check_key(&identity->key);
    if (rc >= 0)
        rc = check_pair(identity);
    if (rc < 0) {
        tell(message, "--tls-key", key_file, gnutls_strerror(rc));
        return -EINVAL;
    }
    return 0;
}

int tls_identity_read(const char *certificate_file, const char *key_file, struct tls_identity *ret,
                      char message[static TLS_MESSAGE_SIZE])
{
    struct tls_identity identity = {0};
    int rc;

    snprintf(message, TLS_MESSAGE_SIZE, "out of memory");
    rc = read_pem("--tls-cert", certificate_file, &identity.certificate, message);
    if (rc == 0)
        rc = read_pem("--tls-key", key_file, &identity.key, message);
    if (rc == 0)
        rc = check(&identity, certificate_file, key_file, message);
    if (rc < 0)
        tls_identity_forget(&identity);
    else
        *ret = identity;
    return rc;
}

void tls_identity_forget(struct tls_identity *identity)
{
    file_forget(&identity->certificate);
    file_forget(&identity->key);
}

/* -- a server's sessions ----------------------------------------------------------------------- */

struct tls_credentials {
    gnutls_certificate_credentials_t pair;
};

int tls_credentials_new(const struct tls_identity *identity, struct tls_credentials **ret)
{
    struct tls_credentials *c = calloc(1, sizeof *c);
    int rc = c ? make_pair(identity, &c->pair) : GNUTLS_E_MEMORY_ERROR;

    if (rc < 0) {
        free(c);
        return rc == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL;
    }
    *ret = c;
    return 0;
}

struct tls_credentials *tls_credentials_free(struct tls_credentials *credentials)
{
    if (credentials)
        gnutls_certificate_free_credentials(credentials->pair);
    free(credentials);
    return NULL;
}

int tls_credentials_show(struct tls_credentials *credentials, void *session)
{
    int rc = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials->pair);

    return rc < 0 ? -ENOMEM : 0;
}

bool tls_is_open(void *session, bool *ret_write)
{
    gnutls_handshake_description_t in = gnutls_handshake_get_last_in(session),
                                   out = gnutls_handshake_get_last_out(session);

    *ret_write = gnutls_record_get_direction(session) == 1;
    /* TLS 1.3 sends tickets at the very end. */
    return in == GNUTLS_HANDSHAKE_FINISHED &&
           (out == GNUTLS_HANDSHAKE_FINISHED || out == GNUTLS_HANDSHAKE_NEW_SESSION_TICKET);
}

void tls_send(void *session, struct bytes bytes)
{
    (void)gnutls_record_send(session, bytes.ptr, bytes.len);
}

/* -- a client ---------------------------------------------------------------------------------- */

static int from_gnutls(ssize_t code)
{
    if (code == GNUTLS_E_AGAIN)
        return -ETIMEDOUT;
    return code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EPROTO;
}

/* Warnings and new session tickets come between what counts. */
static bool goes_on(ssize_t code)
{
    return code < 0 && code != GNUTLS_E_AGAIN && !gnutls_error_is_fatal((int)code);
}

static ssize_t talk(gnutls_session_t session, struct bytes request, char *answer, size_t size)
{
    size_t len = 0;
    ssize_t n;

    do
        n = gnutls_handshake(session);
    while (goes_on(n));
    if (n < 0)
        return from_gnutls(n);
    n = gnutls_record_send(session, request.ptr, request.len);
    if (n < 0)
        return from_gnutls(n);
    while (len < size) {
        n = gnutls_record_recv(session, answer + len, size - len);
        if (n == 0)
            break;
        if (n < 0 && !goes_on(n))
            return from_gnutls(n);
        len += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)len;
}

ssize_t tls_talk(int fd, struct bytes request, char *answer, size_t size)
{
    gnutls_certificate_credentials_t credentials = NULL;
    gnutls_session_t session = NULL;
    ssize_t rc = gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);

    if (rc >= 0)
        rc = gnutls_certificate_allocate_credentials(&credentials);
    if (rc >= 0)
        rc = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
    if (rc >= 0)
        rc = gnutls_set_default_priority(session);
    if (rc >= 0) {
        gnutls_transport_set_int(session, fd);
        rc = talk(session, request, answer, size);
    } else {
        rc = from_gnutls(rc);
    }
    if (session)
        gnutls_deinit(session);
    if (credentials)
        gnutls_certificate_free_credentials(credentials);
    return rc;
}
