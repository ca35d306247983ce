/* px_store: the storage type of activations. It is px_real, or with PX_STORE_BF16 a bfloat16 class (C++ on both
 * targets) that converts to px_real when it is read and rounds when it is assigned. All arithmetic is in px_real.
 *
 * A conditional expression with a px_store on one side needs a cast, or it would have the type of the other side:
 * inside ? (px_real)x[column] : 0. */
#ifndef PIXELRNN_KERNELS_STORE_H
#define PIXELRNN_KERNELS_STORE_H

#include "kernels/portable/bfloat16.h"

#ifndef PX_STORE_BF16
typedef px_real px_store;
#else

class px_store {
    uint16_t bits;

  public:
    /* There is no constructor: a temporary object would keep gcc from vectorising. Assignments can be chained. */
    PX_MEMBER px_real operator=(px_real value) {
#ifdef __CUDA_ARCH__
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value)); /* px_to_bfloat16 in one instruction */
#else
        bits = px_to_bfloat16((float)value);
#endif
        return value;
    }
    PX_MEMBER operator px_real() const { return px_from_bfloat16(bits); }
};
#endif

#endif
