/*
 * The certificate of --tls-cert and its key, read again while the daemon runs: certificates are
 * renewed every few weeks, and nobody wants to cut off batches for that.
 *
 * Loop thread.
 */
#ifndef SKIMD_SERVER_RENEWAL_H
#define SKIMD_SERVER_RENEWAL_H

#include "server/http/http.h"

struct renewal;

/* For a server that has started with TLS. The names are borrowed. NULL when memory is exhausted. */
struct renewal *renewal_new(const char *certificate_file, const char *key_file,
                            struct http_server *http);

/*
 * Reads both files once more, off the loop, and logs what came of it. New connections show the new
 * certificate. Files that cannot be read, or are no pair, change nothing. NULL is fine.
 */
void renewal_start(struct renewal *r);

/* Before the server stops; what is being read is for nobody. NULL is fine. Returns NULL. */
struct renewal *renewal_close(struct renewal *r);

#endif
