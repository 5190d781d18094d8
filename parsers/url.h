/*
 * URLs as pages write them, made absolute: the URL Standard's basic URL parser and serializer
 * (https://url.spec.whatwg.org/), as far as http and https go.
 *
 * What differs from the standard: hosts beyond ASCII stay as they are (the fetcher makes them
 * ASCII), percent-encoding is of UTF-8 in queries, too, whatever charset the page has, and the
 * fragment is left out.
 *
 * Pure, no recursion, no allocation, time linear in the length. Any thread.
 */
#ifndef SKIMD_PARSERS_URL_H
#define SKIMD_PARSERS_URL_H

#include "core/base/bytes.h"

#include <stddef.h>

enum { URL_MAX = 8 << 10 }; /* bytes of an absolute URL; the same as the fetcher's */

/* An absolute http or https URL, split. All parts are borrowed from the text that was split. */
struct url {
    struct bytes text;      /* the whole, without a fragment */
    struct bytes scheme;    /* "http" or "https" */
    struct bytes authority; /* user, password, host and port */
    struct bytes path;      /* from its first slash on */
    struct bytes query;     /* with its question mark; empty: none */
};

/*
 * Splits a URL that url_resolve() gave. False when it has not the form of one: scheme in lower
 * case, a host, a path, at most URL_MAX bytes. Of others (`struct target`'s, which leaves more
 * characters as they are) give what url_resolve() without a base makes of them: a base is copied,
 * not looked at again.
 */
bool url_split(struct bytes text, struct url *ret);

/*
 * Resolves `reference`, the value of an attribute in well-formed UTF-8, against `base`; writes the
 * absolute URL to `to` and returns its length, at most URL_MAX. 0: it is no valid URL, not of http
 * or https (mailto:, javascript:, data:...), or longer, be it only before its dot segments and what
 * is percent-encoded in its host were undone; what is in `to` has no meaning then. `base` may be
 * NULL: then only an absolute one is resolved. `to` may not overlap what is read.
 *
 * Resolved once more, a result is the same.
 */
size_t url_resolve(const struct url *base, struct bytes reference, char to[static URL_MAX]);

#endif
