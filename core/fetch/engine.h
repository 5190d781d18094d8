/*
 * libcurl's multi interface, driven by the runtime's loop: its sockets, its timer, its connections
 * and what they share. What one exchange does with it is transfer.c's.
 *
 * Loop thread only.
 */
#ifndef SKIMD_FETCH_ENGINE_H
#define SKIMD_FETCH_ENGINE_H

#include "core/fetch/guard.h"

#include <stddef.h>
#include <stdint.h>

struct engine;
struct large_bodies;

struct engine_options {
    const struct guard *guard;   /* borrowed; outlives the engine */
    unsigned connect_timeout_ms; /* connect and TLS handshake; 0: libcurl's 300 s */
    unsigned max_connections;    /* kept open, idle ones included */
    unsigned low_speed_ms;       /* a body that comes slower than low_speed_bytes a */
    unsigned low_speed_bytes;    /* second for so long is a timeout; 0: never */
    size_t receive_buffer_bytes; /* of each transfer... */
    size_t receive_buffer_most;  /* ...and where bodies are large; 0: the same */
    const char *ca_file;         /* certificates to trust (PEM), borrowed; NULL: the system's */
    const char *proxy;           /* URL, borrowed; NULL: none, whatever the environment says */
    void (*hold)(void *arg, ptrdiff_t change); /* told of the bytes that bodies take */
    void *hold_arg;                            /* outlives engine and responses */
    struct large_bodies *large;                /* borrowed; outlives engine and responses */
};

/*
 * Copies `options`. NULL and errno: ENOMEM, or EINVAL when `ca_file` has no certificate that can be
 * read or `proxy` is no URL that can be used. A proxy is http, https, socks4a or socks5h: the other
 * kinds of SOCKS have names looked up here, where nobody would judge the address. With a proxy the
 * guard is not asked: the one address that is connected to is the operator's choice.
 */
struct engine *engine_new(const struct engine_options *options);

/*
 * Whether a file can be the `ca_file`: 0, -ENODATA when there is no certificate (PEM) in it, else
 * what open(2) or read(2) had to say. Blocks.
 */
int engine_try_ca_file(const char *path);

/* For those who watch: connections that are open, idle ones included, and bytes of bodies that came
 * so far, of those too that were not wanted or not complete. */
size_t engine_connections(const struct engine *e);
uint64_t engine_received_bytes(const struct engine *e);

/* Closes every connection. No transfer may be under way. NULL is fine. Returns NULL. */
struct engine *engine_free(struct engine *e);

#endif
