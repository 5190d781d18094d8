#include "parsers/fields.h"

#include "core/base/json_text.h"
#include "core/base/utf8.h"
#include "parsers/url.h"

#include <assert.h>
#include <stdint.h>

static const struct {
    const char *name;
    enum field_kind kind;
    size_t most;
} table[] = {
#define FIELD_ROW(id, name, kind, place, most) {name, kind, most},
    FIELDS(FIELD_ROW)
#undef FIELD_ROW
};
static_assert(sizeof table / sizeof table[0] == FIELD_COUNT, "one row each");
static_assert(FIELD_COUNT < 32, "a set has a bit for each");
static_assert(FIELD_KEY_MAX <= UINT8_MAX, "key lengths are u8");

field_set fields_of_body(void)
{
#define FIELD_IN_BODY(id, name, kind, place, most) ((place) == FIELD_OF_BODY ? FIELD_BIT(id) : 0u) |
    return FIELDS(FIELD_IN_BODY) 0u;
#undef FIELD_IN_BODY
}

const char *field_name(enum field field)
{
    return table[field].name;
}

enum field_kind field_kind(enum field field)
{
    return table[field].kind;
}

size_t field_most(enum field field)
{
    return table[field].most;
}

enum field field_of_name(struct bytes name)
{
    unsigned field = 0;

    while (field < FIELD_COUNT && !bytes_equal(name, bytes_cstr(table[field].name)))
        field++;
    return (enum field)field;
}

/* -- entries -----------------------------------------------------------------------------------
 */

/* Takes the first entry off. False when it is none: of no field, or not complete. */
static bool take(struct bytes *packed, struct field_entry *ret)
{
    const unsigned char *p = (const unsigned char *)packed->ptr;

    if (packed->len < FIELD_ENTRY_HEADER || p[0] >= FIELD_COUNT)
        return false;
    size_t key = p[1];
    size_t value = p[2] | (size_t)p[3] << 8 | (size_t)p[4] << 16 | (size_t)p[5] << 24;
    size_t left = packed->len - FIELD_ENTRY_HEADER;
    if (key > left || value > left - key)
        return false;
    const char *at = packed->ptr + FIELD_ENTRY_HEADER;
    *ret = (struct field_entry){(enum field)p[0], bytes_of(at, key), bytes_of(at + key, value)};
    *packed = bytes_of(at + key + value, left - key - value);
    return true;
}

bool fields_next(struct bytes *packed, struct field_entry *ret)
{
    return packed->len > 0 && take(packed, ret);
}

static bool has_keys(enum field_kind kind)
{
    return kind == FIELD_PAIRS || kind == FIELD_OBJECTS;
}

static bool begins_object(const struct field_entry *e)
{
    return bytes_equal(e->key, BYTES("url"));
}

static bool is_key(struct bytes key)
{
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] < 0x20 || key.ptr[i] > 0x7e)
            return false;
    return key.len > 0 && key.len <= FIELD_KEY_MAX;
}

static bool is_text(struct bytes text)
{
    return (text.len == 0 || !memchr(text.ptr, '\0', text.len)) && utf8_valid(text);
}

static bool begins_with(struct bytes text, struct bytes start)
{
    return text.len > start.len && memcmp(text.ptr, start.ptr, start.len) == 0;
}

static bool is_url(struct bytes url)
{
    for (size_t i = 0; i < url.len; i++)
        if ((unsigned char)url.ptr[i] <= ' ' || url.ptr[i] == 0x7f)
            return false;
    return url.len <= URL_MAX && utf8_valid(url) &&
           (begins_with(url, BYTES("http://")) || begins_with(url, BYTES("https://")));
}

/* What can be said of an entry by itself. */
static bool entry_is_valid(const struct field_entry *e)
{
    if (e->field == FIELD_TITLE)
        return false;
    if (has_keys(field_kind(e->field)) ? !is_key(e->key) : e->key.len > 0)
        return false;
    switch (field_kind(e->field)) {
    case FIELD_TEXT:
    case FIELD_TEXTS:
    case FIELD_PAIRS:
        return is_text(e->value);
    case FIELD_OBJECTS:
        return begins_object(e) ? is_url(e->value) : is_text(e->value);
    case FIELD_URL:
    case FIELD_URLS:
        return is_url(e->value);
    case FIELD_JSON:
        return json_text_is_compact(e->value);
    }
    return false;
}

/* What an entry with a key meets in front of it, among those of its field. */
struct neighbours {
    size_t count;
    size_t behind;  /* where the last one with the same key ends; 0: there is none */
    bool in_object; /* an object has begun */
    bool again;     /* and has the key already */
};

static struct neighbours neighbours_of(struct bytes key, struct bytes in_front)
{
    struct neighbours n = {0};
    struct bytes rest = in_front;
    struct field_entry other;

    while (fields_next(&rest, &other)) {
        bool same = bytes_equal(other.key, key);

        n.count++;
        if (same)
            n.behind = in_front.len - rest.len;
        if (begins_object(&other)) {
            n.in_object = true;
            n.again = false;
        }
        n.again = n.again || same;
    }
    return n;
}

/* Whether an object may go on, or begin, with the entry. */
static bool fits_object(const struct field_entry *e, const struct neighbours *n)
{
    return begins_object(e) || (n->in_object && !n->again);
}

/* -- writing -----------------------------------------------------------------------------------
 */

void fields_begin(struct field_writer *w, char *buffer)
{
    *w = (struct field_writer){.buffer = buffer};
}

static size_t begin_of(const struct field_writer *w, enum field field)
{
    return field > 0 ? w->end[field - 1] : 0;
}

static bool no_room(struct field_writer *w, const struct field_entry *e)
{
    w->truncated = true;
    if (field_kind(e->field) == FIELD_OBJECTS && begins_object(e))
        w->headless |= FIELD_BIT(e->field);
    return false;
}

static size_t room_for_value(const struct field_writer *w, const struct field_entry *e)
{
    size_t own = table[e->field].most - w->spent[e->field];
    size_t taken = w->len + FIELD_ENTRY_HEADER + e->key.len;
    size_t all = taken < FIELDS_MAX ? FIELDS_MAX - taken : 0;

    return own < all ? own : all;
}

/* Well-formed text, cut so that it still is. */
static struct bytes cut(struct bytes text, size_t most)
{
    while (most > 0 && ((unsigned char)text.ptr[most] & 0xc0) == 0x80)
        most--;
    return bytes_of(text.ptr, most);
}

static void insert(struct field_writer *w, const struct field_entry *e, size_t at)
{
    size_t size = FIELD_ENTRY_HEADER + e->key.len + e->value.len;
    char *to = w->buffer + at;

    memmove(to + size, to, w->len - at);
    *to++ = (char)e->field;
    *to++ = (char)e->key.len;
    for (unsigned i = 0; i < 4; i++)
        *to++ = (char)(unsigned char)(e->value.len >> 8 * i);
    if (e->key.len > 0)
        memcpy(to, e->key.ptr, e->key.len);
    if (e->value.len > 0)
        memcpy(to + e->key.len, e->value.ptr, e->value.len);
    w->len += size;
    w->spent[e->field] += e->value.len;
    for (unsigned field = e->field; field < FIELD_COUNT; field++)
        w->end[field] += size;
}

/* Finds the place of an entry with a key; false where it must not stand. */
static bool place_keyed(struct field_writer *w, const struct field_entry *e, size_t *ret_at)
{
    size_t begin = begin_of(w, e->field), end = w->end[e->field];
    struct neighbours n = neighbours_of(e->key, bytes_of(w->buffer + begin, end - begin));

    *ret_at = end;
    if (n.count >= FIELD_KEYED_MAX)
        return no_room(w, e);
    if (field_kind(e->field) == FIELD_OBJECTS) {
        if (begins_object(e))
            w->headless &= ~FIELD_BIT(e->field);
        return fits_object(e, &n) && !(w->headless & FIELD_BIT(e->field));
    }
    if (n.behind > 0)
        *ret_at = begin + n.behind;
    return true;
}

bool fields_put(struct field_writer *w, enum field field, struct bytes key, struct bytes value)
{
    struct field_entry e = {field, key, value};
    enum field_kind kind = field_kind(field);
    size_t at = w->end[field], room;
    bool whole = true;

    if (!entry_is_valid(&e)) {
        if (kind == FIELD_OBJECTS && begins_object(&e))
            w->headless |= FIELD_BIT(field);
        return false;
    }
    if ((kind == FIELD_TEXT || kind == FIELD_URL) && at > begin_of(w, field))
        return false;
    if (has_keys(kind) && !place_keyed(w, &e, &at))
        return false;
    room = room_for_value(w, &e);
    if (e.value.len > room && kind == FIELD_TEXT && room > 0) {
        e.value = cut(value, room);
        w->truncated = true;
        whole = false;
    }
    if (e.value.len > room || w->len + FIELD_ENTRY_HEADER + key.len > FIELDS_MAX ||
        (!whole && e.value.len == 0))
        return no_room(w, &e);
    insert(w, &e, at);
    return whole;
}

struct bytes fields_written(const struct field_writer *w)
{
    return bytes_of(w->buffer, w->len);
}

/* -- checking ----------------------------------------------------------------------------------
 */

/* The entries of one field, as far as they were read. */
struct run {
    enum field field;
    size_t spent;
    const char *begin;
};

/* Whether the entry may stand behind those of its field, which end at `end`. */
static bool goes_on(const struct run *run, const struct field_entry *e, const char *end)
{
    struct bytes in_front = bytes_of(run->begin, (size_t)(end - run->begin));
    struct neighbours n = {0};

    if (has_keys(field_kind(e->field)))
        n = neighbours_of(e->key, in_front);
    switch (field_kind(e->field)) {
    case FIELD_TEXT:
    case FIELD_URL:
        return in_front.len == 0;
    case FIELD_TEXTS:
    case FIELD_URLS:
    case FIELD_JSON:
        return true;
    case FIELD_PAIRS:
        return n.count < FIELD_KEYED_MAX && (n.behind == 0 || n.behind == in_front.len);
    case FIELD_OBJECTS:
        return n.count < FIELD_KEYED_MAX && fits_object(e, &n);
    }
    return false;
}

bool fields_are_valid(struct bytes packed, field_set asked)
{
    struct run run = {.begin = packed.ptr};
    struct field_entry e;

    if (packed.len > FIELDS_MAX)
        return false;
    while (packed.len > 0) {
        const char *here = packed.ptr;

        if (!take(&packed, &e) || !(asked & FIELD_BIT(e.field)) || e.field < run.field)
            return false;
        if (e.field > run.field)
            run = (struct run){.field = e.field, .begin = here};
        run.spent += e.value.len;
        if (run.spent > table[e.field].most || !entry_is_valid(&e) || !goes_on(&run, &e, here))
            return false;
    }
    return true;
}
