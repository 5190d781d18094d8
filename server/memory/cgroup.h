/*
 * What the control group that this process is in may take of memory: cgroups(7), both versions.
 * Docker's --memory, Kubernetes' limits and systemd's MemoryMax are such limits. Any thread.
 */
#ifndef SKIMD_SERVER_MEMORY_CGROUP_H
#define SKIMD_SERVER_MEMORY_CGROUP_H

#include <stdint.h>

/*
 * The lowest limit of the group and those above it, in bytes; 0: there is none, or none to be read.
 * `self` is /proc/self/cgroup, and `root` where the groups are mounted, /sys/fs/cgroup, but in
 * tests.
 */
uint64_t cgroup_memory_limit(const char *self, const char *root);

#endif
