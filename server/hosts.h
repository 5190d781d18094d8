/*
 * GET /v1/hosts/{host}: why the URLs of a host wait. Loop thread only.
 */
#ifndef SKIMD_SERVER_HOSTS_H
#define SKIMD_SERVER_HOSTS_H

#include "core/fetch/fetch.h"
#include "server/http/http.h"

/*
 * Answers `x`, whose path ends in the host's name or address (percent-encoding and the brackets of
 * IPv6 addresses are understood): its origins that are asked, waited for or remembered, each with
 * its state, its queue, when it may be asked next and why then; 404 when there is none.
 */
void hosts_answer(struct fetcher *f, struct exchange *x);

#endif
