/* What is read of a JPEG before stb_image decodes it. Internal to host/data/. */
#ifndef PIXELRNN_DATA_JPEG_H
#define PIXELRNN_DATA_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct px_jpeg {
    /* Whether no Huffman table has more than the 256 symbols that there are. stb_image 2.27 writes beyond its arrays
     * for one that claims more. */
    bool tables_fit;
    /* Whether an end marker follows the compressed pixels. stb_image takes pixels that are missing for grey. */
    bool ended;
    /* EXIF's, 1 to 8: how the stored pixels are turned or mirrored to show the image. 1, as they are, where EXIF is
     * missing or damaged. */
    int orientation;
} px_jpeg;

/* Of anything that is not a JPEG: tables fit, it has ended, orientation 1. */
px_jpeg px_jpeg_inspect(const uint8_t *bytes, size_t size);

#endif
