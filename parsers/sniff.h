/*
 * Whether a body is HTML: by its Content-Type, and without a useful one by its first bytes (MIME
 * Sniffing standard). Pure functions, any thread.
 */
#ifndef SKIMD_PARSERS_SNIFF_H
#define SKIMD_PARSERS_SNIFF_H

#include "core/base/bytes.h"

enum sniff { SNIFF_NOT_HTML, SNIFF_HTML, SNIFF_UNKNOWN };

/* By the field value of Content-Type; what says nothing (section 7) is SNIFF_UNKNOWN. */
enum sniff sniff_type(struct bytes content_type);

/*
 * By the beginning of a text: section 7.1, the rows for text/html. SNIFF_UNKNOWN when more of it
 * might say otherwise; at the end of the text that is as good as SNIFF_NOT_HTML.
 */
enum sniff sniff_text(struct bytes text);

#endif
