/*
 * The encoding that a parsed page declares in a meta element, wherever it stands.
 */
#ifndef SKIMD_PARSERS_LATE_META_H
#define SKIMD_PARSERS_LATE_META_H

#include "parsers/label.h"

struct bump;
struct GumboInternalNode;

/*
 * What the first meta element with a known encoding declares: first as the parser met them, below
 * templates, too. For charset_change(); CHARSET_NONE without one. Allocates from `bump`, never
 * recurses.
 */
enum charset late_meta(struct bump *bump, const struct GumboInternalNode *document);

#endif
