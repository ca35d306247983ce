/* Files that may be compressed. Internal to host/data/. */
#ifndef PIXELRNN_DATA_DECOMPRESS_H
#define PIXELRNN_DATA_DECOMPRESS_H

#include "host/data/byte_source.h"

/* Reads what path holds, unpacked if it is compressed, into memory. PX_ERR_FILE if it cannot be read, PX_ERR_FORMAT if
 * it is damaged or its content is above `limit` bytes, which is noticed while it is unpacked and followed by `advice`;
 * PX_ERR_MEMORY. Nothing is to be freed after a failure. */
px_status px_decompress(px_context *ctx, const char *path, size_t limit, const char *advice, px_byte_source *input);

/* Its first bytes, up to `most`. */
px_status px_decompress_head(px_context *ctx, const char *path, size_t max_bytes, uint8_t *head, size_t *size);

#endif
