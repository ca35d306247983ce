/* Locks that keep a second process from writing where one is at work.
 *
 * A lock is a file with an advisory lock on it (flock), which the system takes away when its process ends, however that
 * happens. The file holds the number and the host of the process that has the lock, for the message of the next one. */
#ifndef PIXELRNN_BASE_LOCK_H
#define PIXELRNN_BASE_LOCK_H

#include "host/io/file.h"

typedef struct px_lock {
    int descriptor; /* valid while path is not empty */
    char path[PX_PATH];
    char warning[256]; /* a line to be shown, or "": the file system has no locks */
} px_lock;

/* Takes the lock, whose file is path; its folder must exist. A lock of all zeros is not taken, and a lock that was
 * taken already is left as it is. PX_ERR_FILE, naming process and host, if another process has it. On a file system
 * without locks it succeeds with a warning, and protects from nothing. */
px_status px_lock_take(px_context *ctx, const char *path, px_lock *lock);
/* Removes the file and gives the lock up. A lock that was not taken is allowed. */
void px_lock_release(px_lock *lock);

#endif
