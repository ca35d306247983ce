/* Reading files with pread. */
#include "host/io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static px_status fail_errno(px_context *ctx, const char *path, const char *what) {
    return px_fail(ctx, PX_ERR_FILE, "%s: cannot be %s: %s", path, what, px_file_reason(path, errno));
}

static px_status examine(px_context *ctx, const char *path, px_file_in *in) {
    struct stat found;
    if (fstat(in->descriptor, &found) != 0) return fail_errno(ctx, path, "examined");
    if (!S_ISREG(found.st_mode))
        return px_fail(ctx, PX_ERR_FILE, "%s: found a folder, a pipe or a device, expected a file", path);
    in->size = (size_t)found.st_size;
    return PX_OK;
}

px_status px_file_open(px_context *ctx, const char *path, px_file_in *in) {
    /* O_NONBLOCK: opening a pipe would otherwise wait for a writer. */
    *in = (px_file_in){.descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (in->descriptor < 0) return fail_errno(ctx, path, "opened");
    px_status status = examine(ctx, path, in);
    if (status != PX_OK) px_file_close(in);
    return status;
}

px_status px_file_check(px_context *ctx, const char *path, const px_file_in *in) {
    struct stat found;
    if (fstat(in->descriptor, &found) != 0) return fail_errno(ctx, path, "examined");
    if ((size_t)found.st_size >= in->size) return PX_OK;
    return px_fail(ctx, PX_ERR_FILE, "%s: shrank while it was read: found %jd bytes, expected %zu", path,
                   (intmax_t)found.st_size, in->size);
}

px_status px_file_read_at(px_context *ctx, const char *path, const px_file_in *in, size_t offset, size_t bytes,
                          void *to) {
    for (size_t got = 0; got < bytes;) {
        ssize_t more = pread(in->descriptor, (char *)to + got, bytes - got, (off_t)(offset + got));
        if (more < 0 && errno == EINTR) continue;
        if (more < 0) return fail_errno(ctx, path, "read");
        if (more == 0) {
            PX_TRY(px_file_check(ctx, path, in));
            return px_fail(ctx, PX_ERR_FILE, "%s: ended at byte %zu while it was read, and has grown again", path,
                           offset + got);
        }
        got += (size_t)more;
    }
    return PX_OK;
}

void px_file_close(px_file_in *in) {
    close(in->descriptor);
    *in = (px_file_in){.descriptor = -1};
}
