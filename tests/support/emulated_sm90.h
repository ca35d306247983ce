/* kernels/sm90/sm90.h for a C++ compiler: the same functions on an emulated cluster, so that the kernels' own text runs
 * on the CPU. tests/support/emulated_recurrence.cc says how; a thread is a fibre, and yields where the device's would
 * wait. */
#ifndef PIXELRNN_KERNELS_SM90_H /* in place of that one */
#define PIXELRNN_KERNELS_SM90_H

#include "kernels/sm90/cluster.h"

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __grid_constant__
#define __align__(bytes)
#define __launch_bounds__(...)

struct px_index {
    unsigned x;
};
struct float4 {
    float x, y, z, w;
};
extern px_index threadIdx, blockIdx, blockDim; /* of the fibre that runs */
extern char memory[];                          /* only its name is needed: px_shared gives the address */
void __syncthreads();

uint32_t px_shared(const void *name);
int px_block_rank();
uint32_t px_shared_of(uint32_t address, int rank);
void px_cluster_sync();
void px_fence_async();

void px_prefetch(const void *from);
px_eight px_load(const void *from);
px_eight_floats px_load_floats(const float *from);
void px_put(void *to, const px_eight &x);
void px_put(float *to, const px_eight_floats &x);
void px_store_shared(uint32_t to, const px_eight &x);
float4 px_load_shared(uint32_t from);

void px_barrier_init(uint32_t barrier, uint32_t arrivals);
void px_barrier_init_done();
void px_barrier_expect(uint32_t barrier, uint32_t bytes);
void px_barrier_arrive_at(uint32_t remote_barrier);
void px_barrier_wait(uint32_t barrier, uint32_t parity);

void px_copy_to(uint32_t remote, uint32_t from, uint32_t bytes, uint32_t remote_barrier);
void px_store_to(uint32_t remote, float a, float b, float c, float d, uint32_t remote_barrier);

/* A thread's own share of wgmma: sums of its rows and columns. */
void px_wgmma_some(float *sums, int count, uint64_t a, uint64_t b);
void px_wgmma_finish(const float *sums, int count);

template <int SUMS> void px_wgmma_pin(float (&)[SUMS]) {}
static inline void px_wgmma_fence() {}
template <int SUMS> void px_wgmma(float (&d)[SUMS], uint64_t a, uint64_t b) {
    px_wgmma_some(d, SUMS, a, b);
}
template <int SUMS> void px_wgmma_end(float (&d)[SUMS]) {
    px_wgmma_finish(d, SUMS);
}

#endif
