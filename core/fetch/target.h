/*
 * Targets: URLs that were checked, normalised and taken apart, ready to be fetched.
 *
 * One parser for all: libcurl's URL API, so that what is judged here is what libcurl connects to
 * (two parsers that disagree about a host are how URL filters are fooled). It follows RFC 3986 with
 * what browsers forgive; here it is made stricter, and the same for every libcurl from 7.88 on.
 */
#ifndef SKIMD_FETCH_TARGET_H
#define SKIMD_FETCH_TARGET_H

#include "core/base/buffer.h"
#include "core/base/bytes.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

/* RFC 9110 section 4.1 asks for 8000 at least. Holds for what is given and for what becomes of it.
 */
#define TARGET_URL_MAX 8192

/*
 * Made by target_parse or target_redirect, owned by the caller, freed by target_free; all zero is
 * empty. Not thread-safe, but may move from thread to thread.
 */
struct target {
    /*
     * For CURLOPT_CURLU, which borrows it: it must stay until the transfer is over or the option is
     * set anew. Has the URL's user name and password, which libcurl then sends as Basic.
     */
    CURLU *handle;
    /*
     * The normalised URL: scheme and host in lower case, host as ASCII (IDN), IPv4 as dotted quad,
     * no default port, dots resolved, no fragment; and no user name or password, so that it may
     * stand in records and logs.
     */
    char *url;
    char *origin;      /* "https://a.example:443": what connections and queues are kept by */
    struct bytes host; /* within `origin`: "a.example", "a.example.", "192.0.2.1", "2001:db8::1" */
    uint16_t port;
    bool is_tls;
};

/*
 * Parses an absolute URL. Nothing is guessed: without a scheme it is invalid, and neither spaces
 * nor control characters are cut off or encoded. Other bytes beyond ASCII are percent-encoded in
 * path and query; in a host they have to be an international name in UTF-8.
 *
 * Refused besides: an empty host (RFC 9110 section 4.2.1), names that DNS cannot have (RFC 1035
 * section 2.3.4), numbers in the last part that are no IPv4 address, IPv6 zones, port 0.
 *
 * Returns 0 and the target; else the enum fetch_code for the record and `*ret_message`, a static
 * text for the one who wrote the URL: FETCH_INVALID_URL, FETCH_UNSUPPORTED_SCHEME, or
 * FETCH_INTERNAL when memory is exhausted (which libcurl in places calls a bad URL). Any thread.
 */
int target_parse(struct bytes url, struct target *ret_target, const char **ret_message);

/*
 * The target that a Location field leads to: `location` resolved against `base` by RFC 3986 section
 * 5.2, then held to the same rules, except that spaces in it are encoded as browsers do. White
 * space at its ends and its fragment are dropped; an empty one leads to `base` again.
 *
 * User name and password of `base` go along where the origin stays the same and `location` has none
 * of its own; to another origin they never go.
 *
 * Returns as target_parse does. `ret_target` may not be `base`.
 */
int target_redirect(const struct target *base, struct bytes location, struct target *ret_target,
                    const char **ret_message);

/*
 * Appends the URL with its user name and password, so that two targets have the same text exactly
 * when the same is asked for. It is no URL: not to be shown. Memory errors are sticky in `out`.
 */
void target_identity(const struct target *target, struct buffer *out);

/* Frees what the target holds and makes it empty. Empty and NULL are fine. */
void target_free(struct target *target);

#endif
