/* The gates of a pixel in the device's memory, those of a thread's eight units: how both recurrences on clusters read,
 * write and ask for them. Pixel -1 is none (px_cluster_pixel). */
#ifndef PIXELRNN_KERNELS_RECURRENCE_GATES_H
#define PIXELRNN_KERNELS_RECURRENCE_GATES_H

#include "kernels/sm90/sm90.h"

static __device__ __forceinline__ void px_gates_read(const px_cluster &c, const px_cluster_thread &at,
                                                     const px_tensor &tensor, int pixel, px_eight (&gates)[PX_GATES]) {
    const uint16_t *all = (const uint16_t *)tensor.data;
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++)
        gates[gate] = pixel < 0 ? px_eight{} : px_load(all + px_cluster_gate(&c, &at, pixel, gate));
}

static __device__ __forceinline__ void px_gates_write(const px_cluster &c, const px_cluster_thread &at,
                                                      const px_tensor &tensor, int pixel,
                                                      const px_eight (&gates)[PX_GATES]) {
    uint16_t *all = (uint16_t *)tensor.data;
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++)
        if (pixel >= 0) px_put(all + px_cluster_gate(&c, &at, pixel, gate), gates[gate]);
}

static __device__ __forceinline__ void px_gates_ask(const px_cluster &c, const px_cluster_thread &at,
                                                    const px_tensor &tensor, int pixel) {
    const uint16_t *all = (const uint16_t *)tensor.data;
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++)
        if (pixel >= 0) px_prefetch(all + px_cluster_gate(&c, &at, pixel, gate));
}

#endif
