/*
 * The text of a title as it is written, read without a tree.
 */
#ifndef SKIMD_PARSERS_TITLE_TEXT_H
#define SKIMD_PARSERS_TITLE_TEXT_H

#include "parsers/title.h"

/*
 * What stands between the tags of a title element (`source`, well-formed UTF-8), as title_of()
 * gives the element's text: character references replaced, white space collapsed. *ret lies in
 * `to`.
 *
 * False where only the parse knows: NUL; a reference without its semicolon, or that is not in the
 * table, unless it is none for sure (AT&T, R & D); a numeric one that does not stand for itself
 * (HTML standard, "numeric character reference end state"); more than TITLE_SOURCE_MAX bytes, which
 * might have to be cut. Pure.
 */
bool title_text(struct bytes source, char to[static TITLE_MAX], struct bytes *ret);

/* Of so much no more than TITLE_MAX can become, not even of what html.c puts in its place. */
enum { TITLE_SOURCE_MAX = TITLE_MAX / 8 };

#endif
