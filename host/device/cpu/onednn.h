/* GEMMs and convolutions on the calling thread through oneDNN's primitives (API 2.5 to 3.x), in float32 and bfloat16.
 *
 * oneDNN compiles a primitive for each shape. A px_onednn holds the primitives of one thread, found again by shape.
 * Sums are float32, in an order that depends on the shape alone. */
#ifndef PIXELRNN_DEVICE_ONEDNN_H
#define PIXELRNN_DEVICE_ONEDNN_H

#include "host/device/cpu/cpu.h"

/* A convolution of one image with a rectangle of taps, or its input gradient. All members have 8 bytes. */
typedef struct px_onednn_shape {
    uint64_t height, width, in, out;
    uint64_t rows, columns, centre;  /* of the taps: px_taps */
    uint64_t gradient;               /* 1: input gradient */
    uint64_t type;                   /* px_type of all tensors */
    uint64_t has_bias, onto, relu_y; /* forward: y = relu(sum + bias), or with onto relu(y + sum + bias) */
} px_onednn_shape;
typedef struct px_onednn_convolution px_onednn_convolution;

#ifdef PX_ONEDNN

/* Creates the primitives of one thread. scratch: memory of `bytes` bytes in which they work, borrowed. NULL if memory
 * or oneDNN's engine is missing, or if oneDNN has no optimised kernel for operands of this type on this processor.
 * px_onednn_destroy accepts NULL. */
px_onednn *px_onednn_create(px_type operands, void *scratch, size_t bytes);
void px_onednn_destroy(px_onednn *onednn);

/* Computes one GEMM; batch and stride_* of the descriptor are not read. Returns false, and computes nothing, if
 * `onednn` is NULL, or oneDNN has no kernel for the shape that fits the scratch memory. */
bool px_onednn_gemm(px_onednn *onednn, const px_gemm_args *gemm, const px_cpu_epilogue *epilogue);

/* The primitive of this shape; NULL if `onednn` is NULL, or if oneDNN has no optimised kernel that fits the scratch
 * memory and needs a weight of at most `bytes` bytes. `onednn` owns it. */
px_onednn_convolution *px_onednn_convolution_find(px_onednn *onednn, const px_onednn_shape *shape, size_t bytes);

/* Reorders a weight (out, rows * columns * in) into the format of the primitive, at `to`. */
bool px_onednn_reorder(px_onednn *onednn, px_onednn_convolution *convolution, const void *weight, void *to);

/* Convolves one image: forward reads x (H * W, in) and writes y (H * W, out); the input gradient reads y and writes x.
 * weight: reordered. bias: (out), or NULL without one. False, if oneDNN fails. */
bool px_onednn_convolve(px_onednn *onednn, px_onednn_convolution *convolution, void *x, const void *weight,
                        const void *bias, void *y);

#else

static inline px_onednn_convolution *px_onednn_convolution_find(px_onednn *onednn, const px_onednn_shape *shape,
                                                                size_t bytes) {
    (void)onednn, (void)shape, (void)bytes;
    return NULL;
}
static inline bool px_onednn_reorder(px_onednn *onednn, px_onednn_convolution *convolution, const void *weight,
                                     void *to) {
    (void)onednn, (void)convolution, (void)weight, (void)to;
    return false;
}
static inline bool px_onednn_convolve(px_onednn *onednn, px_onednn_convolution *convolution, void *x,
                                      const void *weight, const void *bias, void *y) {
    (void)onednn, (void)convolution, (void)x, (void)weight, (void)bias, (void)y;
    return false;
}
static inline px_onednn *px_onednn_create(px_type operands, void *scratch, size_t bytes) {
    (void)operands, (void)scratch, (void)bytes;
    return NULL;
}
static inline void px_onednn_destroy(px_onednn *onednn) { (void)onednn; }
static inline bool px_onednn_gemm(px_onednn *onednn, const px_gemm_args *gemm, const px_cpu_epilogue *epilogue) {
    (void)onednn, (void)gemm, (void)epilogue;
    return false;
}

#endif
#endif
