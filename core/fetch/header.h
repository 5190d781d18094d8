/*
 * Request headers that a caller asks for, checked: RFC 9110 section 5.1 (names are tokens) and 5.5
 * (values), and nothing that is the connection's or the engine's own business.
 */
#ifndef SKIMD_FETCH_HEADER_H
#define SKIMD_FETCH_HEADER_H

#include "core/base/bytes.h"

#include <stddef.h>

struct curl_slist;

enum { HEADERS_MAX = 64, HEADERS_BYTES_MAX = 16 << 10 };

/* Zero-initialise. Once made it is only read, so transfers share it. */
struct header_list {
    struct curl_slist *lines; /* as libcurl takes them */
    size_t count, bytes;
};

/*
 * Adds a field. White space around the value is cut off; an empty value is sent as an empty value.
 * Returns 0, -ENOMEM, or -EINVAL with `*ret_message`, a static text that says what is wrong with
 * it ("is set by skimd itself", "has a character that names cannot have", "is longer than..."), to
 * stand behind its name. Refused are names that are no token, values with CR, LF, NUL or other
 * control characters (but for the tab), and, in any case: Host, Content-Length, Transfer-Encoding,
 * Connection and what is hop-by-hop (RFC 9110 section 7.6.1), Expect, Accept-Encoding, User-Agent
 * (which has an option of its own), names that begin with Proxy-, HTTP/2's pseudo-fields, a name
 * that is there already. Any thread.
 */
int header_list_add(struct header_list *list, struct bytes name, struct bytes value,
                    const char **ret_message);

/* Frees what it holds and makes it empty. */
void header_list_free(struct header_list *list);

#endif
