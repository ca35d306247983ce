/* NumPy .npy files as they are written: uint8 images [N, H, W, C], float64 vectors. source.h reads them. */
#ifndef PIXELRNN_NPY_H
#define PIXELRNN_NPY_H

#include "pixelrnn/status.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Writes the header of a version 1.0 file: descr "|u1" or "<f8", C order. It takes PX_NPY_HEADER bytes whatever the
 * shape of up to 4 dimensions, so that it can be written over once the count is known. PX_ERR_FILE if the disk is full.
 */
enum { PX_NPY_HEADER = 128 };
px_status px_npy_write_header(px_context *ctx, const char *path, FILE *file, const char *descr, int dimensions,
                              const size_t *shape);

#endif
