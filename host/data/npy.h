/* Writing NumPy .npy files: uint8 images [N, H, W, C] and float64 vectors. */
#ifndef PIXELRNN_NPY_H
#define PIXELRNN_NPY_H

#include "pixelrnn/status.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Writes the header of a version 1.0 file in C order; descr is "|u1" or "<f8". The header has PX_NPY_HEADER bytes for
 * any shape of up to 4 dimensions, so it can be overwritten when the number of images is known. PX_ERR_FILE if writing
 * fails.
 */
enum { PX_NPY_HEADER = 128 };
px_status px_npy_write_header(px_context *ctx, const char *path, FILE *file, const char *descr, int dimensions,
                              const size_t *shape);

#endif
