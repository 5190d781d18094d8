/*
 * Small files that are read whole: tokens, certificates, keys. Blocks: not on the loop thread.
 */
#ifndef SKIMD_SERVER_FILE_H
#define SKIMD_SERVER_FILE_H

#include "core/base/buffer.h"

/*
 * Reads all of `path` into `*ret`, which file_forget() frees. 0, or a negative errno with `*ret`
 * untouched: -EFBIG when there are more than `most` bytes, else what open(2) or read(2) had to say.
 */
int file_read(const char *path, size_t most, struct buffer *ret);

/* Overwrites what was read, then frees it: what was secret is nowhere in memory afterwards. */
void file_forget(struct buffer *content);

#endif
