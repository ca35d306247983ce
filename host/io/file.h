/* Files that appear whole or not at all: written beside their place under a temporary name, synced, then renamed. And
 * files that are read by place. */
#ifndef PIXELRNN_FILE_H
#define PIXELRNN_FILE_H

#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { PX_PATH = 1024 }; /* longest path, with its end */

/* Formats a path; PX_ERR_FILE if it is too long. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
px_status
px_file_path(px_context *ctx, char path[PX_PATH], const char *format, ...);

/* Why the operating system refused path, for a message: strerror, or, for a relative path, that the current folder has
 * been deleted. error is errno. */
const char *px_file_reason(const char *path, int error);

typedef struct px_file_out {
    FILE *stream;
    char path[1024], temporary[1040];
} px_file_out;

/* Whether a file can be written at path, or a folder made there, as far as that can be told without writing anything:
 * for commands to ask before their work. PX_ERR_FILE with the operating system's reason: a folder that is missing or
 * cannot be written, a folder in the file's place, a file in the folder's, a name that is too long. */
px_status px_file_check_output(px_context *ctx, const char *path);
px_status px_file_check_folder(px_context *ctx, const char *path);

/* Opens path's temporary (path + ".partial"). A path that stands for a device or a pipe (/dev/stdout) is written in
 * place. PX_ERR_FILE for a folder, a missing folder, a name too long. After a failure out may be abandoned, not
 * written. */
px_status px_file_create(px_context *ctx, const char *path, px_file_out *out);
/* Flushes, syncs to disk and closes, and leaves only the renaming to the commit: for files that must appear together.
 * On failure (ENOSPC) the temporary is removed and path is as it was. */
px_status px_file_finish(px_context *ctx, px_file_out *out);
/* Finishes what is not finished yet, renames it into place, and syncs the folder, so that the name lasts. After a
 * failure as above. */
px_status px_file_commit(px_context *ctx, px_file_out *out);
/* Removes the temporary; does nothing after a commit or a failed create. */
void px_file_abandon(px_file_out *out);

/* fwrite or PX_ERR_FILE with the operating system's reason. */
px_status px_file_write(px_context *ctx, px_file_out *out, const void *data, size_t bytes);

/* A file that is read by place, and not mapped: a page of a map ends the process when it is touched after another
 * process has cut the file before it. */
typedef struct px_file_in {
    int descriptor;
    size_t size; /* when it was opened */
} px_file_in;

/* PX_ERR_FILE if it cannot be opened, or is no file. After a failure there is nothing to close. */
px_status px_file_open(px_context *ctx, const char *path, px_file_in *in);
/* Copies `bytes` bytes from `offset` on; offset + bytes <= in->size. From several threads at once. PX_ERR_FILE if the
 * file is too short for it by now. */
px_status px_file_read_at(px_context *ctx, const char *path, const px_file_in *in, size_t offset, size_t bytes,
                          void *to);
/* PX_ERR_FILE if the file is shorter now than it was when it was opened. */
px_status px_file_check(px_context *ctx, const char *path, const px_file_in *in);
void px_file_close(px_file_in *in);

/* The whole of a text file, ended by 0, to be freed; PX_ERR_FILE; PX_ERR_FORMAT above `limit` bytes or with a 0 in it.
 */
px_status px_file_read_text(px_context *ctx, const char *path, size_t limit, char **text);
/* Writes a text as a whole file, which appears whole or not at all. */
px_status px_file_write_text(px_context *ctx, const char *path, const char *text);
/* Creates path and the folders above it, as far as they are missing. */
px_status px_file_make_folder(px_context *ctx, const char *path);
/* Syncs the folder itself, so that a rename in it lasts. Does nothing where the folder may not be read. */
px_status px_file_sync_folder(px_context *ctx, const char *path);
/* Removes a folder and all in it; a missing one is no error. */
px_status px_file_remove_folder(px_context *ctx, const char *path);
bool px_file_exists(const char *path);
bool px_file_is_folder(const char *path);

#endif
