/*
 * Certificates for tls_origin.h: keys on P-256, which are made in no time, valid from yesterday
 * until tomorrow.
 */
#include "tests/check.h"
#include "tests/support/tls_origin.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DAY_S = 24 * 60 * 60 };

/* A certificate and its key. */
struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

struct tls_authority {
    struct identity identity;
    int fd; /* of the file, which has no name of its own */
    char file[64];
};

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ck_assert_ptr_nonnull(extension);
    ck_assert_int_eq(X509_add_ext(x, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void set_name(X509_NAME *name, const char *text)
{
    ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)text, -1, -1, 0),
                     1);
}

/* A certificate without a signature, and its key. `subject` is its name, `days` the last valid. */
static struct identity identity_new(const char *subject, int days)
{
    static long serial;
    struct identity i = {EVP_EC_gen("P-256"), X509_new()};

    ck_assert(i.key && i.certificate);
    ck_assert_int_eq(X509_set_version(i.certificate, X509_VERSION_3), 1);
    ASN1_INTEGER_set(X509_get_serialNumber(i.certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(i.certificate), -2 * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(i.certificate), (long)days * DAY_S);
    ck_assert_int_eq(X509_set_pubkey(i.certificate, i.key), 1);
    set_name(X509_get_subject_name(i.certificate), subject);
    return i;
}

static void identity_free(struct identity *i)
{
    EVP_PKEY_free(i->key);
    X509_free(i->certificate);
}

static void sign(struct identity *i, const struct identity *issuer)
{
    X509_set_issuer_name(i->certificate, X509_get_subject_name(issuer->certificate));
    ck_assert_int_gt(X509_sign(i->certificate, issuer->key, EVP_sha256()), 0);
}

static struct identity authority_identity(void)
{
    struct identity i = identity_new("A test's authority", 1);

    add_extension(i.certificate, i.certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(i.certificate, i.certificate, NID_key_usage, "critical,keyCertSign");
    sign(&i, &i);
    return i;
}

static void write_file(struct tls_authority *a)
{
    a->fd = memfd_create("authority.pem", MFD_CLOEXEC);
    ck_assert_int_ge(a->fd, 0);
    snprintf(a->file, sizeof a->file, "/proc/self/fd/%d", a->fd);
    FILE *file = fopen(a->file, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_X509(file, a->identity.certificate), 1);
    ck_assert_int_eq(fclose(file), 0);
}

struct tls_authority *tls_authority_new(void)
{
    struct tls_authority *a = calloc(1, sizeof *a);

    ck_assert_ptr_nonnull(a);
    a->identity = authority_identity();
    write_file(a);
    return a;
}

struct tls_authority *tls_authority_free(struct tls_authority *a)
{
    identity_free(&a->identity);
    close(a->fd);
    free(a);
    return NULL;
}

const char *tls_authority_file(const struct tls_authority *a)
{
    return a->file;
}

static struct identity server_identity(const struct identity *authority, enum tls_certificate kind,
                                       const char *names)
{
    struct identity i = identity_new("a test's server", kind == TLS_EXPIRED ? -1 : 1);
    struct identity other = {0};

    add_extension(i.certificate, authority->certificate, NID_subject_alt_name,
                  kind == TLS_WRONG_NAME ? "DNS:elsewhere.invalid" : names);
    switch (kind) {
    case TLS_GOOD:
    case TLS_EXPIRED:
    case TLS_WRONG_NAME:
        sign(&i, authority);
        break;
    case TLS_UNTRUSTED:
        other = authority_identity();
        sign(&i, &other);
        identity_free(&other);
        break;
    case TLS_SELF_SIGNED:
        sign(&i, &i);
        break;
    }
    return i;
}

struct ssl_ctx_st *tls_server_context(const struct tls_authority *authority,
                                      enum tls_certificate kind, const char *names)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    struct identity i = server_identity(&authority->identity, kind, names);

    ck_assert_ptr_nonnull(context);
    ck_assert_int_eq(SSL_CTX_use_certificate(context, i.certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, i.key), 1);
    identity_free(&i); /* the context has references of its own */
    return context;
}

/* Moves what was written to `bio`, which is freed. */
static void take_text(BIO *bio, struct buffer *ret)
{
    char *text;
    long length = BIO_get_mem_data(bio, &text);

    ck_assert_int_gt(length, 0);
    buffer_append(ret, text, (size_t)length);
    BIO_free(bio);
}

void tls_authority_certify(const struct tls_authority *authority, const char *names,
                           struct buffer *ret_certificate, struct buffer *ret_key)
{
    struct identity i = server_identity(&authority->identity, TLS_GOOD, names);
    BIO *certificate = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());

    ck_assert(certificate && key);
    ck_assert_int_eq(PEM_write_bio_X509(certificate, i.certificate), 1);
    ck_assert_int_eq(PEM_write_bio_PrivateKey(key, i.key, NULL, NULL, 0, NULL, NULL), 1);
    take_text(certificate, ret_certificate);
    take_text(key, ret_key);
    identity_free(&i);
}
