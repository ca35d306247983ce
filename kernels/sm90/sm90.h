/* Instructions of sm_90a for which CUDA C++ has no functions, one small function each. The PTX ISA manual describes
 * them. Shared memory is addressed by 32-bit addresses: px_shared_address gives that of this block, px_map_shared that
 * of another block of the cluster. */
#ifndef PIXELRNN_KERNELS_SM90_H
#define PIXELRNN_KERNELS_SM90_H

#include "kernels/sm90/cell.h"

#define PX_SM90 static __device__ __forceinline__

/* ---- Addresses and blocks ---- */

PX_SM90 uint32_t px_shared_address(const void *memory) {
    uint32_t address = (uint32_t)__cvta_generic_to_shared(memory);
    asm volatile("" : "+r"(address));
    return address;
}

/* The rank of this block in its cluster. `volatile` here and in px_map_shared makes the compiler recompute the value
 * where it is used, in one or two instructions, so that it occupies no registers in between. */
PX_SM90 int px_block_rank() {
    int rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* The address in block `rank` of the cluster that corresponds to a shared address of this block. */
PX_SM90 uint32_t px_map_shared(uint32_t address, int rank) {
    uint32_t remote;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
    return remote;
}

/* A barrier of all threads of the cluster. Writes before it are visible to all threads after it. */
PX_SM90 void px_cluster_sync() {
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/* Makes this thread's plain stores to shared memory visible to wgmma and bulk copies that this thread starts later, or
 * that other threads start after a barrier. */
PX_SM90 void px_fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/* ---- Loads and stores of 16 bytes ---- */

/* Global memory. */
PX_SM90 px_bf16x8 px_load_global(const void *from) {
    const uint4 word = *(const uint4 *)from;
    return px_bf16x8{{word.x, word.y, word.z, word.w}};
}
PX_SM90 px_float8 px_load_float8(const float *from) {
    const float4 low = ((const float4 *)from)[0], high = ((const float4 *)from)[1];
    return px_float8{{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}
/* Requests that a later px_load_global finds its data in the L2 cache. It has no other effect. */
PX_SM90 void px_prefetch(const void *from) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from)));
}
PX_SM90 void px_store_global(void *to, const px_bf16x8 &x) { px_store_global16(to, x.pair); }
PX_SM90 void px_store_global(float *to, const px_float8 &x) {
    ((float4 *)to)[0] = make_float4(x.value[0], x.value[1], x.value[2], x.value[3]);
    ((float4 *)to)[1] = make_float4(x.value[4], x.value[5], x.value[6], x.value[7]);
}

/* Shared memory. */
PX_SM90 void px_store_shared(uint32_t to, const px_bf16x8 &x) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(x.pair[0]), "r"(x.pair[1]), "r"(x.pair[2]),
                 "r"(x.pair[3])
                 : "memory");
}
PX_SM90 px_bf16x8 px_load_shared(uint32_t from) {
    px_bf16x8 x;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.pair[0]), "=r"(x.pair[1]), "=r"(x.pair[2]), "=r"(x.pair[3])
                 : "r"(from)
                 : "memory");
    return x;
}

/* ---- mbarriers ---- */

/* A phase completes when `arrivals` arrivals have been counted and all expected bytes have arrived. */
PX_SM90 void px_mbarrier_init(uint32_t barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/* Makes initialised mbarriers visible to the cluster. Call it before px_cluster_sync. */
PX_SM90 void px_fence_mbarrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

/* One arrival that adds to the bytes expected in this phase. The bytes may have arrived already. */
PX_SM90 void px_mbarrier_expect(uint32_t barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

/* One arrival at an mbarrier of another block. It tells that this block has finished reading, and releases no writes: a
 * release at cluster scope would wait until this thread's stores to global memory have completed. */
PX_SM90 void px_mbarrier_arrive_remote(uint32_t remote_barrier) {
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(remote_barrier) : "memory");
}

/* Waits until the phase of this parity has completed. The bytes that it counted are visible then. An acquire at cluster
 * scope would also invalidate the L1 cache, after every wait. */
PX_SM90 void px_mbarrier_wait(uint32_t barrier, uint32_t parity) {
    asm volatile("{\n\t"
                 ".reg .pred done;\n\t"
                 "again:\n\t"
                 "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n\t"
                 "@!done bra again;\n\t"
                 "}" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* ---- Between blocks ---- */

/* Copies bytes (a multiple of 16) from this block's shared memory to another block's, and counts them at its mbarrier.
 */
PX_SM90 void px_copy_async(uint32_t remote, uint32_t from, uint32_t bytes, uint32_t remote_barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(remote),
        "r"(from), "r"(bytes), "r"(remote_barrier)
        : "memory");
}

/* Stores 16 bytes in another block's shared memory, and counts them at its mbarrier. */
PX_SM90 void px_store_async(uint32_t remote, const px_bf16x8 &x, uint32_t remote_barrier) {
    asm volatile(
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(remote),
        "r"(x.pair[0]), "r"(x.pair[1]), "r"(x.pair[2]), "r"(x.pair[3]), "r"(remote_barrier)
        : "memory");
}

/* ---- wgmma: the four warps of a warpgroup together ---- */

/* Keeps the compiler from moving uses of the sums across this point. wgmma writes these registers asynchronously, which
 * the compiler does not know. */
template <int SUMS> PX_SM90 void px_wgmma_pin(float (&d)[SUMS]) {
    PX_UNROLL
    for (int i = 0; i < SUMS; i++) asm volatile("" : "+f"(d[i])::"memory");
}

/* Must precede the first wgmma that adds to the sums, and stand where control flow joins (loops, the end). Elsewhere
 * ptxas inserts one itself, with a warning. */
PX_SM90 void px_wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

/* Ends a group of wgmma that add to the same sums. */
PX_SM90 void px_wgmma_commit() {
    px_wgmma_fence();
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Waits for all groups of the warpgroup but the last LEFT. d: the sums of the last group waited for. After it they are
 * complete, and the group's operands may be overwritten. */
template <int LEFT, int SUMS> PX_SM90 void px_wgmma_wait(float (&d)[SUMS]) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
    px_wgmma_pin(d);
}

/* px_wgmma(d, a, b): d += A B^T. A is 64 x 16 and B is N x 16, bfloat16 in shared memory, K-major, given by
 * descriptors. A thread has N / 2 sums, N = 32, 96, 128 or 224. The caller clears the sums: if the first wgmma ignored
 * their contents, they would keep their registers through the rest of the loop. */

/* The operands d[i] .. d[i + 15], and the operand numbers 0 .. 15, 16 .. 47, 48 .. 63 and 64 .. 111. */
#define PX_SUMS16(d, i)                                                                                                \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]),        \
        "+f"(d[i + 7]), "+f"(d[i + 8]), "+f"(d[i + 9]), "+f"(d[i + 10]), "+f"(d[i + 11]), "+f"(d[i + 12]),             \
        "+f"(d[i + 13]), "+f"(d[i + 14]), "+f"(d[i + 15])
#define PX_OPERANDS_0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define PX_OPERANDS_16                                                                                                 \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "                                 \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define PX_OPERANDS_48 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define PX_OPERANDS_64                                                                                                 \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "                                 \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "                                 \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"
#define PX_WGMMA(SUMS, n, operands, a_operand, b_operand, ...)                                                         \
    PX_SM90 void px_wgmma(float(&d)[SUMS], uint64_t a, uint64_t b) {                                                   \
        asm volatile("wgmma.mma_async.sync.aligned.m64n" n "k16.f32.bf16.bf16 {" operands "}, " a_operand              \
                     ", " b_operand ", 1, 1, 1, 0, 0;"                                                                 \
                     : __VA_ARGS__                                                                                     \
                     : "l"(a), "l"(b));                                                                                \
    }
PX_WGMMA(16, "32", PX_OPERANDS_0, "%16", "%17", PX_SUMS16(d, 0))
PX_WGMMA(48, "96", PX_OPERANDS_0 ", " PX_OPERANDS_16, "%48", "%49", PX_SUMS16(d, 0), PX_SUMS16(d, 16), PX_SUMS16(d, 32))
PX_WGMMA(64, "128", PX_OPERANDS_0 ", " PX_OPERANDS_16 ", " PX_OPERANDS_48, "%64", "%65", PX_SUMS16(d, 0),
         PX_SUMS16(d, 16), PX_SUMS16(d, 32), PX_SUMS16(d, 48))
PX_WGMMA(112, "224", PX_OPERANDS_0 ", " PX_OPERANDS_16 ", " PX_OPERANDS_48 ", " PX_OPERANDS_64, "%112", "%113",
         PX_SUMS16(d, 0), PX_SUMS16(d, 16), PX_SUMS16(d, 32), PX_SUMS16(d, 48), PX_SUMS16(d, 64), PX_SUMS16(d, 80),
         PX_SUMS16(d, 96))

#endif
