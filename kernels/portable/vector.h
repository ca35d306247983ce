/* Kernels that move activations and compute little process PX_VECTOR_WIDTH neighbouring values at a time. On CUDA these
 * are 16 bytes, or one value if a tensor's columns or address do not allow that. On the CPU the width is 1, and the
 * compiler vectorises the column loop.
 *
 *   PX_VECTOR_ROW void im2col(im2col_row at, int column, const px_im2col_args *k) {
 *       px_vector x = px_vector_read(at.from, column, at.is_inside, 0); // 0 if not inside
 *       PX_EACH(i) x.at[i] = ...;
 *       px_vector_write(at.to, column, x);
 *   }
 *   PX_VECTOR_KERNEL(im2col, im2col_row, im2col_row_at, k->y.rows, k->y.columns,
 *                    px_is_aligned(&k->x) && px_is_aligned(&k->y))
 *
 * The last argument says whether the tensors are aligned to 16 bytes. A row that is not to be read must still have a
 * valid address: compilers make a masked load of the condition, which is slow from an invalid address. With NULL for an
 * absent tensor, these loads took 56 % of the time of shift_rows (bfloat16, Zen 4). */
#ifndef PIXELRNN_KERNELS_VECTOR_H
#define PIXELRNN_KERNELS_VECTOR_H

#include "kernels/portable/portable.h"

/* max(x, min), but a NaN is kept. */
PX_FUNCTION px_real px_clamp_min(px_real x, px_real min) { return x < min ? min : x; }

#ifdef __CUDACC__

enum { PX_VECTOR_MAX = 16 / sizeof(px_store) };

#define PX_VECTOR_ROW template <int PX_VECTOR_WIDTH> static __device__ __forceinline__
#define px_vector     px_vector_of<PX_VECTOR_WIDTH>
#define px_vector_read(row, column, is_present, otherwise)                                                             \
    px_vector_load<PX_VECTOR_WIDTH>(row, column, is_present, otherwise)
#define px_vector_write(row, column, x) px_vector_store<PX_VECTOR_WIDTH>((row) + (column), x)
#define PX_EACH_OF(i, COUNT)            _Pragma("unroll") for (int i = 0; i < COUNT; i++)
#define PX_EACH(i)                      PX_EACH_OF(i, PX_VECTOR_WIDTH)

template <int N> struct px_vector_of { px_real at[N]; };

template <int N>
static __device__ __forceinline__ px_vector_of<N> px_vector_load(const px_store *row, int column, bool is_present,
                                                                 px_real otherwise) {
    px_vector_of<N> x;
    if (!is_present) {
        PX_EACH_OF(i, N) x.at[i] = otherwise;
    } else if constexpr (N == 1) {
        x.at[0] = row[column];
    } else {
        const uint4 bits = *(const uint4 *)(row + column);
        const uint32_t word[4] = {bits.x, bits.y, bits.z, bits.w};
        PX_EACH_OF(i, N)
        x.at[i] = __uint_as_float(N == 4 ? word[i] : i % 2 ? word[i / 2] & 0xffff0000u : word[i / 2] << 16);
    }
    return x;
}

template <int N> static __device__ __forceinline__ void px_vector_store(px_store *to, const px_vector_of<N> &x) {
    if constexpr (N == 1) {
        to[0] = x.at[0];
    } else {
        uint32_t word[4];
        PX_EACH_OF(i, 4)
        word[i] = N == 4 ? __float_as_uint(x.at[i]) : px_to_bf16x2(x.at[2 * i % N], x.at[(2 * i + 1) % N]);
        px_store_global16(to, word);
    }
}

static inline bool px_is_aligned(const px_tensor *tensor) { return (uintptr_t)tensor->data % 16 == 0; }

#define PX_VECTOR_KERNEL(name, ADDRESSES, AT, ROWS, COLUMNS, ALIGNED)                                                  \
    template <int PX_VECTOR_WIDTH>                                                                                     \
    static __global__ void name##_kernel(const px_##name##_args args, size_t rows, int columns) {                      \
        PX_GRID_ROWS(row, rows) {                                                                                      \
            const ADDRESSES at = AT(row, &args);                                                                       \
            for (int column = (int)threadIdx.x * PX_VECTOR_WIDTH; column < columns;                                    \
                 column += (int)blockDim.x * PX_VECTOR_WIDTH)                                                          \
                name<PX_VECTOR_WIDTH>(at, column, &args);                                                              \
        }                                                                                                              \
    }                                                                                                                  \
    extern "C" px_status PX_OP(cuda, name)(px_device * device, const px_##name##_args *k) {                            \
        const size_t rows = (ROWS);                                                                                    \
        const int columns = (COLUMNS);                                                                                 \
        if (rows == 0 || columns == 0) return PX_OK;                                                                   \
        const bool vectors = columns % PX_VECTOR_MAX == 0 && (ALIGNED);                                                \
        const dim3 block = px_block_shape(vectors ? columns / PX_VECTOR_MAX : columns);                                \
        const unsigned blocks = px_blocks_for(rows, block.y);                                                          \
        if (vectors)                                                                                                   \
            name##_kernel<PX_VECTOR_MAX><<<blocks, block, 0, px_cuda_stream(device)>>>(*k, rows, columns);             \
        else                                                                                                           \
            name##_kernel<1><<<blocks, block, 0, px_cuda_stream(device)>>>(*k, rows, columns);                         \
        return px_cuda_launched(device, #name);                                                                        \
    }

#else

#define PX_VECTOR_ROW PX_ROW
#define PX_EACH(i)    for (int i = 0; i < 1; i++)

typedef struct px_vector {
    px_real at[1];
} px_vector;

PX_ROW px_vector px_vector_read(const px_store *row, int column, bool is_present, px_real otherwise) {
    px_vector x;
    x.at[0] = is_present ? (px_real)row[column] : otherwise;
    return x;
}
PX_ROW void px_vector_write(px_store *row, int column, px_vector x) { row[column] = x.at[0]; }

#define PX_VECTOR_KERNEL(name, ADDRESSES, AT, ROWS, COLUMNS, ALIGNED)                                                  \
    PX_ADDRESSED_KERNEL(name, ADDRESSES, AT, ROWS, COLUMNS)

#endif
#endif
