/*
 * What was asked of a page beside its title, as members of its record.
 *
 * Pure; any thread. Memory errors are sticky in the buffer.
 */
#ifndef SKIMD_SERVER_BATCH_RECORD_FIELDS_H
#define SKIMD_SERVER_BATCH_RECORD_FIELDS_H

#include "core/base/buffer.h"
#include "parsers/fields.h"

/*
 * Appends `,"name":value` for each field of `asked` but the title, in the order of the table.
 * `packed` holds the values, fields_are_valid() for `asked`. What the page does not have is null,
 * or empty where its kind is an array or an object.
 */
void record_write_fields(struct buffer *out, field_set asked, struct bytes packed);

#endif
