/* The LSTM cell in registers: the eight hidden channels that a thread owns of a position, in bfloat16 or float32. */
#ifndef PIXELRNN_KERNELS_CLUSTER_CELL_H
#define PIXELRNN_KERNELS_CLUSTER_CELL_H

#include "kernels/portable/bfloat16.h"
#include "kernels/lstm_cell_approx.h"
#include "kernels/sm90/cluster.h"

/* ---- Eight values ---- */

typedef struct __attribute__((aligned(16))) px_bf16x8 {
    uint32_t pair[4];
} px_bf16x8;
typedef struct __attribute__((aligned(16))) px_float8 {
    float value[8];
} px_float8;

PX_HOST_DEVICE float px_bf16x8_get(const px_bf16x8 *x, int u) {
    return px_from_bfloat16((uint16_t)(x->pair[u / 2] >> u % 2 * 16));
}

PX_HOST_DEVICE px_bf16x8 px_bf16x8_round(const float *values) {
    px_bf16x8 rounded;
    PX_UNROLL
    for (int i = 0; i < 4; i++) rounded.pair[i] = px_to_bf16x2(values[2 * i], values[2 * i + 1]);
    return rounded;
}

PX_HOST_DEVICE void px_cell_gates_set(px_float8 (*gates)[PX_GATES], int u, const px_cell_gates *values) {
    (*gates)[PX_GATE_O].value[u] = (float)values->o;
    (*gates)[PX_GATE_F].value[u] = (float)values->f;
    (*gates)[PX_GATE_I].value[u] = (float)values->i;
    (*gates)[PX_GATE_G].value[u] = (float)values->g;
}

/* ---- Cells ---- */

/* The cells of a thread's first or second position. sums [in] the thread's accumulators, one tile a gate; gates [in]
 * input-to-state, [out] activated gates; c [in, out]; h [out]. */
PX_HOST_DEVICE void px_cluster_cell_forward(const float *sums, int second, px_bf16x8 *gates, px_float8 *c,
                                            px_bf16x8 *h) {
    px_float8 state, outputs[PX_GATES];
    PX_UNROLL
    for (int u = 0; u < PX_CHUNK; u++) {
        px_real pre[PX_GATES];
        PX_UNROLL
        for (int gate = 0; gate < PX_GATES; gate++)
            pre[gate] = px_bf16x8_get(&gates[gate], u) + sums[px_tile_sum(gate, second, u)];
        const px_cell_gates of = {pre[PX_GATE_O], pre[PX_GATE_F], pre[PX_GATE_I], pre[PX_GATE_G]};
        const px_cell_gates active = px_cell_activate(of);
        const px_cell_state cell = px_cell_update(active, c->value[u]);
        c->value[u] = (float)cell.c;
        state.value[u] = (float)cell.h;
        px_cell_gates_set(&outputs, u, &active);
    }
    *h = px_bf16x8_round(state.value);
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++) gates[gate] = px_bf16x8_round(outputs[gate].value);
}

/* The gradients of the same cells. dh_next [in] the thread's accumulators of the gradient of h from the next step;
 * gates [in] activated gates, [out] gradients of the pre-activations; grad_c [in, out]. */
PX_HOST_DEVICE void px_cluster_cell_backward(const float *dh_next, int second, const px_bf16x8 *dh, const px_float8 *c,
                                             const px_float8 *c_prev, px_bf16x8 *gates, px_float8 *grad_c) {
    px_float8 gradients[PX_GATES];
    PX_UNROLL
    for (int u = 0; u < PX_CHUNK; u++) {
        const px_cell_gates active = {px_bf16x8_get(&gates[PX_GATE_O], u), px_bf16x8_get(&gates[PX_GATE_F], u),
                                      px_bf16x8_get(&gates[PX_GATE_I], u), px_bf16x8_get(&gates[PX_GATE_G], u)};
        const px_cell_gradient gradient = px_cell_backward(active, c->value[u], c_prev->value[u],
                                                           px_bf16x8_get(dh, u) + dh_next[px_tile_sum(0, second, u)],
                                                           grad_c->value[u]);
        grad_c->value[u] = (float)gradient.c_prev;
        px_cell_gates_set(&gradients, u, &gradient.pre);
    }
    PX_UNROLL
    for (int gate = 0; gate < PX_GATES; gate++) gates[gate] = px_bf16x8_round(gradients[gate].value);
}

#endif
