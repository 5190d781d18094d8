/*
 * Which web pages of other origins may read the answers (CORS, the Fetch standard section 3.3).
 * Nobody's, unless --cors-origin names them. Callers show tokens and no cookies, so credentials in
 * the sense of CORS are never allowed, and "*" is as good as a name.
 *
 * Pure; any thread.
 */
#ifndef SKIMD_SERVER_ACCESS_CORS_H
#define SKIMD_SERVER_ACCESS_CORS_H

#include "core/base/bytes.h"
#include "server/http/http.h"

/* Whose answers may be read; no origins: CORS is off. */
struct cors {
    char *const *origins; /* as cors_origin_valid() has them; borrowed */
    size_t count;
};

/*
 * True for "*" and for an origin as browsers write it: scheme, host, and the port where it is not
 * the scheme's own; lower case, no path.
 */
bool cors_origin_valid(struct bytes text);

/*
 * Fills in what goes with an answer to a request of this Origin ({NULL, 0}: it was not sent).
 * Returns how many; the values are static or those of `c`.
 */
size_t cors_fields(const struct cors *c, struct bytes origin,
                   struct http_field ret[static HTTP_FIELDS_MOST]);

/* True when pages of this origin may read the answers. */
bool cors_allows(const struct cors *c, struct bytes origin);

/* True for a preflight (section 3.3.2), which is answered 204 with cors_preflight_fields. */
bool cors_is_preflight(const struct cors *c, const struct exchange *x);

/* Ends with {NULL, NULL}. */
extern const struct http_field cors_preflight_fields[];

#endif
