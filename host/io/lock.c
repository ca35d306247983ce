/* Advisory locks on files that name their holder. */
#include "host/io/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A failure is ignored: the text serves only the messages of other processes. */
static void write_holder(int file) {
    char host[64] = "this host", line[128];
    gethostname(host, sizeof host - 1);
    const int length = snprintf(line, sizeof line, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(file, 0) != 0 || pwrite(file, line, (size_t)length, 0) != length) return;
}

/* One attempt. *acquired is false if the file was removed in between, and the caller must try again. */
static px_status try_lock(px_context *ctx, const char *path, px_lock *lock, bool *acquired) {
    char holder[128]; /* "process 123 on node7" */
    struct stat opened, named;
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return px_fail(ctx, PX_ERR_FILE, "%s: %s", path, strerror(errno));
    const int error = flock(file, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
    if (error == EWOULDBLOCK) {
        const ssize_t got = pread(file, holder, sizeof holder - 1, 0);
        holder[got > 0 ? got : 0] = '\0';
        holder[strcspn(holder, "\n")] = '\0';
        close(file);
        return px_fail(ctx, PX_ERR_FILE, "%s: %s is at work here; wait for it, end it, or choose another -o", path,
                       holder[0] ? holder : "another process" /* it has not written its name yet */);
    }
    /* The previous holder may have removed the file after our open. */
    *acquired = fstat(file, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
                opened.st_dev == named.st_dev;
    if (!*acquired) {
        close(file);
        return PX_OK;
    }
    if (error != 0)
        snprintf(lock->warning, sizeof lock->warning,
                 "%.120s: this file system has no locks (%s): make sure that no other process writes here", path,
                 strerror(error));
    write_holder(file);
    lock->descriptor = file;
    snprintf(lock->path, sizeof lock->path, "%s", path);
    return PX_OK;
}

px_status px_lock_acquire(px_context *ctx, const char *path, px_lock *lock) {
    for (bool acquired = lock->path[0] != '\0'; !acquired;) PX_TRY(try_lock(ctx, path, lock, &acquired));
    return PX_OK;
}

void px_lock_release(px_lock *lock) {
    if (!lock->path[0]) return;
    unlink(lock->path);
    close(lock->descriptor);
    *lock = (px_lock){0};
}
