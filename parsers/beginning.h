/*
 * What is asked of a page's head by as little of it as tells it for certain, and the charset of the
 * page. Parts of prefix_read(), in the order in which it takes them; prefix.h says how far each
 * goes. Errors are those of source_read() and source_text(); all leave through bump->escape.
 */
#ifndef SKIMD_PARSERS_BEGINNING_H
#define SKIMD_PARSERS_BEGINNING_H

#include "parsers/reading.h"

/* Reads until a beginning tells what is asked of the head, r->cut then, or there is no use. */
int beginning_find(struct reading *r);

/* Reads until a meta element decides on the charset, or to the end. */
int beginning_settle_charset(struct reading *r);

/* Makes the charset of all that was read the page's, now that nothing may change it. */
void beginning_close_charset(struct source *s);

/* Whether what r->cut told is so for the page, whose charset is final: read in it, if it was not.
 */
int beginning_confirm(struct reading *r, bool *ret);

/* Whether a start tag can stand in what was read of the page, whose charset is final; `start` is
 * one for tag_find(). */
int beginning_has_tag(struct source *s, struct bytes start, bool *ret);

#endif
