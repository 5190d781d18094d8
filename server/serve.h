/* The daemon: everything put together, from the first line of the log to the last. */
#ifndef SKIMD_SERVER_SERVE_H
#define SKIMD_SERVER_SERVE_H

#include "core/async/future.h"
#include "server/access/access.h"
#include "server/config/config.h"
#include "server/notify.h"
#include "server/tls.h"

/*
 * Serves until SIGTERM or SIGINT, and for drain_delay_ms more; then drains: takes no more batches,
 * lets what is under way finish for grace_ms, gives back what is left. Ok when all of that is done;
 * failed with a negative errno, and the reason logged, when the daemon cannot start.
 *
 * SIGHUP reads the token file, the certificate and its key once more. `listen_fd` is a socket to
 * listen on, consumed; 0: that of the configuration is made. `notifier` is told of the daemon's
 * life, and closed at its end.
 *
 * SIGTERM, SIGINT, SIGHUP and SIGUSR1 must be blocked in every thread. `config`, `access` and
 * `notifier` must outlive the runtime, and so must `identity`, which is empty where there is no
 * TLS.
 */
future *serve(const struct config *config, struct access *access,
              const struct tls_identity *identity, int listen_fd, struct notifier *notifier);

#endif
