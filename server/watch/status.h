/* GET /v1/status: what is under way, for people and their scripts. Loop thread only. */
#ifndef SKIMD_SERVER_WATCH_STATUS_H
#define SKIMD_SERVER_WATCH_STATUS_H

#include "server/watch/watch.h"

/* Answers with it as one JSON object. */
void status_answer(struct watch *w, struct exchange *x);

#endif
