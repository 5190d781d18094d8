/*
 * The lingering close (RFC 9112 section 9.6). Closing a socket whose peer is still sending makes
 * TCP reset the connection, which may destroy an answer (413, say) that the peer has not read yet.
 * So such a socket is kept, half-closed, and what still comes is thrown away: until the peer
 * closes, but for two seconds at most.
 *
 * Loop thread.
 */
#ifndef SKIMD_SERVER_HTTP_LINGER_H
#define SKIMD_SERVER_HTTP_LINGER_H

#include "core/base/list.h"

struct http_lingering {
    struct list sockets;
    unsigned count;
};

void http_linger_init(struct http_lingering *all);

/*
 * Lingers on a duplicate of `fd`, which the caller then closes. Where that is not possible (memory
 * or descriptors exhausted, very many lingering) nothing happens: the peer may see a reset.
 */
void http_linger(struct http_lingering *all, int fd);

/* Closes them all at once. */
void http_linger_end(struct http_lingering *all);

#endif
