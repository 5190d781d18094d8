/*
 * The title of an HTML document, as document.title gives it (HTML standard, "the title element"):
 * the first title element of the HTML namespace in tree order, its text without ASCII white space
 * at the ends and with one space for each run inside. Contents of a template are another
 * document's; a title of SVG or MathML is of another namespace.
 *
 * A title may be certain when only the beginning of a page was parsed, wherever that was cut off.
 * Let P be the beginning and T the page, and X the first title in the tree of P. X is the first in
 * the tree of T too, and with the same text, when it was closed by an end tag and is a child of the
 * head element, or of the body as said below. Why:
 *
 * - Tokenizer and tree construction look at one character after the other and never ahead of a
 *   character that they have not been given, so until P ends they do the same for P and for T. What
 *   the end of P adds to that are characters (of an unfinished reference or end tag), a comment or
 *   doctype that it breaks off, and implied elements (html, head, body). A tag that it breaks off
 *   is dropped. So it adds no title, and no title is closed by an end tag only because P ends: X is
 *   there, and closed, before.
 * - A closed X changes no more. It has left the stack of open elements; content goes to elements of
 *   the stack, or beside a table that is one (foster parenting). What is moved or removed later are
 *   formatting elements with what is in open elements (adoption agency), and the body with all in
 *   it (a frameset).
 * - X in the head: no title comes in front of it. Before the head element the html element gets
 *   nothing but comments. The head's children are appended, also by "after head", which puts the
 *   head back on the stack for one token. A child of the head that stands before X could still get
 *   content while it is on the stack; but X became a child of the head because the head was the
 *   current node, so nothing was above it. Foster parenting needs an open table: there is none in
 *   the head, since a table's start tag ends the head.
 * - X in the body: certain as its child if P's tree has no table. Then nothing was foster parented,
 *   and X became a child of the body because that was the current node: html and body alone were
 *   open, what stands in front of X gets nothing any more, and what is moved later was opened
 *   later. There was no title in the head, and with a body the head is never put back on the stack.
 *   Only a frameset may still take the place of the body and X with it, if the body was implied; a
 *   body with a start tag of its own forbids that.
 * - Templates: X in a template's content has another parent. While a template is open, its content
 *   is above head or body on the stack, and they are not the current node.
 *
 * Where what looked like the end of the title stands in a comment, a script, an attribute or
 * another title, P's tree shows that: X is missing, elsewhere, or not closed.
 */
#ifndef SKIMD_PARSERS_TITLE_H
#define SKIMD_PARSERS_TITLE_H

#include "core/base/bytes.h"

struct bump;
struct html;

enum { TITLE_MAX = 16 << 10 }; /* bytes; a longer title is cut between two characters */

/* Whether every page that begins with the parsed text has this title. */
enum title_certain {
    TITLE_UNCERTAIN,
    TITLE_UNLESS_FRAMESET, /* but for those with "<frameset" behind it */
    TITLE_CERTAIN,
};

struct title {
    bool found;     /* false: no title element; an empty one is found with an empty text */
    bool truncated; /* text was longer than TITLE_MAX */
    enum title_certain certain;
    struct bytes text; /* well-formed UTF-8, in the arena */
};

/* The title in a tree. Allocates from `bump`, and leaves through bump->escape over its limits. */
void title_of(struct bump *bump, const struct html *html, struct title *ret);

/* Parses `text` (well-formed UTF-8) and finds its title, all of it in `bump`: html_parse() and
 * title_of(). */
void title_find(struct bump *bump, struct bytes text, struct title *ret);

#endif
