/*
 * The content coding of a robots.txt. It is asked for without one, but some servers send what they
 * have: with gzip. To read that as text would be to read nothing, and so to allow everything.
 *
 * The one place outside the workers where something is inflated: by zlib alone, and no more than is
 * read of a robots.txt. Pure; any thread.
 */
#ifndef SKIMD_FETCH_ROBOTS_CODING_H
#define SKIMD_FETCH_ROBOTS_CODING_H

#include "core/base/buffer.h"

/*
 * Undoes `coding`, a Content-Encoding: gzip or deflate (RFC 9110 section 8.4.1), once; "identity"
 * and none are undone already, and so is nothing. `*text` is the body, and becomes what it says:
 * what was inflated lies in `room`, which must be empty and is the caller's to free in any case.
 * That is at most ROBOTS_BYTES_MAX + 1 bytes, so that it can be seen that there is more; of a body
 * that `is_cut`, not all of which came, it is whole lines. Takes some 5 ms at most. 0, or with
 * `*text` as it was: -ENOTSUP   another coding, or several -EBADMSG   it is not what it says
 *     -ENOMEM
 */
int robots_decode(struct bytes coding, bool is_cut, struct bytes *text, struct buffer *room);

#endif
