/*
 * The text of a page as a person reads it, near to what innerText of its body gives: without
 * scripts, styles and what else is not shown, blocks on lines of their own.
 */
#ifndef SKIMD_PARSERS_TEXT_H
#define SKIMD_PARSERS_TEXT_H

#include "core/base/bytes.h"

struct bump;
struct html;

/*
 * Writes the text of the body to `to`, at most `most` bytes of well-formed UTF-8, and returns its
 * length; *ret_cut says that there was more. Lines are parted by "\n", at the most one of them
 * empty; white space is collapsed but in pre and textarea-like elements; there is none at either
 * end. Allocates from `bump`, and leaves through bump->escape over its limits.
 */
size_t text_of(struct bump *bump, const struct html *html, char *to, size_t most, bool *ret_cut);

#endif
