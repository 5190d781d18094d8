/*
 * How much may be under way: so many batches in the whole daemon, and for one token so many batches
 * and so many URLs in all of them that have no record yet. Where no tokens are asked for there are
 * no quotas for them. Loop thread.
 */
#ifndef SKIMD_SERVER_BATCH_QUOTA_H
#define SKIMD_SERVER_BATCH_QUOTA_H

#include "server/access/access.h"
#include "server/batch/batch.h"
#include "server/problem.h"

struct batch;

/*
 * True when the account may begin one more batch; else a 503 where the daemon has no room for
 * anybody's, or a 429. Both say when to try again.
 */
bool quota_allows_batch(const struct batches *all, const struct account *account,
                        struct problem *ret_problem);

/*
 * True when the URLs of `b`, whose intake has ended, may be begun beside those that its account has
 * under way. Else a 429, or a 413 where they are too many by themselves.
 */
bool quota_allows_urls(const struct batch *b, struct problem *ret_problem);

#endif
