/* Work that takes long and is done record by record, kept in a file so that an interrupted run goes on where it stopped.
 *
 * A journal for OUT is the file OUT.journal: a line that tells its work from any other, then the records, all of one
 * size. A record that was cut off is dropped. The caller sees to it that no other process has the journal open. */
#ifndef PIXELRNN_JOURNAL_H
#define PIXELRNN_JOURNAL_H

#include "pixelrnn/status.h"
#include <stddef.h>

typedef struct px_journal px_journal;

/* Goes on with the journal of `out`, or begins one. work is one line (without its end) that names everything the records
 * depend on. PX_ERR_USAGE, naming the file, if it is of other work.
 * Close with px_journal_close (NULL is allowed), which keeps the file if there is a record
 * in it. */
px_status px_journal_open(px_context *ctx, const char *out, const char *work, size_t record_bytes,
                          px_journal **journal);
void px_journal_close(px_journal *journal);

/* Whole records. */
size_t px_journal_count(const px_journal *journal);
/* Appends records, and syncs them to disk. On failure (ENOSPC) the records before stay good. */
px_status px_journal_append(px_journal *journal, const void *records, size_t count);
/* Reads records first .. first + count - 1. */
px_status px_journal_read(px_journal *journal, size_t first, size_t count, void *records);
/* Removes the file: its work is done. */
void px_journal_remove(px_journal *journal);

#endif
