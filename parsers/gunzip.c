#include "parsers/gunzip.h"

#include <libdeflate.h>
#include <stdint.h>

struct libdeflate_decompressor *gunzip_create(void)
{
    return libdeflate_alloc_decompressor();
}

void gunzip_destroy(struct libdeflate_decompressor *g)
{
    libdeflate_free_decompressor(g);
}

size_t gunzip_len(struct bytes gzip)
{
    enum { SHORTEST = 18, RATIO_MAX = 1032 /* of deflate */ };

    if (gzip.len < SHORTEST)
        return 0;
    /* RFC 1952 section 2.3.1: ISIZE, the last four bytes. */
    const unsigned char *p = (const unsigned char *)gzip.ptr + gzip.len - 4;
    size_t len = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    return len <= GUNZIP_LEN_MAX && len / RATIO_MAX <= gzip.len ? len : 0;
}

bool gunzip_whole(struct libdeflate_decompressor *g, struct bytes gzip, char *buf, size_t len)
{
    size_t read = 0, written = 0;

    return libdeflate_gzip_decompress_ex(g, gzip.ptr, gzip.len, buf, len, &read, &written) ==
               LIBDEFLATE_SUCCESS &&
           read == gzip.len && written == len;
}
