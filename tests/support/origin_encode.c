/*
 * The test origin's compressed bodies.
 */
#include "tests/support/origin_answer.h"

#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

enum {
    BOMB_BLOCK_BYTES = 1024 * 1024,
    BOMB_BLOCKS = 256,
};

/*
 * Appends `plain` as one run of zlib's output. `flush` is Z_FINISH for a whole stream, or
 * Z_FULL_FLUSH for blocks that end on a byte boundary and refer to nothing in front of them.
 */
static void deflate_into(struct buffer *out, struct bytes plain, enum encoding encoding, int flush)
{
    z_stream z = {.next_in = (const Bytef *)plain.ptr, .avail_in = (uInt)plain.len};
    enum { MEMORY_LEVEL = 8 };

    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, encoding, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        out->failed = true;
        return;
    }
    /* deflateBound() covers one Z_FINISH; the room to spare is for the flush marker. */
    size_t room = deflateBound(&z, plain.len) + 64;
    if (buffer_reserve(out, room)) {
        z.next_out = (Bytef *)out->ptr + out->len;
        z.avail_out = (uInt)room;
        int result = deflate(&z, flush);
        if (result == (flush == Z_FINISH ? Z_STREAM_END : Z_OK) && z.avail_in == 0)
            out->len += room - z.avail_out;
        else
            out->failed = true;
    }
    deflateEnd(&z);
}

void encode(struct buffer *out, struct bytes plain, enum encoding encoding)
{
    deflate_into(out, plain, encoding, Z_FINISH);
}

static void append_le32(struct buffer *out, uint32_t n)
{
    for (int shift = 0; shift < 32; shift += 8)
        buffer_byte(out, (char)(n >> shift & 0xff));
}

/*
 * Compressing 256 MiB takes a second or more, and each test process would pay it. One fully
 * flushed block of zeros can stand behind itself as often as one likes, so only 1 MiB is
 * compressed, and the checksum is combined instead of computed.
 */
void encode_bomb(struct buffer *out)
{
    static const unsigned char header[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3}; /* RFC 1952 2.3 */
    static const unsigned char last_block[] = {0x03, 0x00}; /* RFC 1951 3.2.6: empty and final */
    struct buffer block = {0};
    char *zeros = calloc(1, BOMB_BLOCK_BYTES);

    if (!zeros) {
        out->failed = true;
        return;
    }
    uLong block_crc = crc32(0, (const Bytef *)zeros, BOMB_BLOCK_BYTES);
    uLong crc = crc32(0, NULL, 0);
    deflate_into(&block, bytes_of(zeros, BOMB_BLOCK_BYTES), ENCODING_RAW_DEFLATE, Z_FULL_FLUSH);
    free(zeros);

    buffer_append(out, header, sizeof header);
    for (int i = 0; i < BOMB_BLOCKS; i++) {
        buffer_append(out, block.ptr, block.len);
        crc = crc32_combine(crc, block_crc, BOMB_BLOCK_BYTES);
    }
    buffer_append(out, last_block, sizeof last_block);
    append_le32(out, (uint32_t)crc);
    append_le32(out, (uint32_t)BOMB_BLOCK_BYTES * BOMB_BLOCKS);
    out->failed |= block.failed;
    buffer_free(&block);
}
