/* A recurrence backward in one kernel that holds the weights in shared memory. Its reference is the stepwise
 * recurrence: host/device/recurrence.c and lstm_cell_backward.cu. cluster.h describes the division of work and the
 * layouts.
 *
 * Step t of every block, where t counts from the pipeline's last step:
 *     load the gates and dh of t, and c of the recurrence step before (c of t is there already), into registers
 *     add up the gradient of h from step t - 1: the block's own sums, in registers, and those in the receive buffers
 *     apply the cells; store the gate gradients to global memory and into operand(t), buffer t mod 2
 *     fence.proxy.async in every thread that stored; __syncthreads; tell the others that the receive buffers are free
 *     multiply operand(t) with the weights, first to the other blocks' channels, then to the own ones; meanwhile
 *     prefetch the data of t + 2 into the L2 cache
 *     send the others' sums to their receive buffers when those are free, while the own product goes on
 *
 * Why there is no deadlock, and no buffer is overwritten too early:
 * 1. `full` expects in each phase one arrival, by thread 0, and the bytes of all receive buffers. Step t uses phase
 *    t - 1: thread 0 arrives at step t before it waits. The bytes may arrive first: the missing arrival keeps the phase
 *    open.
 * 2. `free` expects blocks - 1 arrivals in each phase: from one thread of every other block at its step t for phase t.
 *    All threads that send at step t wait for phase t first.
 * 3. A thread writes receive buffers at step t after it has waited for phase t of their `free`. Their block arrived
 * there after its __syncthreads of step t, when its threads had read the buffers into registers (phase t - 1 of `full`
 * had ended). So no byte of phase t arrives before phase t - 1 has ended, or over a value that has not been read.
 * 4. Phase t + 1 of `free` receives its first arrival from a block that has phase t of `full`, thus all bytes of this
 *    block's step t. Their senders have all waited for phase t of `free`, so no thread misses a phase of it. Phase t +
 * 1 of `full` ends after thread 0 arrives at step t + 2. That is after the __syncthreads of step t + 1, which all
 *    threads reach after they have waited for phase t.
 * 5. operand(t) overwrites operand(t - 2), which the products of step t - 2 read. Every warpgroup had their sums before
 *    the __syncthreads of step t - 1.
 * 6. All blocks take the same steps, whatever positions are live, and wait for the sums of every other block at the
 *    last. The last step sends nothing. px_cluster_sync at the end keeps a block's memory valid for late arrivals. */
#include "kernels/sm90/sm90.h"
#include "kernels/sm90/gates.h"
#include "kernels/sm90/load.h"

/* Loads the weights from this block's gates to all channels and clears the operand buffers. Called by all threads. */
static __device__ void backward_load(const px_cluster &c, const px_recurrence_direction &direction, int block,
                                     uint32_t base, const px_cluster_shared &shared) {
    const int chunks = px_backward_depth(&c) / PX_CHUNK, columns = px_backward_columns(&c);
    px_cluster_load(base, shared, c.taps * chunks * columns, [&](int i) {
        const int column = i % columns, chunk = i / columns % chunks, tap = i / columns / chunks;
        const int channel = px_backward_column_channel(&c, block, column);
        uint16_t weights[PX_CHUNK] = {};
        PX_UNROLL
        for (int k = 0; k < PX_CHUNK; k++) {
            const int row = px_backward_depth_row(&c, block, chunk * PX_CHUNK + k);
            if (row >= 0 && channel >= 0)
                weights[k] =
                    ((const uint16_t *)direction.weight.data)[((size_t)row * c.taps + tap) * c.hidden + channel];
        }
        px_bf16x8 eight;
        PX_UNROLL
        for (int k = 0; k < PX_CHUNK / 2; k++) eight.pair[k] = weights[2 * k] | (uint32_t)weights[2 * k + 1] << 16;
        return eight;
    });
}

/* sums += the product of the operand with the weights of this warpgroup's columns from `owner` on. */
template <int SUMS>
static __device__ __forceinline__ void backward_product(const px_cluster &c, float (&sums)[SUMS], uint32_t operand,
                                                        uint32_t weights, int warpgroup, int owner) {
    const uint32_t stride_b = px_cluster_stride_b(px_backward_columns(&c));
    for (int tap = 0; tap < c.taps; tap++) {
        uint64_t a = px_backward_a(&c, operand, tap), b = px_backward_b(&c, weights, warpgroup, owner, tap);
        for (int tile = 0; tile < c.warpgroups; tile++) {
            px_wgmma_fence();
            PX_UNROLL
            for (int k = 0; k < PX_TILE_GATES; k += 2 * PX_CHUNK) {
                px_wgmma(sums, a, b);
                a = px_wgmma_advance(a, PX_CLUSTER_STRIDE_A);
                b = px_wgmma_advance(b, stride_b);
            }
        }
    }
    px_wgmma_commit();
}

/* dh and c of the thread's channels of a pixel; 0 if the position is not live. */
static __device__ __forceinline__ px_bf16x8 backward_dh(const px_cluster &c, const px_cluster_thread &at,
                                                        const px_recurrence_direction &direction, int pixel) {
    return pixel < 0 ? px_bf16x8{}
                     : px_load_global((const uint16_t *)direction.dh.data + px_state_offset(&c, &at, pixel));
}
static __device__ __forceinline__ px_float8 backward_cell(const px_cluster &c, const px_cluster_thread &at,
                                                          const px_recurrence_direction &direction, int pixel) {
    return pixel < 0 ? px_float8{} : px_load_float8((const float *)direction.c.data + px_state_offset(&c, &at, pixel));
}

/* Prefetches the data of a step: gates and dh of its pixel, and c of the pixel before. */
static __device__ __forceinline__ void backward_prefetch(const px_cluster &c, const px_cluster_thread &at,
                                                         const px_recurrence_direction &direction, int pixel,
                                                         int before) {
    px_gates_prefetch(c, at, direction.gates, pixel);
    if (pixel >= 0) px_prefetch((const uint16_t *)direction.dh.data + px_state_offset(&c, &at, pixel));
    if (before >= 0) px_prefetch((const float *)direction.c.data + px_state_offset(&c, &at, before));
}

template <int BLOCKS>
static __global__ void __launch_bounds__(PX_CLUSTER_MAX_WARPGROUPS *PX_WARPGROUP_THREADS, 1)
    recurrence_backward_kernel(const __grid_constant__ px_recurrence_args s, const __grid_constant__ px_cluster c) {
    enum { OTHERS = BLOCKS > 1 ? BLOCKS - 1 : 1 };
    extern __shared__ __align__(PX_CLUSTER_ALIGN) char memory[];
    const px_cluster_shared shared = px_backward_shared(&c);
    const int block = px_block_rank();
    const px_image_pipeline pipeline = px_image_pipeline_at(&s, &c, blockIdx.x / BLOCKS);
    const px_recurrence_direction &direction = s.direction[pipeline.direction];
    const px_cluster_thread at = px_cluster_thread_at(&c, block, threadIdx.x);
    const uint32_t base = px_shared_address(memory), receive = shared.receive + px_receive_offset(&c, &at);
    const uint32_t full = px_backward_full(base + shared.barriers), free = px_backward_free(base + shared.barriers);
    const int peer = (int)threadIdx.x; /* this thread handles the barrier of the block of this rank */
    const bool other = peer < BLOCKS && peer != block;

    backward_load(c, direction, block, base, shared);
    if (threadIdx.x == 0) {
        px_mbarrier_init(full, 1);
        px_mbarrier_init(free, BLOCKS > 1 ? BLOCKS - 1 : 1);
    }
    px_fence_mbarrier_init();
    px_fence_proxy_async();
    px_cluster_sync();

    int pixel[2], before_pixel[2],
        prefetched_pixel[2]; /* of the thread's two positions at this step and the two before */
    px_float8 cell[2], grad_c[2] = {};
    PX_UNROLL
    for (int second = 0; second < 2; second++) {
        pixel[second] = px_thread_pixel(&s, &pipeline, &at, pipeline.steps - 1, second);
        before_pixel[second] = px_thread_pixel(&s, &pipeline, &at, pipeline.steps - 2, second);
        prefetched_pixel[second] = px_thread_pixel(&s, &pipeline, &at, pipeline.steps - 3, second);
        cell[second] = backward_cell(c, at, direction, pixel[second]);
    }
    float dh_next[PX_TILE_SUMS] = {}; /* this thread's part of the gradient of h from the next recurrence step */
    for (int t = 0; t < pipeline.steps; t++) {
        const int step = pipeline.steps - 1 - t;
        px_bf16x8 gates[2][PX_GATES], dh[2];
        px_float8 before[2];
        PX_UNROLL
        for (int second = 0; second < 2; second++) {
            px_gates_read(c, at, direction.gates, pixel[second], gates[second]);
            dh[second] = backward_dh(c, at, direction, pixel[second]);
            before[second] = backward_cell(c, at, direction, before_pixel[second]);
        }

        if (BLOCKS > 1 && t > 0) {
            if (threadIdx.x == 0) px_mbarrier_expect(full, px_receive_bytes(&c));
            px_mbarrier_wait(full, (uint32_t)(t - 1) % 2);
            PX_UNROLL
            for (int owner = 1; owner < BLOCKS; owner++) PX_UNROLL
            for (int v = 0; v < PX_PARTS; v++) {
                const px_bf16x8 part = px_load_shared(base + receive + px_receive_part(owner, v));
                PX_UNROLL
                for (int i = 0; i < PX_CHUNK; i++) dh_next[v * PX_CHUNK + i] += px_bf16x8_get(&part, i);
            }
        }

        const uint32_t operand = px_operand_buffer(&shared, t);
        PX_UNROLL
        for (int second = 0; second < 2; second++) {
            if (pixel[second] < 0) {
                grad_c[second] = px_float8{};
            } else {
                px_cluster_cell_backward(dh_next, second, &dh[second], &cell[second], &before[second], gates[second],
                                         &grad_c[second]);
                px_gates_write(c, at, direction.gates, pixel[second], gates[second]);
            }
            PX_UNROLL
            for (int gate = 0; gate < PX_GATES; gate++)
                px_store_shared(base + operand + px_operand_row(px_backward_chunk(&at, gate), at.position + 8 * second),
                                gates[second][gate]);
        }
        if (step == 0) break;
        px_fence_proxy_async();
        __syncthreads();
        if (other) px_mbarrier_arrive_remote(px_map_shared(free, peer));
        float sums[OTHERS * PX_TILE_SUMS] = {}; /* of the other blocks' channels; dh_next has those of the own ones */
        PX_UNROLL
        for (int i = 0; i < PX_TILE_SUMS; i++) dh_next[i] = 0;
        px_wgmma_pin(sums);
        px_wgmma_pin(dh_next);
        if (BLOCKS > 1) backward_product(c, sums, base + operand, base + shared.weights, at.warpgroup, 1);
        backward_product(c, dh_next, base + operand, base + shared.weights, at.warpgroup, 0);
        PX_UNROLL
        for (int second = 0; second < 2; second++) { /* while the tensor cores compute */
            cell[second] = before[second];
            pixel[second] = before_pixel[second], before_pixel[second] = prefetched_pixel[second];
            prefetched_pixel[second] = px_thread_pixel(&s, &pipeline, &at, step - 3, second);
            backward_prefetch(c, at, direction, before_pixel[second], prefetched_pixel[second]);
        }
        if (BLOCKS > 1) {
            px_wgmma_wait<1>(sums);
            px_mbarrier_wait(free, (uint32_t)t % 2);
            const int self = px_block_rank();
            PX_UNROLL
            for (int owner = 1; owner < BLOCKS; owner++) {
                const uint32_t remote = px_map_shared(base, (self + owner) & (BLOCKS - 1));
                PX_UNROLL
                for (int v = 0; v < PX_PARTS; v++)
                    px_store_async(remote + receive + px_receive_part(owner, v),
                                   px_bf16x8_round(&sums[((owner - 1) * PX_PARTS + v) * PX_CHUNK]),
                                   remote + px_backward_full(shared.barriers));
            }
        }
        px_wgmma_wait<0>(dh_next);
    }
    px_cluster_sync();
}

extern "C" const void *px_recurrence_backward_cluster_sm90(int blocks) {
    switch (blocks) {
    case 1: return (const void *)recurrence_backward_kernel<1>;
    case 2: return (const void *)recurrence_backward_kernel<2>;
    case 4: return (const void *)recurrence_backward_kernel<4>;
    default: return (const void *)recurrence_backward_kernel<8>;
    }
}
