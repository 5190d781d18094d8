/* The listening socket and the text of addresses. Any thread. */
#ifndef SKIMD_SERVER_HTTP_LISTEN_H
#define SKIMD_SERVER_HTTP_LISTEN_H

#include <sys/socket.h>

/* "[" IPv6 "%" interface "]:" port, and the NUL. */
enum { HTTP_ADDRESS_SIZE = 80 };

/*
 * Listens on `address` (AF_INET or AF_INET6; "::" takes IPv4 too), non-blocking, not inherited by
 * children. Returns the descriptor, and ADDR:PORT as it was bound in `ret_text`. On failure a
 * negative errno, and `*ret_message` says what could not be done.
 */
int http_listen(const struct sockaddr_storage *address, char ret_text[static HTTP_ADDRESS_SIZE],
                const char **ret_message);

/* The same for a socket that listens and does not block already; returns it. Consumes `fd`. */
int http_adopt(int fd, char ret_text[static HTTP_ADDRESS_SIZE], const char **ret_message);

#endif
