/*
 * Hashes for tables whose keys strangers choose: XXH3 with a key of this process, so that nobody
 * outside can make keys that collide. Any thread.
 */
#ifndef SKIMD_BASE_HASH_H
#define SKIMD_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_keyed(const void *data, size_t length);

/* For uthash: define HASH_FUNCTION as this before <uthash.h> is included. */
#define HASH_KEYED(key, length, ret_hash) ((ret_hash) = (unsigned)hash_keyed((key), (length)))

#endif
