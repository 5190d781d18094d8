/*
 * The bytes of a page, as far as they are decoded, and which encoding they are in, as far as that
 * is known.
 *
 * An encoding is final, whatever follows what was read of the page, when
 *
 * - the byte order mark or HTTP says so;
 * - a meta element in the tree of a beginning declares it (late_meta.h): the first one of a
 *   beginning is the first one of the page. What the first 1024 bytes declare is not final for
 *   itself, as the prescan may take for a tag what stands in a script; it is what the beginning is
 *   read in until its tree has the element, which is the same one on nearly all pages;
 * - it is UTF-16, which no element changes;
 * - nothing follows in which such an element could be.
 *
 * So of a page that declares its encoding in HTTP, or in a meta element in front of its title or
 * shortly behind, nothing more is needed. Of one that declares none all is: UTF-8 if all of it is
 * well-formed UTF-8, else windows-1252.
 */
#ifndef SKIMD_PARSERS_SOURCE_H
#define SKIMD_PARSERS_SOURCE_H

#include "parsers/charset.h"

struct bump;
struct decoder;
struct multi_byte;
struct page_request;

enum { SOURCE_FIRST = 2 << 10 }; /* bytes decoded to begin with */

/* The first three are set to begin with, the rest zeroed. */
struct source {
    struct bump *bump;
    struct decoder *decoder;
    struct multi_byte *multi_byte;

    const struct page_request *in;
    struct bytes raw; /* what is decoded of the page */
    bool ended;       /* no more comes out of in->body */
    bool has_looked;  /* `choice` knows what the first bytes declare */
    struct charset_choice choice;

    char *buffer; /* where `raw` is when it had a coding: the arena's latest allocation */
    size_t capacity;
};

/*
 * Begins the body of `in`. Until all of it is read whatever is allocated from the arena must be
 * taken back (bump_rewind()) before more is read. Errors of this and of those that read are
 * decoder_begin()'s and decoder_read()'s. All of them leave through bump->escape over its limits.
 */
int source_begin(struct source *s, const struct page_request *in);

/* Decodes on until `want` bytes are there, or no more comes. */
int source_read(struct source *s, size_t want);

/*
 * Until there is half as much again, or some KiB more; likewise, or all of a gzip at once, which
 * costs no more than some of it (decoder_read_whole()); until no more comes. What was in `raw` is
 * where it was.
 */
int source_read_more(struct source *s);
int source_read_on(struct source *s);
int source_read_all(struct source *s);

/* Nothing can follow `raw`: it ended, and not only because the rest is still to come. */
bool source_is_whole(const struct source *s);

/* A meta element may still decide on the encoding. */
bool source_is_open(const struct source *s);

/*
 * What to read a beginning of the page in, or all of it, as far as is known; never CHARSET_NONE.
 * With nothing declared it depends on what `part` looks like, and is final for the whole.
 */
enum charset source_charset(const struct source *s, struct bytes part);

/* `part` of the page as UTF-8, as convert_to_utf8() makes it. */
int source_text(const struct source *s, struct bytes part, enum charset charset, struct bytes *ret);

/*
 * False where a beginning of the page may read otherwise in the one than in the other; true for
 * sure where they are the same, or nothing but ASCII is read.
 */
bool source_reads_alike(struct bytes part, enum charset a, enum charset b);

#endif
