/* px_store: what activations are stored as. A text reads it as a float and writes a float to it; all arithmetic is in
 * px_real. Without PX_STORE_BF16 it is px_real itself; with it, in C++ on either target, a bfloat16 that converts in
 * passing.
 *
 * Where a choice has it on one side, say which type it is to have, which else would be the other side's:
 * inside ? (px_real)x[column] : 0. */
#ifndef PIXELRNN_KERNELS_STORE_H
#define PIXELRNN_KERNELS_STORE_H

#include "kernels/portable/bfloat16.h"

#ifndef PX_STORE_BF16
typedef px_real px_store;
#else

class px_store {
    uint16_t half;

  public:
    /* No constructor: a temporary on the way would keep gcc from vectorising. Assignments may follow each other. */
    PX_MEMBER px_real operator=(px_real value) {
#ifdef __CUDA_ARCH__
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(half) : "f"(value)); /* px_to_bfloat16 in one instruction */
#else
        half = px_to_bfloat16((float)value);
#endif
        return value;
    }
    PX_MEMBER operator px_real() const {
        return px_from_bfloat16(half);
    }
};
#endif

#endif
