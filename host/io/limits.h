/* Limits of the operating system on the memory and the processors of this process. */
#ifndef PIXELRNN_BASE_LIMITS_H
#define PIXELRNN_BASE_LIMITS_H

#include "host/device/backend.h"
#include <stddef.h>

/* The tightest memory limit, minus the memory that this process already uses. */
typedef struct px_memory_limit {
    size_t bytes;
    /* "this machine's memory", "the address space limit (ulimit -v)", or "the memory limit FILE" of a control group. */
    char name[PX_LIMIT_NAME];
} px_memory_limit;

/* Finds the tightest of: the machine's memory, RLIMIT_AS, and the limits of this process's control group and of all its
 * parents (memory.max of cgroup v2, memory.limit_in_bytes of v1). A limit that cannot be read is ignored. /proc and
 * /sys are looked up under `root`, which is "" except in tests. */
px_memory_limit px_limit_memory(const char *root);

/* The smallest CPU quota of this process's control group and its parents, in processors, rounded up (cpu.max of cgroup
 * v2, cpu.cfs_quota_us / cpu.cfs_period_us of v1). INT_MAX without a quota. */
int px_limit_processors(const char *root);

#endif
