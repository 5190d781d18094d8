#define ZLIB_CONST /* z_stream.next_in points to const */

#include "parsers/decode.h"

#include "core/base/clock.h"
#include "parsers/gunzip.h"

#include <brotli/decode.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    STEP_INPUT = 64 << 10, /* input given to a library at once, which bounds the time of a step */
    ZLIB_WINDOW = MAX_WBITS,
    ZLIB_GZIP = 16 + MAX_WBITS,
    ZLIB_RAW = -MAX_WBITS,
};

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_BR, CODING_ZSTD };

static const struct {
    struct bytes name;
    enum coding coding;
} codings[] = {
    {{"gzip", 4}, CODING_GZIP},
    {{"x-gzip", 6}, CODING_GZIP},
    {{"deflate", 7}, CODING_DEFLATE},
    {{"x-deflate", 9}, CODING_DEFLATE},
    {{"br", 2}, CODING_BR},
    {{"zstd", 4}, CODING_ZSTD},
    {{"identity", 8}, CODING_IDENTITY},
    /* No codings at all, but servers say so of plain bodies; browsers take no notice. */
    {{"none", 4}, CODING_IDENTITY},
    {{"utf-8", 5}, CODING_IDENTITY},
    {{"binary", 6}, CODING_IDENTITY},
};

/*
 * One coding being undone. Stage 0 reads the body, each other one its predecessor:
 *
 *     body ──▶ stage 0 ──buffer──▶ stage 1 ──▶ caller        Content-Encoding: gzip, br
 *                br                  gzip
 */
struct stage {
    enum coding coding;
    struct bytes name; /* as the header has it */
    struct bytes in;   /* what is there to read */
    bool in_ended;     /* nothing comes behind `in` */
    bool at_start;     /* of a stream, member or frame */
    bool complete;     /* a whole stream came out: what follows may be garbage */
    bool ended;
    uint64_t out; /* decoded bytes so far */

    /* Kept from body to body. */
    z_stream zlib;
    bool zlib_ready;
    ZSTD_DCtx *zstd;

    BrotliDecoderState *brotli; /* of this body: the library cannot reset one */

    char buffer[DECODE_CHUNK]; /* `in` of a stage other than the first */
};

struct decoder {
    struct decode_limits limits;
    size_t received; /* length of the body */
    int error;       /* sticky */
    bool cut;
    struct bytes blamed;
    size_t stage_count;
    struct bytes plain; /* the rest of a body without codings */
    struct bytes body, content_encoding;
    bool not_whole; /* decoder_read_whole() failed */
    struct libdeflate_decompressor *gunzip;
    struct stage stages[DECODE_CODINGS_MAX];
};

struct decoder *decoder_create(void)
{
    struct decoder *d = calloc(1, sizeof *d);

    if (d && !(d->gunzip = gunzip_create())) {
        free(d);
        d = NULL;
    }
    return d;
}

/* Gives back what belongs to a single body. */
static void forget_body(struct decoder *d)
{
    for (size_t i = 0; i < DECODE_CODINGS_MAX; i++) {
        BrotliDecoderDestroyInstance(d->stages[i].brotli);
        d->stages[i].brotli = NULL;
    }
    d->stage_count = 0;
    d->plain = (struct bytes){0};
    d->blamed = (struct bytes){0};
    d->error = 0;
    d->cut = false;
    d->not_whole = false;
}

void decoder_destroy(struct decoder *d)
{
    if (!d)
        return;
    forget_body(d);
    for (size_t i = 0; i < DECODE_CODINGS_MAX; i++) {
        if (d->stages[i].zlib_ready)
            inflateEnd(&d->stages[i].zlib);
        ZSTD_freeDCtx(d->stages[i].zstd);
    }
    gunzip_destroy(d->gunzip);
    free(d);
}

static bool coding_by_name(struct bytes name, enum coding *ret)
{
    for (size_t i = 0; i < sizeof codings / sizeof codings[0]; i++) {
        if (bytes_equal_nocase(name, codings[i].name)) {
            *ret = codings[i].coding;
            return true;
        }
    }
    return false;
}

/* Makes the zlib context ready for a new stream or member. */
static int zlib_start(struct stage *s, int window_bits)
{
    int rc;

    if (s->zlib_ready)
        rc = inflateReset2(&s->zlib, window_bits);
    else
        rc = inflateInit2(&s->zlib, window_bits);
    if (rc != Z_OK)
        return -ENOMEM;
    s->zlib_ready = true;
    /* As in browsers, a wrong checksum does not take back a page that was readable. */
    inflateValidate(&s->zlib, 0);
    return 0;
}

static int stage_open(struct stage *s)
{
    switch (s->coding) {
    case CODING_IDENTITY:
        return 0;
    case CODING_GZIP:
    case CODING_DEFLATE:
        return zlib_start(s, ZLIB_GZIP); /* deflate is told apart at its first bytes */
    case CODING_BR:
        s->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
        return s->brotli ? 0 : -ENOMEM;
    case CODING_ZSTD:
        if (!s->zstd && !(s->zstd = ZSTD_createDCtx()))
            return -ENOMEM;
        ZSTD_DCtx_reset(s->zstd, ZSTD_reset_session_only);
        ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, DECODE_ZSTD_WINDOW_LOG_MAX);
        return 0;
    }
    return -EINVAL;
}

/* Reads the header into d->stages, the coding that was applied last first. */
static int plan(struct decoder *d, struct bytes content_encoding)
{
    struct {
        struct bytes name;
        enum coding coding;
    } found[DECODE_CODINGS_MAX];
    size_t count = 0;

    while (content_encoding.ptr) {
        struct bytes name = bytes_trim(bytes_split(&content_encoding, ','));
        enum coding coding = CODING_IDENTITY;

        if (name.len == 0)
            continue;
        if (!coding_by_name(name, &coding) ||
            (coding != CODING_IDENTITY && count == DECODE_CODINGS_MAX)) {
            d->blamed = name;
            return -EPROTONOSUPPORT;
        }
        if (coding != CODING_IDENTITY) {
            found[count].name = name;
            found[count++].coding = coding;
        }
    }

    for (size_t i = 0; i < count; i++) {
        struct stage *s = &d->stages[i];

        s->coding = found[count - 1 - i].coding;
        s->name = found[count - 1 - i].name;
        s->in = (struct bytes){0};
        s->in_ended = s->complete = s->ended = false;
        s->at_start = true;
        s->out = 0;
        int rc = stage_open(s);
        if (rc < 0)
            return rc;
    }
    d->stage_count = count;
    return 0;
}

int decoder_begin(struct decoder *d, struct bytes body, struct bytes content_encoding,
                  const struct decode_limits *limits)
{
    forget_body(d);
    d->limits = *limits;
    d->received = body.len;
    d->body = body;
    d->content_encoding = content_encoding;

    int rc = plan(d, content_encoding);
    if (rc < 0)
        return rc;
    if (d->stage_count > 0) {
        d->stages[0].in = body;
        d->stages[0].in_ended = true;
    } else {
        d->plain = body;
    }
    return 0;
}

/*
 * What one step of a library did. `data` points to at most STEP_INPUT bytes of the stage's input;
 * both lengths are changed to what was used of them.
 */
struct step {
    const char *in;
    size_t in_len;
    char *out;
    size_t out_len;
};

static int zlib_step(struct stage *s, struct step *step)
{
    z_stream *z = &s->zlib;

    z->next_in = (const Bytef *)step->in;
    z->avail_in = (uInt)step->in_len;
    z->next_out = (Bytef *)step->out;
    z->avail_out = (uInt)step->out_len;
    int rc = inflate(z, Z_NO_FLUSH);
    step->in_len -= z->avail_in;
    step->out_len -= z->avail_out;

    switch (rc) {
    case Z_STREAM_END:
        s->complete = true;
        s->at_start = true;
        s->ended = s->coding == CODING_DEFLATE;
        return 0;
    case Z_OK:
    case Z_BUF_ERROR: /* needs more input */
        return 0;
    case Z_MEM_ERROR:
        return -ENOMEM;
    default:
        return -EILSEQ;
    }
}

static int brotli_step(struct stage *s, struct step *step)
{
    size_t in_left = step->in_len, out_left = step->out_len;
    const uint8_t *in = (const uint8_t *)step->in;
    uint8_t *out = (uint8_t *)step->out;
    BrotliDecoderResult rc =
        BrotliDecoderDecompressStream(s->brotli, &in_left, &in, &out_left, &out, NULL);

    step->in_len -= in_left;
    step->out_len -= out_left;
    switch (rc) {
    case BROTLI_DECODER_RESULT_SUCCESS:
        s->complete = s->ended = true;
        return 0;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
        return 0;
    case BROTLI_DECODER_RESULT_ERROR:
        break;
    }

    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(s->brotli);
    bool memory = code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                  code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES;
    return memory ? -ENOMEM : -EILSEQ;
}

static int zstd_step(struct stage *s, struct step *step)
{
    ZSTD_inBuffer in = {step->in, step->in_len, 0};
    ZSTD_outBuffer out = {step->out, step->out_len, 0};
    size_t rc = ZSTD_decompressStream(s->zstd, &out, &in);

    step->in_len = in.pos;
    step->out_len = out.pos;
    if (ZSTD_isError(rc))
        return ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation ? -ENOMEM : -EILSEQ;
    if (rc == 0)
        s->complete = s->at_start = true;
    return 0;
}

static int stage_read(struct decoder *d, size_t index, char *buf, size_t cap, size_t *ret_len);

/* Sees to it that stage `index` has `want` bytes of input, or its input has ended. */
static int stage_fill(struct decoder *d, size_t index, size_t want)
{
    struct stage *s = &d->stages[index];

    while (s->in.len < want && !s->in_ended) {
        size_t got = 0;

        if (s->in.len > 0)
            memmove(s->buffer, s->in.ptr, s->in.len);
        int rc =
            stage_read(d, index - 1, s->buffer + s->in.len, sizeof s->buffer - s->in.len, &got);
        if (rc < 0)
            return rc;
        s->in = bytes_of(s->buffer, s->in.len + got);
        s->in_ended = got == 0;
    }
    return 0;
}

static bool starts_with(struct bytes b, const char *magic, size_t len)
{
    return b.len >= len && memcmp(b.ptr, magic, len) == 0;
}

/* A zlib header: CM 8, a window of at most 32 KiB, no dictionary, FCHECK (RFC 1950 section 2.2). */
static bool is_zlib_header(struct bytes b)
{
    if (b.len < 2)
        return false;
    unsigned cmf = (unsigned char)b.ptr[0], flg = (unsigned char)b.ptr[1];
    return (cmf & 0x0f) == 8 && cmf >> 4 <= 7 && !(flg & 0x20) && (cmf << 8 | flg) % 31 == 0;
}

/* The magic number of a zstd frame or of a skippable one (RFC 8878 sections 3.1.1, 3.1.2). */
static bool is_zstd_frame(struct bytes b)
{
    return starts_with(b, "\x28\xb5\x2f\xfd", 4) ||
           (b.len >= 4 && (b.ptr[0] & 0xf0) == 0x50 && memcmp(b.ptr + 1, "\x2a\x4d\x18", 3) == 0);
}

/* At the start of a stream, member or frame: opens it, or ends the stage when nothing follows. */
static int stage_start(struct decoder *d, size_t index)
{
    struct stage *s = &d->stages[index];
    int rc = stage_fill(d, index, 4);

    if (rc < 0)
        return rc;
    if (s->in.len == 0) {
        /* An empty body is a page without content, whatever its header promised. */
        s->ended = true;
        d->cut = d->cut || (!s->complete && d->received > 0);
        return 0;
    }
    s->at_start = false;
    if (s->coding == CODING_DEFLATE)
        return zlib_start(s, is_zlib_header(s->in) ? ZLIB_WINDOW : ZLIB_RAW);
    if (!s->complete)
        return 0;
    if (s->coding == CODING_GZIP && starts_with(s->in, "\x1f\x8b\x08", 3))
        return zlib_start(s, ZLIB_GZIP);
    s->ended = !(s->coding == CODING_ZSTD && is_zstd_frame(s->in));
    return 0;
}

/* Holds a number of decoded bytes against the limits. */
static int within_limits(const struct decoder *d, uint64_t out)
{
    if (out > d->limits.max_bytes)
        return -EFBIG;
    if (d->limits.max_ratio > 0 && out > DECODE_RATIO_FREE &&
        out / d->limits.max_ratio > d->received)
        return -EOVERFLOW;
    return 0;
}

/* One step of stage `index` into buf; `*ret_len` may be 0 without the stage having ended. */
static int stage_step(struct decoder *d, size_t index, char *buf, size_t cap, size_t *ret_len)
{
    struct stage *s = &d->stages[index];
    struct step step = {.out = buf, .out_len = cap < DECODE_CHUNK ? cap : DECODE_CHUNK};
    int rc = stage_fill(d, index, 1);

    if (rc < 0)
        return rc;
    step.in = s->in.ptr;
    step.in_len = s->in.len < STEP_INPUT ? s->in.len : STEP_INPUT;
    bool no_more = s->in.len == 0;

    switch (s->coding) {
    case CODING_IDENTITY:
        return -EINVAL;
    case CODING_GZIP:
    case CODING_DEFLATE:
        rc = zlib_step(s, &step);
        break;
    case CODING_BR:
        rc = brotli_step(s, &step);
        break;
    case CODING_ZSTD:
        rc = zstd_step(s, &step);
        break;
    }
    if (step.in_len > 0) {
        s->in.ptr += step.in_len;
        s->in.len -= step.in_len;
    }
    s->out += step.out_len;

    bool stuck = no_more && step.out_len == 0 && !s->ended && !s->at_start;
    if (stuck || (rc == -EILSEQ && (s->complete || s->out > DECODE_CHUNK))) {
        d->cut = s->ended = true;
        rc = 0;
    }
    if (rc == 0)
        rc = within_limits(d, s->out);
    if (rc < 0)
        d->blamed = s->name;
    else
        *ret_len = step.out_len;
    return rc;
}

/* Reads 1..cap bytes of stage `index`'s output, or 0 at its end. Recurses once per coding. */
static int stage_read(struct decoder *d, size_t index, char *buf, size_t cap, size_t *ret_len)
{
    struct stage *s = &d->stages[index];
    size_t len = 0;
    int rc = 0;

    while (rc == 0 && len == 0 && !s->ended) {
        if (s->at_start)
            rc = stage_start(d, index);
        else if (d->limits.deadline_ns != CLOCK_NEVER && clock_now_ns() >= d->limits.deadline_ns)
            rc = -ETIMEDOUT;
        else
            rc = stage_step(d, index, buf, cap, &len);
    }
    if (rc == 0)
        *ret_len = len;
    return rc;
}

static int plain_read(struct decoder *d, char *buf, size_t cap, size_t *ret_len)
{
    size_t len = d->plain.len < cap ? d->plain.len : cap;

    if (d->received > d->limits.max_bytes)
        return -EFBIG;
    if (len > 0) {
        memcpy(buf, d->plain.ptr, len);
        d->plain.ptr += len;
        d->plain.len -= len;
    }
    *ret_len = len;
    return 0;
}

int decoder_read(struct decoder *d, char *buf, size_t cap, size_t *ret_len)
{
    size_t len = 0;

    if (d->error < 0)
        return d->error;
    d->error = d->stage_count > 0 ? stage_read(d, d->stage_count - 1, buf, cap, &len)
                                  : plain_read(d, buf, cap, &len);
    if (d->error < 0)
        return d->error;
    *ret_len = len;
    return 0;
}

size_t decoder_whole_len(const struct decoder *d)
{
    if (d->not_whole || d->stage_count != 1 || d->stages[0].coding != CODING_GZIP || d->error < 0)
        return 0;
    size_t len = gunzip_len(d->body);
    return within_limits(d, len) == 0 ? len : 0;
}

bool decoder_read_whole(struct decoder *d, char *buf, size_t len)
{
    const struct decode_limits limits = d->limits;

    if (gunzip_whole(d->gunzip, d->body, buf, len)) {
        d->stages[0].ended = true;
        return true;
    }
    int rc = decoder_begin(d, d->body, d->content_encoding, &limits);
    d->error = rc;
    d->not_whole = true;
    return false;
}

bool decoder_cut(const struct decoder *d)
{
    return d->cut;
}

bool decoder_is_identity(const struct decoder *d)
{
    return d->stage_count == 0 && d->error == 0;
}

struct bytes decoder_coding(const struct decoder *d)
{
    return d->blamed;
}
