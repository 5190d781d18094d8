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
 * empty, and the cells of a table's row by a tab; white space is collapsed; a pre keeps its own,
 * whatever it has of it. There is none at either end. The table in text.c says what each element
 * does; of CSS nothing is looked at. A page with a frameset has no text. Time is linear in the size
 * of the tree. Allocates from `bump`, and leaves through bump->escape over its limits.
 */
size_t text_of(struct bump *bump, const struct html *html, char *to, size_t most, bool *ret_cut);

#endif
