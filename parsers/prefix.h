/*
 * What is asked of a page, and its charset, from as little of its body as tells them for sure: what
 * is found is what decoding and parsing the whole page would find.
 *
 *     body ──▶ decode, some more each time ──▶ scan for the title ──▶ told, on nearly all pages
 *                                               │ lost
 *                                               └─▶ a hint in sight? ──▶ parse up to its '>'
 *
 * Title. The bytes are scanned as far as the head is a usual one (head_scan.h). Where something
 * else comes first, the bytes "</title" are a hint where to cut, no more. The page up to there is
 * parsed, and its title taken when it is certain (title.h says when, and why that is the title of
 * the whole). Otherwise the next hint is tried, at most three; then the whole page is parsed,
 * unless
 * "<title" does not stand in it at all: without the start tag there is no element.
 *
 * Other fields of the head. Hints alone, with "<body", where a head is certain that is complete
 * (head_fields.h). Where it has no title, "<title" must not stand in the page at all.
 *
 * Fields of the body are read from a parse of the whole, as those of the head are then. Where that
 * goes over the limits of time or memory, those of the head must be certain by a beginning, and
 * those of the body are what an eighth of the page has, or an eighth of that: `truncated`.
 *
 * Charset. source.h says when it is final; mostly what has the title has the meta element, too.
 * Else the rest of the page is decoded, though not parsed: its bytes are searched for tags that may
 * be such an element, and the page parsed up to the end of each of those, until one is.
 * What is found then may make another text of the title, which is read again, but no other tags:
 * hints are looked for only in encodings that keep ASCII (charset_keeps_ascii()), where the bytes
 * of a tag mean the same in each. A page that may be in ISO-2022-JP is read whole for that, one in
 * UTF-16 for its title, too.
 */
#ifndef SKIMD_PARSERS_PREFIX_H
#define SKIMD_PARSERS_PREFIX_H

#include "parsers/fields.h"
#include "parsers/source.h"
#include "parsers/title.h"

enum {
    PREFIX_TRIES = 3,              /* hints followed before the whole page is parsed, */
    PREFIX_PARSED_MAX = 512 << 10, /* and bytes parsed for that in all */
};

struct prefix {
    bool settled;     /* false, of an is_prefix: what follows may change all of this */
    bool from_prefix; /* a beginning told it, the rest was not parsed */
    bool truncated;   /* by the limits: there may be more of the fields */
    enum charset charset;
    struct title title;
    struct bytes fields; /* the others that were asked for */
};

/*
 * Reads what source->in asks of the page, whose source was begun; with `all` by decoding and
 * parsing the whole, which must come to the same. ret->title.text is written to `text`, the other
 * fields to `fields`. Errors are those of the source, and -EOPNOTSUPP where the charset that the
 * page is in, by source_charset(), is not read. Leaves through bump->escape over the arena's
 * limits.
 */
int prefix_read(struct source *source, bool all, char text[static TITLE_MAX],
                char fields[static FIELDS_MAX], struct prefix *ret);

#endif
