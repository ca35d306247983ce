/* What the header of a .npy file says, and whether those are images. Internal to host/data/. */
#ifndef PIXELRNN_DATA_NPY_HEADER_H
#define PIXELRNN_DATA_NPY_HEADER_H

#include "host/data/formats.h"

enum {
    PX_NPY_DIMENSIONS = 32,              /* numpy's own limit before version 2 */
    PX_NPY_HEADER_MOST = 12 + (1 << 16), /* no header of ours or numpy's is longer */
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

/* PX_ERR_FORMAT unless a file of `size` bytes with this header holds images: uint8, C order, [N, H, W, C] or [N, H, W].
 */
px_status px_npy_header_images(px_context *ctx, const char *path, const px_npy_header *h, size_t size);

#endif
