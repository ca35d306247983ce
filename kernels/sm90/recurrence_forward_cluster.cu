/* A recurrence forward in one kernel, the weights in shared memory all along. Its reference is recurrence_forward,
 * stepwise: host/device/recurrence.c and lstm_cell_forward.cu. cluster.h says who does what and where everything
 * lies.
 *
 * Step t of every block:   pre-activations of t from memory into registers
 *                          product: own part of state(t), then the others' as they come, times the weights;
 *                          meanwhile the second-level cache is asked for the pre-activations of t + 2
 *                          cells; h to memory and into state(t + 1), at the block's own place
 *                          fence.proxy.async by every writer; __syncthreads; the place is copied to the other blocks
 * state(t) is h(t - 1) of all units, in buffer t mod 2; state(0) is 0. Lanes that do not live go along with h = c = 0.
 *
 * Why no one waits in vain, and nothing is overwritten too early:
 * 1. Barrier (buffer, source) has 1 arrival a phase, that of thread `source`, and the bytes of one parcel. It
 *    arrives at step t for buffer t mod 2, before it waits. The source's bytes may come before: they leave the phase
 *    open, since the arrival is missing, and the bytes of the next phase cannot come before this one ends (see 3).
 * 2. A block's __syncthreads of step t comes after all its products of step t: every thread took its sums before its
 *    cells. So what a block sends after it tells the others that it is done with state(t).
 * 3. Block P copies its part of state(t + 1) into block Q's buffer (t + 1) mod 2. Before, P waited for Q's part of
 *    state(t), which Q sent after its __syncthreads of step t - 1: by 2, Q no longer reads state(t - 1), the buffer's
 *    contents until now, and has passed its waits for them. Blocks are therefore never two steps apart, and two
 *    buffers do. For this every block must have a part of its own to send: px_cluster_split sees to it.
 * 4. The copies of state(t + 1)'s own part are done reading it before the block writes state(t + 3) there: it does
 *    so at step t + 2, when it has the others' state(t + 2), which they sent after waiting for that part.
 * 5. Between warpgroups of a block the same holds by __syncthreads, once a step.
 * 6. All blocks take the same steps, those of their cluster's queue, whoever lives in them. Nothing is sent after the
 *    last one; all parcels were waited for, so a block may end when all have (px_cluster_sync: no block's memory goes
 *    while another may copy from or to it). */
#include "kernels/sm90/sm90.h"
#include "kernels/sm90/gates.h"

/* The weights of this block's columns, and zeros for the state: all threads. */
static __device__ void forward_load(const px_cluster &c, const px_recurrence_direction &line, int block, uint32_t base,
                                    const px_cluster_shared &shared) {
    const int chunks = c.hidden / PX_CHUNK, columns = px_forward_columns(&c);
    for (int i = threadIdx.x; i < c.taps * chunks * columns; i += blockDim.x) {
        const int column = i % columns, chunk = i / columns % chunks, tap = i / columns / chunks;
        const int row = px_forward_column_row(&c, block, column);
        px_eight weights = {};
        if (row >= 0)
            weights = px_load((const uint16_t *)line.weight.data + ((size_t)row * c.taps + tap) * c.hidden +
                              chunk * PX_CHUNK);
        px_store_shared(base + shared.weights + px_forward_weight(&c, tap, chunk, column), weights);
    }
    for (uint32_t at = shared.rows + threadIdx.x * PX_CHUNK_BYTES; at < shared.mailbox;
         at += blockDim.x * PX_CHUNK_BYTES)
        px_store_shared(base + at, px_eight{});
}

/* sums += the product of one block's part of the state with the weights of this warpgroup's columns. */
static __device__ __forceinline__ void forward_product(const px_cluster &c, float (&sums)[PX_SLOT_SUMS * PX_GATES],
                                                       uint32_t state, uint32_t weights, int group, int source) {
    const int chunk = c.unit[source] / PX_CHUNK, pairs = (c.unit[source + 1] - c.unit[source]) / (2 * PX_CHUNK);
    const uint32_t pitch = px_cluster_pitch_b(px_forward_columns(&c));
    for (int tap = 0; tap < c.taps; tap++) {
        uint64_t a = px_forward_a(&c, state, tap, chunk), b = px_forward_b(&c, weights, group, tap, chunk);
#pragma unroll 1
        for (int pair = 0; pair < pairs; pair++) {
            px_wgmma_fence();
            px_wgmma(sums, a, b);
            a = px_wgmma_further(a, PX_CLUSTER_PITCH_A);
            b = px_wgmma_further(b, pitch);
        }
    }
}

static __global__ void __launch_bounds__(PX_CLUSTER_GROUPS *PX_CLUSTER_GROUP, 1)
    recurrence_forward_kernel(const __grid_constant__ px_recurrence_args s, const __grid_constant__ px_cluster c) {
    extern __shared__ __align__(PX_CLUSTER_ALIGN) char memory[];
    const px_cluster_shared shared = px_forward_shared(&c);
    const int block = px_block_rank();
    const px_cluster_queue queue = px_cluster_queue_of(&s, &c, blockIdx.x / c.blocks);
    const px_recurrence_direction &line = s.direction[queue.direction];
    const px_cluster_thread at = px_cluster_thread_at(&c, block, threadIdx.x);
    const uint32_t base = px_shared(memory), barriers = base + shared.barriers;
    const int peer = (int)threadIdx.x; /* this thread deals with the block of its number, if that is another */
    const bool other = peer < c.blocks && peer != block;

    forward_load(c, line, block, base, shared);
    if (threadIdx.x < 2 * PX_CLUSTER_MAX) px_barrier_init(barriers + threadIdx.x * (uint32_t)sizeof(uint64_t), 1);
    px_barrier_init_done();
    px_fence_async();
    px_cluster_sync();

    px_eight_floats cell[2] = {};
    int pixel[2], next_pixel[2], asked_pixel[2]; /* where the thread's lanes stand at this step and the two to come */
    PX_UNROLL
    for (int second = 0; second < 2; second++) {
        pixel[second] = px_cluster_pixel(&s, &queue, &at, 0, second);
        next_pixel[second] = px_cluster_pixel(&s, &queue, &at, 1, second);
    }
    for (int step = 0; step < queue.steps; step++) {
        const uint32_t next = px_cluster_rows(&shared, step + 1);
        px_eight gates[2][PX_GATES];
        PX_UNROLL
        for (int second = 0; second < 2; second++) px_gates_read(c, at, line.gates, pixel[second], gates[second]);

        if (step > 0 && other)
            px_barrier_expect(barriers + px_forward_barrier(step, peer), px_forward_parcel_bytes(&c, peer));
        float sums[PX_SLOT_SUMS * PX_GATES] = {};
        px_wgmma_pin(sums);
        for (int i = 0; i < c.blocks; i++) {
            const int source = (block + i) & (c.blocks - 1);
            if (step > 0 && i > 0)
                px_barrier_wait(barriers + px_forward_barrier(step, source), px_forward_parity(step));
            forward_product(c, sums, base + px_cluster_rows(&shared, step), base + shared.weights, at.group, source);
        }
        PX_UNROLL
        for (int second = 0; second < 2; second++) { /* while the tensor cores work */
            asked_pixel[second] = px_cluster_pixel(&s, &queue, &at, step + 2, second);
            px_gates_ask(c, at, line.gates, asked_pixel[second]);
        }
        px_wgmma_end(sums);

        PX_UNROLL
        for (int second = 0; second < 2; second++) {
            const int lane = at.lane + 8 * second;
            px_eight h = {};
            if (pixel[second] < 0) {
                cell[second] = px_eight_floats{};
            } else {
                px_cluster_cell_forward(sums, second, gates[second], &cell[second], &h);
                px_gates_write(c, at, line.gates, pixel[second], gates[second]);
                const size_t place = px_cluster_state(&c, &at, pixel[second]);
                px_put((uint16_t *)line.h.data + place, h);
                px_put((float *)line.c.data + place, cell[second]);
            }
            pixel[second] = next_pixel[second], next_pixel[second] = asked_pixel[second];
            if (at.unit >= 0) px_store_shared(base + next + px_cluster_row(at.unit / PX_CHUNK, lane), h);
        }
        if (step == queue.steps - 1) break;
        px_fence_async();
        __syncthreads();
        if (other) {
            const uint32_t parcel = base + next + px_forward_parcel(&c, block);
            px_copy_to(px_shared_of(parcel, peer), parcel, px_forward_parcel_bytes(&c, block),
                       px_shared_of(barriers + px_forward_barrier(step + 1, block), peer));
        }
    }
    px_cluster_sync();
}

extern "C" const void *px_recurrence_forward_cluster_sm90(void) {
    return (const void *)recurrence_forward_kernel;
}
