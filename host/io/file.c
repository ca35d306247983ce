/* Atomic writing of files, reading with pread, and folders. */
#include "host/io/file.h"
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *px_file_reason(const char *path, int error) {
    char folder[PX_PATH];
    if (error != ENOENT || path[0] == '/' || getcwd(folder, sizeof folder) || errno != ENOENT) return strerror(error);
    return "the current folder has been deleted: cd to one that exists";
}

static px_status fail_errno(px_context *ctx, const char *path) {
    return px_fail(ctx, PX_ERR_FILE, "%s: %s", path, px_file_reason(path, errno));
}

/* A device or a pipe (/dev/null, /dev/stdout) is opened itself, because a rename would replace it by a file. */
static bool written_in_place(const px_file_out *out) { return out->temporary[0] == 0; }

/* Fails unless `folder` is a folder in which entries can be created. path: the entry to be created, for the message. */
static px_status check_parent(px_context *ctx, const char *path, const char *folder) {
    if (px_file_exists(folder) && !px_file_is_folder(folder))
        return px_fail(ctx, PX_ERR_FILE, "%s: %s", path, strerror(ENOTDIR));
    return access(folder, W_OK | X_OK) == 0 ? PX_OK : fail_errno(ctx, path);
}

/* Replaces path by its parent folder. */
static void to_parent(char path[PX_PATH]) {
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = 0;
    else
        strcpy(path, ".");
}

/* Finds out whether a device or a pipe is at path, which a rename would replace by a file. PX_ERR_FILE if path is too
 * long, or a folder. */
static px_status examine_output(px_context *ctx, const char *path, bool *special) {
    struct stat found;
    if (strlen(path) >= PX_PATH) return px_fail(ctx, PX_ERR_FILE, "%.64s...: %s", path, strerror(ENAMETOOLONG));
    const bool exists = stat(path, &found) == 0;
    if (exists && S_ISDIR(found.st_mode)) return px_fail(ctx, PX_ERR_FILE, "%s: %s", path, strerror(EISDIR));
    *special = exists && !S_ISREG(found.st_mode);
    return PX_OK;
}

px_status px_file_check_output(px_context *ctx, const char *path) {
    char folder[PX_PATH], temporary[PX_PATH + 16];
    struct stat found;
    bool special = false;
    PX_TRY(examine_output(ctx, path, &special));
    if (special) return access(path, W_OK) == 0 ? PX_OK : fail_errno(ctx, path);
    strcpy(folder, path);
    to_parent(folder);
    PX_TRY(check_parent(ctx, path, folder));
    snprintf(temporary, sizeof temporary, "%s.partial", path);
    return stat(temporary, &found) == 0 || errno == ENOENT ? PX_OK : fail_errno(ctx, path);
}

px_status px_file_check_folder(px_context *ctx, const char *path) {
    char folder[PX_PATH];
    if (strlen(path) >= PX_PATH) return px_fail(ctx, PX_ERR_FILE, "%.64s...: %s", path, strerror(ENAMETOOLONG));
    strcpy(folder, path);
    while (!px_file_exists(folder) && errno == ENOENT && strcmp(folder, ".") != 0 && strcmp(folder, "/") != 0)
        to_parent(folder);
    return check_parent(ctx, path, folder);
}

px_status px_file_create(px_context *ctx, const char *path, px_file_out *out) {
    *out = (px_file_out){0};
    bool special = false;
    PX_TRY(examine_output(ctx, path, &special));
    strcpy(out->path, path);
    if (!special) snprintf(out->temporary, sizeof out->temporary, "%s.partial", path);
    out->stream = fopen(written_in_place(out) ? out->path : out->temporary, "wb");
    if (out->stream) return PX_OK;
    out->temporary[0] = 0;
    return fail_errno(ctx, path);
}

px_status px_file_write(px_context *ctx, px_file_out *out, const void *data, size_t bytes) {
    if (bytes == 0) return PX_OK;
    return fwrite(data, 1, bytes, out->stream) == bytes ? PX_OK : fail_errno(ctx, out->path);
}

static px_status fail_and_abandon(px_context *ctx, px_file_out *out) {
    px_status status = fail_errno(ctx, out->path);
    px_file_abandon(out);
    return status;
}

px_status px_file_finish(px_context *ctx, px_file_out *out) {
    if (ferror(out->stream)) { /* an earlier fprintf failed; errno may have changed since */
        px_file_abandon(out);
        return px_fail(ctx, PX_ERR_FILE, "%s: a write failed", out->path);
    }
    bool good = fflush(out->stream) == 0 && (written_in_place(out) || fsync(fileno(out->stream)) == 0);
    if (good) {
        good = fclose(out->stream) == 0;
        out->stream = NULL;
    }
    return good ? PX_OK : fail_and_abandon(ctx, out);
}

px_status px_file_commit(px_context *ctx, px_file_out *out) {
    if (out->stream) PX_TRY(px_file_finish(ctx, out));
    if (written_in_place(out)) return PX_OK;
    if (rename(out->temporary, out->path) != 0) return fail_and_abandon(ctx, out);
    out->temporary[0] = 0;
    char folder[PX_PATH];
    strcpy(folder, out->path);
    to_parent(folder);
    return px_file_sync_folder(ctx, folder);
}

void px_file_abandon(px_file_out *out) {
    if (out->stream) fclose(out->stream);
    out->stream = NULL;
    if (!written_in_place(out)) unlink(out->temporary);
    out->temporary[0] = 0;
}

static px_status fail_reading(px_context *ctx, const char *path, const char *what) {
    return px_fail(ctx, PX_ERR_FILE, "%s: cannot be %s: %s", path, what, px_file_reason(path, errno));
}

px_status px_file_open(px_context *ctx, const char *path, px_file_in *in) {
    struct stat found = {0};
    /* O_NONBLOCK: opening a pipe would otherwise wait for a writer. */
    *in = (px_file_in){.descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (in->descriptor < 0) return fail_reading(ctx, path, "opened");
    px_status status = PX_OK;
    if (fstat(in->descriptor, &found) != 0)
        status = fail_reading(ctx, path, "examined");
    else if (!S_ISREG(found.st_mode))
        status = px_fail(ctx, PX_ERR_FILE, "%s: found a folder, a pipe or a device, expected a file", path);
    in->size = (size_t)found.st_size;
    if (status != PX_OK) px_file_close(in);
    return status;
}

px_status px_file_check(px_context *ctx, const char *path, const px_file_in *in) {
    struct stat found;
    if (fstat(in->descriptor, &found) != 0) return fail_reading(ctx, path, "examined");
    if ((size_t)found.st_size >= in->size) return PX_OK;
    return px_fail(ctx, PX_ERR_FILE, "%s: shrank while it was read: found %jd bytes, expected %zu", path,
                   (intmax_t)found.st_size, in->size);
}

px_status px_file_read_at(px_context *ctx, const char *path, const px_file_in *in, size_t offset, size_t bytes,
                          void *to) {
    for (size_t got = 0; got < bytes;) {
        ssize_t more = pread(in->descriptor, (char *)to + got, bytes - got, (off_t)(offset + got));
        if (more < 0 && errno == EINTR) continue;
        if (more < 0) return fail_reading(ctx, path, "read");
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

/* Reads until the end or limit + 1 bytes. The size is not asked for first, because a pipe has none. */
static px_status read_stream(px_context *ctx, const char *path, FILE *stream, size_t limit, char **text) {
    size_t length = 0, capacity = 0;
    do {
        capacity = capacity ? 2 * capacity : 4096;
        char *grown = realloc(*text, capacity + 1);
        if (!grown) return px_fail_memory(ctx, path, capacity);
        *text = grown;
        length += fread(grown + length, 1, capacity - length, stream);
    } while (length == capacity && length <= limit);

    if (ferror(stream)) return fail_errno(ctx, path);
    if (length > limit)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found more than %zu bytes, expected at most that many", path, limit);
    (*text)[length] = 0;
    size_t written = strlen(*text);
    if (written < length)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found 0 at byte %zu, expected a text file", path, written);
    return PX_OK;
}

px_status px_file_read_text(px_context *ctx, const char *path, size_t limit, char **text) {
    *text = NULL;
    FILE *stream = fopen(path, "rb");
    if (!stream) return fail_errno(ctx, path);
    px_status status = read_stream(ctx, path, stream, limit, text);
    fclose(stream);
    if (status != PX_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

px_status px_file_write_whole(px_context *ctx, const char *path, const void *data, size_t bytes) {
    px_file_out out;
    PX_TRY(px_file_create(ctx, path, &out));
    px_status status = px_file_write(ctx, &out, data, bytes);
    if (status == PX_OK) status = px_file_commit(ctx, &out);
    px_file_abandon(&out);
    return status;
}

px_status px_file_write_text(px_context *ctx, const char *path, const char *text) {
    return px_file_write_whole(ctx, path, text, strlen(text));
}

bool px_file_is_folder(const char *path) {
    struct stat found;
    return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

px_status px_file_path(px_context *ctx, char path[PX_PATH], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(path, PX_PATH, format, arguments);
    va_end(arguments);
    if (length >= 0 && length < PX_PATH) return PX_OK;
    return px_fail(ctx, PX_ERR_FILE, "%.80s...: the path is longer than %d bytes", path, PX_PATH - 1);
}

px_status px_file_make_folder(px_context *ctx, const char *path) {
    char *partial = strdup(path);
    if (!partial) return px_fail_memory(ctx, path, 0);
    px_status status = PX_OK;
    for (size_t i = 1; status == PX_OK && i <= strlen(path); i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        partial[i] = 0;
        int reason = mkdir(partial, 0777) == 0 ? 0 : errno;
        if (reason != 0 && !px_file_is_folder(partial)) {
            status = px_fail(ctx, PX_ERR_FILE, "%s: %s", partial,
                             px_file_reason(partial, reason == EEXIST ? ENOTDIR : reason));
        }
        partial[i] = path[i];
    }
    free(partial);
    return status;
}

px_status px_file_sync_folder(px_context *ctx, const char *path) {
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return errno == EACCES ? PX_OK : fail_errno(ctx, path); /* EACCES: writable, not readable */
    /* EINVAL: this file system cannot sync folders. */
    px_status status = fsync(folder) == 0 || errno == EINVAL ? PX_OK : fail_errno(ctx, path);
    close(folder);
    return status;
}

static int remove_entry(const char *path, const struct stat *found, int type, struct FTW *depth) {
    (void)found, (void)type, (void)depth;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

px_status px_file_remove_folder(px_context *ctx, const char *path) {
    enum { OPEN_FOLDERS = 16 };
    bool gone = nftw(path, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT;
    return gone ? PX_OK : fail_errno(ctx, path);
}

bool px_file_exists(const char *path) { return access(path, F_OK) == 0; }
