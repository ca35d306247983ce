/* One text per kernel, two targets: the subset that C and CUDA share.
 *
 * A kernel file defines one operation of device.h as a function of a place in a tensor, and a line that makes it an
 * operation. One element:
 *
 *   PX_ROW void ema(size_t row, int column, const px_ema_args *k) { ... }
 *   PX_ROW_KERNEL(ema, k->weights.rows, k->weights.columns)
 *
 * One element of a row whose addresses px_taken_at(row, k) found once:
 *
 *   PX_ROW void gather(px_taken at, int column, const px_im2col_args *k) { ... }
 *   PX_PLACED_KERNEL(gather, px_taken, px_taken_at, k->y.rows, k->y.columns)
 *
 * One row, shared by lanes, each of which takes its share of PX_LANE_LOOP(column, columns, reduction(+ : sum)):
 *
 *   PX_LANES void softmax_nll(size_t row, px_lane lane, const px_softmax_nll_args *k) { ... }
 *   PX_LANES_KERNEL(softmax_nll, k->logits.rows)
 *
 * nvcc makes px_cuda_NAME: a __global__ kernel, columns across a warp, and its launch on the device's stream; a row's
 * lanes are the 32 threads of a warp. cc makes px_cpu_NAME: OpenMP over rows, simd over columns; a row has one lane.
 * Results never depend on the number of threads: every element has one writer, and sums run in one order.
 *
 * A text that says px_row or px_store touches activations. It is compiled once more with PX_STORE_BF16, as C++, where
 * px_store is a bfloat16 (store.h), and then makes px_cuda_NAME_bf16 or px_cpu_NAME_bf16. */
#ifndef PIXELRNN_KERNELS_PORTABLE_H
#define PIXELRNN_KERNELS_PORTABLE_H

#include "host/device/backend.h"
#include "kernels/portable/random.h"
#include <math.h>

typedef struct px_lane {
    int index, count;
} px_lane;

#ifdef PX_STORE_BF16
#define PX_OP(target, name) px_##target##_##name##_bf16
#else
#define PX_OP(target, name) px_##target##_##name
#endif
#ifdef __CUDACC__
#include "kernels/portable/portable_cuda.h"
#else
#include "kernels/portable/portable_cpu.h"
#endif
#include "kernels/portable/store.h"

/* A kernel whose place is just its row. */
PX_FUNCTION size_t px_row_itself(size_t row, const void *k) {
    (void)k;
    return row;
}
#define PX_ROW_KERNEL(name, ROWS, COLUMNS) PX_PLACED_KERNEL(name, size_t, px_row_itself, ROWS, COLUMNS)

/* Element access: activations, reals, doubles, levels. Rows are plain pointers, so that the column loop sees unit
 * stride. */
PX_FUNCTION px_store *px_row(const px_tensor *tensor, size_t row) {
    return (px_store *)tensor->data + row * (size_t)tensor->columns;
}
PX_FUNCTION px_real *px_row_real(const px_tensor *tensor, size_t row) {
    return (px_real *)tensor->data + row * (size_t)tensor->columns;
}
PX_FUNCTION double *px_row_double(const px_tensor *tensor, size_t row) {
    return (double *)tensor->data + row * (size_t)tensor->columns;
}
PX_FUNCTION uint8_t *px_row_bytes(const px_tensor *tensor, size_t row) {
    return (uint8_t *)tensor->data + row * (size_t)tensor->columns;
}
/* A number of an update, in the precision it is computed with. */
PX_FUNCTION px_real px_update_number(const px_tensor *numbers, int which) {
    return (px_real)px_row_double(numbers, 0)[which];
}

/* In float32 sigmoid is off by 1.6e-7 of its value at most, tanh by 1.8e-7 in all (measured). */
PX_FUNCTION px_real px_sigmoid(px_real x) {
    return 1 / (1 + px_exp(-x));
}
PX_FUNCTION px_real px_tanh(px_real x) {
    return 2 / (1 + px_exp(-2 * x)) - 1;
}

/* The pixel that a tap reads: its row in the tensor, or -1 outside the image. */
PX_FUNCTION ptrdiff_t px_neighbour(const px_grid *grid, size_t pixel, int down, int right) {
    size_t in_image = pixel % ((size_t)grid->height * (size_t)grid->width);
    int row = (int)(in_image / (size_t)grid->width) + down, column = (int)(in_image % (size_t)grid->width) + right;
    bool inside = row >= 0 && row < grid->height && column >= 0 && column < grid->width;
    return inside ? (ptrdiff_t)pixel + (ptrdiff_t)down * grid->width + right : -1;
}

#endif
