/* Mapping files, and reading them. */
#include "host/data/contents.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static px_status fail_errno(px_context *ctx, const char *path, const char *what) {
    return px_fail(ctx, PX_ERR_FILE, "%s: cannot be %s: %s", path, what, strerror(errno));
}

static px_status open_file(px_context *ctx, const char *path, int *file, size_t *size) {
    struct stat found = {0};
    *size = 0;
    *file = open(path, O_RDONLY | O_CLOEXEC);
    if (*file < 0) return fail_errno(ctx, path, "opened");
    px_status status = fstat(*file, &found) == 0 ? PX_OK : fail_errno(ctx, path, "examined");
    if (status == PX_OK && !S_ISREG(found.st_mode))
        status = px_fail(ctx, PX_ERR_FILE, "%s: found a folder, a pipe or a device, expected a file", path);
    if (status != PX_OK) close(*file);
    *size = (size_t)found.st_size;
    return status;
}

px_status px_contents_map(px_context *ctx, const char *path, px_contents *contents) {
    int file;
    size_t size;
    *contents = (px_contents){0};
    PX_TRY(open_file(ctx, path, &file, &size));
    void *mapping = size > 0 ? mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0) : NULL;
    if (mapping == MAP_FAILED || size == 0) {
        px_status status = size > 0 ? fail_errno(ctx, path, "mapped into memory") : PX_OK;
        close(file);
        return status;
    }
    *contents = (px_contents){mapping, size, true, file};
    return PX_OK;
}

/* Reads `size` bytes, or as many as there are now. */
static px_status read_bytes(px_context *ctx, const char *path, int file, size_t size, px_contents *contents) {
    contents->bytes = malloc(size + 1);
    if (!contents->bytes) return px_fail(ctx, PX_ERR_MEMORY, "%s: cannot hold %zu bytes in memory", path, size);
    while (contents->size < size) {
        ssize_t got = read(file, contents->bytes + contents->size, size - contents->size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(ctx, path, "read");
        if (got == 0) break;
        contents->size += (size_t)got;
    }
    return PX_OK;
}

px_status px_contents_read(px_context *ctx, const char *path, size_t limit, px_contents *contents) {
    int file;
    size_t size;
    *contents = (px_contents){0};
    PX_TRY(open_file(ctx, path, &file, &size));
    px_status status;
    if (size > limit)
        status = px_fail(ctx, PX_ERR_FORMAT, "%s: found %zu bytes, expected at most %zu", path, size, limit);
    else
        status = read_bytes(ctx, path, file, size, contents);
    close(file);
    if (status != PX_OK) px_contents_free(contents);
    return status;
}

px_status px_contents_check(px_context *ctx, const char *path, const px_contents *contents) {
    struct stat found;
    if (!contents->mapped) return PX_OK;
    if (fstat(contents->file, &found) != 0) return fail_errno(ctx, path, "examined");
    if ((size_t)found.st_size < contents->size)
        return px_fail(ctx, PX_ERR_FILE, "%s: found %jd bytes, expected the %zu it had when it was opened", path,
                       (intmax_t)found.st_size, contents->size);
    return PX_OK;
}

void px_contents_free(px_contents *contents) {
    if (contents->mapped) {
        munmap(contents->bytes, contents->size);
        close(contents->file);
    } else {
        free(contents->bytes);
    }
    *contents = (px_contents){0};
}
