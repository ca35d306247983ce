/* LSTM cell, pointwise half, of one pixel's features at a time: van den Oord et al. 2016, eq. 3. Decoding's form of
 * lstm_cell_forward, which keeps no gates and holds c in place. */
#include "kernels/portable/portable.h"

/* Rows of D values, or 4 D. */
typedef struct update {
    const px_real *pre;
    px_real *c;
    const px_store *bias, *add;
    px_store *h, *sum;
} update;

PX_FUNCTION update px_update_at(size_t row, const px_lstm_update_args *k) {
    const size_t layer = row / k->pre.rows, image = row % k->pre.rows;
    update at;
    at.pre = px_row_real(&k->pre, layer * k->stride_pre + image);
    at.bias = px_row(&k->bias, 0) + layer * k->stride_bias;
    at.c = px_row_real(&k->c, layer * k->stride_c + image);
    at.h = px_row(&k->h, layer * k->stride_h + image);
    at.add = k->add.data ? px_row(&k->add, layer * k->stride_h + image) : NULL;
    at.sum = k->sum.data ? px_row(&k->sum, layer * k->stride_c + image) : at.h; /* gcc vectorises no loop that asks */
    return at;
}

PX_ROW void lstm_update(update at, int column, const px_lstm_update_args *k) {
    const int D = k->h.columns, d = k->first + column;
    const px_real o = px_sigmoid(at.pre[PX_GATE_O * D + d] + at.bias[PX_GATE_O * D + d]);
    const px_real f = px_sigmoid(at.pre[PX_GATE_F * D + d] + at.bias[PX_GATE_F * D + d]);
    const px_real i = px_sigmoid(at.pre[PX_GATE_I * D + d] + at.bias[PX_GATE_I * D + d]);
    const px_real g = px_tanh(at.pre[PX_GATE_G * D + d] + at.bias[PX_GATE_G * D + d]);
    const px_real c = f * at.c[d] + i * g;
    const px_real h = o * px_tanh(c);
    at.c[d] = c;
    at.h[d] = h;
    at.sum[d] = h + (at.add ? (px_real)at.add[d] : 0);
}
PX_PLACED_KERNEL(lstm_update, update, px_update_at, (size_t)k->layers * k->pre.rows, k->count)
