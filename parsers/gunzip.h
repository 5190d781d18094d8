/*
 * gzip decoded at once, by libdeflate: three times as quick as zlib, but for what is there as a
 * whole and undamaged alone. decode.h has the rest.
 */
#ifndef SKIMD_PARSERS_GUNZIP_H
#define SKIMD_PARSERS_GUNZIP_H

#include "core/base/bytes.h"

enum { GUNZIP_LEN_MAX = 2 << 20 }; /* decoded bytes: few pages have more, and it takes 2 ms */

struct libdeflate_decompressor;

/* NULL when memory is exhausted; destroy takes NULL. One thread. */
struct libdeflate_decompressor *gunzip_create(void);
void gunzip_destroy(struct libdeflate_decompressor *g);

/* What the trailer of a gzip says is its decoded length; 0 where that is no use. */
size_t gunzip_len(struct bytes gzip);

/*
 * Decodes a gzip of one member to `buf`. False where it is anything else, does not come to exactly
 * `len` bytes, or its checksum is wrong; `buf` may have been written to. Allocates nothing.
 */
bool gunzip_whole(struct libdeflate_decompressor *g, struct bytes gzip, char *buf, size_t len);

#endif
