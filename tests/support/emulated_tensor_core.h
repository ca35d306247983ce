/* kernels/sm80/tensor_core.h for a C++ compiler: the same functions on an emulated block, so that the source of the
 * kernel runs on the CPU. A fragment holds the values of the rows, or columns, that the thread's sums need. */
#ifndef PIXELRNN_KERNELS_TENSOR_CORE_H /* in place of tensor_core.h */
#define PIXELRNN_KERNELS_TENSOR_CORE_H

#include "kernels/sm80/tile.h"
#include "tests/support/emulated_cuda.h"
#include <string.h>

#undef __shared__
#define __shared__ static /* one for all fibers: one block runs at a time */

static inline int px_warp_lane() { return (int)(threadIdx.x % 32); }
static inline uint32_t px_dynamic_shared() { return PX_EMULATED_BASE; }

template <class VECTOR> VECTOR px_load_vector(const void *from) {
    VECTOR x;
    if ((uintptr_t)from % alignof(VECTOR) != 0) px_emulated_fault("a load that is not aligned");
    memcpy(&x, from, sizeof x);
    return x;
}
template <class VECTOR> void px_store_vector(void *to, const VECTOR &x) {
    if ((uintptr_t)to % alignof(VECTOR) != 0) px_emulated_fault("a store that is not aligned");
    memcpy(to, &x, sizeof x);
}

/* Copies of a thread. They are executed at once or when the thread waits for them, at random. */
void px_copy_chunk(uint32_t to, const void *from, bool is_present);
void px_copy_commit();
void px_copy_wait_for(int pending);
template <int PENDING> void px_copy_wait() { px_copy_wait_for(PENDING); }

static inline void px_wait_for_previous_launch() {}
static inline void px_allow_next_launch() {}

struct px_fragment_a {
    float value[2][16]; /* rows lane / 4 and lane / 4 + 8 */
};
struct px_fragment_b {
    float value[2][2][16]; /* of either product: columns 2 (lane % 4) and 2 (lane % 4) + 1 */
};

/* Element (row, column) of a tile, from the first of the chunks. */
template <int CHUNKS> float px_tile_value(uint32_t tile, int row, int chunk, int column) {
    uint16_t bits;
    const uint32_t offset = px_tile_offset<CHUNKS>(row, chunk + column / PX_CHUNK);
    memcpy(&bits, px_emulated_shared(tile + offset, PX_CHUNK_BYTES, PX_CHUNK_BYTES) + column % PX_CHUNK * 2, 2);
    return px_from_bfloat16(bits);
}

template <int CHUNKS> px_fragment_a px_load_a(uint32_t tile, int row, int chunk) {
    px_fragment_a a;
    for (int half = 0; half < 2; half++)
        for (int k = 0; k < 16; k++)
            a.value[half][k] = px_tile_value<CHUNKS>(tile, row + 8 * half + px_warp_lane() / 4, chunk, k);
    return a;
}
template <int CHUNKS> px_fragment_b px_load_b(uint32_t tile, int column, int chunk) {
    px_fragment_b b;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++)
            b.value[i / 2][i % 2][k] =
                px_tile_value<CHUNKS>(tile, column + i / 2 * 8 + 2 * (px_warp_lane() % 4) + i % 2, chunk, k);
    return b;
}
template <int CHUNKS> px_fragment_b px_load_b_transposed(uint32_t tile, int row, int chunk) {
    px_fragment_b b;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++)
            b.value[i / 2][i % 2][k] = px_tile_value<CHUNKS>(tile, row + k, chunk,
                                                             i / 2 * 8 + 2 * (px_warp_lane() % 4) + i % 2);
    return b;
}
static inline void px_mma(float (&sum)[4], const px_fragment_a &a, const px_fragment_b &b, int half) {
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++) sum[i] += a.value[i / 2][k] * b.value[half][i % 2][k];
}

#endif
