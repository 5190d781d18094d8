/*
 * The URL Standard's host parser and serializer (https://url.spec.whatwg.org/#host-parsing), as far
 * as http and https have it: names, IPv4 and IPv6 addresses.
 *
 * Pure, no recursion, time linear in the length. Any thread.
 */
#ifndef SKIMD_PARSERS_URL_HOST_H
#define SKIMD_PARSERS_URL_HOST_H

#include <stddef.h>

/*
 * Normalises the host in the first `len` bytes at `host`, in place, and returns its length then, at
 * most `room`, which is at least `len`: an address may become longer. 0: it is no valid host, or
 * longer than there is room. `host` is as it stands in a URL, in well-formed UTF-8 and without tabs
 * and line ends, IPv6 addresses in brackets.
 *
 * A name is percent-decoded, and what of it is ASCII put into lower case. One with other characters
 * is not made ASCII (UTS 46), so it is not seen either when it stands for an IPv4 address.
 */
size_t url_host_normalise(char *host, size_t len, size_t room);

#endif
