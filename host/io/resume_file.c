/* Files of finished records, from which interrupted work is resumed. */
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
    int descriptor;
    size_t heading, record, count; /* bytes of the first line and of a record; complete records */
};

static px_status fail(const px_resume_file *file) {
    return px_fail(file->ctx, PX_ERR_FILE, "%s: %s", file->path, strerror(errno));
}

/* Writes all bytes at `offset` and syncs them to disk. */
static px_status write_bytes(px_resume_file *file, const void *data, size_t bytes, size_t offset) {
    for (size_t done = 0; done < bytes;) {
        const ssize_t wrote = pwrite(file->descriptor, (const char *)data + done, bytes - done, (off_t)(offset + done));
        if (wrote < 0 && errno != EINTR) return fail(file);
        if (wrote > 0) done += (size_t)wrote;
    }
    return fdatasync(file->descriptor) == 0 ? PX_OK : fail(file);
}

static px_status read_bytes(px_resume_file *file, void *data, size_t bytes, size_t offset) {
    for (size_t done = 0; done < bytes;) {
        const ssize_t got = pread(file->descriptor, (char *)data + done, bytes - done, (off_t)(offset + done));
        if (got < 0 && errno != EINTR) return fail(file);
        if (got == 0)
            return px_fail(file->ctx, PX_ERR_FORMAT, "%s: found %zu bytes, expected %zu", file->path, offset + done,
                           offset + bytes);
        if (got > 0) done += (size_t)got;
    }
    return PX_OK;
}

/* Checks the first line of the file against `work`. A file without a complete record is started anew. */
static px_status check_heading(px_resume_file *file, const char *work) {
    const off_t size = lseek(file->descriptor, 0, SEEK_END);
    if (size < 0) return fail(file);
    char *heading = malloc(2 * file->heading + 1), *found = heading ? heading + file->heading + 1 : NULL;
    if (!heading) return px_fail_memory(file->ctx, file->path, 2 * file->heading + 1);
    memcpy(heading, work, file->heading - 1);
    heading[file->heading - 1] = '\n';
    px_status status = PX_OK;
    if ((size_t)size < file->heading + file->record) {
        status = ftruncate(file->descriptor, 0) == 0 ? write_bytes(file, heading, file->heading, 0) : fail(file);
    } else {
        status = read_bytes(file, found, file->heading, 0);
        file->count = ((size_t)size - file->heading) / file->record;
        if (status == PX_OK && memcmp(heading, found, file->heading) != 0)
            status = px_fail(file->ctx, PX_ERR_USAGE,
                             "%s: holds unfinished work of another model, seed or request; finish that, remove the "
                             "file, or choose another -o",
                             file->path);
    }
    free(heading);
    return status;
}

px_status px_resume_file_open(px_context *ctx, const char *out, const char *work, size_t record_bytes,
                              px_resume_file **out_file) {
    *out_file = NULL;
    px_resume_file *file = calloc(1, sizeof *file);
    if (!file) return px_fail_memory(ctx, out, sizeof *file);
    *file = (px_resume_file){.ctx = ctx, .descriptor = -1, .heading = strlen(work) + 1, .record = record_bytes};
    px_status status = px_file_path(ctx, file->path, "%s.journal", out);
    if (status == PX_OK) {
        file->descriptor = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (file->descriptor < 0) status = fail(file);
    }
    if (status == PX_OK) status = check_heading(file, work);
    if (status == PX_OK)
        *out_file = file;
    else
        px_resume_file_close(file);
    return status;
}

void px_resume_file_close(px_resume_file *file) {
    if (!file) return;
    if (file->descriptor >= 0 && file->count == 0) unlink(file->path);
    if (file->descriptor >= 0) close(file->descriptor);
    free(file);
}

size_t px_resume_file_count(const px_resume_file *file) { return file->count; }

px_status px_resume_file_append(px_resume_file *file, const void *records, size_t count) {
    PX_TRY(write_bytes(file, records, count * file->record, file->heading + file->count * file->record));
    file->count += count;
    return PX_OK;
}

px_status px_resume_file_read(px_resume_file *file, size_t first, size_t count, void *records) {
    return read_bytes(file, records, count * file->record, file->heading + first * file->record);
}

void px_resume_file_remove(px_resume_file *file) { unlink(file->path); }
