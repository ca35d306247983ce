/* GEMM on the calling thread through oneDNN's matmul primitive (API 2.5 to 3.x), in float32 and bfloat16.
 *
 * oneDNN compiles a primitive for each shape. A px_onednn holds the primitives of one thread, found again by shape.
 * Sums are float32, in an order that depends on the shape alone. */
#ifndef PIXELRNN_DEVICE_ONEDNN_H
#define PIXELRNN_DEVICE_ONEDNN_H

#include "host/device/cpu/cpu.h"

#ifdef PX_ONEDNN

/* Creates the primitives of one thread. scratch: memory of `bytes` bytes in which they work, borrowed. NULL if memory
 * or oneDNN's engine is missing, or if oneDNN has no optimised kernel for operands of this type on this processor.
 * px_onednn_destroy accepts NULL. */
px_onednn *px_onednn_create(px_type operands, void *scratch, size_t bytes);
void px_onednn_destroy(px_onednn *onednn);

/* Computes one GEMM; batch and stride_* of the descriptor are not read. Returns false, and computes nothing, if
 * `onednn` is NULL, or oneDNN has no kernel for the shape that fits the scratch memory. */
bool px_onednn_gemm(px_onednn *onednn, const px_gemm_args *gemm, const px_cpu_epilogue *epilogue);

#else

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
