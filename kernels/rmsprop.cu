/* RMSProp: v = rho * v + (1 - rho) * g^2;  w -= rate * g / (sqrt(v) + epsilon). */
#include "kernels/portable/portable.h"

PX_ROW void rmsprop(size_t row, int column, const px_rmsprop_args *k) {
    if (!px_update_is_made(&k->scale)) return;
    const px_real g = px_row_real(&k->gradients, row)[column] * (px_real)px_row_double(&k->scale, 0)[0];
    px_real *second = px_row_real(&k->second, row) + column;
    const px_real v = k->rho * *second + (1 - k->rho) * g * g;
    *second = v;
    const px_real rate = px_update_number(&k->numbers, PX_UPDATE_RATE);
    px_row_real(&k->weights, row)[column] -= rate * g / (px_sqrt(v) + k->epsilon);
}
PX_ROW_KERNEL(rmsprop, k->weights.rows, k->weights.columns)
