/* NumPy .npy files: uint8 images [N, H, W, C] or [N, H, W], memory-mapped when read; float64 vectors when written. */
#ifndef PIXELRNN_NPY_H
#define PIXELRNN_NPY_H

#include "pixelrnn/status.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct px_npy {
    const uint8_t *data; /* first element, C order */
    int dimensions;
    size_t shape[4];
    void *mapping; /* the whole file */
    size_t mapped; /* its bytes */
} px_npy;

/* Maps a uint8 array of 3 or 4 dimensions, none of them 0. PX_ERR_FORMAT names what the header says and what is read.
 * Format versions 1 to 3. */
px_status px_npy_open(px_context *ctx, const char *path, px_npy *npy);
void px_npy_close(px_npy *npy);

/* Writes the header of a version 1.0 file: descr "|u1" or "<f8", C order. It takes PX_NPY_HEADER bytes whatever the
 * shape of up to 4 dimensions, so that it can be written over once the count is known. PX_ERR_FILE if the disk is full.
 */
enum { PX_NPY_HEADER = 128 };
px_status px_npy_write_header(px_context *ctx, const char *path, FILE *file, const char *descr, int dimensions,
                              const size_t *shape);

#endif
