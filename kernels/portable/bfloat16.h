/* bfloat16: the upper half of a float32. Eight significant bits, so that rounding is off by 2^-8 of a value at most,
 * and float32's range: nothing that float32 holds overflows but its last half step, and gradients do not fade. */
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

PX_HOST_DEVICE float px_from_bfloat16(uint16_t half) {
    return px_float_of_bits((uint32_t)half << 16);
}

/* To the nearest, ties to even; infinities stay, and a NaN becomes the one that the GPU's conversion gives. */
PX_HOST_DEVICE uint16_t px_to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
}

#endif
