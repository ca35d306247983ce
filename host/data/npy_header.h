/* The header of a .npy file, and the images that it describes. Internal to host/data/. */
#ifndef PIXELRNN_DATA_NPY_HEADER_H
#define PIXELRNN_DATA_NPY_HEADER_H

#include "host/data/formats.h"

enum {
    PX_NPY_DIMENSIONS = 32,             /* numpy's own limit before version 2 */
    PX_NPY_HEADER_MAX = 12 + (1 << 16), /* no header of ours or numpy's is longer */
};

typedef struct px_npy_header {
    char descr[32]; /* the element's type */
    bool fortran_order;
    int dimensions;
    size_t shape[PX_NPY_DIMENSIONS];
    size_t elements; /* where in the file they start */
} px_npy_header;

/* Parses the header that stands at the beginning of bytes. Format versions 1 to 3. PX_ERR_FORMAT. */
px_status px_npy_header_parse(px_context *ctx, const char *path, const uint8_t *bytes, size_t size, px_npy_header *h);

/* The images in a file of `size` bytes with this header: uint8 or bool; [N, H, W, C], [N, H, W], [N, S S], or
 * [N, 3 S S] in planes. PX_ERR_FORMAT if it holds something else: what was found, and what to do. */
px_status px_npy_images(px_context *ctx, const char *path, const px_npy_header *h, size_t size, px_array *array);

/* Whether the array's shape is that of labels: [N], [N, 1], or one-hot as far as `got` bytes of the file show it. */
bool px_npy_labels(const px_npy_header *h, const uint8_t *bytes, size_t got);

/* "(10, 28, 28) '|u1'", cut to fit. */
enum { PX_NPY_TEXT = 160 };
const char *px_npy_text(const px_npy_header *h, char text[PX_NPY_TEXT]);

#endif
