/*
 * A set of bearer tokens (RFC 6750). Only their SHA-256 hashes are kept, so whoever sees the
 * daemon's memory has no token that could be sent. A token is compared with all of them, in a time
 * that tells neither which one it resembles nor how much.
 *
 * Pure; any thread, a set by one at a time.
 */
#ifndef SKIMD_SERVER_ACCESS_TOKEN_H
#define SKIMD_SERVER_ACCESS_TOKEN_H

#include "core/base/bytes.h"

#include <stdint.h>
#include <sys/types.h>

enum {
    TOKEN_SHORTEST = 16, /* characters; what is shorter can be guessed */
    TOKEN_LONGEST = 512,
    TOKENS_MOST = 4096, /* in a set, all of which every request is compared with */
    TOKEN_HASH_SIZE = 32,
};

/* What a token must be like, for messages. */
#define TOKEN_RULE "16 to 512 characters of A-Z a-z 0-9 - . _ ~ + / and = at the end"

struct token_hash {
    uint8_t bytes[TOKEN_HASH_SIZE];
};

/* Zero-initialise. The hashes are in ascending order, each of them once. */
struct token_set {
    struct token_hash *hashes; /* owned */
    size_t count;
};

/* True for a b64token (RFC 6750 section 2.1) of a length that is allowed. */
bool token_valid(struct bytes token);

/*
 * Adds a token; one that is there already stays there once. 0, -EINVAL when it is not valid, -E2BIG
 * when the set is full, or -ENOMEM.
 */
int token_set_add(struct token_set *set, struct bytes token);

/* The same for a token of which only the hash is known. */
int token_set_add_hash(struct token_set *set, const struct token_hash *hash);

/*
 * Adds the tokens of a text, one a line; blank lines and those that begin with # are skipped, white
 * space around a token too. 0, or as token_set_add() for the line `*ret_line` (from 1); those
 * before it were added then.
 */
int token_set_add_lines(struct token_set *set, struct bytes text, size_t *ret_line);

/* The place of a token in `hashes`, or -ENOENT. */
ssize_t token_set_find(const struct token_set *set, struct bytes token);

/* How two hashes are ordered, as memcmp has it. Not in constant time. */
int token_hash_compare(const struct token_hash *a, const struct token_hash *b);

/* Frees what the set owns; it is empty afterwards. */
void token_set_free(struct token_set *set);

#endif
