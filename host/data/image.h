/* Decoding PNG and JPEG files, and downsampling. */
#ifndef PIXELRNN_DATA_IMAGE_H
#define PIXELRNN_DATA_IMAGE_H

#include "pixelrnn/status.h"
#include <stddef.h>
#include <stdint.h>

enum {
    PX_IMAGE_BYTES = 1 << 28,  /* maximum size of an encoded file */
    PX_IMAGE_PIXELS = 1 << 27, /* maximum number of pixels; checked because a small file can state any size */
};

/* Decodes an image file to uint8 [height, width, channels] with 1 or 3 channels. The caller frees *pixels. PX_ERR_FILE,
 * PX_ERR_FORMAT or PX_ERR_MEMORY. Colour becomes grey by its luma; alpha is ignored. A JPEG is rotated or mirrored as
 * its EXIF orientation says, and must have an end marker. The CRC-32s and the Adler-32 of a PNG are verified. */
px_status px_image_read(px_context *ctx, const char *path, int channels, uint8_t **pixels, int *height, int *width);

/* Decodes an image file of `size` bytes in memory. name stands in messages. */
px_status px_image_decode(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int channels,
                          uint8_t **pixels, int *height, int *width);

/* Reads from its header the size that px_image_decode gives an image. PX_ERR_FORMAT if there is no valid header, or
 * the size is above PX_IMAGE_PIXELS. */
px_status px_image_measure(px_context *ctx, const char *name, const uint8_t *bytes, size_t size, int *height,
                           int *width);

/* Downsamples the largest centred square of pixels [height, width, channels] to output [side, side, channels]. Each
 * output pixel is the mean of the area that it covers, rounded to nearest; partly covered pixels are weighted by the
 * covered area. side must be at most min(height, width), and both at most 32768. */
void px_image_downsample(const uint8_t *pixels, int height, int width, int channels, int side, uint8_t *output);

/* The luma of an RGB pixel, as px_image_decode computes it: (77 R + 150 G + 29 B) / 256. */
static inline uint8_t px_image_luma(const uint8_t *rgb) {
    return (uint8_t)((77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2]) >> 8);
}

#endif
