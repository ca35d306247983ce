/* Gradient of the LSTM cell, pointwise half of one step of a sweep, last step first.
 * The gradient of pre goes to the pixel (for the weights' gradients) and to `product` (for the step before). */
#include "kernels/lstm_cell.h"

PX_ROW void lstm_cell_backward(px_cell at, int d, const px_lstm_cell_args *k) {
    const int D = k->sweep.hidden;
    const px_real dh = at.dh[d] + at.tap[0][d] + at.tap[1][d] + (k->sweep.taps > 2 ? at.tap[2][d] : 0);
    const px_real o = at.gates[PX_GATE_O * D + d], f = at.gates[PX_GATE_F * D + d];
    const px_real i = at.gates[PX_GATE_I * D + d], g = at.gates[PX_GATE_G * D + d];
    const px_real tanh_c = px_tanh(at.c[d]);
    const px_real dc = dh * o * (1 - tanh_c * tanh_c) + at.carry[d];
    at.carry[d] = dc * f;

    const px_real c_prev = at.c_prev ? at.c_prev[d] : 0;
    at.gates[PX_GATE_O * D + d] = at.product[PX_GATE_O * D + d] = dh * tanh_c * o * (1 - o);
    at.gates[PX_GATE_F * D + d] = at.product[PX_GATE_F * D + d] = dc * c_prev * f * (1 - f);
    at.gates[PX_GATE_I * D + d] = at.product[PX_GATE_I * D + d] = dc * g * i * (1 - i);
    at.gates[PX_GATE_G * D + d] = at.product[PX_GATE_G * D + d] = dc * i * (1 - g * g);
}
PX_PLACED_KERNEL(lstm_cell_backward, px_cell, px_cell_at, px_cell_rows(k), k->sweep.hidden)
