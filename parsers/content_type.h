/*
 * What a Content-Type field says, read as browsers read it.
 */
#ifndef SKIMD_PARSERS_CONTENT_TYPE_H
#define SKIMD_PARSERS_CONTENT_TYPE_H

#include "core/base/bytes.h"

enum { CONTENT_TYPE_LABEL_MAX = 64 }; /* no charset has a longer label */

/*
 * The charset parameter (Fetch standard, "extract a MIME type"; MIME Sniffing standard, "parse a
 * MIME type") of the field, whose values are joined by commas where it came more than once: of the
 * last value that is a media type, or of the one before it where that names the same type and the
 * last has none. Borrowed from the field, or, where a backslash had to go, from `buffer`. Empty
 * without one. Any thread.
 */
struct bytes content_type_charset(struct bytes field, char buffer[static CONTENT_TYPE_LABEL_MAX]);

#endif
