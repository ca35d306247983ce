/* Recognising image formats: PNG and JPEG, which are read, and others, which are only named in messages and counted;
 * and checking a PNG or JPEG before stb_image decodes it. Internal to host/data/. */
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

/* Compares the CRC-32 of each chunk and the Adler-32 of the unpacked pixel data with those in the file. bytes must
 * begin with PNG's signature. PX_ERR_FORMAT, with name in the message, if one differs, if the file ends before its end
 * chunk, or if its pixel data cannot be unpacked.
 *
 * zlib unpacks the pixel data for this a second time, so decoding takes 60 % longer (24 photos: 160 ms instead of 100).
 */
px_status px_png_check(px_context *ctx, const char *name, const uint8_t *bytes, size_t size);

/* Properties of a JPEG that are read from its segments. */
typedef struct px_jpeg {
    /* No Huffman table has more than 256 symbols. stb_image 2.27 writes beyond its arrays for a table that states more.
     */
    bool tables_fit;
    /* An end marker follows the compressed pixels. stb_image fills missing pixels with grey and reports no error. */
    bool ended;
    /* EXIF's orientation, 1 to 8: how the stored pixels are rotated or mirrored to show the image. 1 (unchanged) if
     * EXIF is missing or damaged. */
    int orientation;
} px_jpeg;

/* Inspects an encoded image. For anything but a JPEG: tables_fit and ended are true, orientation is 1. */
px_jpeg px_jpeg_inspect(const uint8_t *bytes, size_t size);

#endif
