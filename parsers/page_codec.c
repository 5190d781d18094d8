#include "parsers/page_codec.h"

#include "core/base/utf8.h"

#include <assert.h>
#include <errno.h>

static_assert(PAGE_REPLY_HEADER + (int)TITLE_MAX + (int)PAGE_MESSAGE_MAX + (int)FIELDS_MAX <=
                  PAGE_REPLY_MAX,
              "the largest reply fits");
static_assert((int)TITLE_MAX <= UINT16_MAX && PAGE_MESSAGE_MAX <= UINT16_MAX, "lengths are u16");

enum {
    ASK_IS_PREFIX = 1 << 0,
    ASK_PARSE_ALL = 1 << 1,
    ASKS_KNOWN = ASK_IS_PREFIX | ASK_PARSE_ALL,
};

enum {
    FLAG_HAS_TITLE = 1 << 0,
    FLAG_TITLE_TRUNCATED = 1 << 1,
    FLAG_BODY_TRUNCATED = 1 << 2,
    FLAG_SETTLED = 1 << 3,
    FLAG_FROM_PREFIX = 1 << 4,
    FLAG_TRUNCATED = 1 << 5,
    FLAGS_KNOWN = FLAG_HAS_TITLE | FLAG_TITLE_TRUNCATED | FLAG_BODY_TRUNCATED | FLAG_SETTLED |
                  FLAG_FROM_PREFIX | FLAG_TRUNCATED,
};

/* -- writing: the caller has made sure of the room -----------------------------------------------
 */

static void put_unsigned(char **at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        *(*at)++ = (char)(unsigned char)(value >> 8 * i);
}

static void put_bytes(char **at, struct bytes b)
{
    if (b.len > 0)
        memcpy(*at, b.ptr, b.len);
    *at += b.len;
}

/* -- reading: sticky failure, checked once at the end --------------------------------------------
 */

struct reader {
    struct bytes rest;
    bool failed;
};

static struct bytes get_bytes(struct reader *r, uint64_t len)
{
    if (r->failed || len > r->rest.len) {
        r->failed = true;
        return (struct bytes){0};
    }
    struct bytes b = bytes_of(r->rest.ptr, (size_t)len);
    if (len > 0)
        r->rest = bytes_of(r->rest.ptr + len, r->rest.len - (size_t)len);
    return b;
}

static uint64_t get_unsigned(struct reader *r, size_t bytes)
{
    struct bytes b = get_bytes(r, bytes);
    uint64_t value = 0;

    for (size_t i = 0; i < b.len; i++)
        value |= (uint64_t)(unsigned char)b.ptr[i] << 8 * i;
    return value;
}

/* All was there, and nothing is left over. */
static bool reader_done(const struct reader *r)
{
    return !r->failed && r->rest.len == 0;
}

/* -- requests ------------------------------------------------------------------------------------
 */

static struct bytes field_cut(struct bytes field)
{
    return bytes_of(field.ptr, field.len < PAGE_FIELD_MAX ? field.len : PAGE_FIELD_MAX);
}

/* Half a URL is another one. */
static struct bytes whole_url(struct bytes url)
{
    return url.len <= PAGE_URL_MAX ? url : bytes_of(NULL, 0);
}

size_t page_request_size(const struct page_request *request)
{
    return PAGE_REQUEST_HEADER + field_cut(request->content_encoding).len +
           field_cut(request->content_type).len + whole_url(request->url).len + request->body.len;
}

size_t page_request_pack(const struct page_request *request, char *slot, size_t cap)
{
    struct bytes encoding = field_cut(request->content_encoding);
    struct bytes type = field_cut(request->content_type);
    struct bytes url = whole_url(request->url);
    unsigned asks =
        (request->is_prefix ? ASK_IS_PREFIX : 0u) | (request->parse_all ? ASK_PARSE_ALL : 0u);
    char *at = slot;

    if (request->body.len > cap || page_request_size(request) > cap)
        return 0;
    put_unsigned(&at, PAGE_CODEC_VERSION, 1);
    put_unsigned(&at, asks, 1);
    put_unsigned(&at, request->max_decoded_bytes, 8);
    put_unsigned(&at, request->max_ratio, 4);
    put_unsigned(&at, page_request_fields(request), 4);
    put_unsigned(&at, encoding.len, 4);
    put_unsigned(&at, type.len, 4);
    put_unsigned(&at, url.len, 4);
    put_unsigned(&at, request->body.len, 8);
    assert(at == slot + PAGE_REQUEST_HEADER);
    put_bytes(&at, encoding);
    put_bytes(&at, type);
    put_bytes(&at, url);
    put_bytes(&at, request->body);
    return (size_t)(at - slot);
}

int page_request_unpack(struct bytes message, struct page_request *ret)
{
    struct reader r = {.rest = message};
    struct page_request request = {0};
    uint64_t version = get_unsigned(&r, 1);
    uint64_t asks = get_unsigned(&r, 1);

    request.max_decoded_bytes = get_unsigned(&r, 8);
    request.max_ratio = (uint32_t)get_unsigned(&r, 4);
    request.fields = (field_set)get_unsigned(&r, 4);
    uint64_t encoding_len = get_unsigned(&r, 4);
    uint64_t type_len = get_unsigned(&r, 4);
    uint64_t url_len = get_unsigned(&r, 4);
    uint64_t body_len = get_unsigned(&r, 8);
    request.content_encoding = get_bytes(&r, encoding_len);
    request.content_type = get_bytes(&r, type_len);
    request.url = get_bytes(&r, url_len);
    request.body = get_bytes(&r, body_len);
    request.is_prefix = asks & ASK_IS_PREFIX;
    request.parse_all = asks & ASK_PARSE_ALL;

    if (!reader_done(&r) || version != PAGE_CODEC_VERSION || (asks & ~(uint64_t)ASKS_KNOWN) ||
        !request.fields || (request.fields & ~FIELDS_ALL) || encoding_len > PAGE_FIELD_MAX ||
        type_len > PAGE_FIELD_MAX || url_len > PAGE_URL_MAX)
        return -EBADMSG;
    *ret = request;
    return 0;
}

/* -- replies -------------------------------------------------------------------------------------
 */

size_t page_reply_pack(const struct page_facts *facts, char *buf, size_t cap)
{
    unsigned flags =
        (facts->has_title ? FLAG_HAS_TITLE : 0u) |
        (facts->title_truncated ? FLAG_TITLE_TRUNCATED : 0u) |
        (facts->body_truncated ? FLAG_BODY_TRUNCATED : 0u) | (facts->settled ? FLAG_SETTLED : 0u) |
        (facts->from_prefix ? FLAG_FROM_PREFIX : 0u) | (facts->truncated ? FLAG_TRUNCATED : 0u);
    char *at = buf;

    if (facts->title.len > TITLE_MAX || facts->message.len > PAGE_MESSAGE_MAX ||
        facts->fields.len > FIELDS_MAX ||
        PAGE_REPLY_HEADER + facts->title.len + facts->message.len + facts->fields.len > cap)
        return 0;
    put_unsigned(&at, PAGE_CODEC_VERSION, 1);
    put_unsigned(&at, facts->error, 1);
    put_unsigned(&at, flags, 1);
    put_unsigned(&at, facts->charset, 1);
    put_unsigned(&at, facts->decoded_bytes, 8);
    put_unsigned(&at, facts->title.len, 2);
    put_unsigned(&at, facts->message.len, 2);
    put_unsigned(&at, facts->fields.len, 4);
    assert(at == buf + PAGE_REPLY_HEADER);
    put_bytes(&at, facts->title);
    put_bytes(&at, facts->message);
    put_bytes(&at, facts->fields);
    return (size_t)(at - buf);
}

/* As title_find() leaves it: white space stripped and collapsed; gumbo gives no NUL. */
static bool is_title(struct bytes title)
{
    bool space = true; /* at the start none may stand */

    for (size_t i = 0; i < title.len; i++) {
        bool is_space = ascii_is_space(title.ptr[i]);
        if ((is_space && (space || title.ptr[i] != ' ')) || title.ptr[i] == '\0')
            return false;
        space = is_space;
    }
    return (title.len == 0 || !space) && utf8_valid(title);
}

static bool is_message(struct bytes message)
{
    for (size_t i = 0; i < message.len; i++)
        if (message.ptr[i] < 0x20 || message.ptr[i] > 0x7e)
            return false;
    return true;
}

/* Nothing that only a page that was read can have. */
static bool tells_nothing(const struct page_facts *f)
{
    return !f->from_prefix && !f->truncated && !f->has_title && !f->title_truncated &&
           !f->body_truncated && f->title.len == 0 && f->fields.len == 0 &&
           f->charset == CHARSET_NONE && f->decoded_bytes == 0;
}

/* Facts that contradict each other show a reply to be forged. */
static bool is_consistent(const struct page_facts *f)
{
    if (f->error != PAGE_OK)
        return f->settled && f->message.len > 0 && tells_nothing(f);
    if (f->message.len > 0 || (!f->settled && !tells_nothing(f)))
        return false;
    if (f->charset == CHARSET_NONE && (f->from_prefix || f->has_title || f->fields.len > 0))
        return false;
    return f->has_title || (f->title.len == 0 && !f->title_truncated);
}

int page_reply_unpack(struct bytes message, struct page_facts *ret)
{
    struct reader r = {.rest = message};
    struct page_facts facts = {0};
    uint64_t version = get_unsigned(&r, 1);
    uint64_t error = get_unsigned(&r, 1);
    uint64_t flags = get_unsigned(&r, 1);
    uint64_t charset = get_unsigned(&r, 1);

    facts.decoded_bytes = get_unsigned(&r, 8);
    uint64_t title_len = get_unsigned(&r, 2);
    uint64_t message_len = get_unsigned(&r, 2);
    uint64_t fields_len = get_unsigned(&r, 4);
    facts.title = get_bytes(&r, title_len);
    facts.message = get_bytes(&r, message_len);
    facts.fields = get_bytes(&r, fields_len);

    if (!reader_done(&r) || version != PAGE_CODEC_VERSION || error >= PAGE_ERROR_COUNT ||
        (flags & ~(uint64_t)FLAGS_KNOWN) || charset >= CHARSET_COUNT || title_len > TITLE_MAX ||
        message_len > PAGE_MESSAGE_MAX || fields_len > FIELDS_MAX)
        return -EBADMSG;

    facts.error = (enum page_error)error;
    facts.charset = (enum charset)charset;
    facts.has_title = flags & FLAG_HAS_TITLE;
    facts.title_truncated = flags & FLAG_TITLE_TRUNCATED;
    facts.body_truncated = flags & FLAG_BODY_TRUNCATED;
    facts.settled = flags & FLAG_SETTLED;
    facts.from_prefix = flags & FLAG_FROM_PREFIX;
    facts.truncated = flags & FLAG_TRUNCATED;
    if (!is_title(facts.title) || !is_message(facts.message) || !is_consistent(&facts) ||
        !fields_are_valid(facts.fields, FIELDS_ALL))
        return -EBADMSG;
    *ret = facts;
    return 0;
}

bool page_reply_answers(const struct page_facts *facts, const struct page_request *request)
{
    field_set asked = page_request_fields(request);
    struct bytes rest = facts->fields;
    struct field_entry e;

    while (fields_next(&rest, &e))
        if (!(asked & FIELD_BIT(e.field)))
            return false;
    return (!facts->has_title || (asked & FIELD_BIT(FIELD_TITLE))) &&
           (facts->settled || request->is_prefix) && (!facts->from_prefix || !request->parse_all);
}
