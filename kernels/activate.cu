/* The pointwise epilogue of a layer for sampling, in the channels of one colour group: bias, residual and relu. */
#include "kernels/portable/portable.h"

PX_ROW void activate(size_t row, int column, const px_activate_args *k) {
    const int f = k->first + column;
    px_real *sum = px_row_real(&k->sum, row) + f, value = *sum + px_row(&k->bias, 0)[f];
    if (k->add.data) value += px_row(&k->add, row)[f];
    *sum = value;
    if (k->y.data) px_row(&k->y, row)[f] = value;
    if (k->relu_out.data) px_row(&k->relu_out, row)[f] = value < 0 ? 0 : value; /* NaN is kept */
}
PX_ROW_KERNEL(activate, k->sum.rows, k->count)
