/* Records of long work, appended to a file. */
#include "host/io/resume_file.h"
#include "host/io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct px_resume_file {
    px_context *ctx;
    char path[PX_PATH];
    int file;
    size_t heading, record, count; /* bytes of the first line, of a record; whole records */
};

static px_status resume_file_fail(const px_resume_file *j) {
    return px_fail(j->ctx, PX_ERR_FILE, "%s: %s", j->path, strerror(errno));
}

/* All of `bytes` at `offset`; a write that ends early says why. */
static px_status resume_file_write(px_resume_file *j, const void *data, size_t bytes, size_t offset) {
    for (size_t done = 0; done < bytes;) {
        const ssize_t wrote = pwrite(j->file, (const char *)data + done, bytes - done, (off_t)(offset + done));
        if (wrote < 0 && errno != EINTR) return resume_file_fail(j);
        if (wrote > 0) done += (size_t)wrote;
    }
    return fdatasync(j->file) == 0 ? PX_OK : resume_file_fail(j);
}

static px_status resume_file_read_bytes(px_resume_file *j, void *data, size_t bytes, size_t offset) {
    for (size_t done = 0; done < bytes;) {
        const ssize_t got = pread(j->file, (char *)data + done, bytes - done, (off_t)(offset + done));
        if (got < 0 && errno != EINTR) return resume_file_fail(j);
        if (got == 0)
            return px_fail(j->ctx, PX_ERR_FORMAT, "%s: found %zu bytes, expected %zu", j->path, offset + done,
                           offset + bytes);
        if (got > 0) done += (size_t)got;
    }
    return PX_OK;
}

/* A file without a record was cut off at once: it is begun anew. */
static px_status resume_file_heading(px_resume_file *j, const char *work) {
    const off_t size = lseek(j->file, 0, SEEK_END);
    if (size < 0) return resume_file_fail(j);
    char *heading = malloc(2 * j->heading + 1), *held = heading ? heading + j->heading + 1 : NULL;
    if (!heading) return px_fail(j->ctx, PX_ERR_MEMORY, "%s: no memory", j->path);
    memcpy(heading, work, j->heading - 1);
    heading[j->heading - 1] = '\n';
    px_status status = PX_OK;
    if ((size_t)size < j->heading + j->record) {
        status = ftruncate(j->file, 0) == 0 ? resume_file_write(j, heading, j->heading, 0) : resume_file_fail(j);
    } else {
        status = resume_file_read_bytes(j, held, j->heading, 0);
        j->count = ((size_t)size - j->heading) / j->record;
        if (status == PX_OK && memcmp(heading, held, j->heading) != 0)
            status = px_fail(j->ctx, PX_ERR_USAGE,
                             "%s: holds unfinished work of another model, seed or request; finish that, remove the "
                             "file, or choose another -o",
                             j->path);
    }
    free(heading);
    return status;
}

px_status px_resume_file_open(px_context *ctx, const char *out, const char *work, size_t record_bytes,
                              px_resume_file **journal) {
    *journal = NULL;
    px_resume_file *j = calloc(1, sizeof *j);
    if (!j) return px_fail(ctx, PX_ERR_MEMORY, "%s: no memory", out);
    *j = (px_resume_file){.ctx = ctx, .file = -1, .heading = strlen(work) + 1, .record = record_bytes};
    px_status status = px_file_path(ctx, j->path, "%s.journal", out);
    if (status == PX_OK) {
        j->file = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (j->file < 0) status = resume_file_fail(j);
    }
    if (status == PX_OK) status = resume_file_heading(j, work);
    if (status == PX_OK)
        *journal = j;
    else
        px_resume_file_close(j);
    return status;
}

void px_resume_file_close(px_resume_file *j) {
    if (!j) return;
    if (j->file >= 0 && j->count == 0) unlink(j->path);
    if (j->file >= 0) close(j->file);
    free(j);
}

size_t px_resume_file_count(const px_resume_file *j) {
    return j->count;
}

px_status px_resume_file_append(px_resume_file *j, const void *records, size_t count) {
    PX_TRY(resume_file_write(j, records, count * j->record, j->heading + j->count * j->record));
    j->count += count;
    return PX_OK;
}

px_status px_resume_file_read(px_resume_file *j, size_t first, size_t count, void *records) {
    return resume_file_read_bytes(j, records, count * j->record, j->heading + first * j->record);
}

void px_resume_file_remove(px_resume_file *j) {
    unlink(j->path);
}
