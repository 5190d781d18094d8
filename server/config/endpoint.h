/*
 * An IP address with a port, as options write it: 127.0.0.1:8080, [::1]:8080. Pure; any thread.
 */
#ifndef SKIMD_SERVER_CONFIG_ENDPOINT_H
#define SKIMD_SERVER_CONFIG_ENDPOINT_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Says that there must be a port. */
enum { ENDPOINT_NO_DEFAULT = -1 };

/*
 * Reads ADDRESS:PORT, with brackets around an IPv6 address; no names, no zones. Where there is a
 * `default_port` (0..65535) the port may be left out, and an IPv6 address without a port may stand
 * without brackets. False, and *ret untouched, when that is not what `text` is.
 */
bool endpoint_parse(struct bytes text, int default_port, struct sockaddr_storage *ret,
                    socklen_t *ret_len);

/* Appends it in the same spelling, with its port. `address` is one that endpoint_parse made. */
void endpoint_write(struct buffer *out, const struct sockaddr_storage *address);

/* Its port, in host byte order. */
uint16_t endpoint_port(const struct sockaddr_storage *address);

#endif
