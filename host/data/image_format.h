/* Formats of pictures: those that are read, and others, which are recognised to be named and counted. Internal to
 * host/data/. */
#ifndef PIXELRNN_DATA_PICTURE_FORMAT_H
#define PIXELRNN_DATA_PICTURE_FORMAT_H

#include "pixelrnn/source.h"

/* The first ones are read; the others number px_source.left_out, from PX_PICTURE_GIF on. A tar among pictures is listed
 * with them, because its pictures are left out too. */
typedef enum {
    PX_PICTURE_PNG,
    PX_PICTURE_JPEG,
    PX_PICTURE_GIF,
    PX_PICTURE_BMP,
    PX_PICTURE_WEBP,
    PX_PICTURE_TIFF,
    PX_PICTURE_HEIF,
    PX_PICTURE_JPEG_2000,
    PX_PICTURE_JPEG_XL,
    PX_PICTURE_PNM,
    PX_PICTURE_TAR,
    PX_PICTURE_UNKNOWN,
} px_picture_format;

static inline bool px_picture_is_read(px_picture_format format) {
    return format <= PX_PICTURE_JPEG;
}

/* "WebP"; of PX_PICTURE_UNKNOWN NULL. */
const char *px_picture_format_name(px_picture_format format);

/* The format that the ending of a file's name stands for, in small or capital letters. PX_PICTURE_UNKNOWN for any other
 * ending, and for names that begin with a dot. */
px_picture_format px_picture_format_of_name(const char *name);

/* The format that a file's first bytes stand for. */
px_picture_format px_picture_format_of_bytes(const uint8_t *bytes, size_t size);

/* Counts a file of this name in left_out (see px_source) if it is of a format that is not read. */
void px_picture_count_left_out(const char *name, size_t left_out[PX_FORMATS_LEFT_OUT]);

#endif
