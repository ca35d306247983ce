/* A recurrence backward in one kernel, the weights in shared memory all along. Its reference is recurrence_backward,
 * stepwise: host/device/recurrence.c and lstm_cell_backward.cu. cluster.h says who does what and where everything
 * lies.
 *
 * Step t, counted from the queue's last, of every block:
 *     gates and dh of t from memory into registers, and c of the step before in time, which is t + 1's own
 *     gradient of h that step t - 1 left: the block's own part, which is in registers, + what lies in its mailbox
 *     cells; gradients of gates to memory and into rows(t), buffer t mod 2
 *     fence.proxy.async by every writer; __syncthreads; the others are told that this block's mailbox is free
 *     product: rows(t) times the weights; meanwhile the second-level cache is asked for what t + 2 reads; the own part
 *     stays, the others' go to their mailboxes when those are free
 *
 * Why no one waits in vain, and nothing is overwritten too early:
 * 1. full has 1 arrival a phase, thread 0's, and the bytes of a whole mailbox. Phase t - 1 is step t's: thread 0
 *    arrives at step t before it waits. Bytes may come before: the missing arrival keeps the phase open.
 * 2. free has blocks - 1 arrivals a phase: from every other block, one thread at its step t for phase t. All threads
 *    that send at step t wait for phase t first.
 * 3. A thread writes mailboxes at step t after waiting for free's phase t. That block arrived after its
 *    __syncthreads of step t, which its threads reached with what they read of the mailbox in registers (phase t - 1
 *    of full, ended): no byte of phase t comes before phase t - 1 ended, and none over one that is still to be read.
 * 4. free's phase t + 1 begins to fill when a block has full's phase t, thus all bytes of this block's step t, whose
 *    senders have all waited for free's phase t: no one misses a phase of free. full's phase t + 1 ends after thread
 *    0 arrives at step t + 2, past the __syncthreads of step t + 1 that all reach after waiting for phase t.
 * 5. rows(t) overwrite rows(t - 2), which the products of step t - 2 read: every warpgroup had its sums of them
 *    before the __syncthreads of step t - 1.
 * 6. All blocks take the same steps, whoever lives in them, and wait for every other's part of the last; nothing is
 *    sent by the last step itself; memory stays until all are done (px_cluster_sync), as late arrivals at free want. */
#include "kernels/sm90/sm90.h"
#include "kernels/sm90/gates.h"

/* The weights from this block's gates to all units, and zeros for the rows: all threads. */
static __device__ void backward_load(const px_cluster &c, const px_recurrence_direction &line, int block, uint32_t base,
                                     const px_cluster_shared &shared) {
    const int chunks = px_backward_depth(&c) / PX_CHUNK, columns = px_backward_columns(&c);
    for (int i = threadIdx.x; i < c.taps * chunks * columns; i += blockDim.x) {
        const int column = i % columns, chunk = i / columns % chunks, tap = i / columns / chunks;
        const int unit = px_backward_column_unit(&c, block, column);
        uint16_t weights[PX_CHUNK] = {};
        PX_UNROLL
        for (int k = 0; k < PX_CHUNK; k++) {
            const int row = px_backward_depth_row(&c, block, chunk * PX_CHUNK + k);
            if (row >= 0 && unit >= 0)
                weights[k] = ((const uint16_t *)line.weight.data)[((size_t)row * c.taps + tap) * c.hidden + unit];
        }
        px_eight eight;
        PX_UNROLL
        for (int k = 0; k < PX_CHUNK / 2; k++) eight.pair[k] = weights[2 * k] | (uint32_t)weights[2 * k + 1] << 16;
        px_store_shared(base + shared.weights + px_backward_weight(&c, tap, chunk, column), eight);
    }
    for (uint32_t at = shared.rows + threadIdx.x * PX_CHUNK_BYTES; at < shared.mailbox;
         at += blockDim.x * PX_CHUNK_BYTES)
        px_store_shared(base + at, px_eight{});
}

/* sums += the product of the block's rows with the weights to this warpgroup's columns. */
template <int SUMS>
static __device__ __forceinline__ void backward_product(const px_cluster &c, float (&sums)[SUMS], uint32_t rows,
                                                        uint32_t weights, int group) {
    const uint32_t pitch = px_cluster_pitch_b(px_backward_columns(&c));
    for (int tap = 0; tap < c.taps; tap++) {
        uint64_t a = px_backward_a(&c, rows, tap), b = px_backward_b(&c, weights, group, tap);
        for (int slot = 0; slot < c.groups; slot++) {
            px_wgmma_fence();
            PX_UNROLL
            for (int k = 0; k < PX_SLOT_GATES; k += 2 * PX_CHUNK) {
                px_wgmma(sums, a, b);
                a = px_wgmma_further(a, PX_CLUSTER_PITCH_A);
                b = px_wgmma_further(b, pitch);
            }
        }
    }
}

/* dh and c of the thread's units at a pixel; 0 where its lane does not live. */
static __device__ __forceinline__ px_eight backward_dh(const px_cluster &c, const px_cluster_thread &at,
                                                       const px_recurrence_direction &line, int pixel) {
    return pixel < 0 ? px_eight{} : px_load((const uint16_t *)line.dh.data + px_cluster_state(&c, &at, pixel));
}
static __device__ __forceinline__ px_eight_floats backward_cell(const px_cluster &c, const px_cluster_thread &at,
                                                                const px_recurrence_direction &line, int pixel) {
    return pixel < 0 ? px_eight_floats{}
                     : px_load_floats((const float *)line.c.data + px_cluster_state(&c, &at, pixel));
}

/* Asks for what a step reads: gates and dh of its pixel, c of the one before. */
static __device__ __forceinline__ void backward_ask(const px_cluster &c, const px_cluster_thread &at,
                                                    const px_recurrence_direction &line, int pixel, int before) {
    px_gates_ask(c, at, line.gates, pixel);
    if (pixel >= 0) px_prefetch((const uint16_t *)line.dh.data + px_cluster_state(&c, &at, pixel));
    if (before >= 0) px_prefetch((const float *)line.c.data + px_cluster_state(&c, &at, before));
}

template <int BLOCKS>
static __global__ void __launch_bounds__(PX_CLUSTER_GROUPS *PX_CLUSTER_GROUP, 1)
    recurrence_backward_kernel(const __grid_constant__ px_recurrence_args s, const __grid_constant__ px_cluster c) {
    extern __shared__ __align__(PX_CLUSTER_ALIGN) char memory[];
    const px_cluster_shared shared = px_backward_shared(&c);
    const int block = px_block_rank();
    const px_cluster_queue queue = px_cluster_queue_of(&s, &c, blockIdx.x / BLOCKS);
    const px_recurrence_direction &line = s.direction[queue.direction];
    const px_cluster_thread at = px_cluster_thread_at(&c, block, threadIdx.x);
    const uint32_t base = px_shared(memory), mailbox = shared.mailbox + px_mailbox(&c, &at);
    const uint32_t full = px_backward_full(base + shared.barriers), free = px_backward_free(base + shared.barriers);
    const int peer = (int)threadIdx.x; /* this thread deals with the block of its number, if that is another */
    const bool other = peer < BLOCKS && peer != block;

    backward_load(c, line, block, base, shared);
    if (threadIdx.x == 0) {
        px_barrier_init(full, 1);
        px_barrier_init(free, BLOCKS > 1 ? BLOCKS - 1 : 1);
    }
    px_barrier_init_done();
    px_fence_async();
    px_cluster_sync();

    int pixel[2], before_pixel[2], asked_pixel[2]; /* where the thread's lanes stand here and the two steps before */
    px_eight_floats cell[2], grad_c[2] = {};
    PX_UNROLL
    for (int second = 0; second < 2; second++) {
        pixel[second] = px_cluster_pixel(&s, &queue, &at, queue.steps - 1, second);
        before_pixel[second] = px_cluster_pixel(&s, &queue, &at, queue.steps - 2, second);
        asked_pixel[second] = px_cluster_pixel(&s, &queue, &at, queue.steps - 3, second);
        cell[second] = backward_cell(c, at, line, pixel[second]);
    }
    float later[PX_SLOT_SUMS] = {}; /* this thread's share of the gradient of h that the step after gave */
    for (int t = 0; t < queue.steps; t++) {
        const int step = queue.steps - 1 - t;
        px_eight gates[2][PX_GATES], dh[2];
        px_eight_floats before[2];
        PX_UNROLL
        for (int second = 0; second < 2; second++) {
            px_gates_read(c, at, line.gates, pixel[second], gates[second]);
            dh[second] = backward_dh(c, at, line, pixel[second]);
            before[second] = backward_cell(c, at, line, before_pixel[second]);
        }

        if (BLOCKS > 1 && t > 0) {
            if (threadIdx.x == 0) px_barrier_expect(full, px_mailbox_bytes(&c));
            px_barrier_wait(full, (uint32_t)(t - 1) % 2);
            PX_UNROLL
            for (int owner = 1; owner < BLOCKS; owner++) PX_UNROLL
            for (int v = 0; v < 4; v++) {
                const float4 part = px_load_shared(base + mailbox + px_mailbox_part(owner, v));
                later[4 * v] += part.x, later[4 * v + 1] += part.y;
                later[4 * v + 2] += part.z, later[4 * v + 3] += part.w;
            }
        }

        const uint32_t rows = px_cluster_rows(&shared, t);
        PX_UNROLL
        for (int second = 0; second < 2; second++) {
            if (pixel[second] < 0) {
                grad_c[second] = px_eight_floats{};
            } else {
                px_cluster_cell_backward(later, second, &dh[second], &cell[second], &before[second], gates[second],
                                         &grad_c[second]);
                px_gates_write(c, at, line.gates, pixel[second], gates[second]);
            }
            PX_UNROLL
            for (int gate = 0; gate < PX_GATES; gate++)
                px_store_shared(base + rows + px_cluster_row(px_backward_chunk(&at, gate), at.lane + 8 * second),
                                gates[second][gate]);
        }
        if (step == 0) break;
        px_fence_async();
        __syncthreads();
        if (other) px_barrier_arrive_at(px_shared_of(free, peer));
        float sums[BLOCKS * PX_SLOT_SUMS] = {}; /* for the own units, then for the others' */
        px_wgmma_pin(sums);
        backward_product(c, sums, base + rows, base + shared.weights, at.group);
        PX_UNROLL
        for (int second = 0; second < 2; second++) { /* while the tensor cores work */
            cell[second] = before[second];
            pixel[second] = before_pixel[second], before_pixel[second] = asked_pixel[second];
            asked_pixel[second] = px_cluster_pixel(&s, &queue, &at, step - 3, second);
            backward_ask(c, at, line, before_pixel[second], asked_pixel[second]);
        }
        px_wgmma_end(sums);
        PX_UNROLL
        for (int i = 0; i < PX_SLOT_SUMS; i++) later[i] = sums[i];
        if (BLOCKS > 1) px_barrier_wait(free, (uint32_t)t % 2);
        const int self = px_block_rank();
        PX_UNROLL
        for (int owner = 1; owner < BLOCKS; owner++) {
            const uint32_t remote = px_shared_of(base, (self + owner) & (BLOCKS - 1));
            PX_UNROLL
            for (int v = 0; v < 4; v++) {
                const float *part = &sums[owner * PX_SLOT_SUMS + 4 * v];
                px_store_to(remote + mailbox + px_mailbox_part(owner, v), part[0], part[1], part[2], part[3],
                            remote + px_backward_full(shared.barriers));
            }
        }
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
