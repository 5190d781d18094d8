#include "server/batch/record_fields.h"

#include "server/json.h"

/* The entries of one field: the next one is in `entry` while `more`. */
struct cursor {
    struct bytes rest;
    struct field_entry entry;
    bool more;
};

static void advance(struct cursor *c)
{
    c->more = fields_next(&c->rest, &c->entry);
}

static bool is_at(const struct cursor *c, enum field field)
{
    return c->more && c->entry.field == field;
}

static bool has_key(const struct cursor *c, enum field field, struct bytes key)
{
    return is_at(c, field) && bytes_equal(c->entry.key, key);
}

static void comma_unless(struct buffer *out, bool *first)
{
    if (!*first)
        buffer_byte(out, ',');
    *first = false;
}

static void write_key(struct buffer *out, struct bytes key)
{
    json_write_string(out, key);
    buffer_byte(out, ':');
}

static void write_one(struct buffer *out, struct cursor *c, enum field field)
{
    if (!is_at(c, field)) {
        buffer_text(out, "null");
        return;
    }
    json_write_string(out, c->entry.value);
    advance(c);
}

static void write_array(struct buffer *out, struct cursor *c, enum field field)
{
    bool first = true;

    buffer_byte(out, '[');
    for (; is_at(c, field); advance(c)) {
        struct bytes value = c->entry.value;

        comma_unless(out, &first);
        if (field_kind(field) == FIELD_JSON)
            buffer_append(out, value.ptr, value.len);
        else
            json_write_string(out, value);
    }
    buffer_byte(out, ']');
}

/* The values of the key that is next: one as it is, more in an array. */
static void write_values(struct buffer *out, struct cursor *c, enum field field)
{
    struct bytes key = c->entry.key, value = c->entry.value;

    advance(c);
    if (!has_key(c, field, key)) {
        json_write_string(out, value);
        return;
    }
    buffer_byte(out, '[');
    json_write_string(out, value);
    for (; has_key(c, field, key); advance(c)) {
        buffer_byte(out, ',');
        json_write_string(out, c->entry.value);
    }
    buffer_byte(out, ']');
}

static void write_pairs(struct buffer *out, struct cursor *c, enum field field)
{
    bool first = true;

    buffer_byte(out, '{');
    while (is_at(c, field)) {
        comma_unless(out, &first);
        write_key(out, c->entry.key);
        write_values(out, c, field);
    }
    buffer_byte(out, '}');
}

static void write_objects(struct buffer *out, struct cursor *c, enum field field)
{
    bool first = true;

    buffer_byte(out, '[');
    for (; is_at(c, field); advance(c)) {
        bool begins = bytes_equal(c->entry.key, BYTES("url"));

        if (begins && !first)
            buffer_byte(out, '}');
        comma_unless(out, &first);
        if (begins)
            buffer_byte(out, '{');
        write_key(out, c->entry.key);
        json_write_string(out, c->entry.value);
    }
    buffer_text(out, first ? "]" : "}]");
}

void record_write_fields(struct buffer *out, field_set asked, struct bytes packed)
{
    struct cursor c = {.rest = packed};

    advance(&c);
    for (unsigned i = FIELD_TITLE + 1; i < FIELD_COUNT; i++) {
        enum field field = (enum field)i;

        if (!(asked & FIELD_BIT(field)))
            continue;
        buffer_byte(out, ',');
        write_key(out, bytes_cstr(field_name(field)));
        switch (field_kind(field)) {
        case FIELD_TEXT:
        case FIELD_URL:
            write_one(out, &c, field);
            break;
        case FIELD_TEXTS:
        case FIELD_URLS:
        case FIELD_JSON:
            write_array(out, &c, field);
            break;
        case FIELD_PAIRS:
            write_pairs(out, &c, field);
            break;
        case FIELD_OBJECTS:
            write_objects(out, &c, field);
            break;
        }
    }
}
