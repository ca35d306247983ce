/* Reading one picture (PNG, JPEG, ...) through stb_image. */
#ifndef PIXELRNN_PICTURE_H
#define PIXELRNN_PICTURE_H

#include "pixelrnn/status.h"
#include <stdint.h>

/* Decodes a picture file to uint8 [height, width, channels], channels 1 or 3 as asked for; to be freed. PX_ERR_FILE or
 * PX_ERR_FORMAT with the reason. */
px_status px_picture_read(px_context *ctx, const char *path, int channels, uint8_t **pixels, int *height, int *width);

#endif
