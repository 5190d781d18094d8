/*
 * The certificates that the connections of a TLS server show. libmicrohttpd knows one, from its
 * start on; each connection that is accepted after a newer one came is given that instead. A
 * session refers to its certificate until its end, so an old one is kept until the last connection
 * that has it is gone.
 *
 * Loop thread.
 */
#ifndef SKIMD_SERVER_HTTP_IDENTITY_H
#define SKIMD_SERVER_HTTP_IDENTITY_H

#include "core/base/list.h"
#include "server/tls.h"

struct http_identity;

struct http_identities {
    struct list all;
    struct http_identity *newest; /* NULL: libmicrohttpd's */
};

void http_identities_init(struct http_identities *all);

/* From now on new connections show this one. 0, or a negative errno and all stays as it was. */
int http_identities_renew(struct http_identities *all, const struct tls_identity *identity);

/*
 * Gives a session (gnutls_session_t) whose handshake has not begun the newest one. Returns what
 * http_identity_leave() takes at the connection's end; NULL: libmicrohttpd's.
 */
struct http_identity *http_identity_show(struct http_identities *all, void *session);

/* The connection ends, its session soon after: only the next sweep frees. NULL is fine. */
void http_identity_leave(struct http_identity *identity);

/* Frees what no connection shows any more; outside of libmicrohttpd, which frees the sessions. */
void http_identities_sweep(struct http_identities *all);

/* Frees them all; there are no sessions any more. */
void http_identities_end(struct http_identities *all);

#endif
