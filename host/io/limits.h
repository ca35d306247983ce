/* What the system lets this process have: memory and processors. Internal to the program. */
#ifndef PIXELRNN_BASE_LIMITS_H
#define PIXELRNN_BASE_LIMITS_H

#include "pixelrnn/device.h"
#include "host/device/backend.h"
#include <stddef.h>

/* The tightest of the limits on memory, less what this process already takes of it. */
typedef struct px_memory_limit {
    size_t bytes;
    /* "this machine's memory", "the address space limit (ulimit -v)", or "the memory limit FILE" of a control group. */
    char name[PX_LIMIT_NAME];
} px_memory_limit;

/* Compares the machine's memory, RLIMIT_AS, and the limits of this process's control group and of all groups above it
 * (memory.max of version 2, memory.limit_in_bytes of version 1). What cannot be read is no limit. Files of /proc and
 * /sys are looked for under `root`: "" but in tests. */
px_memory_limit px_limit_memory(const char *root);

/* Processors that the CPU quotas of this process's control group and of those above it come to, rounded up (cpu.max of
 * version 2, cpu.cfs_quota_us and cpu.cfs_period_us of version 1); INT_MAX without a quota. */
int px_limit_processors(const char *root);

#endif
