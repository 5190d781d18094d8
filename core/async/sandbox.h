/* Gives up every right that a worker does not need. */
#ifndef SKIMD_ASYNC_SANDBOX_H
#define SKIMD_ASYNC_SANDBOX_H

#include <stddef.h>

/*
 * From here on the process computes, answers on WORKER_SOCKET (wire.h), and maps at most
 * `memory` bytes of its own more than now; any other system call kills it. Called by a worker
 * before the first byte from outside. 0 or negative errno, with which the worker must not go on.
 */
int sandbox_enter(size_t memory);

/*
 * The part of it that Landlock has, beneath the filter of system calls: from here on this process
 * opens no file, and, where the kernel knows of these, binds and connects no TCP socket, and
 * reaches neither sockets nor processes of others by name or number. What is open stays open. 0
 * also on a kernel without Landlock, or negative errno.
 */
int sandbox_confine_files(void);

#endif
