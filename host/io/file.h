/* Atomic writing of files (a temporary file beside the target, fsync, rename), and reading with pread. */
#ifndef PIXELRNN_FILE_H
#define PIXELRNN_FILE_H

#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { PX_PATH = 1024 }; /* bytes of the longest path, its terminating 0 included */

/* Formats a path; PX_ERR_FILE if it is too long. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
px_status
px_file_path(px_context *ctx, char path[PX_PATH], const char *format, ...);

/* The reason of a failed system call on path, for a message. error: errno of that call. Returns strerror's text, or, if
 * a relative path failed because the current folder has been deleted, a text that says so. */
const char *px_file_reason(const char *path, int error);

typedef struct px_file_out {
    FILE *stream;
    char path[PX_PATH], temporary[PX_PATH + 16]; /* temporary is "" for a device or a pipe */
} px_file_out;

/* Check, without writing anything, that a file can be created at path, or a folder. Commands call these before long
 * work. PX_ERR_FILE with the reason of the operating system: a missing or read-only parent folder, a folder where a
 * file is expected or the reverse, a name that is too long. */
px_status px_file_check_output(px_context *ctx, const char *path);
px_status px_file_check_folder(px_context *ctx, const char *path);

/* Opens the temporary file path + ".partial" for writing. A device or a pipe (/dev/stdout) is opened itself.
 * PX_ERR_FILE if path is a folder, its folder is missing, or the name is too long. After a failure only
 * px_file_abandon may be called on out. */
px_status px_file_create(px_context *ctx, const char *path, px_file_out *out);
/* Flushes, calls fsync and closes, but does not rename. Several files that must appear together are all finished before
 * the first is committed. On failure (such as ENOSPC) the temporary file is removed and path is unchanged. */
px_status px_file_finish(px_context *ctx, px_file_out *out);
/* Calls px_file_finish if the caller has not, renames the temporary file to path, and calls fsync on the folder, so
 * that the new name survives a crash. On failure as px_file_finish. */
px_status px_file_commit(px_context *ctx, px_file_out *out);
/* Removes the temporary file. Does nothing after px_file_commit or a failed px_file_create. */
void px_file_abandon(px_file_out *out);

/* fwrite or PX_ERR_FILE with the operating system's reason. */
px_status px_file_write(px_context *ctx, px_file_out *out, const void *data, size_t bytes);

/* A file that is read with pread. It is not mapped: reading a mapped page after another process has truncated the file
 * ends the process with SIGBUS. */
typedef struct px_file_in {
    int descriptor;
    size_t size; /* when it was opened */
} px_file_in;

/* PX_ERR_FILE if the file cannot be opened or is not a regular file. After a failure there is nothing to close. */
px_status px_file_open(px_context *ctx, const char *path, px_file_in *in);
/* Reads `bytes` bytes from `offset` on; offset + bytes <= in->size is required. Several threads may read at once.
 * PX_ERR_FILE if the file has been truncated since it was opened. */
px_status px_file_read_at(px_context *ctx, const char *path, const px_file_in *in, size_t offset, size_t bytes,
                          void *to);
/* PX_ERR_FILE if the file is shorter now than it was when it was opened. */
px_status px_file_check(px_context *ctx, const char *path, const px_file_in *in);
void px_file_close(px_file_in *in);

/* Reads a whole text file into *text, terminated by 0, which the caller frees. PX_ERR_FILE if it cannot be read;
 * PX_ERR_FORMAT if it has more than `limit` bytes or contains a 0 byte. */
px_status px_file_read_text(px_context *ctx, const char *path, size_t limit, char **text);
/* Writes bytes, or a text, as the whole of a file, atomically. */
px_status px_file_write_whole(px_context *ctx, const char *path, const void *data, size_t bytes);
px_status px_file_write_text(px_context *ctx, const char *path, const char *text);
/* Creates the folder path and its missing parents. */
px_status px_file_make_folder(px_context *ctx, const char *path);
/* Calls fsync on the folder, so that a rename in it survives a crash. Does nothing if the folder is not readable. */
px_status px_file_sync_folder(px_context *ctx, const char *path);
/* Removes a folder and everything in it. A missing folder is not an error. */
px_status px_file_remove_folder(px_context *ctx, const char *path);
bool px_file_exists(const char *path);
bool px_file_is_folder(const char *path);

#endif
