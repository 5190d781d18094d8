/*
 * GET /openapi.json: what the API is, for programs and those who write them. The document is
 * written by hand (server/web/openapi.json) and stands in the binary; `make check-openapi` holds it
 * against what the server answers. Loop thread only.
 */
#ifndef SKIMD_SERVER_WEB_OPENAPI_H
#define SKIMD_SERVER_WEB_OPENAPI_H

#include "server/http/http.h"

/* Answers `x`, a GET or HEAD, with the document of this version. */
void openapi_answer(struct exchange *x);

#endif
