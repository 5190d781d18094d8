/*
 * The fields that are read from the whole document: headings, links, text, structured data. Nothing
 * of them is certain before all of a page is parsed.
 */
#ifndef SKIMD_PARSERS_BODY_FIELDS_H
#define SKIMD_PARSERS_BODY_FIELDS_H

#include "parsers/fields.h"
#include "parsers/url.h"

struct bump;
struct html;

/*
 * Writes those of `asked` that are FIELD_OF_BODY. `page`: where the page came from, NULL: not
 * known. Allocates from `bump`, and leaves through bump->escape over its limits; the writer has
 * whole entries at any time.
 */
void body_fields(struct bump *bump, const struct html *html, field_set asked,
                 const struct url *page, struct field_writer *ret);

#endif
