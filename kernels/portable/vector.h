/* Kernels that only move activations, and do little to them on the way, take PX_WIDE neighbouring ones at a time: on
 * CUDA 16 bytes, so that enough of the memory's bandwidth is asked for, or 1 where a tensor's columns or address do not
 * allow it; on the CPU 1, whose compiler makes vectors of the column loop.
 *
 *   PX_WIDE_ROW void gather(px_taken at, int column, const px_im2col_args *k) {
 *       px_wide x = px_wide_read(at.from, column, 0); // 0 where at.from is NULL
 *       PX_EACH(i) x.at[i] = ...;
 *       px_wide_write(at.to, column, x);
 *   }
 *   PX_WIDE_KERNEL(gather, px_taken, px_taken_at, k->y.rows, k->y.columns, px_is_wide(&k->x) && px_is_wide(&k->y))
 *
 * The last argument says whether rows that are whole multiples of 16 bytes begin at such multiples. */
#ifndef PIXELRNN_KERNELS_WIDE_H
#define PIXELRNN_KERNELS_WIDE_H

#include "kernels/portable/portable.h"

/* x, or least where that is more; NaN stays. */
PX_FUNCTION px_real px_at_minimum(px_real x, px_real least) {
    return x < least ? least : x;
}

#ifdef __CUDACC__

enum { PX_WIDEST = 16 / sizeof(px_store) };

#define PX_WIDE_ROW                          template <int PX_WIDE> static __device__ __forceinline__
#define px_wide                              px_pack<PX_WIDE>
#define px_wide_read(row, column, otherwise) px_pack_read<PX_WIDE>(row, column, otherwise)
#define px_wide_write(row, column, x)        px_pack_write<PX_WIDE>((row) + (column), x)
#define PX_EACH_OF(i, COUNT)                 _Pragma("unroll") for (int i = 0; i < COUNT; i++)
#define PX_EACH(i)                           PX_EACH_OF(i, PX_WIDE)

template <int N> struct px_pack { px_real at[N]; };

template <int N>
static __device__ __forceinline__ px_pack<N> px_pack_read(const px_store *row, int column, px_real otherwise) {
    px_pack<N> x;
    if (!row) {
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

/* The lower of two neighbours is the lower half of their word. */
static __device__ __forceinline__ uint32_t px_pack_pair(px_real low, px_real high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/* The compiler would cut a plain store of 16 bytes into four. */
template <int N> static __device__ __forceinline__ void px_pack_write(px_store *to, const px_pack<N> &x) {
    if constexpr (N == 1) {
        to[0] = x.at[0];
    } else {
        uint32_t word[4];
        PX_EACH_OF(i, 4)
        word[i] = N == 4 ? __float_as_uint(x.at[i]) : px_pack_pair(x.at[2 * i % N], x.at[(2 * i + 1) % N]);
        asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(word[0]),
                     "r"(word[1]), "r"(word[2]), "r"(word[3])
                     : "memory");
    }
}

static inline bool px_is_wide(const px_tensor *tensor) {
    return (uintptr_t)tensor->data % 16 == 0;
}

#define PX_WIDE_KERNEL(name, PLACE, AT, ROWS, COLUMNS, ALIGNED)                                                        \
    template <int PX_WIDE>                                                                                             \
    static __global__ void name##_kernel(const px_##name##_args args, size_t rows, int columns) {                      \
        PX_GRID_ROWS(row, rows) {                                                                                      \
            const PLACE place = AT(row, &args);                                                                        \
            for (int column = (int)threadIdx.x * PX_WIDE; column < columns; column += (int)blockDim.x * PX_WIDE)       \
                name<PX_WIDE>(place, column, &args);                                                                   \
        }                                                                                                              \
    }                                                                                                                  \
    extern "C" px_status PX_OP(cuda, name)(px_device * device, const px_##name##_args *k) {                            \
        const size_t rows = (ROWS);                                                                                    \
        const int columns = (COLUMNS);                                                                                 \
        if (rows == 0 || columns == 0) return PX_OK;                                                                   \
        const bool wide = columns % PX_WIDEST == 0 && (ALIGNED);                                                       \
        const dim3 block = px_block_shape(wide ? columns / PX_WIDEST : columns);                                       \
        const unsigned blocks = px_blocks_for(rows, block.y);                                                          \
        if (wide)                                                                                                      \
            name##_kernel<PX_WIDEST><<<blocks, block, 0, px_cuda_stream(device)>>>(*k, rows, columns);                 \
        else                                                                                                           \
            name##_kernel<1><<<blocks, block, 0, px_cuda_stream(device)>>>(*k, rows, columns);                         \
        return px_cuda_launched(device, #name);                                                                        \
    }

#else

#define PX_WIDE_ROW PX_ROW
#define PX_EACH(i)  for (int i = 0; i < 1; i++)

typedef struct px_wide {
    px_real at[1];
} px_wide;

PX_ROW px_wide px_wide_read(const px_store *row, int column, px_real otherwise) {
    px_wide x;
    x.at[0] = row ? (px_real)row[column] : otherwise;
    return x;
}
PX_ROW void px_wide_write(px_store *row, int column, px_wide x) {
    row[column] = x.at[0];
}

#define PX_WIDE_KERNEL(name, PLACE, AT, ROWS, COLUMNS, ALIGNED) PX_PLACED_KERNEL(name, PLACE, AT, ROWS, COLUMNS)

#endif
#endif
