/* A recurrence on thread-block clusters: the division of work and the layout of shared memory. The kernels
 * recurrence_*_cluster.cu, their launch, the choice of a strategy and the tests share these index functions. The file
 * contains no CUDA.
 *
 * A cluster computes the recurrence of some images in one direction, as a pipeline (px_image_pipeline). The blocks of a
 * cluster divide the hidden channels. Each block holds the weights of its channels in shared memory from the first step
 * to the last. Each warpgroup (128 threads) of a block owns a tile of 32 channels at all positions. At every step it
 * computes a product of 64 rows, the positions, by wgmma. The product leaves in each thread 2 positions x 8 channels
 * (x 4 gates): all that the LSTM cell needs. The cell state therefore stays in registers.
 *
 * Three layouts make this possible:
 * - Chunks. A matrix that wgmma reads is stored in chunks of 8 values of K. A chunk holds 16 bytes for each row, row
 *   after row: the K-major layout without swizzle, in which 8 rows are a core matrix of 128 bytes. The next row is
 *   always 16 bytes further. A tap reads the same rows shifted by one position: the same matrix, 16 bytes further.
 * - Tiles. wgmma gives a thread the columns 2q and 2q + 1 of every 8, with q = thread mod 4. Column p of a tile is
 *   channel px_tile_column_channel(p), so that these columns are the channels 8q .. 8q + 7: 16 bytes of bfloat16.
 * - Guards. Row position + 1 of a chunk belongs to a position. Rows 0 and 65, and positions that are not live, are 0.
 *
 * Forward: operand A is the state h(t - 1) of all D channels, in two buffers. Each block writes its own channels and
 * copies them to the other blocks. The columns of the product are (tile, gate, channel), and K is (tap, channel).
 *
 * Backward: operand A is the gradient of the block's own gates, and K is (tap, tile, gate, channel). The columns of the
 * product are the channels of all blocks. They are partial sums, which each block sends, in bfloat16, to the owner of
 * the channels; the owner adds them up in float32. A block has a receive buffer for every other block. */
#ifndef PIXELRNN_KERNELS_RECURRENCE_CLUSTER_H
#define PIXELRNN_KERNELS_RECURRENCE_CLUSTER_H

#include "kernels/portable/inline.h"
#include "kernels/skew.h"

enum {
    PX_CLUSTER_POSITIONS = 64,                  /* rows of a wgmma */
    PX_CLUSTER_ROWS = PX_CLUSTER_POSITIONS + 2, /* with a guard row on either side */
    PX_CLUSTER_MAX_BLOCKS = 8,                  /* the largest cluster that every sm_90 device supports */
    PX_CLUSTER_MAX_WARPGROUPS = 2,              /* of a block */
    PX_WARPGROUP_THREADS = 128,
    PX_CLUSTER_CHANNEL_MULTIPLE = 16,            /* blocks own multiples of this: K of one wgmma */
    PX_CHUNK = 8,                                /* values of K in a chunk */
    PX_CHUNK_BYTES = 16,                         /* of one row of a chunk */
    PX_TILE_CHANNELS = 32,                       /* of a warpgroup */
    PX_TILE_SUMS = 16,                           /* accumulators that a thread holds of 32 columns */
    PX_TILE_GATES = PX_GATES * PX_TILE_CHANNELS, /* columns of a warpgroup, forward */
    PX_CLUSTER_ALIGN = 128,                      /* of the parts of shared memory */
};

/* The division of a recurrence. Block b owns the channels first_channel[b] .. first_channel[b + 1] - 1: at least one,
 * and at most warpgroups * PX_TILE_CHANNELS. */
typedef struct px_cluster {
    int blocks;     /* 1, 2, 4 or 8 */
    int warpgroups; /* of a block: 1 or 2 */
    int images;     /* of a cluster; the last cluster may have fewer */
    int hidden, taps, first_tap;
    int first_channel[PX_CLUSTER_MAX_BLOCKS + 1];
} px_cluster;

/* Divides a recurrence among clusters of so many blocks and images. warpgroups is 0 if the division is impossible. */
static inline px_cluster px_cluster_split(const px_recurrence_args *s, int blocks, int images) {
    px_cluster c = {blocks, 0, images, s->hidden, s->taps, s->first_tap, {0}};
    const int shares = s->hidden / PX_CLUSTER_CHANNEL_MULTIPLE;
    const int max_channels = (shares + blocks - 1) / blocks * PX_CLUSTER_CHANNEL_MULTIPLE;
    for (int block = 0; block <= blocks; block++)
        c.first_channel[block] = block * shares / blocks * PX_CLUSTER_CHANNEL_MULTIPLE;
    if (shares >= blocks && max_channels <= PX_CLUSTER_MAX_WARPGROUPS * PX_TILE_CHANNELS)
        c.warpgroups = (max_channels + PX_TILE_CHANNELS - 1) / PX_TILE_CHANNELS;
    return c;
}

/* The hidden channel of index u in the tile of a warpgroup, or -1: the last tiles of a block may be partly empty. */
PX_HOST_DEVICE int px_tile_channel(const px_cluster *c, int block, int warpgroup, int u) {
    const int channel = c->first_channel[block] + warpgroup * PX_TILE_CHANNELS + u;
    return channel < c->first_channel[block + 1] ? channel : -1;
}

/* The channel of its tile to which column p of the tile belongs. */
PX_HOST_DEVICE int px_tile_column_channel(int p) { return p % PX_CHUNK / 2 * PX_CHUNK + p / PX_CHUNK * 2 + p % 2; }

/* ---- wgmma: operands and accumulators ---- */

/* The row and column of D to which accumulator i of a thread of a warpgroup belongs: PTX ISA, wgmma, "Register
 * fragments". */
PX_HOST_DEVICE int px_wgmma_row(int thread, int i) { return thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8; }
PX_HOST_DEVICE int px_wgmma_column(int thread, int i) { return i / 4 * 8 + thread % 4 * 2 + i % 2; }

/* The descriptor of a K-major matrix without swizzle at a shared address: PTX ISA, wgmma, "Matrix descriptor format".
 * leading_bytes is the distance between the two chunks of one instruction's K. The stride between groups of 8 rows is
 * always 128 bytes. All are multiples of 16. */
PX_HOST_DEVICE uint64_t px_wgmma_descriptor(uint32_t address, uint32_t leading_bytes) {
    const uint32_t stride_bytes = 8 * PX_CHUNK_BYTES;
    return (uint64_t)((address & 0x3ffffu) >> 4) | (uint64_t)((leading_bytes & 0x3ffffu) >> 4) << 16 |
           (uint64_t)(stride_bytes >> 4) << 32;
}

/* The descriptor of the matrix that begins `bytes` further. */
PX_HOST_DEVICE uint64_t px_wgmma_advance(uint64_t descriptor, uint32_t bytes) { return descriptor + (bytes >> 4); }

/* ---- Threads ---- */

/* A thread's positions are position and position + 8, its hidden channels channel .. channel + 7. */
typedef struct px_cluster_thread {
    int block, warpgroup;
    int thread;   /* of its warpgroup */
    int position; /* the first of two */
    int channel;  /* the first of eight, or -1 if the thread owns none */
} px_cluster_thread;

PX_HOST_DEVICE px_cluster_thread px_cluster_thread_at(const px_cluster *c, int block, int thread) {
    px_cluster_thread at;
    at.block = block;
    at.warpgroup = thread / PX_WARPGROUP_THREADS;
    at.thread = thread % PX_WARPGROUP_THREADS;
    at.position = px_wgmma_row(at.thread, 0);
    at.channel = px_tile_channel(c, block, at.warpgroup, at.thread % 4 * PX_CHUNK);
    return at;
}

/* The accumulator of a thread for its first (second = 0) or second position and channel u of 8, in a tile of columns.
 */
PX_HOST_DEVICE int px_tile_sum(int tile, int second, int u) {
    return tile * PX_TILE_SUMS + u / 2 * 4 + second * 2 + u % 2;
}

/* ---- Image pipeline ---- */

/* The images of a cluster, in one direction: a position that has finished an image pauses for one step, the gap, and
 * begins with the next image without waiting for the other positions. */
typedef struct px_image_pipeline {
    int direction, first, images, steps; /* images first .. first + images - 1 */
} px_image_pipeline;

/* The number of clusters of a recurrence. */
PX_HOST_DEVICE int px_cluster_count(const px_recurrence_args *s, const px_cluster *c) {
    return (s->grid.images + c->images - 1) / c->images * s->directions;
}

/* The number of steps of a pipeline of images. One image takes the steps of the recurrence. */
PX_HOST_DEVICE int px_cluster_steps(const px_recurrence_args *s, int images) {
    return images * (s->length + 1) - 1 + s->skew * (s->positions - 1);
}

/* The pipeline of a cluster. It is the same for all blocks of the cluster. */
PX_HOST_DEVICE px_image_pipeline px_image_pipeline_at(const px_recurrence_args *s, const px_cluster *c, int cluster) {
    px_image_pipeline pipeline;
    pipeline.direction = cluster % s->directions;
    pipeline.first = cluster / s->directions * c->images;
    pipeline.images = s->grid.images - pipeline.first < c->images ? s->grid.images - pipeline.first : c->images;
    pipeline.steps = px_cluster_steps(s, pipeline.images);
    return pipeline;
}

/* The tensor row of a position's pixel at a step of the pipeline, or -1 if the position is not live.
 *
 * Position p is live from step skew * p on, for `length` steps an image, and then has a gap of one step. A position
 * that is not live has the state 0; in its gap as well, as before its first image. A tap reads the same elapsed step
 * (of the position above, if skew is 1) or the previous one. The gap lies between two images, so no tap reads across
 * images. Row numbers have 32 bits: no device has the memory for tensors of 2^31 pixels. */
PX_HOST_DEVICE int px_pipeline_pixel(const px_recurrence_args *s, const px_image_pipeline *pipeline, int step,
                                     int position) {
    const int start = s->skew * position, period = s->length + 1, elapsed = step - start;
    if (position >= s->positions || elapsed < 0) return -1;
    const int image = (int)((unsigned)elapsed / (unsigned)period), k = elapsed - image * period;
    if (image >= pipeline->images || k == s->length) return -1;
    return (int)px_skew_pixel(s, pipeline->direction, start + k, position, pipeline->first + image);
}

/* The same for the first or second position of a thread; also -1 if the thread owns no channels. */
PX_HOST_DEVICE int px_thread_pixel(const px_recurrence_args *s, const px_image_pipeline *pipeline,
                                   const px_cluster_thread *at, int step, int second) {
    return at->channel < 0 ? -1 : px_pipeline_pixel(s, pipeline, step, at->position + 8 * second);
}

/* The element at which a thread's eight channels of a pixel begin, in a tensor of D columns, and those of a gate, in a
 * tensor of 4 D columns. The products have 32 bits, which the device computes in one instruction. */
PX_HOST_DEVICE size_t px_state_offset(const px_cluster *c, const px_cluster_thread *at, int pixel) {
    return (size_t)(unsigned)pixel * (unsigned)c->hidden + (unsigned)at->channel;
}
PX_HOST_DEVICE size_t px_gate_offset(const px_cluster *c, const px_cluster_thread *at, int pixel, int gate) {
    return (size_t)(unsigned)pixel * (unsigned)(PX_GATES * c->hidden) + (unsigned)(gate * c->hidden + at->channel);
}

/* ---- Shared memory ---- */

/* Offsets of the parts of a block's shared memory, in bytes, and the total. */
typedef struct px_cluster_shared {
    uint32_t weights;       /* px_forward_weight, px_backward_weight */
    uint32_t operand;       /* two buffers of operand A: px_operand_buffer, px_operand_row */
    uint32_t operand_bytes; /* of one buffer */
    uint32_t receive;       /* backward: receive buffers, px_receive_offset */
    uint32_t barriers;
    uint32_t bytes;
} px_cluster_shared;

PX_HOST_DEVICE uint32_t px_cluster_assign(uint32_t *used, uint32_t bytes) {
    const uint32_t at = *used;
    *used += (bytes + PX_CLUSTER_ALIGN - 1) / PX_CLUSTER_ALIGN * PX_CLUSTER_ALIGN;
    return at;
}

/* Lays out shared memory for so many bytes of weights, chunks of an operand buffer, and bytes of receive buffers. */
PX_HOST_DEVICE px_cluster_shared px_cluster_lay_out(uint32_t weights, uint32_t chunks, uint32_t receive) {
    px_cluster_shared shared;
    uint32_t used = 0;
    shared.weights = px_cluster_assign(&used, weights);
    shared.operand_bytes = chunks * PX_CLUSTER_ROWS * PX_CHUNK_BYTES;
    shared.operand = px_cluster_assign(&used, 2 * shared.operand_bytes);
    shared.receive = px_cluster_assign(&used, receive);
    shared.barriers = px_cluster_assign(&used, 2 * PX_CLUSTER_MAX_BLOCKS * sizeof(uint64_t));
    shared.bytes = used;
    return shared;
}

/* The operand buffer of step t. Forward it holds the state before the step. Backward, where t counts from the last
 * step, it holds the gradients of the step's gates. */
PX_HOST_DEVICE uint32_t px_operand_buffer(const px_cluster_shared *shared, int t) {
    return shared->operand + (uint32_t)(t % 2) * shared->operand_bytes;
}

/* The offset of a position's row of a chunk in an operand buffer. */
PX_HOST_DEVICE uint32_t px_operand_row(int chunk, int position) {
    return (uint32_t)(chunk * PX_CLUSTER_ROWS + position + 1) * PX_CHUNK_BYTES;
}

/* The descriptors of wgmma's operands for two chunks of K. A: the operand buffer from `chunk` on, where each position
 * reads the position `shift` (-1, 0 or 1) further. B: the weights, from the first of a warpgroup's columns on. The
 * next two chunks are PX_CLUSTER_STRIDE_A and px_cluster_stride_b bytes further. */
PX_HOST_DEVICE uint64_t px_cluster_a(uint32_t operand, int chunk, int shift) {
    return px_wgmma_descriptor(operand + px_operand_row(chunk, shift), PX_CLUSTER_ROWS * PX_CHUNK_BYTES);
}
PX_HOST_DEVICE uint64_t px_cluster_b(uint32_t weights, int columns) {
    return px_wgmma_descriptor(weights, (uint32_t)columns * PX_CHUNK_BYTES);
}
enum { PX_CLUSTER_STRIDE_A = 2 * PX_CLUSTER_ROWS * PX_CHUNK_BYTES };
PX_HOST_DEVICE uint32_t px_cluster_stride_b(int columns) { return 2 * (uint32_t)columns * PX_CHUNK_BYTES; }

/* ---- Forward ---- */

/* Columns of a block's product: (tile, gate, channel of the tile in the order of px_tile_column_channel). */
PX_HOST_DEVICE int px_forward_columns(const px_cluster *c) { return c->warpgroups * PX_TILE_GATES; }

PX_HOST_DEVICE px_cluster_shared px_forward_shared(const px_cluster *c) {
    return px_cluster_lay_out((uint32_t)(c->taps * c->hidden * px_forward_columns(c)) * sizeof(uint16_t),
                              (uint32_t)(c->hidden / PX_CHUNK), 0);
}

/* The offset of the weights from 8 channels of the previous step, (tap, chunk), to a column. */
PX_HOST_DEVICE uint32_t px_forward_weight(const px_cluster *c, int tap, int chunk, int column) {
    return (uint32_t)((tap * (c->hidden / PX_CHUNK) + chunk) * px_forward_columns(c) + column) * PX_CHUNK_BYTES;
}

/* The row of the weight tensor, gate * D + channel, for a block's column, or -1 if its weights are 0. */
PX_HOST_DEVICE int px_forward_column_row(const px_cluster *c, int block, int column) {
    const int tile = column / PX_TILE_GATES, gate = column % PX_TILE_GATES / PX_TILE_CHANNELS;
    const int channel = px_tile_channel(c, block, tile, px_tile_column_channel(column % PX_TILE_CHANNELS));
    return channel < 0 ? -1 : gate * c->hidden + channel;
}

/* The descriptors of the state and of the weights for a tap, from `chunk` on. */
PX_HOST_DEVICE uint64_t px_forward_a(const px_cluster *c, uint32_t state, int tap, int chunk) {
    return px_cluster_a(state, chunk, c->first_tap + tap);
}
PX_HOST_DEVICE uint64_t px_forward_b(const px_cluster *c, uint32_t weights, int warpgroup, int tap, int chunk) {
    return px_cluster_b(weights + px_forward_weight(c, tap, chunk, warpgroup * PX_TILE_GATES), px_forward_columns(c));
}

/* The tile copy of a block: the part of a state buffer that the block sends. It is the chunks of its own channels,
 * which are consecutive, with their guards. */
PX_HOST_DEVICE uint32_t px_forward_copy_offset(const px_cluster *c, int block) {
    return (uint32_t)(c->first_channel[block] / PX_CHUNK * PX_CLUSTER_ROWS) * PX_CHUNK_BYTES;
}
PX_HOST_DEVICE uint32_t px_forward_copy_bytes(const px_cluster *c, int block) {
    return px_forward_copy_offset(c, block + 1) - px_forward_copy_offset(c, block);
}

/* The barrier on which a block waits at a step for the tile copy of block `source`, and the parity of that wait. There
 * is one barrier a source and buffer. Its phases are the steps 1, 3, 5, ... or 2, 4, 6, ... */
PX_HOST_DEVICE uint32_t px_forward_barrier(int step, int source) {
    return (uint32_t)(step % 2 * PX_CLUSTER_MAX_BLOCKS + source) * (uint32_t)sizeof(uint64_t);
}
PX_HOST_DEVICE uint32_t px_forward_parity(int step) { return (uint32_t)(step - 1) / 2 % 2; }

/* ---- Backward ---- */

/* Values of K of one tap of a block's product, the gradients of its gates: (tile, gate, channel of the tile). */
PX_HOST_DEVICE int px_backward_depth(const px_cluster *c) { return c->warpgroups * PX_TILE_GATES; }

/* Columns of a block's product: (tile, owner, channel of the tile in the order of px_tile_column_channel). Owner o is
 * block (block + o) mod blocks, so that owner 0 is the block itself. A warpgroup computes the columns of one tile. */
PX_HOST_DEVICE int px_backward_columns(const px_cluster *c) { return c->warpgroups * c->blocks * PX_TILE_CHANNELS; }

/* The receive buffers hold the partial sums that the same thread of every other block sends to a thread: PX_PARTS times
 * eight bfloat16 from each. A thread's offset is px_receive_offset, and that of part v from the block `owner` before
 * (or, to send, to the block `owner` after, owner = 1 .. blocks - 1) is px_receive_part more. */
enum { PX_PARTS = PX_TILE_SUMS / PX_CHUNK };
PX_HOST_DEVICE uint32_t px_receive_offset(const px_cluster *c, const px_cluster_thread *at) {
    return (uint32_t)(at->warpgroup * (c->blocks - 1) * PX_PARTS * PX_WARPGROUP_THREADS + at->thread) * PX_CHUNK_BYTES;
}
PX_HOST_DEVICE uint32_t px_receive_part(int owner, int v) {
    return (uint32_t)((owner - 1) * PX_PARTS + v) * PX_WARPGROUP_THREADS * PX_CHUNK_BYTES;
}
PX_HOST_DEVICE uint32_t px_receive_bytes(const px_cluster *c) {
    return (uint32_t)((c->blocks - 1) * c->warpgroups * PX_PARTS * PX_WARPGROUP_THREADS) * PX_CHUNK_BYTES;
}

PX_HOST_DEVICE px_cluster_shared px_backward_shared(const px_cluster *c) {
    return px_cluster_lay_out((uint32_t)(c->taps * px_backward_depth(c) * px_backward_columns(c)) * sizeof(uint16_t),
                              (uint32_t)(px_backward_depth(c) / PX_CHUNK), px_receive_bytes(c));
}

/* The offset of the weights from 8 gates of the block, (tap, chunk of depth), to a column. */
PX_HOST_DEVICE uint32_t px_backward_weight(const px_cluster *c, int tap, int chunk, int column) {
    return (uint32_t)((tap * (px_backward_depth(c) / PX_CHUNK) + chunk) * px_backward_columns(c) + column) *
           PX_CHUNK_BYTES;
}

/* The hidden channel of a block's column, or -1. */
PX_HOST_DEVICE int px_backward_column_channel(const px_cluster *c, int block, int column) {
    const int tile = column / PX_TILE_CHANNELS, owner = (block + tile % c->blocks) % c->blocks;
    return px_tile_channel(c, owner, tile / c->blocks, px_tile_column_channel(column % PX_TILE_CHANNELS));
}

/* The row of the weight tensor, gate * D + channel, for a block's value k of depth, or -1. */
PX_HOST_DEVICE int px_backward_depth_row(const px_cluster *c, int block, int k) {
    const int tile = k / PX_TILE_GATES, gate = k % PX_TILE_GATES / PX_TILE_CHANNELS;
    const int channel = px_tile_channel(c, block, tile, k % PX_TILE_CHANNELS);
    return channel < 0 ? -1 : gate * c->hidden + channel;
}

/* The chunk of depth that a thread writes for a gate. */
PX_HOST_DEVICE int px_backward_chunk(const px_cluster_thread *at, int gate) {
    return at->warpgroup * (PX_TILE_GATES / PX_CHUNK) + gate * (PX_TILE_CHANNELS / PX_CHUNK) + at->thread % 4;
}

/* The descriptors of the gate gradients, and of the weights to the columns from `owner` on, for a tap, from the first
 * chunk on. A position receives the gradient from the positions that read it in forward, so the shift has the opposite
 * sign. */
PX_HOST_DEVICE uint64_t px_backward_a(const px_cluster *c, uint32_t operand, int tap) {
    return px_cluster_a(operand, 0, -(c->first_tap + tap));
}
PX_HOST_DEVICE uint64_t px_backward_b(const px_cluster *c, uint32_t weights, int warpgroup, int owner, int tap) {
    return px_cluster_b(weights + px_backward_weight(c, tap, 0, (warpgroup * c->blocks + owner) * PX_TILE_CHANNELS),
                        px_backward_columns(c));
}

/* The barriers of the receive buffers. `full` completes when the sums of every other block have arrived, `free` when
 * every other block has read its own buffers. Steps and phases count from the last step: step t waits for phase t - 1
 * of full and for phase t of free. */
PX_HOST_DEVICE uint32_t px_backward_full(uint32_t barriers) { return barriers; }
PX_HOST_DEVICE uint32_t px_backward_free(uint32_t barriers) { return barriers + (uint32_t)sizeof(uint64_t); }

#endif
