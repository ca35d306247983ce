/* The pointwise epilogue of a layer for sampling, in the channels of one colour group: bias, residual and relu. */
#include "kernels/portable/portable.h"

typedef struct activate_row {
    px_real *sum;
    const px_store *bias, *add;
    px_store *y, *relu_out;
} activate_row;

/* Absent rows get the address of the bias, so that masked accesses are valid (kernels/portable/vector.h). */
PX_FUNCTION activate_row activate_row_at(size_t row, const px_activate_args *k) {
    activate_row at;
    at.sum = px_row_real(&k->sum, row);
    px_store *bias = px_row(&k->bias, k->bias.rows > 1 ? row : 0);
    at.bias = bias;
    at.add = px_row_or(&k->add, row, bias);
    at.y = px_row_or(&k->y, row, bias);
    at.relu_out = px_row_or(&k->relu_out, row, bias);
    return at;
}

PX_ROW void activate(activate_row at, int column, const px_activate_args *k) {
    const int f = k->first + column;
    const px_real value = at.sum[f] + at.bias[f] + (k->add.data ? (px_real)at.add[f] : 0);
    at.sum[f] = value;
    if (k->y.data) at.y[f] = value;
    if (k->relu_out.data) at.relu_out[f] = value < 0 ? 0 : value; /* NaN is kept */
}
PX_ADDRESSED_KERNEL(activate, activate_row, activate_row_at, k->sum.rows, k->count)
