/* One source per kernel, two targets: the subset that C and CUDA share.
 *
 * A kernel file defines one operation of host/device/backend.h as a function of one element or one row, and a macro
 * that makes the function an operation. k is the descriptor. There are three forms:
 *
 * One element:
 *
 *   PX_ROW void ema(size_t row, int column, const px_ema_args *k) { ... }
 *   PX_ROW_KERNEL(ema, k->weights.rows, k->weights.columns)
 *
 * One element of a row whose addresses update_row_at(row, k) computes once a row:
 *
 *   PX_ROW void lstm_update(update at, int column, const px_lstm_update_args *k) { ... }
 *   PX_ADDRESSED_KERNEL(lstm_update, update, update_row_at, k->pre.rows, k->count)
 *
 * One row, shared by lanes, each of which executes its part of PX_LANE_LOOP(column, columns, reduction(+ : sum)):
 *
 *   PX_LANES void softmax_nll(size_t row, px_lane lane, const px_softmax_nll_args *k) { ... }
 *   PX_LANES_KERNEL(softmax_nll, k->logits.rows)
 *
 * nvcc compiles px_cuda_NAME: a __global__ kernel with columns across a warp, and its launch on the device's stream.
 * The lanes of a row are the 32 threads of a warp. The C compiler builds px_cpu_NAME: an OpenMP loop over rows with
 * simd columns; a row has one lane. Results do not depend on the number of threads: every element has one writer, and
 * sums run in one order.
 *
 * A source that names px_row or px_store reads or writes activations. It is compiled a second time with PX_STORE_BF16,
 * as C++, where px_store is a bfloat16 (store.h), into px_cuda_NAME_bf16 or px_cpu_NAME_bf16. */
#ifndef PIXELRNN_KERNELS_PORTABLE_H
#define PIXELRNN_KERNELS_PORTABLE_H

#include "host/device/backend.h"
#include "kernels/portable/random.h"
#include <float.h>
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

PX_FUNCTION size_t px_row_index(size_t row, const void *k) {
    (void)k;
    return row;
}
#define PX_ROW_KERNEL(name, ROWS, COLUMNS) PX_ADDRESSED_KERNEL(name, size_t, px_row_index, ROWS, COLUMNS)

/* Rows of tensors of activations, px_real, double and uint8. They are plain pointers, so that the compiler sees the
 * unit stride of the column loop. */
PX_FUNCTION px_store *px_row(const px_tensor *tensor, size_t row) {
    return (px_store *)tensor->data + row * (size_t)tensor->columns;
}
/* `otherwise` if the tensor is absent. */
PX_FUNCTION px_store *px_row_or(const px_tensor *tensor, size_t row, px_store *otherwise) {
    return tensor->data ? px_row(tensor, row) : otherwise;
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
/* Whether an update is made: the norm of the gradients, scale(0, 1), is finite. */
PX_FUNCTION bool px_update_is_made(const px_tensor *scale) { return fabs(px_row_double(scale, 0)[1]) <= DBL_MAX; }
/* A number of an optimiser update, PX_UPDATE_..., in the precision of the update. */
PX_FUNCTION px_real px_update_number(const px_tensor *numbers, int which) {
    return (px_real)px_row_double(numbers, 0)[which];
}

/* Measured in float32: sigmoid has a relative error of at most 1.6e-7, tanh an absolute error of at most 1.8e-7. */
PX_FUNCTION px_real px_sigmoid(px_real x) { return 1 / (1 + px_exp(-x)); }
PX_FUNCTION px_real px_tanh(px_real x) { return 2 / (1 + px_exp(-2 * x)) - 1; }

/* The tensor row of the pixel `down` rows and `right` columns from a pixel, or -1 outside the image. */
PX_FUNCTION ptrdiff_t px_neighbour(const px_grid *grid, size_t pixel, int down, int right) {
    const unsigned in_image = (unsigned)(pixel % ((size_t)grid->height * (size_t)grid->width));
    const int row = (int)(in_image / (unsigned)grid->width) + down,
              column = (int)(in_image % (unsigned)grid->width) + right;
    const bool inside = row >= 0 && row < grid->height && column >= 0 && column < grid->width;
    return inside ? (ptrdiff_t)pixel + (ptrdiff_t)down * grid->width + right : -1;
}

#endif
