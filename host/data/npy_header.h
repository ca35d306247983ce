/* Parsing the header of a .npy file, and finding images in its array. Internal to host/data/. */
#ifndef PIXELRNN_DATA_NPY_HEADER_H
#define PIXELRNN_DATA_NPY_HEADER_H

#include "host/data/formats.h"

enum {
    PX_NPY_DIMENSIONS = 32,             /* maximum; the limit of NumPy before version 2 */
    PX_NPY_HEADER_MAX = 12 + (1 << 16), /* bytes; NumPy and this program write no longer header */
};

typedef struct px_npy_header {
    char descr[32]; /* the type of the elements, for example "|u1" */
    bool fortran_order;
    int dimensions;
    size_t shape[PX_NPY_DIMENSIONS];
    size_t elements; /* offset of the first element in the file */
} px_npy_header;

/* Parses the header at the beginning of bytes, of format versions 1 to 3. PX_ERR_FORMAT if it is malformed. */
px_status px_npy_header_parse(px_context *ctx, const char *path, const uint8_t *bytes, size_t size, px_npy_header *h);

/* Describes the images in a file of `size` bytes with this header: uint8 or bool; [N, H, W, C], [N, H, W], [N, S S], or
 * [N, 3 S S] in planes. PX_ERR_FORMAT for other arrays, with advice where that helps. */
px_status px_npy_images(px_context *ctx, const char *path, const px_npy_header *h, size_t size, px_array *array);

/* Returns whether the array looks like labels: [N], [N, 1], or rows that are one-hot. bytes are the first `got` bytes
 * of the file, so only their rows are examined. */
bool px_npy_labels(const px_npy_header *h, const uint8_t *bytes, size_t got);

/* Writes shape and type for a message, truncated to fit: "(10, 28, 28) '|u1'". Returns text. */
enum { PX_NPY_TEXT = 160 };
const char *px_npy_text(const px_npy_header *h, char text[PX_NPY_TEXT]);

#endif
