/* Images (PNG, JPEG) through stb_image, and making them smaller. */
#ifndef PIXELRNN_DATA_IMAGE_H
#define PIXELRNN_DATA_IMAGE_H

#include "pixelrnn/status.h"
#include <stddef.h>
#include <stdint.h>

enum {
    PX_IMAGE_BYTES = 1 << 28,  /* the largest file that is decoded */
    PX_IMAGE_PIXELS = 1 << 27, /* and the largest image: a small file may claim to be any */
};

/* Decodes an image file to uint8 [height, width, channels], channels 1 or 3 as asked for; to be freed. PX_ERR_FILE or
 * PX_ERR_FORMAT with the reason. Colour becomes grey by its luma; transparency is left out. A JPEG is turned as its
 * EXIF orientation says. It must have its end marker; a PNG's CRC-32s and its Adler-32 must be those of its data. */
px_status px_image_read(px_context *ctx, const char *path, int channels, uint8_t **pixels, int *height, int *width);

/* The same from `size` bytes in memory, `name` naming them in messages. */
px_status px_image_decode(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int channels,
                          uint8_t **pixels, int *height, int *width);

/* The size that px_image_decode gives an image in memory, from its header alone. PX_ERR_FORMAT if there is none, or it
 * is above PX_IMAGE_PIXELS. */
px_status px_image_measure(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int *height,
                           int *width);

/* The largest square around the centre of pixels [height, width, channels], averaged over areas to output [side, side,
 * channels]: each pixel is the mean of what it covers, parts of pixels weighted by their share, rounded to nearest.
 * side is at most the lesser of height and width; sides are at most 32768. */
void px_image_downsample(const uint8_t *pixels, int height, int width, int channels, int side, uint8_t *output);

/* Colour to grey by its luma, as px_image_decode has it: (77 R + 150 G + 29 B) / 256. */
static inline uint8_t px_image_luma(const uint8_t *rgb) {
    return (uint8_t)((77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2]) >> 8);
}

#endif
