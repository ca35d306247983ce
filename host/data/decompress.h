/* Reading files that may be compressed. Internal to host/data/. */
#ifndef PIXELRNN_DATA_DECOMPRESS_H
#define PIXELRNN_DATA_DECOMPRESS_H

#include "host/data/byte_source.h"

/* Reads the content of path into memory, unpacked if it is compressed. PX_ERR_FILE if it cannot be read; PX_ERR_FORMAT
 * if it is damaged, or unpacks to more than `limit` bytes (the message then ends with `advice`); PX_ERR_MEMORY. After a
 * failure input is empty. */
px_status px_decompress(px_context *ctx, const char *path, size_t limit, const char *advice, px_byte_source *input);

/* Reads the first bytes of the content, up to `max_bytes`, into head, and their number into *size. */
px_status px_decompress_head(px_context *ctx, const char *path, size_t max_bytes, uint8_t *head, size_t *size);

#endif
