/* Properties of a JPEG that are read from its segments before stb_image decodes it. Internal to host/data/. */
#ifndef PIXELRNN_DATA_JPEG_H
#define PIXELRNN_DATA_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
