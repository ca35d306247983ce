/* The CUDA target of portable.h: kernels are grids of warps with columns (or lanes) across a warp. */
#ifndef PIXELRNN_KERNELS_PORTABLE_CUDA_H
#define PIXELRNN_KERNELS_PORTABLE_CUDA_H

#include "kernels/portable/device_cuda.h"

#define PX_FUNCTION static __device__ __forceinline__
#define PX_MEMBER   __device__ __forceinline__
#define PX_ROW      static __device__ __forceinline__
#define PX_LANES    static __device__ __forceinline__

enum { PX_WARP = 32, PX_BLOCK = 256, PX_MAX_BLOCKS = 132 * 32 };

/* Blocks have 256 threads: the smallest power of two that covers the columns in x, and rows in y. */
static inline dim3 px_block_shape(int columns) {
    unsigned across = 1;
    while (across < (unsigned)columns && across < PX_BLOCK) across *= 2;
    return dim3(across, PX_BLOCK / across);
}
static inline unsigned px_blocks_for(size_t rows, unsigned rows_a_block) {
    size_t blocks = (rows + rows_a_block - 1) / rows_a_block;
    return (unsigned)(blocks < (size_t)PX_MAX_BLOCKS ? blocks : (size_t)PX_MAX_BLOCKS);
}

/* A grid-stride loop over the rows of this thread. */
#define PX_GRID_ROWS(row, rows)                                                                                        \
    for (size_t row = (size_t)blockIdx.x * blockDim.y + threadIdx.y; row < (rows);                                     \
         row += (size_t)gridDim.x * blockDim.y)

#define PX_ADDRESSED_KERNEL(name, ADDRESSES, AT, ROWS, COLUMNS)                                                        \
    static __global__ void name##_kernel(const px_##name##_args args, size_t rows, int columns) {                      \
        PX_GRID_ROWS(row, rows) {                                                                                      \
            const ADDRESSES at = AT(row, &args);                                                                       \
            for (int column = (int)threadIdx.x; column < columns; column += (int)blockDim.x) name(at, column, &args);  \
        }                                                                                                              \
    }                                                                                                                  \
    extern "C" px_status PX_OP(cuda, name)(px_device * device, const px_##name##_args *k) {                            \
        const size_t rows = (ROWS);                                                                                    \
        const int columns = (COLUMNS);                                                                                 \
        if (rows == 0 || columns == 0) return PX_OK;                                                                   \
        const dim3 block = px_block_shape(columns);                                                                    \
        name##_kernel<<<px_blocks_for(rows, block.y), block, 0, px_cuda_stream(device)>>>(*k, rows, columns);          \
        return px_cuda_launched(device, #name);                                                                        \
    }

#define PX_LANES_KERNEL(name, ROWS)                                                                                    \
    static __global__ void name##_kernel(const px_##name##_args args, size_t rows) {                                   \
        const px_lane lane = {(int)threadIdx.x, PX_WARP};                                                              \
        PX_GRID_ROWS(row, rows)                                                                                        \
        name(row, lane, &args);                                                                                        \
    }                                                                                                                  \
    extern "C" px_status PX_OP(cuda, name)(px_device * device, const px_##name##_args *k) {                            \
        const size_t rows = (ROWS);                                                                                    \
        if (rows == 0) return PX_OK;                                                                                   \
        const dim3 block(PX_WARP, PX_BLOCK / PX_WARP);                                                                 \
        name##_kernel<<<px_blocks_for(rows, block.y), block, 0, px_cuda_stream(device)>>>(*k, rows);                   \
        return px_cuda_launched(device, #name);                                                                        \
    }

/* A lane's part of 0 .. ALL - 1. */
#define PX_LANE_LOOP(i, ALL, ...) for (int i = lane.index; i < (ALL); i += lane.count)

/* Butterfly reductions: every lane gets the same bits, summed in the same order each time. */
PX_FUNCTION px_real px_lanes_sum(px_real x) {
    for (int distance = PX_WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}
PX_FUNCTION double px_lanes_sum_double(double x) {
    for (int distance = PX_WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}
PX_FUNCTION px_real px_lanes_max(px_real x) {
    for (int distance = PX_WARP / 2; distance > 0; distance /= 2) {
        const px_real other = __shfl_xor_sync(0xffffffffu, x, distance);
        x = other > x ? other : x;
    }
    return x;
}

PX_FUNCTION int px_lanes_min(int x) {
    for (int distance = PX_WARP / 2; distance > 0; distance /= 2) {
        const int other = __shfl_xor_sync(0xffffffffu, x, distance);
        x = other < x ? other : x;
    }
    return x;
}
/* The sum over the lanes before this one: an exclusive prefix sum. */
PX_FUNCTION double px_lanes_exclusive_sum_double(double x) {
    const int index = (int)threadIdx.x;
    double sum = x;
    for (int distance = 1; distance < PX_WARP; distance *= 2) {
        const double other = __shfl_up_sync(0xffffffffu, sum, distance);
        if (index >= distance) sum += other;
    }
    const double before = __shfl_up_sync(0xffffffffu, sum, 1);
    return index > 0 ? before : 0;
}

PX_FUNCTION px_real px_sqrt(px_real x) { return sqrtf(x); }
PX_FUNCTION px_real px_log(px_real x) { return logf(x); }
PX_FUNCTION px_real px_exp(px_real x) { return expf(x); }

#endif
