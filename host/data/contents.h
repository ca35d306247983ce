/* The bytes of a file, mapped or in memory. Internal to host/data/. */
#ifndef PIXELRNN_DATA_CONTENTS_H
#define PIXELRNN_DATA_CONTENTS_H

#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: no bytes. Bytes in memory are malloc's. */
typedef struct px_contents {
    uint8_t *bytes; /* read only where mapped */
    size_t size;
    bool mapped;
    int file; /* of a mapping: the descriptor, to notice a file that shrank */
} px_contents;

/* Maps the whole of a file. PX_ERR_FILE if it cannot be opened, or is no file. An empty one has no bytes. */
px_status px_contents_map(px_context *ctx, const char *path, px_contents *contents);

/* Reads the whole of a file into memory. PX_ERR_FILE; PX_ERR_FORMAT if it is above `limit` bytes. */
px_status px_contents_read(px_context *ctx, const char *path, size_t limit, px_contents *contents);

/* PX_ERR_FILE if a mapped file is shorter now than when it was opened: to read beyond its end would end the process. */
px_status px_contents_check(px_context *ctx, const char *path, const px_contents *contents);

/* Unmaps or frees; contents are empty then. */
void px_contents_free(px_contents *contents);

#endif
