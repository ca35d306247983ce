/* A recurrence forward in one kernel that holds the weights in shared memory. Its reference is the stepwise recurrence:
 * host/device/recurrence.c and lstm_cell_forward.cu. cluster.h describes the division of work and the layouts.
 *
 * Step t of every block:
 *     load the gates of t (input-to-state) from global memory into registers
 *     multiply the weights with the block's own part of state(t), then with the other parts as they arrive;
 *         meanwhile prefetch the gates of t + 2 into the L2 cache
 *     apply the cells; store h into the block's own part of state(t + 1)
 *     fence.proxy.async in every thread that stored; __syncthreads; copy the own part to the other blocks
 *     while it travels, store gates, h and c to global memory
 * state(t) is h(t - 1) of all hidden channels, in buffer t mod 2. state(0) is 0. Positions that are not live take part
 * with h = c = 0.
 *
 * Why there is no deadlock, and no buffer is overwritten too early:
 * 1. mbarrier (buffer, source) expects in each phase one arrival, by thread `source`, and the bytes of one tile copy.
 *    The thread arrives at step t for buffer t mod 2, before it waits. The bytes may arrive before the thread does: the
 *    missing arrival keeps the phase open. The bytes of the next phase cannot arrive before this phase ends (see 3).
 * 2. The __syncthreads of step t follows all products of step t, because every thread waits for its sums before its
 *    cells. A tile copy that a block sends after it therefore tells the others that the block has read state(t).
 * 3. Block P copies its part of state(t + 1) into buffer (t + 1) mod 2 of block Q, which holds state(t - 1). Before
 * that, P waited for Q's part of state(t), which Q sent after its __syncthreads of step t - 1. By 2, Q no longer reads
 *    state(t - 1), and has passed its waits for it. Blocks are therefore never two steps apart, and two buffers
 * suffice. This requires that every block has a part to send, which px_cluster_split guarantees.
 * 4. The block writes state(t + 3) over its own part of state(t + 1) at step t + 2. By then it has received the others'
 *    parts of state(t + 2), which they sent after they had received this part. So its copies have been read.
 * 5. Between the warpgroups of a block, the __syncthreads of every step gives the same order.
 * 6. All blocks take the same steps, whatever positions are live. Nothing is sent after the last step, and every tile
 *    copy has been waited for. px_cluster_sync at the end keeps a block's memory valid until all have finished. */
#include "kernels/sm90/sm90.h"
#include "kernels/sm90/gates.h"
#include "kernels/sm90/load.h"

/* Loads the weights of this block's columns and clears the state. Called by all threads. */
static __device__ void forward_load(const px_cluster &c, const px_recurrence_direction &direction, int block,
                                    uint32_t base, const px_cluster_shared &shared) {
    const int chunks = c.hidden / PX_CHUNK, columns = px_forward_columns(&c);
    px_cluster_load(base, shared, c.taps * chunks * columns, [&](int i) {
        const int column = i % columns, chunk = i / columns % chunks, tap = i / columns / chunks;
        const int row = px_forward_column_row(&c, block, column);
        if (row < 0) return px_bf16x8{};
        return px_load_global((const uint16_t *)direction.weight.data + ((size_t)row * c.taps + tap) * c.hidden +
                              chunk * PX_CHUNK);
    });
}

/* sums += the product of one block's part of the state with the weights of this warpgroup's columns. */
static __device__ __forceinline__ void forward_product(const px_cluster &c, float (&sums)[PX_TILE_SUMS * PX_GATES],
                                                       uint32_t state, uint32_t weights, int warpgroup, int source) {
    const int chunk = c.first_channel[source] / PX_CHUNK;
    const int pairs = c.first_channel[source + 1] / (2 * PX_CHUNK) - c.first_channel[source] / (2 * PX_CHUNK);
    const uint32_t stride_b = px_cluster_stride_b(px_forward_columns(&c));
    const auto multiply = [&](uint64_t &a, uint64_t &b) {
        px_wgmma(sums, a, b);
        a = px_wgmma_advance(a, PX_CLUSTER_STRIDE_A);
        b = px_wgmma_advance(b, stride_b);
    };
    for (int tap = 0; tap < c.taps; tap++) {
        uint64_t a = px_forward_a(&c, state, tap, chunk), b = px_forward_b(&c, weights, warpgroup, tap, chunk);
        if (pairs % 2 > 0) {
            px_wgmma_fence();
            multiply(a, b);
        }
#pragma unroll 1
        for (int pair = pairs % 2; pair < pairs; pair += 2) {
            px_wgmma_fence();
            multiply(a, b);
            multiply(a, b);
        }
    }
}

static __global__ void __launch_bounds__(PX_CLUSTER_MAX_WARPGROUPS *PX_WARPGROUP_THREADS, 1)
    recurrence_forward_kernel(const __grid_constant__ px_recurrence_args s, const __grid_constant__ px_cluster c) {
    extern __shared__ __align__(PX_CLUSTER_ALIGN) char memory[];
    const px_cluster_shared shared = px_forward_shared(&c);
    const int block = px_block_rank();
    const px_image_pipeline pipeline = px_image_pipeline_at(&s, &c, blockIdx.x / c.blocks);
    const px_recurrence_direction &direction = s.direction[pipeline.direction];
    const px_cluster_thread at = px_cluster_thread_at(&c, block, threadIdx.x);
    const uint32_t base = px_shared_address(memory), barriers = base + shared.barriers;
    const int peer = (int)threadIdx.x; /* this thread handles the barrier of the block of this rank */
    const bool other = peer < c.blocks && peer != block;

    forward_load(c, direction, block, base, shared);
    if (threadIdx.x < 2 * PX_CLUSTER_MAX_BLOCKS)
        px_mbarrier_init(barriers + threadIdx.x * (uint32_t)sizeof(uint64_t), 1);
    px_fence_mbarrier_init();
    px_fence_proxy_async();
    px_cluster_sync();

    px_float8 cell[2] = {};
    int pixel[2], next_pixel[2], prefetched_pixel[2]; /* of the thread's two positions at this step and the next two */
    PX_UNROLL
    for (int second = 0; second < 2; second++) {
        pixel[second] = px_thread_pixel(&s, &pipeline, &at, 0, second);
        next_pixel[second] = px_thread_pixel(&s, &pipeline, &at, 1, second);
    }
    for (int step = 0; step < pipeline.steps; step++) {
        const uint32_t next = px_operand_buffer(&shared, step + 1);
        px_bf16x8 gates[2][PX_GATES];
        PX_UNROLL
        for (int second = 0; second < 2; second++) px_gates_read(c, at, direction.gates, pixel[second], gates[second]);

        if (step > 0 && other)
            px_mbarrier_expect(barriers + px_forward_barrier(step, peer), px_forward_copy_bytes(&c, peer));
        float sums[PX_TILE_SUMS * PX_GATES] = {};
        px_wgmma_pin(sums);
        for (int i = 0; i < c.blocks; i++) {
            const int source = (block + i) & (c.blocks - 1);
            if (step > 0 && i > 0)
                px_mbarrier_wait(barriers + px_forward_barrier(step, source), px_forward_parity(step));
            forward_product(c, sums, base + px_operand_buffer(&shared, step), base + shared.weights, at.warpgroup,
                            source);
        }
        PX_UNROLL
        for (int second = 0; second < 2; second++) { /* while the tensor cores compute */
            prefetched_pixel[second] = px_thread_pixel(&s, &pipeline, &at, step + 2, second);
            px_gates_prefetch(c, at, direction.gates, prefetched_pixel[second]);
        }
        px_wgmma_commit();
        px_wgmma_wait<0>(sums);

        px_bf16x8 h[2] = {};
        PX_UNROLL
        for (int second = 0; second < 2; second++) {
            if (pixel[second] < 0)
                cell[second] = px_float8{};
            else
                px_cluster_cell_forward(sums, second, gates[second], &cell[second], &h[second]);
            if (at.channel >= 0)
                px_store_shared(base + next + px_operand_row(at.channel / PX_CHUNK, at.position + 8 * second),
                                h[second]);
        }
        if (step + 1 < pipeline.steps) {
            px_fence_proxy_async();
            __syncthreads();
            if (other) {
                const uint32_t tile = base + next + px_forward_copy_offset(&c, block);
                px_copy_async(px_map_shared(tile, peer), tile, px_forward_copy_bytes(&c, block),
                              px_map_shared(barriers + px_forward_barrier(step + 1, block), peer));
            }
        }
        PX_UNROLL
        for (int second = 0; second < 2; second++) {
            if (pixel[second] >= 0) {
                px_gates_write(c, at, direction.gates, pixel[second], gates[second]);
                const size_t offset = px_state_offset(&c, &at, pixel[second]);
                px_store_global((uint16_t *)direction.h.data + offset, h[second]);
                px_store_global((float *)direction.c.data + offset, cell[second]);
            }
            pixel[second] = next_pixel[second], next_pixel[second] = prefetched_pixel[second];
        }
    }
    px_cluster_sync();
}

extern "C" const void *px_recurrence_forward_cluster_sm90(void) { return (const void *)recurrence_forward_kernel; }
