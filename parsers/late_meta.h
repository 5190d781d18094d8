/*
 * The encoding that a parsed page declares in a meta element, wherever it stands.
 */
#ifndef SKIMD_PARSERS_LATE_META_H
#define SKIMD_PARSERS_LATE_META_H

#include "parsers/label.h"

struct bump;
struct html;

/*
 * What the first meta element with a known encoding declares: first as the parser met them, below
 * templates, too, and in a body whose place a frameset took. For charset_change(); CHARSET_NONE
 * without one. The first one in the tree of a beginning of a page is the first one of the page.
 * Allocates from `bump`, never recurses.
 */
enum charset late_meta(struct bump *bump, const struct html *html);

#endif
