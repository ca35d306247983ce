/* The bytes of a file, left where they are or in memory. Internal to host/data/. */
#ifndef PIXELRNN_DATA_BYTE_SOURCE_H
#define PIXELRNN_DATA_BYTE_SOURCE_H

#include "host/io/file.h"
#include <stdint.h>

/* All zero: no bytes. */
typedef struct px_byte_source {
    uint8_t *bytes; /* in memory, malloc's; NULL: in the file, which is held open */
    size_t size;
    px_file_in file;
} px_byte_source;

/* Holds a file open. PX_ERR_FILE if it cannot be opened, or is no file. An empty one has no bytes, and is not held. */
px_status px_byte_source_open(px_context *ctx, const char *path, px_byte_source *input);

/* Brings what is in a file into memory. PX_ERR_FILE; PX_ERR_MEMORY; PX_ERR_FORMAT if it is above `limit` bytes. */
px_status px_byte_source_load(px_context *ctx, const char *path, size_t limit, px_byte_source *input);

/* Both: the whole of a file in memory. */
px_status px_byte_source_read(px_context *ctx, const char *path, size_t limit, px_byte_source *input);

/* Makes room in memory for `room` bytes after those of input. *capacity is what input->bytes holds, 0 at first.
 * PX_ERR_MEMORY, after which input are as they were. */
px_status px_byte_source_reserve(px_context *ctx, const char *path, size_t room, size_t *capacity,
                                 px_byte_source *input);

/* Copies `bytes` bytes from `offset` on, which must be there: offset + bytes <= size. From several threads at once.
 * PX_ERR_FILE if the file is too short for it by now. */
px_status px_byte_source_copy(px_context *ctx, const char *path, const px_byte_source *input, size_t offset,
                              size_t bytes, void *to);

/* PX_ERR_FILE if the file is shorter now than when it was opened. */
px_status px_byte_source_check(px_context *ctx, const char *path, const px_byte_source *input);

static inline bool px_byte_source_in_file(const px_byte_source *input) {
    return !input->bytes && input->size > 0;
}

/* Closes or frees; input are empty then. */
void px_byte_source_free(px_byte_source *input);

#endif
