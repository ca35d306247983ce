/* Resume files: finished records of long work, from which an interrupted run continues.
 *
 * The resume file of the output OUT is OUT.journal. It starts with a line that identifies the work; then follow records
 * of equal size. An incomplete record at the end is dropped. The caller must exclude other processes (host/io/lock.h).
 */
#ifndef PIXELRNN_RESUME_FILE_H
#define PIXELRNN_RESUME_FILE_H

#include "pixelrnn/status.h"
#include <stddef.h>

typedef struct px_resume_file px_resume_file;

/* Opens the resume file of `out`, or creates it. work: one line, without newline, that names everything the records
 * depend on. PX_ERR_USAGE, naming the file, if the file belongs to other work. Close with px_resume_file_close (NULL is
 * allowed), which removes a file without records. */
px_status px_resume_file_open(px_context *ctx, const char *out, const char *work, size_t record_bytes,
                              px_resume_file **file);
void px_resume_file_close(px_resume_file *file);

/* The number of complete records. */
size_t px_resume_file_count(const px_resume_file *file);
/* Appends records and syncs them to disk. A failure (such as ENOSPC) does not damage earlier records. */
px_status px_resume_file_append(px_resume_file *file, const void *records, size_t count);
/* Reads records first .. first + count - 1. */
px_status px_resume_file_read(px_resume_file *file, size_t first, size_t count, void *records);
/* Removes the file, once the work is complete. */
void px_resume_file_remove(px_resume_file *file);

#endif
