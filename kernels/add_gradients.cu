/* Sum of two tensors, in place: sum += x. */
#include "kernels/portable/portable.h"

PX_ROW void add_gradients(size_t row, int column, const px_add_gradients_args *k) {
    px_row_real(&k->sum, row)[column] += px_row_real(&k->x, row)[column];
}
PX_ROW_KERNEL(add_gradients, k->sum.rows, k->sum.columns)
