/*
 * A page while it is read (prefix.h), and what a parse of a part of it tells.
 */
#ifndef SKIMD_PARSERS_READING_H
#define SKIMD_PARSERS_READING_H

#include "parsers/fields.h"
#include "parsers/head_scan.h"
#include "parsers/source.h"
#include "parsers/title.h"
#include "parsers/url.h"

struct reading {
    struct source *source;
    field_set asked;
    struct url url; /* the page's own; without a text it is not known */

    struct title title;         /* of what was parsed last */
    char *title_text;           /* TITLE_MAX bytes for it, where no rewind takes them away */
    struct field_writer fields; /* the same */
    char *fields_text;
    bool head_is_complete;
    enum charset charset; /* in which all that was read */

    struct bytes cut; /* the beginning of the page that told it for certain */
    size_t parsed;    /* bytes, by following hints */
    struct head_scan scan;
    bool is_scanned; /* `cut` was not parsed, scan has its title */
};

/* What is taken from a tree. */
enum take { TAKE_HEAD, TAKE_BODY, TAKE_ALL };

/*
 * Parses a part of the page, and once more in the same memory when it declares another charset,
 * where that is open. Errors are those of source_text(); leaves through bump->escape.
 */
int reading_parse(struct reading *r, struct bytes part, enum take take);

/* Parses a beginning of the page, or all of it, only for the charset that it declares. */
int reading_parse_for_charset(struct reading *r, struct bytes part);

/* What is asked of the head besides the title. */
field_set reading_asked_of_head(const struct reading *r);

/* How far a beginning of the page, as it was read last, tells what is asked of the head. */
enum certain {
    UNCERTAIN,
    CERTAIN_UNLESS_FRAMESET, /* but for a page with "<frameset" in it */
    CERTAIN_UNLESS_TITLE,    /* but for one with "<title" */
    CERTAIN,
};

enum certain reading_certain(const struct reading *r);

#endif
