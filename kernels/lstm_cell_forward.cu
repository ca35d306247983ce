/* LSTM cell, pointwise half of one step of a recurrence: van den Oord et al. 2016, eq. 3.
 * Also lays h out as the operand of the next step's product, so that each step is one product and this kernel. */
#include "kernels/lstm_cell.h"

typedef struct forward {
    px_cell cell;
    const px_real *product;
    px_store *tap[3];
} forward;

PX_FUNCTION forward px_forward_at(size_t row, const px_lstm_cell_args *k) {
    forward at;
    at.cell = px_cell_at(row, k);
    at.product = px_row_real(&k->product, row);
    for (int i = 0; i < 3; i++) at.tap[i] = px_row(&k->operand, 0) + at.cell.tap[i];
    return at;
}

PX_ROW void lstm_cell_forward(forward at, int d, const px_lstm_cell_args *k) {
    const int D = k->recurrence.hidden;
    px_store *gates = at.cell.gates;
    const px_real o = px_sigmoid(gates[PX_GATE_O * D + d] + at.product[PX_GATE_O * D + d]);
    const px_real f = px_sigmoid(gates[PX_GATE_F * D + d] + at.product[PX_GATE_F * D + d]);
    const px_real i = px_sigmoid(gates[PX_GATE_I * D + d] + at.product[PX_GATE_I * D + d]);
    const px_real g = px_tanh(gates[PX_GATE_G * D + d] + at.product[PX_GATE_G * D + d]);
    const px_real c = f * (at.cell.c_prev ? at.cell.c_prev[d] : 0) + i * g;
    const px_real h = o * px_tanh(c);

    gates[PX_GATE_O * D + d] = o;
    gates[PX_GATE_F * D + d] = f;
    gates[PX_GATE_I * D + d] = i;
    gates[PX_GATE_G * D + d] = g;
    at.cell.c[d] = c;
    at.cell.h[d] = h;
    at.tap[0][d] = at.tap[1][d] = at.tap[2][d] = h;
}
PX_PLACED_KERNEL(lstm_cell_forward, forward, px_forward_at, px_cell_rows(k), k->recurrence.hidden)
