/* The LSTM cell outside a recurrence, for sampling: some channels of one pixel. It saves no gates and updates c in
 * place. */
#include "kernels/lstm_cell.h"

/* Rows of D values (pre and bias: 4 D). */
typedef struct update {
    const px_real *pre;
    px_real *c;
    const px_store *bias, *add; /* h where add is absent */
    px_store *h, *sum;
} update;

PX_FUNCTION update update_row_at(size_t row, const px_lstm_update_args *k) {
    const size_t layer = row / k->pre.rows, image = row % k->pre.rows;
    update at;
    at.pre = px_row_real(&k->pre, layer * k->stride_pre + image);
    at.bias = px_row(&k->bias, k->bias.rows > 1 ? image : 0) + layer * k->stride_bias;
    at.c = px_row_real(&k->c, layer * k->stride_c + image);
    at.h = px_row(&k->h, layer * k->stride_h + image);
    at.add = px_row_or(&k->add, layer * k->stride_h + image, at.h);
    at.sum = k->sum.data ? px_row(&k->sum, layer * k->stride_c + image) : at.h; /* a branch here prevents vectorising */
    return at;
}

PX_ROW void lstm_update(update at, int column, const px_lstm_update_args *k) {
    const int D = k->h.columns, d = k->first + column;
    px_cell_gates pre;
    pre.o = at.pre[PX_GATE_O * D + d] + at.bias[PX_GATE_O * D + d];
    pre.f = at.pre[PX_GATE_F * D + d] + at.bias[PX_GATE_F * D + d];
    pre.i = at.pre[PX_GATE_I * D + d] + at.bias[PX_GATE_I * D + d];
    pre.g = at.pre[PX_GATE_G * D + d] + at.bias[PX_GATE_G * D + d];
    const px_cell_gates active = px_cell_activate(pre);
    const px_cell_state cell = px_cell_update(active, at.c[d]);
    at.c[d] = cell.c;
    at.h[d] = cell.h;
    at.sum[d] = cell.h + (k->add.data ? (px_real)at.add[d] : 0);
}
PX_ADDRESSED_KERNEL(lstm_update, update, update_row_at, (size_t)k->layers * k->pre.rows, k->count)
