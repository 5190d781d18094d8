/*
 * HTTPS origin servers for tests, in-process, with certificates that are right or wrong in one way.
 *
 * An authority is a CA made up on the spot; several origins may be certified by one. Each origin
 * has a thread that serves a small page over HTTP/1.1, keep-alive, whatever is asked for; it
 * listens on 127.0.0.1.
 */
#ifndef SKIMD_TESTS_TLS_ORIGIN_H
#define SKIMD_TESTS_TLS_ORIGIN_H

#include "core/base/buffer.h"

#include <stddef.h>
#include <stdint.h>

struct tls_authority;

/* Never NULL: a test that cannot make its certificates fails. */
struct tls_authority *tls_authority_new(void);

/* When its origins have stopped. Returns NULL. */
struct tls_authority *tls_authority_free(struct tls_authority *authority);

/* A file with the authority's certificate (PEM). Lives as long as the authority. */
const char *tls_authority_file(const struct tls_authority *authority);

/* A good certificate for `names` ("DNS:localhost") and its key, as PEM, appended to the buffers. */
void tls_authority_certify(const struct tls_authority *authority, const char *names,
                           struct buffer *ret_certificate, struct buffer *ret_key);

enum tls_certificate {
    TLS_GOOD,
    TLS_EXPIRED,     /* since yesterday */
    TLS_WRONG_NAME,  /* for elsewhere.invalid */
    TLS_UNTRUSTED,   /* by an authority of the same name, but with another key */
    TLS_SELF_SIGNED, /* by nobody else */
};

/* SSL, for tests/support/tls_certificates.c and tls_origin.c alone. */
struct ssl_ctx_st *tls_server_context(const struct tls_authority *authority,
                                      enum tls_certificate kind, const char *names);

struct tls_origin;

enum tls_counter {
    TLS_CONNECTIONS, /* accepted */
    TLS_HANDSHAKES,  /* completed, resumed ones too */
    TLS_RESUMED,
    TLS_REQUESTS,
    TLS_COUNTERS,
};

/* Starts a server whose certificate is for `names`: "DNS:a.example,DNS:*.b.example". Never NULL. */
struct tls_origin *tls_origin_start(const struct tls_authority *authority,
                                    enum tls_certificate kind, const char *names);

/* Closes every connection. NULL is fine. Returns NULL. */
struct tls_origin *tls_origin_stop(struct tls_origin *origin);

uint16_t tls_origin_port(const struct tls_origin *origin);

/* So many since the start. Any thread. */
uint64_t tls_origin_count(struct tls_origin *origin, enum tls_counter counter);

/* The name that the last client asked for (SNI), or "". Any thread. */
void tls_origin_asked_name(struct tls_origin *origin, char *name, size_t size);

#endif
