/*
 * Socket activation: a listening socket that the service manager opened before us and keeps when we
 * end, so that nobody is refused while the daemon is started anew. The protocol is
 * sd_listen_fds(3), which is stable and takes fewer lines than the library that has it takes
 * packages.
 */
#ifndef SKIMD_SERVER_ACTIVATION_H
#define SKIMD_SERVER_ACTIVATION_H

#include "server/config/config.h"

/*
 * Takes the socket that LISTEN_PID and LISTEN_FDS tell of, and these variables from the
 * environment; so call it before there are threads. Returns its descriptor (never 0), which is
 * close-on-exec and does not block, with its address in `config->listen`; 0 when there is none;
 * -EINVAL, with one line (no newline) in `message` that tells what is wrong, when it is not one
 * listening TCP socket, or its address is one that --listen would be refused with.
 */
int activation_take(struct config *config, char message[static CONFIG_MESSAGE_SIZE]);

#endif
