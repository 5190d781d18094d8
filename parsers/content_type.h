/*
 * What a Content-Type field says, read as browsers read it (Fetch standard, "extract a MIME type";
 * MIME Sniffing standard, "parse a MIME type"). The values of a field that came more than once are
 * joined by commas: the last one that is a media type counts. Pure; any thread.
 */
#ifndef SKIMD_PARSERS_CONTENT_TYPE_H
#define SKIMD_PARSERS_CONTENT_TYPE_H

#include "core/base/bytes.h"

enum { CONTENT_TYPE_LABEL_MAX = 64 }; /* no charset has a longer label */

/* Type and subtype, borrowed from the field, in whatever case; empty where it has no media type. */
struct bytes content_type_essence(struct bytes field);

/*
 * The charset parameter: where the value that counts has none, that of the one before it which
 * names the same type. Borrowed from the field, or, where a backslash had to go, from `buffer`.
 * Empty without one.
 */
struct bytes content_type_charset(struct bytes field, char buffer[static CONTENT_TYPE_LABEL_MAX]);

#endif
