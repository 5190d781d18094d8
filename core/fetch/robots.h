/*
 * robots.txt: the Robots Exclusion Protocol (RFC 9309), and Crawl-delay, which is no part of it.
 *
 * Pure; any thread. What is parsed is immutable.
 */
#ifndef SKIMD_FETCH_ROBOTS_H
#define SKIMD_FETCH_ROBOTS_H

#include "core/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct robots;

enum {
    /* RFC 9309 section 2.5 asks for 500 KiB at least; what stands behind is not read. */
    ROBOTS_BYTES_MAX = 500 << 10,
    /* No URL is longer (TARGET_URL_MAX); more of a path is not looked at. */
    ROBOTS_PATH_MAX = 8192
};

/*
 * Parses a robots.txt of any bytes: no text is an error (section 2.2), lines that make no sense are
 * passed over, a line that was cut at ROBOTS_BYTES_MAX too: give one byte more where there is more.
 * NULL only when memory is exhausted. Takes 8 ms at most.
 */
struct robots *robots_parse(struct bytes text);

/* NULL is fine. Returns NULL. */
struct robots *robots_free(struct robots *r);

/* Memory that it takes, in bytes: about as much as the text, 4 * ROBOTS_BYTES_MAX at most. */
size_t robots_size(const struct robots *r);

/*
 * Whether the crawler with this product token ("skimd"; section 2.2.1: compared without regard to
 * case, all groups that name it are one, "*" is for those whom no group names) may fetch `path`:
 * path and query of the URL as it is requested, beginning with "/". The longest match decides, and
 * "allow" where two are as long (section 2.2.2). "/robots.txt" itself is always allowed.
 *
 * Never allocates, and is linear in patterns and path. Files made to be slow, with tens of
 * thousands of wildcards for a path of kilobytes, are given up after some 40 ms and allow nothing.
 */
bool robots_allows(const struct robots *r, struct bytes product, struct bytes path);

/* The Crawl-delay of that crawler's group in ms (decimals are understood); 0: none. */
uint64_t robots_crawl_delay_ms(const struct robots *r, struct bytes product);

/*
 * The product token of a User-Agent value: "skimd" of "skimd/0.3 (+https://...)", and, where it
 * poses as a browser, "skimd" of "Mozilla/5.0 (compatible; skimd/0.3; https://...)". Borrowed; may
 * be empty, which no group names.
 */
struct bytes robots_product(struct bytes user_agent);

#endif
