/* Adam (Kingma & Ba 2015, algorithm 1). The caller computes the bias corrections. */
#include "kernels/portable/portable.h"

PX_ROW void adam(size_t row, int column, const px_adam_args *k) {
    if (!px_update_is_made(&k->scale)) return;
    const px_real g = px_row_real(&k->gradients, row)[column] * (px_real)px_row_double(&k->scale, 0)[0];
    px_real *first = px_row_real(&k->first, row) + column, *second = px_row_real(&k->second, row) + column;
    const px_real m = k->beta1 * *first + (1 - k->beta1) * g;
    const px_real v = k->beta2 * *second + (1 - k->beta2) * g * g;
    *first = m;
    *second = v;
    const px_real rate = px_update_number(&k->numbers, PX_UPDATE_RATE);
    const px_real correction1 = px_update_number(&k->numbers, PX_UPDATE_CORRECTION1);
    const px_real correction2 = px_update_number(&k->numbers, PX_UPDATE_CORRECTION2);
    px_row_real(&k->weights, row)[column] -= rate * (m / correction1) / (px_sqrt(v / correction2) + k->epsilon);
}
PX_ROW_KERNEL(adam, k->weights.rows, k->weights.columns)
