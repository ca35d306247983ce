/* Casts float32 to the type of activations: the compute weights, and sums of several products. */
#include "kernels/portable/portable.h"

PX_ROW void cast(size_t row, int column, const px_cast_args *k) {
    px_row(&k->y, row)[column] = px_row_real(&k->x, row)[column];
}
PX_ROW_KERNEL(cast, k->y.rows, k->y.columns)
