/* The LSTM cell of one step of a recurrence, after the product of that step. */
#include "kernels/lstm_step.h"

typedef struct forward {
    px_step_row row;
    const px_real *product;
    px_store *h;
    px_store *tap[PX_MAX_STEP_TAPS];
} forward;

PX_FUNCTION forward forward_row_at(size_t row, const px_lstm_cell_args *k) {
    const px_step_index index = px_step_index_of(row, k);
    forward at;
    at.row = px_step_row_at(index, k);
    at.product = px_row_real(&k->product, row);
    at.h = px_row(&k->h, px_step_row_of(index, &k->rows));
    for (int i = 0; i < PX_MAX_STEP_TAPS; i++) at.tap[i] = px_row_or(&k->tap[i], row, at.h);
    return at;
}

PX_ROW void lstm_cell_forward(forward at, int d, const px_lstm_cell_args *k) {
    const int D = k->hidden;
    px_store *gates = at.row.gates;
    px_cell_gates pre;
    pre.o = gates[PX_GATE_O * D + d] + at.product[PX_GATE_O * D + d];
    pre.f = gates[PX_GATE_F * D + d] + at.product[PX_GATE_F * D + d];
    pre.i = gates[PX_GATE_I * D + d] + at.product[PX_GATE_I * D + d];
    pre.g = gates[PX_GATE_G * D + d] + at.product[PX_GATE_G * D + d];
    const px_cell_gates active = px_cell_activate(pre);
    const px_cell_state cell = px_cell_update(active, at.row.c_prev[d]);

    gates[PX_GATE_O * D + d] = active.o;
    gates[PX_GATE_F * D + d] = active.f;
    gates[PX_GATE_I * D + d] = active.i;
    gates[PX_GATE_G * D + d] = active.g;
    at.row.c[d] = cell.c;
    at.h[d] = at.tap[0][d] = at.tap[1][d] = at.tap[2][d] = cell.h;
}
PX_ADDRESSED_KERNEL(lstm_cell_forward, forward, forward_row_at, px_step_count(k), k->hidden)
