/* Recognising image formats: PNG and JPEG, which are read, and others, which are only named in messages and counted.
 * Internal to host/data/. */
#ifndef PIXELRNN_DATA_IMAGE_FORMAT_H
#define PIXELRNN_DATA_IMAGE_FORMAT_H

#include "pixelrnn/source.h"

/* PNG and JPEG are read. The others, from PX_IMAGE_GIF on, index px_source.left_out. A tar among images counts as such
 * a format, because its images are not read either. */
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

static inline bool px_image_is_read(px_image_format format) { return format <= PX_IMAGE_JPEG; }

/* The name of a format, for example "WebP"; NULL for PX_IMAGE_UNKNOWN. */
const char *px_image_format_name(px_image_format format);

/* The format for the extension of a file's name, in any case. PX_IMAGE_UNKNOWN for other extensions, and for names that
 * begin with a dot. */
px_image_format px_image_format_of_name(const char *name);

/* The format whose signature a file's first bytes have. */
px_image_format px_image_format_of_bytes(const uint8_t *bytes, size_t size);

/* Counts a file of this name in left_out (see px_source) if it is of a format that is not read. */
void px_image_count_left_out(const char *name, size_t left_out[PX_FORMATS_LEFT_OUT]);

#endif
