/* Gradient of the LSTM cell, pointwise half of one step of a recurrence, last step first.
 * The gradient of pre goes to the pixel (for the weights' gradients) and to `product` (for the step before). */
#include "kernels/lstm_cell.h"

typedef struct backward {
    px_cell cell;
    px_store *product;
    const px_real *tap[3];
} backward;

PX_FUNCTION backward px_backward_at(size_t row, const px_lstm_cell_args *k) {
    backward at;
    at.cell = px_cell_at(row, k);
    at.product = px_row(&k->product, row);
    for (int i = 0; i < 3; i++) at.tap[i] = px_row_real(&k->operand, 0) + at.cell.tap[i];
    return at;
}

PX_ROW void lstm_cell_backward(backward at, int d, const px_lstm_cell_args *k) {
    const int D = k->recurrence.hidden;
    px_store *gates = at.cell.gates;
    const px_real dh = at.cell.dh[d] + at.tap[0][d] + at.tap[1][d] + (k->recurrence.taps > 2 ? at.tap[2][d] : 0);
    const px_real o = gates[PX_GATE_O * D + d], f = gates[PX_GATE_F * D + d];
    const px_real i = gates[PX_GATE_I * D + d], g = gates[PX_GATE_G * D + d];
    const px_real tanh_c = px_tanh(at.cell.c[d]);
    const px_real dc = dh * o * (1 - tanh_c * tanh_c) + at.cell.grad_c[d];
    at.cell.grad_c[d] = dc * f;

    const px_real c_prev = at.cell.c_prev ? at.cell.c_prev[d] : 0;
    gates[PX_GATE_O * D + d] = at.product[PX_GATE_O * D + d] = dh * tanh_c * o * (1 - o);
    gates[PX_GATE_F * D + d] = at.product[PX_GATE_F * D + d] = dc * c_prev * f * (1 - f);
    gates[PX_GATE_I * D + d] = at.product[PX_GATE_I * D + d] = dc * g * i * (1 - i);
    gates[PX_GATE_G * D + d] = at.product[PX_GATE_G * D + d] = dc * i * (1 - g * g);
}
PX_PLACED_KERNEL(lstm_cell_backward, backward, px_backward_at, px_cell_rows(k), k->recurrence.hidden)
