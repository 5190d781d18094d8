/*
 * The look at the first bytes of a page for the encoding that it declares, before it is parsed.
 */
#ifndef SKIMD_PARSERS_PRESCAN_H
#define SKIMD_PARSERS_PRESCAN_H

#include "parsers/label.h"

enum { PRESCAN_MAX = 1024 }; /* bytes that are looked at, as the HTML standard has it */

/*
 * "Prescan a byte stream to determine its encoding" (HTML standard, section 13.2.3.2): a meta
 * element in the first PRESCAN_MAX bytes of `page`, else an XML declaration at its start.
 * CHARSET_NONE without them. Any thread.
 */
enum charset prescan(struct bytes page);

#endif
