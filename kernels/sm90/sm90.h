/* Instructions of sm_90a that C++ has no words for, one small function each. Shared memory is addressed by 32-bit
 * addresses, px_shared; an address of the same place in another block of the cluster comes from px_shared_of. */
#ifndef PIXELRNN_KERNELS_SM90_H
#define PIXELRNN_KERNELS_SM90_H

#include "kernels/sm90/cluster.h"

#define PX_SM90 static __device__ __forceinline__

/* --- Addresses and blocks ----------------------------------------------------------------------------------------- */

PX_SM90 uint32_t px_shared(const void *memory) {
    return (uint32_t)__cvta_generic_to_shared(memory);
}

/* This block's place in its cluster. volatile here and in px_shared_of, so that what follows from it is made where
 * it is used, in an instruction or two, and takes no registers in between. */
PX_SM90 int px_block_rank() {
    int rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* The address of `address` in block `rank` of the cluster; further bytes of its shared memory lie further on. */
PX_SM90 uint32_t px_shared_of(uint32_t address, int rank) {
    uint32_t remote;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
    return remote;
}

/* All threads of all blocks of the cluster meet; what they wrote before is seen by all after. */
PX_SM90 void px_cluster_sync() {
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/* What this thread wrote to shared memory by plain stores is seen by wgmma and bulk copies that it, or threads that
 * meet it at a barrier after this, start. */
PX_SM90 void px_fence_async() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* --- Sixteen bytes at a time -------------------------------------------------------------------------------------- */

/* Of the device's memory. */
PX_SM90 px_eight px_load(const void *from) {
    const uint4 word = *(const uint4 *)from;
    return px_eight{{word.x, word.y, word.z, word.w}};
}
PX_SM90 px_eight_floats px_load_floats(const float *from) {
    const float4 low = ((const float4 *)from)[0], high = ((const float4 *)from)[1];
    return px_eight_floats{{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}
/* Asks for what px_load will read, to have it in the second-level cache by then. Nothing else comes of it. */
PX_SM90 void px_prefetch(const void *from) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from)));
}
PX_SM90 void px_put(void *to, const px_eight &x) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(x.pair[0]),
                 "r"(x.pair[1]), "r"(x.pair[2]), "r"(x.pair[3])
                 : "memory");
}
PX_SM90 void px_put(float *to, const px_eight_floats &x) {
    ((float4 *)to)[0] = make_float4(x.value[0], x.value[1], x.value[2], x.value[3]);
    ((float4 *)to)[1] = make_float4(x.value[4], x.value[5], x.value[6], x.value[7]);
}

/* Of shared memory. */
PX_SM90 void px_store_shared(uint32_t to, const px_eight &x) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(x.pair[0]), "r"(x.pair[1]), "r"(x.pair[2]),
                 "r"(x.pair[3])
                 : "memory");
}
PX_SM90 float4 px_load_shared(uint32_t from) {
    float4 x;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
                 : "r"(from)
                 : "memory");
    return x;
}

/* --- mbarriers ---------------------------------------------------------------------------------------------------- */

/* A phase ends when `arrivals` arrivals and all expected bytes have come. */
PX_SM90 void px_barrier_init(uint32_t barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/* Makes initialised barriers known to the cluster, before px_cluster_sync. */
PX_SM90 void px_barrier_init_done() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/* One arrival, which says that so many bytes will come in this phase. They may have come already. */
PX_SM90 void px_barrier_expect(uint32_t barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

/* One arrival at a barrier of another block. It says that this block has read something, and nothing of what was
 * written: a release to the whole cluster would wait until all that this thread wrote to the device's memory has
 * arrived there. */
PX_SM90 void px_barrier_arrive_at(uint32_t remote_barrier) {
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(remote_barrier) : "memory");
}

/* Waits until the phase of this parity has ended. */
PX_SM90 void px_barrier_wait(uint32_t barrier, uint32_t parity) {
    asm volatile("{\n\t"
                 ".reg .pred ended;\n\t"
                 "again:\n\t"
                 "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 ended, [%0], %1;\n\t"
                 "@!ended bra again;\n\t"
                 "}" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* --- Between blocks ----------------------------------------------------------------------------------------------- */

/* Copies bytes (a multiple of 16) of this block's shared memory to another's, and then counts them at that barrier. */
PX_SM90 void px_copy_to(uint32_t remote, uint32_t from, uint32_t bytes, uint32_t remote_barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(remote),
        "r"(from), "r"(bytes), "r"(remote_barrier)
        : "memory");
}

/* Stores four floats in another block's shared memory, and then counts their 16 bytes at that barrier. */
PX_SM90 void px_store_to(uint32_t remote, float a, float b, float c, float d, uint32_t remote_barrier) {
    asm volatile(
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(remote),
        "f"(a), "f"(b), "f"(c), "f"(d), "r"(remote_barrier)
        : "memory");
}

/* --- wgmma: all four warps of a warpgroup, together --------------------------------------------------------------- */

/* Keeps what comes before from using sums after this point, and the other way round: wgmma works on registers while
 * other instructions run, of which the compiler sees nothing. */
template <int SUMS> PX_SM90 void px_wgmma_pin(float (&d)[SUMS]) {
    PX_UNROLL
    for (int i = 0; i < SUMS; i++) asm volatile("" : "+f"(d[i])::"memory");
}

/* Before the first wgmma that adds to sums, and wherever paths meet (loops, the end), where the compiler would put it
 * otherwise, and say so. */
PX_SM90 void px_wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/* Waits for all wgmma of the warpgroup: their sums are there, their operands may change. */
template <int SUMS> PX_SM90 void px_wgmma_end(float (&d)[SUMS]) {
    px_wgmma_fence();
    asm volatile("wgmma.commit_group.sync.aligned;\n\twgmma.wait_group.sync.aligned 0;" ::: "memory");
    px_wgmma_pin(d);
}

/* px_wgmma(d, a, b): d += A B^T; A 64 x 16 and B N x 16 bfloat16 in shared memory, K-major, by their descriptors; d has
 * N / 2 sums of a thread, N = 32, 64, 128 or 256. (Sums begin as zeros: did the first wgmma ignore what they hold, they
 * would keep their registers through the rest of a loop.) */

/* Operands d[i] .. d[i + 15], the places of operands in the text, and the text. */
#define PX_SUMS16(d, i)                                                                                                \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]),        \
        "+f"(d[i + 7]), "+f"(d[i + 8]), "+f"(d[i + 9]), "+f"(d[i + 10]), "+f"(d[i + 11]), "+f"(d[i + 12]),             \
        "+f"(d[i + 13]), "+f"(d[i + 14]), "+f"(d[i + 15])
#define PX_PLACES_0  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define PX_PLACES_16 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define PX_PLACES_32                                                                                                   \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                                 \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define PX_PLACES_64                                                                                                   \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "                                 \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "                                 \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "                     \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define PX_WGMMA(n, places, a, b)                                                                                      \
    "wgmma.mma_async.sync.aligned.m64n" n "k16.f32.bf16.bf16 {" places "}, " a ", " b ", 1, 1, 1, 0, 0;"

PX_SM90 void px_wgmma(float (&d)[16], uint64_t a, uint64_t b) {
    asm volatile(PX_WGMMA("32", PX_PLACES_0, "%16", "%17") : PX_SUMS16(d, 0) : "l"(a), "l"(b));
}
PX_SM90 void px_wgmma(float (&d)[32], uint64_t a, uint64_t b) {
    asm volatile(PX_WGMMA("64", PX_PLACES_0 ", " PX_PLACES_16, "%32", "%33")
                 : PX_SUMS16(d, 0), PX_SUMS16(d, 16)
                 : "l"(a), "l"(b));
}
PX_SM90 void px_wgmma(float (&d)[64], uint64_t a, uint64_t b) {
    asm volatile(PX_WGMMA("128", PX_PLACES_0 ", " PX_PLACES_16 ", " PX_PLACES_32, "%64", "%65")
                 : PX_SUMS16(d, 0), PX_SUMS16(d, 16), PX_SUMS16(d, 32), PX_SUMS16(d, 48)
                 : "l"(a), "l"(b));
}
PX_SM90 void px_wgmma(float (&d)[128], uint64_t a, uint64_t b) {
    asm volatile(PX_WGMMA("256", PX_PLACES_0 ", " PX_PLACES_16 ", " PX_PLACES_32 ", " PX_PLACES_64, "%128", "%129")
                 : PX_SUMS16(d, 0), PX_SUMS16(d, 16), PX_SUMS16(d, 32), PX_SUMS16(d, 48), PX_SUMS16(d, 64),
                   PX_SUMS16(d, 80), PX_SUMS16(d, 96), PX_SUMS16(d, 112)
                 : "l"(a), "l"(b));
}

#endif
