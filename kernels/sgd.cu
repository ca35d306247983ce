/* SGD: w -= rate * g. */
#include "kernels/portable/portable.h"

PX_ROW void sgd(size_t row, int column, const px_sgd_args *k) {
    if (!px_update_is_made(&k->scale)) return;
    const px_real g = px_row_real(&k->gradients, row)[column] * (px_real)px_row_double(&k->scale, 0)[0];
    const px_real rate = px_update_number(&k->numbers, PX_UPDATE_RATE);
    px_row_real(&k->weights, row)[column] -= rate * g;
}
PX_ROW_KERNEL(sgd, k->weights.rows, k->weights.columns)
