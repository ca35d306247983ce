/* A recurrence on thread-block clusters: who does what, and where everything lies. Index functions that the kernels
 * recurrence_*_cluster.cu, their launch and the host's test share; no CUDA here.
 *
 * One cluster recurrences some images in one direction, each lane going from one image to the next without waiting for
 * the other lanes. Its blocks split the hidden units, and every block keeps the weights of its units in shared memory
 * from the first step to the last. A block's warpgroups (128 threads each) own a slot of 32 units of all lanes: at
 * every step a warpgroup makes a product with 64 rows, the lanes, by wgmma, which leaves in each thread 2 lanes x 8
 * units (x 4 gates): all that the cell needs, so that its state never leaves the registers.
 *
 * Three orders make that so:
 * - Chunks. A matrix that wgmma reads lies in chunks of 8 values of K: chunk after chunk, in it row after row, 16 bytes
 *   each (the layout without swizzle, K-major: 8 rows are a core matrix of 128 bytes). One row further is 16 bytes
 *   further whatever the row, so that a tap, which is the same lanes shifted by one, is the same matrix 16 bytes on.
 * - Slots. wgmma gives a thread the columns 2q, 2q + 1 of every 8, q = thread mod 4. Column p of a slot of 32 is unit
 *   px_slot_unit(p), so that these columns are the units 8q .. 8q + 7: 16 bytes of bfloat16, one access.
 * - Guards. Row lane + 1 of a chunk belongs to the lane; rows 0 and 65, and all lanes that do not live, hold zeros.
 *
 * Forward, state is what the product reads: all D units, each block's own written by itself, the others' copied in by
 * their owners; two buffers. The product's columns are (slot, gate, unit), its K is (tap, unit).
 * Backward, a block's gradients of its own gates are what its product reads (K = tap, slot, gate, unit); its columns
 * are the units of every block, partial sums that their owners add up: a mailbox for every other block. */
#ifndef PIXELRNN_KERNELS_RECURRENCE_CLUSTER_H
#define PIXELRNN_KERNELS_RECURRENCE_CLUSTER_H

#include "kernels/portable/bfloat16.h"
#include "kernels/skew.h"
#include <math.h>

#ifdef __CUDA_ARCH__
#define PX_UNROLL _Pragma("unroll")
#else
#define PX_UNROLL
#endif

enum {
    PX_CLUSTER_LANES = 64,                  /* rows of a wgmma */
    PX_CLUSTER_ROWS = PX_CLUSTER_LANES + 2, /* with a guard on either side */
    PX_CLUSTER_MAX = 8,                     /* blocks of a cluster that every device of sm_90 grants */
    PX_CLUSTER_GROUPS = 2,                  /* warpgroups of a block, at most */
    PX_CLUSTER_GROUP = 128,                 /* threads of a warpgroup */
    PX_CLUSTER_UNITS = 16,                  /* units are dealt out by so many: what one wgmma takes of K */
    PX_CHUNK = 8,
    PX_CHUNK_BYTES = 16,                /* a row of a chunk */
    PX_SLOT = 32,                       /* units of a warpgroup */
    PX_SLOT_SUMS = 16,                  /* sums that a thread holds of 32 columns */
    PX_SLOT_GATES = PX_GATES * PX_SLOT, /* columns of a warpgroup, forward */
    PX_CLUSTER_ALIGN = 128,             /* of the parts of shared memory */
};

/* How a recurrence is split. Block b owns the units unit[b] .. unit[b + 1] - 1: some, and no more than its slots hold.
 */
typedef struct px_cluster {
    int blocks; /* of the cluster: 1, 2, 4 or 8 */
    int groups; /* warpgroups of a block: 1 or 2 */
    int images; /* that it recurrences one after the other; the last cluster may have fewer */
    int hidden, taps, first_tap;
    int unit[PX_CLUSTER_MAX + 1];
} px_cluster;

/* The recurrence split among clusters of so many blocks and images; groups is 0 where that cannot be. */
static inline px_cluster px_cluster_split(const px_recurrence_args *s, int blocks, int images) {
    px_cluster c = {blocks, 0, images, s->hidden, s->taps, s->first_tap, {0}};
    const int shares = s->hidden / PX_CLUSTER_UNITS, most = (shares + blocks - 1) / blocks * PX_CLUSTER_UNITS;
    for (int block = 0; block <= blocks; block++) c.unit[block] = block * shares / blocks * PX_CLUSTER_UNITS;
    if (shares >= blocks && most <= PX_CLUSTER_GROUPS * PX_SLOT) c.groups = (most + PX_SLOT - 1) / PX_SLOT;
    return c;
}

/* Unit u of a block's slot `group`, or -1 where there is none: a slot may be partly or wholly empty. */
PX_HOST_DEVICE int px_cluster_slot_unit(const px_cluster *c, int block, int group, int u) {
    const int unit = c->unit[block] + group * PX_SLOT + u;
    return unit < c->unit[block + 1] ? unit : -1;
}

/* The unit of its slot to which column p of the slot belongs. */
PX_HOST_DEVICE int px_slot_unit(int p) {
    return p % PX_CHUNK / 2 * PX_CHUNK + p / PX_CHUNK * 2 + p % 2;
}

/* --- What wgmma reads and gives ----------------------------------------------------------------------------------- */

/* PTX ISA, "Register fragments" of wgmma: sum i of a thread of a warpgroup belongs to this row and column of D. */
PX_HOST_DEVICE int px_wgmma_row(int thread, int i) {
    return thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8;
}
PX_HOST_DEVICE int px_wgmma_column(int thread, int i) {
    return i / 4 * 8 + thread % 4 * 2 + i % 2;
}

/* PTX ISA, "Matrix descriptor format" of wgmma: a K-major matrix without swizzle that begins at a shared address;
 * between the two chunks of an instruction's K lie `chunk` bytes (its leading offset), between 8 rows and the next 8
 * always 128 (its stride offset). All are multiples of 16. */
PX_HOST_DEVICE uint64_t px_wgmma_descriptor(uint32_t address, uint32_t chunk) {
    const uint32_t rows = 8 * PX_CHUNK_BYTES;
    return (uint64_t)((address & 0x3ffffu) >> 4) | (uint64_t)((chunk & 0x3ffffu) >> 4) << 16 |
           (uint64_t)(rows >> 4) << 32;
}

/* The descriptor of the matrix that begins so many bytes further on. */
PX_HOST_DEVICE uint64_t px_wgmma_further(uint64_t descriptor, uint32_t bytes) {
    return descriptor + (bytes >> 4);
}

/* --- Threads ------------------------------------------------------------------------------------------------------ */

/* A thread's lanes are lane and lane + 8, its units unit .. unit + 7 (unit of the recurrence, or -1: it owns none). */
typedef struct px_cluster_thread {
    int block, group;
    int thread; /* of its warpgroup */
    int lane, unit;
} px_cluster_thread;

PX_HOST_DEVICE px_cluster_thread px_cluster_thread_at(const px_cluster *c, int block, int thread) {
    px_cluster_thread at;
    at.block = block;
    at.group = thread / PX_CLUSTER_GROUP;
    at.thread = thread % PX_CLUSTER_GROUP;
    at.lane = px_wgmma_row(at.thread, 0);
    at.unit = px_cluster_slot_unit(c, block, at.group, at.thread % 4 * PX_CHUNK);
    return at;
}

/* Which of a thread's sums belongs to its lane (0) or lane + 8 (1) and unit u of 8, in slot `slot` of the columns. */
PX_HOST_DEVICE int px_cluster_sum(int slot, int second, int u) {
    return slot * PX_SLOT_SUMS + u / 2 * 4 + second * 2 + u % 2;
}

/* --- Images, lanes and pixels ------------------------------------------------------------------------------------- */

/* What a cluster recurrences: `images` images from `first` on, in one direction, in so many steps. */
typedef struct px_cluster_queue {
    int direction, first, images, steps;
} px_cluster_queue;

/* Clusters that the recurrence takes. */
PX_HOST_DEVICE int px_cluster_count(const px_recurrence_args *s, const px_cluster *c) {
    return (s->grid.images + c->images - 1) / c->images * s->directions;
}

/* Steps that so many images take, one after the other: as many as device.h says if it is one. A lane rests for a step
 * between two images; the last lane begins delay * (lanes - 1) steps after the first. */
PX_HOST_DEVICE int px_cluster_steps(const px_recurrence_args *s, int images) {
    return images * (s->length + 1) - 1 + s->skew * (s->positions - 1);
}

/* The queue of cluster `number`. It is the same for all blocks of the cluster. */
PX_HOST_DEVICE px_cluster_queue px_cluster_queue_of(const px_recurrence_args *s, const px_cluster *c, int number) {
    px_cluster_queue queue;
    queue.direction = number % s->directions;
    queue.first = number / s->directions * c->images;
    queue.images = s->grid.images - queue.first < c->images ? s->grid.images - queue.first : c->images;
    queue.steps = px_cluster_steps(s, queue.images);
    return queue;
}

/* Row of the direction's tensors on which a lane stands at a step, -1 if it does not live: step delay * lane + p finds
 * the lane at place p mod (life + 1) of image p / (life + 1), and place `life` is its rest.
 *
 * Who does not live has the state 0. By its rest a lane finds 0 beside its next image's first pixel, as beside the
 * first image's; and no tap leads from one image to another, for it leads to the same p (the lane above, with delay 1)
 * or to the one before (the lane itself; with delay 0 any lane). Backward the same taps are gone the other way.
 * (32 bits: tensors of 2^31 pixels have no room on any device.) */
PX_HOST_DEVICE int px_lane_pixel(const px_recurrence_args *s, const px_cluster_queue *queue, int step, int lane) {
    const int start = s->skew * lane, period = s->length + 1, p = step - start;
    if (lane >= s->positions || p < 0) return -1;
    const int image = (int)((unsigned)p / (unsigned)period), place = p - image * period;
    if (image >= queue->images || place == s->length) return -1;
    return (int)px_skew_pixel(s, queue->direction, start + place, lane, queue->first + image);
}

/* The same for a thread's first or second lane; -1 also if the thread owns no units. */
PX_HOST_DEVICE int px_cluster_pixel(const px_recurrence_args *s, const px_cluster_queue *queue,
                                    const px_cluster_thread *at, int step, int second) {
    return at->unit < 0 ? -1 : px_lane_pixel(s, queue, step, at->lane + 8 * second);
}

/* Where in a map of D columns a pixel's eight units of a thread begin, and where in one of 4 D columns those of a gate:
 * products of 32 bits, which the device makes at once. */
PX_HOST_DEVICE size_t px_cluster_state(const px_cluster *c, const px_cluster_thread *at, int pixel) {
    return (size_t)(unsigned)pixel * (unsigned)c->hidden + (unsigned)at->unit;
}
PX_HOST_DEVICE size_t px_cluster_gate(const px_cluster *c, const px_cluster_thread *at, int pixel, int gate) {
    return (size_t)(unsigned)pixel * (unsigned)(PX_GATES * c->hidden) + (unsigned)(gate * c->hidden + at->unit);
}

/* --- Shared memory ------------------------------------------------------------------------------------------------ */

/* Where the parts of a block's shared memory begin, in bytes, and all that it needs. */
typedef struct px_cluster_shared {
    uint32_t weights; /* forward: px_forward_weight, backward: px_backward_weight */
    uint32_t rows;    /* two buffers, forward: of the state, backward: of gradients of gates; px_cluster_row */
    uint32_t buffer;  /* bytes of one */
    uint32_t mailbox; /* backward: px_mailbox */
    uint32_t barriers;
    uint32_t bytes;
} px_cluster_shared;

PX_HOST_DEVICE uint32_t px_cluster_part(uint32_t *used, uint32_t bytes) {
    const uint32_t at = *used;
    *used += (bytes + PX_CLUSTER_ALIGN - 1) / PX_CLUSTER_ALIGN * PX_CLUSTER_ALIGN;
    return at;
}

PX_HOST_DEVICE px_cluster_shared px_cluster_share(uint32_t weights, uint32_t chunks, uint32_t mailbox) {
    px_cluster_shared shared;
    uint32_t used = 0;
    shared.weights = px_cluster_part(&used, weights);
    shared.buffer = chunks * PX_CLUSTER_ROWS * PX_CHUNK_BYTES;
    shared.rows = px_cluster_part(&used, 2 * shared.buffer);
    shared.mailbox = px_cluster_part(&used, mailbox);
    shared.barriers = px_cluster_part(&used, 2 * PX_CLUSTER_MAX * sizeof(uint64_t));
    shared.bytes = used;
    return shared;
}

/* The rows of step t: forward the state before it, backward, where t counts from the last step, its gradients. */
PX_HOST_DEVICE uint32_t px_cluster_rows(const px_cluster_shared *shared, int t) {
    return shared->rows + (uint32_t)(t % 2) * shared->buffer;
}

/* A lane's row of a chunk of such rows. */
PX_HOST_DEVICE uint32_t px_cluster_row(int chunk, int lane) {
    return (uint32_t)(chunk * PX_CLUSTER_ROWS + lane + 1) * PX_CHUNK_BYTES;
}

/* wgmma's operands for two chunks of K: rows as A from `chunk`, each lane reading the lane `shift` (-1, 0 or 1)
 * further; weights as B, the first of a warpgroup's columns being there. The next two chunks lie further by the
 * pitch, both. */
PX_HOST_DEVICE uint64_t px_cluster_a(uint32_t rows, int chunk, int shift) {
    return px_wgmma_descriptor(rows + px_cluster_row(chunk, shift), PX_CLUSTER_ROWS * PX_CHUNK_BYTES);
}
PX_HOST_DEVICE uint64_t px_cluster_b(uint32_t weights, int columns) {
    return px_wgmma_descriptor(weights, (uint32_t)columns * PX_CHUNK_BYTES);
}
enum { PX_CLUSTER_PITCH_A = 2 * PX_CLUSTER_ROWS * PX_CHUNK_BYTES };
PX_HOST_DEVICE uint32_t px_cluster_pitch_b(int columns) {
    return 2 * (uint32_t)columns * PX_CHUNK_BYTES;
}

/* --- Forward ------------------------------------------------------------------------------------------------------ */

/* Columns of a block's product: (slot, gate, unit of the slot in px_slot_unit's order). */
PX_HOST_DEVICE int px_forward_columns(const px_cluster *c) {
    return c->groups * PX_SLOT_GATES;
}

PX_HOST_DEVICE px_cluster_shared px_forward_shared(const px_cluster *c) {
    return px_cluster_share((uint32_t)(c->taps * c->hidden * px_forward_columns(c)) * sizeof(uint16_t),
                            (uint32_t)(c->hidden / PX_CHUNK), 0);
}

/* Row `column` of the weights' chunk (tap, chunk): the weights from 8 units of the step before to that column. */
PX_HOST_DEVICE uint32_t px_forward_weight(const px_cluster *c, int tap, int chunk, int column) {
    return (uint32_t)((tap * (c->hidden / PX_CHUNK) + chunk) * px_forward_columns(c) + column) * PX_CHUNK_BYTES;
}

/* The row of the weight tensor, gate * D + unit, to which a block's column belongs; -1: to none, its weights are 0. */
PX_HOST_DEVICE int px_forward_column_row(const px_cluster *c, int block, int column) {
    const int group = column / PX_SLOT_GATES, gate = column % PX_SLOT_GATES / PX_SLOT;
    const int unit = px_cluster_slot_unit(c, block, group, px_slot_unit(column % PX_SLOT));
    return unit < 0 ? -1 : gate * c->hidden + unit;
}

/* What a step's product reads of the state and the weights through a tap, from `chunk` on. */
PX_HOST_DEVICE uint64_t px_forward_a(const px_cluster *c, uint32_t state, int tap, int chunk) {
    return px_cluster_a(state, chunk, c->first_tap + tap);
}
PX_HOST_DEVICE uint64_t px_forward_b(const px_cluster *c, uint32_t weights, int group, int tap, int chunk) {
    return px_cluster_b(weights + px_forward_weight(c, tap, chunk, group * PX_SLOT_GATES), px_forward_columns(c));
}

/* What a block sends of a state buffer: its own chunks, which are neighbours, guards included. */
PX_HOST_DEVICE uint32_t px_forward_parcel(const px_cluster *c, int block) {
    return (uint32_t)(c->unit[block] / PX_CHUNK * PX_CLUSTER_ROWS) * PX_CHUNK_BYTES;
}
PX_HOST_DEVICE uint32_t px_forward_parcel_bytes(const px_cluster *c, int block) {
    return px_forward_parcel(c, block + 1) - px_forward_parcel(c, block);
}

/* The barrier on which a block waits at a step for the parcel of `source`, and that wait's parity: one barrier a source
 * and buffer, whose phases are the steps 1, 3, 5, ... or 2, 4, 6, ... */
PX_HOST_DEVICE uint32_t px_forward_barrier(int step, int source) {
    return (uint32_t)(step % 2 * PX_CLUSTER_MAX + source) * (uint32_t)sizeof(uint64_t);
}
PX_HOST_DEVICE uint32_t px_forward_parity(int step) {
    return (uint32_t)(step - 1) / 2 % 2;
}

/* --- Backward ----------------------------------------------------------------------------------------------------- */

/* Values of K of one tap of a block's product, the gradients of its gates: (slot, gate, unit of the slot). */
PX_HOST_DEVICE int px_backward_depth(const px_cluster *c) {
    return c->groups * PX_SLOT_GATES;
}

/* Columns of a block's product: (slot, owner, unit of the slot in px_slot_unit's order); owner o is block + o, modulo
 * the cluster, so that owner 0 is the block itself. A warpgroup makes one slot's. */
PX_HOST_DEVICE int px_backward_columns(const px_cluster *c) {
    return c->groups * c->blocks * PX_SLOT;
}

/* In the mailbox a thread's sums for the same thread of another block: 4 x 4 floats, v. They come from the block
 * `owner` before, or go to the one `owner` after, 1 .. blocks - 1. The thread's place + px_mailbox_part. */
PX_HOST_DEVICE uint32_t px_mailbox(const px_cluster *c, const px_cluster_thread *at) {
    return (uint32_t)(at->group * (c->blocks - 1) * 4 * PX_CLUSTER_GROUP + at->thread) * 16;
}
PX_HOST_DEVICE uint32_t px_mailbox_part(int owner, int v) {
    return (uint32_t)((owner - 1) * 4 + v) * PX_CLUSTER_GROUP * 16;
}
PX_HOST_DEVICE uint32_t px_mailbox_bytes(const px_cluster *c) {
    return (uint32_t)((c->blocks - 1) * c->groups * PX_CLUSTER_GROUP * PX_SLOT_SUMS) * sizeof(float);
}

PX_HOST_DEVICE px_cluster_shared px_backward_shared(const px_cluster *c) {
    return px_cluster_share((uint32_t)(c->taps * px_backward_depth(c) * px_backward_columns(c)) * sizeof(uint16_t),
                            (uint32_t)(px_backward_depth(c) / PX_CHUNK), px_mailbox_bytes(c));
}

/* Row `column` of the weights' chunk (tap, chunk of depth): from 8 gates of the block to that column. */
PX_HOST_DEVICE uint32_t px_backward_weight(const px_cluster *c, int tap, int chunk, int column) {
    return (uint32_t)((tap * (px_backward_depth(c) / PX_CHUNK) + chunk) * px_backward_columns(c) + column) *
           PX_CHUNK_BYTES;
}

/* The unit to which a block's column belongs, -1: to none. */
PX_HOST_DEVICE int px_backward_column_unit(const px_cluster *c, int block, int column) {
    const int slot = column / PX_SLOT, owner = (block + slot % c->blocks) % c->blocks;
    return px_cluster_slot_unit(c, owner, slot / c->blocks, px_slot_unit(column % PX_SLOT));
}

/* The row of the weight tensor, gate * D + unit, to which a block's value k of depth belongs; -1: to none. */
PX_HOST_DEVICE int px_backward_depth_row(const px_cluster *c, int block, int k) {
    const int group = k / PX_SLOT_GATES, gate = k % PX_SLOT_GATES / PX_SLOT;
    const int unit = px_cluster_slot_unit(c, block, group, k % PX_SLOT);
    return unit < 0 ? -1 : gate * c->hidden + unit;
}

/* The chunk of depth that a thread writes for a gate. */
PX_HOST_DEVICE int px_backward_chunk(const px_cluster_thread *at, int gate) {
    return at->group * (PX_SLOT_GATES / PX_CHUNK) + gate * (PX_SLOT / PX_CHUNK) + at->thread % 4;
}

/* What a step's product reads of the gates' gradients and the weights through a tap, from its first chunk on: what lane
 * l + shift read of lane l forward, l gets back. */
PX_HOST_DEVICE uint64_t px_backward_a(const px_cluster *c, uint32_t rows, int tap) {
    return px_cluster_a(rows, 0, -(c->first_tap + tap));
}
PX_HOST_DEVICE uint64_t px_backward_b(const px_cluster *c, uint32_t weights, int group, int tap) {
    return px_cluster_b(weights + px_backward_weight(c, tap, 0, group * c->blocks * PX_SLOT), px_backward_columns(c));
}

/* The barriers of a mailbox: full when every other block's sums are in it, free when every other block has emptied its
 * own. Steps count from the last one, as phases do: full's phase t - 1 is waited for at step t, free's phase t at t. */
PX_HOST_DEVICE uint32_t px_backward_full(uint32_t barriers) {
    return barriers;
}
PX_HOST_DEVICE uint32_t px_backward_free(uint32_t barriers) {
    return barriers + (uint32_t)sizeof(uint64_t);
}

/* --- Eight values ------------------------------------------------------------------------------------------------- */

/* Eight neighbouring bfloat16 values, and as many floats: what a thread holds of a lane. */
typedef struct __attribute__((aligned(16))) px_eight {
    uint32_t pair[4];
} px_eight;
typedef struct __attribute__((aligned(16))) px_eight_floats {
    float value[8];
} px_eight_floats;

PX_HOST_DEVICE float px_eight_get(const px_eight *x, int u) {
    return px_from_bfloat16((uint16_t)(x->pair[u / 2] >> u % 2 * 16));
}

PX_HOST_DEVICE uint32_t px_bfloat16_pair(float low, float high) {
#ifdef __CUDA_ARCH__
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return px_to_bfloat16(low) | (uint32_t)px_to_bfloat16(high) << 16;
#endif
}

PX_HOST_DEVICE px_eight px_eight_round(const px_eight_floats *x) {
    px_eight rounded;
    PX_UNROLL
    for (int i = 0; i < 4; i++) rounded.pair[i] = px_bfloat16_pair(x->value[2 * i], x->value[2 * i + 1]);
    return rounded;
}

/* On the device one instruction, off by 2^-11 of the value at most (PTX ISA): less than the rounding to bfloat16. */
PX_HOST_DEVICE float px_cluster_tanh(float x) {
#ifdef __CUDA_ARCH__
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return tanhf(x);
#endif
}
PX_HOST_DEVICE float px_cluster_sigmoid(float x) {
    return 0.5f * px_cluster_tanh(0.5f * x) + 0.5f;
}

/* The cells of a lane's eight units; the texts of lstm_cell_forward.cu and lstm_cell_backward.cu on registers.
 * sums is the thread's product with a slot per gate, of which this is its first or second lane; gates [in] input to
 * state, [out] activated; c [in, out]; h [out]. */
PX_HOST_DEVICE void px_cluster_cell_forward(const float *sums, int second, px_eight *gates, px_eight_floats *c,
                                            px_eight *h) {
    px_eight_floats state, active[PX_GATES];
    PX_UNROLL
    for (int u = 0; u < PX_CHUNK; u++) {
        float pre[PX_GATES];
        PX_UNROLL
        for (int gate = 0; gate < PX_GATES; gate++)
            pre[gate] = px_eight_get(&gates[gate], u) + sums[px_cluster_sum(gate, second, u)];
        const float o = px_cluster_sigmoid(pre[PX_GATE_O]), f = px_cluster_sigmoid(pre[PX_GATE_F]);
        const float i = px_cluster_sigmoid(pre[PX_GATE_I]), g = px_cluster_tanh(pre[PX_GATE_G]);
        c->value[u] = f * c->value[u] + i * g;
        state.value[u] = o * px_cluster_tanh(c->value[u]);
        active[PX_GATE_O].value[u] = o;
        active[PX_GATE_F].value[u] = f;
        active[PX_GATE_I].value[u] = i;
        active[PX_GATE_G].value[u] = g;
    }
    *h = px_eight_round(&state);
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++) gates[gate] = px_eight_round(&active[gate]);
}

/* later is the thread's slot of the gradient of h that the step after gave, of which this is its first or second lane;
 * gates [in] activated, [out] gradient of pre; carry [in, out]. */
PX_HOST_DEVICE void px_cluster_cell_backward(const float *later, int second, const px_eight *dh,
                                             const px_eight_floats *c, const px_eight_floats *c_prev, px_eight *gates,
                                             px_eight_floats *grad_c) {
    px_eight_floats gradient[PX_GATES];
    PX_UNROLL
    for (int u = 0; u < PX_CHUNK; u++) {
        const float d = px_eight_get(dh, u) + later[px_cluster_sum(0, second, u)];
        const float tanh_c = px_cluster_tanh(c->value[u]);
        const float o = px_eight_get(&gates[PX_GATE_O], u), f = px_eight_get(&gates[PX_GATE_F], u);
        const float i = px_eight_get(&gates[PX_GATE_I], u), g = px_eight_get(&gates[PX_GATE_G], u);
        const float dc = d * o * (1 - tanh_c * tanh_c) + grad_c->value[u];
        grad_c->value[u] = dc * f;
        gradient[PX_GATE_O].value[u] = d * tanh_c * o * (1 - o);
        gradient[PX_GATE_F].value[u] = dc * c_prev->value[u] * f * (1 - f);
        gradient[PX_GATE_I].value[u] = dc * g * i * (1 - i);
        gradient[PX_GATE_G].value[u] = dc * i * (1 - g * g);
    }
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++) gates[gate] = px_eight_round(&gradient[gate]);
}

#endif
