/* The gradient of the LSTM cell of one step of a recurrence; steps run from the last to the first. The gradient of the
 * pre-activations goes to the pixel, for the gradients of the weights, and to `product`, for the previous step. */
#include "kernels/lstm_step.h"

typedef struct backward {
    px_step_row row;
    px_store *product;
    const px_real *tap[3];
} backward;

PX_FUNCTION backward backward_row_at(size_t row, const px_lstm_cell_args *k) {
    backward at;
    at.row = px_step_row_at(row, k);
    at.product = px_row(&k->product, row);
    for (int i = 0; i < 3; i++)
        at.tap[i] = i < k->recurrence.taps ? px_row_real(&k->operand, 0) + at.row.tap[i] : px_row_real(&k->zeros, 0);
    return at;
}

PX_ROW void lstm_cell_backward(backward at, int d, const px_lstm_cell_args *k) {
    const int D = k->recurrence.hidden;
    px_store *gates = at.row.gates;
    const px_real dh = at.row.dh[d] + at.tap[0][d] + at.tap[1][d] + at.tap[2][d];
    px_cell_gates active;
    active.o = gates[PX_GATE_O * D + d], active.f = gates[PX_GATE_F * D + d];
    active.i = gates[PX_GATE_I * D + d], active.g = gates[PX_GATE_G * D + d];
    const px_cell_gradient gradient = px_cell_backward(active, at.row.c[d], at.row.c_prev[d], dh, at.row.grad_c[d]);

    at.row.grad_c[d] = gradient.c_prev;
    gates[PX_GATE_O * D + d] = at.product[PX_GATE_O * D + d] = gradient.pre.o;
    gates[PX_GATE_F * D + d] = at.product[PX_GATE_F * D + d] = gradient.pre.f;
    gates[PX_GATE_I * D + d] = at.product[PX_GATE_I * D + d] = gradient.pre.i;
    gates[PX_GATE_G * D + d] = at.product[PX_GATE_G * D + d] = gradient.pre.g;
}
PX_ADDRESSED_KERNEL(lstm_cell_backward, backward, backward_row_at, px_step_rows(k), k->recurrence.hidden)
