/* bfloat16: the upper half of a float32. It has 8 significant bits, so that rounding has a relative error of at most
 * 2^-8, and the range of float32. */
#ifndef PIXELRNN_BFLOAT16_H
#define PIXELRNN_BFLOAT16_H

#include "kernels/portable/inline.h"
#include <stdint.h>
#include <string.h>

PX_HOST_DEVICE float px_float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

PX_HOST_DEVICE float px_from_bfloat16(uint16_t bits) { return px_float_of_bits((uint32_t)bits << 16); }

/* Rounds to nearest, ties to even. Infinities are kept; a NaN becomes the NaN of the GPU's conversion. */
PX_HOST_DEVICE uint16_t px_to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
}

/* Two bfloat16 in a word, the first in its lower half. On the device it is one instruction. */
PX_HOST_DEVICE uint32_t px_to_bf16x2(float low, float high) {
#ifdef __CUDA_ARCH__
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return px_to_bfloat16(low) | (uint32_t)px_to_bfloat16(high) << 16;
#endif
}

#ifdef __CUDACC__
/* Stores 16 bytes in one instruction. The compiler would split a plain store of a uint4 into four. */
static __device__ __forceinline__ void px_store_global16(void *to, const uint32_t (&word)[4]) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(word[0]),
                 "r"(word[1]), "r"(word[2]), "r"(word[3])
                 : "memory");
}
#endif

#endif
