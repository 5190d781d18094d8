#include "core/base/hash.h"

#include <pthread.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static unsigned char key[XXH3_SECRET_DEFAULT_SIZE];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_key(void)
{
    arc4random_buf(key, sizeof key);
}

uint64_t hash_keyed(const void *data, size_t length)
{
    pthread_once(&made, make_key);
    return XXH3_64bits_withSecret(data, length, key, sizeof key);
}
