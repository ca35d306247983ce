/* The gates of a thread's eight hidden channels of a pixel in global memory, for both recurrences on clusters. Pixel -1
 * is none (px_thread_pixel): it reads as zeros, and nothing is stored or prefetched. */
#ifndef PIXELRNN_KERNELS_RECURRENCE_GATES_H
#define PIXELRNN_KERNELS_RECURRENCE_GATES_H

#include "kernels/sm90/sm90.h"

static __device__ __forceinline__ void px_gates_read(const px_cluster &c, const px_cluster_thread &at,
                                                     const px_tensor &tensor, int pixel, px_bf16x8 (&gates)[PX_GATES]) {
    const uint16_t *all = (const uint16_t *)tensor.data;
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++)
        gates[gate] = pixel < 0 ? px_bf16x8{} : px_load_global(all + px_gate_offset(&c, &at, pixel, gate));
}

static __device__ __forceinline__ void px_gates_write(const px_cluster &c, const px_cluster_thread &at,
                                                      const px_tensor &tensor, int pixel,
                                                      const px_bf16x8 (&gates)[PX_GATES]) {
    uint16_t *all = (uint16_t *)tensor.data;
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++)
        if (pixel >= 0) px_store_global(all + px_gate_offset(&c, &at, pixel, gate), gates[gate]);
}

static __device__ __forceinline__ void px_gates_prefetch(const px_cluster &c, const px_cluster_thread &at,
                                                         const px_tensor &tensor, int pixel) {
    const uint16_t *all = (const uint16_t *)tensor.data;
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++)
        if (pixel >= 0) px_prefetch(all + px_gate_offset(&c, &at, pixel, gate));
}

#endif
