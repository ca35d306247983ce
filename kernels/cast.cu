/* Reals as activations are stored: weights for products to read, sums of several products. */
#include "kernels/portable/portable.h"

PX_ROW void convert(size_t row, int column, const px_convert_args *k) {
    px_row(&k->y, row)[column] = px_row_real(&k->x, row)[column];
}
PX_ROW_KERNEL(convert, k->y.rows, k->y.columns)
