/* Sums of segments of rows, for bias gradients. Each sum runs in the order of its rows. */
#include "kernels/portable/portable.h"

PX_ROW void sum_rows(size_t row, int column, const px_sum_rows_args *k) {
    const size_t first = row * k->x.rows / k->y.rows, last = (row + 1) * k->x.rows / k->y.rows;
    const px_store *x = px_row(&k->x, 0) + column;
    px_real sum = 0;
    for (size_t r = first; r < last; r++) sum += x[r * (size_t)k->x.columns];
    px_row_real(&k->y, row)[column] = sum;
}
PX_ROW_KERNEL(sum_rows, k->y.rows, k->y.columns)
