/*
 * An IP address, with a port or port 0: what names resolve to and what is connected to.
 */
#ifndef SKIMD_FETCH_ADDRESS_H
#define SKIMD_FETCH_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

/* All zero (AF_UNSPEC): none. */
struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

#endif
