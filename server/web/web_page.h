/*
 * The page at /: the files of server/web, which the binary carries in itself. Loop thread only.
 */
#ifndef SKIMD_SERVER_WEB_WEB_PAGE_H
#define SKIMD_SERVER_WEB_WEB_PAGE_H

#include "server/http/http.h"

/*
 * Answers `x`, a GET or HEAD whose path is that of a file ("/", "/page.css", "/page.js",
 * "/icon.svg"), with the file, or with 304 where the client has it already (RFC 9110 section
 * 13.1.2); any other path with 404.
 */
void web_page_answer(struct exchange *x);

#endif
