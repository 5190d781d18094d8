#include "core/base/heap.h"

#include <malloc.h>

enum { ARENAS = 1, MMAP_THRESHOLD = 2 << 20, TRIM_THRESHOLD = 32 << 20 };

void heap_configure(void)
{
    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
}

void heap_trim(void)
{
    malloc_trim(0);
}
