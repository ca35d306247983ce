/* Tiles of a matrix in shared memory, and vectors of neighbouring channels in registers.
 *
 * A tile has rows of CHUNKS chunks; a chunk is 16 bytes, 8 values of bfloat16. ldmatrix reads one chunk of 8 successive
 * rows at a time. The chunks of a row are permuted (swizzled) so that these 8 chunks lie in all 32 banks. */
#ifndef PIXELRNN_KERNELS_TILE_H
#define PIXELRNN_KERNELS_TILE_H

#include "kernels/portable/bfloat16.h"
#include <stddef.h>

enum { PX_CHUNK = 8, PX_CHUNK_BYTES = 16 };

/* The offset of a chunk in bytes. CHUNKS is 2, 4 or 8: then 8 / CHUNKS rows fill the banks once, and the permutation
 * changes with each such group of rows. */
template <int CHUNKS> PX_HOST_DEVICE uint32_t px_tile_offset(int row, int chunk) {
    const int group = row * CHUNKS / 8;
    return (uint32_t)((row * CHUNKS + (chunk ^ group % CHUNKS)) * PX_CHUNK_BYTES);
}

/* N neighbouring channels: bfloat16, or float32. One load or store each. */
template <int N> struct alignas(2 * N) px_bf16_vector {
    static constexpr size_t ELEMENT_BYTES = 2;
    uint32_t pair[N / 2];
};
template <int N> struct alignas(4 * N) px_float_vector {
    static constexpr size_t ELEMENT_BYTES = 4;
    float value[N];
};

template <int N> PX_HOST_DEVICE float px_bf16_get(const px_bf16_vector<N> &x, int i) {
    return px_float_of_bits(i % 2 ? x.pair[i / 2] & 0xffff0000u : x.pair[i / 2] << 16);
}
template <int N> PX_HOST_DEVICE px_bf16_vector<N> px_bf16_round(const px_float_vector<N> &x) {
    px_bf16_vector<N> rounded;
    PX_UNROLL
    for (int i = 0; i < N / 2; i++) rounded.pair[i] = px_to_bf16x2(x.value[2 * i], x.value[2 * i + 1]);
    return rounded;
}

#endif
