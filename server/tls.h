/*
 * The daemon's certificate and its key, what is said over TLS past libmicrohttpd, and what its
 * health check says. With libmicrohttpd's own TLS library, GnuTLS.
 */
#ifndef SKIMD_SERVER_TLS_H
#define SKIMD_SERVER_TLS_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"

#include <sys/types.h>

/* PEM, NUL-terminated. Zero-initialise. */
struct tls_identity {
    struct buffer certificate; /* its own first, then those that lead to the authority's */
    struct buffer key;
};

enum { TLS_MESSAGE_SIZE = 400 };

/*
 * Reads both files and sees whether they can be used together. 0, or a negative errno with one line
 * (no newline) in `message` that names the option, the file and what is wrong. Blocks: before the
 * runtime starts.
 */
int tls_identity_read(const char *certificate_file, const char *key_file, struct tls_identity *ret,
                      char message[static TLS_MESSAGE_SIZE]);

/* Wipes and frees what was read. An empty one is fine. */
void tls_identity_forget(struct tls_identity *identity);

/* A certificate and its key as sessions use them; loop thread. */
struct tls_credentials;

/* Makes them of what tls_identity_read() read. 0, or -ENOMEM or -EINVAL. */
int tls_credentials_new(const struct tls_identity *identity, struct tls_credentials **ret);

/* When all sessions that show them have been freed. NULL is fine. Returns NULL. */
struct tls_credentials *tls_credentials_free(struct tls_credentials *credentials);

/*
 * A server's session (gnutls_session_t) that has read nothing yet shows these, whatever it had. 0,
 * or -ENOMEM: it keeps that.
 */
int tls_credentials_show(struct tls_credentials *credentials, void *session);

/*
 * Whether a server's session (gnutls_session_t) has its handshake behind it. Where not,
 * `*ret_write` says whether it waits for room to write, rather than for something to read.
 */
bool tls_is_open(void *session, bool *ret_write);

/*
 * Sends what fits now, on a session (gnutls_session_t) on which nothing is being sent. Before the
 * handshake is over nothing is sent, least of all in the clear.
 */
void tls_send(void *session, struct bytes bytes);

/*
 * A client's short talk on a connected socket that blocks, within its own timeouts: sends the
 * request and reads up to `size` bytes, fewer at the end. Takes any certificate. Their number, or a
 * negative errno (-ETIMEDOUT; -EPROTO: no TLS that we understand).
 */
ssize_t tls_talk(int fd, struct bytes request, char *answer, size_t size);

#endif
