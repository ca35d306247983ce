/* Work that takes long and is done record by record, kept in a file so that an interrupted run goes on where it
 * stopped.
 *
 * A journal for OUT is the file OUT.journal: a line that tells its work from any other, then the records, all of one
 * size. A record that was cut off is dropped. The caller sees to it that no other process has the journal open. */
#ifndef PIXELRNN_JOURNAL_H
#define PIXELRNN_JOURNAL_H

#include "pixelrnn/status.h"
#include <stddef.h>

typedef struct px_resume_file px_resume_file;

/* Goes on with the journal of `out`, or begins one. work is one line (without its end) that names everything the
 * records depend on. PX_ERR_USAGE, naming the file, if it is of other work. Close with px_resume_file_close (NULL is
 * allowed), which keeps the file if there is a record in it. */
px_status px_resume_file_open(px_context *ctx, const char *out, const char *work, size_t record_bytes,
                              px_resume_file **journal);
void px_resume_file_close(px_resume_file *journal);

/* Whole records. */
size_t px_resume_file_count(const px_resume_file *journal);
/* Appends records, and syncs them to disk. On failure (ENOSPC) the records before stay good. */
px_status px_resume_file_append(px_resume_file *journal, const void *records, size_t count);
/* Reads records first .. first + count - 1. */
px_status px_resume_file_read(px_resume_file *journal, size_t first, size_t count, void *records);
/* Removes the file: its work is done. */
void px_resume_file_remove(px_resume_file *journal);

#endif
