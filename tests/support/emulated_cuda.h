/* CUDA C for a C++ compiler: the source of a kernel runs on an emulated cluster of thread blocks, whose threads are
 * fibers. tests/support/emulated_cuda.cc implements it. Emulated instructions (emulated_sm90.h, emulated_tensor_core.h)
 * build on the second half of this file. */
#ifndef PIXELRNN_TESTS_EMULATED_CUDA_H
#define PIXELRNN_TESTS_EMULATED_CUDA_H

#include <stddef.h>
#include <stdint.h>

/* ---- The language ---- */

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __grid_constant__
#define __align__(bytes)
#define __launch_bounds__(...)

struct px_index {
    unsigned x, y, z;
};
extern px_index threadIdx, blockIdx, blockDim; /* of the running fiber */
void __syncthreads();

/* ---- Launches ---- */

struct px_emulated_launch {
    void (*kernel)();      /* calls the kernel with its arguments, in every thread */
    void (*start)();       /* called before each cluster; NULL: nothing */
    const char *(*end)();  /* called after each cluster, returns NULL or a fault; NULL: nothing */
    bool (*event)();       /* called between fibers, returns whether something happened; NULL: nothing */
    unsigned grid[3];      /* blocks */
    int blocks;            /* of a cluster, along x */
    int threads;           /* of a block, a multiple of 32 */
    uint32_t shared_bytes; /* of a block, filled with NaN before each cluster */
    uint64_t seed;         /* of the order of warps */
};
/* Runs one cluster after the other. Returns NULL, or a description of the first fault, valid until the next call. */
const char *px_emulate(const px_emulated_launch *launch);

/* ---- For emulated instructions ---- */

/* Records the first fault, which ends the launch. It does not return. */
__attribute__((format(printf, 1, 2), noreturn)) void px_emulated_fault(const char *format, ...);

/* The rank of the running fiber's block in its cluster, and its number among the fibers of the cluster. */
int px_emulated_block();
int px_emulated_fiber();

/* Blocks the running fiber until is_ready(what, number) returns true. px_emulated_yield only lets others run. */
void px_emulated_wait(bool (*is_ready)(const void *what, long number), const void *what, long number);
void px_emulated_yield();

/* Counts as progress: a launch without any for long has a deadlock. */
void px_emulated_progress();

/* 0 .. count - 1, by the seed of the launch. */
int px_emulated_random(int count);

/* Shared addresses begin at PX_EMULATED_BASE: not at 0, as on the device. An address of another block is
 * PX_EMULATED_REMOTE * (rank + 1) + address. The host address; a fault if it is outside or not aligned. */
enum { PX_EMULATED_BASE = 1024, PX_EMULATED_REMOTE = 1 << 24 };
char *px_emulated_shared(uint32_t address, uint32_t bytes, uint32_t align);
char *px_emulated_shared_of(int block, uint32_t address, uint32_t bytes, uint32_t align);

#endif
