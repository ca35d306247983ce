/* One step of a recurrence in one kernel, forward or backward: the state-to-state product on tensor cores, and the LSTM
 * cell or its gradient while the sums are in registers. Operands are bfloat16, sums float32. The reference is the
 * stepwise recurrence: host/device/recurrence.c. px_recurrence_args (host/device/backend.h) defines the tensors.
 *
 * Forward, step t from 0 up, for all live positions p (tap k is position p + first_tap + k):
 *     pre    = gates(t, p) + sum over k of h(t - 1, tap k) W_k^T
 *     gates, c, h (t, p) = the cell of pre and c(t - 1, p)
 * Backward, step t from the last down (tap k is position p - first_tap - k):
 *     dh     = dh(t, p) + sum over k of dpre(t + 1, tap k) W_k
 *     dpre(t, p), grad_c = the cell's gradient of dh and grad_c, which position p left at step t + 1
 * dpre overwrites gates; step t + 1 has written dpre(t + 1) there. Nothing but grad_c, (direction, position, image) x D
 * float32 in s.temporary, is carried from step to step. Positions that are not live count as zeros.
 *
 *             A (rows x K)           B (K x columns)                     K           columns of a block
 *   forward   rows of h, D wide      W_k^T: (tap, channel) x (4 gates)   taps * D    4 gates x 32 (or 16) channels
 *   backward  rows of gates, 4 D     W_k: (tap, gate, channel) x channel taps * 4 D  32 (or 16) channels
 *
 * A block computes 64 rows (recurrence_step.h) with 4 warps. A warp computes 16 hidden channels of 32 rows (of 16 rows
 * if the block has 16 channels), and of these channels all gates. So a thread holds all sums of its cells.
 *
 * K runs through a pipeline of stages of 64 values, filled by cp.async: the chunks of a pixel's row go from the tensor
 * to shared memory directly. A stage holds a tile of A, 64 rows x 8 chunks, and a tile of B. Forward, a row of B's tile
 * is a row of W: K runs along it. Backward, it is a part of a row of W too, but K runs from row to row.
 *
 * What does not depend on the step before (weights, inputs of the cells) is loaded before px_wait_for_previous_launch,
 * while that step still runs. */
#include "kernels/sm80/tensor_core.h"
#include "kernels/lstm_cell_approx.h"
#include "kernels/sm80/recurrence_step.h"

#define PX_STEP static __device__ __forceinline__

/* ---- Shapes ---- */

template <bool IS_BACKWARD, int CHANNELS_OF_BLOCK> struct step_shape {
    static constexpr bool BACKWARD = IS_BACKWARD;
    static constexpr int CHANNELS = CHANNELS_OF_BLOCK;
    static constexpr int WARP_CHANNELS = 16, WARP_COLUMNS = CHANNELS / WARP_CHANNELS;
    static constexpr int WARP_ROWS = PX_STEP_ROWS * WARP_COLUMNS / (PX_STEP_THREADS / 32);
    static constexpr int M_TILES = WARP_ROWS / 16;          /* tiles of 16 rows of a warp */
    static constexpr int GATES = BACKWARD ? 1 : PX_GATES;   /* tiles of 16 columns of a warp: one a gate, or dh */
    static constexpr int WIDTH = BACKWARD ? 2 : 4;          /* neighbouring channels that a thread owns: a vector */
    static constexpr int VECTORS = M_TILES * 2 * 4 / WIDTH; /* of a thread: 4 channels of each of its rows */
    static constexpr int CHUNKS_A = PX_STEP_DEPTH / PX_CHUNK, CHUNKS_B = BACKWARD ? CHANNELS / PX_CHUNK : CHUNKS_A;
    static constexpr int STAGES = PX_STEP_STAGES(BACKWARD), STAGE_BYTES = PX_STEP_STAGE_BYTES(CHANNELS, BACKWARD);
};

/* A warp's sums: of 16 rows, of a gate, and of 8 columns (tensor_core.h: px_mma). */
template <class SHAPE> using step_sums = float[SHAPE::M_TILES][SHAPE::GATES][2][4];

/* ---- Rows of a block ---- */

/* The pixels of a block's rows; -1 for none, which reads as zeros. */
struct step_rows {
    int pixel[PX_STEP_ROWS];                 /* of step t, or -1 behind the last row */
    int before[PX_STEP_ROWS];                /* of the same position at step t - 1 */
    int after[PX_STEP_ROWS];                 /* at step t + 1 */
    int tap[PX_MAX_STEP_TAPS][PX_STEP_ROWS]; /* of A */
};

/* A thread's place in the launch. */
struct step_place {
    int direction, first_row, first_channel; /* of the block */
    int warp_row, warp_channel;              /* of the warp, in the block */
    int lane;
};

template <class SHAPE> PX_STEP step_place step_place_here() {
    const int warp = (int)threadIdx.x / 32;
    step_place at;
    at.direction = (int)blockIdx.z, at.first_row = (int)blockIdx.x * PX_STEP_ROWS;
    at.first_channel = (int)blockIdx.y * SHAPE::CHANNELS;
    at.warp_row = warp / SHAPE::WARP_COLUMNS * SHAPE::WARP_ROWS;
    at.warp_channel = warp % SHAPE::WARP_COLUMNS * SHAPE::WARP_CHANNELS;
    at.lane = px_warp_lane();
    return at;
}

/* Thread i computes row i. Call __syncthreads after it. */
template <class SHAPE>
PX_STEP void step_rows_fill(step_rows &rows, const px_recurrence_args &s, const step_place &at, int step) {
    const int i = (int)threadIdx.x;
    if (i >= PX_STEP_ROWS) return;
    const int row = at.first_row + i, images = s.grid.images, image = row % images;
    const bool is_used = row < px_skew_live(&s, step) * images;
    const int position = is_used ? px_skew_first(&s, step) + row / images : -1; /* -1 is never live */
    const int sign = SHAPE::BACKWARD ? -1 : 1;
    rows.pixel[i] = px_step_pixel(&s, at.direction, step, position, image);
    rows.before[i] = px_step_pixel(&s, at.direction, step - 1, position, image);
    rows.after[i] = px_step_pixel(&s, at.direction, step + 1, position, image);
    for (int tap = 0; tap < s.taps; tap++)
        rows.tap[tap][i] =
            is_used ? px_step_pixel(&s, at.direction, step - sign, position + sign * (s.first_tap + tap), image) : -1;
}

/* ---- The product ---- */

/* A value of K as (tap, value of the tap); tap is s.taps or more behind the end of K. */
struct step_depth {
    int tap, value;
};
PX_STEP step_depth step_depth_at(const px_recurrence_args &s, int k, bool backward) {
    const int depth = px_step_tap_depth(&s, backward);
    const int tap = (k >= depth) + (k >= 2 * depth) + (k >= 3 * depth);
    return step_depth{tap, k - tap * depth};
}

/* Starts the copies of A for a stage: 8 threads a row. */
template <class SHAPE>
PX_STEP void step_load_a(const px_recurrence_args &s, const step_rows &rows, const px_tensor &tensor, uint32_t tile,
                         int stage) {
    const int chunk = (int)threadIdx.x % SHAPE::CHUNKS_A;
    const step_depth at = step_depth_at(s, stage * PX_STEP_DEPTH + chunk * PX_CHUNK, SHAPE::BACKWARD);
    const uint16_t *from = (const uint16_t *)tensor.data + at.value;
    PX_UNROLL
    for (int i = 0; i < PX_STEP_ROWS * SHAPE::CHUNKS_A / PX_STEP_THREADS; i++) {
        const int row = (int)threadIdx.x / SHAPE::CHUNKS_A + i * (PX_STEP_THREADS / SHAPE::CHUNKS_A);
        const int pixel = at.tap < s.taps ? rows.tap[at.tap][row] : -1;
        px_copy_chunk(tile + px_tile_offset<SHAPE::CHUNKS_A>(row, chunk),
                      pixel < 0 ? tensor.data : from + (size_t)pixel * (size_t)tensor.columns, pixel >= 0);
    }
}

/* The hidden channel of a row of B's tile forward, in 16: the lanes' columns 2 q and 2 q + 1 of both groups of 8 are
 * the channels 4 q .. 4 q + 3. */
PX_STEP int step_column_channel(int column) { return column % 8 / 2 * 4 + column / 8 % 2 * 2 + column % 2; }

/* Starts the copies of B for a stage. Forward, tile row (gate, column) holds 64 values of K of a row of W. */
template <class SHAPE>
PX_STEP void step_load_b_forward(const px_recurrence_args &s, const step_place &at, const px_tensor &weight,
                                 uint32_t tile, int stage) {
    const int chunk = (int)threadIdx.x % SHAPE::CHUNKS_B, k = stage * PX_STEP_DEPTH + chunk * PX_CHUNK;
    const uint16_t *from = (const uint16_t *)weight.data + (k < weight.columns ? k : 0);
    PX_UNROLL
    for (int i = 0; i < SHAPE::GATES * SHAPE::CHANNELS * SHAPE::CHUNKS_B / PX_STEP_THREADS; i++) {
        const int row = (int)threadIdx.x / SHAPE::CHUNKS_B + i * (PX_STEP_THREADS / SHAPE::CHUNKS_B);
        const int gate = row / SHAPE::CHANNELS, column = row % SHAPE::CHANNELS;
        const int channel = at.first_channel + column / 16 * 16 + step_column_channel(column % 16);
        px_copy_chunk(tile + px_tile_offset<SHAPE::CHUNKS_B>(row, chunk),
                      from + (size_t)(gate * s.hidden + channel) * (size_t)weight.columns, k < weight.columns);
    }
}

/* Backward, tile row (tap, gate, channel) holds the block's channels of a row of W. */
template <class SHAPE>
PX_STEP void step_load_b_backward(const px_recurrence_args &s, const step_place &at, const px_tensor &weight,
                                  uint32_t tile, int stage) {
    const int chunk = (int)threadIdx.x % SHAPE::CHUNKS_B;
    const uint16_t *from = (const uint16_t *)weight.data + at.first_channel + chunk * PX_CHUNK;
    PX_UNROLL
    for (int i = 0; i < PX_STEP_DEPTH * SHAPE::CHUNKS_B / PX_STEP_THREADS; i++) {
        const int row = (int)threadIdx.x / SHAPE::CHUNKS_B + i * (PX_STEP_THREADS / SHAPE::CHUNKS_B);
        const step_depth k = step_depth_at(s, stage * PX_STEP_DEPTH + row, true);
        const bool is_present = k.tap < s.taps;
        px_copy_chunk(tile + px_tile_offset<SHAPE::CHUNKS_B>(row, chunk),
                      is_present ? from + (size_t)k.value * (size_t)weight.columns + k.tap * s.hidden : weight.data,
                      is_present);
    }
}

template <class SHAPE>
PX_STEP void step_load_b(const px_recurrence_args &s, const step_place &at, uint32_t tile, int stage) {
    const px_tensor &weight = s.direction[at.direction].weight;
    if constexpr (SHAPE::BACKWARD)
        step_load_b_backward<SHAPE>(s, at, weight, tile, stage);
    else
        step_load_b_forward<SHAPE>(s, at, weight, tile, stage);
}

/* sums += A B for the 64 values of K of a stage. */
template <class SHAPE> PX_STEP void step_multiply(step_sums<SHAPE> &sums, const step_place &at, uint32_t stage) {
    const uint32_t tile_b = stage + PX_STEP_A_BYTES;
    PX_UNROLL
    for (int chunk = 0; chunk < PX_STEP_DEPTH / PX_CHUNK; chunk += 2) {
        px_fragment_a a[SHAPE::M_TILES];
        PX_UNROLL
        for (int m = 0; m < SHAPE::M_TILES; m++) a[m] = px_load_a<SHAPE::CHUNKS_A>(stage, at.warp_row + 16 * m, chunk);
        PX_UNROLL
        for (int gate = 0; gate < SHAPE::GATES; gate++) {
            px_fragment_b b;
            if constexpr (SHAPE::BACKWARD)
                b = px_load_b_transposed<SHAPE::CHUNKS_B>(tile_b, chunk * PX_CHUNK, at.warp_channel / PX_CHUNK);
            else
                b = px_load_b<SHAPE::CHUNKS_B>(tile_b, gate * SHAPE::CHANNELS + at.warp_channel, chunk);
            PX_UNROLL
            for (int m = 0; m < SHAPE::M_TILES; m++)
                for (int half = 0; half < 2; half++) px_mma(sums[m][gate][half], a[m], b, half);
        }
    }
}

/* Starts the copies of the first stages of B, in no group yet. */
template <class SHAPE> PX_STEP void step_prefetch_b(const px_recurrence_args &s, const step_place &at, uint32_t base) {
    const int stages = px_step_depth_stages(&s, SHAPE::BACKWARD);
    PX_UNROLL
    for (int stage = 0; stage < SHAPE::STAGES - 1; stage++)
        if (stage < stages) step_load_b<SHAPE>(s, at, base + stage * SHAPE::STAGE_BYTES + PX_STEP_A_BYTES, stage);
}

/* sums += A B for all of K, after step_prefetch_b. The copies of STAGES - 1 stages are under way at any time, one group
 * each. The stage that is filled while stage i is multiplied was multiplied before the __syncthreads of i. */
template <class SHAPE>
PX_STEP void step_product(step_sums<SHAPE> &sums, const px_recurrence_args &s, const step_rows &rows,
                          const step_place &at, uint32_t base) {
    const px_recurrence_direction &d = s.direction[at.direction];
    const px_tensor &tensor = SHAPE::BACKWARD ? d.gates : d.h;
    const int stages = px_step_depth_stages(&s, SHAPE::BACKWARD);
    PX_UNROLL
    for (int stage = 0; stage < SHAPE::STAGES - 1; stage++) {
        if (stage < stages) step_load_a<SHAPE>(s, rows, tensor, base + stage * SHAPE::STAGE_BYTES, stage);
        px_copy_commit();
    }
#pragma unroll 1
    for (int stage = 0; stage < stages; stage++) {
        const int next = stage + SHAPE::STAGES - 1;
        px_copy_wait<SHAPE::STAGES - 2>();
        __syncthreads();
        if (next < stages) {
            const uint32_t to = base + next % SHAPE::STAGES * SHAPE::STAGE_BYTES;
            step_load_a<SHAPE>(s, rows, tensor, to, next);
            step_load_b<SHAPE>(s, at, to + PX_STEP_A_BYTES, next);
        }
        px_copy_commit();
        step_multiply<SHAPE>(sums, at, base + stage % SHAPE::STAGES * SHAPE::STAGE_BYTES);
    }
}

/* ---- Cells ---- */

/* A thread owns the rows of its sums, and of each row 4 channels, in vectors of WIDTH. */
struct step_vector {
    int row, channel;       /* of the block; of the recurrence */
    int m, half, first_sum; /* sum i is sums[m][gate][(first_sum + i) / 2][2 * half + i % 2] */
};
template <class SHAPE> PX_STEP step_vector step_vector_at(const step_place &at, int v) {
    const int of_row = v % (4 / SHAPE::WIDTH), half_tile = v / (4 / SHAPE::WIDTH);
    step_vector vector;
    vector.m = half_tile / 2, vector.half = half_tile % 2, vector.first_sum = of_row * SHAPE::WIDTH;
    vector.row = at.warp_row + 16 * vector.m + 8 * vector.half + at.lane / 4;
    vector.channel = at.first_channel + at.warp_channel + 8 * of_row + SHAPE::WIDTH * (at.lane % 4);
    return vector;
}
template <class SHAPE>
PX_STEP float step_sum(const step_sums<SHAPE> &sums, const step_vector &vector, int gate, int i) {
    return sums[vector.m][gate][(vector.first_sum + i) / 2][2 * vector.half + i % 2];
}

/* The vector that begins at this column of a row, or zeros if the row is -1. */
template <class VECTOR> PX_STEP VECTOR step_read(const px_tensor &tensor, int row, int column) {
    const size_t element = (size_t)row * (size_t)tensor.columns + (size_t)column;
    return row < 0 ? VECTOR{} : px_load_vector<VECTOR>((const char *)tensor.data + element * VECTOR::ELEMENT_BYTES);
}
template <class VECTOR> PX_STEP void step_write(const px_tensor &tensor, int row, int column, const VECTOR &x) {
    const size_t element = (size_t)row * (size_t)tensor.columns + (size_t)column;
    px_store_vector((char *)tensor.data + element * VECTOR::ELEMENT_BYTES, x);
}

/* Four vectors, one a gate: gates, or gradients of pre-activations. */
template <class SHAPE> struct step_gates { px_bf16_vector<SHAPE::WIDTH> of[PX_GATES]; };

template <class SHAPE>
PX_STEP step_gates<SHAPE> step_read_gates(const px_recurrence_args &s, const px_tensor &tensor, int pixel,
                                          int channel) {
    step_gates<SHAPE> gates;
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++)
        gates.of[gate] = step_read<px_bf16_vector<SHAPE::WIDTH>>(tensor, pixel, gate * s.hidden + channel);
    return gates;
}
template <class SHAPE>
PX_STEP void step_write_gates(const px_recurrence_args &s, const px_tensor &tensor, int pixel, int channel,
                              const px_cell_gates (&cells)[SHAPE::WIDTH]) {
    px_float_vector<SHAPE::WIDTH> of[PX_GATES];
    PX_UNROLL
    for (int i = 0; i < SHAPE::WIDTH; i++) {
        of[PX_GATE_O].value[i] = (float)cells[i].o, of[PX_GATE_F].value[i] = (float)cells[i].f;
        of[PX_GATE_I].value[i] = (float)cells[i].i, of[PX_GATE_G].value[i] = (float)cells[i].g;
    }
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++)
        step_write(tensor, pixel, gate * s.hidden + channel, px_bf16_round(of[gate]));
}

template <class SHAPE> PX_STEP px_cell_gates step_cell_gates(const step_gates<SHAPE> &gates, int i) {
    return px_cell_gates{px_bf16_get(gates.of[PX_GATE_O], i), px_bf16_get(gates.of[PX_GATE_F], i),
                         px_bf16_get(gates.of[PX_GATE_I], i), px_bf16_get(gates.of[PX_GATE_G], i)};
}

/* ---- Forward ---- */

/* The cells of one vector. input is input-to-state, c that of step t - 1. */
template <class SHAPE>
PX_STEP void step_cells_forward(const px_recurrence_args &s, const px_recurrence_direction &d,
                                const step_sums<SHAPE> &sums, const step_vector &vector, int pixel,
                                const step_gates<SHAPE> &input, px_float_vector<SHAPE::WIDTH> c) {
    px_cell_gates active[SHAPE::WIDTH];
    px_float_vector<SHAPE::WIDTH> h;
    PX_UNROLL
    for (int i = 0; i < SHAPE::WIDTH; i++) {
        px_cell_gates pre = step_cell_gates<SHAPE>(input, i);
        pre.o += step_sum<SHAPE>(sums, vector, PX_GATE_O, i), pre.f += step_sum<SHAPE>(sums, vector, PX_GATE_F, i);
        pre.i += step_sum<SHAPE>(sums, vector, PX_GATE_I, i), pre.g += step_sum<SHAPE>(sums, vector, PX_GATE_G, i);
        active[i] = px_cell_activate(pre);
        const px_cell_state cell = px_cell_update(active[i], c.value[i]);
        c.value[i] = (float)cell.c, h.value[i] = (float)cell.h;
    }
    step_write_gates<SHAPE>(s, d.gates, pixel, vector.channel, active);
    step_write(d.c, pixel, vector.channel, c);
    step_write(d.h, pixel, vector.channel, px_bf16_round(h));
}

template <class SHAPE>
static __global__ void __launch_bounds__(PX_STEP_THREADS)
    recurrence_step_forward(const __grid_constant__ px_recurrence_args s, int step) {
    __shared__ step_rows rows;
    const uint32_t base = px_dynamic_shared();
    const step_place at = step_place_here<SHAPE>();
    const px_recurrence_direction &d = s.direction[at.direction];
    step_gates<SHAPE> input[SHAPE::VECTORS];
    px_float_vector<SHAPE::WIDTH> c[SHAPE::VECTORS];
    step_rows_fill<SHAPE>(rows, s, at, step);
    __syncthreads();

    step_prefetch_b<SHAPE>(s, at, base);
    PX_UNROLL
    for (int v = 0; v < SHAPE::VECTORS; v++) {
        const step_vector vector = step_vector_at<SHAPE>(at, v);
        input[v] = step_read_gates<SHAPE>(s, d.gates, rows.pixel[vector.row], vector.channel);
    }
    px_wait_for_previous_launch();
    px_allow_next_launch();
    PX_UNROLL
    for (int v = 0; v < SHAPE::VECTORS; v++) {
        const step_vector vector = step_vector_at<SHAPE>(at, v);
        c[v] = step_read<px_float_vector<SHAPE::WIDTH>>(d.c, rows.before[vector.row], vector.channel);
    }
    step_sums<SHAPE> sums = {};
    step_product<SHAPE>(sums, s, rows, at, base);
    PX_UNROLL
    for (int v = 0; v < SHAPE::VECTORS; v++) {
        const step_vector vector = step_vector_at<SHAPE>(at, v);
        const int pixel = rows.pixel[vector.row];
        if (pixel >= 0) step_cells_forward<SHAPE>(s, d, sums, vector, pixel, input[v], c[v]);
    }
}

/* ---- Backward ---- */

template <class SHAPE> struct backward_input {
    step_gates<SHAPE> gates; /* activated */
    px_bf16_vector<SHAPE::WIDTH> dh;
    px_float_vector<SHAPE::WIDTH> c, c_prev;
};

/* The gradients of the cells of one vector. grad_c [in] is that of step t + 1, [out] that of step t. */
template <class SHAPE>
PX_STEP void step_cells_backward(const px_recurrence_args &s, const px_recurrence_direction &d,
                                 const step_sums<SHAPE> &sums, const step_vector &vector, int pixel,
                                 const backward_input<SHAPE> &input, px_float_vector<SHAPE::WIDTH> &grad_c) {
    px_cell_gates pre[SHAPE::WIDTH];
    PX_UNROLL
    for (int i = 0; i < SHAPE::WIDTH; i++) {
        const px_real dh = px_bf16_get(input.dh, i) + step_sum<SHAPE>(sums, vector, 0, i);
        const px_cell_gradient gradient = px_cell_backward(step_cell_gates<SHAPE>(input.gates, i), input.c.value[i],
                                                           input.c_prev.value[i], dh, grad_c.value[i]);
        pre[i] = gradient.pre;
        grad_c.value[i] = (float)gradient.c_prev;
    }
    step_write_gates<SHAPE>(s, d.gates, pixel, vector.channel, pre);
}

template <class SHAPE>
static __global__ void __launch_bounds__(PX_STEP_THREADS)
    recurrence_step_backward(const __grid_constant__ px_recurrence_args s, int step) {
    __shared__ step_rows rows;
    const uint32_t base = px_dynamic_shared();
    const step_place at = step_place_here<SHAPE>();
    const px_recurrence_direction &d = s.direction[at.direction];
    const px_tensor carried = {s.temporary.data, 0, s.hidden, PX_REAL};
    const int first_carried = (at.direction * s.positions + px_skew_first(&s, step)) * s.grid.images + at.first_row;
    backward_input<SHAPE> input[SHAPE::VECTORS];
    px_float_vector<SHAPE::WIDTH> grad_c[SHAPE::VECTORS];
    step_rows_fill<SHAPE>(rows, s, at, step);
    __syncthreads();

    step_prefetch_b<SHAPE>(s, at, base);
    PX_UNROLL
    for (int v = 0; v < SHAPE::VECTORS; v++) {
        const step_vector vector = step_vector_at<SHAPE>(at, v);
        const int pixel = rows.pixel[vector.row];
        input[v].gates = step_read_gates<SHAPE>(s, d.gates, pixel, vector.channel);
        input[v].dh = step_read<px_bf16_vector<SHAPE::WIDTH>>(d.dh, pixel, vector.channel);
        input[v].c = step_read<px_float_vector<SHAPE::WIDTH>>(d.c, pixel, vector.channel);
        input[v].c_prev = step_read<px_float_vector<SHAPE::WIDTH>>(d.c, rows.before[vector.row], vector.channel);
    }
    px_wait_for_previous_launch();
    px_allow_next_launch();
    PX_UNROLL
    for (int v = 0; v < SHAPE::VECTORS; v++) {
        const step_vector vector = step_vector_at<SHAPE>(at, v);
        const int row = rows.after[vector.row] < 0 ? -1 : first_carried + vector.row;
        grad_c[v] = step_read<px_float_vector<SHAPE::WIDTH>>(carried, row, vector.channel);
    }
    step_sums<SHAPE> sums = {};
    step_product<SHAPE>(sums, s, rows, at, base);
    PX_UNROLL
    for (int v = 0; v < SHAPE::VECTORS; v++) {
        const step_vector vector = step_vector_at<SHAPE>(at, v);
        const int pixel = rows.pixel[vector.row];
        if (pixel < 0) continue;
        step_cells_backward<SHAPE>(s, d, sums, vector, pixel, input[v], grad_c[v]);
        step_write(carried, first_carried + vector.row, vector.channel, grad_c[v]);
    }
}

/* The kernel for these hidden channels of a block (px_step_channels). Its arguments are px_recurrence_args and the
 * step. */
extern "C" const void *px_recurrence_step_sm80(int channels, bool backward) {
    if (backward)
        return channels == 32 ? (const void *)recurrence_step_backward<step_shape<true, 32>>
                              : (const void *)recurrence_step_backward<step_shape<true, 16>>;
    return channels == 32 ? (const void *)recurrence_step_forward<step_shape<false, 32>>
                          : (const void *)recurrence_step_forward<step_shape<false, 16>>;
}
