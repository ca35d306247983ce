/* LSTM cell, pointwise half of one step of a sweep: van den Oord et al. 2016, eq. 3.
 * Also lays h out as the operand of the next step's product, so that each step is one product and this kernel. */
#include "kernels/lstm_cell.h"

PX_ROW void lstm_cell_forward(px_cell at, int d, const px_lstm_cell_args *k) {
    const int D = k->sweep.hidden;
    const px_real o = px_sigmoid(at.gates[PX_GATE_O * D + d] + at.product[PX_GATE_O * D + d]);
    const px_real f = px_sigmoid(at.gates[PX_GATE_F * D + d] + at.product[PX_GATE_F * D + d]);
    const px_real i = px_sigmoid(at.gates[PX_GATE_I * D + d] + at.product[PX_GATE_I * D + d]);
    const px_real g = px_tanh(at.gates[PX_GATE_G * D + d] + at.product[PX_GATE_G * D + d]);
    const px_real c = f * (at.c_prev ? at.c_prev[d] : 0) + i * g;
    const px_real h = o * px_tanh(c);

    at.gates[PX_GATE_O * D + d] = o;
    at.gates[PX_GATE_F * D + d] = f;
    at.gates[PX_GATE_I * D + d] = i;
    at.gates[PX_GATE_G * D + d] = g;
    at.c[d] = c;
    at.h[d] = h;
    at.tap[0][d] = at.tap[1][d] = at.tap[2][d] = h;
}
PX_PLACED_KERNEL(lstm_cell_forward, px_cell, px_cell_at, px_cell_rows(k), k->sweep.hidden)
