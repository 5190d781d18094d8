#include "server/access/token.h"

#include <assert.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <stdlib.h>

static_assert(TOKEN_HASH_SIZE == SHA256_DIGEST_SIZE, "the hash is SHA-256");

static bool is_token_character(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != '\0' && strchr("-._~+/", c));
}

bool token_valid(struct bytes token)
{
    size_t end = token.len;

    if (token.len < TOKEN_SHORTEST || token.len > TOKEN_LONGEST)
        return false;
    while (end > 0 && token.ptr[end - 1] == '=')
        end--;
    for (size_t i = 0; i < end; i++)
        if (!is_token_character(token.ptr[i]))
            return false;
    return end > 0;
}

static struct token_hash hash_of(struct bytes token)
{
    struct sha256_ctx context;
    struct token_hash hash;

    sha256_init(&context);
    sha256_update(&context, token.len, (const uint8_t *)token.ptr);
    sha256_digest(&context, sizeof hash.bytes, hash.bytes);
    explicit_bzero(&context, sizeof context);
    return hash;
}

int token_hash_compare(const struct token_hash *a, const struct token_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

/* The first place whose hash is not less than `hash`. */
static size_t place_of(const struct token_set *set, const struct token_hash *hash)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (token_hash_compare(&set->hashes[middle], hash) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int token_set_add_hash(struct token_set *set, const struct token_hash *hash)
{
    size_t place = place_of(set, hash);

    if (place < set->count && token_hash_compare(&set->hashes[place], hash) == 0)
        return 0;
    if (set->count == TOKENS_MOST)
        return -E2BIG;
    struct token_hash *hashes = reallocarray(set->hashes, set->count + 1, sizeof *hashes);
    if (!hashes)
        return -ENOMEM;
    set->hashes = hashes;
    memmove(&hashes[place + 1], &hashes[place], (set->count - place) * sizeof *hashes);
    hashes[place] = *hash;
    set->count++;
    return 0;
}

int token_set_add(struct token_set *set, struct bytes token)
{
    if (!token_valid(token))
        return -EINVAL;

    struct token_hash hash = hash_of(token);
    return token_set_add_hash(set, &hash);
}

int token_set_add_lines(struct token_set *set, struct bytes text, size_t *ret_line)
{
    size_t line = 0;

    while (text.ptr) {
        struct bytes token = bytes_trim(bytes_split(&text, '\n'));

        line++;
        if (token.len == 0 || token.ptr[0] == '#')
            continue;
        int rc = token_set_add(set, token);
        if (rc < 0) {
            *ret_line = line;
            return rc;
        }
    }
    return 0;
}

/* 1 where the hashes are equal, else 0: by arithmetic alone, eight bytes at a time. */
static size_t equal(const struct token_hash *a, const struct token_hash *b)
{
    uint64_t difference = 0;

    for (size_t i = 0; i < TOKEN_HASH_SIZE; i += sizeof(uint64_t)) {
        uint64_t x, y;

        memcpy(&x, a->bytes + i, sizeof x);
        memcpy(&y, b->bytes + i, sizeof y);
        difference |= x ^ y;
    }
    return (size_t)(((difference | (0 - difference)) >> 63) ^ 1);
}

ssize_t token_set_find(const struct token_set *set, struct bytes token)
{
    struct token_hash hash = hash_of(token);
    size_t found = 0; /* its place, from 1 */

    /* No branch, and no early end: what is found must not show in the time. */
    for (size_t i = 0; i < set->count; i++)
        found |= (i + 1) & (0 - equal(&set->hashes[i], &hash));
    return found > 0 ? (ssize_t)found - 1 : -ENOENT;
}

void token_set_free(struct token_set *set)
{
    free(set->hashes);
    *set = (struct token_set){0};
}
