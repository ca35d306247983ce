/* Advisory file locks (flock), which keep two processes from writing the same output.
 *
 * The operating system releases the lock when its process ends, for whatever reason. The lock file contains the process
 * number and the host of its holder, which the error message of the next process names. */
#ifndef PIXELRNN_BASE_LOCK_H
#define PIXELRNN_BASE_LOCK_H

#include "host/io/file.h"

typedef struct px_lock {
    int descriptor; /* valid while the lock is held, which is while path is not "" */
    char path[PX_PATH];
    char warning[256]; /* "", or a line for the user: this file system does not support locks */
} px_lock;

/* Acquires the lock file at path, whose folder must exist. lock must be zero-initialised or already acquired; acquiring
 * it again does nothing. PX_ERR_FILE, naming process and host, if another process holds it. On a file system without
 * locks the call succeeds, sets lock->warning, and excludes nobody. */
px_status px_lock_acquire(px_context *ctx, const char *path, px_lock *lock);
/* Removes the file and releases the lock. Does nothing if the lock is not held. */
void px_lock_release(px_lock *lock);

#endif
