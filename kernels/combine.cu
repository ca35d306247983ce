/* The pointwise end of a linear layer: bias, residual, relu, and the gate of a rectified input's gradient. */
#include "kernels/portable.h"

PX_ROW void combine(size_t row, int column, const px_combine_args *k) {
    px_real value = k->sum.data ? (px_real)px_row(&k->sum, row)[column] : 0;
    if (k->gate.data) value = px_row(&k->gate, row)[column] > 0 ? value : 0;
    if (k->bias.data) value += px_row(&k->bias, 0)[column];
    if (k->add.data) value += px_row(&k->add, row)[column];
    const px_real least = k->rectify ? 0 : (px_real)-INFINITY;
    px_row(&k->y, row)[column] = value < least ? least : value;
}
PX_ROW_KERNEL(combine, k->y.rows, k->y.columns)
