/* The gradient of the LSTM cell of one step of a recurrence; steps run from the last to the first. */
#include "kernels/lstm_step.h"

typedef struct backward {
    px_step_row row;
    const px_store *dh;
    px_real *grad_c;
    px_store *product;
    const px_real *tap[PX_MAX_STEP_TAPS];
} backward;

PX_FUNCTION backward backward_row_at(size_t row, const px_lstm_cell_args *k) {
    const px_step_index index = px_step_index_of(row, k);
    backward at;
    at.row = px_step_row_at(index, k);
    at.dh = px_row(&k->dh, px_step_row_of(index, &k->rows));
    at.grad_c = px_row_real(&k->grad_c, px_step_row_of(index, &k->carried));
    at.product = px_row_or(&k->product, row, at.row.gates);
    for (int i = 0; i < PX_MAX_STEP_TAPS; i++)
        at.tap[i] = k->tap[i].data ? px_row_real(&k->tap[i], row) : px_row_real(&k->zeros, 0);
    return at;
}

PX_ROW void lstm_cell_backward(backward at, int d, const px_lstm_cell_args *k) {
    const int D = k->hidden;
    px_store *gates = at.row.gates;
    const px_real dh = at.dh[d] + at.tap[0][d] + at.tap[1][d] + at.tap[2][d];
    px_cell_gates active;
    active.o = gates[PX_GATE_O * D + d], active.f = gates[PX_GATE_F * D + d];
    active.i = gates[PX_GATE_I * D + d], active.g = gates[PX_GATE_G * D + d];
    const px_cell_gradient gradient = px_cell_backward(active, at.row.c[d], at.row.c_prev[d], dh, at.grad_c[d]);

    at.grad_c[d] = gradient.c_prev;
    gates[PX_GATE_O * D + d] = at.product[PX_GATE_O * D + d] = gradient.pre.o;
    gates[PX_GATE_F * D + d] = at.product[PX_GATE_F * D + d] = gradient.pre.f;
    gates[PX_GATE_I * D + d] = at.product[PX_GATE_I * D + d] = gradient.pre.i;
    gates[PX_GATE_G * D + d] = at.product[PX_GATE_G * D + d] = gradient.pre.g;
}
PX_ADDRESSED_KERNEL(lstm_cell_backward, backward, backward_row_at, px_step_count(k), k->hidden)
