/* The input of a class condition: labels as vectors with one element that is 1. */
#include "kernels/portable/portable.h"

PX_ROW void one_hot(size_t row, int column, const px_one_hot_args *k) {
    const uint8_t *label = px_row_bytes(&k->labels, row);
    px_row(&k->y, row)[column] = (px_real)(column == (label[0] | label[1] << 8));
}
PX_ROW_KERNEL(one_hot, k->y.rows, k->y.columns)
