/*
 * The title and the charset of a page, from as little of its body as tells them for sure: what is
 * found is what decoding and parsing the whole page would find.
 *
 *     body ──▶ decode, a few KiB more each time ──▶ "</title" in sight? ──▶ parse up to its '>'
 *
 * Title. The bytes "</title" are a hint where to cut, no more. The page up to there is parsed, and
 * its title taken when it is certain (title.h says when, and why that is the title of the whole).
 * Otherwise the next hint is tried, at most three; then the whole page is parsed, unless "<title"
 * does not stand in it at all: without the start tag there is no element.
 *
 * Charset. Declared by a byte order mark, by HTTP or within the first 1024 bytes, it is settled
 * before the parse, and the title decoded in it; nothing more is read. Else a meta element may
 * declare it further on (late_meta.h), behind the title too, and without any the page is UTF-8 if
 * all of it is well-formed UTF-8, and windows-1252 if not. So then the rest of the page is decoded
 * too, though not parsed: its bytes are searched for tags that may be such a meta element, and the
 * page parsed up to the end of each of those. Until that is over the page is read as what its
 * beginning looks like, UTF-8 or windows-1252. That may make another text of the title, which is
 * then read again, but no other tags: the encodings that a page may declare inside (but for
 * ISO-2022-JP, for which everything is read again) leave '<', '>', '/', '=', quotes, spaces, and
 * the letters of a tag's name where they are, and none of their longer characters contains one of
 * the first.
 */
#ifndef SKIMD_PARSERS_PREFIX_H
#define SKIMD_PARSERS_PREFIX_H

#include "parsers/charset.h"
#include "parsers/title.h"

#include <stdint.h>

struct bump;
struct decoder;
struct multi_byte;
struct page_request;

enum {
    PREFIX_FIRST = 2 << 10, /* decoded to begin with; then twice as much each time */
    PREFIX_PRESCAN = 1024,  /* bytes in which a page should declare its charset */
    PREFIX_TRIES = 3,       /* hints followed before the whole page is parsed */
};

struct prefix {
    bool settled;     /* false, of an is_prefix: what follows may change all of this */
    bool html;        /* false: the bytes do not look like HTML, there is no more to tell */
    bool from_prefix; /* a beginning told the title, the rest was not parsed */
    enum charset charset;
    struct title title; /* in the arena */
    uint64_t decoded_bytes;
};

/*
 * Reads the page of `in`, on which `decoder` was begun. `sniff`: its type does not say that it is
 * HTML, so its beginning must. Errors are decoder_read()'s, and -EOPNOTSUPP for a charset that is
 * not read (ret->charset). Leaves through bump->escape over the arena's limits.
 */
int prefix_read(struct bump *bump, struct decoder *decoder, struct multi_byte *multi_byte,
                const struct page_request *in, bool sniff, struct prefix *ret);

#endif
