/* The LSTM cell of lstm_cell.h with a tanh of one instruction, for kernels whose results are rounded to bfloat16. */
#ifndef PIXELRNN_KERNELS_LSTM_CELL_APPROX_H
#define PIXELRNN_KERNELS_LSTM_CELL_APPROX_H

#include "host/device/backend.h"
#include "kernels/portable/inline.h"
#include <math.h>

/* On the device the relative error is at most 2^-11 (PTX ISA: tanh.approx.f32, from sm_75 on). That is less than the
 * error of rounding to bfloat16. */
PX_HOST_DEVICE px_real px_tanh_approx(px_real x) {
#ifdef __CUDA_ARCH__
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return (px_real)tanhf((float)x);
#endif
}
PX_HOST_DEVICE px_real px_sigmoid_approx(px_real x) {
    return (px_real)0.5 * px_tanh_approx((px_real)0.5 * x) + (px_real)0.5;
}
#define PX_CELL_FUNCTION PX_HOST_DEVICE
#define PX_CELL_SIGMOID  px_sigmoid_approx
#define PX_CELL_TANH     px_tanh_approx
#include "kernels/lstm_cell.h"

#endif
