/* Exponential moving average of the weights: average = decay * average + (1 - decay) * weights. */
#include "kernels/portable/portable.h"

PX_ROW void ema(size_t row, int column, const px_ema_args *k) {
    if (!px_update_is_made(&k->scale)) return;
    px_real *average = px_row_real(&k->average, row) + column;
    *average = k->decay * *average + (1 - k->decay) * px_row_real(&k->weights, row)[column];
}
PX_ROW_KERNEL(ema, k->weights.rows, k->weights.columns)
