/*
 * --healthcheck: asks the daemon that was started with the same configuration whether it lives. For
 * containers, whose image has no program for that.
 */
#ifndef SKIMD_SERVER_HEALTHCHECK_H
#define SKIMD_SERVER_HEALTHCHECK_H

#include "core/base/buffer.h"
#include "server/config/config.h"

/*
 * GET /healthz at the address of --listen, or by loopback where that is any address; blocks for a
 * few seconds at most; over TLS where --tls-cert is given, whose certificate is not looked at, for
 * its names are those of others. 0 when it answers 200; a negative errno otherwise, and one line in
 * `what`.
 */
int healthcheck(const struct config *config, struct buffer *what);

#endif
