/* Tensor core products on tiles in shared memory: mma.sync, ldmatrix and cp.async of the PTX ISA, one small function
 * each. They exist from compute capability 8.0 on. Shared memory is addressed by 32-bit addresses.
 *
 * tests/support/emulated_tensor_core.h has the same functions for a CPU. */
#ifndef PIXELRNN_KERNELS_TENSOR_CORE_H
#define PIXELRNN_KERNELS_TENSOR_CORE_H

#include "kernels/sm80/tile.h"

#define PX_SM80 static __device__ __forceinline__

PX_SM80 int px_warp_lane() { return (int)(threadIdx.x % 32); }

/* ---- Memory ---- */

/* The dynamic shared memory of this block. */
PX_SM80 uint32_t px_dynamic_shared() {
    extern __shared__ __align__(128) char px_dynamic_memory[];
    return (uint32_t)__cvta_generic_to_shared(px_dynamic_memory);
}

/* Global memory: a vector of tile.h in one access. */
template <class VECTOR> PX_SM80 VECTOR px_load_vector(const void *from) { return *(const VECTOR *)from; }
template <class VECTOR> PX_SM80 void px_store_vector(void *to, const VECTOR &x) { *(VECTOR *)to = x; }

/* Starts a copy of a chunk from global to shared memory. If it is not present, zeros are written and nothing is read;
 * `from` must be a valid address all the same. The data passes the L1 cache by. */
PX_SM80 void px_copy_chunk(uint32_t to, const void *from, bool is_present) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(__cvta_generic_to_global(from)),
                 "r"(is_present ? PX_CHUNK_BYTES : 0)
                 : "memory");
}
/* Makes a group of this thread's copies since the last call. */
PX_SM80 void px_copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* Waits until at most PENDING groups are incomplete. Other threads see the data after a __syncthreads. */
template <int PENDING> PX_SM80 void px_copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

/* ---- Dependent launches, of compute capability 9.0 and later ----
 * A kernel that is launched with programmatic stream serialization may start before the kernel that precedes it in the
 * stream has ended. */

/* Waits until the preceding kernel has ended and its writes are visible. */
PX_SM80 void px_wait_for_previous_launch() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/* The next kernel may start when all blocks have called this. */
PX_SM80 void px_allow_next_launch() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* ---- Fragments ----
 * mma.m16n8k16 multiplies A, 16 x 16 with rows of K, by B, 16 x 8. Lane l of the warp holds the sums of rows l / 4 and
 * l / 4 + 8, columns 2 (l % 4) and 2 (l % 4) + 1: sum[2 * half + i] is row l / 4 + 8 * half, column 2 (l % 4) + i.
 * All lanes of a warp call these functions together with the same arguments. */

struct px_fragment_a {
    uint32_t word[4];
};
struct px_fragment_b { /* of two products, for columns 0 .. 7 and 8 .. 15 */
    uint32_t word[2][2];
};

/* Four matrices of 8 x 8. Lane l gives the address of row l % 8 of matrix l / 8. */
#define PX_LDMATRIX(transposed, x0, x1, x2, x3, address)                                                               \
    asm volatile("ldmatrix.sync.aligned.m8n8.x4" transposed ".shared.b16 {%0, %1, %2, %3}, [%4];"                      \
                 : "=r"(x0), "=r"(x1), "=r"(x2), "=r"(x3)                                                              \
                 : "r"(address)                                                                                        \
                 : "memory")

/* A from rows row .. row + 15 of a tile, chunks `chunk` and chunk + 1. */
template <int CHUNKS> PX_SM80 px_fragment_a px_load_a(uint32_t tile, int row, int chunk) {
    const int lane = px_warp_lane();
    px_fragment_a a;
    PX_LDMATRIX("", a.word[0], a.word[1], a.word[2], a.word[3],
                tile + px_tile_offset<CHUNKS>(row + lane % 16, chunk + lane / 16));
    return a;
}

/* B from a tile whose rows are the columns of B (K along the row): columns column .. column + 15, chunks `chunk` and
 * chunk + 1. */
template <int CHUNKS> PX_SM80 px_fragment_b px_load_b(uint32_t tile, int column, int chunk) {
    const int lane = px_warp_lane();
    px_fragment_b b;
    PX_LDMATRIX("", b.word[0][0], b.word[0][1], b.word[1][0], b.word[1][1],
                tile + px_tile_offset<CHUNKS>(column + lane / 16 * 8 + lane % 8, chunk + lane / 8 % 2));
    return b;
}

/* B from a tile whose rows are the rows of B (K from row to row): rows row .. row + 15, chunks `chunk` and chunk + 1.
 */
template <int CHUNKS> PX_SM80 px_fragment_b px_load_b_transposed(uint32_t tile, int row, int chunk) {
    const int lane = px_warp_lane();
    px_fragment_b b;
    PX_LDMATRIX(".trans", b.word[0][0], b.word[0][1], b.word[1][0], b.word[1][1],
                tile + px_tile_offset<CHUNKS>(row + lane % 16, chunk + lane / 16));
    return b;
}

/* sum += A B, for columns 8 * half .. 8 * half + 7 of b. */
PX_SM80 void px_mma(float (&sum)[4], const px_fragment_a &a, const px_fragment_b &b, int half) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "r"(b.word[half][0]),
                   "r"(b.word[half][1]));
}

#endif
