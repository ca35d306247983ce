/* The whole content of a file in memory, unpacked if it is gzip. Internal to host/data/. */
#ifndef PIXELRNN_DATA_DECOMPRESS_H
#define PIXELRNN_DATA_DECOMPRESS_H

#include "pixelrnn/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct px_contents {
    uint8_t *bytes; /* to be freed */
    size_t size;
} px_contents;

/* Whether a file that begins with these bytes is gzip. */
bool px_gzip_recognise(const uint8_t *bytes, size_t size);

/* Reads path to its end. PX_ERR_FILE if it cannot be read, PX_ERR_FORMAT if it is damaged or its content is above
 * `limit` bytes, PX_ERR_MEMORY. Nothing is to be freed after a failure. */
px_status px_decompress(px_context *ctx, const char *path, size_t limit, px_contents *contents);

#endif
