/* A byte source: the bytes of an open file, or bytes in memory, behind one interface. Internal to host/data/. */
#ifndef PIXELRNN_DATA_BYTE_SOURCE_H
#define PIXELRNN_DATA_BYTE_SOURCE_H

#include "host/io/file.h"
#include <stdint.h>

/* All zero: no bytes. */
typedef struct px_byte_source {
    uint8_t *bytes; /* allocated with malloc; NULL: the bytes are in file, which is open */
    size_t size;
    px_file_in file;
} px_byte_source;

/* Opens a file without reading it. PX_ERR_FILE if that fails, or path is not a regular file. An empty file is closed
 * again, and gives a source without bytes. */
px_status px_byte_source_open(px_context *ctx, const char *path, px_byte_source *input);

/* Reads the file of a source into memory and closes it. PX_ERR_FILE, PX_ERR_MEMORY, or PX_ERR_FORMAT if it has more
 * than `limit` bytes. Does nothing to bytes that are in memory already. */
px_status px_byte_source_load(px_context *ctx, const char *path, size_t limit, px_byte_source *input);

/* Opens a file and loads it into memory. */
px_status px_byte_source_read(px_context *ctx, const char *path, size_t limit, px_byte_source *input);

/* Grows an array so that `wanted` items of item_bytes bytes fit. array is the address of the pointer to it, which is
 * NULL at first; *capacity is the allocated number of items, 0 at first. owner stands in the message of PX_ERR_MEMORY,
 * after which nothing has changed. */
px_status px_grow(px_context *ctx, const char *owner, size_t wanted, size_t item_bytes, size_t *capacity, void *array);

/* Copies `bytes` bytes from `offset` on; offset + bytes must be at most size. Several threads may call it at the same
 * time. PX_ERR_FILE if the file has become too short. */
px_status px_byte_source_copy(px_context *ctx, const char *path, const px_byte_source *input, size_t offset,
                              size_t bytes, void *to);

static inline bool px_byte_source_in_file(const px_byte_source *input) { return !input->bytes && input->size > 0; }

/* Closes the file or frees the bytes, and makes input empty. */
void px_byte_source_free(px_byte_source *input);

/* Returns the bytes, now owned by the caller, and makes input empty. */
static inline px_byte_source px_byte_source_take(px_byte_source *input) {
    const px_byte_source taken = *input;
    *input = (px_byte_source){0};
    return taken;
}

/* The number in 4 bytes, the most significant first. */
static inline size_t px_big_endian(const uint8_t *bytes) {
    return (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
}

#endif
