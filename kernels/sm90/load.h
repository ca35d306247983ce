/* The start of both recurrences on clusters: fills a block's shared memory. */
#ifndef PIXELRNN_KERNELS_RECURRENCE_LOAD_H
#define PIXELRNN_KERNELS_RECURRENCE_LOAD_H

#include "kernels/sm90/sm90.h"

/* Stores weights(i), eight of them from global memory, as chunk i = 0 .. count - 1 of the weights, and clears the
 * operand buffers. Called by all threads. A thread has the loads of LOADS chunks under way at a time, because one takes
 * as long as some hundred instructions. */
template <typename WEIGHTS>
static __device__ __forceinline__ void px_cluster_load(uint32_t base, const px_cluster_shared &shared, int count,
                                                       WEIGHTS weights) {
    enum { LOADS = 4 };
    for (int first = (int)threadIdx.x; first < count; first += LOADS * (int)blockDim.x) {
        px_bf16x8 loaded[LOADS] = {};
        PX_UNROLL
        for (int k = 0; k < LOADS; k++) {
            const int i = first + k * (int)blockDim.x;
            if (i < count) loaded[k] = weights(i);
        }
        PX_UNROLL
        for (int k = 0; k < LOADS; k++) {
            const int i = first + k * (int)blockDim.x;
            if (i < count) px_store_shared(base + shared.weights + (uint32_t)i * PX_CHUNK_BYTES, loaded[k]);
        }
    }
    for (uint32_t at = shared.operand + threadIdx.x * PX_CHUNK_BYTES; at < shared.receive;
         at += blockDim.x * PX_CHUNK_BYTES)
        px_store_shared(base + at, px_bf16x8{});
}

#endif
