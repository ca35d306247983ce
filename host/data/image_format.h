/* Formats of images: those that are read, and others, which are recognised to be named and counted. Internal to
 * host/data/. */
#ifndef PIXELRNN_DATA_IMAGE_FORMAT_H
#define PIXELRNN_DATA_IMAGE_FORMAT_H

#include "pixelrnn/source.h"

/* The first ones are read; the others number px_source.left_out, from PX_IMAGE_GIF on. A tar among images is listed
 * with them, because its images are left out too. */
typedef enum {
    PX_IMAGE_PNG,
    PX_IMAGE_JPEG,
    PX_IMAGE_GIF,
    PX_IMAGE_BMP,
    PX_IMAGE_WEBP,
    PX_IMAGE_TIFF,
    PX_IMAGE_HEIF,
    PX_IMAGE_JPEG_2000,
    PX_IMAGE_JPEG_XL,
    PX_IMAGE_PNM,
    PX_IMAGE_TAR,
    PX_IMAGE_UNKNOWN,
} px_image_format;

static inline bool px_image_is_read(px_image_format format) {
    return format <= PX_IMAGE_JPEG;
}

/* "WebP"; of PX_IMAGE_UNKNOWN NULL. */
const char *px_image_format_name(px_image_format format);

/* The format that the ending of a file's name stands for, in small or capital letters. PX_IMAGE_UNKNOWN for any other
 * ending, and for names that begin with a dot. */
px_image_format px_image_format_of_name(const char *name);

/* The format that a file's first bytes stand for. */
px_image_format px_image_format_of_bytes(const uint8_t *bytes, size_t size);

/* Counts a file of this name in left_out (see px_source) if it is of a format that is not read. */
void px_image_count_left_out(const char *name, size_t left_out[PX_FORMATS_LEFT_OUT]);

#endif
