/*
 * The fields that stand in the head of a page: what its meta and link elements say, and the
 * language of the html element.
 *
 * Elements of the HTML namespace count, those in templates do not. Where the page has a body
 * element by a tag of its own, they are those below the head element. Where the body is implied, or
 * there is a frameset, they are those of the whole document: mostly something that may not stand in
 * a head broke it off, and what the author meant to stand there follows.
 *
 * With a body by its own tag in the tree of a beginning P of a page T, all of that is certain, and
 * the same as T's:
 *
 * - P and T are the same to the parser until P ends (title.h), and what the end of P adds is no
 *   start tag; so the body's tag was met before.
 * - Nothing is added to a head once there is a body: the head is not on the stack of open elements
 *   (the modes "in head" and "after head" alone have it there), and the modes that put it back are
 *   not entered again: "reset the insertion mode appropriately" finds the body first, which stays
 * on the stack to the end. Only a frameset takes a body away, and not one with a tag of its own.
 * - The elements that count have no content, and attributes of theirs do not change.
 * - A later html tag adds attributes to the html element: none of those that come behind the body's
 *   tag counts.
 */
#ifndef SKIMD_PARSERS_HEAD_FIELDS_H
#define SKIMD_PARSERS_HEAD_FIELDS_H

#include "parsers/fields.h"
#include "parsers/url.h"

struct bump;
struct html;

/* Whether the tree has a body by a tag of its own: its head is complete, whatever follows. */
bool head_is_complete(const struct html *html);

/*
 * Writes those of `asked` that are FIELD_OF_HEAD, but for the title. `page`: where the page came
 * from, NULL: not known. Allocates from `bump`, and leaves through bump->escape over its limits.
 */
void head_fields(struct bump *bump, const struct html *html, field_set asked,
                 const struct url *page, struct field_writer *ret);

#endif
