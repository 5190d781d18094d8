/*
 * What can be asked of a page, and how the answers travel: as a run of packed entries, which the
 * worker writes and the daemon checks and reads.
 *
 *     entry    u8 field | u8 key length | u32 value length | key | value       little-endian
 *
 * Entries stand in the order of the table, those of one field together. The title is not among
 * them: it has a place of its own in `struct page_facts`.
 *
 * Pure functions, any thread.
 */
#ifndef SKIMD_PARSERS_FIELDS_H
#define SKIMD_PARSERS_FIELDS_H

#include "core/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

/* How the entries of a field become JSON. Keys are empty but where they are named here. */
enum field_kind {
    FIELD_TEXT,    /* a string; null: there is none. At most one entry */
    FIELD_URL,     /* the same: an absolute http or https URL */
    FIELD_TEXTS,   /* an array of strings */
    FIELD_URLS,    /* an array of URLs */
    FIELD_PAIRS,   /* an object by key; values of the same key, which stand together, in an array */
    FIELD_OBJECTS, /* an array of objects, each of them begun by the key "url", whose value is one;
                      no key twice in an object */
    FIELD_JSON,    /* an array of JSON texts, as they are (core/base/json_text.h: compact) */
};

/* Where the elements are that a field is read from: what of the page must be parsed. */
enum field_place { FIELD_OF_HEAD, FIELD_OF_BODY };

/* X(constant, name in the API, kind, place, bytes of all its values at most) */
#define FIELDS(X)                                                                                  \
    X(FIELD_TITLE, "title", FIELD_TEXT, FIELD_OF_HEAD, 16 << 10)                                   \
    X(FIELD_DESCRIPTION, "description", FIELD_TEXT, FIELD_OF_HEAD, 8 << 10)                        \
    X(FIELD_CANONICAL, "canonical", FIELD_URL, FIELD_OF_HEAD, 8 << 10)                             \
    X(FIELD_LANG, "lang", FIELD_TEXT, FIELD_OF_HEAD, 256)                                          \
    X(FIELD_OG, "og", FIELD_PAIRS, FIELD_OF_HEAD, 16 << 10)                                        \
    X(FIELD_TWITTER, "twitter", FIELD_PAIRS, FIELD_OF_HEAD, 16 << 10)                              \
    X(FIELD_ICON, "icon", FIELD_URL, FIELD_OF_HEAD, 8 << 10)                                       \
    X(FIELD_FEEDS, "feeds", FIELD_OBJECTS, FIELD_OF_HEAD, 16 << 10)                                \
    X(FIELD_ROBOTS_META, "robots_meta", FIELD_TEXT, FIELD_OF_HEAD, 1 << 10)                        \
    X(FIELD_H1, "h1", FIELD_TEXTS, FIELD_OF_BODY, 8 << 10)                                         \
    X(FIELD_LINKS, "links", FIELD_URLS, FIELD_OF_BODY, 64 << 10)                                   \
    X(FIELD_TEXT_OF_PAGE, "text", FIELD_TEXT, FIELD_OF_BODY, 64 << 10)                             \
    X(FIELD_JSON_LD, "json_ld", FIELD_JSON, FIELD_OF_BODY, 64 << 10)

enum field {
#define FIELD_ENUM(id, name, kind, place, most) id,
    FIELDS(FIELD_ENUM)
#undef FIELD_ENUM
        FIELD_COUNT
};

enum {
    FIELDS_MAX = 128 << 10, /* bytes of all entries of a page */
    FIELD_KEY_MAX = 64,
    FIELD_KEYED_MAX = 512, /* entries of a field whose kind has keys */
    FIELD_ENTRY_HEADER = 6,
};

/* A set of fields. */
typedef unsigned field_set;
#define FIELD_BIT(field) (1u << (field))
#define FIELDS_ALL       (FIELD_BIT(FIELD_COUNT) - 1)

/* All whose elements are in the body. */
field_set fields_of_body(void);

const char *field_name(enum field field);
enum field_kind field_kind(enum field field);
size_t field_most(enum field field); /* bytes of all its values: more need not be made */

/* The field of that name (exactly so), or FIELD_COUNT. */
enum field field_of_name(struct bytes name);

/* -- writing ----------------------------------------------------------------------------------- */

struct field_writer {
    char *buffer; /* FIELDS_MAX bytes */
    size_t len;
    size_t end[FIELD_COUNT];   /* of the entries of a field, and of all in front of it */
    size_t spent[FIELD_COUNT]; /* bytes of values */
    field_set headless;        /* FIELD_OBJECTS: the latest object was left out */
    bool truncated;            /* something had no room */
};

/* Begins anew, in `buffer` of FIELDS_MAX bytes. */
void fields_begin(struct field_writer *w, char *buffer);

/*
 * Adds an entry, any but of the title, in its place: fields may come in any order, and keys of
 * FIELD_PAIRS, too. Of a FIELD_TEXT that is too long the beginning is kept, up to a character's
 * end; any other entry is left out where there is no room for it, and of a FIELD_OBJECTS then all
 * of the object that is still to come. Either way the writer is `truncated`. Left out, without
 * that, is what fields_are_valid() would refuse: another value where there is one at most, a key of
 * other characters, a text with NULs...
 *
 * False when the entry was cut or left out. Time is linear in what was written behind its place.
 */
bool fields_put(struct field_writer *w, enum field field, struct bytes key, struct bytes value);

/* What was written, borrowed from the buffer. */
struct bytes fields_written(const struct field_writer *w);

/* -- reading ----------------------------------------------------------------------------------- */

struct field_entry {
    enum field field;
    struct bytes key, value;
};

/* Takes the first entry off `packed`, which fields_are_valid(). False at its end. */
bool fields_next(struct bytes *packed, struct field_entry *ret);

/*
 * Whether these are entries of the fields in `asked`, as a worker in its right mind packs them:
 * complete, in order, within all limits above, values well-formed UTF-8 without NUL; keys of 1 to
 * FIELD_KEY_MAX characters of printable ASCII where the kind has some and none elsewhere; URLs
 * with http or https and without spaces and controls; JSON that is compact JSON.
 */
bool fields_are_valid(struct bytes packed, field_set asked);

#endif
