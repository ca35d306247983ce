/* kernels/sm90/sm90.h for a C++ compiler: the same functions on an emulated cluster, so that the source of the kernels
 * runs on the CPU. tests/support/emulated_recurrence.cc implements them. */
#ifndef PIXELRNN_KERNELS_SM90_H /* in place of sm90.h */
#define PIXELRNN_KERNELS_SM90_H

#include "kernels/sm90/cell.h"
#include "tests/support/emulated_cuda.h"

extern char memory[]; /* a name alone: px_shared_address returns the address */

uint32_t px_shared_address(const void *name);
int px_block_rank();
uint32_t px_map_shared(uint32_t address, int rank);
void px_cluster_sync();
void px_fence_proxy_async();

void px_prefetch(const void *from);
px_bf16x8 px_load_global(const void *from);
px_float8 px_load_float8(const float *from);
void px_store_global(void *to, const px_bf16x8 &x);
void px_store_global(float *to, const px_float8 &x);
void px_store_shared(uint32_t to, const px_bf16x8 &x);
px_bf16x8 px_load_shared(uint32_t from);

void px_mbarrier_init(uint32_t barrier, uint32_t arrivals);
void px_fence_mbarrier_init();
void px_mbarrier_expect(uint32_t barrier, uint32_t bytes);
void px_mbarrier_arrive_remote(uint32_t remote_barrier);
void px_mbarrier_wait(uint32_t barrier, uint32_t parity);

void px_copy_async(uint32_t remote, uint32_t from, uint32_t bytes, uint32_t remote_barrier);
void px_store_async(uint32_t remote, const px_bf16x8 &x, uint32_t remote_barrier);

/* The sums of one thread: px_wgmma_add accumulates them, px_wgmma_check compares those of the last group of products
 * that is waited for, of all groups but `left`. */
void px_wgmma_add(float *sums, int count, uint64_t a, uint64_t b);
void px_wgmma_commit();
void px_wgmma_check(const float *sums, int count, int left);

template <int SUMS> void px_wgmma_pin(float (&)[SUMS]) {}
static inline void px_wgmma_fence() {}
template <int SUMS> void px_wgmma(float (&d)[SUMS], uint64_t a, uint64_t b) { px_wgmma_add(d, SUMS, a, b); }
template <int LEFT, int SUMS> void px_wgmma_wait(float (&d)[SUMS]) { px_wgmma_check(d, SUMS, LEFT); }

#endif
